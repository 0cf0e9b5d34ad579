// arm64 stage 2: the format of its tables (VTCR_EL2) and one descriptor, bit by bit.
// Reference: Arm ARM (DDI 0487), D8.2 (granules, levels, concatenated tables), D8.3 (descriptors), VTCR_EL2.
//
// ╒═ table descriptor ═══════════════════════════════════════════════════════════════╕
// │ 63…52 ign. │ 47…12 next table (low bits by granule) │ 11…2 ign. │ 1 table = 1 │ 0 valid │
// ╞═ block or page descriptor ═══════════════════════════════════════════════════════╡
// │ 62…59 ign. │ 58…55 software │ 54…53 XN │ 52 contiguous │ 51 DBM │ 47…n output     │
// │ 10 AF │ 9…8 SH │ 7…6 S2AP: 7 write, 6 read │ 5…2 MemAttr │ 1 page = 1 │ 0 valid  │
// ╘══════════════════════════════════════════════════════════════════════════════════╛
// An output address has 48 bits here: no FEAT_LPA, no FEAT_LPA2.
import { bit, bits, inPlace } from './tables.ts';

export type Granule = '4K' | '16K' | '64K';

/** What VTCR_EL2 says of the tables. */
export interface Stage2Format {
  readonly granule: Granule;
  /** Width of an intermediate physical address, 64 − T0SZ. */
  readonly ipaBits: number;
  /** Level of the table, or of up to 16 that lie one behind the other, that VTTBR_EL2 points to. */
  readonly startLevel: number;
  /** Width of an output address. Default 48. */
  readonly physicalBits?: number;
  /** VTCR_EL2.HA: hardware sets access flags. Default false. */
  readonly hardwareAccess?: boolean;
  /** VTCR_EL2.HD: hardware makes a page writable whose DBM bit is set; that is its dirty bit. Default false. */
  readonly hardwareDirty?: boolean;
  /** FEAT_XNX: bit 53 counts. Default true. */
  readonly xnx?: boolean;
}

export interface Stage2Entry {
  readonly level: number;
  readonly value: bigint;
  /** `invalid`: bit 0 is clear, or the bits are none of a descriptor of this level. */
  readonly kind: 'invalid' | 'table' | 'block' | 'page';
  /** Next table, or the first byte of the block or page. */
  readonly address: bigint;
  /** What follows is of blocks and pages alone; false, 0 and undefined in tables. */
  readonly read: boolean;
  readonly write: boolean;
  /** Fetches at EL1 and at EL0. */
  readonly executePrivileged: boolean;
  readonly executeUser: boolean;
  /** MemAttr[3:0]. */
  readonly memoryAttributes: number;
  /** SH: 0 none, 2 outer, 3 inner. */
  readonly shareability: number;
  readonly accessFlag: boolean;
  readonly dirtyModifier: boolean;
  /** Entries of the run that this one says it is a part of; 1 without the bit. */
  readonly contiguous: number;
  /** Bits 58:55. */
  readonly software: number;
}

export const STAGE2_ACCESS_FLAG = 1n << 10n;
export const STAGE2_WRITE = 1n << 7n;

const SHIFT: Readonly<Record<Granule, number>> = { '4K': 12, '16K': 14, '64K': 16 };
/** The lowest level number, that is the largest size, at which there are blocks. */
const FIRST_BLOCK: Readonly<Record<Granule, number>> = { '4K': 1, '16K': 2, '64K': 2 };

/** log2 of the bytes that an entry of this level, 0 … 3, covers. */
export const stage2Shift = (granule: Granule, level: number): number =>
  SHIFT[granule] + (3 - level) * (SHIFT[granule] - 3);

/** Whether startLevel and ipaBits go together: at the start there are 1 to 16 tables. */
export function startsWell({ granule, ipaBits, startLevel }: Stage2Format): boolean {
  const indexBits = ipaBits - stage2Shift(granule, startLevel);
  const widest = SHIFT[granule] - 3 + 4;
  return (
    startLevel >= (granule === '64K' ? 1 : 0) && startLevel <= 3 && indexBits >= 1 && indexBits <= widest
  );
}

/** VTCR_EL2. SL0 counts from another level with each granule. */
export function decodeVtcr(value: bigint): Stage2Format {
  const granule = (['4K', '64K', '16K', '4K'] as const)[Number(bits(value, 15, 14))] as Granule;
  const sl0 = Number(bits(value, 7, 6));
  const startLevel = granule === '4K' ? ([2, 1, 0, 3][sl0] as number) : 3 - sl0;
  return {
    granule,
    ipaBits: 64 - Number(bits(value, 5, 0)),
    startLevel,
    physicalBits: [32, 36, 40, 42, 44, 48][Number(bits(value, 18, 16))] ?? 48,
    hardwareAccess: bit(value, 21),
    hardwareDirty: bit(value, 22),
  };
}

/** One descriptor of a table of `level`, 0 … 3. */
export function decodeStage2Entry(
  value: bigint,
  level: number,
  format: Pick<Stage2Format, 'granule' | 'xnx'>,
): Stage2Entry {
  const { granule, xnx = true } = format;
  const kind = kindOf(value, level, granule);
  const leaf = kind === 'block' || kind === 'page';
  const xn = leaf ? Number(bits(value, 54, 53)) & (xnx ? 3 : 2) : 2;
  return {
    level,
    value,
    kind,
    address:
      kind === 'invalid' ? 0n : inPlace(value, 47, leaf ? stage2Shift(granule, level) : SHIFT[granule]),
    read: leaf && bit(value, 6),
    write: leaf && bit(value, 7),
    executePrivileged: xn === 0 || xn === 3,
    executeUser: xn < 2,
    memoryAttributes: leaf ? Number(bits(value, 5, 2)) : 0,
    shareability: leaf ? Number(bits(value, 9, 8)) : 0,
    accessFlag: leaf && bit(value, 10),
    dirtyModifier: leaf && bit(value, 51),
    contiguous: leaf && bit(value, 52) ? runOf(granule, level) : 1,
    software: leaf ? Number(bits(value, 58, 55)) : 0,
  };
}

function kindOf(value: bigint, level: number, granule: Granule): Stage2Entry['kind'] {
  if (!bit(value, 0)) return 'invalid';
  if (bit(value, 1)) return level === 3 ? 'page' : 'table';
  return level < 3 && level >= FIRST_BLOCK[granule] ? 'block' : 'invalid';
}

/** Entries of a contiguous run. */
function runOf(granule: Granule, level: number): number {
  if (granule === '4K') return 16;
  return granule === '16K' && level === 3 ? 128 : 32;
}

/** `Normal WB` …: MemAttr without FEAT_S2FWB. */
export function stage2MemoryType(attributes: number): string {
  const [outer, inner] = [attributes >> 2, attributes & 3];
  if (outer === 0) return `Device ${['nGnRnE', 'nGnRE', 'nGRE', 'GRE'][inner]}`;
  const caching = ['reserved', 'NC', 'WT', 'WB'] as const;
  return outer === inner
    ? `Normal ${caching[outer]}`
    : `Normal outer ${caching[outer]}, inner ${caching[inner]}`;
}
