// MMU notifier: the VMM's page table is about to change in [vpn, end); drop what the SLAT took from it.
// Reference: linux virt/kvm/kvm_main.c, kvm_mmu_notifier_invalidate_range_start.
import { Counter, EventKind } from '../abi/events';
import { RUN_LOCAL, VM_BUF_CONN, VM_BUF_VPN, VM_CPUS, VM_MAPPED, VM_SLOT_COUNT, VM_SLOTS } from '../base/layout';
import { max, min } from '../base/math';
import { runOf, THREADS, threaded } from '../base/thread';
import { waitWindow } from '../base/window';
import { slatZap } from '../slat/zap';
import { count, event } from '../trace/events';
import { SLOT_BASE, SLOT_END, SLOT_SIZE, SLOT_VPN } from './table';

export function notify(vm: usize, vpn: u64, end: u64): void {
  count(vm, Counter.NotifierCalls);
  forgetBuffers(vm, vpn, end);
  if (!threaded() && load<u64>(vm, VM_MAPPED) == 0) return;
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

/**
 * The same for slots that have their memory from a guest_memfd and not from the VMM's page table: the pages [at, end) of
 * `file`, which VM `vm` made, are about to go. What the SLAT took from them is dropped before this returns.
 * Reference: linux virt/kvm/guest_memfd.c, kvm_gmem_invalidate_begin.
 */
export function notifyFile(vm: usize, file: usize, at: u64, end: u64): void {
}

/** The guest_memfd goes: what is bound to it has no memory any more (linux: kvm_gmem_release). */
export function notifyFileGone(vm: usize, file: usize): void {
}

/** The device's own pointers to per-CPU buffers hold as long as an entry of the SLAT would. */
// @ts-ignore: decorator
@inline
function forgetBuffers(vm: usize, vpn: u64, end: u64): void {
  if (threaded()) forgetAll(vm, vpn, end);
  // The main thread's. While threads run it is that of a VM which is not running, whose page is reclaimed.
  if (load<u64>(vm, VM_BUF_VPN) - vpn < end - vpn) store<u32>(vm, u32.MAX_VALUE, VM_BUF_CONN);
}

/** Each vCPU thread has its own pointer, and uses it inside a guest window. */
export function forgetAll(vm: usize, vpn: u64, end: u64): void {
  if (THREADS) {
    for (let cpu: u32 = 0, cpus = load<u32>(vm, VM_CPUS); cpu < cpus; cpu++) {
      const run = runOf(vm, cpu);
      if (atomic.load<u64>(run + RUN_LOCAL, VM_BUF_VPN) - vpn >= end - vpn) continue;
      atomic.store<u32>(run + RUN_LOCAL, u32.MAX_VALUE, VM_BUF_CONN);
      waitWindow(run);
    }
  }
}
