// Looking a VMA up, alone and beside other threads, and the locks of the lists.
//
// One thread of control remembers what it found last (linux had a vmacache). A vCPU thread takes no lock to look: it
// copies the record between two looks at its list's sequence, which is odd while the list changes.
import { SyncPoint } from '../abi/sync';
import {
  RUN_VMA, RUN_VMAS_FIRST, RUN_VMAS_LAST, VM_VMA_HIT, VM_VMA_HIT_PAGES, VM_VMA_HIT_START, VM_VMA_LIST_COUNT, VM_VMA_LISTS,
} from '../base/layout';
import { pause, wake } from '../base/lock';
import { self, sync, THREADS, threaded } from '../base/thread';
import { isBorder } from './regions';
import {
  blockAt, findIn, firstIn, LIST_BLOCKS, LIST_CONTINUES, listAt, listOf, nextList, VMA_END, VMA_SIZE, VMA_START, vmaFind,
} from './vma';

/**
 * The first VMA that ends behind vpn, 0 for none: its record, which holds until the next insert or delete. On a vCPU
 * thread a copy at `copy`, taken without a lock: what it says of pages whose chunk is locked stays true, but its ends may
 * move where they lie in chunks that are not. It is then the part in one region (regions.ts), which may end before the
 * VMA does, but not before `end` if the VMA reaches as far.
 */
// @ts-ignore: decorator
@inline
export function vmaFrom(vm: usize, vpn: u64, end: u64 = 0, copy: usize = self + RUN_VMA): usize {
  if (threaded()) return copyFrom(vm, vpn, end, copy);
  return isInHit(vm, vpn, vpn + 1) ? <usize>load<u32>(vm, VM_VMA_HIT) : found(vm, vpn);
}

/** Whether the VMA last found has all of [vpn, end), which is not empty; not for vCPU threads. */
// @ts-ignore: decorator
@inline
export function isInHit(vm: usize, vpn: u64, end: u64): bool {
  const start = load<u64>(vm, VM_VMA_HIT_START);
  return vpn >= start && end - start <= load<u64>(vm, VM_VMA_HIT_PAGES);
}

/** The look-up itself; what it finds is remembered until a VMA changes. */
function found(vm: usize, vpn: u64): usize {
  const vma = vmaFind(vm, vpn);
  if (vma == 0) return 0;
  const start = load<u64>(vma, VMA_START);
  store<u32>(vm, <u32>vma, VM_VMA_HIT);
  store<u64>(vm, start, VM_VMA_HIT_START);
  store<u64>(vm, load<u64>(vma, VMA_END) - start, VM_VMA_HIT_PAGES);
  return vma;
}

/** The VMA that contains vpn, 0 for none; as vmaFrom. */
// @ts-ignore: decorator
@inline
export function vmaOf(vm: usize, vpn: u64, end: u64 = 0, copy: usize = self + RUN_VMA): usize {
  const vma = vmaFrom(vm, vpn, end, copy);
  return vma != 0 && load<u64>(vma, VMA_START) <= vpn ? vma : <usize>0;
}

function copyFrom(vm: usize, vpn: u64, end: u64, copy: usize): usize {
  let list = listOf(vm, vpn);
  for (const stop = listAt(vm, load<u32>(vm, VM_VMA_LIST_COUNT)); list < stop; list = nextList(list)) {
    if (!copyIn(list, vpn, copy)) continue;
    if (load<u64>(copy, VMA_END) < end) extend(vm, end, copy);
    return copy;
  }
  return 0;
}

/**
 * The look-up beside a change: what is read may be half moved, so every number is used only within bounds, and the
 * sequence tells at the end whether it was. False: no VMA of this list ends behind vpn.
 */
function copyIn(list: usize, vpn: u64, copy: usize): bool {
  if (THREADS) {
    for (;;) {
      const seq = sequence(list);
      const vma = findIn(list, vpn);
      // With order: these loads come before the next look at the sequence.
      if (vma != 0) for (let i: usize = 0; i < VMA_SIZE; i += 8) store<u64>(copy + i, atomic.load<u64>(vma + i));
      if (atomic.load<u32>(list) == seq) return vma != 0;
    }
  }
  return false;
}

/** The parts behind the one in `copy` are added to it, up to `end`. */
function extend(vm: usize, end: u64, copy: usize): void {
  if (THREADS) {
    let at = load<u64>(copy, VMA_END);
    while (at < end && isBorder(vm, at)) {
      const list = listOf(vm, at);
      const seq = sequence(list);
      const first = firstIn(blockAt(list, 0));
      const continues = load<u32>(list, LIST_CONTINUES) != 0 && load<u32>(list, LIST_BLOCKS) != 0 && load<u64>(first, VMA_START) == at;
      const stop = atomic.load<u64>(first, VMA_END);
      if (atomic.load<u32>(list) != seq) continue;
      if (!continues) return;
      store<u64>(copy, stop, VMA_END);
      at = stop;
    }
  }
}

/** The list's sequence, when nobody else is changing the list. */
function sequence(list: usize): u32 {
  if (THREADS) {
    for (;;) {
      const seq = atomic.load<u32>(list);
      if ((seq & 1) == 0) {
        sync(SyncPoint.Look, list);
        return seq;
      }
      if (held(list)) return seq;
      pause(list, seq, SyncPoint.LockWait);
    }
  }
  return 0;
}

// @ts-ignore: decorator
@inline
function held(list: usize): bool {
  return list >= <usize>load<u32>(self, RUN_VMAS_FIRST) && list <= <usize>load<u32>(self, RUN_VMAS_LAST);
}

/** Whether this thread may change every VMA of `vm`. */
export function vmasAllHeld(vm: usize): bool {
  if (!threaded()) return true;
  return load<u32>(self, RUN_VMAS_FIRST) == load<u32>(vm, VM_VMA_LISTS) && held(listAt(vm, load<u32>(vm, VM_VMA_LIST_COUNT) - 1));
}

/** The lists with pages `from` … `to` are this thread's to change: their sequences are odd until vmasUnlock. */
export function vmasLock(vm: usize, from: u64, to: u64): void {
  if (THREADS) {
    if (self != 0) {
      const first = listOf(vm, from);
      const last = listOf(vm, to);
      assert(load<u32>(self, RUN_VMAS_FIRST) == 0);
      for (let list = first; list <= last; list = nextList(list)) listLock(list);
      store<u32>(self, <u32>first, RUN_VMAS_FIRST);
      store<u32>(self, <u32>last, RUN_VMAS_LAST);
    }
  }
}

export function vmasLockAll(vm: usize): void {
  vmasLock(vm, 0, u64.MAX_VALUE);
}

function listLock(list: usize): void {
  if (THREADS) {
    sync(SyncPoint.LockTake, list);
    for (;;) {
      const seq = atomic.load<u32>(list);
      if ((seq & 1) == 0 && atomic.cmpxchg<u32>(list, seq, seq + 1) == seq) return;
      pause(list, seq | 1, SyncPoint.LockWait);
    }
  }
}

export function vmasUnlock(): void {
  if (THREADS) {
    if (self != 0) {
      const last: usize = load<u32>(self, RUN_VMAS_LAST);
      let list: usize = load<u32>(self, RUN_VMAS_FIRST);
      store<u32>(self, 0, RUN_VMAS_FIRST);
      store<u32>(self, 0, RUN_VMAS_LAST);
      for (; list <= last; list = nextList(list)) {
        sync(SyncPoint.LockGive, list);
        atomic.add<u32>(list, 1);
        wake(list);
      }
    }
  }
}
