// Looking a VMA up, alone and beside other threads, and the lock of the list.
//
// One thread of control remembers what it found last (linux had a vmacache). A vCPU thread takes no lock to look: it
// copies the record between two looks at the list's sequence, which is odd while the list changes.
import { SyncPoint } from '../abi/sync';
import {
  RUN_VMA, RUN_VMAS_HELD, VM_VMA_HIT, VM_VMA_HIT_PAGES, VM_VMA_HIT_START, VM_VMA_SEQ,
} from '../base/layout';
import { pause, wake } from '../base/lock';
import { self, sync, THREADS, threaded } from '../base/thread';
import { NONE, VMA_END, VMA_SIZE, VMA_START, vmaAt, vmaFind } from './vma';

/**
 * The first VMA that ends behind vpn, 0 for none: its record, which holds until the next insert or delete. On a vCPU
 * thread that does not hold the list a copy at `copy`, taken without a lock: what it says of pages whose chunk is locked stays true, but its ends
 * may move where they lie in chunks that are not.
 */
// @ts-ignore: decorator
@inline
export function vmaFrom(vm: usize, vpn: u64, copy: usize = self + RUN_VMA): usize {
  if (threaded()) return load<u32>(self, RUN_VMAS_HELD) != 0 ? direct(vm, vpn) : copyFrom(vm, vpn, copy);
  if (vpn - load<u64>(vm, VM_VMA_HIT_START) < load<u64>(vm, VM_VMA_HIT_PAGES)) return load<u32>(vm, VM_VMA_HIT);
  return found(vm, vpn);
}

/** The record itself, for who holds the list. */
function direct(vm: usize, vpn: u64): usize {
  const cursor = vmaFind(vm, vpn);
  return cursor == NONE ? <usize>0 : vmaAt(vm, cursor);
}

/** The look-up itself; what it finds is remembered (linux had a vmacache) until a VMA changes. */
function found(vm: usize, vpn: u64): usize {
  const cursor = vmaFind(vm, vpn);
  if (cursor == NONE) return 0;
  const vma = vmaAt(vm, cursor);
  const start = load<u64>(vma, VMA_START);
  store<u32>(vm, <u32>vma, VM_VMA_HIT);
  store<u64>(vm, start, VM_VMA_HIT_START);
  store<u64>(vm, load<u64>(vma, VMA_END) - start, VM_VMA_HIT_PAGES);
  return vma;
}

/** The VMA that contains vpn, 0 for none. */
// @ts-ignore: decorator
@inline
export function vmaOf(vm: usize, vpn: u64, copy: usize = self + RUN_VMA): usize {
  const vma = vmaFrom(vm, vpn, copy);
  return vma != 0 && load<u64>(vma, VMA_START) <= vpn ? vma : <usize>0;
}

/**
 * The look-up beside a change: what is read may be half moved, so every number is used only within bounds, and the
 * sequence tells at the end whether it was.
 */
function copyFrom(vm: usize, vpn: u64, copy: usize): usize {
  if (THREADS) {
    for (;;) {
      const seq = atomic.load<u32>(vm + VM_VMA_SEQ);
      if ((seq & 1) != 0) {
        pause(vm + VM_VMA_SEQ, seq, SyncPoint.LockWait);
        continue;
      }
      sync(SyncPoint.Look, vm + VM_VMA_SEQ);
      const cursor = vmaFind(vm, vpn);
      if (cursor != NONE) {
        const vma = vmaAt(vm, cursor);
        // With order: these loads come before the next look at the sequence.
        for (let i: usize = 0; i < VMA_SIZE; i += 8) store<u64>(copy + i, atomic.load<u64>(vma + i));
      }
      if (atomic.load<u32>(vm + VM_VMA_SEQ) == seq) return cursor == NONE ? <usize>0 : copy;
    }
  }
  return 0;
}

/** The list is this thread's to change. Its sequence is odd until vmaUnlock. */
export function vmaLock(vm: usize): void {
  if (THREADS) {
    if (self != 0) {
      sync(SyncPoint.LockTake, vm + VM_VMA_SEQ);
      for (;;) {
        const seq = atomic.load<u32>(vm + VM_VMA_SEQ);
        if ((seq & 1) == 0 && atomic.cmpxchg<u32>(vm + VM_VMA_SEQ, seq, seq + 1) == seq) break;
        pause(vm + VM_VMA_SEQ, seq | 1, SyncPoint.LockWait);
      }
      store<u32>(self, 1, RUN_VMAS_HELD);
    }
  }
}

export function vmaUnlock(vm: usize): void {
  if (THREADS) {
    if (self != 0) {
      sync(SyncPoint.LockGive, vm + VM_VMA_SEQ);
      store<u32>(self, 0, RUN_VMAS_HELD);
      atomic.add<u32>(vm + VM_VMA_SEQ, 1);
      wake(vm + VM_VMA_SEQ);
    }
  }
}
