// A vCPU with paging on: accesses at linear addresses. It walks the guest's tables as a processor does, with accesses of its
// own at guest-physical addresses, so that each of them may be a SLAT violation, which KVM resolves, or an exit.
// Reference: Intel SDM vol. 3C, 29.3.1; linux arch/x86/kvm/mmu/paging_tmpl.h (walk_addr_generic, update_accessed_dirty_bits).
import { type Gpa, gva as gvaOf } from '../address.ts';
import type { SlatAccess } from '../paging/ept.ts';
import { decodeEptPointer } from '../paging/ept-entry.ts';
import { type GuestAccess, type GuestFault, type GuestPaging, walkGuest } from '../paging/guest.ts';
import { levelSize, type Reference } from '../paging/tables.ts';
import { type GuestMemory, type TwoDimensionalWalk, walkTwoDimensional } from '../paging/two-dimensional.ts';
import type { Access, AddressLike, Exit, Walk } from '../types.ts';
import { type AccessSize, checkedSize, type Vcpu } from './vcpu.ts';

export interface AtPrivilege {
  /** At CPL 3. Default false. */
  readonly user?: boolean;
}

/** How an access at a linear address ended. A fault is the guest's own affair: no exit, nothing of the access happened. */
export type VirtualAccess =
  | { readonly ok: true; readonly value: bigint; readonly gpa: Gpa; readonly exits: readonly Exit[] }
  | { readonly ok: false; readonly fault: GuestFault; readonly exit?: never }
  | { readonly ok: false; readonly exit: Exit; readonly fault?: never };

/** What ends a translation: an exit of an access to the tables, or that the SLAT does not (yet) allow the access itself. */
export type VirtualStop = Exit | { readonly reason: 'VIOLATION'; readonly gpa: Gpa };
export type VirtualWalk = TwoDimensionalWalk<VirtualStop>;

type Place = { readonly gpa: bigint } | Extract<VirtualAccess, { ok: false }>;

export class VirtualCpu {
  readonly paging: GuestPaging;
  readonly #vcpu: Vcpu;
  /** The SLAT walk of a gpa, as it stands. */
  readonly #slat: (gpa: bigint) => Walk;

  constructor(vcpu: Vcpu, slat: (gpa: bigint) => Walk, paging: GuestPaging) {
    this.#vcpu = vcpu;
    this.#slat = slat;
    this.paging = paging;
  }

  /** One load. Over a page border both pages are translated before a byte moves. */
  load(gva: AddressLike, size: AccessSize, at: AtPrivilege = {}): VirtualAccess {
    return this.#access(gvaOf(gva), checkedSize(size), { kind: 'read', ...at }, 0n);
  }

  store(gva: AddressLike, size: AccessSize, value: bigint | number, at: AtPrivilege = {}): VirtualAccess {
    const bits = BigInt.asUintN(checkedSize(size) * 8, BigInt(value));
    return this.#access(gvaOf(gva), size, { kind: 'write', ...at }, bits);
  }

  /** An instruction fetch, of one byte. */
  fetch(gva: AddressLike, at: AtPrivilege = {}): VirtualAccess {
    return this.#access(gvaOf(gva), 1, { kind: 'fetch', ...at }, 0n);
  }

  /**
   * The walk of an access without the access: every reference to the guest's tables and to the SLAT's, in the processor's
   * order (`referencesInOrder`). The vCPU's accesses to the guest's tables are made, and set accessed and dirty bits; SLAT
   * entries are shown as they stand behind each. The page itself is not touched: where the SLAT does not map it so that
   * the access could be done, the walk ends in `VIOLATION`.
   */
  translate(gva: AddressLike, access: GuestAccess): VirtualWalk {
    const memory: GuestMemory<VirtualStop> = {
      readEntry: (gpa) => {
        const entry = this.#readEntry(gpa);
        const { references, hpa, pageSize } = reached(this.#slat(gpa));
        if (typeof entry !== 'bigint') return { references, stop: entry };
        return { references, ...(hpa === undefined ? {} : { hpa, pageSize }), value: entry };
      },
      writeEntry: (gpa, value) => this.#writeEntry(gpa, value),
      reach: (gpa, { kind }) => {
        const walk = this.#slat(gpa);
        const { references, hpa, pageSize } = reached(walk);
        if (hpa === undefined || !allows(walk, kind)) {
          return { references, stop: { reason: 'VIOLATION', gpa: gpa as Gpa } };
        }
        return { references, hpa, pageSize };
      },
    };
    return walkTwoDimensional(this.paging, memory, gvaOf(gva), access);
  }

  #access(gva: bigint, size: AccessSize, access: GuestAccess, value: bigint): VirtualAccess {
    const low = this.#place(gva, access);
    if (!('gpa' in low)) return low;
    const before = 4096 - Number(gva & 4095n);
    if (before >= size) return ended(low.gpa, this.#do(low.gpa, size, access, value));
    const high = this.#place(BigInt.asUintN(64, gva + BigInt(before)), access);
    if (!('gpa' in high)) return high;
    // Pages that follow each other in the guest's memory too are one access, as without paging.
    if (high.gpa === low.gpa + BigInt(before)) return ended(low.gpa, this.#do(low.gpa, size, access, value));
    return this.#apart(low.gpa, high.gpa, before, size, access, value);
  }

  /** Where the guest's tables say that a linear address is. */
  #place(gva: bigint, access: GuestAccess): Place {
    let exit: Exit | undefined;
    const read = (gpa: bigint): bigint | undefined => {
      const entry = this.#readEntry(gpa);
      if (typeof entry === 'bigint') return entry;
      exit = entry;
      return undefined;
    };
    const write = (gpa: bigint, value: bigint): boolean => {
      exit = this.#writeEntry(gpa, value);
      return exit === undefined;
    };
    const { outcome } = walkGuest(this.paging, { read, write }, gva, access);
    if (outcome.kind === 'mapped') return { gpa: outcome.gpa };
    if (outcome.kind === 'fault') return { ok: false, fault: outcome.fault };
    return { ok: false, exit: exit as Exit };
  }

  /** One entry of the guest's tables. Where there is no memory, KVM cannot carry out the instruction for the guest. */
  #readEntry(gpa: bigint): bigint | Exit {
    const { slot, eptp } = this.#slat(gpa);
    if (!slot) return { reason: 'INTERNAL_ERROR', gpa: gpa as Gpa };
    // With accessed and dirty bits in the SLAT, what a processor does with guest tables are writes, changed or not. In
    // ROM that is a violation; KVM then carries the instruction out, and reads the tables.
    const asWrite = decodeEptPointer(eptp).accessedDirty && !slot.readonly;
    const entry = asWrite ? this.#vcpu.fetchAdd(gpa, 8, 0) : this.#vcpu.load(gpa, 8);
    return entry.ok ? entry.value : entry.exit;
  }

  /** In a read-only slot nothing is stored, and the walk goes on: KVM sets no accessed and dirty bits in ROM. */
  #writeEntry(gpa: bigint, value: bigint): Exit | undefined {
    if (this.#slat(gpa).slot?.readonly) return undefined;
    const stored = this.#vcpu.store(gpa, 8, value);
    return stored.ok ? undefined : stored.exit;
  }

  #do(gpa: bigint, size: AccessSize, { kind }: GuestAccess, value: bigint): Access {
    if (kind === 'write') return this.#vcpu.store(gpa, size, value);
    return kind === 'read' ? this.#vcpu.load(gpa, size) : this.#vcpu.fetch(gpa);
  }

  /** Over the border of two pages that lie apart: byte by byte, once both are there for it (rule R1.3). */
  #apart(
    low: bigint,
    high: bigint,
    before: number,
    size: number,
    access: GuestAccess,
    value: bigint,
  ): VirtualAccess {
    const exit = access.kind === 'write' ? (this.#refused(low) ?? this.#refused(high)) : undefined;
    if (exit) return { ok: false, exit };
    let sum = 0n;
    const exits: Exit[] = [];
    for (let i = 0; i < size; i++) {
      const gpa = i < before ? low + BigInt(i) : high + BigInt(i - before);
      const byte = this.#do(gpa, 1, access, (value >> BigInt(8 * i)) & 0xffn);
      if (!byte.ok) return byte;
      sum |= byte.value << BigInt(8 * i);
      exits.push(...byte.exits);
    }
    return { ok: true, value: sum, gpa: low as Gpa, exits };
  }

  /** Why a store to RAM at gpa cannot be: found out by one that changes nothing. */
  #refused(gpa: bigint): Exit | undefined {
    const { slot } = this.#slat(gpa);
    if (!slot || slot.readonly) return undefined;
    const access = this.#vcpu.fetchAdd(gpa, 1, 0);
    return access.ok ? undefined : access.exit;
  }
}

const ended = (gpa: bigint, access: Access): VirtualAccess =>
  access.ok ? { ...access, gpa: gpa as Gpa } : access;

/** The SLAT's references of a walk. */
function reached({ entries, hpa }: Walk): {
  references: Reference[];
  hpa: bigint | undefined;
  pageSize: bigint;
} {
  const references = entries.map(({ level, at, value }) => ({ level, at, value, after: value }));
  return { references, hpa, pageSize: levelSize(entries.at(-1)?.level ?? 0) };
}

function allows({ entries }: Walk, kind: SlatAccess['kind']): boolean {
  const right = ({ read: 'read', write: 'write', fetch: 'execute' } as const)[kind];
  return entries.every((e) => e[right]);
}
