// The walk through arm64 stage-2 tables, and the fault that it reports to the hypervisor: status, syndrome, address.
// Reference: Arm ARM (DDI 0487), D8.2, D8.15 (priority of faults), ESR_EL2 (ISS of data and instruction aborts), HPFAR_EL2.
import {
  decodeStage2Entry,
  STAGE2_ACCESS_FLAG,
  STAGE2_WRITE,
  type Stage2Entry,
  type Stage2Format,
  stage2Shift,
  startsWell,
} from './stage2-entry.ts';
import {
  type AccessKind,
  inPlace,
  mask,
  type Reference,
  type TableMemory,
  type Unreadable,
} from './tables.ts';

export interface Stage2Access {
  readonly kind: AccessKind;
  /** At EL0. Default false: EL1. */
  readonly user?: boolean;
  /** An access to the guest's own stage-1 tables. */
  readonly stage1Walk?: boolean;
  /** The one register that the instruction loads or stores, so that a hypervisor can emulate it. Left out: no syndrome. */
  readonly transfer?: {
    readonly size: 1 | 2 | 4 | 8;
    readonly register: number;
    readonly signExtend?: boolean;
  };
}

/** Bits 5:2 of a fault status code; bits 1:0 are the level. */
export enum Stage2Status {
  AddressSize = 0b0000,
  Translation = 0b0001,
  AccessFlag = 0b0010,
  Permission = 0b0011,
}

export type Stage2Stop =
  | {
      readonly kind: 'fault';
      readonly status: Stage2Status;
      readonly level: number;
      /** DFSC or IFSC: `status` and level. */
      readonly code: number;
      /** ESR_EL2: class 0x24 (data) or 0x20 (fetch) from a lower exception level, and its ISS. */
      readonly esr: bigint;
      /** HPFAR_EL2: bits 47:12 of the address, from bit 4 on; undefined where its content is unknown. */
      readonly hpfar: bigint | undefined;
    }
  | Unreadable;
export type Stage2Outcome =
  | {
      readonly kind: 'ok';
      readonly address: bigint;
      readonly level: number;
      readonly pageSize: bigint;
      readonly entry: Stage2Entry;
    }
  | Stage2Stop;
export interface Stage2Walk {
  readonly references: readonly Reference[];
  readonly outcome: Stage2Outcome;
}

export interface Stage2Tables {
  /** VTTBR_EL2: address of the first table in bits 47:1. */
  readonly vttbr: bigint;
  readonly format: Stage2Format;
  readonly memory: TableMemory;
}

/** Walks from VTTBR_EL2 to the block or page of an intermediate physical address. */
export function walkStage2(
  { vttbr, format, memory }: Stage2Tables,
  ipa: bigint,
  access: Stage2Access,
): Stage2Walk {
  const { granule, ipaBits, physicalBits = 48 } = format;
  const references: Reference[] = [];
  const end = (outcome: Stage2Outcome): Stage2Walk => ({ references, outcome });
  const fault = (status: Stage2Status, level: number): Stage2Walk => end(faultOf(status, level, ipa, access));

  // Tables that do not fit the address, or an address that is too large for them: as if the top level were empty.
  if (!startsWell(format) || ipa >> BigInt(ipaBits) !== 0n) return fault(Stage2Status.Translation, 0);
  let table = inPlace(vttbr, 47, 1);
  for (let level = format.startLevel; ; level++) {
    const shift = stage2Shift(granule, level);
    // The index at the start has the bits of all concatenated tables.
    const within = level === format.startLevel ? ipa : ipa & mask(stage2Shift(granule, level - 1));
    const at = table + (within >> BigInt(shift)) * 8n;
    const value = memory.read(at);
    if (value === undefined) return end({ kind: 'unreadable', at });
    const entry = decodeStage2Entry(value, level, format);
    if (entry.kind === 'table' && entry.address >> BigInt(physicalBits) === 0n) {
      references.push({ level, at, value, after: value });
      table = entry.address;
      continue;
    }
    const wrong = faultAt(entry, access, format);
    const after = wrong === undefined ? updated(entry, access) : value;
    if (after !== value && memory.write?.(at, after) === false) return end({ kind: 'unreadable', at });
    references.push({ level, at, value, after });
    if (wrong !== undefined) return fault(wrong, level);
    const pageSize = 1n << BigInt(shift);
    return end({ kind: 'ok', address: entry.address + (ipa & (pageSize - 1n)), level, pageSize, entry });
  }
}

/** In the order of their priority. */
function faultAt(entry: Stage2Entry, access: Stage2Access, f: Stage2Format): Stage2Status | undefined {
  if (entry.kind === 'invalid') return Stage2Status.Translation;
  if (entry.address >> BigInt(f.physicalBits ?? 48) !== 0n) return Stage2Status.AddressSize;
  if (!entry.accessFlag && f.hardwareAccess !== true) return Stage2Status.AccessFlag;
  const writable = entry.write || (f.hardwareDirty === true && entry.dirtyModifier);
  const allowed = {
    read: entry.read,
    write: writable,
    fetch: access.user ? entry.executeUser : entry.executePrivileged,
  }[access.kind];
  return allowed ? undefined : Stage2Status.Permission;
}

/** What hardware sets with an access that is allowed: the access flag, and the right to write that is the dirty bit. */
const updated = ({ value }: Stage2Entry, { kind }: Stage2Access): bigint =>
  value | STAGE2_ACCESS_FLAG | (kind === 'write' ? STAGE2_WRITE : 0n);

function faultOf(status: Stage2Status, level: number, ipa: bigint, access: Stage2Access): Stage2Stop {
  const { kind, stage1Walk = false, transfer } = access;
  const code = (status << 2) | level;
  const fetch = kind === 'fetch';
  let iss = code | (stage1Walk ? 1 << 7 : 0);
  if (!fetch) {
    iss |= kind === 'write' ? 1 << 6 : 0;
    // A walk of the guest's tables has no register that the hypervisor could load.
    if (transfer && !stage1Walk) iss |= syndrome(transfer);
  }
  const esr = (BigInt(fetch ? 0x20 : 0x24) << 26n) | (1n << 25n) | BigInt(iss);
  const known = status !== Stage2Status.Permission || stage1Walk;
  return { kind: 'fault', status, level, code, esr, hpfar: known ? (ipa >> 12n) << 4n : undefined };
}

/** ISV, SAS, SSE, SRT and SF. */
function syndrome({ size, register, signExtend = false }: NonNullable<Stage2Access['transfer']>): number {
  const sas = Math.log2(size);
  return (1 << 24) | (sas << 22) | (signExtend ? 1 << 21 : 0) | (register << 16) | (size === 8 ? 1 << 15 : 0);
}
