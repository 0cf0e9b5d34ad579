// The SLAT as tables in EPT format: entry bits, walks, zaps of exactly what changed.
// Reference: Intel SDM vol. 3 (EPT paging structures), linux arch/x86/kvm/mmu/spte.h; entry values are spelled out here.
import { describe, expect, it } from 'vitest';
import type { Vm } from '../src/index.ts';
import { BUILDS, changes, GIB, hvaAt, MIB, machine, PAGE } from './support/machines.ts';

/** R W X, write-back, ignore-PAT, accessed (8), dirty (9), MMU present (11), host-writable (57), MMU-writable (58). */
const LEAF_RW = 0x0600_0000_0000_0b77n;
/** The same read-only: no W, no 9, no 57, no 58. */
const LEAF_RO = 0x975n;
const TABLE = 0x907n;
const LOW_BITS = 0xfffn;
const ADDRESS = 0x000f_ffff_ffff_f000n;

/** The leaf entry of gpa, 0n when the walk ends above it or there. */
function leaf(vm: Vm, gpa: bigint | number): bigint {
  const entry = vm.observe.walk(gpa).entries.find((e) => e.level === 1);
  return entry?.value ?? 0n;
}
const present = (vm: Vm, gpa: bigint, pages: number): string =>
  Array.from({ length: pages }, (_, i) => (leaf(vm, gpa + BigInt(i * PAGE)) & 7n ? '+' : '.')).join('');
const mapped = (vm: Vm): number => vm.observe.counters()['slat.mapped'] ?? Number.NaN;

describe.each(BUILDS)('slat › %s', (_name, build) => {
  describe('entries', () => {
    it.each([
      ['write', (vm: Vm) => vm.guest.store(0x5000n, 1, 1), LEAF_RW],
      [
        'read of a page that is not there: the zero page, read-only',
        (vm: Vm) => vm.guest.load(0x5000n, 1),
        LEAF_RO,
      ],
      ['fetch', (vm: Vm) => vm.guest.fetch(0x5000n), LEAF_RO],
      [
        'read of a page that the VMM wrote: writable at once',
        (vm: Vm) => {
          vm.vmm.store(hvaAt(vm, 0x5000n), 1);
          vm.guest.load(0x5000n, 1);
        },
        LEAF_RW,
      ],
      [
        'read of a page in a PROT_READ mapping',
        (vm: Vm) => {
          vm.vmm.store(hvaAt(vm, 0x5000n), 1);
          vm.vmm.mprotect(hvaAt(vm, 0x5000n), 4096n, 1);
          vm.guest.load(0x5000n, 1);
        },
        LEAF_RO,
      ],
      [
        'write behind a read',
        (vm: Vm) => {
          vm.guest.load(0x5000n, 1);
          vm.guest.store(0x5000n, 1, 1);
        },
        LEAF_RW,
      ],
      [
        'read of a page that was swapped out',
        (vm: Vm) => {
          vm.guest.store(0x5000n, 1, 1);
          vm.vmm.madvise(hvaAt(vm, 0x5000n), 4096n, 'pageout');
          vm.guest.load(0x5000n, 1);
        },
        LEAF_RW,
      ],
    ])('%s', async (_row, access, bits) => {
      const vm = await machine(build);
      access(vm);
      const walk = vm.observe.walk(0x5123n);
      expect(walk.entries.map((e) => e.level)).toEqual([4, 3, 2, 1]);
      expect(walk.eptp & LOW_BITS).toBe(0x5en);
      let table = walk.eptp & ADDRESS;
      for (const e of walk.entries.slice(0, 3)) {
        expect(e.at).toBe(table + BigInt(e.index) * 8n);
        expect(e.value & ~ADDRESS).toBe(TABLE);
        table = e.address;
      }
      const last = walk.entries[3];
      expect(last?.at).toBe(table + 5n * 8n);
      expect((last?.value ?? 0n) & ~ADDRESS).toBe(bits);
      expect(last).toMatchObject({
        leaf: true,
        read: true,
        execute: true,
        write: bits === LEAF_RW,
        memoryType: 6,
        ignorePat: true,
      });
      expect(walk.hpa).toBe((last?.address ?? 0n) + 0x123n);
      expect(mapped(vm)).toBe(1);
    });

    it('every page that was only read has the one zero page behind it, at no frame', async () => {
      const vm = await machine(build);
      vm.guest.touch({ gpa: 0n, len: 8 * PAGE });
      expect(new Set(Array.from({ length: 8 }, (_, i) => leaf(vm, i * PAGE))).size).toBe(1);
      expect(vm.observe.walk(0n).hpa).toBe(0x60000n);
      expect(vm.host.frames().used).toBe(0);
    });
  });

  // SL-01 for 4 KiB leaves: indices are the bit fields 47:39, 38:30, 29:21, 20:12.
  it.each([
    [0x1234_5678_9abcn, [36, 209, 179, 393], 0xabcn],
    [0x2aaa_aaaa_a000n, [85, 170, 341, 170], 0n],
    [0x1555_5555_5fffn, [42, 341, 170, 341], 0xfffn],
    [0x3fff_ffff_f001n, [127, 511, 511, 511], 1n],
    [0x80_0020_1000n, [1, 0, 1, 1], 0n],
    [0x1000n, [0, 0, 0, 1], 0n],
  ])('walk of %i uses the entries %j', async (gpa, indices, offset) => {
    const vm = await machine(build, { ram: [{ gpa: 0, size: '64T' }] });
    expect(vm.observe.walk(gpa).entries.map((e) => e.index)).toEqual(indices.slice(0, 1));
    vm.guest.store(gpa, 1, 0x6b);
    const walk = vm.observe.walk(gpa);
    expect(walk.entries.map((e) => e.index)).toEqual(indices);
    expect(walk.hpa).toBe((walk.entries[3]?.address ?? 0n) + offset);
    expect(vm.host.core.u8[Number(walk.hpa)]).toBe(0x6b);
    expect(walk.page).toBe('a');
  });

  it('a walk shows what is behind an address even where nothing is mapped', async () => {
    const vm = await machine(build);
    expect(vm.observe.walk(0x5000n)).toMatchObject({
      hpa: undefined,
      page: '.',
      hva: hvaAt(vm, 0x5000n),
      slot: { id: 0 },
    });
    expect(vm.observe.walk(GIB)).toMatchObject({
      hpa: undefined,
      page: '-',
      hva: undefined,
      slot: undefined,
    });
    expect(vm.observe.walk(1n << 48n)).toMatchObject({ entries: [], page: '-' });
  });

  describe('zap', () => {
    const PAGES = 16;
    // pages [from, from+n) of 16 mapped ones; the name of what the VMM does there
    it.each([
      [
        'dontneed of one page',
        3,
        1,
        (vm: Vm, hva: bigint, len: bigint) => vm.vmm.madvise(hva, len, 'dontneed'),
      ],
      ['dontneed of all', 0, 16, (vm: Vm, hva: bigint, len: bigint) => vm.vmm.madvise(hva, len, 'dontneed')],
      ['free', 5, 4, (vm: Vm, hva: bigint, len: bigint) => vm.vmm.madvise(hva, len, 'free')],
      [
        'mprotect NONE of the last',
        15,
        1,
        (vm: Vm, hva: bigint, len: bigint) => vm.vmm.mprotect(hva, len, 0),
      ],
      [
        'mprotect READ of the first',
        0,
        1,
        (vm: Vm, hva: bigint, len: bigint) => vm.vmm.mprotect(hva, len, 1),
      ],
      ['munmap', 7, 2, (vm: Vm, hva: bigint, len: bigint) => vm.vmm.munmap(hva, len)],
    ])('%s drops these entries, in one flush, and no neighbour', async (_row, from, n, call) => {
      const vm = await machine(build);
      vm.guest.touch({ gpa: 0n, len: PAGES * PAGE, write: true });
      const before = Array.from({ length: PAGES }, (_, i) => leaf(vm, i * PAGE));
      const change = changes(vm, () => {
        expect(call(vm, hvaAt(vm, from * PAGE), BigInt(n * PAGE))).toBe(0);
      });
      expect(change).toMatchObject({
        'slat.zapped': n,
        'slat.flushes': 1,
        'slat.mapped': -n,
        'notifier.calls': 1,
      });
      for (let i = 0; i < PAGES; i++)
        expect(leaf(vm, i * PAGE)).toBe(i >= from && i < from + n ? 0n : before[i]);
      expect(vm.host.check()).toEqual([]);
    });

    it('pageout drops page by page', async () => {
      const vm = await machine(build);
      vm.guest.touch({ gpa: 0n, len: PAGES * PAGE, write: true });
      const change = changes(vm, () => vm.vmm.madvise(hvaAt(vm, 2 * PAGE), BigInt(3 * PAGE), 'pageout'));
      expect(change).toMatchObject({ 'slat.zapped': 3, 'slat.mapped': -3, 'reclaim.swapout': 3 });
      expect(present(vm, 0n, 6)).toBe('++...+');
    });

    it.each([
      ['dontdump', (vm: Vm, hva: bigint) => vm.vmm.madvise(hva, 4096n, 'dontdump')],
      ['a name', (vm: Vm, hva: bigint) => vm.vmm.setAnonName(hva, 4096n, 'x')],
      ['mlock', (vm: Vm, hva: bigint) => vm.vmm.mlock(hva, 4096n)],
      ['mergeable', (vm: Vm, hva: bigint) => vm.vmm.madvise(hva, 4096n, 'mergeable')],
    ])('%s of a present page drops nothing', async (_row, call) => {
      const vm = await machine(build);
      vm.guest.store(0n, 1, 1);
      const change = changes(vm, () => expect(call(vm, hvaAt(vm, 0n))).toBe(0));
      expect(
        Object.keys(change).filter((key) => key.startsWith('slat.') || key.startsWith('notifier.')),
      ).toEqual([]);
    });

    it('a write to the zero page drops the old entry and installs the new one', async () => {
      const vm = await machine(build);
      vm.guest.touch({ gpa: 0n, len: 3 * PAGE });
      expect(changes(vm, () => vm.guest.store(0x1000n, 1, 1))).toMatchObject({
        'slat.zapped': 1,
        'slat.violations': 1,
      });
      expect(mapped(vm)).toBe(3);
      expect(vm.observe.walk(0x2000n).hpa).toBe(0x60000n);
    });

    it.each([
      ['2 MiB border', 2 * MIB],
      ['1 GiB border', GIB],
      ['512 GiB border', 512 * GIB],
    ])('a range over a %s: both sides, not one page more', async (_row, border) => {
      const vm = await machine(build, { ram: [{ gpa: 0, size: '1T' }] });
      const gpa = BigInt(border);
      vm.guest.touch({ gpa: gpa - 0x4000n, len: 8 * PAGE, write: true });
      const change = changes(vm, () => vm.vmm.madvise(hvaAt(vm, gpa - 0x2000n), 0x4000n, 'dontneed'));
      expect(change).toMatchObject({ 'slat.zapped': 4, 'slat.flushes': 1 });
      expect(present(vm, gpa - 0x4000n, 8)).toBe('++....++');
      expect(vm.guest.load(gpa, 8)).toMatchObject({ value: 0n });
    });

    it('a call that changes nothing drops and flushes nothing', async () => {
      const vm = await machine(build);
      vm.guest.store(0n, 1, 1);
      const change = changes(vm, () => vm.vmm.madvise(hvaAt(vm, 32 * MIB), BigInt(MIB), 'dontneed'));
      expect(change).toEqual({ 'notifier.calls': 1 });
    });
  });

  it('tables go with their last entry, the state of the pages likewise', async () => {
    const vm = await machine(build, { ram: [{ gpa: 0, size: '1T' }] });
    const empty = vm.host.metadataBytes();
    const places = [0n, BigInt(2 * MIB), BigInt(3 * GIB), BigInt(700 * GIB)];
    for (const gpa of places) vm.guest.store(gpa, 1, 1);
    // Tables: 2 level 3, 3 level 2, 4 level 1. Page state: 3 nodes, 4 chunks.
    expect((vm.host.metadataBytes() - empty) / PAGE).toBe(16);
    for (const gpa of places) expect(vm.vmm.madvise(hvaAt(vm, gpa), 4096n, 'dontneed')).toBe(0);
    expect(vm.host.metadataBytes()).toBe(empty);
    expect([mapped(vm), vm.observe.rss()]).toEqual([0, 0]);
    for (const gpa of places) expect(vm.guest.load(gpa, 1)).toMatchObject({ value: 0n });
    expect(vm.host.check()).toEqual([]);
  });

  it('SL-15: NONE, READ, RW under a running guest', async () => {
    const vm = await machine(build);
    vm.guest.store(0x5000n, 1, 0x21);
    const run = (): string => {
      const [load, store] = [vm.guest.load(0x5000n, 1), vm.guest.store(0x5000n, 1, 0x21)];
      return `${load.ok ? load.value : load.exit.reason} ${store.ok ? 'ok' : store.exit.reason}`;
    };
    const after = [0, 1, 3].map((prot) => {
      vm.vmm.mprotect(hvaAt(vm, 0x5000n), 4096n, prot);
      return [run(), run()];
    });
    expect(after).toEqual([
      ['EFAULT EFAULT', 'EFAULT EFAULT'],
      ['33 EFAULT', '33 EFAULT'],
      ['33 ok', '33 ok'],
    ]);
  });

  // SL-16, the rows of anonymous memory: event, entry left, bytes at the next access.
  it.each([
    ['munmap', (vm: Vm, hva: bigint) => vm.vmm.munmap(hva, 4096n), 'EFAULT'],
    ['DONTNEED', (vm: Vm, hva: bigint) => vm.vmm.madvise(hva, 4096n, 'dontneed'), 0n],
    ['mprotect NONE', (vm: Vm, hva: bigint) => vm.vmm.mprotect(hva, 4096n, 0), 'EFAULT'],
    ['mprotect READ', (vm: Vm, hva: bigint) => vm.vmm.mprotect(hva, 4096n, 1), 0x21n],
    ['PAGEOUT', (vm: Vm, hva: bigint) => vm.vmm.madvise(hva, 4096n, 'pageout'), 0x21n],
    ['FREE', (vm: Vm, hva: bigint) => vm.vmm.madvise(hva, 4096n, 'free'), 0x21n],
  ])('SL-16: %s', async (_row, event, want) => {
    const vm = await machine(build);
    vm.guest.store(0x5000n, 1, 0x21);
    expect(event(vm, hvaAt(vm, 0x5000n))).toBe(0);
    expect(leaf(vm, 0x5000n)).toBe(0n);
    const next = vm.guest.load(0x5000n, 1);
    expect(next.ok ? next.value : next.exit.reason).toBe(want);
  });
});
