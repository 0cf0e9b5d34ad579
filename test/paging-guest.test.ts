// A guest's own page tables, and AMD nested paging, which has the same format: rights, faults and their codes, A and D.
// Reference: Intel SDM vol. 3A, 4.5 to 4.8; AMD APM vol. 2, 15.25. Entry values are spelled out here.
import { describe, expect, it } from 'vitest';
import {
  decodeLongModeEntry,
  type GuestAccess,
  type GuestOutcome,
  type GuestPaging,
  type LongModeFeatures,
  type NptOutcome,
  type SlatAccess,
  walkGuest,
  walkNpt,
} from '../src/index.ts';
import { Words } from './support/tables.ts';

const P = 1n;
const RW = 2n;
const US = 4n;
const ALL = P | RW | US;
const PS = 0x80n;
const NX = 1n << 63n;

function tables(address: bigint, level: number, leaf: bigint, table = ALL, levels: 4 | 5 = 4) {
  const memory = new Words();
  const root = memory.table();
  const at = memory.map(root, levels, address, level, leaf, () => table);
  return { memory, root, at };
}

describe('paging › guest tables', () => {
  const walk = (leaf: bigint, access: GuestAccess, paging: GuestPaging = {}, table = ALL): GuestOutcome => {
    const { memory, root } = tables(0x5000n, 1, leaf, table);
    return walkGuest({ cr3: root, ...paging }, memory, 0x5123n, access).outcome;
  };
  const code = (outcome: GuestOutcome): number | undefined =>
    outcome.kind === 'fault' && outcome.fault.vector === 14 ? outcome.fault.errorCode : undefined;

  it.each([
    [4, 1, 0x1234_5678_9abcn, [36, 209, 179, 393]],
    [4, 2, 0x1234_5678_9abcn, [36, 209, 179]],
    [4, 3, 0x1234_5678_9abcn, [36, 209]],
    [5, 1, 0x55_1234_5678_9abcn, [0x55, 36, 209, 179, 393]],
    [4, 1, 0xffff_8000_0000_0123n, [256, 0, 0, 0]],
  ] as const)('%i levels, leaf at %i: indices and offset', (levels, level, gva, indices) => {
    const size = 1n << BigInt(3 + 9 * level);
    const { memory, root } = tables(gva, level, 0x7_4000_0000n | ALL | (level > 1 ? PS : 0n), ALL, levels);
    const { references, outcome } = walkGuest({ cr3: root | 0xfffn, levels }, memory, gva, { kind: 'read' });
    expect(references.map((r) => Number((r.at & 0xfffn) / 8n))).toEqual(indices);
    expect(outcome).toMatchObject({
      kind: 'mapped',
      gpa: 0x7_4000_0000n + (gva % size),
      level,
      pageSize: size,
    });
  });

  it('paging off: the address as it is, no reference', () => {
    const { references, outcome } = walkGuest({}, new Words(), 0x1234n, { kind: 'write' });
    const rights = { user: true, write: true, noExecute: false };
    expect([references, outcome]).toMatchObject([[], { kind: 'mapped', gpa: 0x1234n, level: 0, rights }]);
  });

  // rights of the leaf; access; error code, undefined for none. Bits: 0 P, 1 W, 2 U, 3 RSVD, 4 I.
  it.each<[string, bigint, GuestAccess, GuestPaging, number | undefined]>([
    ['absent, kernel read', 0n, { kind: 'read' }, {}, 0],
    ['absent, user write', RW | US, { kind: 'write', user: true }, {}, 6],
    ['absent, fetch', 0n, { kind: 'fetch' }, {}, 16],
    ['absent, fetch, where none can be forbidden', 0n, { kind: 'fetch' }, { noExecute: false }, 0],
    ['absent, fetch, with SMEP alone', 0n, { kind: 'fetch' }, { noExecute: false, smep: true }, 16],
    ['user page, user read', P | US, { kind: 'read', user: true }, {}, undefined],
    ['user page, user write', P | US, { kind: 'write', user: true }, {}, 7],
    ['kernel page, user read', P | RW, { kind: 'read', user: true }, {}, 5],
    ['kernel page, kernel write', P | RW, { kind: 'write' }, {}, undefined],
    ['read-only page, kernel write', P, { kind: 'write' }, {}, 3],
    ['read-only page, kernel write, WP off', P, { kind: 'write' }, { writeProtect: false }, undefined],
    ['read-only page, user write, WP off', P | US, { kind: 'write', user: true }, { writeProtect: false }, 7],
    ['NX, fetch', ALL | NX, { kind: 'fetch', user: true }, {}, 21],
    ['NX, read', ALL | NX, { kind: 'read' }, {}, undefined],
    ['NX without EFER.NXE is reserved', ALL | NX, { kind: 'read' }, { noExecute: false }, 9],
    ['user page, kernel fetch', ALL, { kind: 'fetch' }, {}, undefined],
    ['user page, kernel fetch, SMEP', ALL, { kind: 'fetch' }, { smep: true }, 17],
    ['user page, kernel read, SMAP', ALL, { kind: 'read' }, { smap: true }, 1],
    ['user page, kernel fetch, SMAP alone', ALL, { kind: 'fetch' }, { smap: true }, undefined],
    ['kernel page, kernel read, SMAP', P, { kind: 'read' }, { smap: true }, undefined],
    [
      'an address bit above the width',
      ALL | (1n << 45n),
      { kind: 'write', user: true },
      { physicalBits: 45 },
      15,
    ],
    [
      'bits 52 to 62 are the guest’s',
      ALL | (0x7ffn << 52n),
      { kind: 'read' },
      { physicalBits: 45 },
      undefined,
    ],
  ])('%s', (_row, leaf, access, paging, errorCode) => {
    const outcome = walk(0x9000n | leaf, access, paging);
    expect(code(outcome)).toBe(errorCode);
    if (errorCode === undefined) expect(outcome).toMatchObject({ kind: 'mapped', gpa: 0x9123n });
  });

  it.each<[string, bigint, GuestAccess, number]>([
    ['no RW above', P | US, { kind: 'write', user: true }, 7],
    ['no US above', P | RW, { kind: 'read', user: true }, 5],
    ['NX above', ALL | NX, { kind: 'fetch' }, 17],
  ])('rights of all levels together: %s', (_row, table, access, errorCode) => {
    expect(code(walk(0x9000n | ALL, access, {}, table))).toBe(errorCode);
  });

  it.each([
    ['2M leaf with bit 13', 2, 0x60_2000n, 9],
    ['2M leaf with bit 12, its PAT', 2, 0x60_1000n, undefined],
    ['1G leaf with bit 29', 3, 0x6000_0000n, 9],
  ] as const)('%s', (_row, level, frame, errorCode) => {
    const { memory, root } = tables(0n, level, frame | ALL | PS);
    const { outcome } = walkGuest({ cr3: root }, memory, 0x123n, { kind: 'read' });
    expect(code(outcome)).toBe(errorCode);
    if (errorCode === undefined) expect(outcome).toMatchObject({ gpa: 0x60_0123n, pat: 4 });
  });

  it.each<[string, number, bigint, number | undefined]>([
    ['PS in level 4 is reserved', 4, PS, 9],
    ['bit 46 beyond the width, in a table entry', 3, 1n << 46n, 9],
    ['bit 45 within it', 3, 1n << 45n, undefined],
    ['bit 62 is the guest’s, in a table entry', 2, 1n << 62n, undefined],
  ])('table entries: %s', (_row, level, bits, errorCode) => {
    const memory = new Words();
    const root = memory.table();
    const entry = memory.map(root, 4, 0n, level, 0n, () => ALL);
    // The rest of the tables hangs below that entry, wherever its address leads.
    const next = 0x9_0000_0000n;
    memory.write(entry, next | bits | ALL);
    const below = (next | bits) & 0x000f_ffff_ffff_f000n;
    memory.map(below, level - 1, 0n, 1, 0x5000n | ALL, () => ALL);
    const { outcome } = walkGuest({ cr3: root, physicalBits: 46 }, memory, 0n, { kind: 'read' });
    expect(code(outcome)).toBe(errorCode);
    if (errorCode === undefined) expect(outcome).toMatchObject({ kind: 'mapped', gpa: 0x5000n });
  });

  it('1G leaves where there are none', () => {
    const { memory, root } = tables(0n, 3, 0x4000_0000n | ALL | PS);
    expect(code(walkGuest({ cr3: root, pages1g: false }, memory, 0n, { kind: 'read' }).outcome)).toBe(9);
  });

  it.each([
    [4, 0x8000_0000_0000n],
    [4, 0x0001_0000_0000_0000n],
    [4, 0xffff_0000_0000_0000n],
    [5, 0x0100_0000_0000_0000n],
  ] as const)('%i levels: %i is not canonical: #GP, and no table is read', (levels, gva) => {
    const { references, outcome } = walkGuest({ cr3: 0x1000n, levels }, new Words(), gva, { kind: 'read' });
    expect([references, outcome]).toEqual([
      [],
      { kind: 'fault', fault: { vector: 13, errorCode: 0, address: gva } },
    ]);
  });

  it('A in each entry used, D in the leaf of a write; in a fault A above the entry that failed', () => {
    const { memory, root, at } = tables(0n, 1, 0x9000n | P | US);
    const go = (kind: GuestAccess['kind']): bigint[] =>
      walkGuest({ cr3: root }, memory, 0n, { kind }).references.map((r) => r.after & ~r.value);
    expect(go('write')).toEqual([0x20n, 0x20n, 0x20n, 0n]);
    expect(memory.read(at)).toBe(0x9000n | P | US);
    expect(go('read')).toEqual([0n, 0n, 0n, 0x20n]);
    memory.write(at, 0x9000n | ALL);
    expect(go('write')).toEqual([0n, 0n, 0n, 0x60n]);
    expect(memory.read(at)).toBe(0x9000n | ALL | 0x60n);
  });

  it('each bit is told by one field', () => {
    const set = (n: number, level: number): string[] =>
      Object.entries(decodeLongModeEntry(1n << BigInt(n), level))
        .filter(([key, v]) => v === true && key !== 'leaf')
        .map(([key]) => key);
    expect([0, 1, 2, 5, 6, 8, 63].map((n) => set(n, 1))).toEqual(
      ['present', 'write', 'user', 'accessed', 'dirty', 'global', 'noExecute'].map((name) => [name]),
    );
    // PWT, PCD, and PAT: bit 7 of a small page, bit 12 of a large one.
    expect([3, 4, 7].map((n) => decodeLongModeEntry(1n << BigInt(n), 1).pat)).toEqual([1, 2, 4]);
    expect(decodeLongModeEntry(PS | (1n << 12n), 2)).toMatchObject({ pat: 4, address: 0n });
    expect(decodeLongModeEntry(PS | P, 4)).toMatchObject({ leaf: false, reserved: PS });
    expect(decodeLongModeEntry((1n << 63n) - 2n, 1, { physicalBits: 40, noExecute: false }).reserved).toBe(
      0n,
    );
  });
});

describe('paging › AMD nested paging', () => {
  const walk = (
    leaf: bigint,
    access: SlatAccess,
    features: LongModeFeatures = {},
    gpa = 0x5123n,
  ): NptOutcome => {
    const { memory, root } = tables(0x5000n, 1, leaf);
    return walkNpt({ ncr3: root, memory, features }, gpa, access).outcome;
  };
  const FINAL = 1n << 32n;
  const TABLE = 1n << 33n;

  it.each<[string, bigint, SlatAccess, LongModeFeatures, bigint | undefined]>([
    ['absent, read', 0n, { kind: 'read' }, {}, FINAL | 4n],
    ['absent, write', 0n, { kind: 'write' }, {}, FINAL | 6n],
    ['absent, fetch', 0n, { kind: 'fetch' }, {}, FINAL | 0x14n],
    ['absent, the guest’s tables: a write', 0n, { kind: 'read', pagingStructure: true }, {}, TABLE | 6n],
    ['every present page can be read', P | US, { kind: 'read' }, {}, undefined],
    ['read-only, write', P | US, { kind: 'write' }, {}, FINAL | 7n],
    ['read-only, the guest’s tables', P | US, { kind: 'read', pagingStructure: true }, {}, TABLE | 7n],
    ['not a user page', P | RW, { kind: 'read' }, {}, FINAL | 5n],
    ['NX, fetch', ALL | NX, { kind: 'fetch' }, {}, FINAL | 0x15n],
    ['NX, read', ALL | NX, { kind: 'read' }, {}, undefined],
    ['executable, fetch', P | US, { kind: 'fetch' }, {}, undefined],
    ['NX where it is reserved', ALL | NX, { kind: 'read' }, { noExecute: false }, FINAL | 0xdn],
    [
      'an address bit above the width',
      ALL | (1n << 48n),
      { kind: 'read' },
      { physicalBits: 48 },
      FINAL | 0xdn,
    ],
  ])('%s', (_row, leaf, access, features, info1) => {
    const outcome = walk(0x9000n | leaf, access, features);
    if (info1 === undefined) expect(outcome).toMatchObject({ kind: 'ok', hpa: 0x9123n, level: 1 });
    else {
      const level = 1;
      expect(outcome).toEqual({ kind: 'nested-page-fault', exit: 0x400, level, info1, info2: 0x5123n });
    }
  });

  it('an address that the tables do not reach', () => {
    expect(walk(0x9000n | ALL, { kind: 'read' }, {}, 1n << 48n)).toMatchObject({ info1: FINAL | 4n });
  });

  it('five levels, a 2M page, A and D', () => {
    const { memory, root, at } = tables(0x55_0000_0020_0000n, 2, 0x60_0000n | ALL | PS, ALL, 5);
    const { references, outcome } = walkNpt({ ncr3: root, levels: 5, memory }, 0x55_0000_0020_1234n, {
      kind: 'write',
    });
    expect(references.map((r) => r.level)).toEqual([5, 4, 3, 2]);
    expect(outcome).toMatchObject({ kind: 'ok', hpa: 0x60_1234n, level: 2, pageSize: 0x20_0000n });
    expect(memory.read(at)).toBe(0x60_0000n | ALL | PS | 0x60n);
  });

  it('an entry that cannot be read', () => {
    const { memory, root, at } = tables(0n, 1, 0n);
    memory.broken.add(at);
    expect(walkNpt({ ncr3: root, memory }, 0n, { kind: 'read' }).outcome).toEqual({ kind: 'unreadable', at });
  });
});
