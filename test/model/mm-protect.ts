// mprotect and munmap.
// Reference: linux 6.18 mm/mprotect.c (do_mprotect_pkey, mprotect_fixup), mm/vma.c (do_vmi_munmap).
import { Errno } from '../../assembly/abi/errno.ts';
import { addressOf, aligned, pageAlign, pageOf, TASK_SIZE, u64 } from './mm-address.ts';
import { isAnonymousMapping } from './mm-mapping.ts';
import { type Process, populateRange, setFlags, upToHole } from './mm-process.ts';
import { isWritable } from './mm-space.ts';
import { type ModelVma, PROT_WRITE } from './mm-vmas.ts';

export function mprotect(process: Process, start: bigint, len: bigint, prot: number): Errno {
  const { mapping, vmas, memory } = process;
  const address = addressOf(start);
  if (!aligned(address)) return Errno.EINVAL;
  if (len === 0n) return Errno.OK;
  const end = u64(address + pageAlign(len));
  if (end <= address) return Errno.ENOMEM;
  return upToHole(process, pageOf(address), pageOf(end), (vma, from, to) => {
    const { locked, prot: before } = vma.flags;
    if (prot === before) return Errno.OK;
    const errno = setFlags(process, vma, from, to, { prot, account: accountAfter(process, vma, prot) });
    if (errno !== Errno.OK) return errno;
    memory.protect(vmas.at(from) as ModelVma, from, to);
    // A private locked VMA that becomes writable is populated, so that no write faults later.
    const becomesWritable = !(before & PROT_WRITE) && (prot & PROT_WRITE) !== 0;
    if (locked && !mapping.shared && becomesWritable) populateRange(process, from, to);
    return Errno.OK;
  });
}

/** Commit accounting is only given back by anonymous memory, and only while no anonymous page was ever there. */
function accountAfter({ mapping }: Process, vma: ModelVma, prot: number): boolean {
  const { account } = vma.flags;
  if (!mapping.accounted) return false;
  if (prot & PROT_WRITE) return account || !isWritable(vma);
  return account && (!isAnonymousMapping(mapping) || vma.anonVma !== 0);
}

export function munmap({ vmas, memory }: Process, pages: number, start: bigint, len: bigint): Errno {
  const address = addressOf(start);
  if (!aligned(address) || address > TASK_SIZE || len > TASK_SIZE - address) return Errno.EINVAL;
  if (len === 0n) return Errno.EINVAL;
  const from = pageOf(address);
  const to = pageOf(address + pageAlign(len));
  const errno = vmas.unmap(from, to);
  memory.bordersMoved();
  if (errno === Errno.OK) memory.unmap(Math.max(0, from), Math.min(pages, to));
  return errno;
}
