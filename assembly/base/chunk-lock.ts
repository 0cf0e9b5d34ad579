// Chunk locks: what an operation does to pages, it does with the locks of all their 2 MiB chunks, from its first look
// to its last change. So operations that share a page come one after the other, each whole, and others do not meet.
// (Linux: mmap lock and page-table locks; why these are enough: docs/decisions/0013.)
//
// The lock of a chunk is found by its number, modulo LOCK_COUNT. A VM in which two RAM regions share a SLAT leaf table
// drops the upper bits of the number: hva and gfn of a page agree in the lower nine bits (regions are congruent modulo
// 1 GiB), so both chunks behind such a table have one lock.
//
// Where pages of a file or of two slots have no such order, a VM has one lock for all of its chunks. It has so, too, in a
// run of vCPU threads that change slots, memory attributes, dirty logs or files of guest_memfd (vcpu/threads.ts): all that
// hangs on slots changes under that lock alone, and who looks at it holds it (linux: slots_lock, srcu, mmu_lock in one).
//
// A hugetlb page of 1 GiB is changed whole, so in a VM of such pages who locks one chunk locks all 512 of its GiB.
import { SyncPoint } from '../abi/sync';
import { LOCK_COUNT, LOCK_SIZE, LOCKS, RUN_MISSED, RUN_MISSED_OWNER, VM_HUGETLB_PAGES, VM_LOCK_FIRST, VM_LOCK_MASK } from './layout';
import { lock, pause, tryLock, unlock } from './lock';
import { self, THREADS } from './thread';

// @ts-ignore: decorator
@inline
function lockAt(i: u32): usize {
  return LOCKS + <usize>(i & (LOCK_COUNT - 1)) * LOCK_SIZE;
}

// @ts-ignore: decorator
@inline
function lockOf(vm: usize, vpn: u64): usize {
  return lockAt((<u32>(vpn >> 9) & load<u32>(vm, VM_LOCK_MASK)) + load<u32>(vm, VM_LOCK_FIRST));
}

// @ts-ignore: decorator
@inline
function isGigantic(vm: usize): bool {
  return load<u32>(vm, VM_HUGETLB_PAGES) > 512;
}

/** Whether all chunks of the VM have one lock: only then its slots may change while threads run. */
// @ts-ignore: decorator
@inline
export function hasOneLock(vm: usize): bool {
  if (THREADS) return self != 0 && load<u32>(vm, VM_LOCK_MASK) == 0;
  return false;
}

/** Where the VM has one lock, that one. Elsewhere nothing: what is looked at then does not change while threads run. */
// @ts-ignore: decorator
@inline
export function oneLock(vm: usize): void {
  if (hasOneLock(vm)) lock(lockOf(vm, 0));
}

// @ts-ignore: decorator
@inline
export function oneUnlock(vm: usize): void {
  if (hasOneLock(vm)) unlock(lockOf(vm, 0));
}

/** The chunk of one page. */
// @ts-ignore: decorator
@inline
export function chunkLock(vm: usize, vpn: u64): void {
  if (THREADS) {
    if (self != 0) {
      if (isGigantic(vm)) eachLock(vm, vpn, vpn + 1, true);
      else lock(lockOf(vm, vpn));
    }
  }
}

// @ts-ignore: decorator
@inline
export function chunkUnlock(vm: usize, vpn: u64): void {
  if (THREADS) {
    if (self != 0) {
      if (isGigantic(vm)) eachLock(vm, vpn, vpn + 1, false);
      else unlock(lockOf(vm, vpn));
    }
  }
}

/** For reclaim, which comes in the middle of an operation: 0 the chunk is somebody else's, 1 locked now, 2 ours already. */
export function chunkTry(vm: usize, vpn: u64): u32 {
  if (THREADS) {
    if (self != 0) {
      const p = lockOf(vm, vpn);
      const owner = atomic.load<u32>(p);
      if (owner == <u32>self) return 2;
      if (tryLock(p)) return 1;
      store<u32>(self, <u32>p, RUN_MISSED);
      store<u32>(self, owner, RUN_MISSED_OWNER);
      return 0;
    }
  }
  return 2;
}

/** As many attempts as Linux makes before it gives up (MAX_RECLAIM_RETRIES). */
const ATTEMPTS: u32 = 16;

/**
 * What the operation needed could not be had. Whether to try once more, after `attempts`: a chunk that somebody else was
 * at work on was left out, and has been let go now. No lock is held: who is waited for may be waiting for one of ours.
 */
export function chunkMissed(attempts: u32): bool {
  if (THREADS) {
    if (self != 0 && attempts < ATTEMPTS) {
      const p: usize = load<u32>(self, RUN_MISSED);
      if (p == 0) return false;
      store<u32>(self, 0, RUN_MISSED);
      const owner = load<u32>(self, RUN_MISSED_OWNER);
      if (owner != 0 && atomic.load<u32>(p) == owner) pause(p, owner, SyncPoint.LockWait);
      return true;
    }
  }
  return false;
}

/** Take back what chunkTry answered. */
export function chunkUntry(vm: usize, vpn: u64, was: u32): void {
  if (THREADS) {
    if (was == 1) unlock(lockOf(vm, vpn));
  }
}

/** All chunks of [vpn, end). Ascending, so that two such calls cannot wait for each other. */
// @ts-ignore: decorator
@inline
export function rangeLock(vm: usize, vpn: u64, end: u64): void {
  if (THREADS) {
    if (self != 0) eachLock(vm, vpn, end, true);
  }
}

// @ts-ignore: decorator
@inline
export function rangeUnlock(vm: usize, vpn: u64, end: u64): void {
  if (THREADS) {
    if (self != 0) eachLock(vm, vpn, end, false);
  }
}

function eachLock(vm: usize, vpn: u64, end: u64, take: bool): void {
  if (vpn >= end) return;
  if (isGigantic(vm)) {
    const rest: u64 = load<u32>(vm, VM_HUGETLB_PAGES) - 1;
    vpn &= ~rest;
    end = (end + rest) & ~rest;
  }
  const mask = load<u32>(vm, VM_LOCK_MASK);
  const chunks = ((end - 1) >> 9) - (vpn >> 9) + 1;
  if (chunks == 1) {
    if (take) lock(lockOf(vm, vpn));
    else unlock(lockOf(vm, vpn));
    return;
  }
  // More than one chunk of a VM with few locks: all of them, it is a rare shape.
  const few = mask + 1 < LOCK_COUNT;
  const n: u32 = few ? mask + 1 : chunks > <u64>LOCK_COUNT ? LOCK_COUNT : <u32>chunks;
  const first = few ? load<u32>(vm, VM_LOCK_FIRST) : (<u32>(vpn >> 9) + load<u32>(vm, VM_LOCK_FIRST)) & (LOCK_COUNT - 1);
  // The part that wraps around has the lower numbers.
  const over: u32 = first + n > LOCK_COUNT ? first + n - LOCK_COUNT : 0;
  for (let i: u32 = 0; i < over; i++) one(i, take);
  for (let i = first, stop = first + n - over; i < stop; i++) one(i, take);
}

function one(i: u32, take: bool): void {
  if (take) lock(lockAt(i));
  else unlock(lockAt(i));
}
