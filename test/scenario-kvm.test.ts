// Steps of the VMM on KVM and its own mappings: what they do, what their results say, what is said about wrong ones, and that
// a run which goes back in time finds its files again. Reference: docs/scenarios.md "KVM".
import { describe, expect, it } from 'vitest';
import type { Vm } from '../src/machine.ts';
import {
  createMachine,
  loadScenario,
  parseScenario,
  ScenarioRun,
  type StepResult,
} from '../src/scenario/index.ts';

const HVA = '16T+512G';
const FILE = [
  'guest-memfd.create: { len: 64K, id: file }',
  `vmm.mmap: { hva: ${HVA}, len: 64K }`,
  `memslot.create: { slot: 8, gpa: 32M, len: 64K, hva: ${HVA}, file: file, id: slot }`,
];

const yamlOf = (machine: string, steps: readonly string[]): string =>
  `version: 1\nmachine: { ${machine} }\nsteps:\n${steps.map((s) => `  - ${s}\n`).join('')}`;

async function start(machine: string, steps: readonly string[]) {
  const scenario = loadScenario(yamlOf(machine, steps));
  const vms = await createMachine(scenario.machine);
  return { run: new ScenarioRun(scenario, vms), vms, vm: [...vms.values()][0] as Vm };
}

async function run(machine: string, ...steps: string[]) {
  const { run: all, vm, vms } = await start(machine, steps);
  const results: StepResult[] = [];
  for (let r = all.step(); r; r = all.step()) results.push(r);
  expect(results.flatMap((r) => r.expectations.filter((e) => !e.ok))).toEqual([]);
  expect(vm.host.check()).toEqual([]);
  return { results, last: results.at(-1) as StepResult, vm, vms, unexpected: all.unexpected };
}

describe('kvm steps › memslots', () => {
  it.each([
    ['over RAM', 'memslot.create: { slot: 5, gpa: 1M, len: 4K, alias: 0 }', 'EEXIST'],
    [
      'an id that is taken, another size',
      'memslot.create: { slot: 0, gpa: 64M, len: 4K, alias: 0 }',
      'EINVAL',
    ],
    ['an id that is taken, as it is', 'memslot.create: { slot: 0, gpa: 0, len: 16M, alias: 0 }', 'OK'],
    [
      'of what the guest has no slot for',
      'memslot.create: { slot: 5, gpa: 64M, len: 4K, alias: 1G }',
      'EFAULT',
    ],
    ['half a page', 'memslot.create: { slot: 5, gpa: 64M, len: 2K, alias: 0 }', 'EINVAL'],
    ['behind physBits', 'memslot.create: { slot: 5, gpa: 4G, len: 4K, alias: 0 }', 'EINVAL'],
    ['up to physBits', 'memslot.create: { slot: 5, gpa: 0xfffff000, len: 4K, alias: 0 }', 'OK'],
    ['move of none', 'memslot.move: { slot: 5, gpa: 64M }', 'EINVAL'],
    ['delete of none', 'memslot.delete: { slot: 5 }', 'EINVAL'],
    ['move over itself', 'memslot.move: { slot: 0, gpa: 4K }', 'OK'],
    ['read-only later', 'memslot.flags: { slot: 0, flags: [readonly] }', 'EINVAL'],
  ])('%s: %s', async (_name, step, errno) => {
    const [kind, rest] = step.split(': {', 2);
    const named = `${kind}: {${rest?.replace('}', ', id: r }')}`;
    const { unexpected } = await run('memory: 16M, physBits: 32', named, `expect: { r.errno: ${errno} }`);
    expect(unexpected).toBe(0);
  });

  it('a refusal that nobody looks at is unexpected', async () => {
    const { unexpected } = await run('memory: 16M', 'memslot.delete: { slot: 5 }');
    expect(unexpected).toBe(1);
  });

  it('move and flags keep the other flags and the guest_memfd of a slot', async () => {
    const { vm } = await run(
      'memory: 16M',
      'memslot.create: { slot: 5, gpa: 32M, len: 8K, alias: 4K, flags: [readonly] }',
      'memslot.flags: { slot: 5, flags: [readonly, log-dirty-pages], id: f }',
      'memslot.move: { slot: 5, gpa: 48M, id: m }',
      'expect: { f.errno: 0, m.errno: 0 }',
    );
    expect(vm.kvm.memslots().find(({ id }) => id === 5)).toEqual({
      id: 5,
      gpa: 48n << 20n,
      size: 8192,
      hva: (1n << 44n) + 4096n,
      readonly: true,
      dirtyLog: true,
    });
  });
});

describe('kvm steps › dirty log', () => {
  it('which pages, as a list; what is cleared comes again only when it is written', async () => {
    await run(
      'memory: 16M',
      'memslot.flags: { slot: 0, flags: [log-dirty-pages] }',
      'enable-cap: { cap: manual-dirty-log-protect2, arg: 1, id: cap }',
      'touch: { gpa: 4K, len: 12K, write: true }',
      'store: { gpa: 256K, val: 1 }',
      'dirty-log.get: { slot: 0, id: a }',
      'expect: { cap.errno: 0, a.errno: 0, a.pages: 4, a.list: "1-3,64", dirty.pages: 4 }',
      'dirty-log.clear: { slot: 0, list: "1,3", id: c }',
      'dirty-log.get: { slot: 0, id: b }',
      'expect: { c.errno: 0, b.list: "2,64" }',
      'dirty-log.clear: { slot: 0, first: 64, count: 64 }',
      'dirty-log.get: { slot: 0, id: d }',
      'expect: { d.list: 2 }',
      'dirty-log.clear: { slot: 0 }',
      'store: { gpa: 12K, val: 1 }',
      'dirty-log.get: { slot: 0, id: e }',
      'expect: { e.list: 3 }',
    );
  });

  it('all of a slot of more pages than one call clears', async () => {
    await run(
      'memory: 8G, pool: 64M, swap: 0',
      'memslot.flags: { slot: 1, flags: [log-dirty-pages] }',
      'enable-cap: { cap: manual-dirty-log-protect2, arg: 1 }',
      'store: { gpa: 4G+8K, val: 1 }',
      'store: { gpa: 8G+12K, val: 1 }',
      'dirty-log.get: { slot: 1, id: before }',
      'dirty-log.clear: { slot: 1, id: c }',
      'dirty-log.get: { slot: 1, id: after }',
      'expect: { before.list: "2,1048579", c.errno: 0, after.pages: 0 }',
    );
  });

  it.each([
    ['no log', 'dirty-log.get: { slot: 0, id: r }', 'ENOENT'],
    ['no slot', 'dirty-log.get: { slot: 9, id: r }', 'ENOENT'],
    ['clear of no slot', 'dirty-log.clear: { slot: 9, id: r }', 'ENOENT'],
  ])('%s', async (_name, step, errno) => {
    await run('memory: 16M', step, `expect: { r.errno: ${errno}, r.ok: false }`);
  });

  it('by write protection the log is the same', async () => {
    for (const pml of [true, false]) {
      await run(
        `memory: 16M, pml: ${pml}`,
        'touch: { gpa: 0, len: 64K, write: true }',
        'memslot.flags: { slot: 0, flags: [log-dirty-pages] }',
        'store: { gpa: 8K, val: 1 }',
        'load: { gpa: 12K }',
        'dirty-log.get: { slot: 0, id: r }',
        'expect: { r.list: 2 }',
      );
    }
  });
});

describe('kvm steps › guest_memfd and attributes', () => {
  it('both memories of a page are there until one is dropped, and each side sees its own', async () => {
    await run(
      'memory: 16M, pool: 16M, swap: 0, vmType: 1',
      ...FILE,
      'expect: { file.fd: 3, slot.errno: 0 }',
      'fill: { gpa: 32M, len: 64K, byte: 1 }',
      'memory-attributes: { gpa: 32M, len: 64K, to: private, id: to }',
      'expect: { to.errno: 0, attributes.changes: 1 }',
      'fill: { gpa: 32M, len: 64K, byte: 2 }',
      'expect: { pool.used: 128K, host.rss: 64K }',
      'vmm.read: { gpa: 32M, as: old }',
      'vmm.write: { gpa: 32M, byte: 3, id: w }',
      'load: { gpa: 32M, size: 1, as: own }',
      'expect: { old: 1, own: 2, w.signal: none }',
      'guest-memfd.punch: { file: file, len: 64K }',
      'expect: { pool.used: 64K }',
      'verify: { gpa: 32M, len: 64K, byte: 0 }',
    );
  });

  it('allocate takes memory before anybody looks; close leaves it to the slot', async () => {
    await run(
      'memory: 16M, pool: 16M, swap: 0, vmType: 1',
      ...FILE,
      'guest-memfd.allocate: { file: file, offset: 4K, len: 8K, id: a }',
      'expect: { a.errno: 0, pool.used: 8K }',
      'guest-memfd.allocate: { file: file, offset: 60K, len: 8K, id: b }',
      'expect: { b.errno: EINVAL }',
      'guest-memfd.close: { file: file, id: c }',
      'guest-memfd.close: { file: file, id: d }',
      'guest-memfd.punch: { file: file, len: 4K, id: p }',
      'expect: { c.errno: 0, d.errno: EBADF, p.errno: EBADF }',
    );
  });

  it('a file that was refused is one that is not open', async () => {
    await run(
      'memory: 16M, vmType: 1',
      'guest-memfd.create: { len: 100, id: bad }',
      'memslot.create: { slot: 8, gpa: 32M, len: 64K, alias: 0, file: bad, id: s }',
      'expect: { bad.errno: EINVAL }',
      'expect: { s.errno: EBADF }',
    );
  });

  it('an ordinary VM has no attributes', async () => {
    await run(
      'memory: 16M',
      'memory-attributes: { gpa: 0, len: 4K, to: private, id: r }',
      'expect: { r.errno: ENOTTY }',
    );
  });

  it('hypercall: refused without the capability; else the VMM converts, and drops the other memory', async () => {
    await run(
      'memory: 16M, pool: 16M, swap: 0, vmType: 1, cpus: 2',
      ...FILE,
      'fill: { gpa: 32M, len: 64K, byte: 1 }',
      'hypercall: { gpa: 32M, len: 64K, to: private, id: no }',
      'expect: { no.exit: none, no.ok: false }',
      'enable-cap: { cap: exit-hypercall, arg: 4096, id: cap }',
      'hypercall: { gpa: 32M, len: 64K, to: private, cpu: 1, id: yes }',
      'expect: { cap.errno: 0, yes.exit: HYPERCALL, yes.value: 0, exits.hypercall: 1, pool.used: 0 }',
      'fill: { gpa: 32M, len: 64K, byte: 2 }',
      'expect: { pool.used: 64K, host.rss: 0 }',
    );
  });

  it('accesses of a guest that says what it means', async () => {
    await run(
      'memory: 16M, swap: 0, vmType: 1, cpus: 2',
      ...FILE,
      'store: { gpa: 32M, kind: private, val: 5, id: s }',
      'memory-attributes: { gpa: 32M, len: 4K, to: private }',
      'store: { gpa: 32M, kind: private, val: 5, id: p }',
      'load: { gpa: 32M, kind: shared, id: l }',
      'expect: { s.exit: MEMORY_FAULT, s.flags: 8, p.exit: none, l.exit: MEMORY_FAULT, l.flags: 0 }',
      'parallel: [[{ repeat: { times: 3, steps: [{ load: { gpa: 32M, kind: private, id: a } }] } }], [{ load: { gpa: 32M, kind: shared, id: b } }]]',
      'expect: { a.value: 5, b.exit: MEMORY_FAULT, exits.memory-fault: 3 }',
    );
  });

  it('conversion in place: the same frames, and EAGAIN while a page is pinned', async () => {
    await run(
      'memory: 16M, pool: 16M, swap: 0, vmType: 1, gmemProfile: D',
      'guest-memfd.create: { len: 64K, flags: [mmap, init-shared], id: file }',
      `vmm.mmap: { hva: ${HVA}, len: 64K, shared: true, file: file }`,
      `memslot.create: { slot: 8, gpa: 32M, len: 64K, hva: ${HVA}, file: file }`,
      'fill: { gpa: 32M, len: 64K, byte: 5 }',
      `vmm.pin: { hva: ${HVA}, len: 8K, id: pin }`,
      'guest-memfd.convert: { file: file, len: 64K, to: private, id: held }',
      'expect: { pin.errno: 0, held.errno: EAGAIN, held.offset: 0 }',
      `vmm.unpin: { hva: ${HVA}, len: 8K, id: unpin }`,
      'guest-memfd.convert: { file: file, len: 64K, to: private, contents: preserve, id: done }',
      'verify: { gpa: 32M, len: 64K, byte: 5 }',
      'vmm.read: { gpa: 32M, id: dead }',
      'expect: { unpin.errno: 0, done.errno: 0, dead.signal: SIGBUS, pool.used: 64K }',
    );
  });

  it('MEMORY_FAULT: what was wanted, and where; loops say how far they came', async () => {
    const { results } = await run(
      'memory: 16M, vmType: 1',
      'memory-attributes: { gpa: 1M, len: 8K, to: private }',
      'touch: { gpa: 1020K, len: 16K, id: t }',
      'fetch-add: { gpa: 1M, val: 1, id: f }',
      'write: { gpa: 1M, bytes: [1, 2], id: w }',
      'expect: { t.exit: MEMORY_FAULT, t.pages: 1, t.gpa: 1M, t.flags: 8, f.exit: MEMORY_FAULT, w.exit: MEMORY_FAULT }',
      'expect: { exits.memory-fault: 3 }',
    );
    expect(results[1]?.text).toContain('exit MEMORY_FAULT at 0x100000, as private');
  });
});

describe('kvm steps › the VMM’s own mappings', () => {
  it('mmap, mprotect, munmap at an address or where the guest has it', async () => {
    await run(
      'memory: 16M, swap: 0',
      `vmm.mmap: { hva: ${HVA}, len: 16K, prot: r }`,
      `memslot.create: { slot: 8, gpa: 32M, len: 16K, hva: ${HVA} }`,
      'store: { gpa: 32M, val: 1, id: ro }',
      'vmm.mprotect: { gpa: 32M, len: 8K, prot: rw, id: p }',
      'store: { gpa: 32M, val: 1, id: rw }',
      'expect: { ro.exit: EFAULT, p.errno: 0, rw.exit: none }',
      `vmm.munmap: { hva: ${HVA}, len: 4K }`,
      'load: { gpa: 32M, id: gone }',
      'vmm.read: { gpa: 32M, id: dead }',
      'expect: { gone.exit: EFAULT, dead.signal: SIGSEGV, dead.ok: false }',
      'vmm.madvise: { gpa: 0, len: 16M, advice: populate_write, id: all }',
      'expect: { all.errno: 0, host.rss: 16M }',
    );
  });

  it('fetch-add: the value is what was there; in parallel no addition is lost', async () => {
    const add = '[{ repeat: { times: 100, steps: [{ fetch-add: { gpa: 64K, size: 4, val: 3 } }] } }]';
    await run(
      'memory: 16M, cpus: 2',
      'store: { gpa: 64K, val: 0xffffffffffffffff }',
      'fetch-add: { gpa: 64K, size: 2, val: 2, as: before }',
      'load: { gpa: 64K, as: after }',
      'expect: { before: 0xffff, after: 0xffffffffffff0001 }',
      'store: { gpa: 64K, val: 0 }',
      `parallel: [${add}, ${add}]`,
      'load: { gpa: 64K, as: sum }',
      'expect: { sum: 600 }',
    );
  });

  it('a split lock is no access', async () => {
    const { last, unexpected } = await run('memory: 16M', 'fetch-add: { gpa: 4092, val: 1 }');
    expect(last.fields.ok).toBe(false);
    expect(unexpected).toBe(1);
  });
});

describe('kvm steps › migrate', () => {
  const TWO = 'memory: 8M, pool: 32M, swap: 0, vms: { a: {}, b: {} }';

  it('its result, and its rounds', async () => {
    const { results } = await run(
      TWO,
      'fill: { gpa: 1M, len: 2M, byte: 5 }',
      'migrate: { to: b, gpa: 1M, len: 1M, writes: 8, every: 64, stop: 16, id: m }',
      'expect: { m.errno: 0, m.identical: true, m.converged: true, m.downtime: { max: 16 } }',
      'expect: { b.host.rss: 2M }',
    );
    const rounds = results[1]?.rounds ?? [];
    expect(rounds[0]).toEqual({ pages: 2048, copied: 512, dirtied: 256 });
    expect(rounds.at(-1)?.dirtied).toBe(0);
    expect(results[1]?.fields.pages).toBe(rounds.reduce((sum, { pages }) => sum + pages, 0));
  });

  it('twice the same, to the digest', async () => {
    const steps = ['migrate: { to: b, gpa: 1M, len: 1M, writes: 8, every: 64 }'];
    const digests = [];
    for (let i = 0; i < 2; i++) digests.push((await run(TWO, ...steps)).vm.host.digest());
    expect(digests[0]).toBe(digests[1]);
  });
});

describe('kvm steps › back in time', () => {
  it('a run that is loaded finds the files that its steps had made', async () => {
    const steps = [
      ...FILE,
      'note: here',
      'guest-memfd.allocate: { file: file, len: 8K, id: a }',
      'expect: { a.errno: 0 }',
    ];
    const { run: all, vm } = await start('memory: 16M, vmType: 1', steps);
    while (all.position < 4) all.step();
    const [host, state] = [vm.host.checkpoint(), structuredClone(all.save())];
    while (all.step());
    const digest = vm.host.digest();
    vm.host.restore(host);
    all.load(state);
    while (all.step());
    expect(all.failed).toBe(0);
    expect(vm.host.digest()).toBe(digest);
  });
});

describe('kvm steps › what is wrong with them', () => {
  const problems = (steps: string, machine = 'memory: 16M'): string[] =>
    parseScenario(`version: 1\nmachine: { ${machine} }\nsteps:\n${steps}`).problems.map(
      (p) => `${p.code} ${p.place?.line}:${p.place?.column} ${p.message} (${p.hint ?? ''})`,
    );

  it.each<[string, string, RegExp]>([
    ['no place', '  - vmm.read: { id: x }', /^SLB-013 4:15 .*needs hva or gpa \(give hva or gpa\)/],
    ['two places', '  - vmm.read: { hva: 16T, gpa: 0 }', /^SLB-013 4:32 .*hva and gpa are two places/],
    [
      'a slot of nothing',
      '  - memslot.create: { slot: 5, gpa: 0, len: 4K }',
      /^SLB-013 .*needs hva or alias/,
    ],
    [
      'a file that no step has made',
      '  - guest-memfd.create: { len: 4K, id: file }\n  - guest-memfd.punch: { file: fiel, len: 4K }',
      /^SLB-014 5:32 .*no earlier step has made a file "fiel" \(did you mean "file"\?\)/,
    ],
    [
      'a file before it is made',
      '  - guest-memfd.punch: { file: f, len: 4K }\n  - guest-memfd.create: { len: 4K, id: f }',
      /^SLB-014 4:32 .*make it with guest-memfd.create/,
    ],
    ['a list that is none', '  - dirty-log.clear: { slot: 0, list: "3-" }', /^SLB-013 4:/],
    [
      'a range the wrong way',
      '  - dirty-log.clear: { slot: 0, list: "5-3" }',
      /^SLB-013 .*ends before it begins/,
    ],
    ['too many pages', '  - dirty-log.clear: { slot: 0, list: "0-9999999" }', /^SLB-013 .*1048576 pages/],
    [
      'a flag that is none',
      '  - memslot.flags: { slot: 0, flags: [dirty] }',
      /^SLB-013 4:.*log-dirty-pages, readonly/,
    ],
    [
      'a kind that is none',
      '  - memory-attributes: { gpa: 0, len: 4K, to: secret }',
      /^SLB-013 .*one of private, shared/,
    ],
    ['nowhere to migrate to', '  - migrate: { to: b }', /^SLB-013 4:.*no VM "b" \(name several VMs/],
    [
      'what a vCPU does not do',
      '  - parallel: [[{ dirty-log.get: { slot: 0 } }]]',
      /^SLB-013 .*not for one vCPU/,
    ],
    ['an address beyond 64 bits', '  - vmm.read: { hva: 16777216T+16T }', /^SLB-013 4:.*too large/],
  ])('%s', (_name, steps, said) => {
    expect(problems(steps)[0] ?? 'nothing').toMatch(said);
  });

  it.each([
    ['vmType: 2', /whole number from 0 to 1/],
    ['gmemProfile: E', /one of A, B, C, D/],
    ['physBits: 60', /from 32 to 52/],
    ['pml: maybe', /true or false/],
  ])('machine: %s', (key, said) => {
    expect(problems('  - note: x', key)[0]).toMatch(said);
  });

  it('a file is one VM’s; a VM does not migrate to itself', () => {
    const vms = 'memory: 16M, vms: { a: {}, b: {} }';
    const [file] = problems(
      '  - guest-memfd.create: { vm: a, len: 4K, id: f }\n  - guest-memfd.close: { vm: b, file: f }',
      vms,
    );
    expect(file).toMatch(/^SLB-014 5:\d+ .*"f" is a file of a/);
    expect(problems('  - migrate: { vm: b, to: b }', vms)[0]).toMatch(/^SLB-013 .*the VM that moves/);
    expect(problems('  - migrate: { to: b, writes: 4 }', vms)[0]).toMatch(/give the working set/);
  });
});
