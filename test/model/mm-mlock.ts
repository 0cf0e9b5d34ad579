// mlock and munlock: the flag VM_LOCKED first, on all VMAs of the range, then the pages.
// Reference: linux 6.18 mm/mlock.c (do_mlock, apply_vma_lock_flags, mlock_fixup).
import { Errno } from '../../assembly/abi/errno.ts';
import { lockRange, PAGE, pageOf, u64 } from './mm-address.ts';
import { type Process, populateRange, setFlags, upToHole } from './mm-process.ts';

export function mlock(process: Process, start: bigint, len: bigint): Errno {
  const { memlock } = process;
  if (memlock === 0) return Errno.EPERM;
  const { address, length } = lockRange(start, len);
  if (memlock !== undefined && exceeds(process, BigInt(memlock) / PAGE, address, length)) return Errno.ENOMEM;
  const errno = lock(process, address, length, true);
  if (errno !== Errno.OK) return errno;
  // All VMAs are VM_LOCKED by now; PROT_NONE ends only the populating, with ENOMEM.
  return populateRange(process, pageOf(address), pageOf(address + length)) ? Errno.OK : Errno.ENOMEM;
}

export function munlock(process: Process, start: bigint, len: bigint): Errno {
  const { address, length } = lockRange(start, len);
  return lock(process, address, length, false);
}

/** The limit is looked at before the range: locked pages plus those asked for that are not locked yet. */
function exceeds({ vmas }: Process, limit: bigint, address: bigint, length: bigint): boolean {
  const from = pageOf(address);
  const to = pageOf(address + length);
  let locked = length / PAGE;
  for (const { start, end, flags } of vmas.list) {
    if (!flags.locked) continue;
    locked += BigInt(end - start - Math.max(0, Math.min(end, to) - Math.max(start, from)));
  }
  return locked > limit;
}

function lock(process: Process, address: bigint, length: bigint, locked: boolean): Errno {
  const end = u64(address + length);
  if (end < address) return Errno.EINVAL;
  // hugetlb memory, which is never swapped, does not get the flag; of its VMAs only the holes between them count.
  const lockable = process.mapping.huge !== 'hugetlb';
  return upToHole(process, pageOf(address), pageOf(end), (vma, from, to) =>
    lockable ? setFlags(process, vma, from, to, { locked }) : Errno.OK,
  );
}
