// The process whose memory it is, as the system calls of the model see it, and how they take a range VMA by VMA.
// Reference: linux 6.18 mm/vma.c (vma_modify_flags), mm/mlock.c (apply_vma_lock_flags), mm/mprotect.c.
import { Errno } from '../../assembly/abi/errno.ts';
import type { Mapping } from './mm-mapping.ts';
import type { Memory } from './mm-memory.ts';
import { type ModelVma, sameFlags, type VmaErrno, type VmaFlags, type VmaList } from './mm-vmas.ts';

export interface Process {
  readonly mapping: Mapping;
  readonly vmas: VmaList;
  readonly memory: Memory;
  /** RLIMIT_MEMLOCK in bytes; left out: no limit. */
  readonly memlock: number | undefined;
}

/** A piece that has these flags already is left as it is, uncut. What was cut before a refusal stays cut. */
export function setFlags(
  { vmas, memory }: Process,
  vma: ModelVma,
  from: number,
  to: number,
  change: Partial<VmaFlags>,
): VmaErrno {
  const flags = { ...vma.flags, ...change };
  if (sameFlags(flags, vma.flags)) return Errno.OK;
  const errno = vmas.modify(vma, from, to, flags);
  memory.bordersMoved();
  return errno;
}

/** mprotect, mlock, munlock: the first hole ends it with ENOMEM, what is before it stays done. */
export function upToHole(
  { vmas }: Process,
  start: number,
  end: number,
  act: (vma: ModelVma, from: number, to: number) => VmaErrno,
): VmaErrno {
  for (let page = start; page < end; ) {
    const vma = vmas.at(page);
    if (!vma) return Errno.ENOMEM;
    const to = Math.min(vma.end, end);
    const errno = act(vma, page, to);
    if (errno !== Errno.OK) return errno;
    page = to;
  }
  return Errno.OK;
}

/** __mm_populate() of a range without holes. False: it came to PROT_NONE. */
export function populateRange({ vmas, memory }: Process, start: number, end: number): boolean {
  for (let page = start; page < end; page++) {
    const vma = vmas.at(page) as ModelVma;
    if (vma.flags.prot === 0) return false;
    memory.populate(vma, page);
  }
  return true;
}
