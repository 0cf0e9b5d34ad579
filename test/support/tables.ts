// Page tables in a memory of their own, for tests of walkers: entries are numbers that the test spells out.
import type { TableMemory } from '../../src/index.ts';

const PAGE = 4096n;

/** Physical memory of 8-byte words; what was never written reads as 0. `broken`: addresses that cannot be read. */
export class Words implements TableMemory {
  readonly words = new Map<bigint, bigint>();
  readonly broken = new Set<bigint>();
  readonly #first: bigint;
  #next: bigint;

  /** Tables are made from `first` on, a page each. */
  constructor(first = 0x10_0000n) {
    this.#first = first;
    this.#next = first;
  }

  read(at: bigint): bigint | undefined {
    return this.broken.has(at) ? undefined : (this.words.get(at) ?? 0n);
  }

  write(at: bigint, value: bigint): boolean {
    this.words.set(at, value);
    return true;
  }

  /** An empty table. */
  table(): bigint {
    this.#next += PAGE;
    return this.#next - PAGE;
  }

  /** The tables made so far. */
  get tables(): bigint[] {
    return Array.from(
      { length: Number((this.#next - this.#first) / PAGE) },
      (_, i) => this.#first + BigInt(i) * PAGE,
    );
  }

  /**
   * x86 tables from `root`, of `levels` levels, down to `level`, whose entry for `address` becomes `leaf`. Tables on the way
   * are made with the bits `table(level)` when the entry is 0. Returns where the entry of `level` is.
   */
  map(
    root: bigint,
    levels: number,
    address: bigint,
    level: number,
    leaf: bigint,
    table: (level: number) => bigint,
  ): bigint {
    let at = root;
    for (let l = levels; ; l--) {
      const entry = at + ((address >> BigInt(3 + 9 * l)) & 511n) * 8n;
      if (l === level) {
        this.words.set(entry, leaf);
        return entry;
      }
      if ((this.words.get(entry) ?? 0n) === 0n) this.words.set(entry, this.table() | table(l));
      at = (this.words.get(entry) ?? 0n) & 0x000f_ffff_ffff_f000n;
    }
  }
}
