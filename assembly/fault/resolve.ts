// One SLAT violation: gfn → slot → the VMM's page, or the guest_memfd's → SLAT entry, or the reason why not.
// Reference: linux arch/x86/kvm/mmu/mmu.c kvm_tdp_page_fault, kvm_mmu_faultin_pfn, virt/kvm/kvm_main.c hva_to_pfn;
// recorded rules R1–R4, R7, R9, R10.
import { Counter, EventKind, KvmCounter } from '../abi/events';
import { KVM_MEMORY_EXIT_FLAG_PRIVATE, MemFlag } from '../abi/kvm';
import { Access, RUN_FAULT_FLAGS, Status } from '../abi/status';
import { VM_READ, VM_WRITE } from '../abi/vm-flags';
import {
  HERE_CPU, HUGE_ZERO_PAGE, VM_ATTRIBUTES, VM_INVALID_END, VM_INVALID_FROM, VM_INVALIDATING, VM_MMIO_GFN, VM_PML,
  VM_SEQUENCE, ZERO_PAGE,
} from '../base/layout';
import { bitGet, bitSet } from '../base/bits';
import { chunkLock, chunkMissed, chunkUnlock, hasOneLock, oneLock, oneUnlock } from '../base/chunk-lock';
import { here, local, runOf } from '../base/thread';
import { GIGANTIC, isGigantic } from '../frames/gigantic';
import { GROUP } from '../frames/pool';
import { gmemIsMixed, gmemIsPrivate } from '../gmem/bind';
import { dirtyMark, isLogging, PML_USED } from '../memslot/dirty';
import { SLOT_BASE, SLOT_END, SLOT_FILE, SLOT_FLAGS, slotFilePage, slotOf, slotVpn } from '../memslot/table';
import { faultIn, folioDirtied } from '../mm/fault';
import { fileObtain } from '../mm/file-fault';
import { fileIsHuge } from '../mm/file-huge';
import { folioOf, isAsOne } from '../mm/huge';
import { BACKED, chunkOf, DIRTY, isPlain, pageSlot, WRITABLE, ZERO } from '../mm/page-state';
import { slatMakeRoom } from '../mm/room';
import { vmaOf } from '../mm/look-up';
import { VMA_FLAGS } from '../mm/vma';
import { EPT_LEAF, EPT_LEAF_W, EPT_WRITE, GFN_LIMIT } from '../slat/entry';
import { hasTable, slatMap, slatMapHuge } from '../slat/map';
import { close, count, countKvm, event, open } from '../trace/events';
import { logWrite } from './dirty-bit';

/** Slots have changed since the fault began. */
const AGAIN = <Status>-1;

/**
 * Make gfn's SLAT entry allow `access`. Ok: the walk will now succeed. Mmio: no slot (InternalError for a fetch), or a
 * write to a read-only one. Efault: the mapping forbids it. MemoryFault: gfn is private and there is no guest_memfd for
 * it. Retry: it is being invalidated. OutOfMemory: no frame or no table; nothing changed for the guest.
 */
export function resolve(vm: usize, gfn: u64, access: i32): Status {
  let status: Status;
  let attempts: u32 = 0;
  do {
    // As KVM does, a fault begins with a look at how far changes are, and is begun anew when there was one since
    // (linux: mmu_invalidate_retry). Where they can be, everything is looked up under the lock.
    const sequence = load<u32>(vm, VM_SEQUENCE);
    oneLock(vm);
    if (load<u32>(vm, VM_SEQUENCE) == sequence) status = lookUp(vm, gfn, access);
    else {
      countKvm(vm, KvmCounter.Retry);
      status = AGAIN;
    }
    oneUnlock(vm);
  } while (status == AGAIN || (status == Status.OutOfMemory && chunkMissed(attempts++)));
  return status;
}

function lookUp(vm: usize, gfn: u64, access: i32): Status {
  const slot = gfn < GFN_LIMIT ? slotOf(vm, gfn) : 0;
  if (slot == 0) {
    if (gmemIsPrivate(vm, 0, gfn)) return memoryFault(vm, KVM_MEMORY_EXIT_FLAG_PRIVATE);
    if (access == Access.Fetch) return Status.InternalError;
    store<u64>(local(vm), gfn, VM_MMIO_GFN);
    return Status.Mmio;
  }
  if (access == Access.Write && (load<u32>(slot, SLOT_FLAGS) & MemFlag.Readonly) != 0) {
    // The kind comes first; then it is an exit, whatever the host has behind it (R9.2).
    const lacks = load<u32>(slot, SLOT_FILE) == 0 && gmemIsPrivate(vm, slot, gfn);
    return lacks ? memoryFault(vm, KVM_MEMORY_EXIT_FLAG_PRIVATE) : Status.Mmio;
  }
  const vpn = slotVpn(slot, gfn);
  const locked = hasOneLock(vm);
  if (!locked) chunkLock(vm, vpn);
  // A leaf that may be written may lack only its dirty bit: no violation, the processor sets that by itself.
  let status = Status.Retry;
  if (access == Access.Write && load<u32>(vm, VM_PML) == PML_USED) status = logWrite(vm, gfn, slot);
  if (status == Status.Retry) status = violation(vm, gfn, access, slot, vpn);
  if (!locked) chunkUnlock(vm, vpn);
  return status;
}

function violation(vm: usize, gfn: u64, access: i32, slot: usize, vpn: u64): Status {
  count(vm, Counter.SlatViolations);
  const cause = open(EventKind.Violation, vm, access, gfn, 0, 0);
  let status = Status.Retry;
  if (isInvalidating(vm, gfn)) countKvm(vm, KvmCounter.Retry);
  else status = mapPage(vm, gfn, vpn, slot, access == Access.Write);
  close(cause);
  return status;
}

/** Whether gfn is in a range between begin and end of an invalidation (mmu_invalidate_retry_gfn). */
// @ts-ignore: decorator
@inline
function isInvalidating(vm: usize, gfn: u64): bool {
  return load<u32>(vm, VM_INVALIDATING) != 0 && gfn >= load<u64>(vm, VM_INVALID_FROM) && gfn < load<u64>(vm, VM_INVALID_END);
}

/** KVM_EXIT_MEMORY_FAULT of the acting vCPU; access.ts adds where. */
function memoryFault(vm: usize, flags: u32): Status {
  store<u32>(runOf(vm, load<u32>(here(), HERE_CPU)), flags, RUN_FAULT_FLAGS);
  return Status.MemoryFault;
}

function mapPage(vm: usize, gfn: u64, vpn: u64, slot: usize, write: bool): Status {
  const flags = load<u32>(slot, SLOT_FLAGS);
  if ((flags & MemFlag.GuestMemfd) != 0 || load<u32>(vm, VM_ATTRIBUTES) != 0) {
    if (gmemIsPrivate(vm, slot, gfn)) return mapGmem(vm, gfn, slot, KVM_MEMORY_EXIT_FLAG_PRIVATE);
    if ((flags & MemFlag.GmemOnly) != 0) return mapGmem(vm, gfn, slot, 0);
  }
  return mapHva(vm, gfn, vpn, slot, flags, write);
}

/** A page of the slot's guest_memfd, writable but for a read-only slot; all of its huge page, if it has one there. */
function mapGmem(vm: usize, gfn: u64, slot: usize, flags: u32): Status {
  const file: usize = load<u32>(slot, SLOT_FILE);
  if (file == 0) return memoryFault(vm, flags);
  const at = slotFilePage(slot, gfn);
  const frame = fileObtain(vm, file, at);
  if (frame == 0) return Status.OutOfMemory;
  const shift: u64 = fileIsHuge(file, at) && fits(vm, slot, gfn, at, GROUP) ? 9 : 0;
  const leaf = (load<u32>(slot, SLOT_FLAGS) & MemFlag.Readonly) != 0 ? EPT_LEAF : EPT_LEAF_W;
  return install(vm, gfn, ((<u64>frame) << 12) | leaf, shift);
}

/** The page behind the slot's host-virtual address, through the VMM's page table. */
function mapHva(vm: usize, gfn: u64, vpn: u64, slot: usize, flags: u32, write: bool): Status {
  const i = <u32>vpn & 511;
  // KVM tries to have the page writable first, but never under a read-only slot (kvm_follow_pfn, map_writable).
  const readonly = (flags & MemFlag.Readonly) != 0;
  let chunk = chunkOf(vm, vpn);
  if (readonly || chunk == 0 || !bitGet(chunk + WRITABLE, i)) {
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
  if (!readonly && bitGet(chunk + WRITABLE, i)) {
    // KVM takes a page that the host may write as writable, and as dirty from now on, also for a read (R3.3).
    if (isPlain(chunk, i)) bitSet(chunk + DIRTY, i);
    else folioDirtied(vmaOf(vm, vpn), vpn, chunk);
    entry = ((<u64>load<u32>(pageSlot(chunk, i))) << 12) | EPT_LEAF_W;
    // So the log has it from now on, also for a read (R10.3).
    if ((flags & MemFlag.LogDirtyPages) != 0 && !dirty(vm, slot, gfn)) return Status.OutOfMemory;
  } else if (bitGet(chunk + BACKED, i)) {
    entry = ((<u64>load<u32>(pageSlot(chunk, i))) << 12) | EPT_LEAF;
  } else {
    assert(bitGet(chunk + ZERO, i));
    entry = (isAsOne(chunk) ? <u64>HUGE_ZERO_PAGE + ((<u64>i) << 12) : <u64>ZERO_PAGE) | EPT_LEAF;
  }
  return install(vm, gfn, entry, leafShift(vm, chunk, slot, gfn, vpn));
}

/** gfn goes into the slot's dirty log. False without metadata. */
export function dirty(vm: usize, slot: usize, gfn: u64): bool {
  if (!dirtyMark(vm, slot, gfn)) {
    slatMakeRoom();
    if (!dirtyMark(vm, slot, gfn)) return false;
  }
  countKvm(vm, KvmCounter.Dirty);
  return true;
}

function install(vm: usize, gfn: u64, entry: u64, shift: u64): Status {
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
 * slot has all of them, at a host-virtual address that agrees with the gfn below that size, and none of them is private or
 * logged when it is written.
 * Reference: linux arch/x86/kvm/mmu/mmu.c, kvm_mmu_max_mapping_level, host_pfn_mapping_level.
 */
function leafShift(vm: usize, chunk: usize, slot: usize, gfn: u64, vpn: u64): u64 {
  if (!isAsOne(chunk)) return 0;
  if (isLogging(slot)) return 0;
  if (isGigantic(folioOf(chunk)) && fits(vm, slot, gfn, vpn, GIGANTIC) && !hasTable(vm, gfn)) return 18;
  return fits(vm, slot, gfn, vpn, GROUP) ? 9 : 0;
}

/** Whether a leaf of so many pages can have gfn and, at the other side, page `at` of the VMM's memory or of a file. */
function fits(vm: usize, slot: usize, gfn: u64, at: u64, pages: u64): bool {
  const first = gfn & ~(pages - 1);
  if (((gfn ^ at) & (pages - 1)) != 0 || load<u64>(slot, SLOT_BASE) > first || first + pages > load<u64>(slot, SLOT_END)) return false;
  return !gmemIsMixed(vm, slot, gfn, ctz(pages));
}

/**
 * The guest's access to gfn is of one kind by what the guest says itself (an encryption bit). Ok when gfn is of that kind;
 * else MemoryFault, with the kind that the guest wants.
 */
export function kindOf(vm: usize, gfn: u64, toPrivate: bool): Status {
  oneLock(vm);
  const slot = gfn < GFN_LIMIT ? slotOf(vm, gfn) : 0;
  const isPrivate = gmemIsPrivate(vm, slot, gfn);
  oneUnlock(vm);
  if (isPrivate == toPrivate) return Status.Ok;
  return memoryFault(vm, toPrivate ? KVM_MEMORY_EXIT_FLAG_PRIVATE : 0);
}
