// How much of a VMA a core dump takes. Reference: linux 6.18 fs/coredump.c, vma_dump_size; docs/linux-rules.md C.
// Its cases that guest RAM never meets are left out: DAX, device memory (VM_IO), the vDSO.
import { PAGE_SIZE } from '../address.ts';
import { SlatboxError } from '../errors.ts';
import type { Vma } from '../types.ts';
import type { CoreDumpReason } from './core-types.ts';

/** Bits of /proc/PID/coredump_filter, MMF_DUMP_* of include/linux/sched/coredump.h. */
export const DumpFilter = {
  AnonPrivate: 0x01,
  AnonShared: 0x02,
  MappedPrivate: 0x04,
  MappedShared: 0x08,
  ElfHeaders: 0x10,
  HugetlbPrivate: 0x20,
  HugetlbShared: 0x40,
} as const;

/** What a process has that never wrote to its coredump_filter. */
export const DEFAULT_FILTER =
  DumpFilter.AnonPrivate | DumpFilter.AnonShared | DumpFilter.ElfHeaders | DumpFilter.HugetlbPrivate;

/** SlatboxError SLB-010 for what cannot be written to a coredump_filter. Bits without a meaning are ignored, as there. */
export function assertFilter(filter: number): void {
  if (Number.isInteger(filter) && filter >= 0 && filter <= 0xffff_ffff) return;
  throw new SlatboxError('SLB-010', `filter: ${filter} is no coredump_filter`, 'a number of 32 bits: 0x33');
}

/** Bytes of the VMA that the core file has, and why that is not all of it. `isElf`: whether the memory starts as an ELF file does. */
export function dumpSize(
  vma: Vma,
  filter: number,
  isElf: (vma: Vma) => boolean,
): { readonly bytes: number; readonly reason?: CoreDumpReason } {
  const { flags, size, file, anonVma } = vma;
  const allows = (bit: number) => (filter & bit ? { bytes: size } : { bytes: 0, reason: 'filter' as const });
  const shared = flags.includes('sh');
  if (flags.includes('dd')) return { bytes: 0, reason: 'dontdump' };
  if (flags.includes('ht')) return allows(shared ? DumpFilter.HugetlbShared : DumpFilter.HugetlbPrivate);
  // What is shared has a file. One without a name is a memfd, or MAP_SHARED | MAP_ANONYMOUS.
  if (shared) return allows((file?.links ?? 0) === 0 ? DumpFilter.AnonShared : DumpFilter.MappedShared);
  if (anonVma !== 0 && filter & DumpFilter.AnonPrivate) return { bytes: size };
  if (!file) return { bytes: 0, reason: anonVma === 0 ? 'no anonymous page' : 'filter' };
  if (filter & DumpFilter.MappedPrivate) return { bytes: size };
  // Linux takes this for a program or library that is mapped, and its first page says which.
  const header = filter & DumpFilter.ElfHeaders && file.offset === 0 && flags.includes('rd');
  const bytes = header && (file.executable || isElf(vma)) ? PAGE_SIZE : 0;
  return bytes === size ? { bytes } : { bytes, reason: 'filter' };
}
