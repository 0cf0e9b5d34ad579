// EPT by the SDM: entries, misconfigurations, violations and their qualification, accessed and dirty bits, the log.
// Reference: Intel SDM vol. 3C, 29.3.2 to 29.3.6, table 28-7. Entry values are spelled out here.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  decodeEptEntry,
  decodeEptPointer,
  type EptFeatures,
  type EptOutcome,
  type EptWalk,
  PageModificationLog,
  type SlatAccess,
  walkEpt,
} from '../src/index.ts';
import { Words } from './support/tables.ts';

/** R W X; write-back (5:3 = 6). */
const TABLE = 7n;
const WB = 0x30n;
/** Bit 7: a leaf above level 1. */
const HUGE = 0x80n;
const READ: SlatAccess = { kind: 'read' };
const WRITE: SlatAccess = { kind: 'write' };
const FETCH: SlatAccess = { kind: 'fetch' };
const GUEST_TABLE: SlatAccess = { kind: 'read', pagingStructure: true };

/** Tables of 4 levels (write-back) in which `leaf` maps gpa at `level`; the levels above have the rights of `table`. */
function tables(
  gpa: bigint,
  level: number,
  leaf: bigint,
  table: (level: number) => bigint = () => TABLE,
  levels = 4,
) {
  const memory = new Words();
  const root = memory.table();
  const at = memory.map(root, levels, gpa, level, leaf, table);
  return { memory, at, eptp: root | BigInt((levels - 1) << 3) | 6n };
}
const AD = 1n << 6n;

function violation({ outcome }: EptWalk): number {
  if (outcome.kind !== 'violation') throw new Error(`ended in ${outcome.kind}`);
  return outcome.qualification;
}
const ends = ({ outcome }: EptWalk): EptOutcome['kind'] => outcome.kind;

describe('paging › EPT', () => {
  describe('SL-01: indices are the bit fields of the gpa, and the offset goes with the size', () => {
    // 47:39, 38:30, 29:21, 20:12
    it.each([
      [1, '4K', 0xabcn, [36, 209, 179, 393]],
      [2, '2M', 0x18_9abcn, [36, 209, 179]],
      [3, '1G', 0x1678_9abcn & 0x3fff_ffffn, [36, 209]],
    ])('leaf at level %i: %s', (level, _size, _offset, indices) => {
      const gpa = 0x1234_5678_9abcn;
      const size = 1n << BigInt(3 + 9 * level);
      const frame = 0x7_4000_0000n;
      const { memory, eptp } = tables(gpa, level, frame | WB | (level > 1 ? HUGE : 0n) | 7n);
      const { references, outcome } = walkEpt({ eptp, memory }, gpa, READ);
      expect(references.map((r) => Number((r.at & 0xfffn) / 8n))).toEqual(indices);
      expect(references.map((r) => r.level)).toEqual([4, 3, 2, 1].slice(0, indices.length));
      expect(outcome).toEqual({
        kind: 'ok',
        hpa: frame + (gpa % size),
        level,
        pageSize: size,
        memoryType: 6,
        ignorePat: false,
      });
    });

    it('five levels: 56:48 comes first', () => {
      const gpa = 0x0155_1234_5678_9abcn;
      const { memory, eptp } = tables(gpa, 1, 0x5000n | WB | 7n, () => TABLE, 5);
      const { references, outcome } = walkEpt({ eptp, memory }, gpa, READ);
      expect(references.map((r) => Number((r.at & 0xfffn) / 8n))).toEqual([0x155, 36, 209, 179, 393]);
      expect(outcome).toMatchObject({ kind: 'ok', hpa: 0x5abcn });
    });

    it.each([
      [4, 1n << 48n],
      [5, 1n << 57n],
    ])('%i levels do not reach %i: a violation without a reference', (levels, gpa) => {
      const { memory, eptp } = tables(0n, 1, 0x5000n | WB | 7n, () => TABLE, levels);
      const walk = walkEpt({ eptp, memory }, gpa, READ);
      expect([walk.references, ends(walk)]).toEqual([[], 'violation']);
    });
  });

  describe('SL-02: entries that are misconfigured', () => {
    const end = (leaf: bigint, level: number, features: EptFeatures = {}): EptOutcome['kind'] => {
      const { memory, eptp } = tables(0n, level, leaf, () => 0x407n);
      return ends(walkEpt({ eptp, memory, features }, 0n, FETCH));
    };
    it.each<[string, bigint, number, EptFeatures, EptOutcome['kind']]>([
      ['010b', 0x5032n, 1, {}, 'misconfiguration'],
      ['110b', 0x5036n, 1, {}, 'misconfiguration'],
      ['100b without execute-only', 0x5034n, 1, { executeOnly: false }, 'misconfiguration'],
      ['100b with execute-only', 0x5034n, 1, { executeOnly: true }, 'ok'],
      ['110b even with execute-only', 0x5036n, 1, { executeOnly: true }, 'misconfiguration'],
      ['memory type 2', 0x5017n, 1, {}, 'misconfiguration'],
      ['memory type 3', 0x501fn, 1, {}, 'misconfiguration'],
      ['memory type 7', 0x503fn, 1, {}, 'misconfiguration'],
      ['memory type 1', 0x500fn, 1, {}, 'ok'],
      ['bit 51 beyond a width of 51', (1n << 51n) | 0x37n, 1, { physicalBits: 51 }, 'misconfiguration'],
      ['bit 51 within a width of 52', (1n << 51n) | 0x37n, 1, { physicalBits: 52 }, 'ok'],
      ['bit 52 is ignored', (1n << 52n) | 0x37n, 1, { physicalBits: 40 }, 'ok'],
      ['2M leaf with bit 13', 0x20_20b7n, 2, {}, 'misconfiguration'],
      ['2M leaf with bit 21', 0x20_00b7n, 2, {}, 'ok'],
      ['1G leaf with bit 29', 0x2000_00b7n, 3, {}, 'misconfiguration'],
      ['1G leaf', 0x4000_00b7n, 3, {}, 'ok'],
      ['1G leaf where there are none', 0x4000_00b7n, 3, { pages1g: false }, 'misconfiguration'],
      ['bit 7 at level 4', 0x4000_0087n, 4, {}, 'misconfiguration'],
      ['bit 3 of a table entry', 0x4000_000fn, 2, {}, 'misconfiguration'],
      ['bit 6 of a table entry', 0x4000_0047n, 2, {}, 'misconfiguration'],
      ['bit 7 of a 4K leaf is ignored', 0x50b7n, 1, {}, 'ok'],
      ['000b with anything else', 0x000f_ffff_ffff_fff8n, 1, { physicalBits: 40 }, 'violation'],
      ['bit 10 alone without mode-based execute', 0x5430n, 1, {}, 'violation'],
      ['bit 10 alone with it', 0x5430n, 1, { modeBasedExecute: true }, 'ok'],
      [
        'bit 10 alone, no execute-only',
        0x5430n,
        1,
        { modeBasedExecute: true, executeOnly: false },
        'misconfiguration',
      ],
    ])('%s', (_row, leaf, level, features, kind) => {
      expect(end(leaf, level, features)).toBe(kind);
    });

    it('is found before a permission above it is missed, and below an absent entry is not looked at', () => {
      const noWrite = tables(0n, 1, 0x5032n, (level) => (level === 3 ? 5n : 7n));
      expect(walkEpt(noWrite, 0n, WRITE).outcome).toEqual({
        kind: 'misconfiguration',
        exit: 49,
        level: 1,
        why: 'writable but not readable',
      });
      const absent = tables(0n, 1, 0x5032n, (level) => (level === 3 ? 0n : 7n));
      expect(walkEpt(absent, 0n, WRITE).outcome).toMatchObject({ kind: 'violation', exit: 48, level: 3 });
    });
  });

  describe('SL-03: qualification bits 0 to 5', () => {
    const ACCESSES = [
      ['read', READ, 1, 1],
      ['write', WRITE, 2, 2],
      ['fetch', FETCH, 4, 4],
    ] as const;
    // At each of the levels one entry has these rights; all others have R W X. Rights are bits 2:0, so also bits 5:3.
    const RIGHTS = [
      ['R', 1],
      ['RW', 3],
      ['RX', 5],
      ['RWX', 7],
      ['X', 4],
      ['absent', 0],
    ] as const;
    const rows = ACCESSES.flatMap(([name, access, bit, right]) =>
      RIGHTS.flatMap(([rightsName, rights]) =>
        [4, 3, 2, 1].map((at) => [name, rightsName, at, access, bit, right, rights] as const),
      ),
    );
    it.each(rows)('%s against %s at level %i', (_name, _rights, level, access, bit, right, rights) => {
      const r = BigInt(rights);
      const { memory, eptp } = tables(0x5000n, 1, 0x9000n | WB | (level === 1 ? r : 7n), (l) =>
        l === level ? r : 7n,
      );
      const walk = walkEpt({ eptp, memory }, 0x5123n, access);
      if ((rights & right) !== 0) expect(walk.outcome).toMatchObject({ kind: 'ok', hpa: 0x9123n });
      // Bits 7 and 8: the linear address is valid, and this is its translation.
      else expect(violation(walk)).toBe(bit | (rights << 3) | 0x180);
      expect(walk.references.length).toBe(rights === 0 ? 5 - level : 4);
    });
  });

  describe('SL-04: the processor reads the guest’s tables where nothing is mapped', () => {
    it.each([
      ['accessed and dirty bits off: a read', 0n, 0x81],
      ['accessed and dirty bits on: read and write', AD, 0x83],
    ])('%s', (_row, ad, qualification) => {
      const { memory, eptp } = tables(0n, 1, 0n);
      expect(violation(walkEpt({ eptp: eptp | ad, memory }, 0n, GUEST_TABLE))).toBe(qualification);
    });

    it('a write there, as of an accessed bit: bit 0 only with accessed and dirty bits on', () => {
      const { memory, eptp } = tables(0n, 1, 0n);
      const access: SlatAccess = { kind: 'write', pagingStructure: true };
      expect(violation(walkEpt({ eptp, memory }, 0n, access))).toBe(0x82);
      expect(violation(walkEpt({ eptp: eptp | AD, memory }, 0n, access))).toBe(0x83);
      expect(violation(walkEpt({ eptp: eptp | AD, memory }, 0n, WRITE))).toBe(0x182);
    });

    it('with them on, a read-only page is not enough for a table, and its dirty bit is set', () => {
      const readOnly = tables(0n, 1, 0x5000n | WB | 5n);
      expect(ends(walkEpt(readOnly, 0n, GUEST_TABLE))).toBe('ok');
      // R and X over all entries: 5 in bits 5:3.
      expect(violation(walkEpt({ ...readOnly, eptp: readOnly.eptp | AD }, 0n, GUEST_TABLE))).toBe(
        0x83 | (5 << 3),
      );
      const writable = tables(0n, 1, 0x5000n | WB | 7n);
      walkEpt({ ...writable, eptp: writable.eptp | AD }, 0n, GUEST_TABLE);
      expect(writable.memory.read(writable.at)).toBe(0x5000n | WB | 7n | 0x300n);
    });
  });

  it('SL-05: W at level 1 but not at level 3 is a write violation with bit 4 clear', () => {
    const { memory, eptp } = tables(0n, 1, 0x5000n | WB | 7n, (level) => (level === 3 ? 5n : 7n));
    expect(violation(walkEpt({ eptp, memory }, 0n, WRITE))).toBe(0b10 | (0b101 << 3) | 0x180);
    expect(ends(walkEpt({ eptp, memory }, 0n, READ))).toBe('ok');
  });

  describe('qualification bits 6 to 11', () => {
    const linear = { user: true, writable: true, executeDisable: true };
    const kernel = { user: false, writable: false, executeDisable: false };
    // The leaf allows user fetches (bit 10) and reads.
    it.each<[string, EptFeatures, SlatAccess, number]>([
      ['neither feature', {}, { kind: 'write', linear }, 0x18a],
      ['mode-based execute: bit 6', { modeBasedExecute: true }, { kind: 'write', linear }, 0x1ca],
      ['advanced information: bits 9 to 11', { advancedInfo: true }, { kind: 'write', linear }, 0xf8a],
      ['of a kernel page', { advancedInfo: true }, { kind: 'write', linear: kernel }, 0x18a],
      ['guest paging off: user, writable, executable', { advancedInfo: true }, { kind: 'write' }, 0x78a],
      [
        'not for guest tables',
        { advancedInfo: true },
        { kind: 'write', linear, pagingStructure: true },
        0x8a,
      ],
      [
        'no linear address: bit 7 clear, and so 8',
        { advancedInfo: true },
        { kind: 'write', linearValid: false },
        0x0a,
      ],
    ])('%s', (_row, features, access, qualification) => {
      const { memory, eptp } = tables(0n, 1, 0x5000n | WB | 0x401n, () => 0x407n);
      expect(violation(walkEpt({ eptp, memory, features }, 0n, access))).toBe(qualification);
    });

    it.each([
      ['supervisor, bit 2', kernel, 0x5034n, 'ok'],
      ['supervisor, bit 10', kernel, 0x5431n, 'violation'],
      ['user, bit 2', linear, 0x5035n, 'violation'],
      ['user, bit 10', linear, 0x5431n, 'ok'],
    ])('mode-based execute: a fetch by the %s', (_row, rights, leaf, kind) => {
      const { memory, eptp } = tables(0n, 1, leaf, () => 0x407n);
      const features = { modeBasedExecute: true };
      expect(ends(walkEpt({ eptp, memory, features }, 0n, { kind: 'fetch', linear: rights }))).toBe(kind);
    });
  });

  describe('SL-07: accessed and dirty bits of a 2M page', () => {
    it('a read sets A in levels 4, 3 and 2; D comes with the write', () => {
      const { memory, at, eptp } = tables(0x20_0000n, 2, 0x60_0000n | WB | HUGE | 7n);
      const read = walkEpt({ eptp: eptp | AD, memory }, 0x20_0000n, READ);
      expect(read.references.map((r) => r.after & ~r.value)).toEqual([0x100n, 0x100n, 0x100n]);
      expect(read.references.map((r) => memory.read(r.at))).toEqual(read.references.map((r) => r.after));
      expect(decodeEptEntry(memory.read(at) ?? 0n, 2)).toMatchObject({ accessed: true, dirty: false });
      const write = walkEpt({ eptp: eptp | AD, memory }, 0x3f_ffffn, WRITE);
      expect(write.references.map((r) => r.after & ~r.value)).toEqual([0n, 0n, 0x200n]);
      expect(decodeEptEntry(memory.read(at) ?? 0n, 2)).toMatchObject({ accessed: true, dirty: true });
      const again = walkEpt({ eptp: eptp | AD, memory }, 0x20_0000n, WRITE);
      expect(again.references.every((r) => r.after === r.value)).toBe(true);
    });

    it('nothing is set with EPTP bit 6 clear, nor in the leaf of a violation', () => {
      const { memory, at, eptp } = tables(0n, 1, 0x5000n | WB | 5n);
      walkEpt({ eptp, memory }, 0n, READ);
      expect(memory.read(at)).toBe(0x5000n | WB | 5n);
      const refused = walkEpt({ eptp: eptp | AD, memory }, 0n, WRITE);
      expect(refused.references.map((r) => r.after & ~r.value)).toEqual([0x100n, 0x100n, 0x100n, 0n]);
    });

    it('a memory without `write` is only looked at: the bits are told, not kept', () => {
      const { memory, at, eptp } = tables(0n, 1, 0x5000n | WB | 7n);
      const look = { read: (from: bigint) => memory.read(from) };
      const { references } = walkEpt({ eptp: eptp | AD, memory: look }, 0n, WRITE);
      expect(references.at(-1)?.after).toBe(0x5000n | WB | 7n | 0x300n);
      expect(memory.read(at)).toBe(0x5000n | WB | 7n);
    });
  });

  describe('SL-08: page-modification log', () => {
    /** Pages 0 … n − 1 mapped at level 1. */
    const pages = (n: number) => {
      const memory = new Words();
      const root = memory.table();
      for (let i = 0n; i < n; i++)
        memory.map(root, 4, i << 12n, 1, 0x100_0000n | (i << 12n) | WB | 7n, () => TABLE);
      return { memory, eptp: root | 0x1en | AD, log: new PageModificationLog() };
    };

    it('513 first writes: the 513th ends in exit 62, and happens once the log was emptied', () => {
      const t = pages(513);
      for (let i = 0n; i < 512n; i++) expect(ends(walkEpt(t, (i << 12n) | 0x123n, WRITE))).toBe('ok');
      expect(t.log.index).toBe(0xffff);
      const last = walkEpt(t, 512n << 12n, WRITE);
      // The level-2 entry is another one than before: its A bit is the first that would have to be set.
      expect(last.outcome).toEqual({ kind: 'log-full', exit: 62, level: 2 });
      expect(last.references.every((r) => r.after === r.value)).toBe(true);
      expect(t.log.drain()).toEqual(Array.from({ length: 512 }, (_, i) => BigInt(i) << 12n));
      expect(ends(walkEpt(t, 512n << 12n, WRITE))).toBe('ok');
      expect(t.log.drain()).toEqual([512n << 12n]);
    });

    it('fills its page from the last entry down', () => {
      const t = pages(2);
      for (const gpa of [0x1000n, 0n]) walkEpt(t, gpa, WRITE);
      expect([t.log.page[511], t.log.page[510], t.log.index]).toEqual([0x1000n, 0n, 509]);
    });

    it('takes a page once until its D bit is cleared, and no reads', () => {
      const t = pages(2);
      walkEpt(t, 0x1000n, READ);
      walkEpt(t, 0x1fffn, WRITE);
      walkEpt(t, 0x1000n, WRITE);
      expect(t.log.drain()).toEqual([0x1000n]);
      const at = walkEpt(t, 0x1000n, READ).references.at(-1)?.at ?? 0n;
      t.memory.write(at, (t.memory.read(at) ?? 0n) & ~0x200n);
      walkEpt(t, 0x1000n, WRITE);
      expect(t.log.drain()).toEqual([0x1000n]);
    });

    it('takes the pages of the guest’s tables too', () => {
      const t = pages(2);
      walkEpt(t, 0x1008n, GUEST_TABLE);
      expect(t.log.drain()).toEqual([0x1000n]);
    });

    it('full, it stops a read that would set an accessed bit, and lets one pass that sets none', () => {
      const t = pages(2);
      walkEpt(t, 0n, READ);
      t.log.index = 0xffff;
      expect(ends(walkEpt(t, 0n, READ))).toBe('ok');
      expect(ends(walkEpt(t, 0x1000n, READ))).toBe('log-full');
    });
  });

  it('an entry that cannot be read, or set, ends the walk', () => {
    const { memory, at, eptp } = tables(0n, 1, 0x5000n | WB | 7n);
    const stuck = { read: (from: bigint) => memory.read(from), write: () => false };
    expect(walkEpt({ eptp: eptp | AD, memory: stuck }, 0n, READ).outcome).toEqual({
      kind: 'unreadable',
      at: eptp & ~0xfffn,
    });
    memory.broken.add(at);
    expect(walkEpt({ eptp, memory }, 0n, READ).outcome).toEqual({ kind: 'unreadable', at });
  });

  it.each([
    [
      0x5000_001en,
      { memoryType: 6, levels: 4, accessedDirty: false, root: 0x5000_0000n, invalid: undefined },
    ],
    [0x5000_002en, { invalid: 'a walk of 6 levels' }],
    [0x5000_005en, { accessedDirty: true, invalid: undefined }],
    [0x5000_009en, { shadowStack: true }],
    [0x5000_0026n, { levels: 5, invalid: undefined }],
    [0x5000_0018n, { memoryType: 0, invalid: undefined }],
    [0x5000_001cn, { invalid: 'memory type 4 of the tables' }],
    [0x5000_0016n, { invalid: 'a walk of 3 levels' }],
    [0x5000_011en, { invalid: 'reserved bits set' }],
    [0x8_0000_0000_001en, { invalid: 'reserved bits set' }],
  ])('EPTP %i', (value, fields) => {
    const physicalBits = value === 0x8_0000_0000_001en ? 51 : 52;
    expect(decodeEptPointer(value, { physicalBits })).toMatchObject(fields);
  });

  it('each bit of a leaf is told by one field', () => {
    const names: readonly (readonly [number, string])[] = [
      [0, 'read'],
      [1, 'write'],
      [2, 'execute'],
      [6, 'ignorePat'],
      [8, 'accessed'],
      [9, 'dirty'],
      [10, 'userExecute'],
      [57, 'verifyGuestPaging'],
      [58, 'pagingWrite'],
      [60, 'supervisorShadowStack'],
      [61, 'subPageWrite'],
      [63, 'suppressVe'],
    ];
    for (const [bit, name] of names) {
      const set = Object.entries(decodeEptEntry(1n << BigInt(bit), 1)).filter(([, v]) => v === true);
      expect(set.map(([key]) => key).filter((key) => key !== 'present' && key !== 'leaf')).toEqual([name]);
    }
  });

  it('any tables: the walk ends, uses no more entries than levels, and sets bits only if it may', () => {
    const word = fc.bigInt({ min: 0n, max: (1n << 64n) - 1n });
    fc.assert(
      fc.property(
        fc.array(word, { minLength: 5, maxLength: 5 }),
        fc.constantFrom<SlatAccess>(READ, WRITE, FETCH, GUEST_TABLE),
        fc.boolean(),
        fc.boolean(),
        fc.constantFrom(4, 5),
        (values, access, ad, modeBasedExecute, levels) => {
          let n = 0;
          const written: bigint[] = [];
          const memory = {
            read: () => values[n++],
            write: (_at: bigint, value: bigint) => written.push(value) > 0,
          };
          const eptp = 0x1000n | BigInt((levels - 1) << 3) | 6n | (ad ? AD : 0n);
          const { references, outcome } = walkEpt(
            { eptp, memory, features: { modeBasedExecute } },
            0x1234_5678n,
            access,
          );
          expect(references.length).toBeLessThanOrEqual(levels);
          const changed = references.filter((r) => r.after !== r.value);
          expect(changed.map((r) => r.after)).toEqual(written);
          for (const r of changed) {
            expect(ad).toBe(true);
            expect((r.after ^ r.value) & ~0x300n).toBe(0n);
          }
          if (outcome.kind === 'ok')
            expect(outcome.hpa & (outcome.pageSize - 1n)).toBe(0x1234_5678n & (outcome.pageSize - 1n));
        },
      ),
      { numRuns: 2000 },
    );
  });
});
