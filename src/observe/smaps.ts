// smaps text. Reference: linux 6.18 fs/proc/task_mmu.c, show_map_vma, __show_smap, show_smap.
import type { Vma } from '../types.ts';

/** Linux pads the address part to this column before a name (seq_setwidth, seq_pad). */
const NAME_COLUMN = 73;

const kb = (name: string, bytes: number): string =>
  `${`${name}:`.padEnd(16)}${String(bytes / 1024).padStart(8)} kB\n`;

function header(vma: Vma): string {
  const line = `${vma.start.toString(16).padStart(8, '0')}-${vma.end.toString(16).padStart(8, '0')} ${vma.perm} 00000000 00:00 0 `;
  return vma.name === undefined ? `${line}\n` : `${line.padEnd(NAME_COLUMN)}[anon:${vma.name}]\n`;
}

export function smapsText(vmas: readonly Vma[]): string {
  let out = '';
  for (const vma of vmas) {
    out +=
      header(vma) +
      kb('Size', vma.size) +
      kb('KernelPageSize', 4096) +
      kb('MMUPageSize', 4096) +
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
      `THPeligible:    ${'0'.padStart(8)}\n` +
      `VmFlags: ${vma.flags.join(' ')} \n`;
  }
  return out;
}
