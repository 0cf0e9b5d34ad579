// Bringing pages in: of mlock, of mprotect, and MADV_POPULATE_*.
// Reference: linux 6.18 mm/gup.c (populate_vma_page_range, faultin_page_range), mm/madvise.c (madvise_populate).
import { Errno } from '../abi/errno';
import { Status } from '../abi/status';
import { VM_READ, VM_SHARED, VM_WRITE } from '../abi/vm-flags';
import { min } from '../base/math';
import { bitGet } from '../base/bits';
import { faultIn } from './fault';
import { folioSetDirty, isAsOne } from './huge';
import { vmaOf } from './look-up';
import { chunkOf, DIRTY, PART, WRITABLE } from './page-state';
import { VMA_END, VMA_FLAGS } from './vma';

/**
 * populate_vma_page_range on [vpn, end) of one VMA: as a write where it is private and writable, else as a read. Answers as
 * bringIn.
 */
export function populate(vm: usize, vpn: u64, end: u64): Status {
  const vma = vmaOf(vm, vpn);
  return bringIn(vm, vpn, end, vma, (load<u32>(vma, VMA_FLAGS) & (VM_WRITE | VM_SHARED)) == VM_WRITE);
}

/**
 * The pages [vpn, end) of one VMA, up to the first that is OutOfMemory or Sigbus. A page that was writable already gets its
 * dirty flag from the one who looks it up: huge mappings in the entry (touch_pmd), others in the folio (follow_page_pte), and
 * so for all of it.
 */
function bringIn(vm: usize, vpn: u64, end: u64, vma: usize, write: bool): Status {
  // Faults change neither the list nor the place of VMAs, so the record holds.
  for (; vpn < end; vpn++) {
    const chunk = chunkOf(vm, vpn);
    const i = <u32>vpn & 511;
    if (write && chunk != 0 && bitGet(chunk + WRITABLE, i) && bitGet(chunk + PART, i) && !isAsOne(chunk)) {
      if (!bitGet(chunk + DIRTY, i)) folioSetDirty(chunk, true);
    } else {
      const status = faultIn(vm, vpn, write, vma, chunk);
      if (status != Status.Ok) return status;
    }
  }
  return Status.Ok;
}

/** MADV_POPULATE_READ, MADV_POPULATE_WRITE: unlike other advice it ends at the first hole, too. */
export function madvisePopulate(vm: usize, vpn: u64, end: u64, write: bool): Errno {
  while (vpn < end) {
    const v = vmaOf(vm, vpn);
    if (v == 0) return Errno.ENOMEM;
    if ((load<u32>(v, VMA_FLAGS) & (write ? VM_WRITE : VM_READ)) == 0) return Errno.EINVAL;
    const stop = min(load<u64>(v, VMA_END), end);
    const status = bringIn(vm, vpn, stop, v, write);
    if (status != Status.Ok) return status == Status.Sigbus ? Errno.EFAULT : Errno.ENOMEM;
    vpn = stop;
  }
  return Errno.OK;
}
