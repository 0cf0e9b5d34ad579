// The VMM's VMAs: sorted by address, no overlaps, in lists of blocks of 126, so that a look-up is two binary searches
// and an insert moves at most one block (4 KiB).
//
// ╒═ VMA, 32 bytes ═══════════════════════════════════════════════════════════════════╕
// │ 0 start vpn u64 │ 8 end vpn u64 │ 16 flags u32 │ 20 anon_vma u32 │ 24 name u64     │
// ╞═ block, an arena page ════════════════════════════════════════════════════════════╡
// │ 0 count u32 │ 32 VMAs                                                             │
// ╞═ list, two arena pages ═══════════════════════════════════════════════════════════╡
// │ 0 sequence u32, odd while it changes │ 4 sleepers u32 │ 8 blocks u32              │
// │ 12 continues u32: the first VMA is the rest of the one before (mm/regions.ts)     │
// │ 64 addresses of blocks u32 …                                                      │
// ╘═══════════════════════════════════════════════════════════════════════════════════╛
// A VM has one list; while its vCPU threads run, one for each region of its address space. A VMA is handled by the
// address of its record, 0 for none, which holds until the next insert or delete.
import { VM_VMA_HIT_PAGES, VM_VMA_HOME, VM_VMA_LIST_COUNT, VM_VMA_LIST_SHIFT, VM_VMA_LISTS, VPN_BASE } from '../base/layout';
import { min } from '../base/math';
import { THREADS, threaded } from '../base/thread';
import { arenaGet, arenaGetContiguous, arenaPut, arenaPutContiguous } from '../frames/arena';
import { metadataGet } from './room';

export const VMA_START: usize = 0;
export const VMA_END: usize = 8;
export const VMA_FLAGS: usize = 16;
export const VMA_ANON: usize = 20;
export const VMA_NAME: usize = 24;
export const VMA_SIZE: usize = 32;

export const LIST_BLOCKS: usize = 8;
export const LIST_CONTINUES: usize = 12;
const LIST_INDEX: usize = 64;
export const LIST_PAGES: u32 = 2;
const LIST_SIZE: usize = (<usize>LIST_PAGES) << 12;
const LIST_CAPACITY: u32 = <u32>((LIST_SIZE - LIST_INDEX) >> 2);

const BLOCK_HEADER: usize = 32;
const BLOCK_CAPACITY: u32 = 126;
/** Neighbours with so many together become one: blocks of 42 on average at least, enough for 65 536 × 1.3. */
const BLOCK_JOIN: u32 = 84;

/** An empty list. False when the arena is empty. */
export function vmaInit(vm: usize): bool {
  const list = arenaGetContiguous(LIST_PAGES);
  if (list == 0) return false;
  store<u32>(vm, <u32>list, VM_VMA_HOME);
  store<u32>(vm, <u32>list, VM_VMA_LISTS);
  store<u32>(vm, 1, VM_VMA_LIST_COUNT);
  return true;
}

/** The list and its blocks are given back; the VM has none yet, or no thread of it ever ran. */
export function vmaExit(vm: usize): void {
  const list: usize = load<u32>(vm, VM_VMA_HOME);
  if (list == 0) return;
  for (let b: u32 = 0; b < load<u32>(list, LIST_BLOCKS); b++) arenaPut(blockAt(list, b));
  arenaPutContiguous(list, LIST_PAGES);
}

/** List n of those in use. */
// @ts-ignore: decorator
@inline
export function listAt(vm: usize, n: u32): usize {
  return <usize>load<u32>(vm, VM_VMA_LISTS) + <usize>n * LIST_SIZE;
}

/** The list behind the last one in use. */
// @ts-ignore: decorator
@inline
function listsEnd(vm: usize): usize {
  return listAt(vm, load<u32>(vm, VM_VMA_LIST_COUNT));
}

// @ts-ignore: decorator
@inline
export function nextList(list: usize): usize {
  return list + LIST_SIZE;
}

/** The list in which a VMA that begins at vpn is. Regions at both ends have what lies outside of all. */
// @ts-ignore: decorator
@inline
export function listOf(vm: usize, vpn: u64): usize {
  if (THREADS) {
    const lists = load<u32>(vm, VM_VMA_LIST_COUNT);
    if (lists != 1) return listAt(vm, vpn < VPN_BASE ? 0 : <u32>min((vpn - VPN_BASE) >> load<u32>(vm, VM_VMA_LIST_SHIFT), lists - 1));
  }
  return load<u32>(vm, VM_VMA_LISTS);
}

// @ts-ignore: decorator
@inline
export function blockAt(list: usize, b: u32): usize {
  return load<u32>(list + (<usize>b << 2), LIST_INDEX);
}

// @ts-ignore: decorator
@inline
export function firstIn(block: usize): usize {
  return block + BLOCK_HEADER;
}

/** The last VMA of a block. Bounded, for who looks while another thread changes it (mm/look-up.ts). */
// @ts-ignore: decorator
@inline
function lastIn(block: usize): usize {
  return block + BLOCK_HEADER + (<usize>min(load<u32>(block) - 1, BLOCK_CAPACITY - 1) << 5);
}

// @ts-ignore: decorator
@inline
function blockOf(vma: usize): usize {
  return vma & ~(<usize>4095);
}

/** Place in the index of the block with the first VMA that ends behind vpn, or the number of blocks. */
function placeOf(list: usize, vpn: u64): u32 {
  let lo: u32 = 0;
  let hi = load<u32>(list, LIST_BLOCKS);
  while (lo < hi) {
    const mid = (lo + hi) >> 1;
    if (load<u64>(lastIn(blockAt(list, mid)), VMA_END) > vpn) hi = mid;
    else lo = mid + 1;
  }
  return lo;
}

/** The first VMA of one list that ends behind vpn. */
export function findIn(list: usize, vpn: u64): usize {
  const place = placeOf(list, vpn);
  return place < load<u32>(list, LIST_BLOCKS) ? searchIn(blockAt(list, place), vpn) : 0;
}

/** The same in the block that has it. */
function searchIn(block: usize, vpn: u64): usize {
  let a = firstIn(block);
  let z = lastIn(block);
  while (a < z) {
    const mid = a + (((z - a) >> 6) << 5);
    if (load<u64>(mid, VMA_END) > vpn) z = mid;
    else a = mid + VMA_SIZE;
  }
  return a;
}

/** find_vma: the first VMA that ends behind vpn (it may start behind it as well). */
export function vmaFind(vm: usize, vpn: u64): usize {
  const list = listOf(vm, vpn);
  const vma = findIn(list, vpn);
  return vma != 0 || !THREADS ? vma : firstBehind(vm, list);
}

/** The first VMA of the lists behind `list`. */
function firstBehind(vm: usize, list: usize): usize {
  for (const end = listsEnd(vm); (list = nextList(list)) < end; ) {
    if (load<u32>(list, LIST_BLOCKS) != 0) return firstIn(blockAt(list, 0));
  }
  return 0;
}

export function vmaNext(vm: usize, vma: usize): usize {
  if (vma != lastIn(blockOf(vma))) return vma + VMA_SIZE;
  const start = load<u64>(vma, VMA_START);
  const list = listOf(vm, start);
  const place = placeOf(list, start) + 1;
  if (place < load<u32>(list, LIST_BLOCKS)) return firstIn(blockAt(list, place));
  return THREADS ? firstBehind(vm, list) : 0;
}

export function vmaPrev(vm: usize, vma: usize): usize {
  if (vma != firstIn(blockOf(vma))) return vma - VMA_SIZE;
  const start = load<u64>(vma, VMA_START);
  let list = listOf(vm, start);
  const place = placeOf(list, start);
  if (place != 0) return lastIn(blockAt(list, place - 1));
  for (const first = listAt(vm, 0); list != first; ) {
    list -= LIST_SIZE;
    const blocks = load<u32>(list, LIST_BLOCKS);
    if (blocks != 0) return lastIn(blockAt(list, blocks - 1));
  }
  return 0;
}

/** A VMA's ends or place are about to change: whoever writes them says so first. */
// @ts-ignore: decorator
@inline
export function vmaForget(vm: usize): void {
  if (!threaded()) store<u64>(vm, 0, VM_VMA_HIT_PAGES);
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

function insertBlock(list: usize, place: u32, block: usize): void {
  const blocks = load<u32>(list, LIST_BLOCKS);
  const at = list + LIST_INDEX + (<usize>place << 2);
  memory.copy(at + 4, at, (blocks - place) << 2);
  store<u32>(at, <u32>block);
  store<u32>(list, blocks + 1, LIST_BLOCKS);
}

/** A new, empty block at `place` of the index, 0 when the index or the arena is full. */
function makeBlock(list: usize, place: u32): usize {
  if (load<u32>(list, LIST_BLOCKS) == LIST_CAPACITY) return 0;
  const block = metadataGet();
  if (block != 0) insertBlock(list, place, block);
  return block;
}

function removeBlock(list: usize, place: u32): void {
  const blocks = load<u32>(list, LIST_BLOCKS) - 1;
  arenaPut(blockAt(list, place));
  const at = list + LIST_INDEX + (<usize>place << 2);
  memory.copy(at, at + 4, (blocks - place) << 2);
  store<u32>(list, blocks, LIST_BLOCKS);
}

function write(vma: usize, start: u64, end: u64, flags: u32, anon: u32, name: u64): void {
  store<u64>(vma, start, VMA_START);
  store<u64>(vma, end, VMA_END);
  store<u32>(vma, flags, VMA_FLAGS);
  store<u32>(vma, anon, VMA_ANON);
  store<u64>(vma, name, VMA_NAME);
}

/** Insert a VMA where its start belongs. False, nothing changed, when there is no memory for it. */
export function vmaInsert(vm: usize, start: u64, end: u64, flags: u32, anon: u32, name: u64): bool {
  vmaForget(vm);
  const list = listOf(vm, start);
  if (load<u32>(list, LIST_BLOCKS) == 0 && makeBlock(list, 0) == 0) return false;
  let place = placeOf(list, start);
  const isLast = place == load<u32>(list, LIST_BLOCKS);
  if (isLast) place--;
  let block = blockAt(list, place);
  let n = load<u32>(block);
  let at = isLast ? firstIn(block) + (<usize>n << 5) : searchIn(block, start);
  if (n == BLOCK_CAPACITY) {
    const other = makeBlock(list, place + 1);
    if (other == 0) return false;
    const half = n >> 1;
    const middle = firstIn(block) + (<usize>half << 5);
    move(firstIn(other), middle, n - half);
    store<u32>(other, n - half);
    store<u32>(block, half);
    if (at > middle) {
      at = firstIn(other) + (at - middle);
      block = other;
    }
    n = load<u32>(block);
  }
  move(at + VMA_SIZE, at, n - <u32>((at - firstIn(block)) >> 5));
  write(at, start, end, flags, anon, name);
  store<u32>(block, n + 1);
  return true;
}

/** Insert the VMA that begins where `vma` ends: no search, if its block has room. Its record, 0 as vmaInsert. */
export function vmaInsertBehind(vm: usize, vma: usize, end: u64, flags: u32, anon: u32, name: u64): usize {
  const start = load<u64>(vma, VMA_END);
  const block = blockOf(vma);
  const n = load<u32>(block);
  if (n == BLOCK_CAPACITY) return vmaInsert(vm, start, end, flags, anon, name) ? vmaFind(vm, start) : <usize>0;
  vmaForget(vm);
  const at = vma + VMA_SIZE;
  move(at + VMA_SIZE, at, n - <u32>((at - firstIn(block)) >> 5));
  write(at, start, end, flags, anon, name);
  store<u32>(block, n + 1);
  return at;
}

/** Whether `next` is in the block of `vma`, right behind it. */
// @ts-ignore: decorator
@inline
export function isBehind(vma: usize, next: usize): bool {
  return next == vma + VMA_SIZE;
}

/** Delete `vma` and those behind it in its block, `count` in all. */
export function vmaDelete(vm: usize, vma: usize, count: u32 = 1): void {
  vmaForget(vm);
  const block = blockOf(vma);
  const list = listOf(vm, load<u64>(vma, VMA_START));
  const n = load<u32>(block) - count;
  // Before the block changes: an empty one cannot be found any more.
  const place = n < BLOCK_JOIN ? placeOf(list, load<u64>(vma, VMA_START)) : 0;
  move(vma, vma + (<usize>count << 5), n - <u32>((vma - firstIn(block)) >> 5));
  store<u32>(block, n);
  if (n == 0) removeBlock(list, place);
  else if (n < BLOCK_JOIN && !joinBlocks(list, place) && place != 0) joinBlocks(list, place - 1);
}

/** The block at `place` and the next become one when they are small: the index stays short whatever the guest splits. */
function joinBlocks(list: usize, place: u32): bool {
  if (place + 1 >= load<u32>(list, LIST_BLOCKS)) return false;
  const block = blockAt(list, place);
  const other = blockAt(list, place + 1);
  const n = load<u32>(block);
  const m = load<u32>(other);
  if (n + m > BLOCK_JOIN) return false;
  move(firstIn(block) + (<usize>n << 5), firstIn(other), m);
  store<u32>(block, n + m);
  removeBlock(list, place + 1);
  return true;
}

/** A VMA behind the last one of `list`, whose blocks are filled to the end. False without a page for a new block. */
export function listAppend(list: usize, start: u64, end: u64, flags: u32, anon: u32, name: u64): bool {
  const blocks = load<u32>(list, LIST_BLOCKS);
  let block = blocks == 0 ? <usize>0 : blockAt(list, blocks - 1);
  if (block == 0 || load<u32>(block) == BLOCK_CAPACITY) {
    block = arenaGet();
    if (block == 0) return false;
    insertBlock(list, blocks, block);
  }
  const n = load<u32>(block);
  write(firstIn(block) + (<usize>n << 5), start, end, flags, anon, name);
  store<u32>(block, n + 1);
  return true;
}
