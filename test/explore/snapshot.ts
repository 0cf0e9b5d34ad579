// The state from which every schedule starts, saved and put back: a few hundred KiB of which nearly nothing is in use,
// so only that is copied. (Host checkpoints know no threads, and cost ten times as much.)
import { RUN_SIZE } from '../../assembly/abi/status.ts';
import {
  HOST,
  HOST_ARENA,
  HOST_FRAMES,
  HOST_SHARED,
  HOST_SWAP,
  HOST_TABLES,
  POOL_BASE,
  POOL_BUMP,
  POOL_HIGH,
  POOL_STACK,
  SCRATCH,
  TABLE_SIZE,
} from '../../src/core/layout.ts';
import type { Vm } from '../../src/machine.ts';
import { LOCKS, LOCKS_END } from './layout.ts';

interface Part {
  readonly at: number;
  readonly bytes: Uint8Array;
}
/** Bytes that are zero. */
interface Zeros {
  readonly from: number;
  readonly to: number;
}

/** Of a record of a shared frame, assembly/frames/shared.ts. */
const SHARED_SIZE = 8;
/** Copied: `fill` of shared memory takes five times as long. */
const ZEROS = new Uint8Array(2 ** 21);
const POOLS = [HOST_FRAMES, HOST_ARENA, HOST_SWAP];

export class Snapshot {
  readonly #vm: Vm;
  #parts: Part[] = [];
  #zeros: Zeros[] = [];

  constructor(vm: Vm) {
    this.#vm = vm;
  }

  take(): void {
    const { core } = this.#vm.host;
    const { x } = core;
    // From now on no page counts as fresh: what one schedule has written into a page is old bytes to the next.
    for (const pool of POOLS) core.u32[(pool + POOL_HIGH) >>> 2] = x.poolTotal(pool);
    this.#parts = [];
    this.#zeros = [];
    this.#keep(HOST, 4096);
    this.#keep(this.#vm.ptr, 4096);
    this.#keep(LOCKS, LOCKS_END - LOCKS);
    this.#keep(this.#vm.guest.run(0), this.#vm.cpus * RUN_SIZE);
    for (const pool of POOLS) {
      const pages = x.poolTotal(pool);
      this.#keep(core.readU32(pool + POOL_STACK), pages * 4 + Math.floor(pages / 512) * 8);
    }
    const arena = core.readU32(HOST_ARENA + POOL_BUMP);
    this.#keep(core.readU32(HOST_TABLES), arena * TABLE_SIZE);
    this.#keep(core.readU32(HOST_ARENA + POOL_BASE) * 4096, arena * 4096);
    this.#keep(core.readU32(HOST_SHARED), x.poolTotal(HOST_FRAMES) * SHARED_SIZE);
    // A page that KSM shares comes several times.
    const pages = new Set<number>();
    x.checkpointFrames();
    for (let n = x.checkpointNext(); n !== 0; n = x.checkpointNext()) {
      for (let i = 0; i < n; i++) pages.add(core.readU32(SCRATCH + i * 16) * 4096);
    }
    for (const at of [...pages].sort((a, b) => a - b)) this.#keepPage(at);
  }

  restore(): void {
    const { u8 } = this.#vm.host.core;
    for (const { from, to } of this.#zeros) {
      for (let at = from; at < to; at += ZEROS.length) u8.set(ZEROS.subarray(0, to - at), at);
    }
    for (const { at, bytes } of this.#parts) u8.set(bytes, at);
  }

  /** Most of a huge page is zeros, page after page: these are not copied. */
  #keepPage(at: number): void {
    const { u32 } = this.#vm.host.core;
    if (!u32.subarray(at >>> 2, (at + 4096) >>> 2).every((word) => word === 0)) {
      this.#keep(at, 4096);
      return;
    }
    const last = this.#zeros.at(-1);
    if (last?.to === at) this.#zeros[this.#zeros.length - 1] = { from: last.from, to: at + 4096 };
    else this.#zeros.push({ from: at, to: at + 4096 });
  }

  #keep(at: number, length: number): void {
    this.#parts.push({ at, bytes: this.#vm.host.core.u8.slice(at, at + length) });
  }
}
