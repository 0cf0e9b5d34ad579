// What `observe.status`, `smapsRollup`, `pagemapRuns` and `pageTypes` hand out. Sizes in bytes.
import type { Hva } from '../address.ts';
import type { SmapsSizes } from '../types.ts';

/**
 * The memory lines of /proc/PID/status, as if guest RAM were all that the VMM maps. Left out: VmStk, VmExe and VmLib, which
 * guest RAM has no part in, and VmHWM and VmPTE, which are not kept (docs/model-limits.md).
 */
export interface MemoryStatus {
  /** Largest VmSize so far: what RAM was when it was mapped. */
  readonly vmPeak: number;
  readonly vmSize: number;
  /** Size of locked VMAs, whatever is in them. */
  readonly vmLck: number;
  /** KVM pins no pages: 0. */
  readonly vmPin: number;
  /** The sum of the next three. */
  readonly vmRss: number;
  /** Anonymous pages, those of KSM and private copies of a file's pages too. */
  readonly rssAnon: number;
  /** Pages of guest_memfds; of files on a disk there are none. */
  readonly rssFile: number;
  /** Pages of memfds, mapped shared or privately. */
  readonly rssShmem: number;
  /** Private mappings that are writable now. */
  readonly vmData: number;
  /** Swapped anonymous pages; those of a memfd are the file's. */
  readonly vmSwap: number;
  /** Mapped hugetlb pages, which are in none of the above but VmPeak, VmSize and VmData. */
  readonly hugetlbPages: number;
}

/** Sizes of smaps that smaps_rollup sums up over all VMAs. Shares are summed before they are rounded to kB. */
export interface SmapsRollup extends SmapsSizes {
  /** Start of the first VMA and end of the last one, 0 without any. */
  readonly start: Hva;
  readonly end: Hva;
  readonly pssAnon: number;
  readonly pssFile: number;
  readonly pssShmem: number;
}

/** Neighbouring pages with the same bits in pagemap, and frames or swap slots that are the same or follow each other. */
export interface PagemapRun {
  readonly start: Hva;
  readonly pages: number;
  /** Of the first page, as /proc/PID/pagemap has it. */
  readonly entry: bigint;
  readonly present: boolean;
  readonly swapped: boolean;
  /** Not anonymous: a page of a file, or the huge zero page. */
  readonly file: boolean;
  /** Mapped here and nowhere else. */
  readonly exclusive: boolean;
  /** Frame of the first page, if present: hpa / 4096. */
  readonly pfn: number | undefined;
  /** Of the first page, if swapped: counted from the header of the swap area, which is 0. */
  readonly swapOffset: number | undefined;
  /** By how much pfn or swapOffset grow from page to page. */
  readonly step: 0 | 1;
}

export interface PageTypesOptions {
  /** `page-types --raw`: flags for kernel developers and of pagemap as well. Default false. */
  readonly raw?: boolean;
}
export interface PageType {
  /** As /proc/kpageflags has them; with `raw`, also the bits of the tool's own. */
  readonly flags: bigint;
  readonly pages: number;
  /** A letter for each flag that is set: `___U_l_____Ma_b________…`. */
  readonly symbolic: string;
  readonly names: readonly string[];
}
/** In the tool's order, which is that of its hash table. */
export interface PageTypes {
  readonly types: readonly PageType[];
  readonly pages: number;
}
