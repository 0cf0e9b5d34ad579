// The driver's device node, as a program in the guest uses it: open, ioctl, close.
// Reference: linux drivers/virt/pvmemcontrol/pvmemcontrol.c, pvmemcontrol_open and pvmemcontrol_ioctl.
import { Errno } from '../../assembly/abi/errno.ts';
import { Buf, IOCTL_VMM } from './uapi.ts';

/** open(2) flag that the driver refuses. */
export const O_EXCL = 0o200;

/** What open(2) knows of the calling program. */
export interface Credentials {
  readonly capSysAdmin: boolean;
}

/** The argument of an ioctl: memory of the calling program, which may not be there. */
export interface UserMemory {
  /** copy_from_user: fills `into`; false for a fault. */
  copyFrom(into: Uint8Array): boolean;
  /** copy_to_user: takes `from`; false for a fault. */
  copyTo(from: Uint8Array): boolean;
}

/** User memory that is there if `bytes` is long enough, and faults beyond its end. */
export class UserBytes implements UserMemory {
  readonly bytes: Uint8Array;
  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }
  copyFrom(into: Uint8Array): boolean {
    if (into.length > this.bytes.length) return false;
    into.set(this.bytes.subarray(0, into.length));
    return true;
  }
  copyTo(from: Uint8Array): boolean {
    if (from.length > this.bytes.length) return false;
    this.bytes.set(from);
    return true;
  }
}

/** An open file. Each has a buffer of its own, as the driver's kzalloc at open. */
export class OpenFile {
  readonly #buf = new Buf();
  readonly #send: (buf: Buf, cpu: number | undefined) => number;
  #open = true;

  /** `send` carries out the request in the buffer and leaves the response there; a negative errno, or 0. */
  constructor(send: (buf: Buf, cpu: number | undefined) => number) {
    this.#send = send;
  }

  /**
   * 0 when the request was sent: its own result is in the 32 bytes. The caller runs on `cpu`, by default on
   * the machine's current one. A fault on the way out is -EFAULT after the request has been executed.
   */
  ioctl(cmd: number, user: UserMemory, cpu?: number): number {
    if (!this.#open) return -Errno.EBADF;
    if (cmd !== IOCTL_VMM) return -Errno.EINVAL;
    if (!user.copyFrom(this.#buf.bytes)) return -Errno.EFAULT;
    const err = this.#send(this.#buf, cpu);
    if (err !== 0) return err;
    return user.copyTo(this.#buf.bytes) ? 0 : -Errno.EFAULT;
  }

  /** close(2). A second one is -EBADF, as the file descriptor is gone. */
  release(): number {
    if (!this.#open) return -Errno.EBADF;
    this.#open = false;
    return 0;
  }
}
