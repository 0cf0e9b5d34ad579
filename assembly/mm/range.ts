// What DONTNEED, FREE, PAGEOUT and MPROTECT do to the pages of a range, chunk by chunk and word by word.
// Cost follows the chunks that are there. The caller has decided on VMAs; this room knows only pages.
import { HOST_FRAMES, VM_LAZY, VM_MEMORY, VM_RSS } from '../base/layout';
import { lock, unlock } from '../base/lock';
import { add } from '../base/thread';
import { bitGet, bitsClear, bitsCount, wordMask } from '../base/bits';
import { min } from '../base/math';
import { Counter } from '../abi/events';
import { pagePut, pagePutChunk } from '../frames/cache';
import { groupFirst, poolLock, poolPutGroup } from '../frames/pool';
import { notify } from '../memslot/notify';
import { count } from '../trace/events';
import {
  addBacked, addSwapped, BACKED, CHUNK_KSM, chunkAt, chunkDrop, chunkIndex, chunkOf, chunkSettle, chunkTake, DIRTY, FILE, HINT_LAZY, HINT_SPECIAL, HINT_SWAPPED, hugeTag, LAZY,
  KSM, nextChunk, NODE_BACKED, NODE_HINTS, nodeOf, nodeSettle, pageSlot, planeEmpty, SWAPPED, WRITABLE,
} from './page-state';
import { ksmUnshare } from './unshare';
import { tableDropped } from './huge';
import { mixedCold, mixedDrop, mixedFree, mixedOut, mixedProtect } from './mixed';
import { pageOut } from './page-out';
import { uncharge } from './charge';
import { fileOwner } from './file';
import { swapPut } from './swap';

/**
 * The notifier for [vpn, end), then the first page of it that may have state. Where there is none the SLAT has
 * nothing from it either, and a look at its tables is saved.
 */
function begin(vm: usize, vpn: u64, end: u64): u64 {
  const first = vpn >> 9 == (end - 1) >> 9 ? firstOfChunk(vm, vpn, end) : nextChunk(vm, vpn, end);
  if (first < end) notify(vm, vpn, end);
  else count(vm, Counter.NotifierCalls);
  return first;
}

/** nextChunk for a range inside one chunk, as most are. */
// @ts-ignore: decorator
@inline
function firstOfChunk(vm: usize, vpn: u64, end: u64): u64 {
  return chunkOf(vm, vpn) == 0 ? end : vpn;
}

/** Forget all pages and swap entries of [vpn, end). */
export function pagesDrop(vm: usize, vpn: u64, end: u64): void {
  vpn = begin(vm, vpn, end);
  if (vpn < end) drop(vm, vpn, end, vm);
}

/** Holes in [at, end) of a file, whose pages nobody maps any more. */
export function fileDrop(file: usize, at: u64, end: u64): void {
  at = nextChunk(file, at, end);
  if (at < end) drop(file, at, end, fileOwner(file));
}

/** The pages of files among [vpn, end) are unmapped; copies stay. */
export function pagesUnmap(vm: usize, vpn: u64, end: u64): void {
  for (vpn = begin(vm, vpn, end); vpn < end; vpn = nextChunk(vm, vpn, end)) {
    const node = nodeOf(vm, vpn);
    const index = chunkIndex(vpn);
    const chunk = chunkAt(node, index);
    const stop = min(((vpn >> 9) + 1) << 9, end);
    if ((load<u8>(node + index, NODE_HINTS) & HINT_SPECIAL) == 0 || planeEmpty(chunk + FILE)) {
      vpn = stop;
      continue;
    }
    const base = vpn & ~(<u64>511);
    for (; vpn < stop; vpn++) {
      const i = <u32>vpn & 511;
      if (bitGet(chunk + FILE, i)) mixedDrop(vm, base, chunk, i, i + 1);
    }
    chunkSettle(vm, base, node, index, chunk);
  }
}

/** The pages of [vpn, end) of a VM or a file, the first of which is in a chunk that is there; `payer` is charged for them. */
function drop(vm: usize, vpn: u64, end: u64, payer: usize): void {
  for (; vpn < end; vpn = nextChunk(vm, vpn, end)) {
    const node = nodeOf(vm, vpn);
    const index = chunkIndex(vpn);
    const chunk = chunkAt(node, index);
    const stop = min(((vpn >> 9) + 1) << 9, end);
    const hints = load<u8>(node + index, NODE_HINTS);
    if ((hints & HINT_SPECIAL) != 0) {
      if (stop - vpn == 512 && hugeTag(node, index) != 0) {
        vpn = dropHugePages(vm, vpn, end, node, payer);
        continue;
      }
      mixedDrop(vm, vpn & ~(<u64>511), chunk, <u32>vpn & 511, <u32>(vpn & 511) + <u32>(stop - vpn));
      if (stop - vpn != 512) chunkSettle(vm, vpn, node, index, chunk);
      else tableDrop(vm, vpn, node, index, chunk);
    } else if (stop - vpn == 512) {
      const backed: i32 = load<u16>(node + (<usize>index << 1), NODE_BACKED);
      if (backed == 512) {
        pagePutChunk(HOST_FRAMES, chunk);
        uncharge(payer, VM_MEMORY, 512);
        if ((hints & HINT_LAZY) != 0) uncountLazy(vm, chunk, 0, 512);
      } else {
        dropWords(vm, chunk, 0, 512, hints, payer);
      }
      if (backed != 0) addBacked(vm, node, index, -backed);
      chunkDrop(vm, vpn, node, index, chunk);
    } else {
      const from = <u32>vpn & 511;
      const n = dropWords(vm, chunk, from, from + <u32>(stop - vpn), hints, payer);
      if (n != 0) addBacked(vm, node, index, -n);
      chunkSettle(vm, vpn, node, index, chunk);
    }
    vpn = stop;
  }
}

/**
 * The huge page at vpn and those that follow it in the same GiB, up to `end`. Returns the page behind the last. Their chunks
 * are not even looked at: each is a cache line that nobody has used since the page was zeroed.
 */
function dropHugePages(vm: usize, vpn: u64, end: u64, node: usize, payer: usize): u64 {
  const first = chunkIndex(vpn);
  const stop = <u32>min(512, <u64>first + ((end - vpn) >> 9));
  let lazy: u64 = 0;
  let index = first;
  lock(poolLock(HOST_FRAMES));
  do {
    const tag = hugeTag(node, index);
    if (tag == 0) break;
    const chunk = chunkAt(node, index);
    if ((load<u8>(node + index, NODE_HINTS) & HINT_LAZY) != 0) lazy += bitsCount(chunk + LAZY, 0, 512);
    poolPutGroup(HOST_FRAMES, groupFirst(tag - 1));
    store<u16>(node + (<usize>index << 1), 0, NODE_BACKED);
    chunkTake(node, index, chunk);
  } while (++index < stop);
  unlock(poolLock(HOST_FRAMES));
  const pages = <u64>(index - first) << 9;
  add(vm, VM_LAZY, -lazy);
  add(vm, VM_RSS, -pages);
  uncharge(payer, VM_MEMORY, pages);
  nodeSettle(vm, vpn, node, index - first);
  return vpn + pages;
}

/** All of a chunk was dropped, and with it the table (9.4). What KSM remembers stays until it comes by. */
function tableDrop(vm: usize, vpn: u64, node: usize, index: u32, chunk: usize): void {
  if (load<u32>(chunk, CHUNK_KSM) == 0) {
    chunkDrop(vm, vpn, node, index, chunk);
    return;
  }
  tableDropped(chunk);
  chunkSettle(vm, vpn, node, index, chunk);
}

/** Free the frames and slots of pages [from, to) of a chunk and clear all their bits. Returns backed pages freed. */
function dropWords(vm: usize, chunk: usize, from: u32, to: u32, hints: u32, payer: usize): i32 {
  let freed: u32 = 0;
  if ((hints & HINT_LAZY) != 0) uncountLazy(vm, chunk, from, to);
  for (let i = from; i < to; ) {
    const word = i >> 6;
    const next = min((word + 1) << 6, to) as u32;
    const mask = wordMask(i & 63, ((next - 1) & 63) + 1);
    const p = chunk + (<usize>word << 3);
    for (let bits = load<u64>(p, BACKED) & mask; bits != 0; bits &= bits - 1) {
      pagePut(HOST_FRAMES, load<u32>(pageSlot(chunk, (word << 6) + <u32>ctz(bits))));
      freed++;
    }
    if ((hints & HINT_SWAPPED) != 0) dropSlots(vm, chunk, p, word, mask, payer);
    i = next;
  }
  if (freed != 0) uncharge(payer, VM_MEMORY, freed);
  for (let plane = BACKED; plane <= WRITABLE; plane += 64) bitsClear(chunk + plane, from, to - from);
  return freed;
}

function dropSlots(vm: usize, chunk: usize, p: usize, word: u32, mask: u64, payer: usize): void {
  const all = load<u64>(p, SWAPPED) & mask;
  if (all == 0) return;
  for (let bits = all; bits != 0; bits &= bits - 1) {
    swapPut(payer, load<u32>(pageSlot(chunk, (word << 6) + <u32>ctz(bits))));
  }
  store<u64>(p, load<u64>(p, SWAPPED) & ~mask, SWAPPED);
  addSwapped(vm, -<i64>popcnt(all));
}

/** Take the lazily freed pages of [from, to) out of the VM's count. */
function uncountLazy(vm: usize, chunk: usize, from: u32, to: u32): void {
  add(vm, VM_LAZY, 0 - <u64>bitsCount(chunk + LAZY, from, to - from));
}

/** MADV_FREE: backed pages become clean and lazy, swapped ones are gone (rule 4.2). */
export function pagesFree(vm: usize, vpn: u64, end: u64): void {
  for (vpn = begin(vm, vpn, end); vpn < end; vpn = nextChunk(vm, vpn, end)) {
    const node = nodeOf(vm, vpn);
    const index = chunkIndex(vpn);
    const chunk = chunkAt(node, index);
    const stop = min(((vpn >> 9) + 1) << 9, end);
    const to = (<u32>vpn & 511) + <u32>(stop - vpn);
    const special = (load<u8>(node + index, NODE_HINTS) & HINT_SPECIAL) != 0;
    if (special) mixedFree(vm, vpn & ~(<u64>511), chunk, <u32>vpn & 511, to);
    for (let i = special ? to : <u32>vpn & 511; i < to; ) {
      const word = i >> 6;
      const next = min((word + 1) << 6, to) as u32;
      const mask = wordMask(i & 63, ((next - 1) & 63) + 1);
      const p = chunk + (<usize>word << 3);
      const backed = load<u64>(p, BACKED) & mask;
      const lazy = load<u64>(p, LAZY);
      add(vm, VM_LAZY, popcnt(backed & ~lazy));
      store<u64>(p, lazy | backed, LAZY);
      store<u64>(p, load<u64>(p, DIRTY) & ~backed, DIRTY);
      dropSlots(vm, chunk, p, word, mask, vm);
      i = next;
    }
    chunkSettle(vm, vpn, node, index, chunk);
    vpn = stop;
  }
}

/** MADV_PAGEOUT: reclaim each backed page (rule 4.4). */
export function pagesOut(vm: usize, vpn: u64, end: u64): void {
  while ((vpn = nextChunk(vm, vpn, end)) < end) {
    const node = nodeOf(vm, vpn);
    const index = chunkIndex(vpn);
    const chunk = chunkAt(node, index);
    const base = (vpn >> 9) << 9;
    const stop = min(base + 512, end);
    const to = <u32>(stop - base);
    const special = (load<u8>(node + index, NODE_HINTS) & HINT_SPECIAL) != 0;
    if (special) mixedOut(vm, base, chunk, <u32>vpn & 511, to);
    for (let i = special ? to : <u32>vpn & 511; i < to; ) {
      const word = i >> 6;
      const next = min((word + 1) << 6, to) as u32;
      const mask = wordMask(i & 63, ((next - 1) & 63) + 1);
      for (let bits = load<u64>(chunk + (<usize>word << 3), BACKED) & mask; bits != 0; bits &= bits - 1) {
        pageOut(vm, base + (word << 6) + <u64>ctz(bits));
      }
      i = next;
    }
    chunkSettle(vm, vpn, node, index, chunk);
    vpn = stop;
  }
}

/** MADV_COLD: nothing is seen of it, but that a huge page which is not wholly in the range is split (9.5). */
export function pagesCold(vm: usize, vpn: u64, end: u64): void {
  while ((vpn = nextChunk(vm, vpn, end)) < end) {
    const node = nodeOf(vm, vpn);
    const index = chunkIndex(vpn);
    const stop = min(((vpn >> 9) + 1) << 9, end);
    const from = <u32>vpn & 511;
    if ((load<u8>(node + index, NODE_HINTS) & HINT_SPECIAL) != 0) mixedCold(vm, vpn, chunkAt(node, index), from, from + <u32>(stop - vpn));
    vpn = stop;
  }
}

/** MADV_UNMERGEABLE: no page of [vpn, end) is shared by KSM any more. False when frames for the copies ran out. */
export function pagesUnshare(vm: usize, vpn: u64, end: u64): bool {
  while ((vpn = nextChunk(vm, vpn, end)) < end) {
    const node = nodeOf(vm, vpn);
    const index = chunkIndex(vpn);
    const chunk = chunkAt(node, index);
    const stop = min(((vpn >> 9) + 1) << 9, end);
    if ((load<u8>(node + index, NODE_HINTS) & HINT_SPECIAL) == 0 || planeEmpty(chunk + KSM)) vpn = stop;
    for (; vpn < stop; vpn++) if (!ksmUnshare(vm, vpn)) return false;
  }
  return true;
}

/** mprotect: the ptes of [vpn, end) get the new permission. Anonymous pages are exclusive, so writable at once. */
export function pagesProtect(vm: usize, vpn: u64, end: u64, writable: bool): void {
  for (vpn = begin(vm, vpn, end); vpn < end; vpn = nextChunk(vm, vpn, end)) {
    const node = nodeOf(vm, vpn);
    const chunk = chunkAt(node, chunkIndex(vpn));
    const stop = min(((vpn >> 9) + 1) << 9, end);
    if ((load<u8>(node + chunkIndex(vpn), NODE_HINTS) & HINT_SPECIAL) != 0) {
      mixedProtect(vm, vpn & ~(<u64>511), chunk, <u32>vpn & 511, (<u32>vpn & 511) + <u32>(stop - vpn), writable);
    } else if (!writable) {
      bitsClear(chunk + WRITABLE, <u32>vpn & 511, <u32>(stop - vpn));
    } else if (stop - vpn == 512) {
      for (let o: usize = 0; o < 64; o += 16) v128.store(chunk + o, v128.load(chunk + o, BACKED), WRITABLE);
    } else {
      const to = (<u32>vpn & 511) + <u32>(stop - vpn);
      for (let i = <u32>vpn & 511; i < to; ) {
        const next = min(((i >> 6) + 1) << 6, to) as u32;
        const mask = wordMask(i & 63, ((next - 1) & 63) + 1);
        const p = chunk + (<usize>(i >> 6) << 3);
        store<u64>(p, load<u64>(p, WRITABLE) | (load<u64>(p, BACKED) & mask), WRITABLE);
        i = next;
      }
    }
    vpn = stop;
  }
}
