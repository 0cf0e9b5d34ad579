// AMD nested paging: host tables in long-mode format, walked as a user, and the nested page fault with its EXITINFO1.
// Reference: AMD APM vol. 2, 15.25 (nested paging), 15.25.6 (nested versus guest page faults), 15.36.10 (RMP checks).
import type { SlatAccess } from './ept.ts';
import { type LongModeFeatures, type LongModeRights, walkLongMode } from './long-mode.ts';
import { inPlace, type Reference, type TableMemory, type Unreadable } from './tables.ts';

/** Exit code VMEXIT_NPF. */
const EXIT_NPF = 0x400;

/** Bits of EXITINFO1 of a nested page fault. Those from 34 on, and 31, are of SEV-SNP: no walk here sets them. */
const NPF_PRESENT = 1n << 0n;
const NPF_WRITE = 1n << 1n;
const NPF_USER = 1n << 2n;
const NPF_RESERVED = 1n << 3n;
const NPF_FETCH = 1n << 4n;
const NPF_FINAL = 1n << 32n;
const NPF_GUEST_TABLE = 1n << 33n;

export type NptStop =
  | {
      readonly kind: 'nested-page-fault';
      readonly exit: 0x400;
      readonly level: number;
      readonly info1: bigint;
      /** EXITINFO2: the guest-physical address. */
      readonly info2: bigint;
    }
  | Unreadable;
export type NptOutcome =
  | {
      readonly kind: 'ok';
      readonly hpa: bigint;
      readonly level: number;
      readonly pageSize: bigint;
      /** Index into the host's PAT register. */
      readonly pat: number;
    }
  | NptStop;
export interface NptWalk {
  readonly references: readonly Reference[];
  readonly outcome: NptOutcome;
}

export interface NptTables {
  /** nCR3: hpa of the top table in bits 51:12. */
  readonly ncr3: bigint;
  /** 5 where the host has CR4.LA57 set. Default 4. */
  readonly levels?: 4 | 5;
  readonly memory: TableMemory;
  readonly features?: LongModeFeatures;
}

/**
 * Walks to the page of gpa. Each access counts as a user's, so U/S must be 1 in all entries; accesses to the guest's tables
 * count as writes, whatever the guest asked for. Accessed and dirty bits are always on.
 */
export function walkNpt(
  { ncr3, levels = 4, memory, features = {} }: NptTables,
  gpa: bigint,
  access: SlatAccess,
): NptWalk {
  const guestTable = access.pagingStructure === true;
  const kind = guestTable ? 'write' : access.kind;
  const info1 = (present: boolean, reserved: boolean): bigint =>
    NPF_USER |
    (present ? NPF_PRESENT : 0n) |
    (reserved ? NPF_RESERVED : 0n) |
    (kind === 'write' ? NPF_WRITE : 0n) |
    (kind === 'fetch' ? NPF_FETCH : 0n) |
    (guestTable ? NPF_GUEST_TABLE : NPF_FINAL);
  const fault = (level: number, present: boolean, reserved: boolean): NptStop => ({
    kind: 'nested-page-fault',
    exit: EXIT_NPF,
    level,
    info1: info1(present, reserved),
    info2: gpa,
  });

  if (gpa >> (levels === 5 ? 57n : 48n) !== 0n)
    return { references: [], outcome: fault(levels, false, false) };
  const allows = ({ write, user, noExecute }: LongModeRights): boolean =>
    user && (kind !== 'write' || write) && (kind !== 'fetch' || !noExecute);
  const tables = { root: inPlace(ncr3, 51, 12), levels, memory, features };
  const { references, outcome } = walkLongMode(tables, gpa, kind, allows);
  switch (outcome.kind) {
    case 'mapped': {
      const { address: hpa, level, pageSize, pat } = outcome;
      return { references, outcome: { kind: 'ok', hpa, level, pageSize, pat } };
    }
    case 'unreadable':
      return { references, outcome };
    default: {
      const present = outcome.kind !== 'not-present';
      return { references, outcome: fault(outcome.level, present, outcome.kind === 'reserved') };
    }
  }
}
