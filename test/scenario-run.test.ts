// Scenarios on the engine: what a step reports, what counts as an expectation, and time travel of a run.
import { describe, expect, it } from 'vitest';
import type { Vm } from '../src/machine.ts';
import { builtins } from '../src/scenario/builtins/index.ts';
import { COUNTERS } from '../src/scenario/counters.ts';
import { createMachine, loadScenario, ScenarioRun, type StepResult } from '../src/scenario/index.ts';
import type { Params } from '../src/scenario/params.ts';
import type { CoreBuild } from '../src/types.ts';

const text = (steps: string, machine = 'memory: 64M'): string =>
  `version: 1\nmachine: { ${machine} }\nsteps:\n${steps}`;

async function start(
  yaml: string,
  core: CoreBuild = 'release',
  params: Params = {},
): Promise<{ run: ScenarioRun; vm: Vm }> {
  const scenario = loadScenario(yaml, 'test', params);
  const vms = await createMachine(scenario.machine, { core });
  return { run: new ScenarioRun(scenario, vms), vm: [...vms.values()][0] as Vm };
}
function all(run: ScenarioRun): StepResult[] {
  const results: StepResult[] = [];
  for (let r = run.step(); r !== undefined; r = run.step()) results.push(r);
  return results;
}

describe('scenario run › a step', () => {
  it('reports pages, faults and RSS', async () => {
    const { run } = await start(text('  - touch: { gpa: 16M, len: 1M, write: true, id: t }\n'));
    const [touch] = all(run);
    expect(touch).toMatchObject({
      index: 0,
      label: '1',
      kind: 'touch',
      line: 4,
      ok: true,
      unexpected: false,
      rss: 1 << 20,
    });
    expect(touch?.fields).toMatchObject({ pages: 256, exit: 'none', ok: true });
    expect(touch?.changed).toMatchObject({ 'faults.minor': 256, 'slat.mapped': 256, 'host.rss': 1 << 20 });
    expect(touch?.text).toContain('rss 0 B → 1 MiB');
  });

  // An exit or an errno is data; it is unexpected only when nobody looks.
  it.each([
    ['an exit that nobody looks at', '  - fetch: { gpa: 1G }\n', 1],
    [
      'an exit that is expected',
      '  - fetch: { gpa: 1G, id: f }\n  - expect: { f.exit: INTERNAL_ERROR }\n',
      0,
    ],
    ['an errno that nobody looks at', '  - remove: { gpa: 16M, len: 4K, id: r }\n', 1],
    [
      'an errno that is expected',
      '  - remove: { gpa: 16M, len: 4K, id: r }\n  - expect: { r.errno: EINVAL }\n',
      0,
    ],
    ['MMIO that no device claims', '  - load: { gpa: 1G }\n', 0],
  ])('%s', async (_name, steps, unexpected) => {
    const { run } = await start(text(steps));
    expect(all(run).every((r) => r.ok)).toBe(true);
    expect(run.unexpected).toBe(unexpected);
  });

  it('verify is an expectation: false at the first byte that differs, and when it cannot read', async () => {
    const { run } = await start(
      text(
        [
          '  - fill: { gpa: 16M, len: 8K, byte: 3 }',
          '  - verify: { gpa: 16M, len: 8K, byte: 3 }',
          '  - store: { gpa: 16M+5000, size: 1, val: 4 }',
          '  - verify: { gpa: 16M, len: 8K, byte: 3 }',
          '  - mprotect-none: { gpa: 16M, len: 4K }',
          '  - verify: { gpa: 16M, len: 4K, byte: 3 }',
          '',
        ].join('\n'),
      ),
    );
    const verified = all(run).filter((r) => r.kind === 'verify');
    expect(verified.map((r) => r.ok)).toEqual([true, false, false]);
    expect(verified[1]?.text).toContain('differs at 0x1001388');
    expect(verified[2]?.exit?.reason).toBe('EFAULT');
    expect([run.passed, run.failed, run.unexpected]).toEqual([1, 2, 0]);
  });

  it('raw registers and configuration space', async () => {
    const { run } = await start(
      text(
        [
          '  - pci.read: { off: 0, as: id }',
          '  - pci.read: { off: 0, bdf: "00:02.0", as: nobody }',
          '  - pci.read: { off: 0x10, as: bar }',
          '  - mmio.read: { off: 8, as: answer }',
          '  - mmio.write: { off: 8, val: 0x060fe6d2 }',
          '  - mmio.read: { off: 8, as: ack }',
          '  - expect: { id: 0x00871ae0, nobody: 0xffffffff, bar: 0xdffffff0, answer: 0x01fba249, ack: 0x03cf5196, device.state: init }',
          '  - pci.write: { off: 0x10, val: 0xc0000000 }',
          '  - expect: { device.barBase: 0xc0000000 }',
          '  - mmio.read: { off: 8, as: moved }',
          '  - expect: { moved: 0x03cf5196 }',
          '',
        ].join('\n'),
      ),
    );
    expect(all(run).flatMap((r) => r.expectations.filter((e) => !e.ok))).toEqual([]);
    expect(run.passed).toBe(8);
  });

  it('write and read bytes, walk, a second cpu, the older generation', async () => {
    const { run } = await start(
      text(
        [
          '  - write: { gpa: 16M+1, bytes: [1, 2, 3], cpu: 1 }',
          '  - load: { gpa: 16M, size: 4, as: word }',
          '  - read: { gpa: 16M+3, len: 9, as: third }',
          '  - expect: { word: 0x03020100, third: 3 }',
          '  - walk: { gpa: 16M, id: there }',
          '  - walk: { gpa: 17M, id: not-there }',
          '  - expect: { there.mapped: true, there.level: 1, there.page: a, not-there.mapped: false, not-there.page: "." }',
          '  - dontneed: { gpa: 16M, len: 4K, cpu: 1, id: drop }',
          '  - mergeable: { gpa: 16M, len: 4K, id: unknown }',
          '  - request: { func: 0x1_0000, gpa: 0, len: 0, id: raw }',
          '  - expect: { drop.errno: 0, unknown.errno: EOPNOTSUPP, raw.errno: EOPNOTSUPP, raw.code: 0x10000 }',
          '',
        ].join('\n'),
        'memory: 64M, cpus: 2, device: { pvmemcontrol: { abi: memctl } }',
      ),
    );
    expect(all(run).flatMap((r) => r.expectations.filter((e) => !e.ok))).toEqual([]);
  });

  // "What if the guest locks its own driver's buffer away and then calls the driver?"
  it('a driver that cannot send is data too', async () => {
    const { run, vm } = await start(text('  - info: {}\n'));
    run.step();
    const buffer = vm.device.snapshot().connections[0]?.gpa ?? 0n;
    const page = buffer - (buffer % 4096n);
    const steps = `  - mprotect-none: { gpa: ${page}, len: 4K }\n  - dontneed: { gpa: 16M, len: 4K, id: x }\n  - expect: { x.ok: false }\n`;
    const second = new ScenarioRun(loadScenario(text(steps)), vm);
    expect(all(second).at(-1)?.ok).toBe(true);
  });
});

describe('scenario run › counters', () => {
  it('expect knows exactly the counters that the machine has', async () => {
    const { vm } = await start(text('  - note: x\n'));
    expect([...COUNTERS].sort()).toEqual(Object.keys(vm.observe.counters()).sort());
  });
});

describe('scenario run › time travel', () => {
  it('a restored run does the same again, from a plain copy of its state', async () => {
    const { run, vm } = await start(builtins.find((b) => b.name === 'guard-pages')?.text ?? '');
    while (run.position < 20) run.step();
    const checkpoint = vm.host.checkpoint();
    const state = structuredClone(run.save());
    const rest = all(run);
    const digest = vm.observe.digest();

    vm.host.restore(checkpoint);
    run.load(state);
    expect(run.position).toBe(20);
    expect(all(run)).toEqual(rest);
    expect(vm.observe.digest()).toBe(digest);
    expect(run.failed).toBe(0);
  });
});

/** An eighth of the size: in full they run in savings.test.ts. */
const OVERCOMMIT = { guest: '128M', pool: '256M', swap: '128M', job: '64M', pairs: 16, left: '8M' };
const small = (name: string): Params => (name.startsWith('overcommit') ? OVERCOMMIT : {});
/** Five of the sample's hundred rounds, each of 1 GiB: in full it runs in cli.test.ts. */
const brief = (name: string, yaml: string): string =>
  name === 'sample-dontneed' ? yaml.replace('times: 100', 'times: 5') : yaml;

describe.each(['release', 'debug'] as const)('scenario run › built-ins on the %s core', (core) => {
  it.each(builtins.map((b) => [b.name, b.text] as const))(
    '%s: every expectation holds, no invariant is broken',
    async (name, yaml) => {
      const { run, vm } = await start(brief(name, yaml), core, small(name));
      expect(all(run).flatMap((r) => r.expectations.filter((e) => !e.ok))).toEqual([]);
      expect(run.passed).toBeGreaterThan(4);
      expect(run.unexpected).toBe(0);
      expect(vm.host.check()).toEqual([]);
    },
    240_000,
  );
});
