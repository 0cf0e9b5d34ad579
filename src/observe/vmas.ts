// VMAs with their smaps numbers, and the sums of smaps_rollup. Reference: linux 6.18 fs/proc/task_mmu.c (smaps_account,
// show_smaps_rollup).

import { FileKind, ShmemFlag } from '../../assembly/abi/file.ts';
import {
  VM_ACCOUNT,
  VM_DONTCOPY,
  VM_DONTDUMP,
  VM_DONTEXPAND,
  VM_EXEC,
  VM_HUGEPAGE,
  VM_HUGETLB,
  VM_LOCKED,
  VM_LOCKONFAULT,
  VM_MAYSHARE,
  VM_MERGEABLE,
  VM_NOHUGEPAGE,
  VM_NORESERVE,
  VM_RAND_READ,
  VM_READ,
  VM_SEQ_READ,
  VM_SHARED,
  VM_WIPEONFORK,
  VM_WRITE,
  VMA_FILE,
} from '../../assembly/abi/vm-flags.ts';
import type { Hva } from '../address.ts';
import type { Ptr } from '../core/exports.ts';
import {
  FILE_FIRST,
  FILE_FLAGS,
  FILE_KIND,
  SCRATCH,
  STAT_ANON,
  STAT_ANON_HUGE,
  STAT_FILE_SWAP,
  STAT_HUGETLB,
  STAT_KSM,
  STAT_LAZY,
  STAT_PRIVATE_DIRTY,
  STAT_PSS,
  STAT_PSS_ANON,
  STAT_PSS_DIRTY,
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
import type { SmapsRollup } from './proc-types.ts';

/** show_smap_vma_flags: in the order of the flag bits. VM_MAYREAD, -WRITE, -EXEC are always there. */
const MNEMONICS: readonly (readonly [number, string])[] = [
  [VM_READ, 'rd'],
  [VM_WRITE, 'wr'],
  [VM_EXEC, 'ex'],
  [VM_SHARED, 'sh'],
  [0x10, 'mr'],
  [0x20, 'mw'],
  [0x40, 'me'],
  [VM_MAYSHARE, 'ms'],
  [VM_LOCKED, 'lo'],
  [VM_SEQ_READ, 'sr'],
  [VM_RAND_READ, 'rr'],
  [VM_DONTCOPY, 'dc'],
  [VM_DONTEXPAND, 'de'],
  [VM_LOCKONFAULT, 'lf'],
  [VM_ACCOUNT, 'ac'],
  [VM_NORESERVE, 'nr'],
  [VM_HUGETLB, 'ht'],
  [VM_WIPEONFORK, 'wf'],
  [VM_DONTDUMP, 'dd'],
  [VM_HUGEPAGE, 'hg'],
  [VM_NOHUGEPAGE, 'nh'],
  [VM_MERGEABLE, 'mg'],
];

const PAGE = 4096;
const KIB = 1024;

/** Shares of a VMA as Linux sums them up, in 1/4096 of a byte. */
interface Shares {
  readonly pss: number;
  readonly pssDirty: number;
  readonly pssAnon: number;
}
/** What is shown of a share: whole kB, here in bytes. */
const shown = (share: number): number => Math.floor(share / (KIB * PAGE)) * KIB;

export const readVmas = (vm: Vm): Vma[] => readMappings(vm).map(([vma]) => vma);

function readMappings(vm: Vm): (readonly [Vma, Shares])[] {
  const { core } = vm.host;
  const out: (readonly [Vma, Shares])[] = [];
  for (let at = core.x.vmaFind(vm.ptr, 0n) >>> 0; at !== 0; at = core.x.vmaNext(vm.ptr, at) >>> 0) {
    out.push(readVma(vm, at));
  }
  return out;
}

/** Numbers of all VMAs in one. Shares are summed first, so they may come to more than those of the VMAs. */
export function readRollup(vm: Vm): SmapsRollup {
  const mappings = readMappings(vm);
  const sum = (size: (vma: Vma, shares: Shares) => number): number =>
    mappings.reduce((n, [vma, shares]) => n + size(vma, shares), 0);
  const pss = sum((_, shares) => shares.pss);
  const pssAnon = sum((_, shares) => shares.pssAnon);
  const pssFile = sum((vma, shares) => (vma.file?.guestMemfd ? shares.pss - shares.pssAnon : 0));
  return {
    start: mappings[0]?.[0].start ?? (0n as Hva),
    end: mappings.at(-1)?.[0].end ?? (0n as Hva),
    rss: sum((vma) => vma.rss),
    pss: shown(pss),
    pssDirty: shown(sum((_, shares) => shares.pssDirty)),
    pssAnon: shown(pssAnon),
    pssFile: shown(pssFile),
    pssShmem: shown(pss - pssAnon - pssFile),
    sharedClean: sum((vma) => vma.sharedClean),
    sharedDirty: sum((vma) => vma.sharedDirty),
    privateClean: sum((vma) => vma.privateClean),
    privateDirty: sum((vma) => vma.privateDirty),
    anonymous: sum((vma) => vma.anonymous),
    ksm: sum((vma) => vma.ksm),
    lazyFree: sum((vma) => vma.lazyFree),
    anonHugePages: sum((vma) => vma.anonHugePages),
    sharedHugetlb: sum((vma) => vma.sharedHugetlb),
    privateHugetlb: sum((vma) => vma.privateHugetlb),
    swap: sum((vma) => vma.swap),
    swapPss: sum((vma) => vma.swapPss),
    locked: shown(sum((vma, shares) => (vma.flags.includes('lo') ? shares.pss : 0))),
  };
}

/** The file record of a VMA with this name (assembly/mm/file.ts) and the byte of it at `start`; private hugetlb memory has none. */
export function recordOf(
  vm: Vm,
  name: bigint,
  start: bigint,
): { readonly ptr: Ptr; readonly offset: number } | undefined {
  const { core } = vm.host;
  const ptr = Number(name & 0xfffffn) * PAGE;
  if (ptr === 0) return undefined;
  const place = BigInt.asIntN(44, name >> 20n);
  const page = (start >> 12n) - place - BigInt(core.readU32(ptr + FILE_FIRST));
  return { ptr, offset: Number(page) * PAGE };
}

/** The file of a VMA with this name; that of private hugetlb memory the kernel makes. */
function fileOf(vm: Vm, name: bigint, start: Hva): MappedFile {
  const file = recordOf(vm, name, start);
  if (file === undefined) {
    const region = vm.ram.find(({ hva, size }) => hva <= start && start < hva + BigInt(size));
    return {
      name: '/anon_hugepage (deleted)',
      offset: Number(start - (region?.hva ?? start)),
      links: 0,
      executable: false,
    };
  }
  const isGmem = vm.host.core.readU32(file.ptr + FILE_KIND) === FileKind.GuestMemfd;
  return {
    ...fileName(vm, file.ptr),
    offset: file.offset,
    links: 0,
    ...(isGmem && { guestMemfd: true as const }),
  };
}

/** What /proc calls a file, and whether it may be executed. */
export function fileName(vm: Vm, file: Ptr): { readonly name: string; readonly executable: boolean } {
  const { core } = vm.host;
  return named(core.readU32(file + FILE_KIND), core.readU32(file + FILE_FLAGS));
}

function named(kind: FileKind, flags: number): { readonly name: string; readonly executable: boolean } {
  if (kind === FileKind.GuestMemfd) return { name: 'anon_inode:[kvm-gmem]', executable: false };
  const isZero = kind === FileKind.Memfd && flags === ShmemFlag.Zero;
  return { name: isZero ? '/dev/zero (deleted)' : '/memfd:guest-ram (deleted)', executable: true };
}

/** The file mapped at `hva`, with the offset of that page; undefined where none is. */
export function fileAt(vm: Vm, hva: Hva): MappedFile | undefined {
  const { core } = vm.host;
  const at = core.x.vmaFind(vm.ptr, hva >> 12n) >>> 0;
  if (at === 0 || core.readU64(at + VMA_START) > hva >> 12n) return undefined;
  const flags = core.readU32(at + VMA_FLAGS);
  return flags & VMA_FILE ? fileOf(vm, core.readU64(at + VMA_NAME), hva) : undefined;
}

function readVma(vm: Vm, at: number): readonly [Vma, Shares] {
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
  const ownSwap = bytes(STAT_SWAP);
  const hugetlb = bytes(STAT_HUGETLB);
  const isShared = (flags & VM_SHARED) !== 0;
  const share = (stat: number): number => core.readNumber(SCRATCH + stat);
  const shares = {
    pss: share(STAT_PSS),
    pssDirty: share(STAT_PSS_DIRTY),
    pssAnon: share(STAT_PSS_ANON),
  };
  const pss = shown(shares.pss);
  const vma: Vma = {
    start: (start << 12n) as Hva,
    end: (end << 12n) as Hva,
    perm: `${flags & VM_READ ? 'r' : '-'}${flags & VM_WRITE ? 'w' : '-'}${flags & VM_EXEC ? 'x' : '-'}${isShared ? 's' : 'p'}`,
    flags: MNEMONICS.filter(([bit]) => flags & bit).map(([, name]) => name),
    name: flags & VMA_FILE ? undefined : names.decode(flags, core.readU64(at + VMA_NAME)),
    ...(flags & VMA_FILE && { file: fileOf(vm, core.readU64(at + VMA_NAME), (start << 12n) as Hva) }),
    anonVma: core.readU32(at + VMA_ANON),
    size: Number((end - start) << 12n),
    rss,
    pss,
    pssDirty: shown(shares.pssDirty),
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
    swap: ownSwap + bytes(STAT_FILE_SWAP),
    // Linux does not say it of pages of files.
    swapPss: ownSwap,
    locked: flags & VM_LOCKED ? pss : 0,
  };
  return [vma, shares];
}
