// Scenarios with `parallel`: the same file with and without threads, what is refused in it, what it reports.
import { describe, expect, it } from 'vitest';
import { main } from '../src/cli/main.ts';
import { createFile } from '../src/cli/output-file.ts';
import type { Vm } from '../src/index.ts';
import { builtins, createSandbox } from '../src/index.ts';
import {
  flatten,
  loadScenario,
  parseScenario,
  ScenarioRun,
  type StepResult,
  sandboxOptions,
} from '../src/scenario/index.ts';

const text = (steps: string, machine = 'memory: 64M, cpus: 2'): string =>
  `version: 1\nmachine: { ${machine} }\nsteps:\n${steps}`;

async function runAll(
  yaml: string,
  threads: boolean,
): Promise<{ vm: Vm; results: StepResult[]; run: ScenarioRun }> {
  const scenario = loadScenario(yaml);
  const vm = await createSandbox({ ...sandboxOptions(scenario.machine), threads });
  const run = new ScenarioRun(scenario, vm);
  const results: StepResult[] = [];
  while (!run.done) results.push((await run.next()) as StepResult);
  await vm.close();
  return { vm, results, run };
}

/** Everything that a vCPU can do in a list, each vCPU in its own half. */
const lane = (base: string, byte: number): string => `
      - - touch: { gpa: ${base}, len: 64K, write: true, byte: ${byte}, id: touched${byte} }
        - fill: { gpa: ${base}+64K, len: 64K, byte: ${byte} }
        - dontneed: { gpa: ${base}, len: 16K, id: dropped${byte} }
        - read: { gpa: ${base}, len: 4, as: zero${byte} }
        - write: { gpa: ${base}+1, bytes: [1, 2, 3] }
        - load: { gpa: ${base}, id: loaded${byte} }
        - store: { gpa: ${base}+8, size: 2, val: 0xffff }
        - fetch: { gpa: 0x100000000000, id: fetched${byte} }
        - request: { func: 99, gpa: ${base}, len: 4K, id: unknown${byte} }
        - mmio.read: { off: 8, as: command${byte} }
        - verify: { gpa: ${base}+64K, len: 64K, byte: ${byte} }
        - repeat: { times: 3, advance: 4K, steps: [{ mprotect-r: { gpa: ${base}+128K, len: 4K } }] }`;
const BOTH = text(`  - info: {}
  - parallel:${lane('8M', 1)}${lane('40M', 2)}
  - expect:
      touched1.pages: 16
      touched2.pages: 16
      dropped2.errno: 0
      zero1: 0
      loaded1.value: 0x03020100
      fetched1.exit: INTERNAL_ERROR
      fetched2.exit: INTERNAL_ERROR
      unknown1.errno: EOPNOTSUPP
      unknown2.errno: EOPNOTSUPP
      faults.minor: { change: 69 }
      hostcalls.mprotect-r: { change: 6 }
`);

describe('scenario › parallel', () => {
  it('with threads and without: the same results, counters and digest', async () => {
    const [turns, threads] = [await runAll(BOTH, false), await runAll(BOTH, true)];
    expect(turns.results.flatMap((r) => r.expectations.filter((e) => !e.ok))).toEqual([]);
    expect(turns.run.unexpected).toBe(0);
    // Threads have pages of their own for what they count and remember.
    const same = ({
      text: _text,
      changed: { 'metadata.bytes': _bytes, ...changed },
      ...rest
    }: StepResult) => ({
      ...rest,
      changed,
    });
    expect(threads.results.map(same)).toEqual(turns.results.map(same));
    expect(turns.results[1]?.text).toContain('14 + 14 steps in turns');
    expect(threads.results[1]?.text).toContain('14 + 14 steps at once');
    expect(threads.vm.host.digest()).toBe(turns.vm.host.digest());
    expect(threads.vm.host.check()).toEqual([]);
  });

  it('reports what each vCPU did', async () => {
    const { results } = await runAll(BOTH, true);
    expect(results[1]).toMatchObject({
      kind: 'parallel',
      label: '2',
      title: 'parallel on 2 vCPUs',
      ok: true,
    });
    expect(results[1]?.lanes?.[1]?.slice(0, 3)).toMatchObject(
      [
        { title: 'touch 40M +64K cpu1 write', fields: { pages: 16 } },
        { title: 'fill 40M+64K +64K cpu1 with 0x2', fields: { ok: true } },
        { title: 'dontneed 40M +16K cpu1', text: 'ok' },
      ].map(({ title, ...rest }) => ({ ...rest, title: title.replace('40M+64K', '0x2810000') })),
    );
    expect(results[1]?.expectations).toHaveLength(2);
  });

  it.each([true, false])('a verify that does not hold fails the step (threads: %s)', async (threads) => {
    const yaml = text(
      '  - parallel: [[], [{ store: { gpa: 1M, val: 7 } }, { verify: { gpa: 1M, len: 4K, byte: 0 } }]]\n',
    );
    const { results, run } = await runAll(yaml, threads);
    expect(run.failed).toBe(1);
    expect(results[0]).toMatchObject({
      ok: false,
      expectations: [{ key: 'verify', actual: 'differs at 0x100000' }],
    });
  });

  it.each([
    true,
    false,
  ])('a guest error that nobody looks at is unexpected (threads: %s)', async (threads) => {
    const { run } = await runAll(
      text('  - parallel: [[{ fetch: { gpa: 1T } }], [{ fetch: { gpa: 0 } }]]\n'),
      threads,
    );
    expect(run).toMatchObject({ failed: 0, unexpected: 1 });
  });

  it('without threads, one step of each list at a time', async () => {
    const yaml = text(`  - parallel:
      - [{ store: { gpa: 0, val: 1 } }, { load: { gpa: 0, as: first } }]
      - [{ load: { gpa: 0, as: second } }, { store: { gpa: 0, val: 9 } }]
  - expect: { first: 1, second: 1 }
  - load: { gpa: 0, as: last }
  - expect: { last: 9 }
`);
    const { run } = await runAll(yaml, false);
    expect(run.failed).toBe(0);
  });

  it('`step` takes turns also where the VM has threads', async () => {
    const scenario = loadScenario(BOTH);
    await using vm = await createSandbox({ ...sandboxOptions(scenario.machine), threads: true });
    const run = new ScenarioRun(scenario, vm);
    run.step();
    expect(run.step()?.text).toContain('in turns');
  });

  it('in a repeat every list moves on', () => {
    const yaml = text(
      '  - repeat: { times: 2, advance: 1M, steps: [{ parallel: [[{ load: { gpa: 0 } }, { repeat: { times: 2, advance: 4K, steps: [{ fetch: { gpa: 8 } }] } }]] }] }\n',
    );
    const gpas = flatten(loadScenario(yaml)).map(({ action }) =>
      action.args.lanes.map((list) => list.map(({ args }) => args.gpa)),
    );
    expect(gpas).toEqual([[[0n, 8n, 4104n]], [[0x100000n, 0x100008n, 0x101008n]]]);
  });

  it('no room for the driver’s buffers is data, as for a single request', async () => {
    const { results } = await runAll(
      text('  - parallel: [[{ dontneed: { gpa: 0, len: 4K } }]]\n', 'memory: 16K'),
      false,
    );
    expect(results[0]).toMatchObject({ ok: true, unexpected: true, fields: { ok: false } });
  });
});

describe('scenario › parallel › what is wrong with it', () => {
  it.each([
    ['an expect in a list', '[[{ expect: { host.rss: 0 } }]]', 'expect is not for one vCPU'],
    ['a walk in a list', '[[{ walk: { gpa: 0, id: w } }]]', 'walk is not for one vCPU'],
    [
      'a note in a repeat in a list',
      '[[{ repeat: { times: 1, steps: [{ note: x }] } }]]',
      'note is not for one vCPU',
    ],
    ['parallel in parallel', '[[{ parallel: [[{ load: { gpa: 0 } }]] }]]', 'parallel is not for one vCPU'],
    ['configuration space', '[[{ pci.read: { off: 0 } }]]', 'pci.read is not for one vCPU'],
    ['a cpu of its own', '[[{ load: { gpa: 0, cpu: 1 } }]]', 'this list is that of cpu 0'],
    ['more lists than vCPUs', '[[], [], [{ load: { gpa: 0 } }]]', 'there is no cpu 2 for this list'],
    ['a list of no steps at all', '[]', 'a list with something in it'],
    ['a list that is none', '[{ load: { gpa: 0 } }]', 'not a list'],
    ['an unknown action', '[[{ lode: { gpa: 0 } }]]', 'unknown key "lode"'],
    [
      'an argument that is wrong',
      '[[], [{ load: { gpa: 0, size: 3 } }]]',
      'steps[1].parallel[2][1].load.size',
    ],
    ['an address that is none', '[[{ load: { gpa: 1Q } }]]', '"1Q"'],
  ])('%s', (_name, lists, message) => {
    const { problems } = parseScenario(text(`  - parallel: ${lists}\n`));
    expect(problems.map((p) => p.message).join('\n')).toContain(message);
    expect(problems.every((p) => p.place?.line === 4)).toBe(true);
  });

  it('counts the steps inside', () => {
    const long =
      '[[{ repeat: { times: 60000, steps: [{ load: { gpa: 0 } }] } }], [{ repeat: { times: 60000, steps: [{ load: { gpa: 0 } }] } }]]';
    expect(parseScenario(text(`  - parallel: ${long}\n`)).problems[0]?.code).toBe('SLB-017');
  });
});

describe('scenario › parallel › the command line', () => {
  async function slatbox(line: string): Promise<{ code: number; out: string; err: string }> {
    let [out, err] = ['', ''];
    const code = await main(line.split(' '), {
      out: (part) => {
        out += part;
      },
      err: (part) => {
        err += part;
      },
      errIsTty: false,
      outIsTty: false,
      env: {},
      create: createFile,
      read: () => new TextEncoder().encode(BOTH.replace('cpus: 2', 'cpus: 2, threads: true')),
    });
    return { code, out, err };
  }

  it('runs on threads, in turns with --no-threads, with the same digest', async () => {
    const threads = await slatbox('run x.yaml');
    const turns = await slatbox('run x.yaml --no-threads');
    expect([threads.code, turns.code]).toEqual([0, 0]);
    expect(threads.out).toContain('at once');
    expect(turns.out).toBe(threads.out.replace('at once', 'in turns'));
  });

  it('plain memory and threads do not go together', async () => {
    const { code, err } = await slatbox('run x.yaml --memory plain');
    expect(code).toBe(3);
    expect(err).toContain('error[SLB-050]');
    expect((await slatbox('run x.yaml --memory plain --no-threads')).code).toBe(0);
  });

  it.each([
    'smaps',
    'walk --gpa 8M',
    'events',
  ])('%s looks at the machine after the threads', async (command) => {
    const [name, ...rest] = command.split(' ');
    const { code, out } = await slatbox([name, 'x.yaml', ...rest].join(' '));
    expect(code).toBe(0);
    expect(out.length).toBeGreaterThan(100);
  });
});

describe.each(['release', 'debug'] as const)('scenario › two-cpus on the %s core', (core) => {
  it('holds in every interleaving, and ends as in turns', async () => {
    const scenario = loadScenario(builtins.find(({ name }) => name === 'two-cpus')?.text ?? '');
    const digests = new Set<string>();
    for (const threads of [false, true, true, true]) {
      await using vm = await createSandbox({ ...sandboxOptions(scenario.machine), core, threads });
      const run = new ScenarioRun(scenario, vm);
      while (await run.next());
      expect(run).toMatchObject({ failed: 0, unexpected: 0 });
      expect(run.passed).toBe(145);
      expect(vm.host.check()).toEqual([]);
      digests.add(vm.host.digest());
    }
    expect(digests.size).toBe(1);
  }, 60_000);
});
