// What DONTNEED, FREE, PAGEOUT and MPROTECT do to a chunk in which not all is plain anonymous memory: huge pages, pages of
// files, pages that KSM shares. range.ts comes here where a chunk's hint says so, and has told the notifier.
// Reference: linux mm/memory.c (zap_pte_range), mm/madvise.c (madvise_free_pte_range,
// madvise_cold_or_pageout_pte_range), mm/vmscan.c (shrink_folio_list), mm/rmap.c (try_to_unmap_one), mm/mprotect.c.
import { Counter, EventKind } from '../abi/events';
import { FileKind } from '../abi/file';
import { VM_SHARED } from '../abi/vm-flags';
import { RUN_VMA_ASIDE, VM_LAZY } from '../base/layout';
import { bitClear, bitGet, bitSet, bitsClear } from '../base/bits';
import { add, self } from '../base/thread';
import { frameCopy } from '../frames/bytes';
import { GROUP } from '../frames/pool';
import { frameMappings } from '../frames/shared';
import { notify } from '../memslot/notify';
import { count, event } from '../trace/events';
import { fileDirty, fileKind, fileReclaim } from './file';
import { fileMappings, fileOf, filePage } from './file-place';
import {
  folioOf, folioSetDirty, folioSetLazy, folioSplit, folioWritten, isAsOne, isWhole, mappingSplit, mappingSplitTold,
  partsUnmapped,
} from './huge';
import { ksmFree, ksmIsDirty, ksmIsSwapBacked, ksmRescue, ksmUnmapped } from './ksm-page';
import { vmaOf } from './look-up';
import {
  addBacked, addSwapped, BACKED, CHUNK_NODE, chunkIndex, DIRTY, FILE, hint, HINT_SWAPPED, KSM, LAZY, pageSlot, PART, SWAPPED,
  WRITABLE,
} from './page-state';
import { framePut } from './frame';
import { pageOut } from './page-out';
import { swapFree, swapGet, swapPut } from './swap';
import { VMA_FLAGS } from './vma';

/** Pages [from, to) of the chunk at `base` are forgotten, with their swap entries. */
export function mixedDrop(vm: usize, base: u64, chunk: usize, from: u32, to: u32): void {
  if (to - from != GROUP) mappingSplit(vm, base, chunk);
  const vma = vmaOf(vm, base + from); // all of the range is in one
  let backed: u32 = 0;
  let parts: u32 = 0;
  for (let i = from; i < to; i++) {
    if (bitGet(chunk + BACKED, i)) {
      backed++;
      const frame = load<u32>(pageSlot(chunk, i));
      if (bitGet(chunk + PART, i)) parts++;
      else if (bitGet(chunk + KSM, i)) ksmUnmapped(vm, frame);
      else if (!bitGet(chunk + FILE, i)) framePut(vm, frame);
      // What the file keeps stays dirty.
      else if (bitGet(chunk + DIRTY, i)) fileDirty(fileOf(vma), filePage(vma, base + i));
      if (bitGet(chunk + LAZY, i)) add(vm, VM_LAZY, -1);
    } else if (bitGet(chunk + SWAPPED, i)) dropSlot(vm, chunk, i);
  }
  for (let plane = BACKED; plane <= PART; plane += 64) bitsClear(chunk + plane, from, to - from);
  if (backed != 0) addBacked(vm, load<u32>(chunk, CHUNK_NODE), chunkIndex(base), -backed);
  if (parts != 0) partsUnmapped(vm, base, chunk, parts);
  // The huge zero page has no folio.
  else if (to - from == GROUP && isAsOne(chunk)) mappingSplitTold(chunk);
}

function dropSlot(vm: usize, chunk: usize, i: u32): void {
  swapPut(vm, load<u32>(pageSlot(chunk, i)));
  bitClear(chunk + SWAPPED, i);
  addSwapped(vm, -1);
}

/**
 * Before advice acts on [from, to): a huge page that it does not get whole, mapped and in the range, is split. True when
 * it gets one whole, false when all that is left in the range are small pages.
 */
function takesWhole(vm: usize, base: u64, chunk: usize, from: u32, to: u32): bool {
  if (folioOf(chunk) == 0) return false;
  if (to - from == GROUP && isWhole(chunk)) return true;
  let parts: u64 = 0;
  for (let i = from; i < to && parts == 0; i++) parts = <u64>bitGet(chunk + PART, i);
  if (parts != 0 || isAsOne(chunk)) folioSplit(vm, base, chunk);
  return false;
}

/** MADV_FREE: swap slots are given up at once; pages in memory become clean, and reclaim may drop them. */
export function mixedFree(vm: usize, base: u64, chunk: usize, from: u32, to: u32): void {
  for (let i = from; i < to; i++) if (bitGet(chunk + SWAPPED, i)) dropSlot(vm, chunk, i);
  if (takesWhole(vm, base, chunk, from, to)) {
    folioSetDirty(chunk, false);
    bitsClear(chunk + DIRTY, 0, GROUP);
    folioSetLazy(vm, chunk, true);
    return;
  }
  for (let i = from; i < to; i++) {
    if (!bitGet(chunk + BACKED, i)) continue;
    if (bitGet(chunk + KSM, i)) {
      ksmFree(load<u32>(pageSlot(chunk, i)));
      continue;
    }
    bitClear(chunk + DIRTY, i);
    if (bitGet(chunk + LAZY, i)) continue;
    bitSet(chunk + LAZY, i);
    add(vm, VM_LAZY, 1);
  }
}

/** MADV_COLD */
export function mixedCold(vm: usize, vpn: u64, chunk: usize, from: u32, to: u32): void {
  takesWhole(vm, vpn & ~(<u64>511), chunk, from, to);
}

/** MADV_PAGEOUT: reclaims what is mapped here and nowhere else. */
export function mixedOut(vm: usize, base: u64, chunk: usize, from: u32, to: u32): void {
  if (takesWhole(vm, base, chunk, from, to)) {
    folioOut(vm, base, chunk);
    return;
  }
  for (let i = from; i < to; i++) if (bitGet(chunk + BACKED, i)) mixedPageOut(vm, base + i, chunk);
}

/** Reclaim of one small page, of any kind, that is mapped here alone. True when a frame came free. */
export function mixedPageOut(vm: usize, vpn: u64, chunk: usize): bool {
  const i = <u32>vpn & 511;
  if (bitGet(chunk + FILE, i)) return fileOut(vm, vpn, chunk);
  if (bitGet(chunk + KSM, i)) return ksmOut(vm, vpn, chunk);
  return pageOut(vm, vpn);
}

/** A page of a file is unmapped, whether or not there is swap for it. */
function fileOut(vm: usize, vpn: u64, chunk: usize): bool {
  // Reclaim may come in the middle of a fault, which has a VMA at hand.
  const vma = vmaOf(vm, vpn, 0, self + RUN_VMA_ASIDE);
  const file = fileOf(vma);
  const at = filePage(vma, vpn);
  if (fileKind(file) == FileKind.GuestMemfd || fileMappings(file, at) != 1) return false;
  fileEntryOut(vm, vpn, chunk, file, at);
  return fileReclaim(vm, file, at);
}

/** The entry of page vpn, which maps the file's page `at`, goes. */
export function fileEntryOut(vm: usize, vpn: u64, chunk: usize, file: usize, at: u64): void {
  if (bitGet(chunk + DIRTY, <u32>vpn & 511)) fileDirty(file, at);
  notify(vm, vpn, vpn + 1);
  unmap(vm, vpn, chunk, 1);
}

/** The entry of page vpn goes; who owns its frame has been told. */
function unmap(vm: usize, vpn: u64, chunk: usize, pages: i32): void {
  const i = <u32>vpn & 511;
  for (let plane = BACKED; plane <= PART; plane += 64) if (plane != SWAPPED) bitClear(chunk + plane, i);
  addBacked(vm, load<u32>(chunk, CHUNK_NODE), chunkIndex(vpn), -pages);
}

/** A page that KSM shares, if it is mapped once: dropped when it was freed and not written, rescued, or swapped. */
function ksmOut(vm: usize, vpn: u64, chunk: usize): bool {
  const i = <u32>vpn & 511;
  const frame = load<u32>(pageSlot(chunk, i));
  if (frameMappings(frame) != 1) return false;
  let slot: u32 = 0;
  if (!ksmIsSwapBacked(frame)) {
    if (ksmIsDirty(frame)) {
      ksmRescue(frame);
      return false;
    }
    count(vm, Counter.ReclaimLazy);
    event(EventKind.ReclaimLazy, vm, 1, vpn, 0, 0);
  } else {
    slot = swapGet(vm);
    if (slot == 0) return false;
    frameCopy(slot, frame);
  }
  notify(vm, vpn, vpn + 1);
  unmap(vm, vpn, chunk, 1);
  ksmUnmapped(vm, frame);
  if (slot != 0) swapped(vm, vpn, chunk, slot);
  return true;
}

function swapped(vm: usize, vpn: u64, chunk: usize, slot: u32): void {
  const i = <u32>vpn & 511;
  store<u32>(pageSlot(chunk, i), slot);
  bitSet(chunk + SWAPPED, i);
  hint(load<u32>(chunk, CHUNK_NODE), chunkIndex(vpn), HINT_SWAPPED);
  addSwapped(vm, 1);
  count(vm, Counter.ReclaimSwapout);
  event(EventKind.SwapOut, vm, 0, vpn, slot, 0);
}

/**
 * shrink_folio_list of a huge page that is wholly mapped. What is mapped as one is split first, so the table stays (9.4).
 * Returns how many frames came free.
 */
export function folioOut(vm: usize, base: u64, chunk: usize): u32 {
  notify(vm, base, base + GROUP);
  mappingSplitTold(chunk);
  const lazy = bitGet(chunk + LAZY, 0);
  const written = folioWritten(chunk);
  if (lazy && written) {
    // Written since it was freed: it is only taken back into use. The next time it goes to swap.
    folioSetDirty(chunk, true);
    folioSetLazy(vm, chunk, false);
    return 0;
  }
  if (!lazy && !slotsGet(vm, chunk)) {
    // No room for all of it: page by page, as far as there is.
    let freed = folioSplit(vm, base, chunk);
    for (let i: u32 = 0; i < GROUP; i++) if (bitGet(chunk + BACKED, i)) freed += <u32>pageOut(vm, base + i);
    return freed;
  }
  if (lazy) folioSetLazy(vm, chunk, false);
  bitsClear(chunk + BACKED, 0, GROUP);
  bitsClear(chunk + PART, 0, GROUP);
  bitsClear(chunk + DIRTY, 0, GROUP);
  bitsClear(chunk + WRITABLE, 0, GROUP);
  addBacked(vm, load<u32>(chunk, CHUNK_NODE), chunkIndex(base), -GROUP);
  const first = folioOf(chunk);
  if (lazy) {
    count(vm, Counter.ReclaimLazy, GROUP);
    event(EventKind.ReclaimLazy, vm, GROUP, base, 0, 0);
  } else {
    for (let i: u32 = 0; i < GROUP; i++) {
      const slot = load<u32>(pageSlot(chunk, i));
      frameCopy(slot, first + i);
      swapped(vm, base + i, chunk, slot);
    }
  }
  partsUnmapped(vm, base, chunk, GROUP);
  return GROUP;
}

/** folio_alloc_swap: a slot for each page of the huge page, in the place of its frame. False: none, nothing changed. */
function slotsGet(vm: usize, chunk: usize): bool {
  if (swapFree(vm) < GROUP) return false;
  for (let i: u32 = 0; i < GROUP; i++) {
    const slot = swapGet(vm);
    if (slot == 0) {
      // Another thread was quicker.
      while (i-- != 0) {
        swapPut(vm, load<u32>(pageSlot(chunk, i)));
        store<u32>(pageSlot(chunk, i), folioOf(chunk) + i);
      }
      return false;
    }
    store<u32>(pageSlot(chunk, i), slot);
  }
  return true;
}

/** mprotect of [from, to): an entry becomes writable at once if a write to it would need no copy (can_change_pte_writable). */
export function mixedProtect(vm: usize, base: u64, chunk: usize, from: u32, to: u32, writable: bool): void {
  if (!writable) {
    bitsClear(chunk + WRITABLE, from, to - from);
    return;
  }
  const shared = (load<u32>(vmaOf(vm, base + from), VMA_FLAGS) & VM_SHARED) != 0;
  for (let i = from; i < to; i++) {
    if (!bitGet(chunk + BACKED, i) || bitGet(chunk + KSM, i)) continue;
    if (!bitGet(chunk + FILE, i) || shared) bitSet(chunk + WRITABLE, i);
  }
}
