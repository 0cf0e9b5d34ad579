// KVM_SET_USER_MEMORY_REGION(2): making, deleting, moving slots, and changing their flags, with KVM's order of checks.
// Reference: linux virt/kvm/kvm_main.c (kvm_set_memory_region, kvm_set_memslot), arch/x86/kvm/x86.c
// (kvm_arch_prepare_memory_region, kvm_mmu_slot_apply_flags); recorded rules R8, R11.5.
import { Errno } from '../abi/errno';
import { EventKind, SlotChange } from '../abi/events';
import { GmemProfile, KVM_MEM_MAX_NR_PAGES, MemFlag } from '../abi/kvm';
import {
  RUN_LOCAL, VM_CPUS, VM_GFN_MAX, VM_GMEM_PROFILE, VM_LOCK_BITS, VM_MMIO_GFN,
} from '../base/layout';
import { runOf, threaded } from '../base/thread';
import { gmemBind, gmemSlotFlags } from '../gmem/bind';
import { fileAt } from '../mm/file';
import { isLogging, pmlFlushAll } from '../memslot/dirty';
import { zapGfns } from '../memslot/notify';
import {
  SLOT_BASE, SLOT_END, SLOT_FILE, SLOT_FILE_PAGE, SLOT_FLAGS, SLOT_ID, SLOT_MAX, SLOT_VPN, slotById, slotInsert,
  slotPages, slotRecord, slotRemove, slotsOverlap,
} from '../memslot/table';
import { event } from '../trace/events';
import { logDrop, logMake, logStart, logStop } from './dirty-log';
import { slotsLock, slotsUnlock } from './lock';

/** Where user addresses end (TASK_SIZE_MAX). */
const USER_END: u64 = (1 << 47) - 4096;

/**
 * `slot` has the address space in its upper half. `file`: the guest_memfd, 0 where its fd is not open, 1 where it is another
 * file's. Sizes and addresses are bytes, straight from the caller. `legacy`: the call without 2, which knows fewer flags.
 */
export function setMemoryRegion(
  vm: usize, legacy: bool, slot: u32, flags: u32, gpa: u64, size: u64, hva: u64, file: usize, offset: u64,
): Errno {
  const id = slot & 0xffff;
  if (!flagsAllowed(vm, legacy, flags)) return Errno.EINVAL;
  if ((size & 4095) != 0 || (gpa & 4095) != 0 || (hva & 4095) != 0) return Errno.EINVAL;
  if (hva > USER_END || size > USER_END - hva) return Errno.EINVAL;
  const gmem = (flags & MemFlag.GuestMemfd) != 0;
  if (gmem && ((offset & 4095) != 0 || offset + size < offset)) return Errno.EINVAL;
  if (slot >> 16 != 0 || id >= SLOT_MAX) return Errno.EINVAL;
  if (gpa + size < gpa || size >> 12 > <u64>KVM_MEM_MAX_NR_PAGES) return Errno.EINVAL;
  slotsLock(vm);
  const errno = setLocked(vm, id, flags, gpa >> 12, size >> 12, hva >> 12, file, offset);
  slotsUnlock(vm);
  return errno;
}

/** check_memory_region_flags */
function flagsAllowed(vm: usize, legacy: bool, flags: u32): bool {
  let valid: u32 = MemFlag.LogDirtyPages | MemFlag.Readonly;
  if (!legacy) valid |= MemFlag.GuestMemfd;
  if ((flags & ~valid) != 0) return false;
  if ((flags & MemFlag.GuestMemfd) == 0) return true;
  if ((flags & MemFlag.LogDirtyPages) != 0) return false;
  return (flags & MemFlag.Readonly) == 0 || load<u32>(vm, VM_GMEM_PROFILE) == GmemProfile.A;
}

function setLocked(vm: usize, id: u32, flags: u32, gfn: u64, pages: u64, vpn: u64, file: usize, offset: u64): Errno {
  const old = slotById(vm, id);
  if (pages == 0) {
    if (old == 0) return Errno.EINVAL;
    remove(vm, old);
    return Errno.OK;
  }
  if (old != 0) {
    const was = load<u32>(old, SLOT_FLAGS);
    if (((flags | was) & MemFlag.GuestMemfd) != 0) return Errno.EINVAL;
    if (vpn != load<u64>(old, SLOT_VPN) || pages != slotPages(old) || ((flags ^ was) & MemFlag.Readonly) != 0) return Errno.EINVAL;
    if (gfn == load<u64>(old, SLOT_BASE)) return flags == was ? Errno.OK : changeFlags(vm, old, flags);
  }
  if (slotsOverlap(vm, old, gfn, gfn + pages)) return Errno.EEXIST;
  if (old != 0) return move(vm, old, gfn, flags);
  return create(vm, id, flags, gfn, pages, vpn, file, offset);
}

function create(vm: usize, id: u32, flags: u32, gfn: u64, pages: u64, vpn: u64, file: usize, offset: u64): Errno {
  const gmem = (flags & MemFlag.GuestMemfd) != 0;
  if (gmem) {
    const errno = gmemBind(vm, file, offset, pages);
    if (errno != Errno.OK) return errno;
  }
  if (gfn + pages > load<u64>(vm, VM_GFN_MAX)) return Errno.EINVAL;
  const slot = slotRecord(vm, id);
  if (slot == 0) return Errno.ENOMEM;
  memory.fill(slot, 0, 64);
  store<u64>(slot, gfn, SLOT_BASE);
  store<u64>(slot, gfn + pages, SLOT_END);
  store<u64>(slot, vpn, SLOT_VPN);
  store<u32>(slot, id, SLOT_ID);
  store<u32>(slot, flags, SLOT_FLAGS);
  if (gmem) {
    store<u32>(slot, <u32>file, SLOT_FILE);
    store<u64>(slot, fileAt(file, offset), SLOT_FILE_PAGE);
    store<u32>(slot, flags | gmemSlotFlags(file), SLOT_FLAGS);
  }
  if ((flags & MemFlag.LogDirtyPages) != 0 && !logMake(vm, slot)) {
    store<u64>(slot, 0, SLOT_END);
    return Errno.ENOMEM;
  }
  insert(vm, slot);
  told(vm, SlotChange.Create, slot);
  return Errno.OK;
}

/** Nothing of the slot is reached any more when this returns; its pages stay with whom they belong to. */
function remove(vm: usize, slot: usize): void {
  withdraw(vm, slot);
  told(vm, SlotChange.Delete, slot);
  if (isLogging(slot)) logDrop(vm, slot);
  store<u64>(slot, 0, SLOT_END);
}

/** First no new translations (linux: KVM_MEMSLOT_INVALID), then none of the old ones. */
function withdraw(vm: usize, slot: usize): void {
  pmlFlushAll(vm);
  slotRemove(vm, slot);
  zapGfns(vm, load<u64>(slot, SLOT_BASE), load<u64>(slot, SLOT_END));
}

/** The dirty log goes along (R10.5). */
function move(vm: usize, slot: usize, gfn: u64, flags: u32): Errno {
  const pages = slotPages(slot);
  const fits = gfn + pages <= load<u64>(vm, VM_GFN_MAX);
  if (fits && !setLog(vm, slot, flags)) return Errno.ENOMEM;
  withdraw(vm, slot);
  // Beyond what addresses there are is refused only now: the slot is back as it was, without its translations.
  if (fits) {
    store<u64>(slot, gfn, SLOT_BASE);
    store<u64>(slot, gfn + pages, SLOT_END);
  }
  insert(vm, slot);
  if (!fits) return Errno.EINVAL;
  told(vm, SlotChange.Move, slot);
  return Errno.OK;
}

/** Only a dirty log can come or go. */
function changeFlags(vm: usize, slot: usize, flags: u32): Errno {
  if (!setLog(vm, slot, flags)) return Errno.ENOMEM;
  if (isLogging(slot)) logStart(vm, slot);
  else logStop(vm, slot);
  told(vm, SlotChange.Flags, slot);
  return Errno.OK;
}

/** The slot gets these flags, and has a log or not as they say. False, nothing changed, without metadata. */
function setLog(vm: usize, slot: usize, flags: u32): bool {
  if (((load<u32>(slot, SLOT_FLAGS) ^ flags) & MemFlag.LogDirtyPages) != 0) {
    if (isLogging(slot)) {
      pmlFlushAll(vm);
      logDrop(vm, slot);
    } else if (!logMake(vm, slot)) return false;
  }
  store<u32>(slot, flags, SLOT_FLAGS);
  return true;
}

function insert(vm: usize, slot: usize): void {
  slotInsert(vm, slot);
  shareLocks(vm, slot);
  forgetMmio(vm);
}

/**
 * Whoever changes entries of a leaf table has the lock of a chunk (base/chunk-lock.ts): the same one for all of the table.
 * Two slots in one table share the locks of chunks that agree in the lower nine bits; where host-virtual addresses do not
 * agree with gfns there, or pages are a file's, the VM has one lock for all. What is so when threads start holds for their run.
 */
function shareLocks(vm: usize, slot: usize): void {
  const base = load<u64>(slot, SLOT_BASE);
  const end = load<u64>(slot, SLOT_END);
  if (load<u32>(slot, SLOT_FILE) != 0 || ((base ^ load<u64>(slot, SLOT_VPN)) & 511) != 0) store<u32>(vm, 0, VM_LOCK_BITS);
  else if (slotsOverlap(vm, slot, base & ~(<u64>511), (end + 511) & ~(<u64>511))) {
    store<u32>(vm, load<u32>(vm, VM_LOCK_BITS) & 511, VM_LOCK_BITS);
  }
}

/** What vCPUs remember to be MMIO may be something else now: a slot, or private (linux: vcpu->arch.mmio_gen). */
export function forgetMmio(vm: usize): void {
  store<u64>(vm, u64.MAX_VALUE, VM_MMIO_GFN);
  if (!threaded()) return;
  for (let cpu: u32 = 0, cpus = load<u32>(vm, VM_CPUS); cpu < cpus; cpu++) {
    store<u64>(runOf(vm, cpu) + RUN_LOCAL, u64.MAX_VALUE, VM_MMIO_GFN);
  }
}

function told(vm: usize, change: SlotChange, slot: usize): void {
  event(EventKind.Memslot, vm, change, load<u64>(slot, SLOT_BASE), load<u64>(slot, SLOT_END), load<u32>(slot, SLOT_ID));
}
