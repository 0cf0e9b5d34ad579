// The one place that speaks linear memory. Views are stable: memory is made at its full size and never grows.

import type { CoreExports, Ptr } from './exports.ts';
import * as layout from './layout.ts';

/** 4 KiB pages of 1 GiB. */
const GIGANTIC = 2 ** 18;

export class Core {
  /** The engine's exports; between `refuse` and `allow` each use of them throws. */
  x: CoreExports;
  readonly memory: WebAssembly.Memory;
  /** What was compiled: another thread makes its own instance of it over the same memory. */
  readonly module: WebAssembly.Module;
  readonly u8: Uint8Array;
  readonly u32: Uint32Array;
  readonly u64: BigUint64Array;
  readonly #exports: CoreExports;
  #refusal: (() => Error) | undefined;

  constructor(exports: CoreExports, memory: WebAssembly.Memory, module: WebAssembly.Module) {
    this.x = exports;
    this.#exports = exports;
    this.memory = memory;
    this.module = module;
    this.u8 = new Uint8Array(memory.buffer);
    this.u32 = new Uint32Array(memory.buffer);
    this.u64 = new BigUint64Array(memory.buffer);
  }

  /** Whether other threads can have an instance over the same memory. */
  get shared(): boolean {
    return !(this.memory.buffer instanceof ArrayBuffer);
  }

  /** Bytes of linear memory for a host; the same rule as hostBytes of assembly/vm.ts, held equal by a test. */
  static bytes(frames: number, arena: number, swap: number, gigantic = 0, nodes = 1): number {
    const stacks = [frames, arena, swap].reduce((sum, n) => sum + n * 4 + Math.floor(n / 512) * 8, 0);
    const tables = Math.ceil(stacks / layout.TABLE_SIZE) + arena;
    const perFrame = nodes > 1 ? 9 : 8;
    const first = Math.ceil((layout.DYNAMIC + tables * layout.TABLE_SIZE + frames * perFrame) / 4096) + arena;
    const end = Math.ceil(first / 512) * 512 + frames + swap;
    if (gigantic === 0) return end * 4096;
    // A page more: see hostBytes.
    return ((Math.ceil(end / GIGANTIC) + gigantic) * GIGANTIC + 1) * 4096;
  }

  /**
   * From now on every use of the engine through this object throws what `error` makes: other threads are in it, or
   * have left it in the middle of something. Exchanging the exports costs ordinary calls nothing; a check would.
   */
  refuse(error: () => Error): void {
    this.#refusal = error;
    this.x = new Proxy(this.#exports, {
      get: () => {
        throw error();
      },
    });
  }

  allow(): void {
    this.#refusal = undefined;
    this.x = this.#exports;
  }

  /** For those who look at memory and call no export: throws like a call while the engine is refused. */
  assertAllowed(): void {
    if (this.#refusal) throw this.#refusal();
  }

  readU32(at: Ptr): number {
    return this.u32[at >>> 2] as number;
  }
  readU64(at: Ptr): bigint {
    return this.u64[at >>> 3] as bigint;
  }
  /** A u64 that is known to stay below 2^53. */
  readNumber(at: Ptr): number {
    return (this.u32[at >>> 2] as number) + (this.u32[(at >>> 2) + 1] as number) * 0x1_0000_0000;
  }
}
