// smaps and smaps_rollup as text. Reference: linux 6.18 fs/proc/task_mmu.c, show_map_vma, __show_smap, show_smap,
// show_smaps_rollup.
import type { Vma } from '../types.ts';
import type { SmapsRollup } from './proc-types.ts';

/** Linux pads the address part to this column before a name (seq_setwidth, seq_pad). */
const NAME_COLUMN = 73;

const kb = (name: string, bytes: number): string =>
  `${`${name}:`.padEnd(16)}${String(bytes / 1024).padStart(8)} kB\n`;

/** Device and inode of a file are numbers of our own: tmpfs and hugetlbfs have no device that a program could know. */
function header({ start, end, perm, file, name }: Vma): string {
  const where = file ? `${address(file.offset)} 00:01 ${file.inode ?? 1024}` : '00000000 00:00 0';
  const what = file ? file.name : name === undefined ? '' : `[anon:${name}]`;
  return named(`${address(start)}-${address(end)} ${perm} ${where} `, what);
}

const address = (n: bigint | number): string => n.toString(16).padStart(8, '0');
const named = (line: string, name: string): string =>
  name === '' ? `${line}\n` : `${line.padEnd(NAME_COLUMN)}${name}\n`;

/** Whether a fault in the VMA may bring a huge page: it asks for them and has room for one (thp_vma_allowable_order). */
function thpEligible({ start, end, flags }: Vma): boolean {
  return flags.includes('hg') && ((start + HUGE - 1n) / HUGE) * HUGE + HUGE <= end;
}

const HUGE = 1n << 21n;

/** `hugetlbPage`: bytes of a page of hugetlb VMAs. */
export function smapsText(vmas: readonly Vma[], hugetlbPage: number): string {
  let out = '';
  for (const vma of vmas) {
    const pageSize = vma.flags.includes('ht') ? hugetlbPage : 4096;
    out +=
      header(vma) +
      kb('Size', vma.size) +
      kb('KernelPageSize', pageSize) +
      kb('MMUPageSize', pageSize) +
      numbers(vma, '') +
      `THPeligible:    ${String(Number(thpEligible(vma))).padStart(8)}\n` +
      `VmFlags: ${vma.flags.join(' ')} \n`;
  }
  return out;
}

export function rollupText(rollup: SmapsRollup): string {
  const { start, end, pssAnon, pssFile, pssShmem } = rollup;
  const kinds = kb('Pss_Anon', pssAnon) + kb('Pss_File', pssFile) + kb('Pss_Shmem', pssShmem);
  const line = `${address(start)}-${address(end)} ---p 00000000 00:00 0 `;
  return named(line, '[rollup]') + numbers(rollup, kinds);
}

/** __show_smap; `kinds` are the lines that only smaps_rollup has. */
function numbers(sizes: Vma | SmapsRollup, kinds: string): string {
  return (
    kb('Rss', sizes.rss) +
    kb('Pss', sizes.pss) +
    kb('Pss_Dirty', sizes.pssDirty) +
    kinds +
    kb('Shared_Clean', sizes.sharedClean) +
    kb('Shared_Dirty', sizes.sharedDirty) +
    kb('Private_Clean', sizes.privateClean) +
    kb('Private_Dirty', sizes.privateDirty) +
    kb('Referenced', sizes.rss) +
    kb('Anonymous', sizes.anonymous) +
    kb('KSM', sizes.ksm) +
    kb('LazyFree', sizes.lazyFree) +
    kb('AnonHugePages', sizes.anonHugePages) +
    kb('ShmemPmdMapped', 0) +
    kb('FilePmdMapped', 0) +
    kb('Shared_Hugetlb', sizes.sharedHugetlb) +
    kb('Private_Hugetlb', sizes.privateHugetlb) +
    kb('Swap', sizes.swap) +
    kb('SwapPss', sizes.swapPss) +
    kb('Locked', sizes.locked)
  );
}
