// The VMM's calls of KVM as steps of a vCPU's program: the same in turns, alone and in a repeat, and on a thread.
import { describe, expect, it } from 'vitest';
import { Errno } from '../assembly/abi/errno.ts';
import type { Program, RepeatEnd } from '../src/threads/program.ts';
import type { Vm } from '../src/vm.ts';
import { hvaAt, MIB, machine, PAGE } from './support/machines.ts';

const GPA = 0xc000_0000n;
const PRIVATE = 8;
const PUNCH = 3;

const BUILDS = [
  ['release', { core: 'release', wasmMemory: 'threads' }],
  ['debug', { core: 'debug', wasmMemory: 'threads' }],
] as const;

const make = async (core: 'release' | 'debug', threads: boolean): Promise<Vm> => {
  const vm = await machine(
    { core, wasmMemory: 'threads' },
    { memory: 4 * MIB, cpus: 2, threads, vmType: 1, gmemProfile: 'B' },
  );
  expect(vm.kvm.createGuestMemfd({ size: 16 * PAGE })).toEqual({ errno: 0, fd: 3 });
  return vm;
};

const region = (
  vm: Vm,
  o: { slot: number; flags?: number; memorySize?: number; guestPhysAddr?: bigint },
) => ({
  setUserMemoryRegion2: {
    flags: 0,
    guestPhysAddr: GPA,
    memorySize: 16 * PAGE,
    userspaceAddr: hvaAt(vm, MIB),
    ...o,
  },
});

/** Each kind of call, what goes wrong with it, and accesses that see it. */
const program = (vm: Vm) =>
  [
    { load: { gpa: GPA } },
    region(vm, { slot: 5, flags: 1 }),
    region(vm, { slot: 6 }),
    { store: { gpa: GPA, val: 7 } },
    { fetchAdd: { gpa: GPA, val: 5 } },
    { fetchAdd: { gpa: GPA + 4096n, size: 4, val: 0 } },
    { getDirtyLog: { slot: 5 } },
    { getDirtyLog: { slot: 5 } },
    { getDirtyLog: { slot: 4 } },
    { clearDirtyLog: { slot: 5, firstPage: 0, numPages: 16 } },
    { clearDirtyLog: { slot: 5, firstPage: 1, numPages: 16 } },
    region(vm, { slot: 5, flags: 1, guestPhysAddr: 2n * GPA }),
    { load: { gpa: 2n * GPA } },
    region(vm, { slot: 5, memorySize: 0 }),
    { load: { gpa: 2n * GPA } },
    {
      setUserMemoryRegion2: {
        ...region(vm, { slot: 7 }).setUserMemoryRegion2,
        flags: 4,
        guestMemfd: 3,
        guestMemfdOffset: 0,
      },
    },
    {
      setUserMemoryRegion2: {
        ...region(vm, { slot: 8, guestPhysAddr: 2n * GPA }).setUserMemoryRegion2,
        flags: 4,
        guestMemfd: 77,
      },
    },
    { setMemoryAttributes: { address: GPA, size: 2 * PAGE, attributes: PRIVATE } },
    { setMemoryAttributes: { address: GPA, size: 1, attributes: PRIVATE } },
    { load: { gpa: GPA } },
    { store: { gpa: GPA, val: 9 } },
    { fallocate: { fd: 3, mode: 1, offset: 0, length: 4 * PAGE } },
    { fallocate: { fd: 3, mode: PUNCH, offset: 0, length: PAGE } },
    { fallocate: { fd: 3, mode: 0, offset: 0, length: PAGE } },
    { fallocate: { fd: 33, mode: 1, offset: 0, length: PAGE } },
    { load: { gpa: GPA } },
    { setMemoryAttributes: { address: GPA, size: 2 * PAGE, attributes: 0 } },
    { load: { gpa: GPA } },
  ] as const satisfies Program;

const { OK, EEXIST, ENOENT, EINVAL, EBADF, EOPNOTSUPP } = Errno;
const value = (n: bigint) => ({ ok: true, value: n, exits: [] });
const MMIO = { ok: true, value: 2n ** 64n - 1n, exits: [{ reason: 'MMIO' }] };
const EXPECTED = [
  MMIO,
  OK,
  EEXIST,
  value(0n),
  value(7n),
  value(0n),
  { errno: OK, pages: 2 },
  { errno: OK, pages: 0 },
  { errno: ENOENT, pages: 0 },
  OK,
  EINVAL,
  OK,
  value(12n),
  OK,
  MMIO,
  OK,
  EBADF,
  OK,
  EINVAL,
  value(0n),
  value(0n),
  OK,
  OK,
  EOPNOTSUPP,
  EBADF,
  value(0n),
  OK,
  value(12n),
];

describe.each(BUILDS)('threads › calls of KVM, %s', (core) => {
  it('each call in turns and on a thread', async () => {
    for (const threads of [false, true]) {
      const vm = await make(core, threads);
      try {
        const results = threads ? await vm.run([program(vm)]) : vm.runInTurns([program(vm)]);
        expect(results[0]).toMatchObject(EXPECTED);
        expect(vm.host.check()).toEqual([]);
      } finally {
        await vm.close();
      }
    }
  });

  it('in a repeat, in the engine as one by one', async () => {
    const ends: RepeatEnd[] = [];
    for (const threads of [false, true]) {
      const vm = await make(core, threads);
      const steps = [...program(vm), region(vm, { slot: 7, memorySize: 0 })];
      const repeat = [{ repeat: { times: 3, advance: 4096n, span: 8192n, steps } }] as const;
      try {
        const results = threads ? await vm.run([repeat]) : vm.runInTurns([repeat]);
        ends.push(results[0][0] as RepeatEnd);
        expect(vm.host.check()).toEqual([]);
      } finally {
        await vm.close();
      }
    }
    expect(ends[1]).toEqual(ends[0]);
    expect(ends[0]?.steps.map(({ failures }) => failures > 0)).toContain(true);
  });

  it('additions by several vCPUs at once are all there, while the log of their page is read', async () => {
    const vm = await make(core, true);
    try {
      const times = 20_000;
      const add = [{ repeat: { times, steps: [{ fetchAdd: { gpa: GPA, val: 1 } }] } }] as const;
      const read = [
        {
          repeat: { times: 2000, steps: [{ getDirtyLog: { slot: 5 } }, { fetchAdd: { gpa: GPA, val: 1 } }] },
        },
      ] as const;
      expect(vm.runInTurns([[region(vm, { slot: 5, flags: 1 })]])[0]).toEqual([OK]);
      const [, [reads]] = await vm.run([add, read]);
      expect(vm.guest.load(GPA, 8)).toMatchObject(value(BigInt(times + 2000)));
      expect(reads.steps[0]?.failures).toBe(0);
      expect(vm.host.check()).toEqual([]);
    } finally {
      await vm.close();
    }
  });

  it('GM-P21: a guest that spins while its slot goes and comes with fresh memory sees MMIO or 0, nothing else', async () => {
    const vm = await make(core, true);
    try {
      const times = 30_000;
      vm.runInTurns([[region(vm, { slot: 5 })]]);
      const spin = [{ repeat: { times, steps: [{ load: { gpa: GPA } }] } }] as const;
      const steps = [
        region(vm, { slot: 5, memorySize: 0 }),
        { vmm: { call: 'dontneed', gpa: MIB, len: PAGE } },
        region(vm, { slot: 5 }),
      ] as const;
      const before = vm.observe.counters()['exits.mmio'] as number;
      const [[seen], [changes]] = await vm.run([spin, [{ repeat: { times: 1000, steps } }]]);
      const exits = (vm.observe.counters()['exits.mmio'] as number) - before;
      // What nobody answers reads as ones: minus one.
      expect(seen.steps[0]).toEqual({
        failures: 0,
        last: undefined,
        sum: BigInt.asUintN(64, -BigInt(exits)),
      });
      expect(changes.steps.map(({ failures }) => failures)).toEqual([0, 0, 0]);
      expect(vm.host.check()).toEqual([]);
    } finally {
      await vm.close();
    }
  });

  it('what can be wrong with a step is found before a vCPU moves', async () => {
    const vm = await make(core, false);
    const adds = [{ fetchAdd: { gpa: 0, size: 4, val: 1 } }, { fetchAdd: { gpa: 0, val: 1 } }];
    const wrong = [
      ['SLB-022', { fetchAdd: { gpa: 4, val: 1 } }],
      ['SLB-022', { fetchAdd: { gpa: 4095, size: 2, val: 1 } }],
      ['SLB-022', { repeat: { times: 2, advance: 4, steps: adds } }],
      ['SLB-054', { getDirtyLog: {} }],
      ['SLB-054', { setMemoryAttributes: { address: 0, size: 1 } }],
      ['SLB-054', { fallocate: { fd: 3, mode: 1, offset: 0, length: 1, more: 1 } }],
    ] as const;
    for (const [code, step] of wrong) {
      expect(() => vm.runInTurns([[step]] as unknown as Program[]), JSON.stringify(step)).toThrow(
        expect.objectContaining({ code }),
      );
    }
  });
});
