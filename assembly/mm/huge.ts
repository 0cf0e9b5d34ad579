// Transparent huge pages: when one comes, when its mapping is split, and when the page itself is.
// Reference: linux mm/huge_memory.c (do_huge_pmd_anonymous_page, __split_huge_pmd, vma_adjust_trans_huge, __folio_split),
// mm/migrate.c (try_to_map_unused_to_zeropage); rule 9 of the recordings.
//
// A huge page belongs to its chunk: it can be mapped nowhere else. CHUNK_FOLIO is its first frame, CHUNK_PARTS how many of
// its pages are mapped; those have their bit in Part and Backed and their frame's number, however they are mapped.
// While it is mapped as one, Dirty and Writable are the same for all. The huge zero page is 512 Zero pages as one.
import { Counter, EventKind } from '../abi/events';
import { Status } from '../abi/status';
import { VM_HUGEPAGE, VM_LOCKED, VM_WRITE } from '../abi/vm-flags';
import { RUN_VMA_ASIDE, VM_LAZY } from '../base/layout';
import { bitClear, bitGet, bitSet, bitsClear, bitsCount, bitsSet } from '../base/bits';
import { add, self } from '../base/thread';
import { frameIsZero } from '../frames/bytes';
import { GROUP, groupOf } from '../frames/pool';
import { notify } from '../memslot/notify';
import { count, event } from '../trace/events';
import { anonPrepare } from './anon';
import { vmaOf } from './look-up';
import {
  addBacked, BACKED, CHUNK_FOLIO, CHUNK_HUGE, CHUNK_KSM, CHUNK_NODE, CHUNK_PARTS, chunkIndex, chunkMake, chunkOf, DIRTY, hint,
  HINT_SPECIAL, HINT_ZERO, LAZY, pageSlot, PART, planeEmpty, setHugeTag, WRITABLE, ZERO,
} from './page-state';
import { framePut, groupPut } from './frame';
import { VMA_END, VMA_FLAGS, VMA_START } from './vma';

// CHUNK_HUGE.
/** Mapped by one entry: the huge page, or without a folio the huge zero page. */
export const AS_ONE: u32 = 1;
/** PG_dirty of the huge page, besides the bits of its entries. */
export const FOLIO_DIRTY: u32 = 2;
/** There is no page table: the chunk is only here for what KSM remembers. A huge page may come. */
const NO_TABLE: u32 = 4;
/** A hugetlb page (mm/hugetlb.ts). */
export const HUGETLB: u32 = 8;

// @ts-ignore: decorator
@inline
export function isAsOne(chunk: usize): bool {
  return (load<u32>(chunk, CHUNK_HUGE) & AS_ONE) != 0;
}

/** The processor has written through the entry of page i. */
// @ts-ignore: decorator
@inline
export function entryDirtied(chunk: usize, i: u32): void {
  if (isAsOne(chunk)) bitsSet(chunk + DIRTY, 0, 512);
  else bitSet(chunk + DIRTY, i);
}

// @ts-ignore: decorator
@inline
export function folioOf(chunk: usize): u32 {
  return load<u32>(chunk, CHUNK_FOLIO);
}

// @ts-ignore: decorator
@inline
export function isHugetlb(chunk: usize): bool {
  return (load<u32>(chunk, CHUNK_HUGE) & HUGETLB) != 0;
}

// @ts-ignore: decorator
@inline
export function isNoTable(chunk: usize): bool {
  return (load<u32>(chunk, CHUNK_HUGE) & NO_TABLE) != 0;
}

/** The table is freed (rule 9.4): all of it was dropped in one go. */
export function tableDropped(chunk: usize): void {
  store<u32>(chunk, NO_TABLE, CHUNK_HUGE);
}

/** An entry for a small page is about to be made. */
// @ts-ignore: decorator
@inline
export function tableMade(chunk: usize): void {
  if (load<u32>(chunk, CHUNK_HUGE) == NO_TABLE) store<u32>(chunk, 0, CHUNK_HUGE);
}

/** Whether all of the huge page is mapped. */
// @ts-ignore: decorator
@inline
export function isWhole(chunk: usize): bool {
  return load<u32>(chunk, CHUNK_PARTS) == GROUP;
}

// @ts-ignore: decorator
@inline
function setFlags(chunk: usize, set: u32, clear: u32): void {
  store<u32>(chunk, (load<u32>(chunk, CHUNK_HUGE) & ~clear) | set, CHUNK_HUGE);
}

// @ts-ignore: decorator
@inline
export function folioSetDirty(chunk: usize, dirty: bool): void {
  setFlags(chunk, dirty ? FOLIO_DIRTY : 0, FOLIO_DIRTY);
}

// @ts-ignore: decorator
@inline
export function folioIsDirty(chunk: usize): bool {
  return (load<u32>(chunk, CHUNK_HUGE) & FOLIO_DIRTY) != 0;
}

/** Whether a fault at vpn, in a chunk that is absent, brings a huge page: its VMA asks for them and has all of the chunk. */
// @ts-ignore: decorator
@inline
export function takesHuge(vpn: u64, vma: usize): bool {
  const first = vpn & ~(<u64>511);
  return (load<u32>(vma, VMA_FLAGS) & VM_HUGEPAGE) != 0 && load<u64>(vma, VMA_START) <= first && first + 512 <= load<u64>(vma, VMA_END);
}

/**
 * A fault that brings the huge page of zeroed frames from `first` on, or for a read, with 0, the huge zero page; the chunk
 * is absent or has the latter. The VMA gets its anon_vma even for that (unlike with the small zero page). OutOfMemory: no
 * chunk; the frames are free again, nothing else changed.
 */
export function hugeFault(vm: usize, vpn: u64, first: u32, vma: usize): Status {
  const write = first != 0;
  let chunk = chunkOf(vm, vpn);
  if (chunk == 0) chunk = chunkMake(vm, vpn);
  if (chunk == 0) {
    if (write) groupPut(vm, first);
    return Status.OutOfMemory;
  }
  anonPrepare(vm, vpn, vma);
  if (write) {
    if (isAsOne(chunk)) {
      notify(vm, vpn & ~(<u64>511), (vpn & ~(<u64>511)) + 512);
      bitsClear(chunk + ZERO, 0, 512);
    }
    hugeEntry(vm, vpn, vma, chunk, first);
  } else {
    bitsSet(chunk + ZERO, 0, 512);
    hint(load<u32>(chunk, CHUNK_NODE), chunkIndex(vpn), HINT_ZERO | HINT_SPECIAL);
    store<u32>(chunk, AS_ONE, CHUNK_HUGE);
  }
  count(vm, Counter.FaultsMinor);
  event(EventKind.Fault, vm, 0, vpn, write ? 0x48 : 0x5a, 0); // H, Z
  return Status.Ok;
}

/** The chunk of vpn, in which nothing is, maps the huge page of frames from `first` on as one, dirty. */
export function hugeEntry(vm: usize, vpn: u64, vma: usize, chunk: usize, first: u32): void {
  const node: usize = load<u32>(chunk, CHUNK_NODE);
  hint(node, chunkIndex(vpn), HINT_SPECIAL);
  for (let i: u32 = 0; i < GROUP; i++) store<u32>(pageSlot(chunk, i), first + i);
  bitsSet(chunk + BACKED, 0, 512);
  bitsSet(chunk + PART, 0, 512);
  bitsSet(chunk + DIRTY, 0, 512);
  if ((load<u32>(vma, VMA_FLAGS) & VM_WRITE) != 0) bitsSet(chunk + WRITABLE, 0, 512);
  store<u32>(chunk, first, CHUNK_FOLIO);
  store<u32>(chunk, GROUP, CHUNK_PARTS);
  if (load<u32>(chunk, CHUNK_KSM) == 0) setHugeTag(chunk, vpn, groupOf(first) + 1);
  addBacked(vm, node, chunkIndex(vpn), GROUP);
  store<u32>(chunk, AS_ONE, CHUNK_HUGE);
}

/** What is huge in chunk `from` of vpn, whose pages have just been moved, goes to chunk `to` of page `target`. */
export function folioMove(vm: usize, vpn: u64, from: usize, target: u64, to: usize): void {
  const folio = folioOf(from);
  setHugeTag(from, vpn, 0);
  store<u32>(to, load<u32>(from, CHUNK_HUGE), CHUNK_HUGE);
  store<u32>(to, folio, CHUNK_FOLIO);
  store<u32>(to, load<u32>(from, CHUNK_PARTS), CHUNK_PARTS);
  if (isAsOne(to) && folio != 0 && load<u32>(to, CHUNK_KSM) == 0) setHugeTag(to, target, groupOf(folio) + 1);
  hint(load<u32>(to, CHUNK_NODE), chunkIndex(target), HINT_SPECIAL);
  store<u32>(from, 0, CHUNK_HUGE);
  store<u32>(from, 0, CHUNK_FOLIO);
  store<u32>(from, 0, CHUNK_PARTS);
}

/**
 * __split_huge_pmd: what was mapped as one is mapped by 512 entries; the huge page itself stays one. All of it is
 * invalidated, whatever part the caller is after: a dirty log may have small leaves there.
 */
export function mappingSplit(vm: usize, vpn: u64, chunk: usize): void {
  if (!isAsOne(chunk)) return;
  notify(vm, vpn & ~(<u64>511), (vpn & ~(<u64>511)) + 512);
  mappingSplitTold(chunk);
}

/** The same after the notifier for all of it. A dirty mapping makes the folio dirty on the way. */
export function mappingSplitTold(chunk: usize): void {
  if (!isAsOne(chunk)) return;
  if (folioOf(chunk) != 0 && bitGet(chunk + DIRTY, 0)) folioSetDirty(chunk, true);
  setFlags(chunk, 0, AS_ONE);
}

/** vma_adjust_trans_huge: a VMA begins or ends at vpn now. Inside a chunk nothing is mapped as one then. */
export function mappingSplitAt(vm: usize, vpn: u64): void {
  if ((vpn & 511) == 0) return;
  const chunk = chunkOf(vm, vpn);
  if (chunk != 0) mappingSplit(vm, vpn, chunk);
}

/** `parts` entries of the huge page of vpn's chunk have been taken away. With the last one it is freed. */
export function partsUnmapped(vm: usize, vpn: u64, chunk: usize, parts: u32): void {
  setHugeTag(chunk, vpn, 0);
  const left = load<u32>(chunk, CHUNK_PARTS) - parts;
  store<u32>(chunk, left, CHUNK_PARTS);
  if (left != 0) return;
  groupPut(vm, folioOf(chunk));
  store<u32>(chunk, 0, CHUNK_FOLIO);
  store<u32>(chunk, 0, CHUNK_HUGE);
}

/** Whether an entry or the folio says that the huge page was written. */
export function folioWritten(chunk: usize): bool {
  if (folioIsDirty(chunk)) return true;
  for (let o: usize = 0; o < 64; o += 8) if ((load<u64>(chunk + PART + o) & load<u64>(chunk + DIRTY + o)) != 0) return true;
  return false;
}

/**
 * split_folio: the huge page of vpn's chunk becomes small pages, wherever in the chunk they are mapped. A page of zeros
 * becomes the zero page, but in a locked VMA. All dirty bits are gathered in the folio, and each small page inherits that.
 * Parts that nobody maps are freed. Returns how many frames came free. Without `zeros` pages of zeros stay pages.
 */
export function folioSplit(vm: usize, vpn: u64, chunk: usize, zeros: bool = true): u32 {
  const base = vpn & ~(<u64>511);
  notify(vm, base, base + 512);
  mappingSplitTold(chunk);
  setHugeTag(chunk, vpn, 0);
  const dirty = folioWritten(chunk);
  const first = folioOf(chunk);
  const node: usize = load<u32>(chunk, CHUNK_NODE);
  let freed: u32 = 0;
  for (let i: u32 = 0; i < GROUP; i++) {
    if (!bitGet(chunk + PART, i)) {
      framePut(vm, first + i);
      freed++;
      continue;
    }
    bitClear(chunk + PART, i);
    if (zeros && frameIsZero(first + i) && !isLocked(vm, base + i)) {
      if (bitGet(chunk + LAZY, i)) add(vm, VM_LAZY, -1);
      bitClear(chunk + LAZY, i);
      bitClear(chunk + BACKED, i);
      bitClear(chunk + DIRTY, i);
      bitClear(chunk + WRITABLE, i);
      bitSet(chunk + ZERO, i);
      addBacked(vm, node, chunkIndex(vpn), -1);
      framePut(vm, first + i);
      freed++;
    } else if (dirty) bitSet(chunk + DIRTY, i);
  }
  hint(node, chunkIndex(vpn), HINT_ZERO);
  store<u32>(chunk, 0, CHUNK_HUGE);
  store<u32>(chunk, 0, CHUNK_FOLIO);
  store<u32>(chunk, 0, CHUNK_PARTS);
  return freed;
}

function isLocked(vm: usize, vpn: u64): bool {
  // Reclaim may come in the middle of a fault, which has a VMA at hand.
  const vma = vmaOf(vm, vpn, 0, self + RUN_VMA_ASIDE);
  return vma != 0 && (load<u32>(vma, VMA_FLAGS) & VM_LOCKED) != 0;
}

/** The huge page was lazily freed (or was not any more): all its parts are. */
export function folioSetLazy(vm: usize, chunk: usize, lazy: bool): void {
  for (let o: usize = 0; o < 64; o += 8) {
    const parts = load<u64>(chunk + PART + o);
    const before = load<u64>(chunk + LAZY + o);
    const after = lazy ? before | parts : before & ~parts;
    store<u64>(chunk + LAZY + o, after);
    add(vm, VM_LAZY, <i64>popcnt(after) - <i64>popcnt(before));
  }
}
