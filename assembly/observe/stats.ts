// Numbers of a range of the VMM's pages, counted from the planes, and a page's letter. Cost follows the chunks that are
// there. Reference: linux fs/proc/task_mmu.c (smaps_account, smaps_pte_hole_lookup).
import { VM_HUGETLB, VM_SHARED, VM_WRITE, VMA_FILE } from '../abi/vm-flags';
import { SCRATCH } from '../base/layout';
import { bitGet, wordMask } from '../base/bits';
import { min } from '../base/math';
import { frameMappings } from '../frames/shared';
import { fileStored } from '../mm/file-io';
import { fileCached } from '../mm/file';
import { fileAround, fileMappings, fileOf, filePage } from '../mm/file-place';
import { AS_ONE, folioIsDirty, folioOf, isAsOne, isHugetlb } from '../mm/huge';
import { ksmIsDirty, ksmIsLazy } from '../mm/ksm-page';
import { vmaOf } from '../mm/look-up';
import {
  BACKED, CHUNK_HUGE, chunkAt, chunkIndex, chunkOf, DIRTY, FILE, HINT_SPECIAL, KSM, LAZY, nextChunk, NODE_HINTS, nodeOf, pageSlot,
  PART, SWAPPED, ZERO,
} from '../mm/page-state';
import { VMA_FLAGS } from '../mm/vma';

// What rangeStats leaves at SCRATCH, u64 each; src/core/layout.ts has the same numbers. Pages, but for the shares.
export const STAT_RSS: usize = 0;
export const STAT_PRIVATE_DIRTY: usize = 8;
export const STAT_LAZY: usize = 16;
export const STAT_SWAP: usize = 24;
export const STAT_ZERO: usize = 32;
export const STAT_SHARED_CLEAN: usize = 40;
export const STAT_SHARED_DIRTY: usize = 48;
export const STAT_KSM: usize = 56;
export const STAT_ANON: usize = 64;
export const STAT_ANON_HUGE: usize = 72;
export const STAT_HUGETLB: usize = 80;
/** Bytes × 4096, as Linux sums shares up: of all pages, of the dirty ones, of the anonymous ones. */
export const STAT_PSS: usize = 88;
export const STAT_PSS_DIRTY: usize = 96;
export const STAT_PSS_ANON: usize = 104;
/** Pages of the file in swap; STAT_SWAP are the mapping's own. */
export const STAT_FILE_SWAP: usize = 112;

const PSS_PAGE: u64 = 4096 << 12;

// @ts-ignore: decorator
@inline
function plus(stat: usize, by: u64): void {
  store<u64>(SCRATCH + stat, load<u64>(SCRATCH + stat) + by);
}

/** Pages of [vpn, end), which is in one VMA. */
export function rangeStats(vm: usize, vpn: u64, end: u64): void {
  memory.fill(SCRATCH, 0, STAT_FILE_SWAP + 8);
  const vma = vmaOf(vm, vpn);
  if (vma == 0) return;
  countSwapped(STAT_SWAP, vm, vpn, end);
  if ((load<u32>(vma, VMA_FLAGS) & VMA_FILE) != 0 && fileOf(vma) != 0) fileSwap(vm, vma, vpn, end);
  while ((vpn = nextChunk(vm, vpn, end)) < end) {
    const node = nodeOf(vm, vpn);
    const chunk = chunkAt(node, chunkIndex(vpn));
    const stop = min(((vpn >> 9) + 1) << 9, end);
    const from = <u32>vpn & 511;
    const to = from + <u32>(stop - vpn);
    if ((load<u8>(node + chunkIndex(vpn), NODE_HINTS) & HINT_SPECIAL) != 0) mixedStats(vm, vpn & ~(<u64>511), chunk, from, to, vma);
    else plainStats(chunk, from, to);
    vpn = stop;
  }
}

/**
 * Swapped pages of the file that smaps counts as the mapping's: all of its part of the file, mapped or not; of a private
 * mapping that may be written, those with nothing of its own in their place (smap_gather_stats).
 */
function fileSwap(vm: usize, vma: usize, vpn: u64, end: u64): void {
  const file = fileOf(vma);
  const first = filePage(vma, vpn);
  const stop = first + (end - vpn);
  if ((load<u32>(vma, VMA_FLAGS) & (VM_SHARED | VM_WRITE)) != VM_WRITE) {
    countSwapped(STAT_FILE_SWAP, file, first, stop);
    return;
  }
  for (let at = first; (at = nextChunk(file, at, stop)) < stop; at++) {
    if (bitGet(chunkOf(file, at) + SWAPPED, <u32>at & 511) && isEmpty(vm, vpn + (at - first))) plus(STAT_FILE_SWAP, 1);
  }
}

/** Whether the VMM's page table has nothing there. */
function isEmpty(vm: usize, vpn: u64): bool {
  const chunk = chunkOf(vm, vpn);
  const i = <u32>vpn & 511;
  return chunk == 0 || !(bitGet(chunk + BACKED, i) || bitGet(chunk + SWAPPED, i) || bitGet(chunk + ZERO, i));
}

function countSwapped(stat: usize, space: usize, vpn: u64, end: u64): void {
  let swapped: u64 = 0;
  while ((vpn = nextChunk(space, vpn, end)) < end) {
    const chunk = chunkOf(space, vpn);
    const stop = min(((vpn >> 9) + 1) << 9, end);
    const to = (<u32>vpn & 511) + <u32>(stop - vpn);
    for (let i = <u32>vpn & 511; i < to; ) {
      const next = min(((i >> 6) + 1) << 6, to) as u32;
      swapped += popcnt(load<u64>(chunk + (<usize>(i >> 6) << 3), SWAPPED) & wordMask(i & 63, ((next - 1) & 63) + 1));
      i = next;
    }
    vpn = stop;
  }
  plus(stat, swapped);
}

function plainStats(chunk: usize, from: u32, to: u32): void {
  let backed: u64 = 0;
  let dirty: u64 = 0;
  let lazy: u64 = 0;
  let zero: u64 = 0;
  for (let i = from; i < to; ) {
    const next = min(((i >> 6) + 1) << 6, to) as u32;
    const mask = wordMask(i & 63, ((next - 1) & 63) + 1);
    const p = chunk + (<usize>(i >> 6) << 3);
    const b = load<u64>(p, BACKED) & mask;
    const d = load<u64>(p, DIRTY);
    backed += popcnt(b);
    dirty += popcnt(b & d);
    lazy += popcnt(b & load<u64>(p, LAZY) & ~d);
    zero += popcnt(load<u64>(p, ZERO) & mask);
    i = next;
  }
  plus(STAT_RSS, backed);
  plus(STAT_ANON, backed);
  plus(STAT_PRIVATE_DIRTY, dirty);
  plus(STAT_LAZY, lazy);
  plus(STAT_ZERO, zero);
  plus(STAT_PSS, backed * PSS_PAGE);
  plus(STAT_PSS_DIRTY, dirty * PSS_PAGE);
  plus(STAT_PSS_ANON, backed * PSS_PAGE);
}

function mixedStats(vm: usize, base: u64, chunk: usize, from: u32, to: u32, vma: usize): void {
  if (isHugetlb(chunk)) {
    plus(STAT_HUGETLB, <u64>(to - from));
    return;
  }
  if (isAsOne(chunk) && folioOf(chunk) != 0) plus(STAT_ANON_HUGE, <u64>(to - from));
  for (let i = from; i < to; i++) {
    if (!bitGet(chunk + BACKED, i)) {
      if (bitGet(chunk + ZERO, i)) plus(STAT_ZERO, 1);
      continue;
    }
    plus(STAT_RSS, 1);
    let sharers: u32 = 1;
    let dirty: bool = bitGet(chunk + DIRTY, i);
    let lazy: bool = false;
    if (bitGet(chunk + KSM, i)) {
      const frame = load<u32>(pageSlot(chunk, i));
      sharers = frameMappings(frame);
      dirty = ksmIsDirty(frame);
      lazy = ksmIsLazy(frame);
      plus(STAT_KSM, 1);
    } else if (bitGet(chunk + FILE, i)) {
      const file = fileOf(vma);
      const at = filePage(vma, base + i);
      sharers = fileMappings(file, at);
      dirty = dirty || bitGet(chunkOf(file, at) + DIRTY, <u32>at & 511);
    } else {
      dirty = dirty || (bitGet(chunk + PART, i) && folioIsDirty(chunk));
      lazy = bitGet(chunk + LAZY, i) && !dirty;
    }
    const share = PSS_PAGE / sharers;
    if (!bitGet(chunk + FILE, i)) {
      plus(STAT_ANON, 1);
      plus(STAT_PSS_ANON, share);
    }
    if (lazy) plus(STAT_LAZY, 1);
    if (sharers > 1) plus(dirty ? STAT_SHARED_DIRTY : STAT_SHARED_CLEAN, 1);
    else if (dirty) plus(STAT_PRIVATE_DIRTY, 1);
    plus(STAT_PSS, share);
    if (dirty) plus(STAT_PSS_DIRTY, share);
  }
}

/** The page's letter as in the traces: x . z Z a l d k K H L D h s f c G g (ASCII). */
export function pageLetter(vm: usize, vpn: u64): u32 {
  const vma = vmaOf(vm, vpn);
  if (vma == 0) return 0x78;
  const flags = load<u32>(vma, VMA_FLAGS);
  const chunk = chunkOf(vm, vpn);
  const i = <u32>vpn & 511;
  if ((flags & VM_HUGETLB) != 0) {
    if (chunk != 0 && isHugetlb(chunk)) return 0x47;
    return (flags & VM_SHARED) != 0 ? 0x67 : 0x2e;
  }
  if (chunk != 0) {
    if (bitGet(chunk + BACKED, i)) return backedLetter(chunk, i);
    if (bitGet(chunk + SWAPPED, i)) return 0x73;
    if (bitGet(chunk + ZERO, i)) return (load<u32>(chunk, CHUNK_HUGE) & AS_ONE) != 0 ? 0x5a : 0x7a;
  }
  if ((flags & VMA_FILE) == 0) return 0x2e;
  const at = filePage(vma, vpn);
  const cache = chunkOf(fileOf(vma), at);
  if (cache != 0 && bitGet(cache + SWAPPED, <u32>at & 511)) return 0x73;
  return fileCached(fileOf(vma), at) != 0 ? 0x63 : 0x2e;
}

function backedLetter(chunk: usize, i: u32): u32 {
  if (bitGet(chunk + FILE, i)) return 0x66;
  if (bitGet(chunk + KSM, i)) return ksmIsLazy(load<u32>(pageSlot(chunk, i))) ? 0x4b : 0x6b;
  const part = bitGet(chunk + PART, i);
  if (!bitGet(chunk + LAZY, i)) return !part ? 0x61 : isAsOne(chunk) ? 0x48 : 0x68;
  const dirty = bitGet(chunk + DIRTY, i) || (part && folioIsDirty(chunk));
  if (part && isAsOne(chunk)) return dirty ? 0x44 : 0x4c;
  return dirty ? 0x64 : 0x6c;
}

/** Blocks of 4 KiB of the file around vpn, in memory or swapped; -1 when there is no file. */
export function fileBlocks(vm: usize, vpn: u64): f64 {
  const file = fileAround(vm, vpn);
  return file == 0 ? -1 : fileStored(file);
}
