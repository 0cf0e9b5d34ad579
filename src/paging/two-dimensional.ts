// A two-dimensional walk: the guest's tables name guest-physical addresses, so each entry of them is found through the SLAT,
// and the page at last too. m guest levels and n SLAT levels make (m + 1)(n + 1) − 1 references.
// Reference: Bhargava et al., ASPLOS 2008; Intel SDM vol. 3C, 29.3.1; AMD APM vol. 2, 15.25.5.
import type { SlatAccess } from './ept.ts';
import { type GuestAccess, type GuestFault, type GuestPaging, walkGuest } from './guest.ts';
import type { Reference, TableMemory, Unreadable } from './tables.ts';

/** Where a walk of the SLAT led. `Stop`: how it ends when it leads nowhere, in the words of its format. */
export interface SlatReach<Stop> {
  readonly references: readonly Reference[];
  readonly hpa?: bigint;
  readonly pageSize?: bigint;
  readonly stop?: Stop;
}

/** The guest's memory by gpa, each access through the SLAT. */
export interface GuestMemory<Stop> {
  /** An entry of a table of the guest. */
  readEntry(gpa: bigint): SlatReach<Stop> & { readonly value?: bigint };
  /** The same entry with accessed or dirty bits; undefined: done. It is one reference with the read before it. */
  writeEntry(gpa: bigint, value: bigint): Stop | undefined;
  /** The page that the guest's tables lead to; `access.linear` has what they allow. */
  reach(gpa: bigint, access: SlatAccess): SlatReach<Stop>;
}

/** One level of the guest: its entry, and how the SLAT led there. */
export interface GuestStep {
  readonly slat: readonly Reference[];
  /** `at` is the entry's gpa; `hpa` where it really is. Undefined: the SLAT did not lead there. */
  readonly entry: (Reference & { readonly hpa: bigint | undefined }) | undefined;
  readonly gpa: bigint;
}

export type TwoDimensionalOutcome<Stop> =
  | {
      readonly kind: 'ok';
      readonly gpa: bigint;
      readonly hpa: bigint;
      /** What one TLB entry can hold: the smaller of the two pages. */
      readonly pageSize: bigint;
    }
  /** The guest's own page fault, or #GP: no exit. */
  | { readonly kind: 'guest-fault'; readonly fault: GuestFault }
  /** The SLAT ended it: at an entry of the guest's tables, or at the page. */
  | { readonly kind: 'stop'; readonly at: 'table' | 'page'; readonly gpa: bigint; readonly stop: Stop };
export interface TwoDimensionalWalk<Stop> {
  /** From the guest's top level down. */
  readonly steps: readonly GuestStep[];
  /** SLAT references for the page itself; undefined: the walk did not come to it. */
  readonly final: { readonly gpa: bigint; readonly slat: readonly Reference[] } | undefined;
  readonly outcome: TwoDimensionalOutcome<Stop>;
}

export function walkTwoDimensional<Stop>(
  paging: GuestPaging,
  memory: GuestMemory<Stop>,
  gva: bigint,
  access: GuestAccess,
): TwoDimensionalWalk<Stop> {
  const reached: (SlatReach<Stop> & { readonly gpa: bigint })[] = [];
  let stop: Stop | undefined;
  const tables: TableMemory = {
    read: (gpa) => {
      const { value, ...reach } = memory.readEntry(gpa);
      reached.push({ ...reach, gpa });
      stop = reach.stop;
      return value;
    },
    write: (gpa, value) => {
      stop = memory.writeEntry(gpa, value);
      return stop === undefined;
    },
  };
  const { references, outcome } = walkGuest(paging, tables, gva, access);
  const steps = reached.map(({ gpa, references: slat, hpa }, i): GuestStep => {
    const entry = references[i];
    return { gpa, slat, entry: entry && { ...entry, hpa } };
  });
  switch (outcome.kind) {
    case 'fault':
      return { steps, final: undefined, outcome: { kind: 'guest-fault', fault: outcome.fault } };
    case 'unreadable':
      return {
        steps,
        final: undefined,
        outcome: { kind: 'stop', at: 'table', gpa: outcome.at, stop: stop as Stop },
      };
    case 'mapped': {
      const { gpa, rights, pageSize } = outcome;
      const linear = { user: rights.user, writable: rights.write, executeDisable: rights.noExecute };
      const end = memory.reach(gpa, { kind: access.kind, linear });
      const final = { gpa, slat: end.references };
      if (end.hpa === undefined) {
        return { steps, final, outcome: { kind: 'stop', at: 'page', gpa, stop: end.stop as Stop } };
      }
      const smaller = end.pageSize !== undefined && end.pageSize < pageSize ? end.pageSize : pageSize;
      return { steps, final, outcome: { kind: 'ok', gpa, hpa: end.hpa, pageSize: smaller } };
    }
  }
}

/** A reference with its place in the walk. */
export interface OrderedReference extends Reference {
  readonly dimension: 'slat' | 'guest';
  /** Of the SLAT's references: the guest level whose entry they lead to, 0 for the page itself. Of the guest's: its own. */
  readonly guestLevel: number;
}

/** All references of a walk, in the order in which the processor makes them. */
export function referencesInOrder(
  walk: Pick<TwoDimensionalWalk<unknown>, 'steps' | 'final'>,
  levels: number,
): OrderedReference[] {
  const slat = (list: readonly Reference[], guestLevel: number): OrderedReference[] =>
    list.map((r) => ({ ...r, dimension: 'slat', guestLevel }));
  const steps = walk.steps.flatMap((step, i): OrderedReference[] => {
    const guestLevel = levels - i;
    const { entry } = step;
    if (!entry) return slat(step.slat, guestLevel);
    const { level, at, value, after } = entry;
    return [...slat(step.slat, guestLevel), { level, at, value, after, dimension: 'guest', guestLevel }];
  });
  return [...steps, ...slat(walk.final?.slat ?? [], 0)];
}

/** (m + 1)(n + 1) − 1: references of a walk of m guest levels and n SLAT levels, with no cache. */
export const referenceCount = (guestLevels: number, slatLevels: number): number =>
  (guestLevels + 1) * (slatLevels + 1) - 1;

/** How a walk of a SLAT of any format ends well. */
interface SlatOk {
  readonly kind: 'ok';
  readonly hpa: bigint;
  readonly pageSize: bigint;
}
/** How it ends otherwise, or what is behind the SLAT cannot be read. */
type StopOf<Outcome> = Exclude<Outcome, { readonly kind: 'ok' }> | Unreadable;

/** A SLAT of any format, as the walk needs it: `walkEpt` or `walkNpt` with their tables. */
export type SlatWalker<Outcome extends SlatOk | { readonly kind: string }> = (
  gpa: bigint,
  access: SlatAccess,
) => { readonly references: readonly Reference[]; readonly outcome: Outcome };

/** Guest memory behind a SLAT whose tables, and the guest's, are in `memory` by hpa. */
export function throughSlat<Outcome extends SlatOk | { readonly kind: string }>(
  walk: SlatWalker<Outcome>,
  memory: TableMemory,
): GuestMemory<StopOf<Outcome>> {
  const reach = (gpa: bigint, access: SlatAccess): SlatReach<StopOf<Outcome>> => {
    const { references, outcome } = walk(gpa, access);
    if (!isOk(outcome)) return { references, stop: outcome as StopOf<Outcome> };
    return { references, hpa: outcome.hpa, pageSize: outcome.pageSize };
  };
  return {
    reach,
    readEntry: (gpa) => {
      const found = reach(gpa, { kind: 'read', pagingStructure: true });
      if (found.hpa === undefined) return found;
      const value = memory.read(found.hpa);
      return value === undefined
        ? { ...found, stop: { kind: 'unreadable', at: found.hpa } }
        : { ...found, value };
    },
    // The translation is the one that the read has just used; only the right to write is new.
    writeEntry: (gpa, value) => {
      const { hpa, stop } = reach(gpa, { kind: 'write', pagingStructure: true });
      if (hpa === undefined) return stop;
      return memory.write?.(hpa, value) === false ? { kind: 'unreadable', at: hpa } : undefined;
    },
  };
}

const isOk = (outcome: SlatOk | { readonly kind: string }): outcome is SlatOk => outcome.kind === 'ok';

/** Guest memory without a SLAT: a gpa is an hpa. So it is natively, and for tables that a hypervisor shadows. */
export function withoutSlat(memory: TableMemory): GuestMemory<Unreadable> {
  const ok = (hpa: bigint): SlatOk => ({ kind: 'ok', hpa, pageSize: 1n << 64n });
  return throughSlat((gpa) => ({ references: [], outcome: ok(gpa) }), memory);
}
