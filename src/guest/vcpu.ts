// One vCPU: loads and stores at guest-physical addresses, small loops of guest code, and the request of its driver in
// one crossing. It knows an instance of the engine and a run record, nothing else of the machine: so it works on the
// main thread and on a thread of the vCPU's own.
import {
  Access as AccessKind,
  RUN_BUFFER,
  RUN_EXIT,
  RUN_EXIT_SIZE,
  RUN_EXITS,
  RUN_FAULT_FLAGS,
  RUN_FAULT_GPA,
  RUN_FAULT_WRITE,
  RUN_STATUS,
  RUN_VALUE,
  Status,
} from '../../assembly/abi/status.ts';
import type { Gpa } from '../address.ts';
import { gpa as gpaOf } from '../address.ts';
import type { Core } from '../core/core.ts';
import type { Ptr } from '../core/exports.ts';
import { SlatboxError } from '../errors.ts';
import { exitReason } from '../exit.ts';
import { parseSize } from '../size.ts';
import type { Access, AddressLike, Exit, LoopEnd, MemoryKind, Size, Verified } from '../types.ts';

export type AccessSize = 1 | 2 | 4 | 8;
export interface Span {
  readonly gpa: AddressLike;
  readonly len: Size;
}

const NO_EXITS: readonly Exit[] = [];

export class Vcpu {
  /** The vCPU's run record in linear memory. */
  readonly run: Ptr;
  readonly #core: Core;

  constructor(core: Core, run: Ptr) {
    this.#core = core;
    this.run = run;
  }

  /** One load. An access over a page border is one access with up to two exits. `as`: the kind of memory that the guest means. */
  load(gpa: AddressLike, size: AccessSize, as?: MemoryKind): Access {
    const at = gpaOf(gpa);
    if (as) {
      const status = this.#kind(at, size, as, AccessKind.Read);
      if (status !== Status.Ok) return { ok: false, exit: this.#exit(status) };
    }
    return this.#ended(this.#core.x.vcpuLoad(this.run, at, checkedSize(size), AccessKind.Read), size, at);
  }

  store(gpa: AddressLike, size: AccessSize, value: bigint | number, as?: MemoryKind): Access {
    const bits = BigInt.asUintN(64, BigInt(value));
    const at = gpaOf(gpa);
    if (as) {
      const status = this.#kind(at, size, as, AccessKind.Write);
      if (status !== Status.Ok) return { ok: false, exit: this.#exit(status) };
    }
    return this.#ended(this.#core.x.vcpuStore(this.run, at, checkedSize(size), bits), 0, at);
  }

  /**
   * A locked addition (`lock xadd`) of `value` to the `size` bytes at gpa, all in one page: SlatboxError SLB-022 else, a
   * split lock. `value` of the answer is what was there.
   */
  fetchAdd(gpa: AddressLike, size: AccessSize, value: bigint | number): Access {
    const at = gpaOf(gpa);
    if ((at & 4095n) + BigInt(checkedSize(size)) > 4096n) {
      throw new SlatboxError('SLB-022', 'a locked access over a page border', 'an access in one page');
    }
    const by = BigInt.asUintN(64, BigInt(value));
    const access = this.#ended(this.#core.x.vcpuAdd(this.run, at, size, by), size, at);
    return access.ok && access.exits.length !== 0 ? this.#added(access, size, by) : access;
  }

  /** The addition was emulated: what was read comes from the VMM, so the sum that is written is made here. */
  #added(access: Extract<Access, { ok: true }>, size: AccessSize, by: bigint): Access {
    const exits = access.exits.map((exit) => {
      if (exit.reason !== 'MMIO' || !exit.isWrite) return exit;
      const sum = access.value + by;
      return {
        ...exit,
        data: Uint8Array.from({ length: size }, (_, i) => Number((sum >> BigInt(8 * i)) & 255n)),
      };
    });
    return { ...access, exits };
  }

  /** What the VMM answers for reads that leave the guest and no device claims; ones, where it says nothing. */
  onMmioRead: ((gpa: Gpa, len: number) => Uint8Array) | undefined;

  /** An instruction fetch, of one byte. */
  fetch(gpa: AddressLike): Access {
    const at = gpaOf(gpa);
    return this.#ended(this.#core.x.vcpuLoad(this.run, at, 1, AccessKind.Fetch), 1, at);
  }

  /** Loads of 8, 4, 2 and 1 bytes; the exit at which it stopped instead of bytes. */
  read(gpa: AddressLike, len: Size): Uint8Array | Exit {
    const out = new Uint8Array(parseSize(len, 'len'));
    let at = gpaOf(gpa);
    for (let done = 0; done < out.length; ) {
      const size = piece(out.length - done, at);
      const status = this.#core.x.vcpuLoad(this.run, at, size, AccessKind.Read);
      if (status !== Status.Ok) return this.#exit(status);
      out.set(this.#core.u8.subarray(this.run + RUN_VALUE, this.run + RUN_VALUE + size), done);
      done += size;
      at = BigInt.asUintN(64, at + BigInt(size)) as Gpa;
    }
    return out;
  }

  /** Stores of 8, 4, 2 and 1 bytes; the exit at which it stopped, if it did. */
  write(gpa: AddressLike, bytes: Uint8Array): Exit | undefined {
    let at = gpaOf(gpa);
    for (let done = 0; done < bytes.length; ) {
      const size = piece(bytes.length - done, at);
      let value = 0n;
      for (let i = size - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[done + i] as number);
      const status = this.#core.x.vcpuStore(this.run, at, size, value);
      if (status !== Status.Ok) return this.#exit(status);
      done += size;
      at = BigInt.asUintN(64, at + BigInt(size)) as Gpa;
    }
    return undefined;
  }

  /** One byte of each page of the range: loaded, or stored with `write` (value `byte`, default 1). */
  touch(o: Span & { readonly write?: boolean; readonly byte?: number }): LoopEnd {
    const len = parseSize(o.len, 'len');
    const pages = this.#core.x.vcpuTouch(this.run, gpaOf(o.gpa), BigInt(len), o.write ? 1 : 0, o.byte ?? 1);
    return this.#loopEnd(Number(pages));
  }

  /** Stores `byte` to every byte of the range. `pages`: whole or partial pages done. */
  fill(o: Span & { readonly byte: number }): LoopEnd {
    const len = parseSize(o.len, 'len');
    const done = this.#core.x.vcpuFill(this.run, gpaOf(o.gpa), BigInt(len), o.byte);
    return this.#loopEnd(Math.ceil(Number(done) / 4096));
  }

  /** Loads every byte of the range. `differs`: the first that is not `byte`. */
  verify(o: Span & { readonly byte: number }): Verified {
    const len = parseSize(o.len, 'len');
    const done = Number(this.#core.x.vcpuVerify(this.run, gpaOf(o.gpa), BigInt(len), o.byte));
    const status: Status = this.#core.readU32(this.run + RUN_STATUS);
    if (status !== Status.Ok) return { differs: undefined, exit: this.#exit(status) };
    return { differs: done === len ? undefined : ((gpaOf(o.gpa) + BigInt(done)) as Gpa) };
  }

  /** A driver's send: `buf` into its buffer at gpa, `command` to the register, the buffer back into `buf`. */
  request(gpa: bigint, register: bigint, command: number, buf: Uint8Array): boolean {
    const { u8, x } = this.#core;
    u8.set(buf, this.run + RUN_BUFFER);
    if (x.vcpuRequest(this.run, gpa, register, command) !== Status.Ok) return false;
    buf.set(u8.subarray(this.run + RUN_BUFFER, this.run + RUN_BUFFER + buf.length));
    return true;
  }

  #kind(at: Gpa, size: AccessSize, as: MemoryKind, access: AccessKind): Status {
    return this.#core.x.vcpuKind(this.run, at, checkedSize(size), as === 'private' ? 1 : 0, access);
  }

  #loopEnd(pages: number): LoopEnd {
    const status: Status = this.#core.readU32(this.run + RUN_STATUS);
    return status === Status.Ok ? { pages } : { pages, exit: this.#exit(status) };
  }

  #ended(status: Status, size: number, gpa: bigint): Access {
    if (status !== Status.Ok) return { ok: false, exit: this.#exit(status) };
    const value = size === 0 ? 0n : BigInt.asUintN(size * 8, this.#core.readU64(this.run + RUN_VALUE));
    const count = this.#core.readU32(this.run + RUN_EXITS);
    if (count === 0) return { ok: true, value, exits: NO_EXITS };
    const exits = this.#mmioExits(count);
    return { ok: true, value: this.onMmioRead ? this.#answered(value, gpa, exits) : value, exits };
  }

  /** `value` with the bytes that the VMM answers in the place of those that exits read, of an access at gpa. */
  #answered(value: bigint, gpa: bigint, exits: readonly Exit[]): bigint {
    for (const exit of exits) {
      if (exit.reason !== 'MMIO' || exit.isWrite) continue;
      exit.data.set(
        (this.onMmioRead as (gpa: Gpa, len: number) => Uint8Array)(exit.gpa, exit.len).subarray(0, exit.len),
      );
      exit.data.forEach((byte, i) => {
        const shift = (exit.gpa - gpa + BigInt(i)) * 8n;
        value = (value & ~(255n << shift)) | (BigInt(byte) << shift);
      });
    }
    return value;
  }

  #mmioExits(count: number): Exit[] {
    return Array.from({ length: count }, (_, i) => {
      const at = this.run + RUN_EXIT + i * RUN_EXIT_SIZE;
      const len = this.#core.readU32(at + 16);
      return {
        reason: 'MMIO',
        gpa: this.#core.readU64(at) as Gpa,
        len,
        isWrite: this.#core.readU32(at + 20) !== 0,
        data: this.#core.u8.slice(at + 8, at + 8 + len),
      };
    });
  }

  #exit(status: Status): Exit {
    const gpa = this.#core.readU64(this.run + RUN_FAULT_GPA) as Gpa;
    const isWrite = this.#core.readU32(this.run + RUN_FAULT_WRITE) !== 0;
    const reason = exitReason(status);
    switch (reason) {
      case 'INTERNAL_ERROR':
        return { reason, gpa };
      // Only loops end at MMIO: they are guest code over RAM and do nothing there.
      case 'MMIO':
        return { reason, gpa, len: 0, isWrite, data: new Uint8Array(0) };
      case 'MEMORY_FAULT': {
        const flags = BigInt(this.#core.readU32(this.run + RUN_FAULT_FLAGS));
        return { reason, gpa, flags, size: 4096, isWrite };
      }
      default:
        return { reason, gpa, isWrite };
    }
  }
}

/** SlatboxError SLB-022. */
export function checkedSize(size: number): AccessSize {
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
