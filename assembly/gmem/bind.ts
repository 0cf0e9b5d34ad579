// guest_memfds and slots. Reference: linux virt/kvm/guest_memfd.c, kvm_gmem_bind; rules R11.5, R11.11.
import { Errno } from '../abi/errno';
import { FileKind, GmemFlag } from '../abi/file';
import { VM_SLOT_COUNT } from '../base/layout';
import { SLOT_FILE, SLOT_FILE_PAGE, slotAt, slotPages } from '../memslot/table';
import { fileAt, fileFlags, fileKind, fileOwner, fileSize } from '../mm/file';

/** What stands for the file of a descriptor that is open, but of something else than memory. */
const OTHER_FILE: usize = 1;

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

/** Whether all of the guest's accesses go to the file, since the VMM can map it (KVM_MEMSLOT_GMEM_ONLY). */
export function gmemIsMappable(file: usize): bool {
  return (fileFlags(file) & GmemFlag.Mmap) != 0;
}
