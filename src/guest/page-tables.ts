// Page tables that a guest makes for itself, in its RAM and with ordinary stores of a vCPU: for `guest.virtual`.
// Reference: Intel SDM vol. 3A, 4.5 (4-level and 5-level paging).
import { type Gpa, gpa as gpaOf, gva as gvaOf, hex } from '../address.ts';
import { SlatboxError } from '../errors.ts';
import { decodeLongModeEntry } from '../paging/long-mode.ts';
import { levelIndex, levelSize } from '../paging/tables.ts';
import { parseSize } from '../size.ts';
import type { AddressLike, Exit, Size } from '../types.ts';
import type { Vcpu } from './vcpu.ts';

export type GuestPageSize = '4K' | '2M' | '1G';
const LEAF_LEVEL: Readonly<Record<GuestPageSize, number>> = { '4K': 1, '2M': 2, '1G': 3 };

/** A range of linear addresses and what it is mapped to; rights default to all. */
export interface GuestMapping {
  readonly gva: AddressLike;
  /** Default: the same as gva (an identity map). */
  readonly gpa?: AddressLike;
  readonly len: Size;
  readonly page?: GuestPageSize;
  readonly write?: boolean;
  readonly user?: boolean;
  readonly execute?: boolean;
}

const P = 1n;
const RW = 2n;
const US = 4n;
const PS = 1n << 7n;
const NX = 1n << 63n;
/** Rights are told in leaves: tables on the way allow everything. */
const TABLE = P | RW | US;

/** Tables from `at` on, a page each, in RAM that nothing else uses. */
export class PageTables {
  /** gpa of the top table, for CR3. */
  readonly cr3: Gpa;
  readonly levels: 4 | 5;
  readonly #vcpu: Vcpu;
  #next: bigint;

  /** No store is done before the first `map`. SlatboxError SLB-060 for an address inside a page. */
  constructor(vcpu: Vcpu, at: AddressLike, levels: 4 | 5) {
    this.cr3 = gpaOf(at);
    this.levels = levels;
    this.#vcpu = vcpu;
    this.#next = this.cr3;
    if (this.cr3 % 4096n !== 0n) throw bad(`tables at ${hex(this.cr3)}`, 'begin them at a multiple of 4096');
  }

  /** The first address behind the tables that were made so far. */
  get end(): Gpa {
    return this.#next as Gpa;
  }

  /**
   * Maps a range, over what was mapped there by pages of the same size. The exit at which a store ended, if one did.
   * SlatboxError SLB-060: not whole pages, or a larger page or smaller ones are mapped there.
   */
  map(mapping: GuestMapping): Exit | undefined {
    const { page = '4K', write = true, user = true, execute = true } = mapping;
    const level = LEAF_LEVEL[page];
    const size = levelSize(level);
    const gva: bigint = gvaOf(mapping.gva);
    const gpa = mapping.gpa === undefined ? gva : gpaOf(mapping.gpa);
    const len = BigInt(parseSize(mapping.len, 'len'));
    if ((gva | gpa | len) % size !== 0n) {
      throw bad(
        `${hex(gva)} → ${hex(gpa)}, ${hex(len)} bytes, in pages of ${page}`,
        `choose multiples of ${page}`,
      );
    }
    const rights = P | (write ? RW : 0n) | (user ? US : 0n) | (execute ? 0n : NX) | (level > 1 ? PS : 0n);
    let table = 0n;
    for (let done = 0n; done < len; done += size) {
      const at = gva + done;
      if (table === 0n || levelIndex(at, level) === 0n) {
        const found = this.#tableOf(at, level);
        if (typeof found !== 'bigint') return found;
        table = found;
      }
      const exit = this.#leaf(table + levelIndex(at, level) * 8n, level, gpa + done + rights);
      if (exit) return exit;
    }
    return undefined;
  }

  /** The table of `level` that covers gva, made with those above it where there is none. */
  #tableOf(gva: bigint, level: number): bigint | Exit {
    if (this.#next === this.cr3) {
      const top = this.#make();
      if (typeof top !== 'bigint') return top;
    }
    let table: bigint = this.cr3;
    for (let l: number = this.levels; l > level; l--) {
      const at = table + levelIndex(gva, l) * 8n;
      const entry = this.#vcpu.load(at, 8);
      if (!entry.ok) return entry.exit;
      const { present, leaf, address } = decodeLongModeEntry(entry.value, l);
      if (present && leaf)
        throw bad(`a page of level ${l} is mapped at ${hex(gva)}`, 'map smaller pages first');
      if (present) {
        table = address;
        continue;
      }
      const made = this.#make();
      if (typeof made !== 'bigint') return made;
      const stored = this.#vcpu.store(at, 8, made | TABLE);
      if (!stored.ok) return stored.exit;
      table = made;
    }
    return table;
  }

  #leaf(at: bigint, level: number, entry: bigint): Exit | undefined {
    if (level > 1) {
      const old = this.#vcpu.load(at, 8);
      if (!old.ok) return old.exit;
      const { present, leaf } = decodeLongModeEntry(old.value, level);
      if (present && !leaf)
        throw bad(`a table stands at ${hex(at)}`, 'map larger pages where no smaller ones are');
    }
    const stored = this.#vcpu.store(at, 8, entry);
    return stored.ok ? undefined : stored.exit;
  }

  /** One more table, empty. */
  #make(): bigint | Exit {
    const { exit } = this.#vcpu.fill({ gpa: this.#next, len: 4096, byte: 0 });
    if (exit) return exit;
    this.#next += 4096n;
    return this.#next - 4096n;
  }
}

const bad = (what: string, hint: string): SlatboxError => new SlatboxError('SLB-060', what, hint);
