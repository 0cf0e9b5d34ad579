// The VMM's VMAs: sorted by address, no overlaps, in blocks of 126 behind an index of blocks, so that
// a look-up is two binary searches and an insert moves at most one block (4 KiB).
//
// ╒═ VMA, 32 bytes ═══════════════════════════════════════════════════════════════════╕
// │ 0 start vpn u64 │ 8 end vpn u64 │ 16 flags u32 │ 20 anon_vma u32 │ 24 name u64     │
// ╘═══════════════════════════════════════════════════════════════════════════════════╛
// Block (one arena page): 0 count u32, then VMAs from offset 32. A cursor is block << 8 | position; it
// holds until the next insert or delete. NONE: no such VMA.
import { VM_VMA_BLOCKS, VM_VMA_COUNT, VM_VMA_HINT, VM_VMA_HIT_PAGES, VM_VMA_INDEX } from '../base/layout';
import { local, threaded } from '../base/thread';
import { arenaGetContiguous, arenaPut } from '../frames/arena';
import { metadataGet } from './room';

export const VMA_START: usize = 0;
export const VMA_END: usize = 8;
export const VMA_FLAGS: usize = 16;
export const VMA_ANON: usize = 20;
export const VMA_NAME: usize = 24;
export const VMA_SIZE: usize = 32;

const BLOCK_HEADER: usize = 32;
const BLOCK_CAPACITY: u32 = 126;
/** Blocks of 31 on average at least (neighbours of 63 together or less are joined): enough for 65 536 × 1.9. */
const INDEX_PAGES: u32 = 4;
const INDEX_CAPACITY: u32 = INDEX_PAGES << 10;

/** While vCPU threads run so many VMAs get a block each. */
const SPREAD: u32 = 64;

export const NONE: u32 = 0xffffffff;

// @ts-ignore: decorator
@inline
function blockAt(vm: usize, b: u32): usize {
  return load<u32>(<usize>load<u32>(vm, VM_VMA_INDEX) + (<usize>b << 2));
}

// @ts-ignore: decorator
@inline
export function vmaAt(vm: usize, cursor: u32): usize {
  return blockAt(vm, cursor >> 8) + BLOCK_HEADER + (<usize>(cursor & 255) << 5);
}

/** An empty list. False when the arena is empty. */
export function vmaInit(vm: usize): bool {
  const index = arenaGetContiguous(INDEX_PAGES);
  if (index == 0) return false;
  store<u32>(vm, <u32>index, VM_VMA_INDEX);
  store<u32>(vm, 0, VM_VMA_BLOCKS);
  store<u32>(vm, 0, VM_VMA_COUNT);
  return true;
}

/** Position of the last VMA of a block. Bounded, for who looks while another thread changes it (copyFrom). */
// @ts-ignore: decorator
@inline
function lastOf(block: usize): u32 {
  return min<u32>(load<u32>(block) - 1, BLOCK_CAPACITY - 1);
}

/** Whether the first VMA that ends behind vpn is in block b, told from block b alone; false is no answer. */
// @ts-ignore: decorator
@inline
function isIn(vm: usize, b: u32, vpn: u64): bool {
  if (b >= load<u32>(vm, VM_VMA_BLOCKS)) return false;
  const first = blockAt(vm, b) + BLOCK_HEADER;
  const last = first + (<usize>lastOf(first - BLOCK_HEADER) << 5);
  return load<u64>(first, VMA_START) <= vpn && vpn < load<u64>(last, VMA_END);
}

/**
 * The block with the first VMA that ends behind vpn, or the number of blocks. The one of the last look-up is tried
 * first, with its neighbours: so a vCPU thread does not read blocks that another one is changing.
 */
function blockOf(vm: usize, vpn: u64): u32 {
  const l = local(vm);
  const hint = load<u32>(l, VM_VMA_HINT);
  if (isIn(vm, hint, vpn)) return hint;
  let lo: u32 = 0;
  let hi = load<u32>(vm, VM_VMA_BLOCKS);
  if (isIn(vm, hint + 1, vpn)) lo = hi = hint + 1;
  else if (hint != 0 && isIn(vm, hint - 1, vpn)) lo = hi = hint - 1;
  while (lo < hi) {
    const mid = (lo + hi) >> 1;
    const block = blockAt(vm, mid);
    if (load<u64>(block + BLOCK_HEADER + (<usize>lastOf(block) << 5), VMA_END) > vpn) hi = mid;
    else lo = mid + 1;
  }
  store<u32>(l, lo, VM_VMA_HINT);
  return lo;
}

/** find_vma: the first VMA that ends behind vpn (it may start behind it as well). */
export function vmaFind(vm: usize, vpn: u64): u32 {
  const lo = blockOf(vm, vpn);
  if (lo >= load<u32>(vm, VM_VMA_BLOCKS)) return NONE;
  const block = blockAt(vm, lo);
  let a: u32 = 0;
  let z = lastOf(block);
  while (a < z) {
    const mid = (a + z) >> 1;
    if (load<u64>(block + BLOCK_HEADER + (<usize>mid << 5), VMA_END) > vpn) z = mid;
    else a = mid + 1;
  }
  return (lo << 8) | a;
}

/** A VMA's ends or place are about to change: whoever writes them says so first. */
// @ts-ignore: decorator
@inline
export function vmaForget(vm: usize): void {
  store<u64>(vm, 0, VM_VMA_HIT_PAGES);
}

export function vmaNext(vm: usize, cursor: u32): u32 {
  const b = cursor >> 8;
  if ((cursor & 255) + 1 < load<u32>(blockAt(vm, b))) return cursor + 1;
  return b + 1 < load<u32>(vm, VM_VMA_BLOCKS) ? (b + 1) << 8 : NONE;
}

export function vmaPrev(vm: usize, cursor: u32): u32 {
  if ((cursor & 255) != 0) return cursor - 1;
  const b = cursor >> 8;
  return b == 0 ? NONE : ((b - 1) << 8) | (load<u32>(blockAt(vm, b - 1)) - 1);
}

/** n VMAs from one place to another, which may overlap. A loop: a call to the engine's copying routine costs more than a few of them. */
function move(to: usize, from: usize, n: u32): void {
  const bytes = <usize>n << 5;
  if (to < from) {
    for (let i: usize = 0; i < bytes; i += 16) v128.store(to + i, v128.load(from + i));
  } else {
    for (let i = bytes; i > 0; ) {
      i -= 16;
      v128.store(to + i, v128.load(from + i));
    }
  }
}

/** Make room for a block at place b of the index. False when the index or the arena is full. */
function insertBlock(vm: usize, b: u32): bool {
  const blocks = load<u32>(vm, VM_VMA_BLOCKS);
  if (blocks == INDEX_CAPACITY) return false;
  const block = metadataGet();
  if (block == 0) return false;
  const at = <usize>load<u32>(vm, VM_VMA_INDEX) + (<usize>b << 2);
  memory.copy(at + 4, at, (blocks - b) << 2);
  store<u32>(at, <u32>block);
  store<u32>(vm, blocks + 1, VM_VMA_BLOCKS);
  return true;
}

function removeBlock(vm: usize, b: u32): void {
  const blocks = load<u32>(vm, VM_VMA_BLOCKS);
  arenaPut(blockAt(vm, b));
  const at = <usize>load<u32>(vm, VM_VMA_INDEX) + (<usize>b << 2);
  memory.copy(at, at + 4, (blocks - b - 1) << 2);
  store<u32>(vm, blocks - 1, VM_VMA_BLOCKS);
}

/** Insert a VMA where its start belongs. False, nothing changed, when there is no memory for it. */
export function vmaInsert(vm: usize, start: u64, end: u64, flags: u32, anon: u32, name: u64): bool {
  vmaForget(vm);
  let cursor = vmaFind(vm, start);
  let b: u32;
  let i: u32;
  if (cursor == NONE) {
    const blocks = load<u32>(vm, VM_VMA_BLOCKS);
    if (blocks == 0) {
      if (!insertBlock(vm, 0)) return false;
      b = 0;
    } else b = blocks - 1;
    i = load<u32>(blockAt(vm, b));
  } else {
    b = cursor >> 8;
    i = cursor & 255;
  }
  let block = blockAt(vm, b);
  let n = load<u32>(block);
  if (n == BLOCK_CAPACITY) {
    if (!insertBlock(vm, b + 1)) return false;
    const half = n >> 1;
    const other = blockAt(vm, b + 1);
    move(other + BLOCK_HEADER, block + BLOCK_HEADER + (<usize>half << 5), n - half);
    store<u32>(other, n - half);
    store<u32>(block, half);
    n = half;
    if (i > half) {
      block = other;
      i -= half;
      n = load<u32>(other);
    }
  }
  const p = block + BLOCK_HEADER + (<usize>i << 5);
  move(p + VMA_SIZE, p, n - i);
  store<u64>(p, start, VMA_START);
  store<u64>(p, end, VMA_END);
  store<u32>(p, flags, VMA_FLAGS);
  store<u32>(p, anon, VMA_ANON);
  store<u64>(p, name, VMA_NAME);
  store<u32>(block, n + 1);
  store<u32>(vm, load<u32>(vm, VM_VMA_COUNT) + 1, VM_VMA_COUNT);
  return true;
}

export function vmaDelete(vm: usize, cursor: u32): void {
  vmaForget(vm);
  const b = cursor >> 8;
  const block = blockAt(vm, b);
  const n = load<u32>(block) - 1;
  const p = vmaAt(vm, cursor);
  move(p, p + VMA_SIZE, n - (cursor & 255));
  store<u32>(block, n);
  store<u32>(vm, load<u32>(vm, VM_VMA_COUNT) - 1, VM_VMA_COUNT);
  if (n == 0) removeBlock(vm, b);
  else if (threaded() && load<u32>(vm, VM_VMA_BLOCKS) <= 2 * SPREAD) return; // they were made on purpose: vmaSpread
  else if (b + 1 < load<u32>(vm, VM_VMA_BLOCKS)) joinBlocks(vm, b);
  else if (b != 0) joinBlocks(vm, b - 1);
}

/** Blocks b and b+1 become one when both fit in half a block: the index stays short whatever the guest splits. */
function joinBlocks(vm: usize, b: u32): void {
  const block = blockAt(vm, b);
  const other = blockAt(vm, b + 1);
  const n = load<u32>(block);
  const m = load<u32>(other);
  if (n + m > BLOCK_CAPACITY / 2) return;
  move(block + BLOCK_HEADER + (<usize>n << 5), other + BLOCK_HEADER, m);
  store<u32>(block, n + m);
  removeBlock(vm, b + 1);
}

/**
 * vCPU threads are about to run: a block for each VMA, if they are few. Then threads that split and join VMAs of their
 * own do not write the same cache lines, but for the list's lock. Few blocks are not joined until vmaGather.
 */
export function vmaSpread(vm: usize): void {
  if (load<u32>(vm, VM_VMA_COUNT) > SPREAD) return;
  for (let b: u32 = 0; b < load<u32>(vm, VM_VMA_BLOCKS); b++) {
    const block = blockAt(vm, b);
    const n = load<u32>(block);
    if (n == 1) continue;
    if (!insertBlock(vm, b + 1)) return;
    const other = blockAt(vm, b + 1);
    move(other + BLOCK_HEADER, block + BLOCK_HEADER + VMA_SIZE, n - 1);
    store<u32>(other, n - 1);
    store<u32>(block, 1);
  }
}

/** The list as one thread of control keeps it: blocks that fit together are one. */
export function vmaGather(vm: usize): void {
  for (let b: u32 = 0; b + 1 < load<u32>(vm, VM_VMA_BLOCKS); ) {
    const blocks = load<u32>(vm, VM_VMA_BLOCKS);
    joinBlocks(vm, b);
    if (load<u32>(vm, VM_VMA_BLOCKS) == blocks) b++;
  }
}
