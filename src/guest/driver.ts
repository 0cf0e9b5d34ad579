// The guest's driver: finds the device, hands it one buffer per cpu and sends requests through them.
// Reference: linux drivers/virt/pvmemcontrol/pvmemcontrol.c (patch version 4) and drivers/virt/memctl/
// memctl.c; recorded in test/golden/pvmemcontrol/driver-trace.json. Errors are negative errno numbers.
import { Errno } from '../../assembly/abi/errno.ts';
import { TransportCommand, TransportReg } from '../../assembly/abi/pvmemcontrol.ts';
import type { AbiName, Response } from '../types.ts';
import { type BoundDevice, type Channel, call, copyDevice, send, type Transfer } from './channel.ts';
import type { Credentials } from './chardev.ts';
import { O_EXCL, OpenFile } from './chardev.ts';
import { findDevice } from './pci-probe.ts';
import type { DriverPort } from './port.ts';
import type { Info } from './uapi.ts';
import { Buf } from './uapi.ts';

/** struct pvmemcontrol_percpu_channel: 32 bytes of buffer, its address, the command, padding. */
const CHANNEL_SIZE = 48;

export interface DriverOptions {
  /** Which generation's INFO layout the device speaks. Default `pvmemcontrol`. */
  readonly abi?: AbiName;
  /**
   * The platform has 64-bit MMIO writes (x86-64 does). False: a 64-bit register is written in two halves,
   * low half first. Default true.
   */
  readonly write64?: boolean;
}

/** What a checkpoint keeps of a driver: a plain value. Open files are their programs' affair. */
export interface DriverState {
  readonly device: BoundDevice | undefined;
}

export class Driver {
  readonly abi: AbiName;
  readonly #port: DriverPort;
  readonly #write64: boolean;
  readonly #buf = new Buf();
  readonly #transfer: Transfer;
  #device: BoundDevice | undefined;

  constructor(port: DriverPort, options: DriverOptions = {}) {
    this.#port = port;
    this.#transfer = port.request?.bind(port) ?? stepByStep(port);
    this.abi = options.abi ?? 'pvmemcontrol';
    this.#write64 = options.write64 ?? true;
  }

  /** Probe was successful, and remove has not been called since. */
  get bound(): boolean {
    return this.#device !== undefined;
  }

  /** The INFO response that probe got; undefined before. */
  get info(): Info | undefined {
    if (!this.#device) return undefined;
    const buf = new Buf();
    buf.bytes.set(this.#device.info);
    return buf.info(this.abi);
  }

  /**
   * Finds and connects the device on the calling cpu. 0, a negative errno, or the positive ret_code of a
   * device that refuses INFO. After a failure the device is left as it is: the driver sends nothing more.
   */
  probe(): number {
    if (this.#device) return -Errno.EEXIST;
    const found = findDevice(this.#port);
    if (found.errno !== 0) return -found.errno;

    const gpas: bigint[] = [];
    for (let cpu = 0; cpu < this.#port.cpus; cpu++) {
      const gpa = this.#port.allocPercpu(cpu, CHANNEL_SIZE);
      if (gpa === undefined) return -Errno.ENOMEM;
      gpas.push(gpa);
    }
    const channels = this.#connect(found.base, gpas);
    if (!channels) return -Errno.EINVAL;

    const info = new Buf();
    const device: BoundDevice = {
      base: found.base,
      commandRegister: found.base + BigInt(TransportReg.Command),
      channels,
      info: info.bytes,
    };
    const err = send(this.#transfer, device, info, this.#port.currentCpu());
    if (err !== 0) return err;
    // Only ret_code is looked at: a device that sets ret_errno alone is taken as it is.
    if (info.retCode !== 0) return info.retCode;
    this.#device = device;
    return 0;
  }

  /** Disconnects; -EINVAL if not bound, or if the device does not answer with ERROR. Unbound either way. */
  remove(): number {
    const device = this.#device;
    if (!device) return -Errno.EINVAL;
    this.#device = undefined;
    const answer = this.#command(device.base, TransportCommand.Disconnect, this.#port.currentCpu());
    return answer === TransportCommand.Error ? 0 : -Errno.EINVAL;
  }

  /**
   * pvmemcontrol_vmm_call, memctl_vmm_call: the kernel's own requests, sent on `cpu`. The device's response,
   * or a negative errno when it was never asked: -EINVAL while not bound or for a cpu that is not there.
   */
  vmmCall(
    func: number | bigint,
    addr: bigint,
    length: bigint,
    arg = 0n,
    cpu = this.#port.currentCpu(),
  ): Response | number {
    const buf = this.#buf;
    buf.setRequest(typeof func === 'bigint' ? func : BigInt(func), addr, length, arg);
    const err = this.#call(buf, cpu);
    return err === 0 ? buf.response() : err;
  }

  /** open(2) of the device node, which is there while the driver is bound: an open file or a negative errno. */
  open(flags: number, { capSysAdmin }: Credentials): OpenFile | number {
    if (!this.#device) return -Errno.ENODEV;
    if (!capSysAdmin) return -Errno.EACCES;
    if (flags & O_EXCL) return -Errno.EINVAL;
    return new OpenFile((buf, cpu) => this.#call(buf, cpu ?? this.#port.currentCpu()));
  }

  save(): DriverState {
    return { device: this.#device && copyDevice(this.#device) };
  }

  load(state: DriverState): void {
    this.#device = state.device && copyDevice(state.device);
  }

  #call(buf: Buf, cpu: number): number {
    return this.#device ? call(this.#transfer, this.#device, buf, cpu) : -Errno.EINVAL;
  }

  /** RESET, REGISTER for each cpu, READY; undefined at the first answer that is not ACK. */
  #connect(base: bigint, gpas: readonly bigint[]): Channel[] | undefined {
    const cpu = this.#port.currentCpu();
    if (this.#command(base, TransportCommand.Reset, cpu) !== TransportCommand.Ack) return undefined;
    const channels: Channel[] = [];
    for (const gpa of gpas) {
      this.#writePayload(base, gpa, cpu);
      if (this.#command(base, TransportCommand.Register, cpu) !== TransportCommand.Ack) return undefined;
      channels.push({ gpa, command: this.#port.read32(base + BigInt(TransportReg.Payload), cpu) });
    }
    if (this.#command(base, TransportCommand.Ready, cpu) !== TransportCommand.Ack) return undefined;
    return channels;
  }

  /** Writes a transport command and reads the answer. */
  #command(base: bigint, command: TransportCommand, cpu: number): number {
    const register = base + BigInt(TransportReg.Command);
    this.#port.write32(register, command, cpu);
    return this.#port.read32(register, cpu);
  }

  #writePayload(base: bigint, value: bigint, cpu: number): void {
    const register = base + BigInt(TransportReg.Payload);
    if (this.#write64) {
      this.#port.write64(register, value, cpu);
      return;
    }
    this.#port.write32(register, Number(BigInt.asUintN(32, value)), cpu);
    this.#port.write32(register + 4n, Number(BigInt.asUintN(32, value >> 32n)), cpu);
  }
}

/** The three steps of a request one by one, for a port that cannot do them at once. */
const stepByStep =
  (port: DriverPort): Transfer =>
  (gpa, register, command, buf, cpu) => {
    if (!port.copyToBuffer(gpa, buf, cpu)) return false;
    port.write32(register, command, cpu);
    return port.copyFromBuffer(gpa, buf, cpu);
  };
