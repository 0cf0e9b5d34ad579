// The two halves of an invalidation, for who wants to look between them. In all other calls they are one: the changes lie
// between, and the VM's pages are locked from the first to the last.
// Reference: linux virt/kvm/kvm_main.c (kvm_mmu_invalidate_begin, kvm_mmu_invalidate_range_add, kvm_mmu_invalidate_end).
import { Counter } from '../abi/events';
import { VM_INVALID_END, VM_INVALID_FROM, VM_INVALIDATING, VM_SEQUENCE } from '../base/layout';
import { max, min } from '../base/math';
import { zapGfns } from '../memslot/notify';
import { count } from '../trace/events';
import { slotsLock, slotsUnlock } from './lock';

/** Gfns [from, to) are zapped, and cannot be mapped until as many ends as begins have been; ranges grow together. */
export function invalidateBegin(vm: usize, from: u64, to: u64): void {
  slotsLock(vm);
  const open = load<u32>(vm, VM_INVALIDATING);
  store<u64>(vm, open == 0 ? from : min(from, load<u64>(vm, VM_INVALID_FROM)), VM_INVALID_FROM);
  store<u64>(vm, open == 0 ? to : max(to, load<u64>(vm, VM_INVALID_END)), VM_INVALID_END);
  store<u32>(vm, open + 1, VM_INVALIDATING);
  zapGfns(vm, from, to);
  slotsUnlock(vm);
}

/** Numbered before gfns may be mapped again, so that a fault which began earlier sees the one or the other. */
export function invalidateEnd(vm: usize): void {
  slotsLock(vm);
  count(vm, Counter.NotifierCalls);
  store<u32>(vm, load<u32>(vm, VM_SEQUENCE) + 1, VM_SEQUENCE);
  store<u32>(vm, load<u32>(vm, VM_INVALIDATING) - 1, VM_INVALIDATING);
  slotsUnlock(vm);
}
