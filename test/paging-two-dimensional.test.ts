// Two-dimensional walks: how many references, in which order, and what ends them; guest tables behind EPT and behind NPT.
// Reference: Bhargava et al., ASPLOS 2008 (24 references for 4 × 4 levels). Both kinds of tables lie in one memory here.
import { describe, expect, it } from 'vitest';
import {
  type EptStop,
  type GuestAccess,
  type GuestMemory,
  type GuestPaging,
  type NptStop,
  PageModificationLog,
  referenceCount,
  referencesInOrder,
  throughSlat,
  walkEpt,
  walkNpt,
  walkTwoDimensional,
  withoutSlat,
} from '../src/index.ts';
import { Words } from './support/tables.ts';

/** gpa = hpa − SHIFT, so that no address is right by chance. 1 GiB aligned, for leaves of that size. */
const SHIFT = 0x40_0000_0000n;
const GIB = 1n << 30n;
const GVA = 0x12_3456_7abcn;
/** The guest's page, at a gpa that is aligned like the gva in 1 GiB. */
const TARGET = 0x1_0000_0000n + (GVA % GIB);
const P_RW_US = 7n;

interface Shape {
  readonly guest: 4 | 5 | 0;
  /** Level of the guest's leaf. */
  readonly leaf?: 1 | 2 | 3;
  readonly slat: 4 | 5;
  readonly slatLeaf?: 1 | 2 | 3;
}

/** Guest tables from gpa 2 GiB on, of `guest` levels, and a SLAT over the first 16 GiB that lets each byte be read. */
function machine({ guest, leaf = 1, slat, slatLeaf = 1 }: Shape, format: 'ept' | 'npt' = 'ept', ad = false) {
  const memory = new Words(0x1000_0000_0000n);
  const tables = new Words(0x8000_0000n);
  let paging: GuestPaging = {};
  if (guest !== 0) {
    const cr3 = tables.table();
    const size = 1n << BigInt(3 + 9 * leaf);
    const frame = TARGET & ~(size - 1n);
    tables.map(cr3, guest, GVA, leaf, frame | P_RW_US | (leaf > 1 ? 0x80n : 0n), () => P_RW_US);
    paging = { cr3, levels: guest };
  }
  for (const [gpa, value] of tables.words) memory.write(gpa + SHIFT, value);
  const root = memory.table();
  // Entries are for what is used: the pages of the guest's tables and of the target.
  const target = guest === 0 ? GVA : TARGET;
  for (const gpa of [...tables.tables, target]) {
    const size = 1n << BigInt(3 + 9 * slatLeaf);
    const leafBits = format === 'ept' ? 0x37n : 7n;
    const huge = slatLeaf > 1 ? 0x80n : 0n;
    memory.map(root, slat, gpa, slatLeaf, ((gpa + SHIFT) & ~(size - 1n)) | leafBits | huge, () => 7n);
  }
  const eptp = root | BigInt((slat - 1) << 3) | 6n | (ad ? 0x40n : 0n);
  const log = new PageModificationLog();
  const door: GuestMemory<EptStop | NptStop> =
    format === 'ept'
      ? throughSlat((gpa, access) => walkEpt({ eptp, memory, log }, gpa, access), memory)
      : throughSlat((gpa, access) => walkNpt({ ncr3: root, levels: slat, memory }, gpa, access), memory);
  return { memory, tables, root, eptp, log, paging, door, target };
}
const READ: GuestAccess = { kind: 'read' };

describe('paging › two dimensions', () => {
  describe('SL-06: references', () => {
    it.each<[string, Shape, number]>([
      ['4 × 4', { guest: 4, slat: 4 }, 24],
      ['4 × 5', { guest: 4, slat: 5 }, 29],
      ['5 × 5', { guest: 5, slat: 5 }, 35],
      ['guest 2M × SLAT 4K', { guest: 4, leaf: 2, slat: 4 }, 19],
      ['guest 4K × SLAT 2M', { guest: 4, slat: 4, slatLeaf: 2 }, 19],
      ['2M × 2M', { guest: 4, leaf: 2, slat: 4, slatLeaf: 2 }, 15],
      ['1G × 1G', { guest: 4, leaf: 3, slat: 4, slatLeaf: 3 }, 8],
      ['guest paging off × 4', { guest: 0, slat: 4 }, 4],
    ])('%s', (_row, shape, count) => {
      const levels = (top: number, leaf = 1): number => (top === 0 ? 0 : top - leaf + 1);
      expect(referenceCount(levels(shape.guest, shape.leaf), levels(shape.slat, shape.slatLeaf))).toBe(count);
      for (const format of ['ept', 'npt'] as const) {
        const { paging, door, target } = machine(shape, format);
        const walk = walkTwoDimensional(paging, door, GVA, READ);
        expect(referencesInOrder(walk, shape.guest).length).toBe(count);
        expect(walk.outcome).toMatchObject({ kind: 'ok', gpa: target, hpa: target + SHIFT });
      }
    });

    it.each([
      ['native 4', 4, 4],
      ['native 5', 5, 5],
      ['4 × 0: tables that a hypervisor shadows', 4, 4],
    ] as const)('%s', (_row, levels, count) => {
      const { memory, paging } = machine({ guest: levels, slat: 4 });
      // The same tables, where the gpa is the hpa.
      const native = { read: (at: bigint) => memory.read(at + SHIFT) };
      const walk = walkTwoDimensional(paging, withoutSlat(native), GVA, READ);
      expect(referencesInOrder(walk, levels).length).toBe(count);
      expect(referenceCount(levels, 0)).toBe(count);
      expect(walk.outcome).toEqual({ kind: 'ok', gpa: TARGET, hpa: TARGET, pageSize: 4096n });
    });
  });

  it('4 × 4, in order: four of the SLAT and one of the guest at each level, then four for the page', () => {
    const { paging, door, memory } = machine({ guest: 4, slat: 4 });
    const walk = walkTwoDimensional(paging, door, GVA, READ);
    const order = referencesInOrder(walk, 4);
    expect(order.map((r) => `${r.dimension[0]}${r.guestLevel}${r.level}`).join(' ')).toBe(
      's44 s43 s42 s41 g44 s34 s33 s32 s31 g33 s24 s23 s22 s21 g22 s14 s13 s12 s11 g11 s04 s03 s02 s01',
    );
    for (const { dimension, at, value } of order) {
      expect(memory.read(dimension === 'guest' ? at + SHIFT : at)).toBe(
        dimension === 'guest' ? value | 0x20n : value,
      );
    }
    expect(walk.steps.map((s) => s.entry?.hpa)).toEqual(walk.steps.map((s) => s.gpa + SHIFT));
  });

  it.each([
    [1, 1, 0x1000n],
    [2, 1, 0x1000n],
    [1, 2, 0x1000n],
    [2, 2, 0x20_0000n],
    [3, 2, 0x20_0000n],
    [2, 3, 0x20_0000n],
    [3, 3, 0x4000_0000n],
  ] as const)('guest leaf %i, SLAT leaf %i: a TLB entry has the smaller size', (leaf, slatLeaf, pageSize) => {
    const { paging, door } = machine({ guest: 4, leaf, slat: 4, slatLeaf });
    expect(walkTwoDimensional(paging, door, GVA, READ).outcome).toMatchObject({ kind: 'ok', pageSize });
  });

  it('SLAT accessed and dirty bits: of the page by the access, of the guest’s tables always both; the log has them', () => {
    const { paging, door, log, tables, memory } = machine({ guest: 4, slat: 4 }, 'ept', true);
    const walk = walkTwoDimensional(paging, door, GVA, READ);
    expect(walk.outcome.kind).toBe('ok');
    const leafBits = walk.steps.map((s) => (s.slat.at(-1)?.after ?? 0n) & 0x300n);
    expect(leafBits).toEqual([0x300n, 0x300n, 0x300n, 0x300n]);
    expect((walk.final?.slat.at(-1)?.after ?? 0n) & 0x300n).toBe(0x100n);
    expect(log.drain()).toEqual(tables.tables);
    walkTwoDimensional(paging, door, GVA, { kind: 'write' });
    expect(log.drain()).toEqual([TARGET & ~4095n]);
    expect(memory.read((walk.steps.at(-1)?.entry?.hpa ?? 0n) as bigint)).toBe((TARGET & ~4095n) | 0x67n);
  });

  describe('what ends a walk', () => {
    const unmap = (m: ReturnType<typeof machine>, gpa: bigint, leaf = 0n): void =>
      void m.memory.map(m.root, 4, gpa, 1, leaf, () => 7n);
    const stop = (m: ReturnType<typeof machine>, access = READ) => {
      const { outcome, ...rest } = walkTwoDimensional(m.paging, m.door, GVA, access);
      return { ...rest, outcome: outcome as { kind: 'stop'; at: string; gpa: bigint; stop: EptStop } };
    };

    it('SL-04: an entry of the guest’s tables is at an unmapped gpa: bit 7 = 1, bit 8 = 0', () => {
      const m = machine({ guest: 4, slat: 4 });
      const third = m.tables.tables[2] as bigint;
      unmap(m, third);
      const { steps, final, outcome } = stop(m);
      expect([steps.length, steps.at(-1)?.entry, final]).toEqual([3, undefined, undefined]);
      expect(outcome).toMatchObject({
        kind: 'stop',
        at: 'table',
        stop: { kind: 'violation', qualification: 0x81 },
      });
      expect(outcome.gpa & ~4095n).toBe(third);
    });

    it('SL-04: with accessed and dirty bits on, bits 0 and 1 are both set', () => {
      const m = machine({ guest: 4, slat: 4 }, 'ept', true);
      unmap(m, m.tables.tables[0] as bigint);
      expect(stop(m).outcome.stop).toMatchObject({ kind: 'violation', qualification: 0x83 });
    });

    it('the page itself is not mapped: bit 8 = 1', () => {
      const m = machine({ guest: 4, slat: 4 });
      unmap(m, TARGET);
      const { steps, final, outcome } = stop(m, { kind: 'write' });
      expect([steps.length, final?.slat.length]).toEqual([4, 4]);
      expect(outcome).toMatchObject({
        at: 'page',
        gpa: TARGET,
        stop: { kind: 'violation', qualification: 0x182 },
      });
    });

    it('the guest’s tables in read-only memory: its accessed bit cannot be set', () => {
      const m = machine({ guest: 4, slat: 4 });
      const top = m.tables.tables[0] as bigint;
      unmap(m, top, (top + SHIFT) | 0x35n);
      // A write to a guest table (bits 1, 7), readable and executable (3, 5).
      expect(stop(m).outcome).toMatchObject({
        at: 'table',
        stop: { kind: 'violation', qualification: 0xaa },
      });
      // Where all accessed bits are set, nothing is written.
      for (const t of m.tables.words.keys())
        m.memory.write(t + SHIFT, (m.memory.read(t + SHIFT) ?? 0n) | 0x20n);
      expect(stop(m).outcome.kind).toBe('ok');
    });

    it('a misconfigured entry', () => {
      const m = machine({ guest: 4, slat: 4 });
      unmap(m, TARGET, 0x32n);
      expect(stop(m).outcome.stop).toMatchObject({ kind: 'misconfiguration', exit: 49, level: 1 });
    });

    it('the page-modification log is full', () => {
      const m = machine({ guest: 4, slat: 4 }, 'ept', true);
      m.log.index = 0xffff;
      expect(stop(m).outcome).toMatchObject({ at: 'table', stop: { kind: 'log-full', exit: 62 } });
    });

    it('the guest’s own fault is no exit, and the page is not looked for', () => {
      const m = machine({ guest: 4, slat: 4 });
      const last = (m.tables.tables[3] as bigint) + ((GVA >> 12n) & 511n) * 8n;
      m.memory.write(last + SHIFT, 0n);
      const { steps, final, outcome } = walkTwoDimensional(m.paging, m.door, GVA, {
        kind: 'write',
        user: true,
      });
      expect([steps.length, final]).toEqual([4, undefined]);
      expect(outcome).toEqual({ kind: 'guest-fault', fault: { vector: 14, errorCode: 6, address: GVA } });
    });

    it('memory that cannot be read behind the SLAT', () => {
      const m = machine({ guest: 4, slat: 4 });
      const top = (m.tables.tables[0] as bigint) + ((GVA >> 39n) & 511n) * 8n;
      m.memory.broken.add(top + SHIFT);
      expect(stop(m).outcome).toMatchObject({
        at: 'table',
        gpa: top,
        stop: { kind: 'unreadable', at: top + SHIFT },
      });
    });

    it('NPT: a fault on the guest’s tables sets bit 33 and counts as a write, one on the page bit 32', () => {
      const m = machine({ guest: 4, slat: 4 }, 'npt');
      unmap(m, TARGET);
      expect(stop(m).outcome.stop).toMatchObject({ exit: 0x400, info1: (1n << 32n) | 4n });
      unmap(m, m.tables.tables[1] as bigint);
      expect(stop(m).outcome.stop).toMatchObject({ exit: 0x400, info1: (1n << 33n) | 6n });
    });
  });
});
