// VMAs with their smaps numbers. Reference: linux fs/proc/task_mmu.c.
import {
  VM_ACCOUNT,
  VM_DONTDUMP,
  VM_LOCKED,
  VM_MERGEABLE,
  VM_NOHUGEPAGE,
  VM_NORESERVE,
  VM_READ,
  VM_WRITE,
} from '../../assembly/abi/vm-flags.ts';
import type { Hva } from '../address.ts';
import { SCRATCH, VMA_ANON, VMA_END, VMA_FLAGS, VMA_NAME, VMA_START } from '../core/layout.ts';
import type { Vma } from '../types.ts';
import type { Vm } from '../vm.ts';

/** show_smap_vma_flags: in the order of the flag bits. VM_MAYREAD, -WRITE, -EXEC are always there. */
const MNEMONICS: readonly (readonly [number, string])[] = [
  [VM_READ, 'rd'],
  [VM_WRITE, 'wr'],
  [0x10, 'mr'],
  [0x20, 'mw'],
  [0x40, 'me'],
  [VM_LOCKED, 'lo'],
  [VM_ACCOUNT, 'ac'],
  [VM_NORESERVE, 'nr'],
  [VM_DONTDUMP, 'dd'],
  [VM_NOHUGEPAGE, 'nh'],
  [VM_MERGEABLE, 'mg'],
];

export function readVmas(vm: Vm): Vma[] {
  const { core, names } = vm.host;
  const out: Vma[] = [];
  for (let at = core.x.vmaFind(vm.ptr, 0n) >>> 0; at !== 0; at = core.x.vmaNext(vm.ptr, at) >>> 0) {
    const start = core.readU64(at + VMA_START);
    const end = core.readU64(at + VMA_END);
    const flags = core.readU32(at + VMA_FLAGS);
    core.x.rangeStats(vm.ptr, start, end);
    const stat = (i: number): number => core.readNumber(SCRATCH + i * 8) * 4096;
    const rss = stat(0);
    const dirty = stat(1);
    const swap = stat(3);
    out.push({
      start: (start << 12n) as Hva,
      end: (end << 12n) as Hva,
      perm: `${flags & VM_READ ? 'r' : '-'}${flags & VM_WRITE ? 'w' : '-'}-p`,
      flags: MNEMONICS.filter(([bit]) => flags & bit).map(([, name]) => name),
      name: names.decode(flags, core.readU64(at + VMA_NAME)),
      anonVma: core.readU32(at + VMA_ANON),
      size: Number((end - start) << 12n),
      rss,
      pss: rss,
      sharedClean: 0,
      sharedDirty: 0,
      privateClean: rss - dirty,
      privateDirty: dirty,
      anonymous: rss,
      ksm: 0,
      lazyFree: stat(2),
      anonHugePages: 0,
      swap,
      swapPss: swap,
      locked: flags & VM_LOCKED ? rss : 0,
    });
  }
  return out;
}
