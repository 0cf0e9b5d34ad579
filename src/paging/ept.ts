// The walk that a processor does through EPT: each entry it uses, accessed and dirty bits, and how the walk ends.
// Reference: Intel SDM vol. 3C, 29.3.2 to 29.3.6; table 28-7 (exit qualification of an EPT violation).
import {
  decodeEptEntry,
  decodeEptPointer,
  EPT_ACCESSED,
  EPT_DIRTY,
  type EptEntry,
  type EptFeatures,
} from './ept-entry.ts';
import type { PageModificationLog } from './pml.ts';
import {
  type AccessKind,
  levelIndex,
  levelSize,
  type Reference,
  type TableMemory,
  type Unreadable,
} from './tables.ts';

/** What the guest's own tables say of the page that is accessed. */
export interface LinearRights {
  readonly user: boolean;
  readonly writable: boolean;
  readonly executeDisable: boolean;
}

/** An access at a guest-physical address. */
export interface SlatAccess {
  readonly kind: AccessKind;
  /** The processor's own access to an entry of the guest's tables, not the one that the guest asked for. */
  readonly pagingStructure?: boolean;
  /** For mode-based execute (whose fetch it is) and for advanced exit information. Default: as with guest paging off. */
  readonly linear?: LinearRights;
  /** False: no linear address led here, as when MOV to CR loads the PDPTEs. Default true. */
  readonly linearValid?: boolean;
}

/** Basic exit reasons. */
const EXIT_EPT_VIOLATION = 48;
const EXIT_EPT_MISCONFIGURATION = 49;
const EXIT_PML_FULL = 62;

export type EptStop =
  | { readonly kind: 'violation'; readonly exit: 48; readonly level: number; readonly qualification: number }
  | { readonly kind: 'misconfiguration'; readonly exit: 49; readonly level: number; readonly why: string }
  /** An accessed or dirty bit was to be set and the page-modification log had no room. */
  | { readonly kind: 'log-full'; readonly exit: 62; readonly level: number }
  | Unreadable;
export type EptOutcome =
  | {
      readonly kind: 'ok';
      readonly hpa: bigint;
      readonly level: number;
      readonly pageSize: bigint;
      readonly memoryType: number;
      readonly ignorePat: boolean;
    }
  | EptStop;
export interface EptWalk {
  readonly references: readonly Reference[];
  readonly outcome: EptOutcome;
}

export interface EptTables {
  readonly eptp: bigint;
  readonly memory: TableMemory;
  readonly features?: EptFeatures;
  /** Page-modification logging is on. It works only with accessed and dirty bits. */
  readonly log?: PageModificationLog;
}

/** As with guest paging off: each linear address is a user's and may be written and executed. */
const PAGING_OFF: LinearRights = { user: true, writable: true, executeDisable: false };

const AND = (entries: readonly EptEntry[], right: 'read' | 'write' | 'execute' | 'userExecute'): boolean =>
  entries.every((e) => e[right]);

/**
 * Walks from the EPTP down to the leaf of gpa. Accessed bits are set in each entry as it is used, the dirty bit in the leaf
 * of a write; both only if EPTP bit 6 is set. A misconfigured or absent entry ends the walk where it stands; permissions are
 * looked at behind the leaf. The EPTP is one that VM entry accepts.
 */
export function walkEpt(tables: EptTables, gpa: bigint, access: SlatAccess): EptWalk {
  const { eptp, memory, features = {} } = tables;
  const { levels, root, accessedDirty } = decodeEptPointer(eptp, features);
  const references: Reference[] = [];
  const used: EptEntry[] = [];
  const end = (outcome: EptOutcome): EptWalk => ({ references, outcome });
  const violation = (level: number, rights: readonly EptEntry[] | undefined): EptWalk =>
    end({
      kind: 'violation',
      exit: EXIT_EPT_VIOLATION,
      level,
      qualification: qualification(access, rights, accessedDirty, features),
    });

  // A gpa that the tables are too few for has no translation.
  if (gpa / levelSize(levels + 1) !== 0n) return violation(levels, undefined);
  let table = root;
  for (let level = levels; ; level--) {
    const at = table + levelIndex(gpa, level) * 8n;
    const value = memory.read(at);
    if (value === undefined) return end({ kind: 'unreadable', at });
    const entry = decodeEptEntry(value, level, features);
    used.push(entry);
    const refer = (after: bigint): void => void references.push({ level, at, value, after });
    if (!entry.present || entry.misconfiguration !== undefined) {
      refer(value);
      if (!entry.present) return violation(level, undefined);
      const why = entry.misconfiguration as string;
      return end({ kind: 'misconfiguration', exit: EXIT_EPT_MISCONFIGURATION, level, why });
    }
    if (entry.leaf && !allows(used, access, accessedDirty, features)) {
      refer(value);
      return violation(level, used);
    }
    const dirties = entry.leaf && isWrite(access, accessedDirty);
    const after = accessedDirty ? value | EPT_ACCESSED | (dirties ? EPT_DIRTY : 0n) : value;
    if (after !== value) {
      // Neither flag is set, and the access does not happen, where the log could not take a page.
      if (tables.log?.full) {
        refer(value);
        return end({ kind: 'log-full', exit: EXIT_PML_FULL, level });
      }
      if (memory.write?.(at, after) === false) return end({ kind: 'unreadable', at });
      if (dirties && (value & EPT_DIRTY) === 0n) tables.log?.append(gpa);
    }
    refer(after);
    if (entry.leaf) {
      const pageSize = levelSize(level);
      const { memoryType, ignorePat } = entry;
      const hpa = entry.address + (gpa & (pageSize - 1n));
      return end({ kind: 'ok', hpa, level, pageSize, memoryType, ignorePat });
    }
    table = entry.address;
  }
}

/** With accessed and dirty bits on, accesses to guest tables are writes: the processor may set bits there. */
const isWrite = ({ kind, pagingStructure }: SlatAccess, accessedDirty: boolean): boolean =>
  kind === 'write' || (pagingStructure === true && accessedDirty);

function allows(
  used: readonly EptEntry[],
  access: SlatAccess,
  accessedDirty: boolean,
  f: EptFeatures,
): boolean {
  if (isWrite(access, accessedDirty)) return AND(used, 'write');
  if (access.kind === 'read') return AND(used, 'read');
  const { user } = access.linear ?? PAGING_OFF;
  return AND(used, f.modeBasedExecute && user ? 'userExecute' : 'execute');
}

/** `used`: all entries down to the leaf; undefined: one was absent, so that no access is allowed. */
function qualification(
  access: SlatAccess,
  used: readonly EptEntry[] | undefined,
  accessedDirty: boolean,
  f: EptFeatures,
): number {
  const allowed = (right: 'read' | 'write' | 'execute' | 'userExecute'): boolean =>
    used !== undefined && AND(used, right);
  const asWrite = isWrite(access, accessedDirty);
  const linearValid = access.linearValid ?? true;
  const final = linearValid && access.pagingStructure !== true;
  const linear = f.advancedInfo && final ? (access.linear ?? PAGING_OFF) : undefined;
  const flags = [
    access.kind === 'read' || (access.pagingStructure === true && accessedDirty),
    asWrite,
    access.kind === 'fetch',
    allowed('read'),
    allowed('write'),
    allowed('execute'),
    f.modeBasedExecute === true && allowed('userExecute'),
    linearValid,
    final,
    linear?.user === true,
    linear?.writable === true,
    linear?.executeDisable === true,
  ];
  return flags.reduce((sum, set, n) => (set ? sum | (1 << n) : sum), 0);
}
