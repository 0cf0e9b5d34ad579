// A vCPU's access to one page, through KVM, once the VMA has been found: KVM looks the page up in the process's page
// table, and makes it fault there if it must.
// Reference: linux 6.18 virt/kvm/kvm_main.c (hva_to_pfn), mm/gup.c (check_vma_flags, gup_fast_pte_range).
import { readFault, writeFault } from './mm-fault.ts';
import { isWritable, type Space } from './mm-space.ts';
import { type ModelVma, PROT_READ } from './mm-vmas.ts';

/**
 * Before a guest's read: false is EFAULT. KVM first tries to have the page as for a write, without a fault, and so gets
 * what is mapped writable even without PROT_READ; only then does it ask for a read. What it holds writable it marks
 * dirty: a read saves a lazily freed page, and all of a huge one.
 */
export function guestMayRead(space: Space, vma: ModelVma, page: number): boolean {
  if (!space.table.mapped(page)?.bits.writable) {
    if (!(vma.flags.prot & PROT_READ)) return false;
    readFault(space, vma, page);
  }
  const mapped = space.table.mapped(page);
  if (mapped?.bits.writable) mapped.folio.dirty = true;
  return true;
}

/** Before a guest's write. */
export function guestMayWrite(space: Space, vma: ModelVma, page: number): boolean {
  if (!isWritable(vma)) return false;
  writeFault(space, vma, page);
  const mapped = space.table.mapped(page);
  if (mapped) mapped.folio.dirty = true;
  return true;
}
