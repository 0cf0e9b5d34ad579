// hugetlb pages of 1 GiB and the leaves that map them: what comes and goes with one, the rules of its size, and its pool.
// Reference: linux mm/hugetlb.c (gigantic pages), arch/x86/kvm/mmu/mmu.c (host_pfn_mapping_level).
import { describe, expect, it } from 'vitest';
import { Errno } from '../assembly/abi/errno.ts';
import { Kpf } from '../assembly/abi/page-flags.ts';
import type { BackingKind, Program, RepeatEnd, Vm } from '../src/index.ts';
import { createHost, createSandbox } from '../src/index.ts';
import { createMachine, loadScenario, ScenarioRun } from '../src/scenario/index.ts';
import { ADDRESS, GIB_LEAF, HUGE_RO, HUGE_RW, levels } from './support/leaves.ts';
import {
  BUILDS,
  type Build,
  changes,
  GIB,
  hvaAt,
  letters,
  type MachineOptions,
  MIB,
  machine,
  PAGE,
} from './support/machines.ts';

const FRAMES = GIB / PAGE;
const { OK, EINVAL } = Errno;

/** A guest of two GiB on a host with one page of 1 GiB, and of frames next to none. */
const giant = (build: Build, options: MachineOptions = {}): Promise<Vm> =>
  machine(build, {
    backing: 'hugetlb_1g',
    memory: 2 * GIB,
    hugepages1g: 1,
    pool: 2 * MIB,
    swap: 0,
    ...options,
  });
const entry = (vm: Vm, gpa: number): bigint => (vm.observe.walk(gpa).entries.at(-1)?.value ?? 0n) & ~ADDRESS;
const advise = (vm: Vm, gpa: number, len: number, advice: 'dontneed' | 'free' | 'remove' | 'pageout') =>
  vm.vmm.madvise(hvaAt(vm, gpa), BigInt(len), advice);
/** [leaves of any size, of 2 MiB, of 1 GiB, free pages of 1 GiB] */
const counts = (vm: Vm): (number | undefined)[] => {
  const counters = vm.observe.counters();
  return [
    counters['slat.mapped'],
    counters['slat.mapped2m'],
    counters['slat.mapped1g'],
    vm.host.hugepages1g().free,
  ];
};

describe.each(BUILDS)('slat › 1 GiB leaves › %s', (_name, build) => {
  it.each([
    'hugetlb_1g',
    'hugetlb_1g_shared',
  ] as const)('%s: one violation maps all of the GiB by a leaf of level 3', async (backing) => {
    const vm = await giant(build, { backing, memory: GIB });
    const change = changes(vm, () => vm.guest.touch({ gpa: 0, len: 64 * MIB, write: true, byte: 7 }));
    expect(change).toMatchObject({ 'slat.violations': 1, 'slat.mapped': 1, 'slat.mapped1g': 1 });
    expect(change).toMatchObject({ 'host.hugetlb': GIB, 'faults.minor': 1 });
    expect(change).not.toHaveProperty('slat.mapped2m');
    expect(change).not.toHaveProperty('pool.used');
    const walk = vm.observe.walk(0x3123_4567);
    expect(walk.entries.map((e) => e.level)).toEqual([4, 3]);
    const last = walk.entries[1];
    expect([(last?.value ?? 0n) & ~ADDRESS, last?.leaf]).toEqual([HUGE_RW | GIB_LEAF, true]);
    expect((last?.address ?? 1n) % BigInt(GIB)).toBe(0n);
    expect(walk.hpa).toBe((last?.address ?? 0n) + 0x3123_4567n);
    // What the entry says is where the bytes are, in every 2 MiB, near either end, and over a border.
    for (const gpa of [8, 0x3123_4560, GIB - 8, 2 * MIB - 4]) {
      vm.guest.store(gpa, 8, BigInt(gpa) + 3n);
      expect(vm.guest.load(gpa, 8)).toMatchObject({ value: BigInt(gpa) + 3n });
      expect(vm.host.core.u8[Number(last?.address) + gpa]).toBe((gpa + 3) & 255);
      expect(vm.vmm.load(hvaAt(vm, gpa))).toMatchObject({ value: (gpa + 3) & 255 });
    }
    expect(vm.guest.verify({ gpa: 63 * MIB, len: 1, byte: 7 }).differs).toBeUndefined();
    expect(vm.host.check()).toEqual([]);
  });

  it('a read of private memory maps it read-only; a write anywhere makes all of it writable', async () => {
    const vm = await giant(build, { memory: GIB });
    expect(vm.guest.load(5 * PAGE, 8)).toMatchObject({ value: 0n });
    expect(entry(vm, 0)).toBe(HUGE_RO | GIB_LEAF);
    expect(vm.host.check()).toEqual([]);
    const change = changes(vm, () => vm.guest.store(700 * MIB, 1, 1));
    expect(change).toMatchObject({ 'slat.violations': 1 });
    expect(entry(vm, 0)).toBe(HUGE_RW | GIB_LEAF);
    expect(counts(vm)).toEqual([1, 0, 1, 0]);
    expect(vm.host.check()).toEqual([]);
  });

  it('no page left: EFAULT for a vCPU, SIGBUS for the VMM, and nothing changed; others go on', async () => {
    const vm = await giant(build);
    vm.guest.store(0, 1, 1);
    expect(counts(vm)).toEqual([1, 0, 1, 0]);
    const before = vm.host.metadataBytes();
    expect(vm.guest.store(GIB, 1, 1)).toMatchObject({ ok: false, exit: { reason: 'EFAULT' } });
    expect(vm.vmm.store(hvaAt(vm, GIB), 1)).toMatchObject({ ok: false, signal: 'SIGBUS' });
    expect(vm.vmm.mlock(hvaAt(vm, GIB), 4096n)).not.toBe(OK);
    expect([vm.host.metadataBytes(), letters(vm, 0), letters(vm, GIB)]).toEqual([before, 'G', '.']);
    expect(vm.guest.load(0, 1)).toMatchObject({ value: 1n });
    expect(vm.host.check()).toEqual([]);
  });

  // Private memory: [what, the call, errno].
  it.each<[string, (vm: Vm) => number, number]>([
    ['DONTNEED from inside', (vm) => advise(vm, 2 * MIB, GIB, 'dontneed'), EINVAL],
    ['DONTNEED of a part: the end is rounded down', (vm) => advise(vm, 0, GIB - PAGE, 'dontneed'), OK],
    ['FREE', (vm) => advise(vm, 0, GIB, 'free'), EINVAL],
    ['PAGEOUT', (vm) => advise(vm, 0, GIB, 'pageout'), EINVAL],
    ['REMOVE of private memory', (vm) => advise(vm, 0, GIB, 'remove'), Errno.EACCES],
    ['mprotect of a part', (vm) => vm.vmm.mprotect(hvaAt(vm, 0), BigInt(2 * MIB), 1), EINVAL],
    ['munmap of a part', (vm) => vm.vmm.munmap(hvaAt(vm, 2 * MIB), BigInt(2 * MIB)), EINVAL],
    ['mlock of a part', (vm) => vm.vmm.mlock(hvaAt(vm, 4 * PAGE), 4096n), OK],
  ])('%s leaves page and leaf as they are', async (_what, call, errno) => {
    const vm = await giant(build);
    vm.guest.store(5 * MIB, 1, 9);
    const change = changes(vm, () => expect(call(vm)).toBe(errno));
    expect(Object.keys(change).filter((name) => name !== 'notifier.calls')).toEqual([]);
    expect(counts(vm)).toEqual([1, 0, 1, 0]);
    expect(vm.guest.load(5 * MIB, 1)).toMatchObject({ value: 9n });
  });

  it('mprotect of a whole page: one leaf goes, and comes back with what is allowed', async () => {
    const vm = await giant(build);
    vm.guest.store(5 * MIB, 1, 9);
    const change = changes(vm, () => expect(vm.vmm.mprotect(hvaAt(vm, 0), BigInt(GIB), 1)).toBe(OK));
    expect(change).toMatchObject({ 'slat.zapped': 1, 'slat.mapped1g': -1, 'notifier.calls': 1 });
    expect(vm.guest.load(5 * MIB, 1)).toMatchObject({ value: 9n });
    expect(entry(vm, 0)).toBe(HUGE_RO | GIB_LEAF);
    expect(vm.guest.store(0, 1, 1)).toMatchObject({ exit: { reason: 'EFAULT' } });
    expect(vm.host.check()).toEqual([]);
    expect(vm.vmm.mprotect(hvaAt(vm, 0), BigInt(GIB), 3)).toBe(OK);
    expect(vm.guest.store(0, 1, 1).ok).toBe(true);
    expect(vm.host.check()).toEqual([]);
  });

  it('DONTNEED of a shared page takes the leaf of all the GiB at once; the file keeps the page', async () => {
    const vm = await giant(build, { backing: 'hugetlb_1g_shared' });
    vm.guest.store(5 * MIB, 1, 9);
    const change = changes(vm, () => expect(advise(vm, 0, GIB, 'dontneed')).toBe(OK));
    expect(change).toMatchObject({ 'slat.zapped': 1, 'slat.flushes': 1, 'notifier.calls': 1 });
    expect([levels(vm, 0, GIB - PAGE), letters(vm, 0)]).toEqual([[0, 0], 'g']);
    expect(counts(vm)).toEqual([0, 0, 0, 0]);
    expect(vm.guest.load(5 * MIB, 1)).toMatchObject({ value: 9n });
    expect(vm.host.check()).toEqual([]);
  });

  it('REMOVE of a shared part zeroes it where it is; of all, the page goes', async () => {
    const vm = await giant(build, { backing: 'hugetlb_1g_shared' });
    vm.guest.fill({ gpa: 4 * MIB, len: 3 * PAGE, byte: 9 });
    expect(advise(vm, 4 * MIB + PAGE, PAGE, 'remove')).toBe(OK);
    expect(counts(vm)).toEqual([1, 0, 1, 0]);
    const bytes = [0, 1, 2].map((n) =>
      Number((vm.guest.load(4 * MIB + n * PAGE, 1) as { value: bigint }).value),
    );
    expect(bytes).toEqual([9, 0, 9]);
    expect(vm.observe.smapsText()).toContain('Private_Hugetlb: 1048576 kB');
    expect(advise(vm, 0, GIB, 'remove')).toBe(OK);
    expect([counts(vm), letters(vm, 0)]).toEqual([[0, 0, 0, 1], 'g']);
    expect(vm.host.check()).toEqual([]);
  });

  it('munmap gives the page back; the other GiB takes it, and reads nothing of what was there', async () => {
    const vm = await giant(build);
    const marks = [0, 77 * MIB + 8, GIB - 8];
    for (const gpa of marks) vm.guest.store(gpa, 8, 0x5ec2e7n);
    const before = changes(vm, () => expect(vm.vmm.munmap(hvaAt(vm, 0), BigInt(GIB))).toBe(OK));
    expect(before).toMatchObject({ 'slat.mapped1g': -1, 'host.hugetlb': -GIB });
    expect(counts(vm)).toEqual([0, 0, 0, 1]);
    for (const gpa of marks) expect(vm.guest.load(GIB + gpa, 8)).toMatchObject({ value: 0n });
    expect(levels(vm, 0, GIB)).toEqual([0, 3]);
    expect(vm.host.check()).toEqual([]);
  });

  it('two VMs share the pages that the host set aside; a VM of small pages has its own memory', async () => {
    const host = await createHost({ ...build, memory: 4 * MIB, swap: 0, hugepages1g: 1 });
    const ram = { memory: GIB } as const;
    const [a, b] = [0, 1].map(() => host.createVm({ ...ram, backing: 'hugetlb_1g' })) as [Vm, Vm];
    const small = host.createVm(ram);
    a.guest.store(0, 1, 1);
    expect(b.guest.store(0, 1, 1)).toMatchObject({ exit: { reason: 'EFAULT' } });
    expect(small.guest.store(0, 1, 1).ok).toBe(true);
    expect([host.hugepages1g(), host.frames().used]).toEqual([{ total: 1, free: 0 }, 1]);
    expect([a, b, small].map((vm) => levels(vm, 0)[0])).toEqual([3, 0, 1]);
    expect(host.check()).toEqual([]);
    expect(advise(a, 0, GIB, 'dontneed')).toBe(OK);
    expect(b.guest.load(0, 1)).toMatchObject({ value: 0n });
    expect(host.check()).toEqual([]);
  });

  it('metadata runs out in the middle of a page: nothing changed', async () => {
    // 512 pages of page state to a page of 1 GiB; the host's metadata is taken by pages of a small guest.
    const host = await createHost({ ...build, memory: 64 * MIB, swap: 0, hugepages1g: 1 });
    const big = host.createVm({ memory: GIB, backing: 'hugetlb_1g' });
    const hog = host.createVm({ memory: '64G' });
    for (let gpa = 4 * GIB; host.metadataBytes() < (16384 + 2048 - 400) * PAGE; gpa += 2 * MIB) {
      expect(hog.vmm.load(hvaAt(hog, gpa))).toMatchObject({ ok: true });
    }
    // Enough to begin with: 512 are needed, and 64 are kept back.
    const used = host.metadataBytes();
    expect(Math.abs(used / PAGE - (16384 + 2048 - 400))).toBeLessThan(10);
    expect(big.guest.store(0, 1, 1)).toMatchObject({ exit: { reason: 'OUT_OF_MEMORY' } });
    expect([letters(big, 0), host.hugepages1g().free]).toEqual(['.', 1]);
    expect(host.metadataBytes()).toBeLessThanOrEqual(used);
    expect(host.check()).toEqual([]);
    // With room again it works.
    expect(hog.vmm.munmap(hvaAt(hog, 4 * GIB), BigInt(60 * GIB))).toBe(OK);
    expect(big.guest.store(0, 1, 1).ok).toBe(true);
    expect(host.check()).toEqual([]);
  });

  it('a checkpoint keeps the page; what came after it is zeroed when the page has another owner', async () => {
    const vm = await giant(build);
    const empty = vm.host.checkpoint();
    vm.guest.store(3 * MIB, 8, 7n);
    vm.host.restore(empty);
    expect(counts(vm)).toEqual([0, 0, 0, 1]);
    expect(vm.guest.load(3 * MIB, 8)).toMatchObject({ value: 0n });
    expect(vm.host.check()).toEqual([]);
  });

  it('smaps, status, pagemap and page flags tell of pages of 1 GiB', async () => {
    const vm = await giant(build);
    vm.guest.store(0, 1, 1);
    expect(vm.observe.smapsText()).toMatch(/KernelPageSize: {2}1048576 kB\nMMUPageSize: {5}1048576 kB/);
    expect(vm.observe.smapsText()).toContain('Private_Hugetlb: 1048576 kB');
    expect(vm.observe.statusText()).toContain('HugetlbPages:\t 1048576 kB');
    const pfn = Number((vm.observe.walk(0).hpa as bigint) >> 12n);
    const pagemap = vm.observe.pagemap(hvaAt(vm, GIB - PAGE), hvaAt(vm, GIB));
    expect(Number((pagemap[0] as bigint) & 0xffff_ffffn)).toBe(pfn + FRAMES - 1);
    const flags = [0, 1, 512, FRAMES - 1, FRAMES].map((n) => Number(vm.host.kpageflags(pfn + n, 1)[0]));
    const has = (bit: Kpf): boolean[] => flags.map((f) => (f & (1 << bit)) !== 0);
    expect(has(Kpf.Huge)).toEqual([true, true, true, true, false]);
    expect(has(Kpf.CompoundHead)).toEqual([true, false, false, false, false]);
    expect(has(Kpf.CompoundTail)).toEqual([false, true, true, true, false]);
    expect(vm.observe.page(700 * MIB)).toMatchObject({
      letter: 'G',
      huge: { first: BigInt(pfn) << 12n, mappedPages: FRAMES, asOne: true },
      mappings: 1,
    });
    const pages = vm.observe.pageTypes().types.filter(({ names }) => names.includes('huge'));
    expect(pages.map((t) => t.pages)).toEqual([1, FRAMES - 1]);
    expect(vm.host.pageTypes().pages).toBe(1 + 512 + FRAMES);
  });

  it('the raster shows the leaf in all its cells', async () => {
    const vm = await giant(build);
    vm.guest.store(0, 1, 1);
    expect([...vm.observe.raster('slat', 0, 29, 4, 1)].map((byte) => byte & 8)).toEqual([8, 8, 0, 0]);
  });
});

describe('slat › 1 GiB leaves › in a scenario', () => {
  it('machine.hugepages1g sets pages aside for hugetlb_1g', async () => {
    const text = [
      'version: 1',
      'machine: { memory: 2G, swap: 0, hugepages1g: 1, backing: { kind: hugetlb_1g } }',
      'steps:',
      '  - touch: { gpa: 0, len: 8M, write: true }',
      '  - expect: { slat.mapped1g: 1, host.hugetlb: 1G, slat.violations: 1 }',
      '  - store: { gpa: 1G, val: 1, id: more }',
      '  - expect: { more.exit: EFAULT, slat.mapped1g: 1 }',
      '',
    ].join('\n');
    const scenario = loadScenario(text, 'giant');
    const run = new ScenarioRun(scenario, await createMachine(scenario.machine));
    for (let step = run.step(); step !== undefined; step = run.step()) expect(step.unexpected).toBe(false);
  });
});

describe('slat › 1 GiB leaves › the digest', () => {
  it('is the same for the same way there, and tells a leaf', async () => {
    const digests = [];
    for (const write of [true, true, false]) {
      const vm = await giant({ core: 'release', wasmMemory: 'plain' }, { memory: GIB });
      vm.vmm.store(hvaAt(vm, 0), 1);
      if (write) vm.guest.store(0, 1, 1);
      digests.push(vm.observe.digest());
    }
    expect(digests[0]).toBe(digests[1]);
    expect(digests[2]).not.toBe(digests[0]);
  });
});

describe('slat › 1 GiB leaves › machines that cannot be', () => {
  it.each<[string, object, string]>([
    ['RAM that is no whole GiB', { memory: GIB + 2 * MIB, hugepages1g: 1 }, 'SLB-024'],
    ['RAM at half a GiB', { ram: [{ gpa: GIB / 2, size: GIB }], hugepages1g: 1 }, 'SLB-024'],
    ['three pages', { memory: GIB, hugepages1g: 3 }, 'SLB-020'],
    ['half a page', { memory: GIB, hugepages1g: 0.5 }, 'SLB-020'],
    ['two pages and two GiB of frames', { memory: GIB, hugepages1g: 2, pool: 2 * GIB }, 'SLB-020'],
  ])('%s', async (_what, options, code) => {
    await expect(createSandbox({ backing: 'hugetlb_1g' as BackingKind, ...options })).rejects.toMatchObject({
      code,
    });
  });
});

describe.each(
  BUILDS.filter(([, { wasmMemory }]) => wasmMemory === 'threads'),
)('slat › 1 GiB leaves on vCPU threads › %s', (_name, build) => {
  const counted = (gpa: number, times: number): Program => [
    {
      repeat: {
        times,
        advance: 8,
        span: 64 * PAGE,
        steps: [{ store: { gpa, size: 8, val: 0x0101_0101_0101_0101n } }, { load: { gpa, size: 1 } }],
      },
    },
    { verify: { gpa, len: Math.min(times * 8, 64 * PAGE), byte: 1 } },
  ];

  it('two vCPUs bring the same page at the same time: it comes once', async () => {
    await using vm = await giant(build, { cpus: 2, threads: true, memory: GIB });
    const change = await changed(vm, [counted(3 * MIB, 500), counted(900 * MIB, 500)]);
    expect(change).toMatchObject({ 'faults.minor': 1, 'slat.mapped1g': 1, 'host.hugetlb': GIB });
    expect(vm.host.check()).toEqual([]);
  });

  it('of two that each want another GiB and find one page, one goes on', async () => {
    await using vm = await giant(build, { cpus: 2, threads: true });
    const store = (gpa: number): Program => [{ store: { gpa, size: 1, val: 5 } }];
    const ends = await vm.run([store(7 * MIB), store(GIB + 7 * MIB)]);
    expect(ends.map(([end]) => (end as { ok: boolean }).ok).sort()).toEqual([false, true]);
    expect(vm.host.check()).toEqual([]);
  });

  it('no store is lost while another vCPU takes the leaf away again and again', async () => {
    await using vm = await giant(build, { cpus: 2, threads: true, backing: 'hugetlb_1g_shared' });
    const drops: Program = [{ repeat: { times: 200, steps: [{ dontneed: { gpa: 0, len: GIB } }] } }];
    const [kept, dropped] = await vm.run([counted(20 * MIB, 2000), drops]);
    expect((kept?.[0] as RepeatEnd).steps.map(({ failures, sum }) => [failures, Number(sum)])).toEqual([
      [0, 0],
      [0, 2000],
    ]);
    expect(kept?.[1]).toEqual({ differs: undefined });
    expect((dropped?.[0] as RepeatEnd).steps[0]?.failures).toBe(0);
    expect(vm.host.check()).toEqual([]);
  });
});

async function changed(vm: Vm, programs: Program[]): Promise<Record<string, number>> {
  const before = vm.observe.counters();
  const ends = await vm.run(programs);
  for (const end of ends) expect(end[1]).toEqual({ differs: undefined });
  const after = vm.observe.counters();
  return Object.fromEntries(Object.entries(after).map(([name, n]) => [name, n - (before[name] ?? 0)]));
}
