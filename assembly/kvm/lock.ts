// The lock of KVM's calls about memory. In a run of vCPU threads that makes such calls it is the VM's only one
// (base/chunk-lock.ts). Reference: linux virt/kvm/kvm_main.c (slots_lock, slots_arch_lock, mmu_lock).
import { hasOneLock, rangeLock, rangeUnlock } from '../base/chunk-lock';
import { VPN_BASE, VPN_LIMIT } from '../base/layout';
import { threaded } from '../base/thread';

/** All operations on slots, gfns and dirty logs exclude each other and all faults of the VM (slots_lock, mmu_lock). */
export function slotsLock(vm: usize): void {
  assert(!threaded() || hasOneLock(vm));
  rangeLock(vm, VPN_BASE, VPN_LIMIT);
}

export function slotsUnlock(vm: usize): void {
  rangeUnlock(vm, VPN_BASE, VPN_LIMIT);
}
