// The door that `mm` recordings came through: the system calls and accesses of the VMM process on one mapping that
// plays guest RAM. Reference: test/golden/mm/README.md, sections "Ops" and "State".
import type { HostAccess, SmapsSizes } from '../types.ts';

export type MadviseAdvice =
  | 'dontneed'
  | 'free'
  | 'pageout'
  | 'remove'
  | 'dontdump'
  | 'mergeable'
  | 'unmergeable';

/** What smaps tells of one VMA, in kB. */
export type MmSizes = Omit<SmapsSizes, 'pssDirty'>;

/** One VMA; `start` and `end` are pages from the start of the mapping. */
export interface MmVma {
  readonly start: number;
  readonly end: number;
  /** As in smaps: `rw-p`. */
  readonly perm: string;
  /** smaps VmFlags; their order means nothing. */
  readonly flags: readonly string[];
  readonly sizes: MmSizes;
}

/**
 * One mapping. Calls answer with an errno, 0 for success. `start` counts bytes from the start of the mapping, may be
 * negative or past its end, and `len` is unsigned: together they are what the call was given, unchecked.
 */
export interface MmDoor {
  madvise(start: bigint, len: bigint, advice: MadviseAdvice): number;
  /** `prot`: 1 read, 2 write. */
  mprotect(start: bigint, len: bigint, prot: number): number;
  mlock(start: bigint, len: bigint): number;
  munlock(start: bigint, len: bigint): number;
  munmap(start: bigint, len: bigint): number;
  /** The process reads the first byte of a page. */
  hostRead(page: number): HostAccess;
  /** The process fills a page. */
  hostWrite(page: number, byte: number): HostAccess;
  /** The VMAs of the mapping in address order. */
  vmas(): readonly MmVma[];
  /** One letter for each page of the mapping. */
  letters(): string;
  /** 4 KiB pages that the file behind the mapping holds; anonymous memory has no file. */
  blocks?(): number;
  /** Four full scans of KSM. */
  ksmSettle?(): void;
}
