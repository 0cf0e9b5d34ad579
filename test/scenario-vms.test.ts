// Scenarios with several VMs: what is said about wrong ones, whose counters a name means, what a step says of the others,
// and that a scenario of one VM is the same whether it is named or not.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Vm } from '../src/machine.ts';
import {
  changeIn,
  createMachine,
  flatten,
  loadScenario,
  parseScenario,
  ScenarioRun,
  type StepResult,
} from '../src/scenario/index.ts';
import { Random } from './support/random.ts';

const text = (steps: string, machine: string): string =>
  `version: 1\nmachine: { ${machine} }\nsteps:\n${steps}`;
const TWO = 'memory: 64M, pool: 32M, swap: 32M, vms: { a: {}, b: { cpus: 2 } }';

async function run(yaml: string) {
  const scenario = loadScenario(yaml);
  const vms = await createMachine(scenario.machine);
  const run = new ScenarioRun(scenario, vms);
  const results: StepResult[] = [];
  for (let r = run.step(); r; r = run.step()) results.push(r);
  const vm = (name: string): Vm => vms.get(name) as Vm;
  return { run, results, vms, vm, host: [...vms.values()][0]?.host };
}
const failed = (results: readonly StepResult[]): string[] =>
  results.flatMap((r) =>
    r.expectations.filter((e) => !e.ok).map((e) => `${r.label}: ${e.expected}, is ${e.actual}`),
  );

describe('several VMs › what is wrong with it', () => {
  it.each([
    ['no VM at all', '  - note: x', 'vms: {}', 'SLB-013', 'empty', '2:17'],
    ['a name that is none', '  - note: x', 'vms: { 1st: {} }', 'SLB-013', '"1st" is not a name', '2:19'],
    ['the name of a counter', '  - note: x', 'vms: { host: {} }', 'SLB-013', 'meaning', '2:19'],
    ['the name for all', '  - note: x', 'vms: { all: {} }', 'SLB-013', 'meaning', '2:19'],
    ['an unknown key of a VM', '  - note: x', 'vms: { a: { pool: 1G } }', 'SLB-011', '"pool"', '2:24'],
    [
      'a size that is too large',
      '  - note: x',
      'vms: { a: { memory: 9999999T } }',
      'SLB-013',
      'too large',
      '2:32',
    ],
    ['a VM that is not there', '  - fetch: { gpa: 0, vm: c }', TWO, 'SLB-013', 'no VM "c"', '4:26'],
    ['a VM where there is one', '  - fetch: { gpa: 0, vm: c }', 'cpus: 1', 'SLB-013', 'no VM "c"', '4:26'],
    [
      'each with one that is not there',
      '  - each: { vms: [a, c], steps: [{ note: x }] }',
      TWO,
      'SLB-013',
      '"c"',
      '4:22',
    ],
    [
      'a cpu that this VM has not',
      '  - fetch: { gpa: 0, vm: a, cpu: 1 }',
      TWO,
      'SLB-013',
      'no cpu 1',
      '4:34',
    ],
    [
      'a cpu that one of each has not',
      '  - each: { steps: [{ fetch: { gpa: 0, cpu: 1 } }] }',
      TWO,
      'SLB-013',
      'no cpu 1',
      '4:45',
    ],
    [
      'a list for a cpu that is not there',
      '  - parallel: [[{ fetch: { gpa: 0 } }], []]',
      TWO,
      'SLB-013',
      'no cpu 1',
      '4:41',
    ],
    ['a result called like a VM', '  - fetch: { gpa: 0, id: b }', TWO, 'SLB-013', '"b"', '4:26'],
    ['a counter that a VM has not', '  - expect: { b.host.rsss: 0 }', TWO, 'SLB-014', 'b.host.rsss', '4:15'],
    ['a counter of no VM', '  - expect: { c.host.rss: 0 }', TWO, 'SLB-014', 'c.host.rss', '4:15'],
    ['the device of all', '  - expect: { all.device.state: ready }', TWO, 'SLB-014', 'all.device', '4:15'],
    ['a vm in parallel', '  - parallel: [[{ fetch: { gpa: 0, vm: b } }]]', TWO, 'SLB-013', 'one VM', '4:40'],
    [
      'each in parallel',
      '  - parallel: [[{ each: { steps: [{ note: x }] } }]]',
      TWO,
      'SLB-013',
      'not for one vCPU',
      '4:25',
    ],
    [
      'free-report on a private file',
      '  - free-report: { gpa: 0, len: 2M }',
      'backing: { kind: memfd_priv }',
      'SLB-013',
      'memfd_priv',
      '4:18',
    ],
    ['passes without end', '  - ksm.scan: { passes: 5000 }', TWO, 'SLB-013', '5000', '4:25'],
    ['a core without a name', '  - core: { gpa: 0, len: 4K }', TWO, 'SLB-012', '"id"', '4:5'],
  ])('%s', (_name, steps, machine, code, words, at) => {
    const { problems } = parseScenario(text(steps, machine), 'x.yaml');
    const [first] = problems;
    expect(first?.code).toBe(code);
    expect(first?.message).toContain(words);
    expect(`${first?.place?.line}:${first?.place?.column}`).toBe(at);
  });

  it('a hint names the VM that was meant', () => {
    const machine = 'vms: { frontend: {}, backend: {} }';
    const { problems } = parseScenario(
      text('  - fetch: { gpa: 0, vm: frontent }\n  - expect: { backend.host.rs: 0 }', machine),
    );
    expect(problems.map((p) => p.hint)).toEqual([
      'did you mean "frontend"?',
      'did you mean "backend.host.rss"?',
    ]);
  });

  it('without vms `all` may be the name of a result, as ever', () => {
    expect(
      parseScenario(text('  - read: { gpa: 0, id: all }\n  - expect: { all.ok: true }', 'cpus: 1')).problems,
    ).toEqual([]);
  });

  it('too many steps when each is unrolled', () => {
    const many = '  - each: { steps: [{ repeat: { times: 60000, steps: [{ note: x }] } }] }';
    expect(parseScenario(text(many, TWO)).problems.map((p) => p.code)).toEqual(['SLB-017']);
    expect(parseScenario(text(many, 'cpus: 1')).problems).toEqual([]);
  });
});

describe('several VMs › the machine', () => {
  it('the example of docs/scenarios.md holds', async () => {
    const documented = readFileSync('docs/scenarios.md', 'utf8');
    const [, example = ''] = /### vms\n\n```yaml\n([\s\S]*?)```/.exec(documented) ?? [];
    const { run: done, results } = await run(`version: 1\n${example}`);
    expect(failed(results)).toEqual([]);
    expect(done.passed).toBe(8);
  }, 30_000);

  it('a VM has what machine says, unless it says otherwise; RAM is said in one way', async () => {
    const machine =
      'ram: [{ gpa: 0, size: 8M }], pool: 16M, swap: 0, backing: { kind: memfd }, maxMapCount: 100, ' +
      'vms: { a: {}, b: { memory: 4M, backing: { kind: anon } }, c: { ram: [{ gpa: 1G, size: 2M }], cpus: 3 } }';
    const { vm, host } = await run(text('  - note: x', machine));
    const shape = (name: string) => {
      const { ram, backing, cpus } = vm(name);
      return [ram.map((r) => [Number(r.gpa), r.size]), backing, cpus];
    };
    expect(shape('a')).toEqual([[[0, 8 << 20]], 'memfd', 1]);
    expect(shape('b')).toEqual([[[0, 4 << 20]], 'anon', 1]);
    expect(shape('c')).toEqual([[[2 ** 30, 2 << 20]], 'memfd', 3]);
    expect(host?.frames().total).toBe(4096);
  });

  it('a VM has a memory limit of its own', async () => {
    const machine = 'memory: 16M, pool: 32M, swap: 0, vms: { a: {}, b: { memoryLimit: 1M } }';
    const fill = (vm: string): string => `  - fill: { vm: ${vm}, gpa: 1M, len: 4M, byte: 1, id: of-${vm} }\n`;
    const { results } = await run(
      text(
        `${fill('b')}${fill('a')}  - expect: { of-a.exit: none, of-b.exit: OUT_OF_MEMORY, b.host.rss: 1M, a.host.rss: 4M }\n`,
        machine,
      ),
    );
    expect(failed(results)).toEqual([]);
  });

  it('the pool that nobody chose has room for all RAM, a private file twice', async () => {
    const { host } = await run(
      text('  - note: x', 'memory: 8M, vms: { a: {}, b: { backing: { kind: memfd_priv } } }'),
    );
    expect(host?.frames().total).toBe((8 + 16) << 8);
  });
});

describe('several VMs › steps', () => {
  it('a step is about the first VM, the one it names, or the one of its round', () => {
    const steps = `  - fetch: { gpa: 0 }
  - fetch: { gpa: 0, vm: b }
  - each:
      steps:
        - repeat: { times: 2, advance: 4K, steps: [{ fetch: { gpa: 1M } }] }
        - fetch: { gpa: 0, vm: a }
  - repeat: { times: 2, steps: [{ each: { vms: [b], steps: [{ note: x }] } }] }
`;
    const flat = flatten(loadScenario(text(steps, TWO)));
    expect(flat.map(({ label, later, action: { args } }) => [label, args.vm, later])).toEqual([
      ['1', undefined, undefined],
      ['2', 'b', undefined],
      ['3[a].1[1].1', 'a', undefined],
      ['3[a].1[2].1', 'a', '3[a].1[2]'],
      ['3[a].2', 'a', undefined],
      ['3[b].1[1].1', 'b', '3[b]'],
      ['3[b].1[2].1', 'b', '3[b]'],
      ['3[b].2', 'a', '3[b]'],
      ['4[1].1[b].1', 'b', undefined],
      ['4[2].1[b].1', 'b', '4[2]'],
    ]);
  });

  it('names in expect: of the step’s VM, of another, of all; results are the run’s', async () => {
    const { results } = await run(
      text(
        `  - fill: { vm: b, gpa: 1M, len: 1M, byte: 1, id: filled }
  - expect: { filled.exit: none, host.rss: 0, b.host.rss: { change: 1M }, all.host.rss: 1M, a.faults.minor: 0 }
  - fill: { vm: a, gpa: 1M, len: 2M, byte: 2 }
  - each:
      vms: [b]
      steps:
        - expect: { host.rss: 1M, a.host.rss: { change: 2M }, counters.all.host.rss: 3M, pool.used: 3M, all.pool.used: 3M }
  - expect: { b.host.rss: { unchanged: filled }, b.faults.minor: { unchanged: true } }
  - dontneed: { vm: b, gpa: 1M, len: 1M }
  - expect: { b.device.state: ready, device.state: broken, all.requests.total: 2 }
`,
        TWO,
      ),
    );
    expect(failed(results)).toEqual([]);
  });

  it('a step says what it did to others: reclaim for one VM swaps out another', async () => {
    const { results, vm } = await run(
      text(
        `  - fill: { vm: a, gpa: 1M, len: 24M, byte: 1 }
  - fill: { vm: b, gpa: 1M, len: 24M, byte: 2 }
`,
        TWO,
      ),
    );
    const [, second] = results as [StepResult, StepResult];
    const out = second.others?.a?.['reclaim.swapout'] ?? 0;
    expect(out).toBeGreaterThan(1000);
    expect(second.vm).toBe('b');
    expect(second.title).toBe('b: fill 1M +24M with 0x2');
    expect(second.text).toContain('others: rss 24 MiB → ');
    expect(changeIn(second, 'a', 'host.rss')).toBe(-changeIn(second, 'a', 'host.swap'));
    expect(changeIn(second, 'b', 'host.rss') + changeIn(second, 'b', 'host.swap')).toBe(24 << 20);
    // Of the host there is one number, whoever asks.
    expect(changeIn(second, 'a', 'pool.used')).toBe(changeIn(second, 'b', 'pool.used'));
    expect(second.memory.vms.a?.rss).toBe(vm('a').observe.rss());
    expect(second.memory).toMatchObject({ used: 32 << 20, saved: 0 });
    expect(second.memory.swap).toBe((48 - 32) << 20);
  });

  it('samples are kept with the host’s memory, and travel with the run', async () => {
    const yaml = text(
      `  - sample: before
  - fill: { vm: b, gpa: 1M, len: 1M, byte: 1 }
  - sample: after
`,
      TWO,
    );
    const { run: first } = await run(yaml);
    expect(first.samples.map(({ step, name, memory }) => [step, name, memory.used])).toEqual([
      ['1', 'before', 0],
      ['3', 'after', 1 << 20],
    ]);
    const scenario = loadScenario(yaml);
    const vms = await createMachine(scenario.machine);
    const again = new ScenarioRun(scenario, vms);
    const { host } = vms.get('a') as Vm;
    again.step();
    const saved = { host: host.checkpoint(), run: structuredClone(again.save()) };
    const rest = [again.step(), again.step()];
    host.restore(saved.host);
    again.load(saved.run);
    expect(again.samples.length).toBe(1);
    expect([again.step(), again.step()]).toEqual(rest);
    expect(again.samples).toEqual(first.samples);
  });

  it('vCPUs of each VM run at once in their own parallel step, and leave the same machine as in turns', async () => {
    const yaml = text(
      `  - each:
      steps:
        - info: {}
        - parallel:
            - - fill: { gpa: 4M, len: 1M, byte: 1 }
            - - fill: { gpa: 8M, len: 1M, byte: 2 }
              - dontneed: { gpa: 8M, len: 512K }
        - expect: { host.rss: { change: 1540K } }
`,
      'memory: 16M, swap: 0, cpus: 2, threads: true, vms: { a: {}, b: {} }',
    );
    const turns = await run(yaml);
    expect(failed(turns.results)).toEqual([]);
    const scenario = loadScenario(yaml);
    const vms = await createMachine(scenario.machine);
    const atOnce = new ScenarioRun(scenario, vms);
    const results: StepResult[] = [];
    for (let r = await atOnce.next(); r; r = await atOnce.next()) results.push(r);
    expect(failed(results)).toEqual([]);
    expect(results.filter((r) => r.kind === 'parallel').map((r) => r.vm)).toEqual(['a', 'b']);
    for (const vm of vms.values()) await vm.close();
    for (const vm of turns.vms.values()) await vm.close();
    expect([...vms.values()].map((vm) => vm.observe.digest())).toEqual(
      [...turns.vms.values()].map((vm) => vm.observe.digest()),
    );
  }, 60_000);
});

/** Steps that any VM of 16M can do, as lines. */
function randomSteps(random: Random, count: number): string[] {
  const range = (): string => `gpa: ${random.below(4000) * 4096}, len: ${(1 + random.below(96)) * 4096}`;
  return Array.from({ length: count }, () => {
    switch (random.below(8)) {
      case 0:
        return `dontneed: { ${range()} }`;
      case 1:
        return `${random.pick(['free', 'pageout', 'mlock', 'munlock', 'mergeable', 'unmergeable'])}: { ${range()} }`;
      case 2:
        return `${random.pick(['mprotect-none', 'mprotect-r', 'mprotect-rw', 'dontdump'])}: { ${range()} }`;
      case 3:
        return `free-report: { gpa: ${random.below(12) << 20}, len: ${1 + random.below(4 << 20)} }`;
      case 4:
        return 'ksm.scan: { passes: 1 }';
      case 5:
        return `fill: { ${range()}, byte: ${random.below(4)} }`;
      case 6:
        return `repeat: { times: 3, advance: 64K, steps: [{ touch: { ${range()}, write: ${random.chance(2)} } }] }`;
      default:
        return `touch: { ${range()}, write: true, byte: ${random.below(3)} }`;
    }
  });
}

describe('several VMs › properties', () => {
  it('one VM in `vms` is the same machine, step by step, as `machine` alone', async () => {
    const random = Random.fresh();
    for (let i = 0; i < 12; i++) {
      const kind = random.pick(['anon', 'thp', 'memfd', 'anon_acct']);
      const own = `memory: 16M, cpus: 2, backing: { kind: ${kind} }`;
      const host = 'pool: 8M, swap: 8M';
      const steps = randomSteps(random, 60);
      const list = steps.map((s) => `  - ${s}`).join('\n');
      const each = `  - each:\n      steps:\n${steps.map((s) => `        - ${s}`).join('\n')}`;
      const plain = await run(text(list, `${own}, ${host}`));
      const named = await run(text(list, `${host}, vms: { guest: { ${own} } }`));
      const eached = await run(text(each, `${own}, ${host}, vms: { guest: {} }`));
      const told = ({ results }: typeof plain) =>
        results.map(({ title, text, changed, rss, fields, unexpected }) => ({
          title,
          text,
          changed,
          rss,
          fields,
          unexpected,
        }));
      const why = `seed ${random.seed}, machine ${i} of ${kind}`;
      for (const other of [named, eached]) {
        expect(other.host?.digest(), why).toBe(plain.host?.digest());
        expect(told(other), why).toEqual(told(plain));
      }
      expect(plain.host?.check(), why).toEqual([]);
    }
  }, 60_000);

  it('as long as the host has room, what one VM does leaves the other as it is', async () => {
    const random = Random.fresh();
    for (let i = 0; i < 8; i++) {
      const machine = 'memory: 16M, pool: 40M, swap: 40M, vms: { a: {}, b: { backing: { kind: memfd } } }';
      // KSM is the one thing that works on both.
      const plan = randomSteps(random, 40).filter((s) => !s.startsWith('ksm'));
      const other = randomSteps(random, 80).filter((s) => !s.startsWith('ksm'));
      const lines = (steps: readonly string[], vm: string): string[] =>
        steps.map((s) => `  - each: { vms: [${vm}], steps: [{ ${s} }] }`);
      const mixed = [...lines(plan, 'a')];
      for (const line of lines(other, 'b')) mixed.splice(random.below(mixed.length + 1), 0, line);
      const order = (steps: readonly string[], vm: string) => steps.filter((s) => s.includes(`[${vm}]`));
      const alone = await run(text(order(mixed, 'a').join('\n'), machine));
      const together = await run(text(mixed.join('\n'), machine));
      const why = `seed ${random.seed}, round ${i}`;
      const seen = ({ vm }: typeof alone) => {
        const { 'host.rss': rss, 'host.swap': swap, 'faults.minor': faults } = vm('a').observe.counters();
        return { letters: vm('a').observe.pageLetters(vm('a').ram[0]?.hva ?? 0n, 4096), rss, swap, faults };
      };
      expect(seen(together), why).toEqual(seen(alone));
      expect(together.host?.check(), why).toEqual([]);
    }
  }, 60_000);
});
