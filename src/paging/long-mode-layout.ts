// x86-64 page-table entries for people, and what is told of a fault: the error code of #PF, EXITINFO1 of a nested page fault.
// Reference: AMD APM vol. 2, 5.3, 8.4.2, 15.25.6, 15.36.10.
import { type BitField, type BitLayout, field, oneBit } from './layout.ts';
import { decodeLongModeEntry } from './long-mode.ts';

const hex = (value: bigint): string => `0x${value.toString(16)}`;

const NX = oneBit(63, 'NX', 'no fetches', 'fetch allowed');
const LOW: readonly BitField[] = [
  oneBit(5, 'A', 'accessed', 'not accessed'),
  oneBit(4, 'PCD', 'PAT index bit 1 set', 'PAT index bit 1 clear'),
  oneBit(3, 'PWT', 'PAT index bit 0 set', 'PAT index bit 0 clear'),
  oneBit(2, 'U/S', 'for users too', 'for the supervisor alone'),
  oneBit(1, 'R/W', 'write allowed', 'read-only'),
  oneBit(0, 'P', 'present', 'not present'),
];
const PAGE_SIZE = oneBit(7, 'PS', 'leaf: maps all that a table would', 'points to a table');
const GLOBAL = oneBit(8, 'G', 'global', 'not global');
const DIRTY = oneBit(6, 'D', 'dirty', 'clean');
const pat = (at: number): BitField => oneBit(at, 'PAT', 'PAT index bit 2 set', 'PAT index bit 2 clear');

const TABLE: BitLayout = {
  name: 'x86-64 table entry',
  bits: 64,
  fields: [NX, field(51, 12, 'table', (v) => `next table at ${hex(v << 12n)}`), PAGE_SIZE, ...LOW],
};

const leaf = (size: string, low: number, between: readonly BitField[], seven: BitField): BitLayout => ({
  name: `x86-64 leaf entry, ${size}`,
  bits: 64,
  fields: [
    NX,
    field(62, 59, 'key', (v) => `protection key ${v}`),
    field(51, low, 'pfn', (v) => `page at ${hex(v << BigInt(low))}`),
    ...between,
    GLOBAL,
    seven,
    DIRTY,
    ...LOW,
  ],
});

const LEAVES: Readonly<Record<number, BitLayout>> = {
  1: leaf('4 KiB', 12, [], pat(7)),
  2: leaf('2 MiB', 21, [pat(12)], PAGE_SIZE),
  3: leaf('1 GiB', 30, [pat(12)], PAGE_SIZE),
};

const ABSENT: BitLayout = { name: 'x86-64 entry, not present', bits: 64, fields: LOW.slice(-1) };

/** How an entry of the table of `level`, 5 … 1, reads. */
export function longModeLayout(value: bigint, level: number): BitLayout {
  const entry = decodeLongModeEntry(value, level);
  if (!entry.present) return ABSENT;
  return entry.leaf ? (LEAVES[level] as BitLayout) : TABLE;
}

const FAULT: readonly BitField[] = [
  oneBit(4, 'I/D', 'instruction fetch', 'no fetch, or one that nothing can forbid'),
  oneBit(3, 'RSVD', 'a reserved bit is set in an entry', 'no reserved bit'),
  oneBit(2, 'U/S', 'by a user', 'by the supervisor'),
  oneBit(1, 'W/R', 'write', 'read or fetch'),
  oneBit(0, 'P', 'present, but refused', 'not present'),
];

export const PAGE_FAULT_CODE: BitLayout = {
  name: 'error code of a page fault',
  bits: 32,
  fields: [
    oneBit(15, 'SGX', 'SGX access rules', 'not about SGX'),
    oneBit(6, 'SS', 'shadow-stack access', 'no shadow-stack access'),
    oneBit(5, 'PK', 'protection key', 'not about protection keys'),
    ...FAULT,
  ],
};

export const NESTED_FAULT_INFO: BitLayout = {
  name: 'EXITINFO1 of a nested page fault',
  bits: 64,
  fields: [
    oneBit(36, 'VMPL', 'privilege level of the page (SNP)', 'not about privilege levels'),
    oneBit(35, 'SIZEM', 'page size differs from the ownership table’s (SNP)', 'no difference in size'),
    oneBit(34, 'ENC', 'encrypted access (SNP)', 'no encrypted access'),
    oneBit(33, 'table', 'while the guest’s tables were walked', 'not at the guest’s tables'),
    oneBit(32, 'final', 'at the final guest-physical address', 'not at the final address'),
    oneBit(31, 'RMP', 'ownership table (SNP)', 'not about the ownership table'),
    oneBit(6, 'SS', 'shadow-stack access', 'no shadow-stack access'),
    ...FAULT,
  ],
};
