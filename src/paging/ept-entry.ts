// EPT: the root pointer (EPTP) and one entry, bit by bit. Reference: Intel SDM vol. 3C, 29.3.2 and 29.3.3.1, table 25-9.
//
// ╒═ EPTP ══════════════════════════════════════════════════════════════════════════════════════╕
// │ N−1…12 top table │ 11…8 zero │ 7 shadow stack │ 6 A/D │ 5…3 walk length − 1 │ 2…0 memory type │
// ╞═ table entry ════════════════════════════════════════════════════════════════════════════════╡
// │ 63 ign. │ 51…N zero │ N−1…12 next table │ 11 ign. │ 10 XU │ 9 ign. │ 8 A │ 7…3 zero │ 2 X W R │
// ╞═ leaf entry: 4 KiB at level 1; 2 MiB at level 2, 1 GiB at level 3, with bit 7 set ═══════════╡
// │ 63 #VE │ 61 SPP │ 60 SSS │ 58 PW │ 57 VGP │ 51…N zero │ N−1…12 frame │ 11 ign. │ 10 XU │      │
// │ 9 D │ 8 A │ 7 leaf │ 6 IPAT │ 5…3 memory type │ 2 X │ 1 W │ 0 R │                             │
// ╘══════════════════════════════════════════════════════════════════════════════════════════════╛
import { bit, bits, inPlace, levelSize, mask } from './tables.ts';

/** What the processor can do, and what the VM's execution controls switch on. */
export interface EptFeatures {
  /** MAXPHYADDR, N above. Default 52. */
  readonly physicalBits?: number;
  /** Entries that allow fetches alone (IA32_VMX_EPT_VPID_CAP bit 0). Default true. */
  readonly executeOnly?: boolean;
  /** "Mode-based execute control": bit 2 is for the supervisor, bit 10 for users. Default false. */
  readonly modeBasedExecute?: boolean;
  /** Leaves at level 3 (IA32_VMX_EPT_VPID_CAP bit 17). Default true. */
  readonly pages1g?: boolean;
  /** Advanced VM-exit information for violations: qualification bits 9 to 11. Default false. */
  readonly advancedInfo?: boolean;
}

export interface EptPointer {
  readonly value: bigint;
  /** Memory type of the tables: 0 UC, 6 WB. */
  readonly memoryType: number;
  /** Levels of the walk: 4 or 5. */
  readonly levels: number;
  readonly accessedDirty: boolean;
  /** Supervisor shadow-stack control. */
  readonly shadowStack: boolean;
  readonly root: bigint;
  /** Why VM entry would refuse it. */
  readonly invalid: string | undefined;
}

export interface EptEntry {
  readonly level: number;
  readonly value: bigint;
  readonly present: boolean;
  /** Maps a page: at level 1 always, above it with bit 7 set. */
  readonly leaf: boolean;
  readonly read: boolean;
  readonly write: boolean;
  readonly execute: boolean;
  /** Bit 10: counts with mode-based execute only. */
  readonly userExecute: boolean;
  /** 0 UC, 1 WC, 4 WT, 5 WP, 6 WB; 0 in table entries. */
  readonly memoryType: number;
  readonly ignorePat: boolean;
  readonly accessed: boolean;
  /** Leaves only. */
  readonly dirty: boolean;
  /** Address bits 51…12: next table, or the first frame of the page. */
  readonly address: bigint;
  readonly verifyGuestPaging: boolean;
  readonly pagingWrite: boolean;
  readonly supervisorShadowStack: boolean;
  readonly subPageWrite: boolean;
  readonly suppressVe: boolean;
  /** Why using it is a misconfiguration; undefined: it is none. */
  readonly misconfiguration: string | undefined;
}

export const EPT_ACCESSED = 1n << 8n;
export const EPT_DIRTY = 1n << 9n;
const MEMORY_TYPES: Readonly<Record<number, string>> = { 0: 'UC', 1: 'WC', 4: 'WT', 5: 'WP', 6: 'WB' };

/** `WB`, `UC` …; undefined for the numbers that are reserved. */
export const memoryTypeName = (type: number): string | undefined => MEMORY_TYPES[type];

export function decodeEptPointer(value: bigint, { physicalBits = 52 }: EptFeatures = {}): EptPointer {
  const memoryType = Number(bits(value, 2, 0));
  const levels = Number(bits(value, 5, 3)) + 1;
  let invalid: string | undefined;
  if (memoryType !== 0 && memoryType !== 6) invalid = `memory type ${memoryType} of the tables`;
  else if (levels !== 4 && levels !== 5) invalid = `a walk of ${levels} levels`;
  else if (bits(value, 11, 8) !== 0n || value >> BigInt(physicalBits) !== 0n) invalid = 'reserved bits set';
  return {
    value,
    memoryType,
    levels,
    accessedDirty: bit(value, 6),
    shadowStack: bit(value, 7),
    root: inPlace(value, 51, 12),
    invalid,
  };
}

/** One entry of the table of `level`, 5 … 1. */
export function decodeEptEntry(value: bigint, level: number, features: EptFeatures = {}): EptEntry {
  const userExecute = bit(value, 10);
  const present = (value & 7n) !== 0n || (features.modeBasedExecute === true && userExecute);
  const leaf = level === 1 || (level < 4 && present && bit(value, 7));
  return {
    level,
    value,
    present,
    leaf,
    read: bit(value, 0),
    write: bit(value, 1),
    execute: bit(value, 2),
    userExecute,
    memoryType: leaf ? Number(bits(value, 5, 3)) : 0,
    ignorePat: leaf && bit(value, 6),
    accessed: bit(value, 8),
    dirty: leaf && bit(value, 9),
    address: inPlace(value, 51, 12),
    verifyGuestPaging: leaf && bit(value, 57),
    pagingWrite: leaf && bit(value, 58),
    supervisorShadowStack: leaf && bit(value, 60),
    subPageWrite: leaf && bit(value, 61),
    suppressVe: leaf && bit(value, 63),
    misconfiguration: present ? misconfiguration(value, level, leaf, features) : undefined,
  };
}

function misconfiguration(value: bigint, level: number, leaf: boolean, f: EptFeatures): string | undefined {
  if (!bit(value, 0)) {
    if (bit(value, 1)) return 'writable but not readable';
    if (f.executeOnly === false) return 'execute-only, which this processor does not have';
  }
  const reserved = value & reservedBits(level, leaf, f);
  if (reserved !== 0n) return `reserved bits set: 0x${reserved.toString(16)}`;
  const type = Number(bits(value, 5, 3));
  return leaf && memoryTypeName(type) === undefined ? `reserved memory type ${type}` : undefined;
}

/** Bits that must be zero in a present entry. */
function reservedBits(
  level: number,
  leaf: boolean,
  { physicalBits = 52, pages1g = true }: EptFeatures,
): bigint {
  const beyond = mask(52) & ~mask(physicalBits);
  // Above level 3 there are no leaves, so bit 7 is one of the reserved ones of a table entry.
  if (!leaf) return beyond | inPlace(0xf8n, 7, 3);
  const low = (levelSize(level) - 1n) & ~mask(12);
  return beyond | low | (level === 3 && !pages1g ? 1n << 7n : 0n);
}
