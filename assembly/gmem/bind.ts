// guest_memfds and slots. Reference: linux virt/kvm/guest_memfd.c, kvm_gmem_bind; rules R11.5, R11.11.
import { Errno } from '../abi/errno';
import { FileKind, GmemFlag } from '../abi/file';
import { MemFlag } from '../abi/kvm';
import { VM_ATTRIBUTES, VM_SLOT_COUNT } from '../base/layout';
import { isMixed, isPrivate } from '../memslot/attributes';
import { SLOT_FILE, SLOT_FILE_PAGE, SLOT_FLAGS, slotAt, slotFilePage, slotPages } from '../memslot/table';
import { fileHasAttributes, fileIsPrivate, fileNextKind } from '../mm/file-attributes';
import { fileAt, fileFlags, fileKind, fileOwner, fileSize } from '../mm/file';

/** What stands for the file of a descriptor that is open, but of something else than memory. */
export const OTHER_FILE: usize = 1;

/**
 * Whether `pages` pages from byte `offset` of `file` can be a slot's. `file` 0: the descriptor is not open. A slot holds no
 * reference to the file. Two slots of one file never share a page.
 */
export function gmemBind(vm: usize, file: usize, offset: u64, pages: u64): Errno {
  if (file == 0) return Errno.EBADF;
  if (file == OTHER_FILE || fileKind(file) != FileKind.GuestMemfd || fileOwner(file) != vm) return Errno.EINVAL;
  const end = offset + (pages << 12);
  if (<i64>offset < 0 || end < offset || end > fileSize(file)) return Errno.EINVAL;
  return isBound(vm, file, fileAt(file, offset), pages) ? Errno.EINVAL : Errno.OK;
}

/** Whether a slot has one of these pages of the file. */
function isBound(vm: usize, file: usize, at: u64, pages: u64): bool {
  for (let n: u32 = 0, slots = load<u32>(vm, VM_SLOT_COUNT); n < slots; n++) {
    const slot = slotAt(vm, n);
    if (load<u32>(slot, SLOT_FILE) != <u32>file) continue;
    const first = load<u64>(slot, SLOT_FILE_PAGE);
    if (first < at + pages && at < first + slotPages(slot)) return true;
  }
  return false;
}

/** KVM's own flags of a slot of this file: where the VMM can map it, all of the guest's accesses go to it. */
export function gmemSlotFlags(file: usize): u32 {
  const only = (fileFlags(file) & GmemFlag.Mmap) != 0 ? <u32>MemFlag.GmemOnly : 0;
  return fileHasAttributes(file) ? only | MemFlag.FileAttributes : only;
}

/** Whether gfn, in `slot` or with 0 in none, is private: as the VM's attributes say, or those of the slot's file. */
export function gmemIsPrivate(vm: usize, slot: usize, gfn: u64): bool {
  if (load<u32>(vm, VM_ATTRIBUTES) != 0 && isPrivate(vm, gfn)) return true;
  if (slot == 0 || (load<u32>(slot, SLOT_FLAGS) & MemFlag.FileAttributes) == 0) return false;
  const file: usize = load<u32>(slot, SLOT_FILE);
  return file != 0 && fileIsPrivate(file, slotFilePage(slot, gfn));
}

/** Whether the 2^shift gfns around gfn, all in `slot`, are of both kinds (KVM_LPAGE_MIXED_FLAG). */
export function gmemIsMixed(vm: usize, slot: usize, gfn: u64, shift: u64): bool {
  if (slot == 0 || (load<u32>(slot, SLOT_FLAGS) & MemFlag.FileAttributes) == 0) return isMixed(vm, gfn, shift);
  const file: usize = load<u32>(slot, SLOT_FILE);
  if (file == 0) return false;
  const first = slotFilePage(slot, gfn & ~(((<u64>1) << shift) - 1));
  const end = first + ((<u64>1) << shift);
  return fileNextKind(file, first, end, !fileIsPrivate(file, first)) != end;
}
