// EPT for people: the pointer, entries and the exit qualification, field by field. Bits 11, 57 and 58 are KVM's own where
// the processor ignores them. Reference: Intel SDM vol. 3C, 29.3.2, table 28-7; linux arch/x86/kvm/mmu/spte.h
import { decodeEptEntry, memoryTypeName } from './ept-entry.ts';
import { type BitField, type BitLayout, field, oneBit } from './layout.ts';

const hex = (value: bigint): string => `0x${value.toString(16)}`;
const memoryType = (v: bigint): string => memoryTypeName(Number(v)) ?? 'reserved';

const READ = oneBit(0, 'R', 'read allowed', 'read not allowed');
const WRITE = oneBit(1, 'W', 'write allowed', 'write not allowed');
const EXECUTE = oneBit(2, 'X', 'fetch allowed', 'fetch not allowed');
const LEAF = oneBit(7, 'PS', 'leaf: maps all that a table would', 'points to a table');
const ACCESSED = oneBit(8, 'A', 'accessed', 'not accessed, or not tracked');
const DIRTY = oneBit(9, 'D', 'dirty', 'clean, or not tracked');
const USER_EXECUTE = oneBit(
  10,
  'XU',
  'user fetch allowed, with mode-based execute',
  'ignored without mode-based execute',
);
const MMU_PRESENT = oneBit(11, 'KVM', 'software bit: KVM knows the entry as present', 'software bit, clear');

export const EPT_POINTER: BitLayout = {
  name: 'EPT pointer',
  bits: 64,
  fields: [
    field(51, 12, 'root', (v) => `top table at ${hex(v << 12n)}`),
    oneBit(7, 'SSS', 'supervisor shadow-stack control on', 'supervisor shadow-stack control off'),
    oneBit(6, 'A/D', 'accessed and dirty flags on', 'accessed and dirty flags off'),
    field(5, 3, 'levels', (v) => `walk length ${v + 1n}`),
    field(2, 0, 'MT', (v) => `tables are ${memoryType(v)}`),
  ],
};

const TABLE: BitLayout = {
  name: 'EPT table entry',
  bits: 64,
  fields: [
    field(51, 12, 'table', (v) => `next table at ${hex(v << 12n)}`),
    MMU_PRESENT,
    USER_EXECUTE,
    ACCESSED,
    LEAF,
    EXECUTE,
    WRITE,
    READ,
  ],
};

const leaf = (name: string, frame: BitField, above: readonly BitField[]): BitLayout => ({
  name,
  bits: 64,
  fields: [
    oneBit(63, 'SVE', 'suppress #VE', '#VE not suppressed'),
    oneBit(61, 'SPP', 'sub-page write permissions, if enabled', 'no sub-page write permissions'),
    oneBit(60, 'SSS', 'supervisor shadow stack, if enabled', 'no supervisor shadow stack'),
    oneBit(58, 'MMU-W', 'paging-write access, if enabled; KVM: it may make the page writable', 'clear'),
    oneBit(57, 'host-W', 'verify guest paging, if enabled; KVM: the host page is writable', 'clear'),
    frame,
    MMU_PRESENT,
    USER_EXECUTE,
    DIRTY,
    ACCESSED,
    ...above,
    oneBit(6, 'IPAT', "the guest's PAT is ignored", "the guest's PAT counts"),
    field(5, 3, 'MT', (v) => `memory type ${memoryType(v)}`),
    EXECUTE,
    WRITE,
    READ,
  ],
});

const LEAVES: Readonly<Record<number, BitLayout>> = {
  1: leaf(
    'EPT leaf entry, 4 KiB',
    field(51, 12, 'pfn', (v) => `host frame ${hex(v)}`),
    [],
  ),
  2: leaf(
    'EPT leaf entry, 2 MiB',
    field(51, 21, 'pfn', (v) => `512 host frames from ${hex(v << 9n)}`),
    [LEAF],
  ),
  3: leaf(
    'EPT leaf entry, 1 GiB',
    field(51, 30, 'pfn', (v) => `262144 host frames from ${hex(v << 18n)}`),
    [LEAF],
  ),
};

const ABSENT: BitLayout = { name: 'EPT entry, not present', bits: 64, fields: [EXECUTE, WRITE, READ] };

/** How an entry of the table of `level`, 5 … 1, reads. */
export function eptEntryLayout(value: bigint, level: number): BitLayout {
  const entry = decodeEptEntry(value, level);
  if (!entry.present) return ABSENT;
  return entry.leaf ? (LEAVES[level] as BitLayout) : TABLE;
}

const allowed = (at: number, name: string, what: string): BitField =>
  oneBit(at, name, `all entries allow ${what}`, `an entry does not allow ${what}, or is absent`);

export const EPT_QUALIFICATION: BitLayout = {
  name: 'exit qualification of an EPT violation',
  bits: 64,
  fields: [
    oneBit(16, 'async', 'asynchronous to what the guest executes', 'of the instruction'),
    oneBit(15, 'VGP', 'guest-paging verification', 'no guest-paging verification'),
    oneBit(14, 'SSS', 'refused for a supervisor shadow stack', 'not about shadow stacks'),
    oneBit(13, 'SS', 'shadow-stack access', 'no shadow-stack access'),
    oneBit(12, 'NMI', 'NMIs unblocked by IRET', 'no IRET that unblocks NMIs'),
    oneBit(11, 'XD', 'linear address is execute-disable', 'linear address is executable, or not told'),
    oneBit(10, 'RW', 'linear address is writable', 'linear address is read-only, or not told'),
    oneBit(9, 'US', 'linear address is a user’s', 'linear address is the supervisor’s, or not told'),
    oneBit(
      8,
      'final',
      'the translation of a linear address',
      'an entry of the guest’s own tables, if bit 7 is set',
    ),
    oneBit(7, 'GLA', 'guest-linear address is valid', 'no guest-linear address'),
    allowed(6, 'XU', 'user fetches (mode-based execute)'),
    allowed(5, 'X', 'fetches'),
    allowed(4, 'W', 'writes'),
    allowed(3, 'R', 'reads'),
    oneBit(2, 'fetch', 'instruction fetch', 'no instruction fetch'),
    oneBit(1, 'write', 'data write', 'no data write'),
    oneBit(0, 'read', 'data read', 'no data read'),
  ],
};
