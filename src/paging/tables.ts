// What every walker shares: the memory that holds tables, what is said of an entry that was used, and bits of a value.
// This room knows no engine and no VM: it decodes numbers, and walks through memory that it is handed.

/** Physical memory with tables in it, as the walker of a CPU sees it. */
export interface TableMemory {
  /** The 8 bytes at a physical address; undefined: nothing can be read there, and the walk ends. */
  read(at: bigint): bigint | undefined;
  /**
   * Stores an entry whose accessed or dirty bits were set; false: that could not be done, and the walk ends. Left out: the
   * bits are worked out (`Reference.after`), and nothing changes.
   */
  write?(at: bigint, value: bigint): boolean;
}

/** One entry that a walk used, in the order of the walk. */
export interface Reference {
  /** 5 … 1, from the top; of arm64 tables 0 … 3. */
  readonly level: number;
  /** Physical address of the entry itself, in the address space of its tables. */
  readonly at: bigint;
  readonly value: bigint;
  /** The same behind the walk: with the accessed and dirty bits that it set. */
  readonly after: bigint;
}

export type AccessKind = 'read' | 'write' | 'fetch';

/** Something that the walker could not read or write, so that there is no answer. */
export interface Unreadable {
  readonly kind: 'unreadable';
  readonly at: bigint;
}

/** Whether bit n is set. */
export const bit = (value: bigint, n: number): boolean => ((value >> BigInt(n)) & 1n) !== 0n;
/** Bits high … low of a value, shifted down. */
export const bits = (value: bigint, high: number, low: number): bigint =>
  (value >> BigInt(low)) & mask(high - low + 1);
/** n ones. */
export const mask = (n: number): bigint => (1n << BigInt(Math.max(n, 0))) - 1n;
/** Bits high … low in their place. */
export const inPlace = (value: bigint, high: number, low: number): bigint =>
  bits(value, high, low) << BigInt(low);

/** Bytes that an x86 leaf of this level maps: 4 KiB at level 1, 2 MiB, 1 GiB; above it, what a table reaches. */
export const levelSize = (level: number): bigint => 1n << BigInt(3 + level * 9);
/** Index into the x86 table of this level. */
export const levelIndex = (address: bigint, level: number): bigint => (address / levelSize(level)) & 511n;
