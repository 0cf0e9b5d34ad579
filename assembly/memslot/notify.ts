// MMU notifier: the VMM's page table is about to change in [vpn, end); drop what the SLAT took from it.
// Reference: linux virt/kvm/kvm_main.c, kvm_mmu_notifier_invalidate_range_start.
import { Counter, EventKind } from '../abi/events';
import { VM_BUF_CONN, VM_BUF_VPN, VM_MAPPED, VM_SLOT_COUNT, VM_SLOTS } from '../base/layout';
import { max, min } from '../base/math';
import { slatZap } from '../slat/zap';
import { count, event } from '../trace/events';
import { SLOT_BASE, SLOT_END, SLOT_SIZE, SLOT_VPN } from './table';

export function notify(vm: usize, vpn: u64, end: u64): void {
  count(vm, Counter.NotifierCalls);
  // The device's own pointer to a per-CPU buffer holds as long as an entry of the SLAT would.
  if (load<u64>(vm, VM_BUF_VPN) - vpn < end - vpn) store<u32>(vm, u32.MAX_VALUE, VM_BUF_CONN);
  if (load<u64>(vm, VM_MAPPED) == 0) return;
  let p: usize = load<u32>(vm, VM_SLOTS);
  for (let last = p + <usize>load<u32>(vm, VM_SLOT_COUNT) * SLOT_SIZE; p < last; p += SLOT_SIZE) {
    const base = load<u64>(p, SLOT_BASE);
    const first = load<u64>(p, SLOT_VPN);
    const a = max(vpn, first);
    const b = min(end, first + load<u64>(p, SLOT_END) - base);
    if (a >= b) continue;
    const zapped = slatZap(vm, a - first + base, b - first + base);
    if (zapped == 0) continue;
    count(vm, Counter.SlatZapped, zapped);
    count(vm, Counter.SlatFlushes);
    event(EventKind.Zap, vm, <u32>zapped, a - first + base, b - first + base, 0);
  }
}
