// A guest's own page tables: from a linear address (gva) to a guest-physical one, with the page fault where there is none.
// Reference: Intel SDM vol. 3A, 4.5 to 4.8 (4-level and 5-level paging, access rights, page-fault exceptions).
import { type LongModeOutcome, type LongModeRights, walkLongMode } from './long-mode.ts';
import { type AccessKind, inPlace, type Reference, type TableMemory, type Unreadable } from './tables.ts';

/** The control registers of a vCPU, as far as they are about paging. */
export interface GuestPaging {
  /** CR3: gpa of the top table in bits 51:12. Left out: CR0.PG is 0, and a linear address is a guest-physical one. */
  readonly cr3?: bigint;
  /** 5 with CR4.LA57. Default 4. */
  readonly levels?: 4 | 5;
  /** CR0.WP: read-only pages bind the supervisor too. Default true. */
  readonly writeProtect?: boolean;
  /** EFER.NXE. Default true. */
  readonly noExecute?: boolean;
  /** CR4.SMEP: the supervisor does not fetch from user pages. Default false. */
  readonly smep?: boolean;
  /** CR4.SMAP, with EFLAGS.AC clear: the supervisor does not read or write user pages. Default false. */
  readonly smap?: boolean;
  /** MAXPHYADDR as the guest sees it. Default 52. */
  readonly physicalBits?: number;
  /** 1 GiB pages (CPUID 80000001h EDX bit 26). Default true. */
  readonly pages1g?: boolean;
}

export interface GuestAccess {
  readonly kind: AccessKind;
  /** At CPL 3. Default false. */
  readonly user?: boolean;
}

/** #PF (vector 14, with the address in CR2), or #GP (13) for an address that is not canonical. */
export interface GuestFault {
  readonly vector: 13 | 14;
  readonly errorCode: number;
  readonly address: bigint;
}

export type GuestOutcome =
  | {
      readonly kind: 'mapped';
      readonly gpa: bigint;
      /** Level of the leaf; 0 with paging off. */
      readonly level: number;
      readonly pageSize: bigint;
      readonly rights: LongModeRights;
      /** Index into the PAT register. */
      readonly pat: number;
    }
  | { readonly kind: 'fault'; readonly fault: GuestFault }
  | Unreadable;
export interface GuestWalk {
  readonly references: readonly Reference[];
  readonly outcome: GuestOutcome;
}

/** Bits of the error code of a page fault. */
export enum PageFault {
  Present = 1 << 0,
  Write = 1 << 1,
  User = 1 << 2,
  Reserved = 1 << 3,
  Fetch = 1 << 4,
}

/** Bits 63 … width − 1 of a canonical address are all alike. */
const canonical = (address: bigint, width: number): boolean =>
  BigInt.asUintN(64, BigInt.asIntN(width, address)) === address;

/** `memory` holds the guest's tables by gpa. */
export function walkGuest(
  paging: GuestPaging,
  memory: TableMemory,
  gva: bigint,
  access: GuestAccess,
): GuestWalk {
  const { cr3, levels = 4, noExecute = true, physicalBits = 52, pages1g = true } = paging;
  if (cr3 === undefined) {
    const rights = { write: true, user: true, noExecute: false };
    const pageSize = 1n << 64n;
    return { references: [], outcome: { kind: 'mapped', gpa: gva, level: 0, pageSize, rights, pat: 0 } };
  }
  if (!canonical(gva, levels === 5 ? 57 : 48)) {
    return { references: [], outcome: { kind: 'fault', fault: { vector: 13, errorCode: 0, address: gva } } };
  }
  const features = { physicalBits, noExecute, pages1g };
  const tables = { root: inPlace(cr3, 51, 12), levels, memory, features };
  const allows = (rights: LongModeRights): boolean => mayAccess(paging, access, rights);
  const { references, outcome } = walkLongMode(tables, gva, access.kind, allows);
  switch (outcome.kind) {
    case 'mapped': {
      const { address, ...rest } = outcome;
      return { references, outcome: { ...rest, gpa: address } };
    }
    case 'unreadable':
      return { references, outcome };
    default: {
      const fault: GuestFault = {
        vector: 14,
        errorCode: errorCode(paging, access, outcome.kind),
        address: gva,
      };
      return { references, outcome: { kind: 'fault', fault } };
    }
  }
}

function mayAccess(p: GuestPaging, { kind, user = false }: GuestAccess, rights: LongModeRights): boolean {
  if (user && !rights.user) return false;
  // What supervisor-mode access and execution prevention are about.
  const prevented = !user && rights.user;
  if (kind === 'fetch') return !rights.noExecute && !(prevented && p.smep === true);
  if (prevented && p.smap === true) return false;
  return kind === 'read' || rights.write || (!user && p.writeProtect === false);
}

function errorCode(p: GuestPaging, { kind, user }: GuestAccess, why: LongModeOutcome['kind']): number {
  // Where nothing can forbid a fetch, the processor does not tell one from a read.
  const fetch = kind === 'fetch' && (p.smep === true || p.noExecute !== false);
  return (
    (why === 'not-present' ? 0 : PageFault.Present) |
    (kind === 'write' ? PageFault.Write : 0) |
    (user ? PageFault.User : 0) |
    (why === 'reserved' ? PageFault.Reserved : 0) |
    (fetch ? PageFault.Fetch : 0)
  );
}
