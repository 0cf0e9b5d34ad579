// A vCPU with paging on: gva → gpa by the guest's own tables, gpa → hpa by the SLAT, and how accesses end on the way.
// Reference: Intel SDM vol. 3A, 4.5 to 4.8, vol. 3C, 29.3; guest entries are spelled out here.
import { describe, expect, it } from 'vitest';
import {
  type Exit,
  type GuestPageSize,
  referencesInOrder,
  VirtualCpu,
  type VirtualWalk,
  type Vm,
} from '../src/index.ts';
import { done, efault, mmio, ones, protect } from './support/accesses.ts';
import { BUILDS, GIB, hvaAt, letters, MIB, machine, PAGE } from './support/machines.ts';

const MMIO = BigInt(3 * GIB);
/** The guest's tables. */
const TABLES = BigInt(16 * MIB);
/** A linear address that has little to do with where its page is. */
const GVA = 0x7fff_1234_5000n;
const GPA = 0x20_3000n;

/** Tables of 4 levels that map one page at GVA. */
function onePage(vm: Vm, rights: { write?: boolean; user?: boolean; execute?: boolean } = {}) {
  const tables = vm.guest.pageTables({ at: TABLES });
  expect(tables.map({ gva: GVA, gpa: GPA, len: PAGE, ...rights })).toBeUndefined();
  return { tables, cpu: vm.guest.virtual({ cr3: tables.cr3 }) };
}
const entryOf = (vm: Vm, level: number): bigint => {
  const at = TABLES + BigInt(4 - level) * 4096n + ((GVA >> BigInt(3 + 9 * level)) & 511n) * 8n;
  const entry = vm.guest.load(at, 8);
  return entry.ok ? entry.value : -1n;
};
const count = (walk: VirtualWalk, levels = 4): number => referencesInOrder(walk, levels).length;

describe.each(BUILDS)('virtual › %s', (_name, build) => {
  describe('accesses', () => {
    it.each([1, 2, 4, 8] as const)('a store of %i bytes is at the gpa that the tables say', async (size) => {
      const vm = await machine(build);
      const { cpu } = onePage(vm);
      const value = 0x8877665544332211n & ((1n << BigInt(8 * size)) - 1n);
      expect(cpu.store(GVA + 0x10n, size, 0x8877665544332211n)).toEqual({ ...done(), gpa: GPA + 0x10n });
      expect(cpu.load(GVA + 0x10n, size)).toEqual({ ...done(value), gpa: GPA + 0x10n });
      expect(vm.guest.load(GPA + 0x10n, 8)).toEqual(done(value));
    });

    it('paging off: as at guest-physical addresses', async () => {
      const vm = await machine(build);
      const cpu = vm.guest.virtual();
      expect(cpu.store(0x5000n, 8, 7)).toEqual({ ...done(), gpa: 0x5000n });
      expect(vm.guest.load(0x5000n, 8)).toEqual(done(7n));
      const walk = cpu.translate(0x5000n, { kind: 'read' });
      expect([count(walk, 0), walk.steps]).toEqual([4, []]);
    });

    it('accessed and dirty bits of the guest: A with the first access, D with the first write', async () => {
      const vm = await machine(build);
      const { cpu } = onePage(vm);
      expect([4, 3, 2, 1].map((l) => entryOf(vm, l) & 0xfffn)).toEqual([7n, 7n, 7n, 7n]);
      cpu.load(GVA, 1);
      expect([4, 3, 2, 1].map((l) => entryOf(vm, l) & 0xfffn)).toEqual([0x27n, 0x27n, 0x27n, 0x27n]);
      cpu.store(GVA, 1, 1);
      expect([4, 3, 2, 1].map((l) => entryOf(vm, l) & 0xfffn)).toEqual([0x27n, 0x27n, 0x27n, 0x67n]);
    });

    it('each vCPU has tables of its own', async () => {
      const vm = await machine(build, { cpus: 2 });
      const a = vm.guest.pageTables({ at: TABLES });
      a.map({ gva: 0n, gpa: 0x1000n, len: PAGE });
      const b = vm.guest.pageTables({ at: a.end, cpu: 1 });
      b.map({ gva: 0n, gpa: 0x2000n, len: PAGE });
      vm.guest.virtual({ cr3: a.cr3 }).store(0n, 1, 1);
      vm.guest.virtual({ cr3: b.cr3, cpu: 1 }).store(0n, 1, 2);
      expect([0x1000n, 0x2000n].map((gpa) => vm.guest.load(gpa, 1))).toEqual([done(1n), done(2n)]);
    });
  });

  describe('page faults are the guest’s', () => {
    it.each([
      [
        'not mapped',
        {},
        (vm: Vm, cr3: bigint) => vm.guest.virtual({ cr3 }).load(GVA + 0x1000n, 1),
        0,
        GVA + 0x1000n,
      ],
      [
        'user write to a read-only page',
        { write: false },
        (vm: Vm, cr3: bigint) => vm.guest.virtual({ cr3 }).store(GVA, 8, 1, { user: true }),
        7,
        GVA,
      ],
      [
        'user read of a kernel page',
        { user: false },
        (vm: Vm, cr3: bigint) => vm.guest.virtual({ cr3 }).load(GVA, 8, { user: true }),
        5,
        GVA,
      ],
      [
        'fetch from a page that is not executable',
        { execute: false },
        (vm: Vm, cr3: bigint) => vm.guest.virtual({ cr3 }).fetch(GVA),
        17,
        GVA,
      ],
      [
        'kernel fetch from a user page, SMEP',
        {},
        (vm: Vm, cr3: bigint) => vm.guest.virtual({ cr3, smep: true }).fetch(GVA),
        17,
        GVA,
      ],
    ] as const)('%s', async (_row, rights, access, errorCode, address) => {
      const vm = await machine(build);
      const { tables } = onePage(vm, rights);
      const before = vm.observe.counters();
      expect(access(vm, tables.cr3)).toEqual({ ok: false, fault: { vector: 14, errorCode, address } });
      const after = vm.observe.counters();
      expect([after['exits.mmio'], after['exits.efault']]).toEqual([
        before['exits.mmio'],
        before['exits.efault'],
      ]);
      expect(letters(vm, GPA)).toBe('.');
    });

    it('an address that is not canonical: #GP', async () => {
      const vm = await machine(build);
      const { cpu } = onePage(vm);
      const address = 0x8000_0000_0000n;
      expect(cpu.load(address, 1)).toEqual({ ok: false, fault: { vector: 13, errorCode: 0, address } });
    });

    it('nothing is stored over a border whose second page is not mapped', async () => {
      const vm = await machine(build);
      const { cpu } = onePage(vm);
      const fault = { vector: 14, errorCode: 2, address: GVA + 0x1000n };
      expect(cpu.store(GVA + 0xffcn, 8, -1n)).toEqual({ ok: false, fault });
      expect(cpu.load(GVA + 0xff8n, 8)).toMatchObject({ value: 0n });
    });
  });

  describe('exits', () => {
    it('the page is at MMIO: an exit as without paging', async () => {
      const vm = await machine(build);
      const { tables, cpu } = onePage(vm);
      tables.map({ gva: 0n, gpa: MMIO, len: PAGE });
      expect(cpu.load(0x10n, 4)).toEqual({
        ok: true,
        value: 0xffff_ffffn,
        gpa: MMIO + 0x10n,
        exits: [mmio(MMIO + 0x10n, 4, ones(4), false)],
      });
      expect(cpu.fetch(0x10n)).toEqual({ ok: false, exit: { reason: 'INTERNAL_ERROR', gpa: MMIO + 0x10n } });
    });

    it.each([
      ['the top table', 4],
      ['a table of level 2', 2],
    ] as const)('page tables at MMIO, %s: internal error, and no device is asked', async (_row, level) => {
      const vm = await machine(build);
      const { cpu, tables } = onePage(vm);
      const at = MMIO + ((GVA >> BigInt(3 + 9 * level)) & 511n) * 8n;
      const above = TABLES + BigInt(3 - level) * 4096n + ((GVA >> BigInt(12 + 9 * level)) & 511n) * 8n;
      if (level < 4) vm.guest.store(above, 8, MMIO | 7n);
      const broken = level < 4 ? cpu : vm.guest.virtual({ cr3: MMIO });
      const before = vm.observe.counters()['exits.mmio'];
      const exit: Exit = { reason: 'INTERNAL_ERROR', gpa: at as Exit['gpa'] };
      expect(broken.load(GVA, 8)).toEqual({ ok: false, exit });
      expect(broken.translate(GVA, { kind: 'read' }).outcome).toEqual({
        kind: 'stop',
        at: 'table',
        gpa: at,
        stop: exit,
      });
      expect(vm.observe.counters()['exits.mmio']).toBe(before);
      expect(tables.cr3).toBe(TABLES);
    });

    it('page tables that the host forbids to read: EFAULT until the repair', async () => {
      const vm = await machine(build);
      const { cpu } = onePage(vm);
      const table = TABLES + 0x2000n;
      protect(vm, table, 0);
      const at = table + ((GVA >> 21n) & 511n) * 8n;
      expect(cpu.load(GVA, 8)).toMatchObject({ ok: false, exit: { reason: 'EFAULT', gpa: at } });
      protect(vm, table, 3);
      expect(cpu.load(GVA, 8)).toEqual({ ...done(0n), gpa: GPA });
    });

    it('page tables that the host lets only be read: EFAULT as soon as an accessed bit must be set', async () => {
      const vm = await machine(build);
      const { cpu } = onePage(vm);
      protect(vm, TABLES + 0x1000n, 1);
      const at = TABLES + 0x1000n + ((GVA >> 30n) & 511n) * 8n;
      expect(cpu.load(GVA, 8)).toEqual(efault(at, true));
      expect(entryOf(vm, 2) & 0x20n).toBe(0n);
    });

    it('with accessed and dirty bits in the SLAT: EFAULT even where the accessed bits are set', async () => {
      const vm = await machine(build);
      const { cpu, tables } = onePage(vm);
      cpu.load(GVA, 1);
      protect(vm, TABLES, 1);
      const slat = (eptpBit: bigint) => (gpa: bigint) => {
        const walk = vm.observe.walk(gpa);
        return { ...walk, eptp: (walk.eptp & ~0x40n) | eptpBit };
      };
      const paging = { cr3: tables.cr3 as bigint };
      const at = TABLES + ((GVA >> 39n) & 511n) * 8n;
      expect(new VirtualCpu(vm.guest.vcpu(), slat(0n), paging).load(GVA, 1)).toMatchObject({ ok: true });
      expect(new VirtualCpu(vm.guest.vcpu(), slat(0x40n), paging).load(GVA, 1)).toEqual(efault(at, true));
      protect(vm, TABLES, 3);
      expect(new VirtualCpu(vm.guest.vcpu(), slat(0x40n), paging).load(GVA, 1)).toMatchObject({ ok: true });
    });

    it('page tables in a read-only slot: read, and their bits stay as they are', async () => {
      const vm = await machine(build);
      const { cpu, tables } = onePage(vm);
      const ROM = BigInt(GIB);
      const region = { slot: 5, guestPhysAddr: ROM, memorySize: 4 * PAGE, userspaceAddr: hvaAt(vm, TABLES) };
      expect(vm.kvm.setUserMemoryRegion({ ...region, flags: 2 })).toBe(0);
      // The same tables as ROM: tables of other levels are where they were, so level 3 to 1 are RAM still.
      const rom = vm.guest.virtual({ cr3: ROM });
      const before = vm.observe.counters()['exits.mmio'];
      expect(rom.store(GVA, 8, 1)).toEqual({ ...done(), gpa: GPA });
      expect(vm.observe.counters()['exits.mmio']).toBe(before);
      expect([4, 3, 2, 1].map((l) => entryOf(vm, l) & 0xfffn)).toEqual([7n, 0x27n, 0x27n, 0x67n]);
      expect(tables.cr3).not.toBe(ROM);
      cpu.load(GVA, 1);
      expect(entryOf(vm, 4) & 0xfffn).toBe(0x27n);
    });

    it('a walk dirties the tables’ pages in the dirty log, though no bit of theirs changes', async () => {
      const vm = await machine(build);
      const { cpu } = onePage(vm);
      cpu.store(GVA, 1, 1);
      const [slot] = vm.kvm.memslots();
      const region = {
        slot: slot?.id ?? 0,
        guestPhysAddr: 0,
        memorySize: slot?.size ?? 0,
        userspaceAddr: slot?.hva ?? 0,
      };
      expect(vm.kvm.setUserMemoryRegion({ ...region, flags: 1 })).toBe(0);
      expect([...vm.kvm.getDirtyLog(region.slot).pages]).toEqual([]);
      cpu.load(GVA, 1);
      const first = Number(TABLES / 4096n);
      expect([...vm.kvm.getDirtyLog(region.slot).pages]).toEqual([first, first + 1, first + 2, first + 3]);
      cpu.store(GVA, 1, 1);
      expect([...vm.kvm.getDirtyLog(region.slot).pages]).toEqual([
        Number(GPA / 4096n),
        first,
        first + 1,
        first + 2,
        first + 3,
      ]);
    });

    it('the page itself: EFAULT with the gpa, and the dirty bit is there already', async () => {
      const vm = await machine(build);
      const { cpu } = onePage(vm);
      protect(vm, GPA, 0);
      expect(cpu.store(GVA, 8, 1)).toEqual(efault(GPA, true));
      expect(entryOf(vm, 1) & 0x60n).toBe(0x60n);
    });
  });

  describe('over a page border', () => {
    const border = async (gpa: bigint) => {
      const vm = await machine(build);
      const { tables, cpu } = onePage(vm);
      tables.map({ gva: GVA + 0x1000n, gpa, len: PAGE });
      return { vm, cpu };
    };

    it.each([1, 3, 4, 7])('pages that lie apart: %i bytes behind the border', async (behind) => {
      const { vm, cpu } = await border(0x100_0000n - 0x3000n);
      const gva = GVA + 0x1000n - BigInt(8 - behind);
      expect(cpu.store(gva, 8, 0x8877665544332211n)).toEqual({
        ...done(),
        gpa: GPA + 0x1000n - BigInt(8 - behind),
      });
      expect(cpu.load(gva, 8)).toMatchObject({ ok: true, value: 0x8877665544332211n });
      const bytes = [0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88];
      expect([...vm.ramAccess.read(GPA + 0x1000n - BigInt(8 - behind), 8 - behind)]).toEqual(
        bytes.slice(0, 8 - behind),
      );
      expect([...vm.ramAccess.read(0x100_0000n - 0x3000n, behind)]).toEqual(bytes.slice(8 - behind));
    });

    it('pages that follow each other are one access', async () => {
      const { vm, cpu } = await border(GPA + 0x1000n);
      cpu.store(GVA + 0xffcn, 8, 0x8877665544332211n);
      expect(vm.guest.load(GPA + 0xffcn, 8)).toEqual(done(0x8877665544332211n));
    });

    it.each([
      ['second', 0x50_0000n],
      ['first', GPA],
    ])('pages that lie apart, the %s broken: nothing is stored', async (_row, broken) => {
      const { vm, cpu } = await border(0x50_0000n);
      cpu.store(GVA + 0xff8n, 8, 1);
      cpu.store(GVA + 0x1000n, 8, 2);
      protect(vm, broken, 1);
      expect(cpu.store(GVA + 0xffcn, 8, -1n)).toMatchObject({
        ok: false,
        exit: { reason: 'EFAULT', isWrite: true },
      });
      expect(cpu.load(GVA + 0xff8n, 8)).toMatchObject({ value: 1n });
      expect(cpu.load(GVA + 0x1000n, 8)).toMatchObject({ value: 2n });
    });

    it('into MMIO: the bytes behind the border are exits', async () => {
      const { vm, cpu } = await border(MMIO);
      const access = cpu.store(GVA + 0xffen, 4, 0x4433_2211);
      expect(access.ok && access.exits).toEqual([
        mmio(MMIO, 1, new Uint8Array([0x33]), true),
        mmio(MMIO + 1n, 1, new Uint8Array([0x44]), true),
      ]);
      expect(vm.guest.load(GPA + 0xffen, 2)).toEqual(done(0x2211n));
    });
  });

  describe('translate', () => {
    it('SL-06, 4 × 4 over the engine’s own tables: 24 references, each entry where the SLAT says', async () => {
      const vm = await machine(build);
      const { cpu } = onePage(vm);
      cpu.load(GVA, 1);
      const walk = cpu.translate(GVA + 0x123n, { kind: 'read' });
      expect(count(walk)).toBe(24);
      const hpa = vm.observe.walk(GPA + 0x123n).hpa;
      expect(walk.outcome).toEqual({ kind: 'ok', gpa: GPA + 0x123n, hpa, pageSize: 4096n });
      for (const { gpa, slat, entry } of walk.steps) {
        expect(slat.map((r) => r.value)).toEqual(vm.observe.walk(gpa).entries.map((e) => e.value));
        expect(entry?.hpa).toBe(vm.observe.walk(gpa).hpa);
        expect(vm.host.core.readU64(Number(entry?.hpa))).toBe(entry?.value);
      }
    });

    it('the page is not touched: where the SLAT has nothing yet, the walk says so', async () => {
      const vm = await machine(build);
      const { cpu } = onePage(vm);
      const walk = cpu.translate(GVA, { kind: 'read' });
      expect(walk.outcome).toEqual({
        kind: 'stop',
        at: 'page',
        gpa: GPA,
        stop: { reason: 'VIOLATION', gpa: GPA },
      });
      expect(letters(vm, GPA)).toBe('.');
      cpu.load(GVA, 1);
      expect(cpu.translate(GVA, { kind: 'read' }).outcome.kind).toBe('ok');
      // What was only read is the zero page, which the SLAT does not let be written.
      expect(cpu.translate(GVA, { kind: 'write' }).outcome).toMatchObject({ stop: { reason: 'VIOLATION' } });
    });

    it('a page fault of the guest: its own references, and none for a page', async () => {
      const vm = await machine(build);
      const { cpu } = onePage(vm);
      const walk = cpu.translate(GVA + 0x20_0000n, { kind: 'write' });
      expect([walk.steps.length, walk.final, walk.outcome]).toEqual([
        3,
        undefined,
        { kind: 'guest-fault', fault: { vector: 14, errorCode: 2, address: GVA + 0x20_0000n } },
      ]);
    });
  });

  describe('page tables', () => {
    it.each<[4 | 5, GuestPageSize, number, number]>([
      [4, '4K', PAGE, 4],
      [5, '4K', PAGE, 5],
      [4, '2M', 2 * MIB, 3],
      [5, '1G', GIB, 3],
      [4, '1G', GIB, 2],
    ])('%i levels, pages of %s', async (levels, page, size, guestLevels) => {
      const vm = await machine(build, { ram: [{ gpa: 0, size: '4G' }] });
      const at = BigInt(3.5 * GIB);
      const tables = vm.guest.pageTables({ at, levels });
      const gva = levels === 5 ? 0xff_8000_0000_0000n : 0xffff_8000_0000_0000n;
      expect(tables.map({ gva, gpa: size, len: 2 * size, page })).toBeUndefined();
      expect(tables.end).toBe(at + BigInt(guestLevels) * 4096n);
      const cpu = vm.guest.virtual({ cr3: tables.cr3, levels });
      for (const page of [0n, 1n]) {
        const offset = page * BigInt(size) + 0x77n;
        expect(cpu.store(gva + offset, 1, 1n + page)).toMatchObject({ ok: true, gpa: BigInt(size) + offset });
        expect(count(cpu.translate(gva + offset, { kind: 'read' }), levels)).toBe((guestLevels + 1) * 5 - 1);
      }
    });

    it('without a gpa, an identity map; over 512 entries a second table', async () => {
      const vm = await machine(build);
      const tables = vm.guest.pageTables({ at: TABLES });
      tables.map({ gva: 0, len: 3 * MIB });
      expect((tables.end - tables.cr3) / 4096n).toBe(5n);
      const cpu = vm.guest.virtual({ cr3: tables.cr3 });
      for (const gva of [0n, 0x1f_f123n, 0x20_0000n, 0x2f_ffffn])
        expect(cpu.load(gva, 1)).toMatchObject({ ok: true, gpa: gva });
      expect(cpu.load(0x30_0000n, 1).ok).toBe(false);
    });

    it('takes pages that are not empty', async () => {
      const vm = await machine(build);
      vm.guest.fill({ gpa: TABLES, len: 4 * PAGE, byte: 0xff });
      const { cpu } = onePage(vm);
      expect(cpu.load(GVA, 1)).toMatchObject({ ok: true });
      expect(cpu.load(0n, 1)).toMatchObject({ ok: false, fault: { errorCode: 0 } });
    });

    it('maps anew, with other rights', async () => {
      const vm = await machine(build);
      const { cpu, tables } = onePage(vm);
      tables.map({ gva: GVA, gpa: GPA + 0x1000n, len: PAGE, write: false });
      expect(cpu.load(GVA, 1)).toMatchObject({ gpa: GPA + 0x1000n });
      expect(cpu.store(GVA, 1, 1)).toMatchObject({ ok: false, fault: { errorCode: 3 } });
    });

    it('an exit of a store comes back', async () => {
      const vm = await machine(build);
      protect(vm, TABLES, 1);
      const tables = vm.guest.pageTables({ at: TABLES });
      expect(tables.map({ gva: 0, len: PAGE })).toMatchObject({ reason: 'EFAULT', isWrite: true });
      protect(vm, TABLES, 3);
      protect(vm, TABLES + 0x1000n, 0);
      expect(tables.map({ gva: 0, len: PAGE })).toMatchObject({ reason: 'EFAULT' });
      protect(vm, TABLES + 0x1000n, 3);
      expect(tables.map({ gva: 0, len: PAGE })).toBeUndefined();
      expect(vm.guest.virtual({ cr3: tables.cr3 }).load(0n, 1)).toMatchObject({ ok: true });
    });

    it.each([
      ['tables inside a page', (vm: Vm) => vm.guest.pageTables({ at: 0x1008n })],
      ['half a page', (vm: Vm) => vm.guest.pageTables({ at: TABLES }).map({ gva: 0, len: 100 })],
      [
        '2M pages at 4K',
        (vm: Vm) => vm.guest.pageTables({ at: TABLES }).map({ gva: 4096, len: '2M', page: '2M' }),
      ],
      [
        'a page under a larger one',
        (vm: Vm) => {
          const tables = vm.guest.pageTables({ at: TABLES });
          tables.map({ gva: 0, len: '2M', page: '2M' });
          tables.map({ gva: 4096, len: 4096 });
        },
      ],
      [
        'a page over smaller ones',
        (vm: Vm) => {
          const tables = vm.guest.pageTables({ at: TABLES });
          tables.map({ gva: 4096, len: 4096 });
          tables.map({ gva: 0, len: '2M', page: '2M' });
        },
      ],
    ])('SLB-060: %s', async (_row, run) => {
      const vm = await machine(build);
      expect(() => run(vm)).toThrow(expect.objectContaining({ code: 'SLB-060' }));
    });
  });
});
