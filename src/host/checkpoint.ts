// Checkpoints of a whole host. Metadata is copied as it is; of frames and swap slots only those in use are
// kept, and a page that is one 64-bit word over and over is kept as that word. The event ring is left out: its
// records are found by their number, and a replay writes the same ones again.
import { RUN_SIZE } from '../../assembly/abi/status.ts';
import type { Core } from '../core/core.ts';
import {
  HOST,
  HOST_ARENA,
  HOST_FRAMES,
  HOST_GIGANTIC_USED,
  HOST_NODE_LABELS,
  HOST_SHARED,
  HOST_SWAP,
  HOST_TABLES,
  POOL_BASE,
  POOL_BUMP,
  POOL_GROUPS,
  POOL_HIGH,
  POOL_STACK,
  POOL_STACKED,
  SCRATCH,
  TABLE_SIZE,
} from '../core/layout.ts';
import { SlatboxError } from '../errors.ts';
import type { VmState } from '../vm.ts';
import type { Host } from './host.ts';

interface Pages {
  readonly numbers: Uint32Array;
  /** For pages of one word: the word, as two halves. */
  readonly words: Uint32Array;
  /** Others: index into `bodies` + 1, else 0. */
  readonly bodyOf: Uint32Array;
  readonly bodies: readonly Uint8Array[];
}

export interface Checkpoint {
  /** Serial of the host it was taken from. */
  readonly host: number;
  readonly header: Uint8Array;
  readonly stacks: readonly { readonly at: number; readonly bytes: Uint8Array }[];
  readonly metadata: readonly { readonly at: number; readonly bytes: Uint8Array }[];
  readonly pages: Pages;
  readonly vms: readonly VmState[];
  /** Bytes that keeping it costs, roughly. */
  readonly bytes: number;
}

/** Of a record of a shared frame, assembly/frames/shared.ts. */
const SHARED_SIZE = 8;
/** Frames of a hugetlb page of 1 GiB. */
const GIGANTIC = 2 ** 18;
const POOLS = [HOST_FRAMES, HOST_ARENA, HOST_SWAP];

export function takeCheckpoint(host: Host): Checkpoint {
  const { core } = host;
  const copy = (at: number, length: number) => ({ at, bytes: core.u8.slice(at, at + length) });
  const header = core.u8.slice(HOST, SCRATCH);
  const stacks = POOLS.flatMap((pool) => {
    const stack = core.readU32(pool + POOL_STACK);
    return [
      copy(stack, core.readU32(pool + POOL_STACKED) * 4),
      copy(stack + core.x.poolTotal(pool) * 4, core.readU32(pool + POOL_GROUPS) * 4),
    ];
  });
  const bumped = core.readU32(HOST_ARENA + POOL_BUMP);
  const metadata = [
    ...host.vms.map((vm) => copy(core.x.runOf(vm.ptr, 0) >>> 0, vm.cpus * RUN_SIZE)),
    copy(core.readU32(HOST_TABLES), bumped * TABLE_SIZE),
    copy(core.readU32(HOST_SHARED), core.readU32(HOST_FRAMES + POOL_BUMP) * SHARED_SIZE),
    ...labels(core),
    copy(core.readU32(HOST_ARENA + POOL_BASE) * 4096, bumped * 4096),
  ];
  const pages = takePages(host);
  const sizes = [...stacks, ...metadata].reduce((sum, part) => sum + part.bytes.length, header.length);
  const bytes = sizes + pages.numbers.length * 16 + pages.bodies.length * 4096;
  return { host: host.serial, header, stacks, metadata, pages, vms: host.vms.map((vm) => vm.save()), bytes };
}

/** Which node each frame is of: of all frames, since one that is handed out later has none yet. */
function labels(core: Core): { readonly at: number; readonly bytes: Uint8Array }[] {
  const at = core.readU32(HOST_NODE_LABELS);
  if (at === 0) return [];
  return [{ at, bytes: core.u8.slice(at, at + (core.x.poolTotal(HOST_FRAMES) >>> 0)) }];
}

function takePages(host: Host): Pages {
  const { core } = host;
  const used = core.x.poolTotal(HOST_FRAMES) - core.x.poolFree(HOST_FRAMES);
  const swapped = core.x.poolTotal(HOST_SWAP) - core.x.poolFree(HOST_SWAP);
  const { total, free } = host.hugepages1g();
  const numbers = new Uint32Array(used + swapped + (total - free) * GIGANTIC);
  const taken = new Uint8Array(core.memory.buffer.byteLength / 4096 / 8);
  const words = new Uint32Array(numbers.length * 2);
  const bodyOf = new Uint32Array(numbers.length);
  const bodies: Uint8Array[] = [];
  let i = 0;
  core.x.checkpointFrames();
  for (let n = core.x.checkpointNext(); n !== 0; n = core.x.checkpointNext()) {
    for (let k = 0, at = SCRATCH >>> 2; k < n; k++, at += 4) {
      const page = core.u32[at] as number;
      const bit = 1 << (page & 7);
      if ((taken[page >>> 3] as number) & bit) continue; // a page of KSM, which several map
      taken[page >>> 3] = (taken[page >>> 3] as number) | bit;
      numbers[i] = page;
      if (core.u32[at + 1]) {
        words[i * 2] = core.u32[at + 2] as number;
        words[i * 2 + 1] = core.u32[at + 3] as number;
      } else bodyOf[i] = bodies.push(core.u8.slice(page * 4096, page * 4096 + 4096));
      i++;
    }
  }
  return { numbers: numbers.subarray(0, i), words, bodyOf, bodies };
}

export function restoreCheckpoint(host: Host, checkpoint: Checkpoint): void {
  const { core } = host;
  if (checkpoint.host !== host.serial) {
    throw new SlatboxError(
      'SLB-027',
      'the checkpoint is one of another host',
      'restore it on the host it was taken from',
    );
  }
  if (checkpoint.vms.length !== host.vms.length) {
    throw new SlatboxError(
      'SLB-027',
      'the checkpoint has another number of VMs than the host',
      'take checkpoints after the last createVm',
    );
  }
  // What was ever used stays used: a frame behind the old bump pointer may hold bytes that came after.
  const high = POOLS.map((pool) => core.readU32(pool + POOL_HIGH));
  const gigantic = core.readU32(HOST_GIGANTIC_USED);
  core.u8.set(checkpoint.header, HOST);
  core.u32[HOST_GIGANTIC_USED >>> 2] = gigantic;
  POOLS.forEach((pool, i) => {
    core.u32[(pool + POOL_HIGH) >>> 2] = high[i] as number;
  });
  for (const { at, bytes } of [...checkpoint.stacks, ...checkpoint.metadata]) core.u8.set(bytes, at);
  const { numbers, words, bodyOf, bodies } = checkpoint.pages;
  for (let i = 0, next = 1; i < numbers.length; i = next++) {
    const first = numbers[i] as number;
    const body = bodyOf[i] as number;
    if (body) {
      core.u8.set(bodies[body - 1] as Uint8Array, first * 4096);
      continue;
    }
    // Pages in a row with the same word, as most of a huge page are, are filled as one.
    const [low, high] = [words[i * 2] as number, words[i * 2 + 1] as number];
    while (
      numbers[next] === first + next - i &&
      bodyOf[next] === 0 &&
      words[next * 2] === low &&
      words[next * 2 + 1] === high
    ) {
      next++;
    }
    fillWords(core.u32, first * 1024, (next - i) * 1024, low, high);
  }
  host.vms.forEach((vm, i) => {
    vm.load(checkpoint.vms[i] as VmState);
  });
}

function fillWords(u32: Uint32Array, at: number, length: number, low: number, high: number): void {
  u32[at] = low;
  u32[at + 1] = high;
  // Doubling copies: TypedArray.fill is slow on shared memory.
  for (let n = 2; n < length; n *= 2) u32.copyWithin(at + n, at, at + Math.min(n, length - n));
}
