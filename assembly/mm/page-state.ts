// State of the VMM's pages: what its page table says, as bit planes in chunks of 2 MiB (512 pages). The page cache of
// a file is kept in the same way (mm/file.ts): `space` is a VM or a file.
//
// Directory (one u32 a GiB) → node (one page a GiB) → chunk (one page a 2 MiB). An absent node or chunk is
// uniform: nothing mapped, nothing behind it. So an untouched guest costs four bytes a GiB.
//
// ╒═ node ════════════════════════════════════════════════════════════════════════════╕
// │ 0 chunk address u32 × 512, its lower bits hugeTag │ 2048 backed pages u16 × 512       │
// │ 3072 hints u8 × 512                                                               │
// │ 3584 chunks u32                                                                   │
// ╞═ chunk ═══════════════════════════════════════════════════════════════════════════╡
// │ 0 page u32 × 512: the frame of a backed page, the slot of a swapped one           │
// │ 2048 planes of 64 bytes: Backed, Zero, Swapped, Dirty, Lazy, Writable, File, Ksm, │
// │      Part                                                                         │
// │ 2624 address of the node u32 │ 2628 huge u32 (mm/huge.ts) │ 2632 folio u32        │
// │ 2636 parts u32 │ 2640 address of what KSM remembers u32 (mm/ksm.ts)               │
// ╘═══════════════════════════════════════════════════════════════════════════════════╛
// A page is one of: none · Zero (zero page mapped) · Swapped · Backed (mapped).
// Backed pages are one of: anonymous, small, with one owner · File (a page of the page cache) · Ksm (shared by equal
// pages) · Part (of the chunk's huge page). Dirty = pte or folio dirty (of File and Part the pte alone, Ksm never);
// Lazy = freed by MADV_FREE, not yet seen by reclaim again (lazy and clean `l`, lazy and dirty `d`; Ksm never);
// Writable = the host pte allows writing.
// In a file: Backed = in memory, Dirty = written since it was read, Swapped.
import { VM_DIR, VM_DIR_LEN, VM_RSS, VM_SWAP, VM_TABLES_STAY, VM_TREE_LOCK, VPN_BASE } from '../base/layout';
import { bitGet } from '../base/bits';
import { lock, unlock } from '../base/lock';
import { add, THREADS, threaded } from '../base/thread';
import { arenaPut } from '../frames/arena';
import { metadataGet } from './room';

export const BACKED: usize = 2048;
export const ZERO: usize = 2112;
export const SWAPPED: usize = 2176;
export const DIRTY: usize = 2240;
export const LAZY: usize = 2304;
export const WRITABLE: usize = 2368;
export const FILE: usize = 2432;
export const KSM: usize = 2496;
export const PART: usize = 2560;
export const PLANES_END: usize = 2624;
export const CHUNK_NODE: usize = 2624;
export const CHUNK_HUGE: usize = 2628;
export const CHUNK_FOLIO: usize = 2632;
export const CHUNK_PARTS: usize = 2636;
export const CHUNK_KSM: usize = 2640;

export const NODE_BACKED: usize = 2048;
export const NODE_HINTS: usize = 3072;
export const NODE_CHUNKS: usize = 3584;

/** Hints: such pages may be in the chunk. Set with the first one, recomputed when a range call visits the chunk. */
export const HINT_ZERO: u32 = 1;
export const HINT_SWAPPED: u32 = 2;
export const HINT_LAZY: u32 = 4;
/** Pages that are not plainly anonymous, a huge page, or something that KSM remembers. Not set in files. */
export const HINT_SPECIAL: u32 = 8;

/** The node of the GiB that contains vpn, 0 when absent. vpn must be in [VPN_BASE, VPN_LIMIT). */
// @ts-ignore: decorator
@inline
export function nodeOf(vm: usize, vpn: u64): usize {
  const g = (vpn - VPN_BASE) >> 18;
  if (g >= load<u32>(vm, VM_DIR_LEN)) return 0;
  return load<u32>(<usize>load<u32>(vm, VM_DIR) + (<usize>g << 2));
}

// @ts-ignore: decorator
@inline
export function chunkIndex(vpn: u64): u32 {
  return <u32>(vpn >> 9) & 511;
}

// @ts-ignore: decorator
@inline
export function chunkAt(node: usize, index: u32): usize {
  return load<u32>(node + (<usize>index << 2)) & 0xfffff000;
}

/** 1 + the number of the group of frames that is a huge page, if that is all that the chunk has; else 0. */
// @ts-ignore: decorator
@inline
export function hugeTag(node: usize, index: u32): u32 {
  return load<u32>(node + (<usize>index << 2)) & 0xfff;
}

export function setHugeTag(chunk: usize, vpn: u64, tag: u32): void {
  const p = <usize>load<u32>(chunk, CHUNK_NODE) + (<usize>chunkIndex(vpn) << 2);
  store<u32>(p, <u32>chunk | tag);
}

/** The chunk that contains vpn, 0 when absent. */
// @ts-ignore: decorator
@inline
export function chunkOf(vm: usize, vpn: u64): usize {
  const node = nodeOf(vm, vpn);
  return node == 0 ? <usize>0 : chunkAt(node, chunkIndex(vpn));
}

/** The chunk that contains vpn, made when absent; 0 when there is no metadata page. */
export function chunkMake(vm: usize, vpn: u64): usize {
  let node = nodeOf(vm, vpn);
  if (node == 0) {
    node = nodeMake(vm, vpn);
    if (node == 0) return 0;
  }
  const index = chunkIndex(vpn);
  let chunk = chunkAt(node, index);
  if (chunk == 0) {
    chunk = metadataGet();
    if (chunk == 0) return 0;
    store<u32>(node + (<usize>index << 2), <u32>chunk);
    store<u32>(chunk, <u32>node, CHUNK_NODE);
    addChunk(node, 1);
  }
  return chunk;
}

/** Nodes are shared by the chunks of a GiB: made under the tree lock, and never given back while threads run. */
function nodeMake(vm: usize, vpn: u64): usize {
  const at = <usize>load<u32>(vm, VM_DIR) + (<usize>((vpn - VPN_BASE) >> 18) << 2);
  // Before the lock: making room may need it.
  const page = metadataGet();
  if (page == 0) return 0;
  lock(vm + VM_TREE_LOCK);
  const found: usize = load<u32>(at);
  if (found == 0) store<u32>(at, <u32>page);
  unlock(vm + VM_TREE_LOCK);
  if (found == 0) return page;
  arenaPut(page);
  return found;
}

/** Add `by` to the number of chunks of `node`; the new number. */
function addChunk(node: usize, by: i32): u32 {
  if (THREADS) {
    if (threaded()) return atomic.add<u32>(node, by, NODE_CHUNKS) + by;
  }
  const n = load<u32>(node, NODE_CHUNKS) + by;
  store<u32>(node, n, NODE_CHUNKS);
  return n;
}

/** Add `by` (may be negative) to the counts of backed pages of chunk `index` of `node` and of the VM. */
// @ts-ignore: decorator
@inline
export function addBacked(vm: usize, node: usize, index: u32, by: i32): void {
  addMapped(node, index, by);
  add(vm, VM_RSS, <i64>by);
}

/** The former alone: hugetlb pages are not resident memory. */
// @ts-ignore: decorator
@inline
export function addMapped(node: usize, index: u32, by: i32): void {
  const p = node + (<usize>index << 1);
  store<u16>(p, <u16>(<i32>load<u16>(p, NODE_BACKED) + by), NODE_BACKED);
}

// @ts-ignore: decorator
@inline
export function addSwapped(vm: usize, by: i64): void {
  add(vm, VM_SWAP, by);
}

/** Of a page that is there: whether it is neither a file's nor part of a huge page. */
// @ts-ignore: decorator
@inline
export function isPlain(chunk: usize, i: u32): bool {
  return !bitGet(chunk + FILE, i) && !bitGet(chunk + PART, i);
}

// @ts-ignore: decorator
@inline
export function hint(node: usize, index: u32, bit: u32): void {
  const p = node + index;
  store<u8>(p, load<u8>(p, NODE_HINTS) | <u8>bit, NODE_HINTS);
}

// @ts-ignore: decorator
@inline
export function pageSlot(chunk: usize, i: u32): usize {
  return chunk + (<usize>i << 2);
}

export function planeEmpty(plane: usize): bool {
  return !v128.any_true(
    v128.or(
      v128.or(v128.load(plane, 0), v128.load(plane, 16)),
      v128.or(v128.load(plane, 32), v128.load(plane, 48)),
    ),
  );
}

/** After a range call: set the hints right, and give chunk and node back when nothing is left in them. */
export function chunkSettle(vm: usize, vpn: u64, node: usize, index: u32, chunk: usize): void {
  let hints: u32 = 0;
  if (!planeEmpty(chunk + ZERO)) hints |= HINT_ZERO;
  if (!planeEmpty(chunk + SWAPPED)) hints |= HINT_SWAPPED;
  if (!planeEmpty(chunk + LAZY)) hints |= HINT_LAZY;
  if (isSpecial(chunk)) hints |= HINT_SPECIAL;
  store<u8>(node + index, <u8>hints, NODE_HINTS);
  if (hints != 0 || load<u16>(node + (<usize>index << 1), NODE_BACKED) != 0) return;
  // Where huge pages may come, a chunk is also the page table, which stays; only who drops all of it takes it away.
  if (load<u32>(vm, VM_TABLES_STAY) == 0) chunkDrop(vm, vpn, node, index, chunk);
}

function isSpecial(chunk: usize): bool {
  if (load<u32>(chunk, CHUNK_HUGE) != 0 || load<u32>(chunk, CHUNK_KSM) != 0) return true;
  return !planeEmpty(chunk + FILE) || !planeEmpty(chunk + KSM) || !planeEmpty(chunk + PART);
}

/** Give back a chunk in which nothing is mapped, and its node with the last chunk. */
export function chunkDrop(vm: usize, vpn: u64, node: usize, index: u32, chunk: usize): void {
  chunkTake(node, index, chunk);
  nodeSettle(vm, vpn, node, 1);
}

/** Give back chunk `index` of a node; nodeSettle is to follow. */
// @ts-ignore: decorator
@inline
export function chunkTake(node: usize, index: u32, chunk: usize): void {
  store<u32>(node + (<usize>index << 2), 0);
  store<u8>(node + index, 0, NODE_HINTS);
  arenaPut(chunk);
}

/** `taken` chunks were given back: the node, which contains vpn, goes with the last one. */
export function nodeSettle(vm: usize, vpn: u64, node: usize, taken: u32): void {
  if (addChunk(node, -(<i32>taken)) != 0 || threaded()) return;
  store<u32>(<usize>load<u32>(vm, VM_DIR) + (<usize>((vpn - VPN_BASE) >> 18) << 2), 0);
  arenaPut(node);
}

/** First vpn behind `vpn` at which a chunk may be present, at most `end`; skips absent nodes whole. */
export function nextChunk(vm: usize, vpn: u64, end: u64): u64 {
  while (vpn < end) {
    const node = nodeOf(vm, vpn);
    if (node == 0) {
      vpn = ((vpn >> 18) + 1) << 18;
      continue;
    }
    if (chunkAt(node, chunkIndex(vpn)) != 0) return vpn;
    vpn = ((vpn >> 9) + 1) << 9;
    // Four absent chunks of the same node at once.
    while ((vpn & 2047) == 0 && (vpn & 0x3ffff) != 0 && vpn < end) {
      if (v128.any_true(v128.load(node + (<usize>chunkIndex(vpn) << 2)))) break;
      vpn += 2048;
    }
  }
  return end;
}
