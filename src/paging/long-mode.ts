// Page tables in the long-mode format of x86-64, which guests use for themselves and AMD for nested paging too.
// Reference: AMD APM vol. 2, 5.3 (long-mode page translation); Intel SDM vol. 3A, 4.5 (4-level and 5-level paging).
//
// ╒═ table entry ═══════════════════════════════════════════════════════════════════════════════╕
// │ 63 NX │ 62…52 avail. │ 51…12 next table │ 11…9 avail. │ 7 PS = 0 │ 5 A │ 4 PCD 3 PWT │ US RW P │
// ╞═ leaf entry: 4 KiB at level 1; 2 MiB at level 2, 1 GiB at level 3, with PS set ══════════════╡
// │ 63 NX │ 62…59 key │ 51…12 frame (12 PAT of a large page) │ 11…9 avail. │ 8 G │ 7 PAT or PS │    │
// │ 6 D │ 5 A │ 4 PCD │ 3 PWT │ 2 U/S │ 1 R/W │ 0 P │                                             │
// ╘═════════════════════════════════════════════════════════════════════════════════════════════╛
import {
  type AccessKind,
  bit,
  inPlace,
  levelIndex,
  levelSize,
  mask,
  type Reference,
  type TableMemory,
  type Unreadable,
} from './tables.ts';

export interface LongModeFeatures {
  /** Physical-address width of whom the tables belong to; bits above are reserved. Default 52. */
  readonly physicalBits?: number;
  /** EFER.NXE: bit 63 forbids fetches; off, it is reserved. Default true. */
  readonly noExecute?: boolean;
  /** Leaves at level 3. Default true. */
  readonly pages1g?: boolean;
}

export interface LongModeEntry {
  readonly level: number;
  readonly value: bigint;
  /** P */
  readonly present: boolean;
  readonly leaf: boolean;
  /** R/W */
  readonly write: boolean;
  /** U/S */
  readonly user: boolean;
  /** NX */
  readonly noExecute: boolean;
  readonly accessed: boolean;
  /** Leaves only. */
  readonly dirty: boolean;
  readonly global: boolean;
  /** Which of the eight memory types of the PAT register: PAT × 4 + PCD × 2 + PWT. Table entries have no PAT bit. */
  readonly pat: number;
  /** Next table, or the first frame of the page. */
  readonly address: bigint;
  /** Reserved bits that are set though the entry is present; 0n: none. */
  readonly reserved: bigint;
}

/** What all entries of a walk allow together. */
export interface LongModeRights {
  readonly write: boolean;
  readonly user: boolean;
  readonly noExecute: boolean;
}

export type LongModeOutcome =
  | {
      readonly kind: 'mapped';
      readonly address: bigint;
      readonly level: number;
      readonly pageSize: bigint;
      readonly rights: LongModeRights;
      readonly pat: number;
    }
  | { readonly kind: 'not-present'; readonly level: number }
  | { readonly kind: 'reserved'; readonly level: number; readonly bits: bigint }
  | { readonly kind: 'denied'; readonly level: number }
  | Unreadable;
export interface LongModeWalk {
  readonly references: readonly Reference[];
  readonly outcome: LongModeOutcome;
}

export interface LongModeTables {
  /** Address of the top table. */
  readonly root: bigint;
  readonly levels: 4 | 5;
  readonly memory: TableMemory;
  readonly features: LongModeFeatures;
}

const ACCESSED = 1n << 5n;
const DIRTY = 1n << 6n;

/** One entry of the table of `level`, 5 … 1. */
export function decodeLongModeEntry(
  value: bigint,
  level: number,
  features: LongModeFeatures = {},
): LongModeEntry {
  const present = bit(value, 0);
  const leaf = level === 1 || (level < 4 && bit(value, 7));
  const patBit = leaf && bit(value, level === 1 ? 7 : 12);
  return {
    level,
    value,
    present,
    leaf,
    write: bit(value, 1),
    user: bit(value, 2),
    noExecute: bit(value, 63),
    accessed: bit(value, 5),
    dirty: leaf && bit(value, 6),
    global: leaf && bit(value, 8),
    pat: (patBit ? 4 : 0) + (bit(value, 4) ? 2 : 0) + (bit(value, 3) ? 1 : 0),
    address: inPlace(value, 51, leaf && level > 1 ? 13 : 12),
    reserved: present ? value & reservedBits(level, leaf, features) : 0n,
  };
}

function reservedBits(level: number, leaf: boolean, f: LongModeFeatures): bigint {
  const { physicalBits = 52, noExecute = true, pages1g = true } = f;
  const always = (mask(52) & ~mask(physicalBits)) | (noExecute ? 0n : 1n << 63n);
  if (!leaf) return always | (level > 3 ? 1n << 7n : 0n);
  const low = level === 1 ? 0n : (levelSize(level) - 1n) & ~mask(13);
  return always | low | (level === 3 && !pages1g ? 1n << 7n : 0n);
}

/**
 * Walks from the root to the leaf of `address`, whose upper bits the caller has checked. `allows` decides from the rights
 * of all entries. Accessed bits are set in each entry as it is used, the leaf's, with the dirty bit of a write, once the
 * access is allowed.
 */
export function walkLongMode(
  { root, levels, memory, features }: LongModeTables,
  address: bigint,
  kind: AccessKind,
  allows: (rights: LongModeRights) => boolean,
): LongModeWalk {
  const references: Reference[] = [];
  const end = (outcome: LongModeOutcome): LongModeWalk => ({ references, outcome });
  let rights: LongModeRights = { write: true, user: true, noExecute: false };
  let table = root;
  for (let level: number = levels; ; level--) {
    const at = table + levelIndex(address, level) * 8n;
    const value = memory.read(at);
    if (value === undefined) return end({ kind: 'unreadable', at });
    const entry = decodeLongModeEntry(value, level, features);
    const stop = (outcome: LongModeOutcome): LongModeWalk => {
      references.push({ level, at, value, after: value });
      return end(outcome);
    };
    if (!entry.present) return stop({ kind: 'not-present', level });
    if (entry.reserved !== 0n) return stop({ kind: 'reserved', level, bits: entry.reserved });
    rights = {
      write: rights.write && entry.write,
      user: rights.user && entry.user,
      noExecute: rights.noExecute || entry.noExecute,
    };
    if (entry.leaf && !allows(rights)) return stop({ kind: 'denied', level });
    const after = value | ACCESSED | (entry.leaf && kind === 'write' ? DIRTY : 0n);
    if (after !== value && memory.write?.(at, after) === false) return stop({ kind: 'unreadable', at });
    references.push({ level, at, value, after });
    if (entry.leaf) {
      const pageSize = levelSize(level);
      const found = entry.address + (address & (pageSize - 1n));
      return end({ kind: 'mapped', address: found, level, pageSize, rights, pat: entry.pat });
    }
    table = entry.address;
  }
}
