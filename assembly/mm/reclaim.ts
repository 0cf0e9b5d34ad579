// Frames for the VMM's pages, and reclaim when there are none: lazily freed pages first, then swap.
// Deterministic: a hand goes round the pages of all VMs in address order. Locked VMAs are never touched,
// nor is the pinned page (a straddling access holds its first page while it faults in the second).
// Reference: linux mm/vmscan.c, mm/rmap.c try_to_unmap_one (what happens to each kind of page).
import { Counter, EventKind } from '../abi/events';
import {
  HERE_PIN_VM, HERE_PIN_VPN, HOST_FRAMES, HOST_HAND_VM, HOST_HAND_VPN, HOST_HERE, HOST_RECLAIM_LOCK, HOST_SWAP,
  HOST_VM_COUNT, RUN_HERE, RUN_LOCAL, RUN_VMA_ASIDE, VM_BASE, VM_CPUS, VM_DIR_LEN, VM_ID, VM_LAZY, VM_RSS, VM_SIZE,
  VPN_BASE,
} from '../base/layout';
import { bitClear, bitGet, bitSet } from '../base/bits';
import { min } from '../base/math';
import { chunkTry, chunkUntry } from '../base/chunk-lock';
import { lock, unlock } from '../base/lock';
import { add, runOf, self, threaded } from '../base/thread';
import { frameCopy, frameZero } from '../frames/bytes';
import { pageGet, pagePut, pagesFree, pageTakeFresh } from '../frames/cache';
import { poolFree, poolTotal } from '../frames/pool';
import { notify } from '../memslot/notify';
import { count, event } from '../trace/events';
import {
  addBacked, addSwapped, BACKED, chunkAt, chunkIndex, DIRTY, hint, HINT_LAZY, HINT_SWAPPED, LAZY, nextChunk,
  NODE_HINTS, nodeOf, pageSlot, SWAPPED, WRITABLE,
} from './page-state';
import { vmaOf } from './look-up';
import { VMA_END, VMA_FLAGS } from './vma';
import { VM_LOCKED } from '../abi/vm-flags';

/** As many pages as Linux takes in one go (SWAP_CLUSTER_MAX). */
const BATCH: u32 = 32;

/** A frame with any content, after reclaim if need be; 0 when there is none to be had. */
// @ts-ignore: decorator
@inline
export function frameGet(vm: usize): u32 {
  const page = pageGet(HOST_FRAMES);
  return page != 0 ? page : frameReclaimed(vm);
}

/** The same, zeroed. */
// @ts-ignore: decorator
@inline
export function frameGetZeroed(vm: usize): u32 {
  const page = frameGet(vm);
  if (page != 0 && !pageTakeFresh(HOST_FRAMES, page)) frameZero(page);
  return page;
}

function frameReclaimed(vm: usize): u32 {
  // One thread at a time; those that waited find what it freed.
  lock(HOST_RECLAIM_LOCK);
  let page = threaded() ? pageGet(HOST_FRAMES) : 0;
  if (page == 0) {
    if (anyLazy()) sweep(true);
    page = pageGet(HOST_FRAMES);
  }
  if (page == 0 && pagesFree(HOST_SWAP) != 0) {
    sweep(false);
    page = pageGet(HOST_FRAMES);
  }
  unlock(HOST_RECLAIM_LOCK);
  if (page == 0) event(EventKind.Oom, vm, 0, poolTotal(HOST_FRAMES), 0, 0);
  return page;
}

/** Whether there are lazily freed pages on the host, written again or not. */
function anyLazy(): bool {
  let lazy: u64 = 0;
  for (let v: u32 = 0, vms = load<u32>(HOST_VM_COUNT); v < vms; v++) {
    const vm = VM_BASE + <usize>v * VM_SIZE;
    lazy += load<u64>(vm, VM_LAZY);
    if (!threaded()) continue;
    for (let cpu: u32 = 0, cpus = load<u32>(vm, VM_CPUS); cpu < cpus; cpu++) lazy += load<u64>(runOf(vm, cpu) + RUN_LOCAL, VM_LAZY);
  }
  return lazy != 0;
}

/**
 * One round of the hand at most, until BATCH pages are free. `lazy`: drop lazily freed pages and put those
 * that were written again back among the others; else: swap out. Chunks at which another thread is at work are
 * left out (linux: folio_trylock).
 */
function sweep(lazy: bool): void {
  const vms = load<u32>(HOST_VM_COUNT);
  let v = load<u32>(HOST_HAND_VM);
  let vpn = load<u64>(HOST_HAND_VPN);
  let freed: u32 = 0;
  // The VM in which the hand stands is visited twice: from the hand on, and at last up to it.
  for (let visits: u32 = 0; visits <= vms && freed < BATCH; visits++) {
    const vm = VM_BASE + <usize>v * VM_SIZE;
    const end = VPN_BASE + ((<u64>load<u32>(vm, VM_DIR_LEN)) << 18);
    if (vpn < VPN_BASE) vpn = VPN_BASE;
    if (!threaded() && load<u64>(vm, VM_RSS) == 0) vpn = end;
    while (freed < BATCH) {
      vpn = nextChunk(vm, vpn, end);
      if (vpn >= end) break;
      const stop = ((vpn >> 9) + 1) << 9;
      const was = chunkTry(vm, vpn);
      if (was == 0) {
        vpn = stop;
        continue;
      }
      freed += sweepChunk(vm, vpn, stop, lazy, BATCH - freed);
      chunkUntry(vm, vpn, was);
      vpn = load<u64>(HOST_HAND_VPN);
    }
    if (freed >= BATCH) break;
    v = v + 1 < vms ? v + 1 : 0;
    vpn = VPN_BASE;
  }
  store<u32>(HOST_HAND_VM, v);
  store<u64>(HOST_HAND_VPN, vpn);
}

/**
 * The pages [vpn, stop) of one chunk, until `need` of them are free (or there is no slot for more). Returns how many;
 * the hand stands behind the last page looked at.
 */
function sweepChunk(vm: usize, vpn: u64, stop: u64, lazy: bool, need: u32): u32 {
  const node = nodeOf(vm, vpn);
  const index = chunkIndex(vpn);
  const chunk = chunkAt(node, index);
  let freed: u32 = 0;
  // Between the look that found it and its lock another thread may have taken it away.
  if (chunk == 0 || (lazy && (load<u8>(node + index, NODE_HINTS) & HINT_LAZY) == 0)) vpn = stop;
  while (vpn < stop && freed < need) {
    const vma = vmaOf(vm, vpn, 0, self + RUN_VMA_ASIDE);
    if (vma == 0) {
      vpn++;
      continue;
    }
    const till = min(load<u64>(vma, VMA_END), stop);
    if ((load<u32>(vma, VMA_FLAGS) & VM_LOCKED) != 0) {
      vpn = till;
      continue;
    }
    for (; vpn < till && freed < need; vpn++) {
      if (!bitGet(chunk + BACKED, <u32>vpn & 511) || pinned(vm, vpn)) continue;
      freed += <u32>(lazy ? dropLazy(vm, vpn) : pageOut(vm, vpn));
      if (!lazy && poolFree(HOST_SWAP) == 0 && pagesFree(HOST_SWAP) == 0) freed = max<u32>(freed, need);
    }
  }
  store<u64>(HOST_HAND_VPN, vpn);
  return freed;
}

function pinned(vm: usize, vpn: u64): bool {
  if (!threaded()) return pinnedBy(HOST_HERE, vm, vpn);
  for (let cpu: u32 = 0, cpus = load<u32>(vm, VM_CPUS); cpu < cpus; cpu++) {
    if (pinnedBy(runOf(vm, cpu) + RUN_HERE, vm, vpn)) return true;
  }
  return false;
}

// @ts-ignore: decorator
@inline
function pinnedBy(h: usize, vm: usize, vpn: u64): bool {
  return load<u64>(h, HERE_PIN_VPN) == vpn && load<u32>(h, HERE_PIN_VM) == load<u32>(vm, VM_ID) + 1;
}

/** Reclaim's look at a lazily freed page: clean is dropped (true), dirty goes back among the others. */
function dropLazy(vm: usize, vpn: u64): bool {
  const node = nodeOf(vm, vpn);
  const chunk = chunkAt(node, chunkIndex(vpn));
  const i = <u32>vpn & 511;
  if (!bitGet(chunk + LAZY, i)) return false;
  return pageOut(vm, vpn);
}

/**
 * Reclaim one backed page (mapped once): `l` is dropped, `d` is rescued to `a`, `a` goes to swap when there
 * is a slot. True when its frame came free. The chunk stays, even when empty: callers hold it.
 */
export function pageOut(vm: usize, vpn: u64): bool {
  const node = nodeOf(vm, vpn);
  const index = chunkIndex(vpn);
  const chunk = chunkAt(node, index);
  const i = <u32>vpn & 511;
  const frame = load<u32>(pageSlot(chunk, i));
  const lazy = bitGet(chunk + LAZY, i);
  let slot: u32 = 0;
  if (lazy) {
    notify(vm, vpn, vpn + 1);
    add(vm, VM_LAZY, -1);
    bitClear(chunk + LAZY, i);
    if (bitGet(chunk + DIRTY, i)) return false;
    count(vm, Counter.ReclaimLazy);
    event(EventKind.ReclaimLazy, vm, 1, vpn, 0, 0);
  } else {
    slot = pageGet(HOST_SWAP);
    if (slot == 0) return false;
    notify(vm, vpn, vpn + 1);
    frameCopy(slot, frame);
    bitSet(chunk + SWAPPED, i);
    hint(node, index, HINT_SWAPPED);
    addSwapped(vm, 1);
    count(vm, Counter.ReclaimSwapout);
    event(EventKind.SwapOut, vm, 0, vpn, slot, 0);
  }
  store<u32>(pageSlot(chunk, i), slot);
  bitClear(chunk + BACKED, i);
  bitClear(chunk + DIRTY, i);
  bitClear(chunk + WRITABLE, i);
  addBacked(vm, node, index, -1);
  pagePut(HOST_FRAMES, frame);
  return true;
}
