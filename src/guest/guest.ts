// The guest: vCPU accesses at guest-physical addresses, small loops of guest code, the driver.
import {
  Access as AccessKind,
  RUN_EXIT,
  RUN_EXIT_SIZE,
  RUN_EXITS,
  RUN_FAULT_GPA,
  RUN_FAULT_WRITE,
  RUN_STATUS,
  RUN_VALUE,
  Status,
} from '../../assembly/abi/status.ts';
import type { Gpa } from '../address.ts';
import { gpa as gpaOf } from '../address.ts';
import type { Ptr } from '../core/exports.ts';
import { SlatboxError } from '../errors.ts';
import { parseSize } from '../size.ts';
import type { Access, AddressLike, Exit, Size } from '../types.ts';
import type { Vm } from '../vm.ts';
import { Driver } from './driver.ts';
import { Requests } from './requests.ts';
import { VmPort } from './vm-port.ts';

export type AccessSize = 1 | 2 | 4 | 8;
export interface OnCpu {
  /** The vCPU that acts. Default 0. */
  readonly cpu?: number;
}
export interface Range extends OnCpu {
  readonly gpa: AddressLike;
  readonly len: Size;
}
/** A loop ended: `pages` were done, and `exit` says why no more. */
export interface LoopEnd {
  readonly pages: number;
  readonly exit?: Exit;
}

const NO_EXITS: readonly Exit[] = [];

export class Guest {
  readonly driver: Driver;
  readonly pvmemcontrol: Requests;
  readonly #vm: Vm;
  readonly #runs: Ptr[];

  constructor(vm: Vm) {
    this.#vm = vm;
    this.#runs = Array.from({ length: vm.cpus }, (_, cpu) => vm.host.core.x.runOf(vm.ptr, cpu) >>> 0);
    this.driver = new Driver(new VmPort(vm, this), { abi: vm.abi });
    this.pvmemcontrol = new Requests(this.driver, vm.cpus);
  }

  /** The run record of a vCPU. SlatboxError SLB-023. */
  run(cpu = 0): Ptr {
    const run = this.#runs[cpu];
    if (run === undefined)
      throw new SlatboxError('SLB-023', `there is no vCPU ${cpu}`, `this VM has ${this.#vm.cpus}, from 0 on`);
    return run;
  }

  /** One load. An access over a page border is one access with up to two exits. */
  load(gpa: AddressLike, size: AccessSize, on: OnCpu = {}): Access {
    const run = this.run(on.cpu);
    return this.#ended(
      run,
      this.#vm.host.core.x.vcpuLoad(run, gpaOf(gpa), checked(size), AccessKind.Read),
      size,
    );
  }

  store(gpa: AddressLike, size: AccessSize, value: bigint | number, on: OnCpu = {}): Access {
    const run = this.run(on.cpu);
    const bits = BigInt.asUintN(64, BigInt(value));
    return this.#ended(run, this.#vm.host.core.x.vcpuStore(run, gpaOf(gpa), checked(size), bits), 0);
  }

  /** An instruction fetch, of one byte. */
  fetch(gpa: AddressLike, on: OnCpu = {}): Access {
    const run = this.run(on.cpu);
    return this.#ended(run, this.#vm.host.core.x.vcpuLoad(run, gpaOf(gpa), 1, AccessKind.Fetch), 1);
  }

  /** Loads of 8, 4, 2 and 1 bytes; the exit at which it stopped instead of bytes. */
  read(gpa: AddressLike, len: Size, on: OnCpu = {}): Uint8Array | Exit {
    const out = new Uint8Array(parseSize(len, 'len'));
    const { core } = this.#vm.host;
    const run = this.run(on.cpu);
    let at = gpaOf(gpa);
    for (let done = 0; done < out.length; ) {
      const size = piece(out.length - done, at);
      const status = core.x.vcpuLoad(run, at, size, AccessKind.Read);
      if (status !== Status.Ok) return this.#exit(run, status);
      out.set(core.u8.subarray(run + RUN_VALUE, run + RUN_VALUE + size), done);
      done += size;
      at = BigInt.asUintN(64, at + BigInt(size)) as Gpa;
    }
    return out;
  }

  /** Stores of 8, 4, 2 and 1 bytes; the exit at which it stopped, if it did. */
  write(gpa: AddressLike, bytes: Uint8Array, on: OnCpu = {}): Exit | undefined {
    const { core } = this.#vm.host;
    const run = this.run(on.cpu);
    let at = gpaOf(gpa);
    for (let done = 0; done < bytes.length; ) {
      const size = piece(bytes.length - done, at);
      let value = 0n;
      for (let i = size - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[done + i] as number);
      const status = core.x.vcpuStore(run, at, size, value);
      if (status !== Status.Ok) return this.#exit(run, status);
      done += size;
      at = BigInt.asUintN(64, at + BigInt(size)) as Gpa;
    }
    return undefined;
  }

  /** One byte of each page of the range: loaded, or stored with `write` (value `byte`, default 1). */
  touch(o: Range & { readonly write?: boolean; readonly byte?: number }): LoopEnd {
    const run = this.run(o.cpu);
    const len = parseSize(o.len, 'len');
    const { core } = this.#vm.host;
    const pages = core.x.vcpuTouch(run, gpaOf(o.gpa), BigInt(len), o.write ? 1 : 0, o.byte ?? 1);
    return this.#loopEnd(run, Number(pages));
  }

  /** Stores `byte` to every byte of the range. `pages`: whole or partial pages done. */
  fill(o: Range & { readonly byte: number }): LoopEnd {
    const run = this.run(o.cpu);
    const len = parseSize(o.len, 'len');
    const done = this.#vm.host.core.x.vcpuFill(run, gpaOf(o.gpa), BigInt(len), o.byte);
    return this.#loopEnd(run, Math.ceil(Number(done) / 4096));
  }

  /** Loads every byte of the range. `differs`: the first that is not `byte`. */
  verify(o: Range & { readonly byte: number }): { readonly differs: Gpa | undefined; readonly exit?: Exit } {
    const run = this.run(o.cpu);
    const len = parseSize(o.len, 'len');
    const { core } = this.#vm.host;
    const done = Number(core.x.vcpuVerify(run, gpaOf(o.gpa), BigInt(len), o.byte));
    const status: Status = core.readU32(run + RUN_STATUS);
    if (status !== Status.Ok) return { differs: undefined, exit: this.#exit(run, status) };
    return { differs: done === len ? undefined : ((gpaOf(o.gpa) + BigInt(done)) as Gpa) };
  }

  #loopEnd(run: Ptr, pages: number): LoopEnd {
    const status: Status = this.#vm.host.core.readU32(run + RUN_STATUS);
    return status === Status.Ok ? { pages } : { pages, exit: this.#exit(run, status) };
  }

  #ended(run: Ptr, status: Status, size: number): Access {
    if (status !== Status.Ok) return { ok: false, exit: this.#exit(run, status) };
    const { core } = this.#vm.host;
    const value = size === 0 ? 0n : BigInt.asUintN(size * 8, core.readU64(run + RUN_VALUE));
    const count = core.readU32(run + RUN_EXITS);
    return { ok: true, value, exits: count === 0 ? NO_EXITS : this.#mmioExits(run, count) };
  }

  #mmioExits(run: Ptr, count: number): Exit[] {
    const { core } = this.#vm.host;
    return Array.from({ length: count }, (_, i) => {
      const at = run + RUN_EXIT + i * RUN_EXIT_SIZE;
      const len = core.readU32(at + 16);
      return {
        reason: 'MMIO',
        gpa: core.readU64(at) as Gpa,
        len,
        isWrite: core.readU32(at + 20) !== 0,
        data: core.u8.slice(at + 8, at + 8 + len),
      };
    });
  }

  #exit(run: Ptr, status: Status): Exit {
    const { core } = this.#vm.host;
    const gpa = core.readU64(run + RUN_FAULT_GPA) as Gpa;
    const isWrite = core.readU32(run + RUN_FAULT_WRITE) !== 0;
    switch (status) {
      case Status.InternalError:
        return { reason: 'INTERNAL_ERROR', gpa };
      case Status.OutOfMemory:
        return { reason: 'OUT_OF_MEMORY', gpa, isWrite };
      // Only loops end at MMIO: they are guest code over RAM and do nothing there.
      case Status.Mmio:
        return { reason: 'MMIO', gpa, len: 0, isWrite, data: new Uint8Array(0) };
      default:
        return { reason: 'EFAULT', gpa, isWrite };
    }
  }
}

function checked(size: number): number {
  if (size === 1 || size === 2 || size === 4 || size === 8) return size;
  throw new SlatboxError(
    'SLB-022',
    `an access of ${size} bytes`,
    'a vCPU loads and stores 1, 2, 4 or 8 bytes',
  );
}

/** The largest access that still fits and is aligned. */
function piece(left: number, at: bigint): AccessSize {
  const low = Number(at & 7n);
  if (left >= 8 && low === 0) return 8;
  if (left >= 4 && low % 4 === 0) return 4;
  return left >= 2 && low % 2 === 0 ? 2 : 1;
}
