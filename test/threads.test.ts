// vCPUs on threads of their own: what runs there is what runs here, errors come back as errors, nothing hangs or stays.
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { RUN_VM } from '../assembly/abi/status.ts';
import type { Program, Vm } from '../src/index.ts';
import { createHost, createSandbox, SlatboxError } from '../src/index.ts';
import { BUILDS, type Build, GIB, hvaAt, KIB, letters, MIB, machine, PAGE } from './support/machines.ts';

const THREADS = BUILDS.filter(([, { wasmMemory }]) => wasmMemory === 'threads');
const threaded = (build: Build, options = {}): Promise<Vm> =>
  machine(build, { cpus: 2, threads: true, ...options });

/** Each vCPU has half of the guest to itself, so any interleaving ends in the same machine. */
const ownHalves = (each: (base: number, byte: number) => Program): Program[] => [
  each(8 * MIB, 0x11),
  each(32 * MIB, 0x22),
];
const own = ownHalves((base, byte) => [
  { fill: { gpa: base, len: 64 * KIB, byte } },
  { touch: { gpa: base + MIB, len: 256 * KIB, write: true, byte } },
  { dontneed: { gpa: base, len: 8 * PAGE } },
  { mprotectNone: { gpa: base + 32 * PAGE, len: PAGE } },
  { store: { gpa: base + 32 * PAGE, val: 1 } },
  { load: { gpa: base, size: 1 } },
  { verify: { gpa: base + 8 * PAGE, len: 8 * PAGE, byte } },
  { free: { gpa: base + MIB, len: 4 * PAGE } },
  { write: { gpa: base + 3, bytes: [1, 2, 3, 4, 5] } },
  { read: { gpa: base + 2, len: 7 } },
  { fetch: { gpa: base } },
  { vmm: { call: 'dontneed', gpa: base + 2 * MIB, len: PAGE } },
  { mlock: { gpa: base + 16 * PAGE, len: 2 * PAGE } },
  { request: { func: 99, gpa: base, len: PAGE } },
  { info: {} },
]);

const codeOf = async (doing: () => unknown): Promise<string> => {
  try {
    await doing();
  } catch (error) {
    if (error instanceof SlatboxError) return error.code;
    throw error;
  }
  return 'no error';
};

describe.each(THREADS)('threads › %s', (_name, build) => {
  it('threads of one VM reclaim the request buffer of another, whose device knew where it was', async () => {
    const host = await createHost({ memory: 64 * PAGE, swap: 256 * PAGE, ...build });
    await using a = host.createVm({ memory: 4 * MIB, cpus: 2, threads: true });
    const b = host.createVm({ memory: 4 * MIB });
    const dontneed = (): unknown => b.guest.pvmemcontrol.dontneed({ gpa: MIB, len: PAGE });
    for (let i = 0; i < 2; i++) expect(dontneed()).toMatchObject({ errno: 0 });
    for (let i = 0; i < 20 && b.observe.pageAt(0x8000) === 'a'; i++) {
      const fill = (gpa: number): Program => [{ fill: { gpa, len: 60 * PAGE, byte: 0xa5 } }];
      await a.run([fill(MIB), fill(2 * MIB)]);
    }
    expect([b.observe.pageAt(0x8000), host.check()]).toEqual(['s', []]);
    // Read in its own page and answered there, not in a page that is the other's now.
    expect(dontneed()).toEqual({ errno: 0, code: 0, value: 0n, arg0: 0n, arg1: 0n });
    for (const gpa of [MIB, 2 * MIB]) {
      expect(a.guest.verify({ gpa, len: 60 * PAGE, byte: 0xa5 })).toEqual({ differs: undefined });
    }
    expect(host.check()).toEqual([]);
  });

  it('threads of one VM take SLAT tables of another that is not running', async () => {
    const host = await createHost({ memory: 8 * MIB, swap: 0, ...build });
    await using a = host.createVm({ memory: '40G', cpus: 2, threads: true });
    const b = host.createVm({ memory: 4 * MIB });
    b.guest.store(MIB, 8, 0x1234n);
    const touch = (gpa: number): Program => [
      { repeat: { times: 8900, advance: '2M', steps: [{ load: { gpa } }] } },
    ];
    await a.run([touch(4 * GIB), touch(22 * GIB)]);
    expect([b.observe.counters()['slat.mapped'], host.check()]).toEqual([0, []]);
    expect(b.guest.load(MIB, 8)).toMatchObject({ value: 0x1234n });
    expect(host.check()).toEqual([]);
  });

  it.each([
    'hugetlb',
    'hugetlb_shared',
  ] as const)('%s pages that vCPU threads bring are counted', async (backing) => {
    await using vm = await threaded(build, { backing });
    await vm.run([[{ store: { gpa: 8 * MIB, val: 1 } }], [{ load: { gpa: 32 * MIB } }]]);
    expect(vm.observe.counters()['host.hugetlb']).toBe(4 * MIB);
    expect(vm.host.check()).toEqual([]);
    expect(vm.vmm.munmap(hvaAt(vm, 0), BigInt(64 * MIB))).toBe(0);
    expect(vm.observe.counters()['host.hugetlb']).toBe(0);
    expect(vm.host.check()).toEqual([]);
  });

  it('two vCPUs store to pages of their own; results and counters are there right after', async () => {
    await using vm = await threaded(build);
    const [first, second] = await vm.run([
      [{ store: { gpa: 8 * MIB, val: 0x1234 } }, { load: { gpa: 8 * MIB, size: 2 } }],
      [{ touch: { gpa: 32 * MIB, len: 16 * PAGE, write: true } }],
    ]);
    expect(first).toEqual([
      { ok: true, value: 0n, exits: [] },
      { ok: true, value: 0x1234n, exits: [] },
    ]);
    expect(second).toEqual([{ pages: 16 }]);
    expect(vm.observe.counters()).toMatchObject({ 'faults.minor': 17, 'host.rss': 17 * PAGE });
    expect(vm.guest.load(8 * MIB, 8)).toMatchObject({ value: 0x1234n });
    expect(letters(vm, 32 * MIB, 17)).toBe('aaaaaaaaaaaaaaaa.');
    expect(vm.host.check()).toEqual([]);
  });

  it('what is independent of the order ends in the same results and the same machine as in turns', async () => {
    await using vm = await threaded(build);
    const results = await vm.run(own);
    const turns = await machine({ core: 'release', wasmMemory: 'plain' }, { cpus: 2 });
    expect(turns.threads).toBe(false);
    expect(results).toEqual(await turns.run(own));
    expect(vm.host.digest()).toBe(turns.host.digest());
    const { 'metadata.bytes': _ours, ...counters } = vm.observe.counters();
    expect(turns.observe.counters()).toMatchObject(counters);
    expect(vm.host.check()).toEqual([]);
  });

  it('a repeat counts the same on a thread as in turns, failures too', async () => {
    const programs = ownHalves((base, byte) => [
      { touch: { gpa: base, len: 32 * PAGE, write: true, byte } },
      { mprotectNone: { gpa: base + 4 * PAGE, len: 2 * PAGE } },
      {
        repeat: {
          times: 100,
          advance: PAGE,
          span: 16 * PAGE,
          steps: [
            { load: { gpa: base, size: 1 } },
            { store: { gpa: base + 8, val: 7, size: 4 } },
            { fetch: { gpa: base + 1 } },
            { touch: { gpa: base, len: 2 * PAGE } },
            { touch: { gpa: base, len: 2 * PAGE, write: true, byte } },
            { fill: { gpa: base, len: 100, byte: 9 } },
            { verify: { gpa: base, len: 100, byte: 9 } },
            { verify: { gpa: base, len: 100, byte: 8 } },
            { dontneed: { gpa: base + 20 * PAGE, len: PAGE } },
            { dontneed: { gpa: base + 1, len: PAGE } },
            { mlock: { gpa: 0x7000_0000_0000, len: PAGE } },
            { vmm: { call: 'free', gpa: base + 24 * PAGE, len: PAGE } },
            { vmm: { call: 'mprotectR', gpa: base + 1, len: PAGE } },
            { vmm: { call: 'dontneed', gpa: 0x7000_0000_0000, len: PAGE } },
            { request: { func: 99, gpa: base, len: PAGE } },
          ],
        },
      },
      // What the engine has no loop for.
      { repeat: { times: 3, steps: [{ read: { gpa: base, len: 3 } }, { info: {} }] } },
    ]);
    await using vm = await threaded(build);
    const results = await vm.run(programs);
    const turns = await machine({ core: 'release', wasmMemory: 'plain' }, { cpus: 2 });
    expect(results).toEqual(await turns.run(programs));
    expect(results[0]?.[2]).toMatchObject({
      rounds: 100,
      steps: [
        // Rounds 4 and 5 of every 16 meet the protected pages: 12 of 100, and not the last one, which is at page 3.
        { failures: 12, last: undefined },
        { failures: 12, sum: 0n },
        { failures: 12, sum: 0n },
        // Two pages: rounds 3 to 5 of every 16, of which the first does one page.
        { failures: 19, last: 'EFAULT', sum: 169n },
        { failures: 19, last: 'EFAULT', sum: 169n },
        { failures: 12, sum: 8800n },
        { failures: 12, sum: 8800n },
        { failures: 12, sum: 0n },
        { failures: 0 },
        { failures: 100, last: 'EINVAL' },
        { failures: 100, last: 'EINVAL' },
        { failures: 0 },
        { failures: 100, last: 'EINVAL' },
        { failures: 100, last: 'EINVAL' },
        { failures: 100, last: 'EOPNOTSUPP' },
      ],
    });
    expect(vm.host.digest()).toBe(turns.host.digest());
    expect(vm.host.check()).toEqual([]);
  });

  it('requests from both at once, each through its own buffer', async () => {
    await using vm = await threaded(build, { pool: 32 * MIB });
    const rounds = 64;
    const programs = ownHalves((base) => [
      {
        repeat: {
          times: rounds,
          advance: PAGE,
          steps: [{ store: { gpa: base, val: 1 } }, { dontneed: { gpa: base, len: PAGE } }],
        },
      },
      { mprotectR: { gpa: base, len: PAGE } },
      { store: { gpa: base, val: 1 } },
    ]);
    const results = await vm.run(programs);
    for (const [loop, answer, store] of results) {
      expect(loop).toMatchObject({ rounds, steps: [{ failures: 0 }, { failures: 0 }] });
      expect(answer).toEqual({ errno: 0, code: 0, value: 0n, arg0: 0n, arg1: 0n });
      expect(store).toMatchObject({ ok: false, exit: { reason: 'EFAULT' } });
    }
    const counters = vm.observe.counters();
    expect(counters['hostcalls.dontneed']).toBe(2 * rounds);
    expect(counters['hostcalls.mprotect-r']).toBe(2);
    expect(vm.device.snapshot()).toMatchObject({ state: 'ready', connectionCount: 2 });
    expect(vm.host.check()).toEqual([]);
  });

  it('one run after the other, also with fewer programs than vCPUs, or none', async () => {
    await using vm = await threaded(build);
    for (let i = 0; i < 20; i++) {
      const [[stored] = []] = await vm.run([[{ store: { gpa: 8 * MIB, val: i } }]]);
      expect(stored).toMatchObject({ ok: true });
      expect(await vm.run([[], [{ load: { gpa: 8 * MIB } }]])).toMatchObject([[], [{ value: BigInt(i) }]]);
      expect(vm.guest.load(8 * MIB, 8)).toMatchObject({ value: BigInt(i) });
    }
    expect(await vm.run([])).toEqual([]);
    expect(await vm.run([[], []])).toEqual([[], []]);
  });

  it('events of both threads are in the log after the run', async () => {
    await using vm = await threaded(build);
    const from = vm.host.events.next;
    await vm.run(ownHalves((base) => [{ store: { gpa: base, val: 1 } }]));
    const faults = vm.host.events.records(from).filter(({ kind }) => kind === 'fault');
    expect(faults.map(({ cpu }) => cpu).sort()).toEqual([0, 1]);
  });

  // What if a caller does not wait?
  it('while the vCPUs run, everything else is refused, and works again afterwards', async () => {
    await using vm = await threaded(build);
    const other = vm.host.createVm({ memory: MIB, cpus: 2, threads: true });
    const checkpoint = vm.host.checkpoint();
    const uses: Readonly<Record<string, () => unknown>> = {
      load: () => vm.guest.load(0, 8),
      request: () => vm.guest.pvmemcontrol.dontneed({ gpa: 0, len: PAGE }),
      madvise: () => vm.vmm.madvise(0n, 0n, 'dontneed'),
      counters: () => vm.observe.counters(),
      rss: () => vm.observe.rss(),
      smaps: () => vm.observe.smapsText(),
      device: () => vm.device.snapshot(),
      events: () => vm.host.events.records(),
      check: () => vm.host.check(),
      digest: () => vm.host.digest(),
      checkpoint: () => vm.host.checkpoint(),
      restore: () => vm.host.restore(checkpoint),
      createVm: () => vm.host.createVm(),
      run: () => vm.run([[{ load: { gpa: 0 } }]]),
      runInTurns: () => vm.runInTurns([[{ load: { gpa: 0 } }]]),
      'run of another VM of the host': () => other.run([[{ load: { gpa: 0 } }]]),
    };
    const running = vm.run(own);
    const codes: Record<string, string> = {};
    for (const [name, use] of Object.entries(uses)) codes[name] = await codeOf(use);
    await running;
    expect(codes).toEqual(Object.fromEntries(Object.keys(uses).map((name) => [name, 'SLB-051'])));
    expect((await other.run([[{ store: { gpa: 0, val: 1 } }]]))[0]).toMatchObject([{ ok: true }]);
    expect(vm.host.check()).toEqual([]);
    await other.close();
  });

  // What if a thread does not come back?
  it('a trap of the engine on a thread ends the run with an error, and the host with it', async () => {
    const vm = await threaded(build);
    await vm.run([[{ load: { gpa: 0 } }], [{ load: { gpa: 0 } }]]);
    const { core } = vm.host;
    // A VM record outside of memory.
    core.u32[(vm.guest.run(1) + RUN_VM) >>> 2] = 0xffff_f000;
    const endless: Program = [{ repeat: { times: 2 ** 32 - 1, steps: [{ load: { gpa: 8 * MIB } }] } }];
    expect(await codeOf(() => vm.run([endless, [{ touch: { gpa: 8 * MIB, len: PAGE } }]]))).toBe('SLB-052');
    expect(await codeOf(() => vm.guest.load(0, 8))).toBe('SLB-052');
    expect(await codeOf(() => vm.run([[{ load: { gpa: 0 } }]]))).toBe('SLB-052');
    expect(await codeOf(() => vm.host.restore(null as never))).toBe('SLB-052');
    await vm.close();
  });

  it('close: nothing runs any more, the machine can be looked at', async () => {
    const vm = await threaded(build);
    await vm.run([[{ store: { gpa: 0, val: 5 } }]]);
    await vm.close();
    await vm.close();
    expect(await codeOf(() => vm.run([[{ load: { gpa: 0 } }]]))).toBe('SLB-053');
    expect(await codeOf(() => vm.runInTurns([[{ load: { gpa: 0 } }]]))).toBe('SLB-053');
    expect(vm.guest.load(0, 8)).toMatchObject({ value: 5n });
    expect(vm.host.check()).toEqual([]);
  });

  it('close in the middle of a run: the run rejects, the host is lost', async () => {
    const vm = await threaded(build);
    const steps = [{ touch: { gpa: 8 * MIB, len: PAGE } }] as const;
    await vm.run([[...steps]]);
    const endless = vm.run([[{ repeat: { times: 2 ** 32 - 1, steps } }]]);
    const code = codeOf(() => endless);
    // By then the thread, which was there already, has its program.
    await new Promise((resolve) => setTimeout(resolve, 50));
    await vm.close();
    expect(await code).toBe('SLB-053');
    expect(await codeOf(() => vm.observe.counters())).toBe('SLB-053');
  });

  it('a checkpoint between two runs takes the machine back', async () => {
    await using vm = await threaded(build);
    await vm.run(own);
    const checkpoint = vm.host.checkpoint();
    const digest = vm.host.digest();
    await vm.run(ownHalves((base) => [{ fill: { gpa: base, len: MIB, byte: 1 } }]));
    expect(vm.host.digest()).not.toBe(digest);
    vm.host.restore(checkpoint);
    expect(vm.host.digest()).toBe(digest);
    const again = await vm.run(
      ownHalves((base, byte) => [{ verify: { gpa: base + MIB + 4 * PAGE, len: 1, byte } }]),
    );
    expect(again).toEqual([[{ differs: undefined }], [{ differs: undefined }]]);
    expect(vm.host.check()).toEqual([]);
  });
});

describe('threads › programs that cannot be run', () => {
  it.each<[string, unknown, string]>([
    ['a step that there is not', { lode: { gpa: 0 } }, 'SLB-054'],
    ['two actions in a step', { load: { gpa: 0 }, fetch: { gpa: 0 } }, 'SLB-054'],
    ['no action', {}, 'SLB-054'],
    ['nothing at all', null, 'SLB-054'],
    ['an argument that is missing', { store: { gpa: 0 } }, 'SLB-054'],
    ['an argument that there is not', { load: { gpa: 0, sise: 4 } }, 'SLB-054'],
    ['a size that there is not', { load: { gpa: 0, size: 3 } }, 'SLB-022'],
    ['an address that is none', { load: { gpa: '1Q' } }, 'SLB-010'],
    ['a length that is negative', { dontneed: { gpa: 0, len: -1 } }, 'SLB-010'],
    ['a read of a gibibyte', { read: { gpa: 0, len: '1G' } }, 'SLB-022'],
    ['a call that there is not', { vmm: { call: 'info', gpa: 0, len: 0 } }, 'SLB-054'],
    [
      'a repeat in a repeat',
      { repeat: { times: 1, steps: [{ repeat: { times: 1, steps: [] } }] } },
      'SLB-054',
    ],
    ['half a round', { repeat: { times: 0.5, steps: [] } }, 'SLB-054'],
    ['too many rounds', { repeat: { times: 2 ** 32, steps: [] } }, 'SLB-054'],
  ])('%s', async (_name, step, code) => {
    const vm = await machine({ core: 'release', wasmMemory: 'plain' });
    const digest = vm.host.digest();
    expect(await codeOf(() => vm.run([[{ store: { gpa: 0, val: 1 } }, step as Program[number]]]))).toBe(code);
    expect(vm.host.digest()).toBe(digest);
  });

  it('more programs than vCPUs', async () => {
    const vm = await machine({ core: 'release', wasmMemory: 'plain' });
    expect(await codeOf(() => vm.run([[], []]))).toBe('SLB-023');
  });

  it('requests without room for the driver’s buffers', async () => {
    const vm = await createSandbox({ memory: '16K', swap: 0 });
    expect(await codeOf(() => vm.run([[{ info: {} }]]))).toBe('SLB-029');
  });
});

describe('threads › where there can be none', () => {
  it('on a host of plain memory', async () => {
    expect(await codeOf(() => createSandbox({ threads: true, wasmMemory: 'plain' }))).toBe('SLB-050');
    const host = await createHost({ memory: MIB, swap: 0 });
    expect(await codeOf(() => host.createVm({ memory: MIB, threads: true }))).toBe('SLB-050');
  });
});

describe('threads › in turns', () => {
  it('one step of each vCPU at a time', async () => {
    const vm = await machine({ core: 'release', wasmMemory: 'plain' }, { cpus: 2 });
    const [first, second] = await vm.run([
      [{ store: { gpa: 0, val: 1 } }, { load: { gpa: 0 } }, { load: { gpa: 0 } }],
      [{ repeat: { times: 2, steps: [{ load: { gpa: 0 } }, { store: { gpa: 0, val: 9 } }] } }],
    ]);
    expect(first.map((access) => access.ok && access.value)).toEqual([0n, 1n, 9n]);
    expect(second).toEqual([
      {
        rounds: 2,
        steps: [
          { failures: 0, last: undefined, sum: 10n },
          { failures: 0, last: undefined, sum: 0n },
        ],
      },
    ]);
  });
});

describe.runIf(existsSync('dist/src/index.js'))('threads › the built library', () => {
  const library = new URL('../dist/src/index.js', import.meta.url).href;
  const run = (code: string) =>
    promisify(execFile)(
      process.execPath,
      ['--input-type=module', '-e', `import { createSandbox } from '${library}';\n${code}`],
      { timeout: 30_000 },
    );
  const MADE = `const vm = await createSandbox({ memory: '16M', cpus: 2, threads: true });\n`;
  const RUN = `const [[a], [b]] = await vm.run([[{ touch: { gpa: 0, len: '4M' } }], [{ load: { gpa: '8M' } }]]);\n`;

  // What if nobody closes it?
  it.each([
    ['idle threads do not keep a process', `${MADE}${RUN}console.log(a.pages, b.ok);`, '1024 true\n'],
    ['a VM that never ran does not either', `${MADE}console.log(vm.threads);`, 'true\n'],
    ['a run that is on does', `${MADE}${RUN}console.log('done');`, 'done\n'],
  ])(
    '%s',
    async (_name, code, printed) => {
      expect((await run(code)).stdout).toBe(printed);
    },
    40_000,
  );
});
