// Steps that are not the guest's doing: free page reporting, writes to the memory file, KSM scans, core dumps.
import { describe, expect, it } from 'vitest';
import type { Vm } from '../src/machine.ts';
import { createMachine, loadScenario, ScenarioRun, type StepResult } from '../src/scenario/index.ts';

async function run(machine: string, ...steps: string[]) {
  const yaml = `version: 1\nmachine: { ${machine} }\nsteps:\n${steps.map((s) => `  - ${s}\n`).join('')}`;
  const scenario = loadScenario(yaml);
  const vms = await createMachine(scenario.machine);
  const all = new ScenarioRun(scenario, vms);
  const results: StepResult[] = [];
  for (let r = all.step(); r; r = all.step()) results.push(r);
  const vm = [...vms.values()][0] as Vm;
  expect(results.flatMap((r) => r.expectations.filter((e) => !e.ok))).toEqual([]);
  expect(vm.host.check()).toEqual([]);
  return { results, last: results.at(-1) as StepResult, vm, unexpected: all.unexpected };
}
const letters = (vm: Vm, page: number, count: number): string =>
  vm.observe.pageLetters((vm.ram[0]?.hva ?? 0n) + BigInt(page * 4096), count);

describe('free-report', () => {
  // What Linux's buddy allocator has of a free range: naturally aligned blocks, of which those of 2 and 4 MiB are reported.
  it.each([
    ['one block', '2M', '2M', 1, 1, 0],
    ['two that are one block of 4M', '4M', '4M', 2, 1, 0],
    ['two that are not', '2M', '4M', 2, 2, 0],
    ['five: 2, 4, 4', '2M', '10M', 5, 3, 0],
    ['a page less at the end', '2M', '2044K', 0, 0, 2044 << 10],
    ['a page less at the start', '2M+4K', '2044K', 0, 0, 2044 << 10],
    ['a block in the middle', '2M+4K', '4M', 1, 1, 2 << 20],
    ['no page at all', '2M', '0', 0, 0, 0],
    ['less than a page over', '4M', '2M+100', 1, 1, 100],
    ['no whole block in nearly two', '2M+4K', '4088K', 0, 0, 4088 << 10],
  ])('%s', async (_name, gpa, len, blocks, calls, left) => {
    const { last, vm } = await run(
      'memory: 16M, swap: 0',
      'touch: { gpa: 0, len: 16M, write: true }',
      `free-report: { gpa: ${gpa}, len: ${len} }`,
    );
    expect(last.fields).toEqual({ errno: 0, bytes: blocks << 21, blocks, calls, left, ok: true });
    expect(vm.observe.rss()).toBe((16 << 20) - (blocks << 21));
  });

  it.each([
    ['anon', '.', 0],
    ['anon_acct', '.', 0],
    ['thp', '.', 0],
    ['memfd', '.', 0],
    ['hugetlb', '.', 0],
    ['hugetlb_shared', 'g', 0],
  ])('%s: the memory is the host’s again, and reads as zeros', async (kind, letter, frames) => {
    const { vm } = await run(
      `memory: 4M, swap: 0, backing: { kind: ${kind} }`,
      'fill: { gpa: 2M, len: 2M, byte: 7 }',
      'free-report: { gpa: 2M, len: 2M, id: r }',
      'expect: { r.errno: 0 }',
    );
    expect(letters(vm, 512, 512)).toBe(letter.repeat(512));
    expect(vm.host.frames().used).toBe(frames);
    expect(vm.guest.load('2M', 8)).toMatchObject({ ok: true, value: 0n });
  });

  it('locked memory cannot be dropped: the VMM stops there, what came before is gone', async () => {
    const { last, vm, unexpected } = await run(
      'memory: 16M, swap: 0',
      'touch: { gpa: 0, len: 16M, write: true }',
      'mlock: { gpa: 6M, len: 4K }',
      'free-report: { gpa: 2M, len: 8M }',
    );
    // 2M to 4M; then 4M to 8M, whose first VMA goes before the locked one refuses.
    expect(last.fields).toMatchObject({ errno: 22, blocks: 1, calls: 2, ok: false });
    expect(unexpected).toBe(1);
    expect(letters(vm, 512, 1)).toBe('.');
    expect(letters(vm, 1536, 1)).toBe('a');
    expect(letters(vm, 2048, 1)).toBe('a');
  });

  it('outside RAM there is nothing to report', async () => {
    const { last } = await run('memory: 16M', 'free-report: { gpa: 16M, len: 2M }');
    expect(last.fields).toMatchObject({ errno: 14, bytes: 0, ok: false });
  });
});

describe('file.write', () => {
  it('memfd: the guest sees the bytes, and they are its memory only when it has touched the page', async () => {
    const { results, vm } = await run(
      'memory: 16M, swap: 0, backing: { kind: memfd }',
      'file.write: { gpa: 1M+4090, len: 8, byte: 0xab, id: w }',
      'expect: { w.errno: 0, w.bytes: 8, host.rss: 0, pool.used: 8K }',
      'load: { gpa: 1M+4088, size: 4, as: low }',
      'load: { gpa: 1M+4096, size: 4, as: high }',
      'expect: { low: 0xabab0000, high: 0x0000abab, host.rss: 8K, pool.used: 8K }',
    );
    expect(results.every((r) => r.ok)).toBe(true);
    expect(vm.observe.file()?.blocks).toBe(2);
  });

  it('memfd_priv: seen until the guest has a copy of its own', async () => {
    await run(
      'memory: 16M, swap: 0, backing: { kind: memfd_priv }',
      'load: { gpa: 1M, size: 1, as: before }',
      'file.write: { gpa: 1M, len: 4K, byte: 1 }',
      'load: { gpa: 1M, size: 1, as: seen }',
      'store: { gpa: 1M+8, size: 1, val: 9 }',
      'file.write: { gpa: 1M, len: 4K, byte: 2 }',
      'load: { gpa: 1M, size: 1, as: hidden }',
      'dontneed: { gpa: 1M, len: 4K }',
      'load: { gpa: 1M, size: 1, as: again }',
      'expect: { before: 0, seen: 1, hidden: 1, again: 2 }',
    );
  });

  it.each([
    ['anon', 19],
    ['thp', 19],
    ['hugetlb', 19],
    ['hugetlb_shared', 22],
  ])('%s: errno %d', async (kind, errno) => {
    const { last } = await run(
      `memory: 16M, backing: { kind: ${kind} }`,
      'file.write: { gpa: 1M, len: 4K, byte: 1 }',
    );
    expect(last.fields).toMatchObject({ errno, bytes: 0, ok: false });
  });

  it('ends where there is no frame, and says how far it came', async () => {
    const { last } = await run(
      'memory: 16M, pool: 64K, swap: 0, backing: { kind: memfd }',
      'touch: { gpa: 0, len: 32K, write: true }',
      'mlock: { gpa: 0, len: 32K }',
      'file.write: { gpa: 1M, len: 1M, byte: 1 }',
    );
    expect(last.fields).toMatchObject({ errno: 12, ok: false });
    expect(last.fields.bytes).toBeLessThan(64 << 10);
  });

  it('outside RAM, and over its end', async () => {
    const machine = 'memory: 16M, backing: { kind: memfd }';
    const outside = await run(machine, 'file.write: { gpa: 32M, len: 4K, byte: 1 }');
    expect(outside.last.fields).toMatchObject({ errno: 14, bytes: 0 });
    const over = await run(machine, 'file.write: { gpa: 16M+0, len: 4K, byte: 1 }');
    expect(over.last.fields).toMatchObject({ errno: 14, bytes: 0 });
    const across = await run(machine, 'file.write: { gpa: 16380K, len: 8K, byte: 1 }');
    expect(across.last.fields).toMatchObject({ errno: 14, bytes: 4096 });
  });
});

describe('ksm.scan', () => {
  it('merges what two VMs have alike in the second pass, and counts passes of the host', async () => {
    const { results } = await run(
      'memory: 16M, pool: 8M, swap: 0, vms: { a: {}, b: {} }',
      'each: { steps: [{ mergeable: { gpa: 1M, len: 1M } }, { store: { gpa: 1M, val: 5 } }, { store: { gpa: 1M+4K, val: 6 } }] }',
      'ksm.scan: { passes: 1, id: one }',
      'expect: { one.scans: 1, one.shared: 0, pool.used: { unchanged: true } }',
      'ksm.scan: { id: three }',
      'expect: { three.scans: 3, three.shared: 2, ksm.shared: 2, pool.used: { change: -8K }, all.ksm.merged: { change: 2 } }',
    );
    const scan = results.findLast((r) => r.kind === 'ksm.scan');
    expect(scan?.title).toBe('ksm.scan, 2 passes');
    expect(scan?.memory.saved).toBe(8192);
  });
});

describe('core', () => {
  it('of all RAM, and of ranges, over VMAs that are in the file and that are not', async () => {
    await run(
      'memory: 16M, swap: 0',
      'touch: { gpa: 0, len: 1M, write: true }',
      'dontdump: { gpa: 256K, len: 64K }',
      'core: { id: all }',
      'core: { gpa: 256K, len: 64K, id: out }',
      'core: { gpa: 252K, len: 72K, id: around }',
      'core: { gpa: 15M, len: 4M, id: end }',
      'core: { gpa: 64M, len: 4K, id: nowhere }',
      'core: { filter: 0, id: none }',
      'expect: { all.dumped: 16320K, out.dumped: 0, around.dumped: 8K, end.dumped: 1M, nowhere.dumped: 0, none.dumped: 0 }',
      'expect: { all.resident: 240, all.swapped: 0 }',
    );
  });

  it('changes nothing: a swapped page stays where it is', async () => {
    const { results, vm } = await run(
      'memory: 16M, swap: 1M',
      'touch: { gpa: 0, len: 64K, write: true }',
      'pageout: { gpa: 0, len: 16K }',
      'core: { gpa: 0, len: 64K, id: c }',
      'expect: { c.dumped: 64K, c.swapped: 4, host.swap: 16K }',
    );
    expect(results[2]?.changed).toEqual({});
    expect(letters(vm, 0, 5)).toBe('ssssa');
  });
});
