// What `observe.coreDump` hands out. Sizes and file offsets in bytes.
import type { Hva } from '../address.ts';

/** Why a mapping is not, or not wholly, in a core file: MADV_DONTDUMP; never written to; its kind is off in coredump_filter. */
export type CoreDumpReason = 'dontdump' | 'no anonymous page' | 'filter';

export interface CoreDumpOptions {
  /** /proc/PID/coredump_filter. Default 0x33, as in Linux. */
  readonly filter?: number;
}
/** One VMA in the listing of a core file. */
export interface CoreDumpVma {
  readonly start: Hva;
  readonly end: Hva;
  readonly perm: string;
  readonly flags: readonly string[];
  readonly name: string | undefined;
  readonly size: number;
  /** Bytes of it in the file (p_filesz): holes count. */
  readonly dumped: number;
  /** Why `dumped` is less than `size`. */
  readonly reason: CoreDumpReason | undefined;
  /** Pages it has in frames. */
  readonly resident: number;
  /** Pages it has in swap. */
  readonly swapped: number;
}
export interface CoreDumpTotals {
  readonly bytes: number;
  /** Pages of mappings that are, or are not, in the file whole. */
  readonly resident: number;
  readonly swapped: number;
}
export interface CoreDumpListing {
  readonly filter: number;
  readonly vmas: readonly CoreDumpVma[];
  readonly dumped: CoreDumpTotals;
  readonly leftOut: CoreDumpTotals;
  /** Bytes of the file that are no hole: headers, notes and pages. */
  readonly stored: number;
}
/** A program header of a core file. */
export interface CoreSegment {
  readonly type: 'NOTE' | 'LOAD';
  readonly offset: number;
  readonly vaddr: bigint;
  readonly filesz: number;
  readonly memsz: number;
  /** PF_R 4, PF_W 2, PF_X 1. */
  readonly flags: number;
  readonly align: number;
}
export interface CoreChunk {
  /** Where in the file. */
  readonly offset: number;
  readonly bytes: Uint8Array;
}
/** A core file of the VMM. */
export interface CoreDump {
  readonly size: number;
  readonly segments: readonly CoreSegment[];
  readonly listing: CoreDumpListing;
  /** The file's bytes in ascending pieces; what is between them, and behind the last, is zeros. Reads the machine as it goes: let nothing run meanwhile. */
  chunks(): Iterable<CoreChunk>;
}
