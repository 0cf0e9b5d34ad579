// Bit layouts for the inspector: EPT entries, the EPT pointer, the registers of pvmemcontrol.
// Reference: Intel SDM vol. 3, EPT paging structures; linux arch/x86/kvm/mmu/spte.h; uapi pvmemcontrol.h
import { hex } from '../../src/address.ts';
import type { WalkEntry } from '../../src/types.ts';

export interface Field {
  readonly high: number;
  readonly low: number;
  readonly name: string;
  readonly meaning: (value: bigint) => string;
}

export interface BitLayout {
  readonly name: string;
  readonly bits: 32 | 64;
  /** From the highest bit down; bits that no field covers are ignored or zero. */
  readonly fields: readonly Field[];
}

/** A value somebody asked to see in bits. */
export interface Inspected {
  readonly title: string;
  readonly value: bigint;
  readonly layout: BitLayout;
}

export const fieldValue = (value: bigint, { high, low }: Field): bigint =>
  (value >> BigInt(low)) & ((1n << BigInt(high - low + 1)) - 1n);

const bit = (at: number, name: string, set: string, clear: string): Field => ({
  high: at,
  low: at,
  name,
  meaning: (v) => (v ? set : clear),
});
const field = (high: number, low: number, name: string, meaning: (v: bigint) => string): Field => ({
  high,
  low,
  name,
  meaning,
});

const MEMORY_TYPES: Readonly<Record<string, string>> = { 0: 'UC', 1: 'WC', 4: 'WT', 5: 'WP', 6: 'WB' };
const memoryType = (v: bigint): string => MEMORY_TYPES[String(v)] ?? 'reserved';

const READ = bit(0, 'R', 'read allowed', 'read not allowed');
const WRITE = bit(1, 'W', 'write allowed', 'write not allowed');
const EXECUTE = bit(2, 'X', 'fetch allowed', 'fetch not allowed');
const PAGE_SIZE_BIT = bit(7, 'PS', 'leaf: maps all that a table would', 'points to a table');
const MMU_PRESENT = bit(11, 'KVM', 'software bit: KVM knows the entry as present', 'software bit, clear');

export const EPTP: BitLayout = {
  name: 'EPT pointer',
  bits: 64,
  fields: [
    field(51, 12, 'root', (v) => `PML4 table at ${hex(v << 12n)}`),
    bit(6, 'A/D', 'accessed and dirty flags on', 'accessed and dirty flags off'),
    field(5, 3, 'levels', (v) => `walk length ${v + 1n}`),
    field(2, 0, 'MT', (v) => `tables are ${memoryType(v)}`),
  ],
};

export const EPT_TABLE: BitLayout = {
  name: 'EPT table entry',
  bits: 64,
  fields: [
    field(51, 12, 'table', (v) => `next table at ${hex(v << 12n)}`),
    MMU_PRESENT,
    bit(8, 'A', 'accessed', 'not accessed, or not tracked'),
    PAGE_SIZE_BIT,
    EXECUTE,
    WRITE,
    READ,
  ],
};

/** Above level 1 bit 7 says that it is a leaf, and the frame's low bits are those of a larger page. */
const leaf = (name: string, where: readonly Field[]): BitLayout => ({
  name,
  bits: 64,
  fields: [
    bit(63, 'SVE', 'suppress #VE', '#VE not suppressed'),
    bit(58, 'MMU-W', 'software bit: KVM may make it writable', 'software bit, clear'),
    bit(57, 'host-W', 'software bit: the host page is writable', 'software bit: the host page is read-only'),
    ...where,
    bit(6, 'IPAT', "the guest's PAT is ignored", "the guest's PAT counts"),
    field(5, 3, 'MT', (v) => `memory type ${memoryType(v)}`),
    EXECUTE,
    WRITE,
    READ,
  ],
});
const ACCESSED_DIRTY = [
  bit(9, 'D', 'dirty', 'clean, or not tracked'),
  bit(8, 'A', 'accessed', 'not accessed, or not tracked'),
];

export const EPT_LEAF: BitLayout = leaf('EPT leaf entry, 4 KiB', [
  field(51, 12, 'pfn', (v) => `host frame ${hex(v)}`),
  MMU_PRESENT,
  ...ACCESSED_DIRTY,
]);

export const EPT_LEAF_2M: BitLayout = leaf('EPT leaf entry, 2 MiB', [
  field(51, 21, 'pfn', (v) => `512 host frames from ${hex(v << 9n)}`),
  MMU_PRESENT,
  ...ACCESSED_DIRTY,
  PAGE_SIZE_BIT,
]);

export const EPT_ABSENT: BitLayout = {
  name: 'EPT entry, not present',
  bits: 64,
  fields: [EXECUTE, WRITE, READ],
};

/** How the bits of an entry read. */
export function entryLayout({ present, leaf, level }: WalkEntry): BitLayout {
  if (!present) return EPT_ABSENT;
  return !leaf ? EPT_TABLE : level === 1 ? EPT_LEAF : EPT_LEAF_2M;
}

const COMMANDS: Readonly<Record<string, string>> = {
  [String(0x060fe6d2)]: 'RESET',
  [String(0x0e359539)]: 'REGISTER',
  [String(0x0ca8d227)]: 'READY',
  [String(0x030f5da0)]: 'DISCONNECT',
  [String(0x03cf5196)]: 'ACK',
  [String(0x01fba249)]: 'ERROR',
};
export const commandName = (value: number): string => COMMANDS[String(value)] ?? 'no command';

export const COMMAND: BitLayout = {
  name: 'command register',
  bits: 32,
  fields: [
    bit(31, 'doorbell', 'a connection id: its request is executed', 'a transport command or its answer'),
    field(30, 0, 'command', (v) => commandName(Number(v))),
  ],
};

export const PAYLOAD: BitLayout = {
  name: 'payload register',
  bits: 64,
  fields: [
    field(63, 32, 'high', (v) => `bytes 4…7: ${hex(v)}`),
    field(31, 0, 'low', (v) => `bytes 0…3: ${hex(v)}, a connection id after REGISTER`),
  ],
};

/** A plain 64-bit number: no fields but its halves. */
export const PLAIN: BitLayout = {
  name: '64-bit value',
  bits: 64,
  fields: [field(63, 32, 'high', (v) => `${hex(v)} = ${v}`), field(31, 0, 'low', (v) => `${hex(v)} = ${v}`)],
};
