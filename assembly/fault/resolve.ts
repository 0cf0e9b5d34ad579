// One SLAT violation: gfn → slot → the VMM's page → SLAT entry, or the reason why not.
// Reference: linux arch/x86/kvm/mmu/mmu.c kvm_tdp_page_fault, virt/kvm/kvm_main.c hva_to_pfn;
// recorded rules R1–R4, R7 (what a guest access does to the host's page).
import { Counter, EventKind } from '../abi/events';
import { Access, Status } from '../abi/status';
import { VM_READ, VM_WRITE } from '../abi/vm-flags';
import { HUGE_ZERO_PAGE, VM_MMIO_GFN, ZERO_PAGE } from '../base/layout';
import { bitGet, bitSet } from '../base/bits';
import { chunkLock, chunkMissed, chunkUnlock } from '../base/chunk-lock';
import { local } from '../base/thread';
import { GIGANTIC, isGigantic } from '../frames/gigantic';
import { GROUP } from '../frames/pool';
import { SLOT_BASE, SLOT_END, slotOf, slotVpn } from '../memslot/table';
import { faultIn, folioDirtied } from '../mm/fault';
import { folioOf, isAsOne } from '../mm/huge';
import { BACKED, chunkOf, DIRTY, isPlain, pageSlot, WRITABLE, ZERO } from '../mm/page-state';
import { slatMakeRoom } from '../mm/room';
import { vmaOf } from '../mm/look-up';
import { VMA_FLAGS } from '../mm/vma';
import { EPT_LEAF, EPT_LEAF_W, GFN_LIMIT } from '../slat/entry';
import { slatMap, slatMapHuge } from '../slat/map';
import { close, count, open } from '../trace/events';

/**
 * Make gfn's SLAT entry allow `access`. Ok: the walk will now succeed. Mmio: no slot (InternalError for a
 * fetch). Efault: the mapping forbids it. OutOfMemory: no frame or no table; nothing changed for the guest.
 */
export function resolve(vm: usize, gfn: u64, access: i32): Status {
  const slot = gfn < GFN_LIMIT ? slotOf(vm, gfn) : 0;
  if (slot == 0) {
    if (access == Access.Fetch) return Status.InternalError;
    store<u64>(local(vm), gfn, VM_MMIO_GFN);
    return Status.Mmio;
  }
  count(vm, Counter.SlatViolations);
  const cause = open(EventKind.Violation, vm, access, gfn, 0, 0);
  const vpn = slotVpn(slot, gfn);
  let status: Status;
  let attempts: u32 = 0;
  do {
    chunkLock(vm, vpn);
    status = map(vm, gfn, vpn, slot, access == Access.Write);
    chunkUnlock(vm, vpn);
  } while (status == Status.OutOfMemory && chunkMissed(attempts++));
  close(cause);
  return status;
}

function map(vm: usize, gfn: u64, vpn: u64, slot: usize, write: bool): Status {
  const i = <u32>vpn & 511;
  let chunk = chunkOf(vm, vpn);
  if (chunk == 0 || !bitGet(chunk + WRITABLE, i)) {
    const vma = vmaOf(vm, vpn);
    if (vma == 0) return Status.Efault;
    // A read asks for read permission of the VMA: unlike the host, KVM cannot read a page with PROT_WRITE
    // alone unless it is there and writable already (R4.2), which the branch above has seen.
    if ((load<u32>(vma, VMA_FLAGS) & (write ? VM_WRITE : VM_READ)) == 0) return Status.Efault;
    const status = faultIn(vm, vpn, write, vma, chunk);
    // Where Linux answers an access of the VMM with SIGBUS, KVM answers the guest's with a bare EFAULT.
    if (status != Status.Ok) return status == Status.Sigbus ? Status.Efault : status;
    if (chunk == 0) chunk = chunkOf(vm, vpn);
  }
  let entry: u64;
  if (bitGet(chunk + WRITABLE, i)) {
    // KVM takes a page that the host may write as writable, and as dirty from now on, also for a read (R3.3).
    if (isPlain(chunk, i)) bitSet(chunk + DIRTY, i);
    else folioDirtied(vmaOf(vm, vpn), vpn, chunk);
    entry = ((<u64>load<u32>(pageSlot(chunk, i))) << 12) | EPT_LEAF_W;
  } else if (bitGet(chunk + BACKED, i)) {
    entry = ((<u64>load<u32>(pageSlot(chunk, i))) << 12) | EPT_LEAF;
  } else {
    assert(bitGet(chunk + ZERO, i));
    entry = (isAsOne(chunk) ? <u64>HUGE_ZERO_PAGE + ((<u64>i) << 12) : <u64>ZERO_PAGE) | EPT_LEAF;
  }
  const shift = leafShift(chunk, slot, gfn);
  if (put(vm, gfn, entry, shift)) return Status.Ok;
  slatMakeRoom();
  return put(vm, gfn, entry, shift) ? Status.Ok : Status.OutOfMemory;
}

/** The leaf of 2^shift pages around gfn, whose own entry would be `entry`. */
// @ts-ignore: decorator
@inline
function put(vm: usize, gfn: u64, entry: u64, shift: u64): bool {
  if (shift == 0) return slatMap(vm, gfn, entry);
  return slatMapHuge(vm, gfn, entry - ((gfn & (((<u64>1) << shift) - 1)) << 12), shift);
}

/**
 * How many pages, as a power of two, one leaf around gfn maps: as many as the VMM's page table maps by one entry, if the
 * slot has all of them. Frame, vpn and gfn agree below that: huge pages are aligned, and regions are congruent modulo
 * 1 GiB. RAM of 1 GiB pages is made of whole ones, so its slots always have all.
 * Reference: linux arch/x86/kvm/mmu/mmu.c, kvm_mmu_max_mapping_level, host_pfn_mapping_level.
 */
function leafShift(chunk: usize, slot: usize, gfn: u64): u64 {
  if (!isAsOne(chunk)) return 0;
  const pages: u64 = isGigantic(folioOf(chunk)) ? GIGANTIC : GROUP;
  const first = gfn & ~(pages - 1);
  return load<u64>(slot, SLOT_BASE) <= first && first + pages <= load<u64>(slot, SLOT_END) ? ctz(pages) : 0;
}
