// Memory attributes of a VM's gfns: the set of those that are private. They need no slot, and outlive all.
// Reference: linux virt/kvm/kvm_main.c (kvm_get_memory_attributes, kvm_range_has_memory_attributes).
import { VM_ATTRIBUTES } from '../base/layout';
import { setHas, setNext } from './gfn-set';

/** Depth of the set: gfns of 64-bit addresses. */
export const ATTRIBUTES_DEPTH: u32 = 4;

// @ts-ignore: decorator
@inline
export function isPrivate(vm: usize, gfn: u64): bool {
  return load<u32>(vm, VM_ATTRIBUTES) != 0 && setHas(vm + VM_ATTRIBUTES, ATTRIBUTES_DEPTH, gfn);
}

/** The first gfn of [gfn, end) that is private, or shared; `end` when there is none. */
export function nextPrivate(vm: usize, gfn: u64, end: u64): u64 {
  return setNext(vm + VM_ATTRIBUTES, ATTRIBUTES_DEPTH, gfn, end, true);
}

export function nextShared(vm: usize, gfn: u64, end: u64): u64 {
  return setNext(vm + VM_ATTRIBUTES, ATTRIBUTES_DEPTH, gfn, end, false);
}

/** Whether the 2^shift gfns around gfn, 2 MiB or 1 GiB, are of both kinds (KVM_LPAGE_MIXED_FLAG). */
export function isMixed(vm: usize, gfn: u64, shift: u64): bool {
  if (load<u32>(vm, VM_ATTRIBUTES) == 0) return false;
  const first = gfn & ~(((<u64>1) << shift) - 1);
  const end = first + ((<u64>1) << shift);
  return isPrivate(vm, first) ? nextShared(vm, first, end) != end : nextPrivate(vm, first, end) != end;
}
