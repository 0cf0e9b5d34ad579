// arm64 stage 2: descriptors of all granules, where a walk begins, faults with their syndromes.
// Reference: Arm ARM (DDI 0487), D8.2, D8.3, ESR_EL2, HPFAR_EL2, VTCR_EL2. Descriptor values are spelled out here.
import { describe, expect, it } from 'vitest';
import {
  decodeStage2Entry,
  decodeVtcr,
  type Granule,
  type Stage2Access,
  type Stage2Format,
  type Stage2Outcome,
  stage2MemoryType,
  walkStage2,
} from '../src/index.ts';
import { Words } from './support/tables.ts';

const F40: Stage2Format = { granule: '4K', ipaBits: 40, startLevel: 1 };
/** Valid; table or page; access flag; normal write-back; inner shareable. */
const TABLE = 3n;
const PAGE = 3n | (1n << 10n) | (0xfn << 2n) | (3n << 8n);
const BLOCK = PAGE & ~2n;
const R = 1n << 6n;
const W = 1n << 7n;
const XN = 1n << 54n;

const READ: Stage2Access = { kind: 'read' };
const WRITE: Stage2Access = { kind: 'write' };
const FETCH: Stage2Access = { kind: 'fetch' };

/** Tables whose entry for `ipa` at `level` is `leaf`; all bits of the index at the start, as concatenated tables have them. */
function tables(format: Stage2Format, ipa: bigint, level: number, leaf: bigint) {
  const memory = new Words();
  const page = { '4K': 12n, '16K': 14n, '64K': 16n }[format.granule];
  const shift = (l: number): bigint => page + BigInt(3 - l) * (page - 3n);
  let table = 0x4000_0000n;
  let [at, rest] = [0n, ipa];
  for (let l = format.startLevel; l <= level; l++) {
    at = table + (rest >> shift(l)) * 8n;
    rest &= (1n << shift(l)) - 1n;
    table = 0x5000_0000n + (BigInt(l) << 24n);
    memory.write(at, l === level ? leaf : table | TABLE);
  }
  return { memory, at, vttbr: 0x4000_0000n, format };
}
const status = (outcome: Stage2Outcome): number | undefined =>
  outcome.kind === 'fault' ? outcome.code : undefined;

describe('paging › arm64 stage 2', () => {
  describe('sizes: granule, level of the leaf, start, concatenation', () => {
    it.each<[Granule, number, number, number, bigint, number]>([
      // granule, IPA bits, start level, leaf level, size, references
      ['4K', 40, 1, 3, 1n << 12n, 3],
      ['4K', 40, 1, 2, 1n << 21n, 2],
      ['4K', 40, 1, 1, 1n << 30n, 1],
      ['4K', 48, 0, 3, 1n << 12n, 4],
      ['4K', 43, 1, 3, 1n << 12n, 3],
      ['4K', 34, 2, 3, 1n << 12n, 2],
      ['16K', 40, 1, 3, 1n << 14n, 3],
      ['16K', 40, 1, 2, 1n << 25n, 2],
      ['16K', 40, 2, 2, 1n << 25n, 1],
      ['64K', 42, 2, 3, 1n << 16n, 2],
      ['64K', 46, 2, 3, 1n << 16n, 2],
      ['64K', 40, 2, 2, 1n << 29n, 1],
    ])('%s, %i bits, from level %i to a leaf at level %i', (granule, ipaBits, startLevel, level, size, count) => {
      const format = { granule, ipaBits, startLevel };
      // The highest address that there is, so that every index is its largest.
      const ipa = (1n << BigInt(ipaBits)) - 0x55n;
      const frame = 0x2_0000_0000n & ~(size - 1n);
      const t = tables(format, ipa, level, frame | (level === 3 ? PAGE : BLOCK) | R);
      const { references, outcome } = walkStage2(t, ipa, READ);
      expect(references.length).toBe(count);
      expect(references.at(-1)?.at).toBe(t.at);
      expect(outcome).toMatchObject({ kind: 'ok', address: frame + (ipa % size), level, pageSize: size });
    });

    it.each<[string, Stage2Format]>([
      ['17 tables would be needed', { granule: '4K', ipaBits: 44, startLevel: 1 }],
      ['no bit is left for the first table', { granule: '4K', ipaBits: 30, startLevel: 1 }],
      ['64K has no level 0', { granule: '64K', ipaBits: 48, startLevel: 0 }],
    ])('%s: translation fault, level 0', (_row, format) => {
      expect(status(walkStage2({ vttbr: 0n, format, memory: new Words() }, 0n, READ).outcome)).toBe(0b000100);
    });

    it('an address beyond the width: the same', () => {
      const t = tables(F40, 0n, 3, PAGE | R);
      const { references, outcome } = walkStage2(t, 1n << 40n, READ);
      expect([references, status(outcome)]).toEqual([[], 0b000100]);
    });
  });

  describe('fault status', () => {
    it.each<[string, number, bigint, Stage2Access, number | undefined]>([
      ['invalid at level 1', 1, 0n, READ, 0b000101],
      ['invalid at level 2', 2, 0n, READ, 0b000110],
      ['invalid at level 3', 3, PAGE & ~1n, READ, 0b000111],
      ['a block descriptor at level 3', 3, BLOCK | R, READ, 0b000111],
      ['access flag clear, page', 3, (PAGE & ~0x400n) | R, READ, 0b001011],
      ['access flag clear, 2M block', 2, (BLOCK & ~0x400n) | R, READ, 0b001010],
      ['it comes before the permission', 3, PAGE & ~0x400n, READ, 0b001011],
      ['no access, read', 3, PAGE, READ, 0b001111],
      ['read-only, read', 3, PAGE | R, READ, undefined],
      ['read-only, write', 3, PAGE | R, WRITE, 0b001111],
      ['read-only, write, 1G block', 1, BLOCK | R, WRITE, 0b001101],
      ['read-write, write', 3, PAGE | R | W, WRITE, undefined],
      ['never executable', 3, PAGE | R | XN, FETCH, 0b001111],
      ['never executable, read', 3, PAGE | R | XN, READ, undefined],
      ['XN = 01: at EL0', 3, PAGE | R | (1n << 53n), { kind: 'fetch', user: true }, undefined],
      ['XN = 01: not at EL1', 3, PAGE | R | (1n << 53n), FETCH, 0b001111],
      ['XN = 11: at EL1', 3, PAGE | R | XN | (1n << 53n), FETCH, undefined],
      ['XN = 11: not at EL0', 3, PAGE | R | XN | (1n << 53n), { kind: 'fetch', user: true }, 0b001111],
      ['an output address beyond the width', 3, (1n << 44n) | PAGE | R, READ, 0b000011],
      ['a table beyond the width', 2, (1n << 44n) | TABLE, READ, 0b000010],
    ])('%s', (_row, level, leaf, access, code) => {
      const format = { ...F40, physicalBits: 44 };
      expect(
        status(walkStage2(tables(format, 0x1234_5678n, level, leaf), 0x1234_5678n, access).outcome),
      ).toBe(code);
    });
  });

  it('SL-18: a write-only entry is legal; a read faults with permission status', () => {
    const t = tables(F40, 0x5000n, 3, 0x9000n | PAGE | W);
    expect(decodeStage2Entry(0x9000n | PAGE | W, 3, F40)).toMatchObject({
      kind: 'page',
      read: false,
      write: true,
    });
    expect(walkStage2(t, 0x5123n, WRITE).outcome).toMatchObject({ kind: 'ok', address: 0x9123n });
    expect(status(walkStage2(t, 0x5123n, READ).outcome)).toBe(0b001111);
    expect(status(walkStage2(t, 0x5123n, { kind: 'read', stage1Walk: true }).outcome)).toBe(0b001111);
  });

  describe('what the hypervisor is told', () => {
    const fault = (leaf: bigint, access: Stage2Access) => {
      const { outcome } = walkStage2(tables(F40, 0xab_cdef_1000n, 3, leaf), 0xab_cdef_1234n, access);
      if (outcome.kind !== 'fault') throw new Error(outcome.kind);
      return outcome;
    };
    // Class (31:26), IL (25), ISV (24), SAS (23:22), SSE (21), SRT (20:16), SF (15), S1PTW (7), WnR (6), status.
    it.each<[string, Stage2Access, bigint]>([
      ['data, read', READ, (0x24n << 26n) | (1n << 25n) | 0b000111n],
      ['data, write', WRITE, (0x24n << 26n) | (1n << 25n) | (1n << 6n) | 0b000111n],
      ['fetch', FETCH, (0x20n << 26n) | (1n << 25n) | 0b000111n],
      [
        'a walk of stage 1',
        { kind: 'read', stage1Walk: true },
        (0x24n << 26n) | (1n << 25n) | (1n << 7n) | 0b000111n,
      ],
      [
        'with a syndrome: 4 bytes into register 3, sign-extended',
        { kind: 'read', transfer: { size: 4, register: 3, signExtend: true } },
        (0x24n << 26n) | (1n << 25n) | (1n << 24n) | (2n << 22n) | (1n << 21n) | (3n << 16n) | 0b000111n,
      ],
      [
        '8 bytes from register 30',
        { kind: 'write', transfer: { size: 8, register: 30 } },
        (0x24n << 26n) | (3n << 24n) | (3n << 22n) | (30n << 16n) | (1n << 15n) | (1n << 6n) | 0b000111n,
      ],
      [
        'a walk of stage 1 has none',
        { kind: 'read', stage1Walk: true, transfer: { size: 4, register: 3 } },
        (0x24n << 26n) | (1n << 25n) | (1n << 7n) | 0b000111n,
      ],
    ])('%s', (_row, access, esr) => {
      expect(fault(0n, access)).toMatchObject({ esr, hpfar: 0xabcdef10n << 0n });
    });

    it('HPFAR_EL2 is unknown after a permission fault, but not after one of a stage-1 walk', () => {
      expect(fault(PAGE, READ).hpfar).toBeUndefined();
      expect(fault(PAGE, { kind: 'read', stage1Walk: true }).hpfar).toBe(0xab_cdef_1n << 4n);
    });
  });

  describe('hardware management', () => {
    it('HA sets the access flag instead of a fault', () => {
      const t = tables({ ...F40, hardwareAccess: true }, 0n, 3, (PAGE & ~0x400n) | R);
      expect(walkStage2(t, 0n, READ).outcome.kind).toBe('ok');
      expect(t.memory.read(t.at)).toBe(PAGE | R);
    });

    it('HD makes a page writable whose DBM bit is set, at the first write', () => {
      const leaf = PAGE | R | (1n << 51n);
      const t = tables({ ...F40, hardwareAccess: true, hardwareDirty: true }, 0n, 3, leaf);
      walkStage2(t, 0n, READ);
      expect(t.memory.read(t.at)).toBe(leaf);
      expect(walkStage2(t, 0n, WRITE).references.at(-1)).toMatchObject({ value: leaf, after: leaf | W });
      expect(t.memory.read(t.at)).toBe(leaf | W);
      expect(status(walkStage2(tables(F40, 0n, 3, leaf), 0n, WRITE).outcome)).toBe(0b001111);
    });

    it('an entry that cannot be read or set ends the walk', () => {
      const t = tables({ ...F40, hardwareAccess: true }, 0n, 3, (PAGE & ~0x400n) | R);
      const stuck = { read: (at: bigint) => t.memory.read(at), write: () => false };
      expect(walkStage2({ ...t, memory: stuck }, 0n, READ).outcome).toEqual({ kind: 'unreadable', at: t.at });
      t.memory.broken.add(t.at);
      expect(walkStage2(t, 0n, READ).outcome).toEqual({ kind: 'unreadable', at: t.at });
    });
  });

  it.each<[Granule, number, number]>([
    ['4K', 3, 16],
    ['4K', 2, 16],
    ['16K', 3, 128],
    ['16K', 2, 32],
    ['64K', 3, 32],
    ['64K', 2, 32],
  ])('the contiguous bit, %s at level %i: a run of %i entries', (granule, level, run) => {
    const leaf = (level === 3 ? PAGE : BLOCK) | R;
    expect(decodeStage2Entry(leaf | (1n << 52n), level, { granule }).contiguous).toBe(run);
    expect(decodeStage2Entry(leaf, level, { granule }).contiguous).toBe(1);
  });

  it('a descriptor’s other fields', () => {
    const value = 0x1_2340_0000n | BLOCK | R | (1n << 51n) | (0b1010n << 55n);
    expect(decodeStage2Entry(value, 2, { granule: '4K' })).toEqual({
      level: 2,
      value,
      kind: 'block',
      address: 0x1_2340_0000n,
      read: true,
      write: false,
      executePrivileged: true,
      executeUser: true,
      memoryAttributes: 15,
      shareability: 3,
      accessFlag: true,
      dirtyModifier: true,
      contiguous: 1,
      software: 0b1010,
    });
    // A table has an address alone, whatever its other bits are; an invalid descriptor not even that.
    const all = (1n << 63n) - 1n;
    expect(decodeStage2Entry(all, 2, { granule: '4K' })).toEqual({
      level: 2,
      value: all,
      kind: 'table',
      address: 0xffff_ffff_f000n,
      read: false,
      write: false,
      executePrivileged: false,
      executeUser: false,
      memoryAttributes: 0,
      shareability: 0,
      accessFlag: false,
      dirtyModifier: false,
      contiguous: 1,
      software: 0,
    });
    expect(decodeStage2Entry(all - 1n, 2, { granule: '4K' })).toMatchObject({ kind: 'invalid', address: 0n });
    const noXnx = { granule: '4K', xnx: false } as const;
    expect(decodeStage2Entry(value | (1n << 53n), 2, noXnx).executePrivileged).toBe(true);
    expect(decodeStage2Entry(BLOCK | R, 0, { granule: '4K' }).kind).toBe('invalid');
    expect(decodeStage2Entry(BLOCK | R, 1, { granule: '16K' }).kind).toBe('invalid');
  });

  it.each([
    [0b0000, 'Device nGnRnE'],
    [0b0001, 'Device nGnRE'],
    [0b0101, 'Normal NC'],
    [0b1111, 'Normal WB'],
    [0b1110, 'Normal outer WB, inner WT'],
  ])('memory attributes %i: %s', (attributes, name) => {
    expect(stage2MemoryType(attributes)).toBe(name);
  });

  it.each<[string, bigint, Partial<Stage2Format>]>([
    [
      '4K, T0SZ 24, SL0 1: 40 bits from level 1',
      24n | (1n << 6n),
      { granule: '4K', ipaBits: 40, startLevel: 1 },
    ],
    ['4K, T0SZ 16, SL0 2', 16n | (2n << 6n), { ipaBits: 48, startLevel: 0 }],
    ['4K, SL0 0', 30n, { ipaBits: 34, startLevel: 2 }],
    ['16K, SL0 2', 24n | (2n << 6n) | (2n << 14n), { granule: '16K', startLevel: 1 }],
    ['64K, SL0 1', 22n | (1n << 6n) | (1n << 14n), { granule: '64K', startLevel: 2 }],
    [
      'PS 2, HA, HD',
      (2n << 16n) | (3n << 21n),
      { physicalBits: 40, hardwareAccess: true, hardwareDirty: true },
    ],
  ])('VTCR_EL2: %s', (_row, value, format) => {
    expect(decodeVtcr(value)).toMatchObject(format);
  });
});
