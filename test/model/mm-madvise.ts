// madvise, and the names of VMAs, which take the same way: alignment, rounding, overflow, length 0, then VMA by VMA.
// Reference: linux 6.18 mm/madvise.c (is_valid_madvise, madvise_walk_vmas, madvise_vma_behavior), kernel/sys.c
// (prctl_set_vma).
import { Errno } from '../../assembly/abi/errno.ts';
import type { MadviseAdvice } from '../../src/conform/mm-door.ts';
import { addressOf, aligned, pageAlign, pageOf, u64 } from './mm-address.ts';
import { isAnonymousMapping, ksmCompatible } from './mm-mapping.ts';
import { type Process, setFlags } from './mm-process.ts';
import type { ModelVma, VmaFlags } from './mm-vmas.ts';

type Act = (vma: ModelVma, from: number, to: number) => Errno;

export function madvise(process: Process, start: bigint, len: bigint, advice: MadviseAdvice): Errno {
  return eachVma(process, start, len, (vma, from, to) => adviseVma(process, vma, from, to, advice));
}

function adviseVma(process: Process, vma: ModelVma, from: number, to: number, advice: MadviseAdvice): Errno {
  const { mapping, memory } = process;
  switch (advice) {
    case 'remove':
      if (vma.flags.locked || !mapping.hasFile) return Errno.EINVAL;
      // That it may be written counts, not the permissions of the moment.
      if (!mapping.shared) return Errno.EACCES;
      memory.punch(from, to);
      return Errno.OK;
    case 'dontneed':
    case 'free':
    case 'pageout':
      // The flag decides, not whether anything was locked in; permissions do not matter.
      return vma.flags.locked ? Errno.EINVAL : memory.advise(from, to, advice);
    case 'dontdump':
      return adviseFlags(process, vma, from, to, { dontDump: true });
    case 'mergeable':
      return adviseFlags(process, vma, from, to, { mergeable: ksmCompatible(mapping) });
    case 'unmergeable':
      // Sharing ends before it is known whether there is room for the VMAs that the change of flags may need.
      if (vma.flags.mergeable) memory.unmerge(from, to);
      return adviseFlags(process, vma, from, to, { mergeable: false });
  }
}

/** madvise says EAGAIN where the kernel has no room. */
function adviseFlags(
  process: Process,
  vma: ModelVma,
  from: number,
  to: number,
  change: Partial<VmaFlags>,
): Errno {
  const errno = setFlags(process, vma, from, to, change);
  return errno === Errno.ENOMEM ? Errno.EAGAIN : errno;
}

/** PR_SET_VMA_ANON_NAME; `undefined` takes the name away. */
export function setAnonName(process: Process, start: bigint, len: bigint, name: string | undefined): Errno {
  // Printable ASCII without [ ] \ $ and the backtick, 80 bytes with the NUL.
  if (name !== undefined && (name.length > 79 || !/^[ -~]*$/.test(name) || /[[\]\\$`]/.test(name))) {
    return Errno.EINVAL;
  }
  const named = isAnonymousMapping(process.mapping);
  return eachVma(process, start, len, (vma, from, to) =>
    named ? adviseFlags(process, vma, from, to, { name }) : Errno.EBADF,
  );
}

/** madvise_walk_vmas(): a VMA's error ends it and wins over a hole; a hole only makes the result ENOMEM. */
function eachVma({ vmas }: Process, start: bigint, len: bigint, act: Act): Errno {
  const address = addressOf(start);
  const rounded = pageAlign(len);
  if (!aligned(address) || (len !== 0n && rounded === 0n)) return Errno.EINVAL;
  if (u64(address + rounded) < address) return Errno.EINVAL;
  const end = pageOf(address + rounded);
  let result = Errno.OK;
  for (let page = pageOf(address); page < end; ) {
    const vma = vmas.find(page);
    if (!vma || vma.start >= end) return Errno.ENOMEM;
    if (page < vma.start) result = Errno.ENOMEM;
    const from = Math.max(page, vma.start);
    const to = Math.min(vma.end, end);
    const errno = act(vma, from, to);
    if (errno !== Errno.OK) return errno;
    page = to;
  }
  return result;
}
