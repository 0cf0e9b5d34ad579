// MMU notifier: the VMM's page table, or what KVM says of gfns, is about to change; drop what the SLAT took from it.
// Reference: linux virt/kvm/kvm_main.c, kvm_mmu_notifier_invalidate_range_start, kvm_mmu_unmap_gfn_range.
import { Counter, EventKind } from '../abi/events';
import { MemFlag } from '../abi/kvm';
import {
  RUN_LOCAL, VM_BUF_CONN, VM_BUF_VPN, VM_CPUS, VM_MAPPED, VM_SLOT_COUNT,
} from '../base/layout';
import { max, min } from '../base/math';
import { runOf, THREADS, threaded } from '../base/thread';
import { waitWindow } from '../base/window';
import { slatZap } from '../slat/zap';
import { count, event } from '../trace/events';
import { nextPrivate, nextShared } from './attributes';
import {
  SLOT_BASE, SLOT_FILE, SLOT_FILE_PAGE, SLOT_FLAGS, SLOT_VPN, slotAt, slotByVpn, slotPages, slotsBelowEnd, slotsReaching,
  slotVpnEnd,
} from './table';

export function notify(vm: usize, vpn: u64, end: u64): void {
  count(vm, Counter.NotifierCalls);
  forgetBuffers(vm, vpn, end);
  if (!threaded() && load<u64>(vm, VM_MAPPED) == 0) return;
  const below = slotsBelowEnd(vm, end);
  for (let n = slotsReaching(vm, vpn, below); n < below; n++) {
    const slot = slotByVpn(vm, n);
    const first = load<u64>(slot, SLOT_VPN);
    const a = max(vpn, first);
    const b = min(end, slotVpnEnd(slot));
    if (a >= b) continue;
    const shift = load<u64>(slot, SLOT_BASE) - first;
    if ((load<u32>(slot, SLOT_FLAGS) & MemFlag.GuestMemfd) == 0) zapGfns(vm, a + shift, b + shift);
    else zapShared(vm, slot, a + shift, b + shift);
  }
}

/** Entries of [from, to) go, and the processors are told. */
export function zapGfns(vm: usize, from: u64, to: u64): void {
  const zapped = slatZap(vm, from, to);
  if (zapped == 0) return;
  count(vm, Counter.SlatZapped, zapped);
  count(vm, Counter.SlatFlushes);
  event(EventKind.Zap, vm, <u32>zapped, from, to, 0);
}

/** Of a slot with a guest_memfd only what is not of that file has to do with host-virtual memory (KVM_FILTER_SHARED). */
function zapShared(vm: usize, slot: usize, from: u64, to: u64): void {
  const flags = load<u32>(slot, SLOT_FLAGS);
  if ((flags & MemFlag.GmemOnly) != 0) return;
  if ((flags & MemFlag.FileAttributes) != 0) {
    // The file knows which they are; all of them are dropped.
    zapGfns(vm, from, to);
    return;
  }
  for (let gfn = nextShared(vm, from, to); gfn < to; ) {
    const end = nextPrivate(vm, gfn, to);
    zapGfns(vm, gfn, end);
    gfn = nextShared(vm, end, to);
  }
}

/**
 * The same for slots that have their memory from a guest_memfd and not from the VMM's page table: the pages [at, end) of
 * `file`, which VM `vm` made, are about to go, or to change hands. What the SLAT took from them is dropped before this
 * returns. Reference: linux virt/kvm/guest_memfd.c, kvm_gmem_invalidate_begin.
 */
export function notifyFile(vm: usize, file: usize, at: u64, end: u64): void {
  for (let n: u32 = 0, slots = load<u32>(vm, VM_SLOT_COUNT); n < slots; n++) {
    const slot = slotAt(vm, n);
    if (load<u32>(slot, SLOT_FILE) != <u32>file) continue;
    const first = load<u64>(slot, SLOT_FILE_PAGE);
    const a = max(at, first);
    const b = min(end, first + slotPages(slot));
    if (a >= b) continue;
    count(vm, Counter.NotifierCalls);
    const shift = load<u64>(slot, SLOT_BASE) - first;
    zapPrivate(vm, slot, a + shift, b + shift);
  }
}

/** The guest_memfd goes: what is bound to it has no memory any more (linux: kvm_gmem_release). */
export function notifyFileGone(vm: usize, file: usize): void {
  notifyFile(vm, file, 0, u64.MAX_VALUE);
  for (let n: u32 = 0, slots = load<u32>(vm, VM_SLOT_COUNT); n < slots; n++) {
    const slot = slotAt(vm, n);
    if (load<u32>(slot, SLOT_FILE) == <u32>file) store<u32>(slot, 0, SLOT_FILE);
  }
}

/** The other part of such a slot. */
function zapPrivate(vm: usize, slot: usize, from: u64, to: u64): void {
  if ((load<u32>(slot, SLOT_FLAGS) & (MemFlag.GmemOnly | MemFlag.FileAttributes)) != 0) {
    zapGfns(vm, from, to);
    return;
  }
  for (let gfn = nextPrivate(vm, from, to); gfn < to; ) {
    const end = nextShared(vm, gfn, to);
    zapGfns(vm, gfn, end);
    gfn = nextPrivate(vm, end, to);
  }
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
