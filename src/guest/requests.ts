// The fifteen requests by name, through the driver. The driver is probed at the first one.
import { Errno } from '../../assembly/abi/errno.ts';
import { Func } from '../../assembly/abi/pvmemcontrol.ts';
import { gpa as gpaOf } from '../address.ts';
import { SlatboxError } from '../errors.ts';
import { parseInteger } from '../size.ts';
import type { AbiName, Response } from '../types.ts';
import type { Driver } from './driver.ts';
import type { Range } from './guest.ts';
import { funcCode } from './uapi.ts';

export type RequestRange = Range & { readonly arg?: bigint | number };

/** memctl has no MERGEABLE: the first code that it does not know, which the device answers with EOPNOTSUPP. */
const MEMCTL_UNKNOWN = 14;

/** The code that a device of this generation has for a function. */
export const requestCode = (abi: AbiName, func: Func): number => funcCode(abi, func) ?? MEMCTL_UNKNOWN;

/** What a request came to that never reached the device. */
export const failed = (negative: number): Response => ({
  errno: Math.abs(negative),
  code: 0,
  value: 0n,
  arg0: 0n,
  arg1: 0n,
});

export class Requests {
  readonly #driver: Driver;
  readonly #cpus: number;

  constructor(driver: Driver, cpus: number) {
    this.#driver = driver;
    this.#cpus = cpus;
  }

  /** Probes if need be. 0, or the errno (as `probe`'s) why requests cannot be sent. SlatboxError SLB-029. */
  bind(): number {
    if (this.#driver.bound) return 0;
    const error = this.#driver.probe();
    if (error !== -Errno.ENOMEM) return error;
    throw new SlatboxError(
      'SLB-029',
      'no room for the per-CPU buffers',
      'the first RAM region needs 32K and 4K a vCPU',
    );
  }

  /**
   * Sends function `func` (numbers of the merged generation). Where the ioctl would fail (the guest has taken its own
   * buffer away, the device is broken) `errno` is the ioctl's. SlatboxError SLB-029 when RAM has no room for buffers.
   */
  call(func: Func, o: RequestRange): Response {
    const cpu = o.cpu ?? 0;
    const error = this.bind();
    if (error !== 0) return failed(error);
    if (!Number.isInteger(cpu) || cpu < 0 || cpu >= this.#cpus) {
      throw new SlatboxError('SLB-023', `there is no vCPU ${cpu}`, `this VM has ${this.#cpus}, from 0 on`);
    }
    const answer = this.#driver.vmmCall(
      requestCode(this.#driver.abi, func),
      gpaOf(o.gpa),
      parseInteger(o.len, 'len'),
      BigInt(o.arg ?? 0),
      cpu,
    );
    return typeof answer === 'number' ? failed(answer) : answer;
  }

  info = (o: Partial<RequestRange> = {}): Response => this.call(Func.Info, { gpa: 0, len: 0, ...o });
  dontneed = (o: RequestRange): Response => this.call(Func.Dontneed, o);
  remove = (o: RequestRange): Response => this.call(Func.Remove, o);
  free = (o: RequestRange): Response => this.call(Func.Free, o);
  pageout = (o: RequestRange): Response => this.call(Func.Pageout, o);
  dontdump = (o: RequestRange): Response => this.call(Func.Dontdump, o);
  /** `arg` is the N of `pvmemcontrol-N`; 0 removes the name. */
  setVmaAnonName = (o: RequestRange): Response => this.call(Func.SetVmaAnonName, o);
  mlock = (o: RequestRange): Response => this.call(Func.Mlock, o);
  munlock = (o: RequestRange): Response => this.call(Func.Munlock, o);
  mprotectNone = (o: RequestRange): Response => this.call(Func.MprotectNone, o);
  mprotectR = (o: RequestRange): Response => this.call(Func.MprotectR, o);
  mprotectW = (o: RequestRange): Response => this.call(Func.MprotectW, o);
  mprotectRw = (o: RequestRange): Response => this.call(Func.MprotectRw, o);
  mergeable = (o: RequestRange): Response => this.call(Func.Mergeable, o);
  unmergeable = (o: RequestRange): Response => this.call(Func.Unmergeable, o);
}
