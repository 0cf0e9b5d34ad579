// The kinds of mapping that guest RAM can be: VMA flags besides permissions, as the VMM's mmap and madvise leave them.
// Reference: linux mm/mmap.c (do_mmap), mm/madvise.c (hugepage_madvise), fs/hugetlbfs/inode.c.
import {
  VM_ACCOUNT,
  VM_DONTEXPAND,
  VM_HUGEPAGE,
  VM_HUGETLB,
  VM_MAYSHARE,
  VM_NOHUGEPAGE,
  VM_NORESERVE,
  VM_SHARED,
  VMA_FILE,
  VMA_GIGANTIC,
} from '../assembly/abi/vm-flags.ts';
import type { BackingKind } from './types.ts';

const SHARED_FILE = VM_SHARED | VM_MAYSHARE | VMA_FILE;
const HUGE_PAGES = VM_HUGETLB | VM_DONTEXPAND | VMA_FILE;

export const MAPPING_FLAGS: Readonly<Record<BackingKind, number>> = {
  anon: VM_NORESERVE | VM_NOHUGEPAGE,
  anon_acct: VM_ACCOUNT | VM_NOHUGEPAGE,
  memfd: SHARED_FILE,
  memfd_priv: VM_ACCOUNT | VMA_FILE,
  thp: VM_NORESERVE | VM_HUGEPAGE,
  // Private hugetlb memory has a file of its own inside, of which only that it is there is seen.
  hugetlb: HUGE_PAGES,
  hugetlb_shared: SHARED_FILE | HUGE_PAGES,
  hugetlb_1g: HUGE_PAGES | VMA_GIGANTIC,
  hugetlb_1g_shared: SHARED_FILE | HUGE_PAGES | VMA_GIGANTIC,
};

export const BACKINGS = Object.keys(MAPPING_FLAGS) as readonly BackingKind[];
export const isHugetlb = (kind: BackingKind): boolean => (MAPPING_FLAGS[kind] & VM_HUGETLB) !== 0;
export const isSharedFile = (kind: BackingKind): boolean => (MAPPING_FLAGS[kind] & VM_SHARED) !== 0;
/** vma_kernel_pagesize: bytes that a page of the mapping has at least. */
export const kernelPageSize = (kind: BackingKind): number =>
  isHugetlb(kind) ? (MAPPING_FLAGS[kind] & VMA_GIGANTIC ? 2 ** 30 : 2 ** 21) : 4096;
