// What is behind the VMAs: two kinds, pages of 4 KiB (with transparent huge pages) and hugetlb pages. The model finds
// the VMA of an access and cuts ranges at the borders of VMAs; all that follows is here.
import type { MmSizes } from '../../src/conform/mm-door.ts';
import type { ModelVma, VmaErrno } from './mm-vmas.ts';

/** Advice that acts on pages, not on the flags of VMAs. */
export type PageAdvice = 'dontneed' | 'free' | 'pageout';

export interface Memory {
  /** [from, to) of one VMA, as the advice was given; EINVAL for what this kind of memory refuses. */
  advise(from: number, to: number, advice: PageAdvice): VmaErrno;
  /** MADV_REMOVE: a hole in the file. */
  punch(from: number, to: number): void;
  /** MADV_UNMERGEABLE: no page in the range is shared by KSM any more. */
  unmerge(from: number, to: number): void;
  /** The VMA of [from, to) has new permissions. */
  protect(vma: ModelVma, from: number, to: number): void;
  /** One page of what mlock populates. */
  populate(vma: ModelVma, page: number): void;
  /** munmap has taken [from, to) from the VMAs. */
  unmap(from: number, to: number): void;
  /** VMAs were cut or merged. */
  bordersMoved(): void;

  /** Accesses that the VMA permits. */
  hostRead(vma: ModelVma, page: number): number;
  hostWrite(vma: ModelVma, page: number, byte: number): void;
  /** A vCPU's: undefined or false is EFAULT. */
  guestRead(vma: ModelVma, page: number): number | undefined;
  guestWrite(vma: ModelVma, page: number, byte: number): boolean;

  ksmScan(): void;

  sizes(vma: ModelVma): MmSizes;
  letter(page: number): string;
  blocks(): number;
}
