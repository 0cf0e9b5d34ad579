// A bound driver's channels to its device, one per-CPU buffer each, and a request through one of them.
// Reference: linux drivers/virt/pvmemcontrol/pvmemcontrol.c, pvmemcontrol_vmm_call and pvmemcontrol_user_call.
import { Errno } from '../../assembly/abi/errno.ts';
import type { Buf } from './uapi.ts';

export interface Channel {
  readonly gpa: bigint;
  /** The connection id, which is also the command that rings its doorbell. */
  readonly command: number;
}

/** What a bound driver knows of its device: a plain value. */
export interface BoundDevice {
  readonly base: bigint;
  /** Address of the command register: adding up a bigint for each request would cost more than the request. */
  readonly commandRegister: bigint;
  readonly channels: readonly Channel[];
  /** The INFO response as it came. */
  readonly info: Uint8Array;
}

export const copyDevice = ({ channels, info, ...rest }: BoundDevice): BoundDevice => ({
  ...rest,
  channels: channels.map((channel) => ({ ...channel })),
  info: info.slice(),
});

/**
 * The accesses of one request on `cpu`: `buf` into the buffer at gpa, `command` to the register, the buffer back into
 * `buf`. False: one of them left the guest and did not finish.
 */
export type Transfer = (
  gpa: bigint,
  register: bigint,
  command: number,
  buf: Uint8Array,
  cpu: number,
) => boolean;

/** The request in `buf` to the device; the response takes its place. 0, -EINVAL for a cpu that is not there, -EFAULT. */
export function send(transfer: Transfer, device: BoundDevice, buf: Buf, cpu: number): number {
  const channel = device.channels[cpu];
  if (!channel) return -Errno.EINVAL;
  const done = transfer(channel.gpa, device.commandRegister, channel.command, buf.bytes, cpu);
  return done ? 0 : -Errno.EFAULT;
}

/** As `send`, but INFO never reaches the device: probe's answer is copied. */
export function call(transfer: Transfer, device: BoundDevice, buf: Buf, cpu: number): number {
  if (buf.funcCode !== 0n) return send(transfer, device, buf, cpu);
  buf.bytes.set(device.info);
  return 0;
}
