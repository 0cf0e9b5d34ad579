// The 32 bytes that a caller, the driver and the device exchange, and the ioctl number; both generations.
// Reference: linux include/uapi/linux/pvmemcontrol.h (patch version 4) and include/uapi/linux/memctl.h.
import { BUF_SIZE, Func, MemctlFunc } from '../../assembly/abi/pvmemcontrol.ts';
import type { AbiName, Response } from '../types.ts';

//   request                           response
//   ╒═ 0 ══ func_code u64 ══╕         ╒═ 0 ═ ret_errno u32 ══ 4 ═ ret_code u32 ═╕
//   │  8    addr      u64   │         │  8   ret_value u64                      │
//   │ 16    length    u64   │         │ 16   arg0      u64                      │
//   │ 24    arg       u64   │         │ 24   arg1      u64                      │
//   ╘═══════════════════════╛         ╘═════════════════════════════════════════╛
//   memctl's INFO response: big_endian u64 at 8, major_version u32 at 16, minor_version u32 at 20,
//   page_size u64 at 24.

/** A request as the caller means it. Function codes are 64 bits wide: a hostile one must not be cut. */
export interface Request {
  readonly func: bigint;
  readonly addr: bigint;
  readonly length: bigint;
  readonly arg: bigint;
}

/** The INFO response of either generation. pvmemcontrol devices are little-endian and do not say so. */
export interface Info {
  readonly errno: number;
  readonly code: number;
  readonly pageSize: bigint;
  readonly majorVersion: bigint;
  readonly minorVersion: bigint;
  readonly bigEndian: boolean;
}

/**
 * 32 bytes with their fields. The u64 array makes a request cheap: DataView's BigInt accessors cost five
 * times as much. It reads little-endian on every platform that has a WebAssembly engine today.
 */
export class Buf {
  readonly bytes = new Uint8Array(BUF_SIZE);
  readonly #u64 = new BigUint64Array(this.bytes.buffer);
  readonly #u32 = new Uint32Array(this.bytes.buffer);

  /** Only the low 64 bits of each are kept. */
  setRequest(func: bigint, addr: bigint, length: bigint, arg: bigint): void {
    this.#u64[0] = func;
    this.#u64[1] = addr;
    this.#u64[2] = length;
    this.#u64[3] = arg;
  }

  request(): Request {
    return { func: this.funcCode, addr: this.#word(1), length: this.#word(2), arg: this.#word(3) };
  }

  response(): Response {
    return {
      errno: this.#u32[0] ?? 0,
      code: this.retCode,
      value: this.#word(1),
      arg0: this.#word(2),
      arg1: this.#word(3),
    };
  }

  info(abi: AbiName): Info {
    const { errno, code, value, arg0, arg1 } = this.response();
    if (abi === 'pvmemcontrol') {
      return { errno, code, pageSize: value, majorVersion: arg0, minorVersion: arg1, bigEndian: false };
    }
    return {
      errno,
      code,
      pageSize: arg1,
      majorVersion: arg0 & 0xffff_ffffn,
      minorVersion: arg0 >> 32n,
      bigEndian: value !== 0n,
    };
  }

  get funcCode(): bigint {
    return this.#word(0);
  }

  get retCode(): number {
    return this.#u32[1] ?? 0;
  }

  #word(index: number): bigint {
    return this.#u64[index] ?? 0n;
  }
}

/** The bytes of a request, in a new array. */
export function encodeRequest(func: bigint, addr: bigint, length: bigint, arg = 0n): Uint8Array {
  const buf = new Buf();
  buf.setRequest(func, addr, length, arg);
  return buf.bytes;
}

/** The fields of 32 response bytes; bytes that are missing count as zero. */
export function decodeResponse(bytes: Uint8Array): Response {
  const buf = new Buf();
  buf.bytes.set(bytes.subarray(0, BUF_SIZE));
  return buf.response();
}

/** `_IOWR(type, nr, size)`: direction in 31…30, size in 29…16, type in 15…8, number in 7…0. */
export const _IOWR = (type: number, nr: number, size: number): number =>
  ((3 << 30) | (size << 16) | (type << 8) | nr) >>> 0;

/** PVMEMCONTROL_IOCTL_VMM and MEMCTL_IOCTL_VMM: both generations use the same number. */
export const IOCTL_VMM = _IOWR(0xda, 0x00, BUF_SIZE);

/** memctl numbered three functions differently and has no MERGEABLE. */
const MEMCTL_CODE: Readonly<Partial<Record<Func, number | undefined>>> = {
  [Func.Unmergeable]: MemctlFunc.Unmergeable,
  [Func.Dontdump]: MemctlFunc.Dontdump,
  [Func.SetVmaAnonName]: MemctlFunc.SetVmaAnonName,
  [Func.Mergeable]: undefined,
};

/** The code a generation has for a function; undefined where it has none. */
export const funcCode = (abi: AbiName, func: Func): number | undefined =>
  abi === 'memctl' && func in MEMCTL_CODE ? MEMCTL_CODE[func] : func;

/** As the uapi headers spell them, without the prefix: `MPROTECT_NONE`. */
export const FUNC_NAMES: Readonly<Record<Func, string>> = {
  [Func.Info]: 'INFO',
  [Func.Dontneed]: 'DONTNEED',
  [Func.Remove]: 'REMOVE',
  [Func.Free]: 'FREE',
  [Func.Pageout]: 'PAGEOUT',
  [Func.Dontdump]: 'DONTDUMP',
  [Func.SetVmaAnonName]: 'SET_VMA_ANON_NAME',
  [Func.Mlock]: 'MLOCK',
  [Func.Munlock]: 'MUNLOCK',
  [Func.MprotectNone]: 'MPROTECT_NONE',
  [Func.MprotectR]: 'MPROTECT_R',
  [Func.MprotectW]: 'MPROTECT_W',
  [Func.MprotectRw]: 'MPROTECT_RW',
  [Func.Mergeable]: 'MERGEABLE',
  [Func.Unmergeable]: 'UNMERGEABLE',
};
