// VMAs with their smaps numbers. Reference: linux fs/proc/task_mmu.c.
import {
  VM_ACCOUNT,
  VM_DONTDUMP,
  VM_DONTEXPAND,
  VM_HUGEPAGE,
  VM_HUGETLB,
  VM_LOCKED,
  VM_MAYSHARE,
  VM_MERGEABLE,
  VM_NOHUGEPAGE,
  VM_NORESERVE,
  VM_READ,
  VM_SHARED,
  VM_WRITE,
  VMA_FILE,
} from '../../assembly/abi/vm-flags.ts';
import type { Hva } from '../address.ts';
import {
  SCRATCH,
  STAT_ANON,
  STAT_ANON_HUGE,
  STAT_HUGETLB,
  STAT_KSM,
  STAT_LAZY,
  STAT_PRIVATE_DIRTY,
  STAT_PSS,
  STAT_RSS,
  STAT_SHARED_CLEAN,
  STAT_SHARED_DIRTY,
  STAT_SWAP,
  VMA_ANON,
  VMA_END,
  VMA_FLAGS,
  VMA_NAME,
  VMA_START,
} from '../core/layout.ts';
import type { MappedFile, Vma } from '../types.ts';
import type { Vm } from '../vm.ts';

/** show_smap_vma_flags: in the order of the flag bits. VM_MAYREAD, -WRITE, -EXEC are always there. */
const MNEMONICS: readonly (readonly [number, string])[] = [
  [VM_READ, 'rd'],
  [VM_WRITE, 'wr'],
  [VM_SHARED, 'sh'],
  [0x10, 'mr'],
  [0x20, 'mw'],
  [0x40, 'me'],
  [VM_MAYSHARE, 'ms'],
  [VM_LOCKED, 'lo'],
  [VM_DONTEXPAND, 'de'],
  [VM_ACCOUNT, 'ac'],
  [VM_NORESERVE, 'nr'],
  [VM_HUGETLB, 'ht'],
  [VM_DONTDUMP, 'dd'],
  [VM_HUGEPAGE, 'hg'],
  [VM_NOHUGEPAGE, 'nh'],
  [VM_MERGEABLE, 'mg'],
];

const PAGE = 4096;
const KIB = 1024;

export function readVmas(vm: Vm): Vma[] {
  const { core } = vm.host;
  const out: Vma[] = [];
  for (let at = core.x.vmaFind(vm.ptr, 0n) >>> 0; at !== 0; at = core.x.vmaNext(vm.ptr, at) >>> 0) {
    out.push(readVma(vm, at));
  }
  return out;
}

/** RAM is one memfd a region, and private hugetlb memory a file that the kernel makes. */
function fileOf(vm: Vm, flags: number, start: Hva): MappedFile {
  const isMemfd = (flags & (VM_HUGETLB | VM_SHARED)) !== VM_HUGETLB;
  const region = vm.ram.find(({ hva, size }) => hva <= start && start < hva + BigInt(size));
  return {
    name: isMemfd ? '/memfd:guest-ram (deleted)' : '/anon_hugepage (deleted)',
    offset: Number(start - (region?.hva ?? start)),
    links: 0,
    executable: isMemfd,
  };
}

/** The file mapped at `hva`, with the offset of that page; undefined where none is. */
export function fileAt(vm: Vm, hva: Hva): MappedFile | undefined {
  const { core } = vm.host;
  const at = core.x.vmaFind(vm.ptr, hva >> 12n) >>> 0;
  if (at === 0 || core.readU64(at + VMA_START) > hva >> 12n) return undefined;
  const flags = core.readU32(at + VMA_FLAGS);
  return flags & VMA_FILE ? fileOf(vm, flags, hva) : undefined;
}

function readVma(vm: Vm, at: number): Vma {
  const { core, names } = vm.host;
  const start = core.readU64(at + VMA_START);
  const end = core.readU64(at + VMA_END);
  const flags = core.readU32(at + VMA_FLAGS);
  core.x.rangeStats(vm.ptr, start, end);
  const bytes = (stat: number): number => core.readNumber(SCRATCH + stat) * PAGE;
  const rss = bytes(STAT_RSS);
  const sharedClean = bytes(STAT_SHARED_CLEAN);
  const sharedDirty = bytes(STAT_SHARED_DIRTY);
  const privateDirty = bytes(STAT_PRIVATE_DIRTY);
  const swap = bytes(STAT_SWAP);
  const hugetlb = bytes(STAT_HUGETLB);
  const isShared = (flags & VM_SHARED) !== 0;
  // Linux sums shares up in 1/4096 of a byte and shows whole kB.
  const pss = Math.floor(core.readNumber(SCRATCH + STAT_PSS) / (KIB * PAGE)) * KIB;
  return {
    start: (start << 12n) as Hva,
    end: (end << 12n) as Hva,
    perm: `${flags & VM_READ ? 'r' : '-'}${flags & VM_WRITE ? 'w' : '-'}-${isShared ? 's' : 'p'}`,
    flags: MNEMONICS.filter(([bit]) => flags & bit).map(([, name]) => name),
    name: flags & VMA_FILE ? undefined : names.decode(flags, core.readU64(at + VMA_NAME)),
    ...(flags & VMA_FILE && { file: fileOf(vm, flags, (start << 12n) as Hva) }),
    anonVma: core.readU32(at + VMA_ANON),
    size: Number((end - start) << 12n),
    rss,
    pss,
    sharedClean,
    sharedDirty,
    privateClean: rss - privateDirty - sharedClean - sharedDirty,
    privateDirty,
    anonymous: bytes(STAT_ANON),
    ksm: bytes(STAT_KSM),
    lazyFree: bytes(STAT_LAZY),
    anonHugePages: bytes(STAT_ANON_HUGE),
    // Nobody else maps them yet.
    sharedHugetlb: 0,
    privateHugetlb: hugetlb,
    swap,
    // Linux does not say it of shared mappings.
    swapPss: isShared ? 0 : swap,
    locked: flags & VM_LOCKED ? pss : 0,
  };
}
