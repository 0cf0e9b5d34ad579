// arm64 stage-2 descriptors for people, and the syndrome of a fault. Reference: Arm ARM (DDI 0487), D8.3, ESR_EL2.
import { type BitLayout, field, oneBit } from './layout.ts';
import { decodeStage2Entry, type Granule, stage2MemoryType, stage2Shift } from './stage2-entry.ts';

const hex = (value: bigint): string => `0x${value.toString(16)}`;

const VALID = oneBit(0, 'valid', 'valid', 'invalid: the rest is the software’s');
const SHAREABILITY = ['not shareable', 'reserved', 'outer shareable', 'inner shareable'];
const ACCESS = ['no access', 'read-only', 'write-only', 'read and write'];
const XN = ['executable', 'executable at EL0 alone', 'not executable', 'executable at EL1 alone'];
const CLASS: Readonly<Record<number, string>> = { 36: 'data abort', 32: 'instruction abort' };
const STATUS: Readonly<Record<number, string>> = {
  0: 'address size',
  1: 'translation',
  2: 'access flag',
  3: 'permission',
};

/** How a descriptor of a table of `level`, 0 … 3, reads. */
export function stage2Layout(value: bigint, level: number, granule: Granule): BitLayout {
  const { kind } = decodeStage2Entry(value, level, { granule });
  const low = stage2Shift(granule, kind === 'table' ? 3 : level);
  const typed = oneBit(1, 'type', level === 3 ? 'page' : 'table', level === 3 ? 'reserved' : 'block');
  if (kind === 'invalid') return { name: 'stage-2 descriptor, invalid', bits: 64, fields: [typed, VALID] };
  if (kind === 'table') {
    const next = field(47, low, 'table', (v) => `next table at ${hex(v << BigInt(low))}`);
    return { name: 'stage-2 table descriptor', bits: 64, fields: [next, typed, VALID] };
  }
  return {
    name: `stage-2 ${kind} descriptor, ${sizeText(low)}`,
    bits: 64,
    fields: [
      field(58, 55, 'software', (v) => `${v}`),
      field(54, 53, 'XN', (v) => XN[Number(v)] as string),
      oneBit(52, 'contiguous', 'one of a run that a TLB entry may hold', 'by itself'),
      oneBit(
        51,
        'DBM',
        'hardware makes it writable at the first write, if it may',
        'no hardware dirty state',
      ),
      field(47, low, 'output', (v) => `${kind} at ${hex(v << BigInt(low))}`),
      oneBit(10, 'AF', 'accessed', 'not accessed: a fault, unless hardware sets it'),
      field(9, 8, 'SH', (v) => SHAREABILITY[Number(v)] as string),
      field(7, 6, 'S2AP', (v) => ACCESS[Number(v)] as string),
      field(5, 2, 'MemAttr', (v) => stage2MemoryType(Number(v))),
      typed,
      VALID,
    ],
  };
}

/** `4 KiB`, `2 MiB` … of 2^shift bytes. */
function sizeText(shift: number): string {
  const unit = Math.floor(shift / 10);
  return `${2 ** (shift - 10 * unit)} ${['B', 'KiB', 'MiB', 'GiB'][unit]}`;
}

/** ESR_EL2 of an abort that a guest took at stage 2. */
export const STAGE2_SYNDROME: BitLayout = {
  name: 'ESR_EL2 of a stage-2 abort',
  bits: 32,
  fields: [
    field(31, 26, 'EC', (v) => CLASS[Number(v)] ?? 'another exception'),
    oneBit(25, 'IL', '32-bit instruction', '16-bit instruction'),
    oneBit(24, 'ISV', 'the access can be emulated: bits 23 to 14 tell it', 'no syndrome of the instruction'),
    field(23, 22, 'SAS', (v) => `${1n << v} bytes, if ISV`),
    oneBit(21, 'SSE', 'sign-extended', 'not sign-extended'),
    field(20, 16, 'SRT', (v) => `register ${v}, if ISV`),
    oneBit(15, 'SF', '64-bit register', '32-bit register'),
    oneBit(7, 'S1PTW', 'while the guest’s stage-1 tables were walked', 'the access itself'),
    oneBit(6, 'WnR', 'write', 'read'),
    field(5, 2, 'status', (v) => `${STATUS[Number(v)] ?? 'another'} fault`),
    field(1, 0, 'level', (v) => `at level ${v}`),
  ],
};
