// The fifteen requests by name, through the driver. The driver is probed at the first one.
import { Func } from '../../assembly/abi/pvmemcontrol.ts';
import { gpa as gpaOf } from '../address.ts';
import { SlatboxError } from '../errors.ts';
import { errnoName } from '../observe/names.ts';
import { parseInteger } from '../size.ts';
import type { AbiName, Response } from '../types.ts';
import type { Driver } from './driver.ts';
import type { Range } from './guest.ts';

export type RequestRange = Range & { readonly arg?: bigint | number };

/** memctl's numbers where they differ (LKML posting, uapi memctl.h); it has no MERGEABLE. */
const MEMCTL: Readonly<Partial<Record<Func, number>>> = {
  [Func.Unmergeable]: 5,
  [Func.Dontdump]: 6,
  [Func.SetVmaAnonName]: 13,
  // The first code that memctl does not know: the device answers EOPNOTSUPP.
  [Func.Mergeable]: 14,
};

export class Requests {
  readonly #driver: Driver;
  readonly #abi: AbiName;

  constructor(driver: Driver, abi: AbiName) {
    this.#driver = driver;
    this.#abi = abi;
  }

  /** Sends function `func` (numbers of the merged generation). SlatboxError SLB-029 when the driver cannot be bound. */
  call(func: Func, o: RequestRange): Response {
    if (!this.#driver.bound) {
      const error = this.#driver.probe();
      if (error !== 0) {
        throw new SlatboxError('SLB-029', `the driver's probe failed: ${errnoName(-error)}`, 'is the first RAM region at least 64K long?');
      }
    }
    const code = this.#abi === 'memctl' ? (MEMCTL[func] ?? func) : func;
    const answer = this.#driver.vmmCall(code, gpaOf(o.gpa), parseInteger(o.len, 'len'), BigInt(o.arg ?? 0), o.cpu ?? 0);
    if (typeof answer === 'number') {
      throw new SlatboxError('SLB-029', `the request was not sent: ${errnoName(-answer)}`, 'the per-CPU buffer or the vCPU is not there');
    }
    return answer;
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
