// smaps text. Reference: linux 6.18 fs/proc/task_mmu.c, show_map_vma, __show_smap, show_smap.
import type { Vma } from '../types.ts';

/** Linux pads the address part to this column before a name (seq_setwidth, seq_pad). */
const NAME_COLUMN = 73;

const kb = (name: string, bytes: number): string =>
  `${`${name}:`.padEnd(16)}${String(bytes / 1024).padStart(8)} kB\n`;

/** Device and inode of a file are numbers of our own: tmpfs and hugetlbfs have no device that a program could know. */
function header({ start, end, perm, file, name }: Vma): string {
  const address = (n: bigint | number): string => n.toString(16).padStart(8, '0');
  const where = file ? `${address(file.offset)} 00:01 1024` : '00000000 00:00 0';
  const line = `${address(start)}-${address(end)} ${perm} ${where} `;
  const what = file ? file.name : name === undefined ? '' : `[anon:${name}]`;
  return what === '' ? `${line}\n` : `${line.padEnd(NAME_COLUMN)}${what}\n`;
}

/** Whether a fault in the VMA may bring a huge page: it asks for them and has room for one (thp_vma_allowable_order). */
function thpEligible({ start, end, flags }: Vma): boolean {
  return flags.includes('hg') && ((start + HUGE - 1n) / HUGE) * HUGE + HUGE <= end;
}

const HUGE = 1n << 21n;

export function smapsText(vmas: readonly Vma[]): string {
  let out = '';
  for (const vma of vmas) {
    out +=
      header(vma) +
      kb('Size', vma.size) +
      kb('KernelPageSize', vma.flags.includes('ht') ? Number(HUGE) : 4096) +
      kb('MMUPageSize', vma.flags.includes('ht') ? Number(HUGE) : 4096) +
      kb('Rss', vma.rss) +
      kb('Pss', vma.pss) +
      kb('Pss_Dirty', vma.sharedDirty + vma.privateDirty) +
      kb('Shared_Clean', vma.sharedClean) +
      kb('Shared_Dirty', vma.sharedDirty) +
      kb('Private_Clean', vma.privateClean) +
      kb('Private_Dirty', vma.privateDirty) +
      kb('Referenced', vma.rss) +
      kb('Anonymous', vma.anonymous) +
      kb('KSM', vma.ksm) +
      kb('LazyFree', vma.lazyFree) +
      kb('AnonHugePages', vma.anonHugePages) +
      kb('ShmemPmdMapped', 0) +
      kb('FilePmdMapped', 0) +
      kb('Shared_Hugetlb', vma.sharedHugetlb) +
      kb('Private_Hugetlb', vma.privateHugetlb) +
      kb('Swap', vma.swap) +
      kb('SwapPss', vma.swapPss) +
      kb('Locked', vma.locked) +
      `THPeligible:    ${String(Number(thpEligible(vma))).padStart(8)}\n` +
      `VmFlags: ${vma.flags.join(' ')} \n`;
  }
  return out;
}
