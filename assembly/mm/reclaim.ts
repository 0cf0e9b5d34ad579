// Frames for the VMM's pages, charged to a VM, and reclaim: of pages of all VMs when the host has no frame, of the VM's
// own when it is at its limit (sweep.ts). Each has three rounds: what can be dropped, clean pages of files, swap.
// Reference: linux mm/page_alloc.c, mm/memcontrol.c (try_charge_memcg, memory_max_write).
import { Counter, EventKind } from '../abi/events';
import { Fail } from '../abi/fail';
import { HOST_FRAMES, HOST_RECLAIM_LOCK, RUN_MISSED, VM_MEMORY, VM_MEMORY_SWAP } from '../base/layout';
import { lock, unlock } from '../base/lock';
import { self, threaded } from '../base/thread';
import { frameZero } from '../frames/bytes';
import { pageGet, pagePut, pageTakeFresh } from '../frames/cache';
import { fails } from '../frames/fail';
import { hugeGetZeroed, hugePut } from '../frames/huge';
import { hasNodes } from '../frames/node';
import { GROUP, poolTotal } from '../frames/pool';
import { count, event } from '../trace/events';
import { charge, maxOf, setMax, uncharge, usageOf } from './charge';
import { place } from './policy';
import { Round, sweep, sweepOwn } from './sweep';

/** As many pages as Linux takes in one go (SWAP_CLUSTER_MAX). */
const BATCH: u32 = 32;
/** How often Linux tries to get below a limit (MAX_RECLAIM_RETRIES). */
const ATTEMPTS: u32 = 16;

/**
 * A frame with any content, after reclaim if need be, for page `at` of `space`, the VM or a file of it; 0 when there is none
 * to be had, or none for this VM.
 */
// @ts-ignore: decorator
@inline
export function frameGet(vm: usize, space: usize, at: u64): u32 {
  if (fails(Fail.Frame)) return noFrame(vm);
  let page = pageGet(HOST_FRAMES);
  if (page == 0) page = frameReclaimed(vm);
  if (page != 0 && !charge(vm, VM_MEMORY, 1)) page = frameCharged(vm, page);
  return hasNodes() ? framePlaced(vm, space, at, page) : page;
}

/** The same, zeroed. */
// @ts-ignore: decorator
@inline
export function frameGetZeroed(vm: usize, space: usize, at: u64): u32 {
  const page = frameGet(vm, space, at);
  if (page != 0 && !pageTakeFresh(HOST_FRAMES, page)) frameZero(page);
  return page;
}

/**
 * First frame of a zeroed group of 512 for page `at` of `space` and its neighbours, 0 when there is none or the VM may not
 * have it, not even after reclaim of its own pages. Nobody is out of memory then: small pages may still be had.
 */
export function groupGetZeroed(vm: usize, space: usize, at: u64): u32 {
  const first = hugeGetZeroed();
  if (first == 0) return 0;
  if (charge(vm, VM_MEMORY, GROUP) || chargeReclaimed(vm, GROUP)) {
    if (!hasNodes() || place(vm, space, at, first, GROUP)) return first;
    uncharge(vm, VM_MEMORY, GROUP);
  }
  hugePut(first);
  return 0;
}

/** `page` on a node of the policy for page `at` of `space`; 0 when none has room. Nothing is reclaimed for a node's sake. */
function framePlaced(vm: usize, space: usize, at: u64, page: u32): u32 {
  if (page == 0 || place(vm, space, at, page, 1)) return page;
  uncharge(vm, VM_MEMORY, 1);
  pageTakeFresh(HOST_FRAMES, page);
  pagePut(HOST_FRAMES, page);
  return noFrame(vm);
}

function frameReclaimed(vm: usize): u32 {
  // One thread at a time; those that waited find what it freed.
  lock(HOST_RECLAIM_LOCK);
  let page = threaded() ? pageGet(HOST_FRAMES) : 0;
  for (let attempt: u32 = 0; page == 0 && attempt < ATTEMPTS; attempt++) {
    let freed: u32 = 0;
    for (let round: Round = Round.Droppable; page == 0 && round <= Round.Swap; round++) {
      freed += sweep(round, BATCH);
      page = pageGet(HOST_FRAMES);
    }
    // What came free others may have taken, who need no reclaim: a huge page is hundreds of frames (linux: should_reclaim_retry).
    if (freed == 0 || !threaded()) break;
  }
  unlock(HOST_RECLAIM_LOCK);
  return page != 0 ? page : noFrame(vm);
}

function noFrame(vm: usize): u32 {
  if (!isMissed()) event(EventKind.Oom, vm, 0, poolTotal(HOST_FRAMES), 0, 0);
  return 0;
}

/** The VM is at its limit: `page`, which it was to get, after reclaim of its own pages; 0 when that freed nothing. */
function frameCharged(vm: usize, page: u32): u32 {
  if (chargeReclaimed(vm, 1)) return page;
  pageTakeFresh(HOST_FRAMES, page);
  pagePut(HOST_FRAMES, page);
  overLimit(vm);
  return 0;
}

/** Reclaim left out a chunk that another thread was at work on: the operation begins again (chunkMissed), and nobody is out of memory. */
function isMissed(): bool {
  return threaded() && load<u32>(self, RUN_MISSED) != 0;
}

function overLimit(vm: usize): void {
  if (isMissed()) return;
  count(vm, Counter.MemoryOom);
  event(EventKind.Oom, vm, 1, maxOf(vm, VM_MEMORY), 0, 0);
}

/** Charge `pages` to the VM, or none to see whether it is within its limit, after reclaim of its own pages. */
function chargeReclaimed(vm: usize, pages: u32): bool {
  lock(HOST_RECLAIM_LOCK);
  let charged = threaded() && charge(vm, VM_MEMORY, pages);
  if (!charged) count(vm, Counter.MemoryMax);
  for (let attempt: u32 = 0; !charged && attempt < ATTEMPTS; attempt++) {
    let freed: u32 = 0;
    for (let round: Round = Round.Droppable; !charged && round <= Round.Swap; round++) {
      const missing = <i64>(usageOf(vm, VM_MEMORY) + pages - maxOf(vm, VM_MEMORY));
      freed += sweepOwn(vm, round, <u32>max<i64>(missing, BATCH));
      charged = charge(vm, VM_MEMORY, pages);
    }
    if (freed == 0) break;
  }
  unlock(HOST_RECLAIM_LOCK);
  return charged;
}

/** memory.max is written: what is over it is reclaimed. What cannot be stays, and the VM is out of memory (no thread runs). */
export function setMemoryMax(vm: usize, pages: u64): void {
  setMax(vm, VM_MEMORY, pages);
  if (!charge(vm, VM_MEMORY, 0) && !chargeReclaimed(vm, 0)) overLimit(vm);
}

/** memory.swap.max is written: what is in swap stays there. */
export function setSwapMax(vm: usize, pages: u64): void {
  setMax(vm, VM_MEMORY_SWAP, pages);
}
