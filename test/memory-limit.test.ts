// Memory limit per VM: what is charged, what a VM at its limit loses and keeps, and that other VMs lose nothing.
// Reference: linux 6.18 mm/memcontrol.c, Documentation/admin-guide/cgroup-v2.rst (memory).
import { describe, expect, it } from 'vitest';
import { VM_MEMORY, VM_MEMORY_SWAP } from '../src/core/layout.ts';
import type { Host, Vm } from '../src/machine.ts';
import { createHost, createSandbox } from '../src/machine.ts';
import { loadScenario, ScenarioRun, sandboxOptions } from '../src/scenario/index.ts';
import type { Program } from '../src/threads/program.ts';
import type { BackingKind, VmOptions } from '../src/types.ts';
import { BUILDS, hvaAt, letters, MIB, machine, PAGE } from './support/machines.ts';

const EAGAIN = 11;
const HUGE = 2 * MIB;
const RELEASE = { core: 'release', wasmMemory: 'plain' } as const;

/** Usage and events that are not 0: pages of memory and of swap, `max`, `oom`, `swapMax`, `swapFail`. */
function cgroup(vm: Vm): Record<string, number> {
  const counters = vm.observe.counters();
  const all = {
    memory: (counters['memory.current'] as number) / PAGE,
    swap: (counters['memory.swap.current'] as number) / PAGE,
    max: counters['memory.events.max'] as number,
    oom: counters['memory.events.oom'] as number,
    swapMax: counters['memory.swap.events.max'] as number,
    swapFail: counters['memory.swap.events.fail'] as number,
  };
  return Object.fromEntries(Object.entries(all).filter(([, n]) => n !== 0));
}

const advise = (
  vm: Vm,
  advice: 'dontneed' | 'free' | 'pageout' | 'remove' | 'mergeable',
  at = 0,
  pages = 1,
) => expect(vm.vmm.madvise(hvaAt(vm, at * PAGE), BigInt(pages * PAGE), advice)).toBe(0);
/** Each page gets the byte `first`, `first` + 1 and so on. */
function fill(vm: Vm, at: number, pages: number, first = 1): void {
  for (let i = 0; i < pages; i++) {
    expect(vm.guest.fill({ gpa: (at + i) * PAGE, len: PAGE, byte: first + i }).exit).toBe(undefined);
  }
}
const bytesAt = (vm: Vm, at: number, pages: number): number[] =>
  Array.from({ length: pages }, (_, i) => vm.ramAccess.read((at + i) * PAGE, 1)[0] as number);
const sound = (host: Host) => expect(host.check()).toEqual([]);

describe('memory limit › what a VM is charged for', () => {
  const made = (backing: BackingKind) => machine(RELEASE, { backing, memory: 8 * MIB });
  const write = (at: number) => (vm: Vm) => vm.vmm.store(hvaAt(vm, at * PAGE), 1);
  const read = (at: number) => (vm: Vm) => vm.vmm.load(hvaAt(vm, at * PAGE));

  it.each<[string, BackingKind, readonly ((vm: Vm) => unknown)[], Record<string, number>]>([
    ['the zero page: nothing', 'anon', [read(0)], {}],
    ['an anonymous page', 'anon', [write(0)], { memory: 1 }],
    ['a swapped one: swap', 'anon', [write(0), (vm) => advise(vm, 'pageout')], { swap: 1 }],
    ['one that came back', 'anon', [write(0), (vm) => advise(vm, 'pageout'), read(0)], { memory: 1 }],
    [
      'a swapped one that is dropped',
      'anon',
      [write(0), (vm) => advise(vm, 'pageout'), (vm) => advise(vm, 'dontneed')],
      {},
    ],
    ['a lazily freed one, until reclaim', 'anon', [write(0), (vm) => advise(vm, 'free')], { memory: 1 }],
    ['a page of a file that was only read', 'memfd', [read(0)], { memory: 1 }],
    ['one that is mapped no more', 'memfd', [write(0), (vm) => advise(vm, 'dontneed')], { memory: 1 }],
    ['a hole again: nothing', 'memfd', [write(0), (vm) => advise(vm, 'remove')], {}],
    ['a swapped page of a file', 'memfd', [write(0), (vm) => advise(vm, 'pageout')], { swap: 1 }],
    ['a copy besides the page of the file', 'memfd_priv', [write(0)], { memory: 2 }],
    ['a huge page', 'thp', [write(0)], { memory: 512 }],
    ['the huge zero page: nothing', 'thp', [read(0)], {}],
    [
      'a huge page of which a part is dropped',
      'thp',
      [write(0), (vm) => advise(vm, 'dontneed', 8, 100)],
      { memory: 512 },
    ],
    ['one that is split', 'thp', [write(0), write(9), (vm) => advise(vm, 'free', 9)], { memory: 2 }],
    ['all of it dropped', 'thp', [write(0), (vm) => advise(vm, 'dontneed', 0, 512)], {}],
    ['hugetlb: not this cgroup controller', 'hugetlb', [write(0)], {}],
    ['shared hugetlb: neither', 'hugetlb_shared', [write(0)], {}],
  ])('%s', async (_name, backing, steps, usage) => {
    const vm = await made(backing);
    for (const step of steps) step(vm);
    expect(cgroup(vm)).toEqual(usage);
    sound(vm.host);
  });

  it('a page that KSM shares: the VM whose page it was, also when only another one maps it', async () => {
    const host = await createHost({ memory: 8 * MIB, swap: MIB });
    const [a, b] = [0, 1].map(() => host.createVm({ memory: 8 * MIB })) as [Vm, Vm];
    for (const vm of [a, b]) {
      fill(vm, 0, 1, 7);
      advise(vm, 'mergeable');
    }
    host.ksm.scan(2);
    // The scanner comes to b last, and its page is the one that both have now.
    expect([cgroup(a), cgroup(b)]).toEqual([{}, { memory: 1 }]);
    advise(b, 'dontneed');
    expect([cgroup(a), cgroup(b)]).toEqual([{}, { memory: 1 }]);
    sound(host);
    // At b's limit it is a's page that goes. Its slot is charged to a, which will have it back.
    b.setMemoryLimit(0);
    expect([letters(a, 0), letters(b, 0)]).toEqual(['s', '.']);
    expect([cgroup(a), cgroup(b)]).toEqual([{ swap: 1 }, { max: 1 }]);
    expect(bytesAt(a, 0, 1)).toEqual([7]);
    sound(host);
  });
});

describe.each(BUILDS)('memory limit › %s', (_name, build) => {
  const made = (options: VmOptions & { swap?: number } = {}) =>
    machine(build, { memory: 8 * MIB, memoryLimit: 8 * PAGE, ...options });

  it('at its limit a VM loses its own pages to swap, in address order, and nothing of what is in them', async () => {
    const vm = await made();
    fill(vm, 0, 20);
    expect(letters(vm, 0, 20)).toBe(`${'s'.repeat(16)}aaaa`);
    expect(cgroup(vm)).toEqual({ memory: 4, swap: 16, max: 2 });
    expect(bytesAt(vm, 0, 20)).toEqual(Array.from({ length: 20 }, (_, i) => i + 1));
    sound(vm.host);
  });

  it('lazily freed pages go first, then clean pages of the file, then swap', async () => {
    const anon = await made();
    fill(anon, 0, 8);
    advise(anon, 'free', 5, 2);
    fill(anon, 8, 2);
    expect(letters(anon, 0, 10)).toBe('aaaaa..aaa');
    const file = await made({ backing: 'memfd' });
    fill(file, 0, 4);
    for (let i = 4; i < 8; i++) file.vmm.load(hvaAt(file, i * PAGE));
    fill(file, 8, 1);
    expect(letters(file, 0, 9)).toBe('ffff....f');
    expect(cgroup(file)).toEqual({ memory: 5, max: 1 });
    sound(file.host);
  });

  // What if a guest takes all it can, and more? It stands still; its neighbours do not notice.
  it('without swap: OUT_OF_MEMORY, SIGBUS, EAGAIN; the VM beside it goes on', async () => {
    const host = await createHost({ memory: MIB, swap: 0, ...build });
    const limited = host.createVm({ memory: 8 * MIB, memoryLimit: 8 * PAGE });
    const other = host.createVm({ memory: 8 * MIB });
    fill(other, 0, 20);
    advise(other, 'free', 0, 20);
    fill(limited, 0, 8);
    expect(limited.guest.store(8 * PAGE, 8, 1)).toMatchObject({
      ok: false,
      exit: { reason: 'OUT_OF_MEMORY' },
    });
    expect(host.events.records().findLast(({ kind }) => kind === 'oom')?.detail).toEqual({
      of: 'vm',
      frames: 8,
    });
    expect(limited.vmm.store(hvaAt(limited, 8 * PAGE), 1)).toMatchObject({ ok: false, signal: 'SIGBUS' });
    expect(limited.vmm.mlock(hvaAt(limited, 8 * PAGE), BigInt(PAGE))).toBe(EAGAIN);
    expect(cgroup(limited)).toEqual({ memory: 8, max: 3, oom: 3 });
    expect(bytesAt(limited, 0, 8)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    expect(letters(other, 0, 20)).toBe('l'.repeat(20));
    fill(other, 0, 40);
    advise(limited, 'dontneed', 3);
    fill(limited, 9, 1);
    sound(host);
  });

  it('the host runs out before the limit does: pages of all VMs, and the event says so', async () => {
    const host = await createHost({ memory: 16 * PAGE, swap: 0, ...build });
    const [a, b] = [0, 1].map(() => host.createVm({ memory: MIB, memoryLimit: 12 * PAGE })) as [Vm, Vm];
    fill(a, 0, 12);
    advise(a, 'free', 0, 2);
    fill(b, 0, 6);
    expect(letters(a, 0, 3)).toBe('..a');
    expect(b.guest.store(6 * PAGE, 8, 1)).toMatchObject({ ok: false, exit: { reason: 'OUT_OF_MEMORY' } });
    expect(host.events.records().findLast(({ kind }) => kind === 'oom')?.detail).toEqual({
      of: 'host',
      frames: 16,
    });
    expect([cgroup(a), cgroup(b)]).toEqual([{ memory: 10 }, { memory: 6 }]);
    sound(host);
  });

  it('locked pages stay, whatever the limit', async () => {
    const vm = await made();
    expect(vm.vmm.mlock(hvaAt(vm, 0), BigInt(6 * PAGE))).toBe(0);
    fill(vm, 6, 10);
    expect(letters(vm, 0, 6)).toBe('aaaaaa');
    sound(vm.host);
  });

  it('a huge page that the VM may not have gives way to small ones, and nobody is out of memory', async () => {
    const vm = await made({ backing: 'thp', memoryLimit: HUGE + 16 * PAGE, swap: 0 });
    fill(vm, 0, 1);
    expect(vm.vmm.mlock(hvaAt(vm, 0), BigInt(HUGE))).toBe(0);
    fill(vm, 512, 16);
    expect(letters(vm, 0, 4)).toBe('HHHH');
    expect(letters(vm, HUGE, 17)).toBe(`${'a'.repeat(16)}.`);
    expect(cgroup(vm)).toEqual({ memory: 528, max: 1 });
    expect(vm.guest.store(HUGE + 16 * PAGE, 8, 1)).toMatchObject({ exit: { reason: 'OUT_OF_MEMORY' } });
    sound(vm.host);
  });

  it('a huge page makes room for another one: it is swapped as a whole', async () => {
    const vm = await made({ backing: 'thp', memoryLimit: HUGE + 16 * PAGE, swap: 4 * MIB });
    fill(vm, 0, 3);
    fill(vm, 512, 1, 9);
    expect(letters(vm, 0, 512)).toBe('s'.repeat(512));
    expect(letters(vm, HUGE, 512)).toBe('H'.repeat(512));
    expect(bytesAt(vm, 0, 4)).toEqual([1, 2, 3, 0]);
    expect(cgroup(vm)).toMatchObject({ memory: 512, swap: 512 });
    sound(vm.host);
  });

  it.each([
    ['small pages', 'anon' as const, 8 * PAGE, 12],
    ['pages of a file', 'memfd' as const, 8 * PAGE, 12],
  ])('swap limit, %s: the rest stays in memory', async (_what, backing, memoryLimit, pages) => {
    const vm = await made({ backing, memoryLimit, swapLimit: 4 * PAGE });
    fill(vm, 0, pages);
    expect(cgroup(vm)).toMatchObject({ memory: 8, swap: 4 });
    expect(vm.guest.store(pages * PAGE, 8, 1)).toMatchObject({ exit: { reason: 'OUT_OF_MEMORY' } });
    expect(bytesAt(vm, 0, pages)).toEqual(Array.from({ length: pages }, (_, i) => i + 1));
    // Swap of the host is there; the advice tries each page.
    const before = cgroup(vm).swapMax ?? 0;
    advise(vm, 'pageout', 0, pages);
    expect(cgroup(vm)).toMatchObject({ swap: 4, swapMax: before + 8, swapFail: before + 8 });
    sound(vm.host);
  });

  // 14 frames are left for b, and all of them are swapped when it needs one more.
  it('swap limit: the VM beside it has its own', async () => {
    const host = await createHost({ memory: 24 * PAGE, swap: MIB, ...build });
    const [a, b] = [0, 1].map((n) => host.createVm({ memory: MIB, ...(n === 0 && { swapLimit: 0 }) })) as [
      Vm,
      Vm,
    ];
    fill(a, 0, 10);
    fill(b, 0, 40);
    expect(letters(a, 0, 10)).toBe('a'.repeat(10));
    expect(cgroup(b)).toEqual({ memory: 12, swap: 28 });
    sound(host);
  });

  it('a lower limit: what is over it is reclaimed; what is locked stays, and nothing more can be had', async () => {
    const vm = await machine(build, { memory: 8 * MIB });
    expect(vm.memoryLimit).toBe(undefined);
    fill(vm, 0, 100);
    vm.setMemoryLimit(40 * PAGE + 4095);
    expect(vm.memoryLimit).toBe(40 * PAGE);
    expect(cgroup(vm)).toEqual({ memory: 40, swap: 60, max: 1 });
    // Linux takes 32 pages at least.
    vm.setMemoryLimit(39 * PAGE);
    expect(cgroup(vm)).toMatchObject({ memory: 8, swap: 92 });
    expect(vm.vmm.mlock(hvaAt(vm, 0), BigInt(10 * PAGE))).toBe(0);
    vm.setMemoryLimit(4 * PAGE);
    expect(cgroup(vm)).toMatchObject({ memory: 10, swap: 90, oom: 1 });
    expect(vm.guest.load(50 * PAGE, 8)).toMatchObject({ exit: { reason: 'OUT_OF_MEMORY' } });
    expect(vm.vmm.munlock(hvaAt(vm, 0), BigInt(10 * PAGE))).toBe(0);
    expect(vm.guest.load(50 * PAGE, 8)).toMatchObject({ ok: true });
    vm.setMemoryLimit(undefined);
    expect(vm.guest.touch({ gpa: 0, len: 100 * PAGE }).exit).toBe(undefined);
    expect(bytesAt(vm, 0, 100)).toEqual(Array.from({ length: 100 }, (_, i) => i + 1));
    expect(cgroup(vm)).toMatchObject({ memory: 100 });
    sound(vm.host);
  });

  it('limit 0: no page at all, but zero pages', async () => {
    const vm = await made({ memoryLimit: 0 });
    expect(vm.guest.load(0, 8)).toMatchObject({ ok: true, value: 0n });
    expect(vm.guest.store(0, 8, 1)).toMatchObject({ exit: { reason: 'OUT_OF_MEMORY' } });
    expect(cgroup(vm)).toEqual({ max: 1, oom: 1 });
  });

  it('a checkpoint has the limit and what was charged', async () => {
    const vm = await made();
    fill(vm, 0, 20);
    const before = vm.host.checkpoint();
    const digest = vm.observe.digest();
    vm.setMemoryLimit(2 * PAGE);
    vm.setSwapLimit(0);
    fill(vm, 0, 1, 99);
    vm.host.restore(before);
    expect([vm.memoryLimit, vm.swapLimit, vm.observe.digest()]).toEqual([8 * PAGE, undefined, digest]);
    expect(cgroup(vm)).toEqual({ memory: 4, swap: 16, max: 2 });
    sound(vm.host);
  });
});

describe('memory limit › vCPUs on threads', () => {
  const CPUS = 3;
  const made = (options: VmOptions) =>
    machine(
      { core: 'debug', wasmMemory: 'threads' },
      { memory: 32 * MIB, cpus: CPUS, threads: true, swap: 32 * MIB, ...options },
    );
  /** Each vCPU writes `pages` pages of its own, then reads them all again. */
  const programs = (pages: number): Program[] =>
    Array.from({ length: CPUS }, (_, cpu) => [
      { fill: { gpa: cpu * 8 * MIB, len: pages * PAGE, byte: cpu + 1 } },
      { verify: { gpa: cpu * 8 * MIB, len: pages * PAGE, byte: cpu + 1 } },
    ]);

  it.each([
    ['anon' as const, 100, 64],
    ['thp' as const, 1024, 1024],
    ['memfd' as const, 100, 64],
  ])('%s: usage is never over the limit, and nothing is lost', async (backing, pages, limit) => {
    await using vm = await made({ backing, memoryLimit: limit * PAGE });
    const results = await vm.run(programs(pages));
    for (const result of results.flat()) expect(result).not.toHaveProperty('exit.reason');
    const { memory, swap, oom } = cgroup(vm);
    expect(memory).toBeLessThanOrEqual(limit);
    expect((memory as number) + (swap as number)).toBe(CPUS * pages);
    expect(oom).toBe(undefined);
    sound(vm.host);
  });

  it('no limit: what each vCPU was charged for is added up', async () => {
    await using vm = await made({});
    await vm.run(programs(100));
    expect(cgroup(vm)).toEqual({ memory: 300 });
    sound(vm.host);
  });

  it('hugetlb pages of vCPU threads are counted', async () => {
    await using vm = await made({ backing: 'hugetlb' });
    await vm.run(programs(1));
    expect(vm.observe.counters()).toMatchObject({ 'host.hugetlb': CPUS * HUGE, 'memory.current': 0 });
    sound(vm.host);
  });
});

describe('memory limit › check()', () => {
  it.each([
    ['memory', VM_MEMORY],
    ['swap', VM_MEMORY_SWAP],
  ])('finds a VM that is charged for a page of %s too many', async (_name, at) => {
    const vm = await machine(RELEASE, { swap: MIB });
    fill(vm, 0, 4);
    advise(vm, 'pageout', 0, 2);
    sound(vm.host);
    const { u32 } = vm.host.core;
    u32[(vm.ptr + at) >>> 2] = 3;
    expect(vm.host.check()).toEqual(['a VM is charged for other pages than it has (at 0x2)']);
  });
});

describe('memory limit › scenarios', () => {
  const TEXT = `
version: 1
machine: { memory: 8M, memoryLimit: 32K, swapLimit: 16K }
steps:
  - fill: { gpa: 1M, len: 64K, byte: 1, id: much }
  - expect: { much.exit: OUT_OF_MEMORY, much.pages: 12, memory.current: 32K, memory.swap.current: 16K, memory.events.oom: 1 }
  - load: { gpa: 1M, id: read }
  - expect: { read.exit: OUT_OF_MEMORY }
`;

  it('limits of the machine, and what they lead to', async () => {
    const scenario = loadScenario(TEXT);
    const run = new ScenarioRun(scenario, await createSandbox(sandboxOptions(scenario.machine)));
    const failed: string[] = [];
    for (let step = run.step(); step !== undefined; step = run.step()) if (!step.ok) failed.push(step.text);
    expect(failed).toEqual([]);
    expect([run.passed, run.unexpected]).toEqual([6, 0]);
  });
});

describe('memory limit › options', () => {
  it.each([
    ['words', { memoryLimit: 'all' }],
    ['negative', { swapLimit: -1 }],
  ])('%s: SLB-010, and no VM is made', async (_name, options) => {
    const host = await createHost({ memory: MIB });
    expect(() => host.createVm(options)).toThrow(expect.objectContaining({ code: 'SLB-010' }));
    expect(host.metadataBytes()).toBe(0);
    expect(host.createVm().id).toBe(0);
  });

  it('text, and rounded down to pages', async () => {
    const vm = await machine(RELEASE, { memoryLimit: '1M+1', swapLimit: '8K' });
    expect([vm.memoryLimit, vm.swapLimit]).toEqual([MIB, 2 * PAGE]);
  });
});
