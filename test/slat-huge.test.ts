// Leaves of 2 MiB: when one maps a page, what takes it away, and what comes in its place.
// Reference: linux arch/x86/kvm/mmu/mmu.c (kvm_mmu_max_mapping_level, host_pfn_mapping_level), mm/huge_memory.c.
import { describe, expect, it } from 'vitest';
import type { BackingKind, Program, RepeatEnd, Vm } from '../src/index.ts';
import { ADDRESS, HUGE_RO, HUGE_RW, levelOf, levels } from './support/leaves.ts';
import {
  BUILDS,
  type Build,
  changes,
  hvaAt,
  letters,
  type MachineOptions,
  MIB,
  machine,
  PAGE,
} from './support/machines.ts';

const HUGE = 2 * MIB;

const huge = (build: Build, backing: BackingKind, options: MachineOptions = {}): Promise<Vm> =>
  machine(build, { backing, pool: 16 * MIB, swap: 8 * MIB, ...options });
const entry = (vm: Vm, gpa: bigint | number): bigint => vm.observe.walk(gpa).entries.at(-1)?.value ?? 0n;
/** [leaves of any size, those of 2 MiB] */
const leaves = (vm: Vm): (number | undefined)[] => {
  const counters = vm.observe.counters();
  return [counters['slat.mapped'], counters['slat.mapped2m']];
};
const advise = (vm: Vm, gpa: number, len: number, advice: 'dontneed' | 'free' | 'pageout' | 'mergeable') =>
  vm.vmm.madvise(hvaAt(vm, gpa), BigInt(len), advice);

describe.each(BUILDS)('slat › 2 MiB leaves › %s', (_name, build) => {
  it.each([
    'thp',
    'hugetlb',
    'hugetlb_shared',
  ] as const)('%s: one violation maps all of the huge page', async (backing) => {
    const vm = await huge(build, backing);
    const change = changes(vm, () => vm.guest.touch({ gpa: HUGE, len: HUGE, write: true, byte: 7 }));
    expect(change).toMatchObject({ 'slat.violations': 1, 'slat.mapped': 1, 'slat.mapped2m': 1 });
    const walk = vm.observe.walk(HUGE + 0x12_3456);
    expect(walk.entries.map((e) => e.level)).toEqual([4, 3, 2]);
    const last = walk.entries[2];
    expect((last?.value ?? 0n) & ~ADDRESS).toBe(HUGE_RW);
    expect((last?.address ?? 0n) % BigInt(HUGE)).toBe(0n);
    expect(walk.hpa).toBe((last?.address ?? 0n) + 0x12_3456n);
    // What the entry says is where the bytes are.
    vm.guest.store(HUGE + 0x12_3456, 1, 0x6b);
    expect(vm.host.core.u8[Number(walk.hpa)]).toBe(0x6b);
    expect(vm.guest.load(HUGE + 0x12_3000, 1)).toMatchObject({ value: 7n });
    expect(vm.host.check()).toEqual([]);
  });

  it.each([
    'anon',
    'memfd',
    'memfd_priv',
  ] as const)('%s has small pages, so small leaves', async (backing) => {
    const vm = await huge(build, backing);
    vm.guest.touch({ gpa: HUGE, len: 4 * PAGE, write: true });
    expect(leaves(vm)).toEqual([4, 0]);
  });

  it('SL-10: not where the slot ends inside the huge page', async () => {
    const ram = [
      { gpa: HUGE - PAGE, size: 2 * HUGE },
      { gpa: 64 * MIB, size: HUGE },
    ];
    const vm = await huge(build, 'thp', { ram });
    for (const gpa of [HUGE - PAGE, HUGE, 2 * HUGE]) vm.guest.store(gpa, 1, 1);
    expect(levels(vm, HUGE - PAGE, HUGE + 0x1000, 2 * HUGE)).toEqual([1, 2, 1]);
    expect(vm.host.check()).toEqual([]);
  });

  it('the huge zero page is one leaf, read-only and without frames, until a write brings a huge page', async () => {
    const vm = await huge(build, 'thp');
    expect(vm.guest.verify({ gpa: 0, len: HUGE, byte: 0 }).differs).toBeUndefined();
    expect([letters(vm, 0, 3), ...leaves(vm), vm.host.frames().used]).toEqual(['ZZZ', 1, 1, 0]);
    expect(entry(vm, 0) & ~ADDRESS).toBe(HUGE_RO);
    const change = changes(vm, () => vm.guest.store(PAGE, 8, 5));
    expect(change).toMatchObject({ 'slat.zapped': 1, 'slat.violations': 1 });
    expect([levels(vm, 0, 511 * PAGE), entry(vm, 0) & ~ADDRESS]).toEqual([[2, 2], HUGE_RW]);
    expect(vm.guest.load(0, 8)).toMatchObject({ value: 0n });
    expect(vm.host.check()).toEqual([]);
  });

  it('and gives way to small pages where no group of frames is free', async () => {
    const vm = await huge(build, 'thp', { pool: MIB, swap: 0 });
    vm.guest.load(0, 8);
    expect(leaves(vm)).toEqual([1, 1]);
    vm.guest.store(PAGE, 8, 5);
    expect([letters(vm, 0, 3), levels(vm, 0, PAGE)]).toEqual(['zaz', [0, 1]]);
    expect(vm.host.check()).toEqual([]);
  });

  it('a read of a huge page that the VMM has, read-only: mapped so; a write after mprotect makes it writable', async () => {
    const vm = await huge(build, 'thp');
    vm.vmm.store(hvaAt(vm, HUGE), 3);
    expect(vm.vmm.mprotect(hvaAt(vm, HUGE), BigInt(HUGE), 1)).toBe(0);
    expect(vm.guest.load(HUGE, 1)).toMatchObject({ value: 3n });
    expect(entry(vm, HUGE) & ~ADDRESS).toBe(HUGE_RO);
    expect(vm.guest.store(HUGE + PAGE, 1, 1)).toMatchObject({ exit: { reason: 'EFAULT' } });
    expect(vm.vmm.mprotect(hvaAt(vm, HUGE), BigInt(HUGE), 3)).toBe(0);
    expect(leaves(vm)).toEqual([0, 0]);
    expect(vm.guest.store(HUGE + PAGE, 1, 1).ok).toBe(true);
    expect(entry(vm, HUGE) & ~ADDRESS).toBe(HUGE_RW);
  });

  // What happens to page 5 of a huge page that a guest has written, and the letters of pages 4 to 6 then.
  it.each([
    ['DONTNEED', (vm: Vm) => advise(vm, HUGE + 5 * PAGE, PAGE, 'dontneed'), 'h.h'],
    ['FREE', (vm: Vm) => advise(vm, HUGE + 5 * PAGE, PAGE, 'free'), 'ala'],
    ['PAGEOUT', (vm: Vm) => advise(vm, HUGE + 5 * PAGE, PAGE, 'pageout'), 'asa'],
    ['mprotect', (vm: Vm) => vm.vmm.mprotect(hvaAt(vm, HUGE + 5 * PAGE), BigInt(PAGE), 0), 'hhh'],
    ['MERGEABLE, a border of VMAs', (vm: Vm) => advise(vm, HUGE + 5 * PAGE, PAGE, 'mergeable'), 'hhh'],
    ['munmap', (vm: Vm) => vm.vmm.munmap(hvaAt(vm, HUGE + 5 * PAGE), BigInt(PAGE)), 'hxh'],
  ])('%s of a part takes the whole leaf; the rest is mapped by small ones', async (_row, call, after) => {
    const vm = await huge(build, 'thp');
    vm.guest.fill({ gpa: HUGE, len: HUGE, byte: 9 });
    vm.guest.fill({ gpa: 0, len: PAGE, byte: 8 });
    expect(leaves(vm)).toEqual([2, 2]);
    const change = changes(vm, () => expect(call(vm)).toBe(0));
    expect(change).toMatchObject({ 'slat.zapped': 1, 'slat.mapped': -1, 'slat.mapped2m': -1 });
    expect(levels(vm, 0, HUGE, HUGE + 4 * PAGE, HUGE + 511 * PAGE)).toEqual([2, 0, 0, 0]);
    expect(letters(vm, HUGE + 4 * PAGE, 3)).toBe(after);
    // No byte of the rest was lost on the way.
    expect(vm.guest.verify({ gpa: HUGE + 6 * PAGE, len: HUGE - 6 * PAGE, byte: 9 }).differs).toBeUndefined();
    expect(levels(vm, 0, HUGE + 6 * PAGE)).toEqual([2, 1]);
    expect(vm.host.check()).toEqual([]);
  });

  it.each([
    ['thp', HUGE],
    ['hugetlb', 0],
    ['hugetlb_shared', 0],
  ] as const)('DONTNEED of 3 huge pages of %s: 3 leaves in one flush, and all frames free', async (backing, rss) => {
    const vm = await huge(build, backing);
    vm.guest.touch({ gpa: 0, len: 4 * HUGE, write: true, byte: 1 });
    expect([leaves(vm), vm.observe.rss()]).toEqual([[4, 4], 4 * rss]);
    const change = changes(vm, () => expect(advise(vm, HUGE, 3 * HUGE, 'dontneed')).toBe(0));
    expect(change).toMatchObject({ 'slat.zapped': 3, 'slat.mapped': -3, 'slat.mapped2m': -3 });
    if (backing === 'thp') expect(change).toMatchObject({ 'slat.flushes': 1, 'host.rss': -3 * HUGE });
    // A shared file keeps its pages.
    expect(vm.host.frames().used).toBe((backing === 'hugetlb_shared' ? 4 : 1) * 512);
    expect(levels(vm, 0, HUGE, 3 * HUGE)).toEqual([2, 0, 0]);
    expect(vm.guest.load(HUGE, 1)).toMatchObject({ value: backing === 'hugetlb_shared' ? 1n : 0n });
    expect(vm.host.check()).toEqual([]);
  });

  it('SL-11: what was split is mapped small until the host has a huge page there again', async () => {
    const vm = await huge(build, 'thp');
    vm.guest.fill({ gpa: HUGE, len: HUGE, byte: 4 });
    advise(vm, HUGE, PAGE, 'dontneed');
    vm.guest.touch({ gpa: HUGE, len: HUGE });
    expect(leaves(vm)).toEqual([512, 0]);
    advise(vm, HUGE, HUGE, 'dontneed');
    vm.guest.store(HUGE, 1, 1);
    expect(leaves(vm)).toEqual([1, 1]);
    expect(vm.host.check()).toEqual([]);
  });

  it('when no group of frames is free, small pages and small leaves', async () => {
    const vm = await huge(build, 'thp', { pool: 3 * MIB, swap: 0 });
    vm.guest.store(0, 1, 1);
    vm.guest.store(HUGE, 1, 1);
    expect(levels(vm, 0, HUGE)).toEqual([2, 1]);
    expect(letters(vm, HUGE, 2)).toBe('a.');
  });

  it('reclaim takes the leaf with the page', async () => {
    const vm = await huge(build, 'thp', { pool: 4 * MIB });
    vm.guest.fill({ gpa: 0, len: 2 * HUGE, byte: 3 });
    expect(leaves(vm)).toEqual([2, 2]);
    vm.guest.fill({ gpa: 2 * HUGE, len: PAGE, byte: 5 });
    expect(levelOf(vm, 0)).toBe(0);
    expect(vm.guest.verify({ gpa: 0, len: 2 * HUGE, byte: 3 }).differs).toBeUndefined();
    expect(vm.host.check()).toEqual([]);
  });

  it('an access over the border of a huge page, and of a huge and a small one', async () => {
    const vm = await huge(build, 'thp', { ram: [{ gpa: 0, size: 2 * HUGE + PAGE }] });
    for (const border of [HUGE, 2 * HUGE]) {
      expect(vm.guest.store(border - 4, 8, 0x1122_3344_5566_7788n).ok).toBe(true);
      expect(vm.guest.load(border - 4, 8)).toMatchObject({ value: 0x1122_3344_5566_7788n });
      expect(vm.guest.load(border, 4)).toMatchObject({ value: 0x1122_3344n });
    }
    expect(levels(vm, 0, HUGE, 2 * HUGE)).toEqual([2, 2, 1]);
  });

  it('the digest tells a huge leaf from small ones, and is the same for the same way there', async () => {
    const digests = [];
    for (const write of [true, true, false]) {
      const vm = await huge(build, 'thp');
      vm.vmm.store(hvaAt(vm, 0), 1);
      if (write) vm.guest.store(0, 1, 1);
      digests.push(vm.observe.digest());
    }
    expect(digests[0]).toBe(digests[1]);
    expect(digests[2]).not.toBe(digests[0]);
  });
});

describe.each(
  BUILDS.filter(([, { wasmMemory }]) => wasmMemory === 'threads'),
)('slat › 2 MiB leaves on vCPU threads › %s', (_name, build) => {
  const threaded = (options: MachineOptions = {}): Promise<Vm> =>
    huge(build, 'thp', { cpus: 2, threads: true, pool: 24 * MIB, ...options });

  // Both tables of one level-2 table: neighbours of the same GiB.
  it('two vCPUs whose huge pages come, are split, and come again: leaves and leaf tables take turns', async () => {
    await using vm = await threaded();
    const ROUNDS = 200;
    const program = (gpa: number, byte: number): Program => [
      {
        repeat: {
          times: ROUNDS,
          steps: [
            { store: { gpa: gpa + 5 * PAGE, size: 1, val: byte } },
            { load: { gpa: gpa + 5 * PAGE, size: 1 } },
            { dontneed: { gpa, len: PAGE } },
            { load: { gpa: gpa + 5 * PAGE, size: 1 } },
            { store: { gpa, size: 1, val: byte + 1 } },
            { load: { gpa, size: 1 } },
            { dontneed: { gpa, len: HUGE } },
            { load: { gpa, size: 1 } },
          ],
        },
      },
    ];
    const ends = await vm.run([program(4 * HUGE, 10), program(5 * HUGE, 20)]);
    for (const [cpu, byte] of [
      [0, 10],
      [1, 20],
    ] as const) {
      const sums = (ends[cpu]?.[0] as RepeatEnd).steps.map(({ failures, sum }) => [failures, Number(sum)]);
      const loaded = (value: number) => [0, value * ROUNDS];
      expect(sums).toEqual(
        [0, byte, 0, byte, 0, byte + 1, 0, 0].map((value, i) => loaded(i % 2 === 1 ? value : 0)),
      );
    }
    // Each ended with a read of nothing.
    expect(levels(vm, 4 * HUGE, 5 * HUGE)).toEqual([2, 2]);
    expect(letters(vm, 4 * HUGE, 2)).toBe('ZZ');
    expect(vm.host.check()).toEqual([]);
  });

  it('no store is lost to a huge page that the other vCPU takes away again and again', async () => {
    await using vm = await threaded();
    // vCPU 0 counts up in a page of its own; vCPU 1 drops another page of the same huge page, and all of the next one.
    const own = 20 * PAGE;
    const stores: Program = [
      {
        repeat: {
          times: 400,
          advance: 8,
          span: PAGE,
          steps: [{ store: { gpa: own, val: 0x0101_0101_0101_0101n } }],
        },
      },
      { verify: { gpa: own, len: 400 * 8, byte: 1 } },
    ];
    const drops: Program = [
      {
        repeat: {
          times: 200,
          steps: [
            { touch: { gpa: HUGE, len: PAGE, write: true } },
            { dontneed: { gpa: 0, len: PAGE } },
            { dontneed: { gpa: HUGE, len: HUGE } },
          ],
        },
      },
    ];
    const [kept] = await vm.run([stores, drops]);
    expect(kept?.[1]).toEqual({ differs: undefined });
    expect(vm.host.check()).toEqual([]);
  });
});
