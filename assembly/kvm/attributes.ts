// KVM_SET_MEMORY_ATTRIBUTES: making gfns private or shared. Reference: linux virt/kvm/kvm_main.c
// (kvm_vm_ioctl_set_mem_attributes, kvm_vm_set_mem_attributes), arch/x86/kvm/mmu/mmu.c (kvm_arch_pre_set_memory_attributes).
import { Errno } from '../abi/errno';
import { Counter, EventKind, KvmCounter } from '../abi/events';
import { GmemProfile, KVM_MEMORY_ATTRIBUTE_PRIVATE, VmType } from '../abi/kvm';
import { VM_ATTRIBUTES, VM_GMEM_PROFILE, VM_TYPE } from '../base/layout';
import { ATTRIBUTES_DEPTH, nextPrivate, nextShared } from '../memslot/attributes';
import { setChange, setReserve } from '../memslot/gfn-set';
import { zapGfns } from '../memslot/notify';
import { count, countKvm, event } from '../trace/events';
import { slotsLock, slotsUnlock } from './lock';
import { forgetMmio } from './region';

/** Whether attributes are kept per VM: by its type, and not where they are the file's. */
export function hasAttributes(vm: usize): bool {
  return load<u32>(vm, VM_TYPE) == VmType.SwProtected && load<u32>(vm, VM_GMEM_PROFILE) != GmemProfile.D;
}

/** Address and size in bytes, straight from the caller. No slot need be there. */
export function setMemoryAttributes(vm: usize, address: u64, size: u64, attributes: u64, flags: u64): Errno {
  if (!hasAttributes(vm)) return Errno.ENOTTY;
  if (flags != 0 || (attributes & ~(<u64>KVM_MEMORY_ATTRIBUTE_PRIVATE)) != 0) return Errno.EINVAL;
  if (size == 0 || address + size < address) return Errno.EINVAL;
  if ((address & 4095) != 0 || (size & 4095) != 0) return Errno.EINVAL;
  slotsLock(vm);
  const errno = change(vm, address >> 12, (address + size) >> 12, attributes != 0);
  slotsUnlock(vm);
  return errno;
}

function change(vm: usize, from: u64, to: u64, toPrivate: bool): Errno {
  // Where all is as it is to be, nothing is invalidated.
  const first = toPrivate ? nextShared(vm, from, to) : nextPrivate(vm, from, to);
  if (first == to) return Errno.OK;
  if (!setReserve(vm + VM_ATTRIBUTES, ATTRIBUTES_DEPTH, from, to)) return Errno.ENOMEM;
  countKvm(vm, KvmCounter.Attributes);
  count(vm, Counter.NotifierCalls);
  // What is mapped goes before anyone can look at attributes that are half changed. Leaves of the new kind stay.
  for (let gfn = first; gfn < to; ) {
    const end = toPrivate ? nextPrivate(vm, gfn, to) : nextShared(vm, gfn, to);
    zapGfns(vm, gfn, end);
    gfn = toPrivate ? nextShared(vm, end, to) : nextPrivate(vm, end, to);
  }
  if (toPrivate) forgetMmio(vm);
  setChange(vm + VM_ATTRIBUTES, ATTRIBUTES_DEPTH, from, to, toPrivate);
  event(EventKind.Attributes, vm, toPrivate ? KVM_MEMORY_ATTRIBUTE_PRIVATE : 0, from, to, 0);
  return Errno.OK;
}
