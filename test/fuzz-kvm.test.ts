// Random calls of KVM about memory, of the VMM's own and of its files, and guest accesses, on the engine and on the slow model
// alike; values that no VMM should pass are among them. A failure prints fast-check's seed and the shrunk list.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createSandbox, type Vm } from '../src/machine.ts';
import type { Access, CoreBuild } from '../src/types.ts';
import { ANON_PAGES, FILE_PAGES, KvmModel, type KvmModelOptions, type Seen } from './model/kvm-model.ts';

const HVA = 1n << 44n;
const GMEM_FD = 3;
const PAGE = 4096n;
/** Guest-physical pages that are looked at. */
const GFNS = 40;

interface Setup extends KvmModelOptions {
  readonly core: CoreBuild;
  readonly pml: boolean;
}

type Op =
  | {
      readonly op: 'region';
      readonly slot: number;
      readonly flags: number;
      readonly gpa: bigint;
      readonly size: bigint;
      readonly at: bigint;
      readonly fd: number;
      readonly offset: bigint;
    }
  | {
      readonly op: 'attributes';
      readonly gpa: bigint;
      readonly size: bigint;
      readonly to: number;
      readonly flags: number;
    }
  | { readonly op: 'log'; readonly slot: number }
  | {
      readonly op: 'clear';
      readonly slot: number;
      readonly first: number;
      readonly count: number;
      readonly pages: readonly number[];
    }
  | { readonly op: 'fallocate'; readonly mode: number; readonly offset: bigint; readonly length: bigint }
  | { readonly op: 'dontneed'; readonly page: number; readonly pages: number }
  | { readonly op: 'hostRead' | 'load'; readonly page: number }
  | { readonly op: 'hostWrite' | 'store' | 'add'; readonly page: number; readonly byte: number };

const HOSTILE = [
  1n,
  4095n,
  4097n,
  2n ** 46n,
  2n ** 47n,
  2n ** 63n,
  2n ** 64n - 4096n,
  2n ** 64n - 1n,
] as const;
/** Mostly the first, now and then the second. */
const mostly = <T>(usual: fc.Arbitrary<T>, odd: fc.Arbitrary<T>): fc.Arbitrary<T> =>
  fc.oneof({ weight: 20, arbitrary: usual }, { weight: 1, arbitrary: odd });
const bytes = (max: number): fc.Arbitrary<bigint> =>
  mostly(
    fc.integer({ min: 0, max }).map((page) => BigInt(page) * PAGE),
    fc.constantFrom(...HOSTILE),
  );
const slot = mostly(fc.integer({ min: 0, max: 3 }), fc.constantFrom(32763, 32764, 0x10000, 0xffff_ffff));
const page = fc.integer({ min: 0, max: GFNS - 1 });
const hostPage = fc.integer({ min: 0, max: ANON_PAGES + FILE_PAGES + 2 });
const byte = fc.integer({ min: 0, max: 255 });

const region = fc.record({
  op: fc.constant('region' as const),
  slot,
  flags: mostly(fc.constantFrom(0, 0, 1, 1, 2, 3, 4, 4, 4), fc.constantFrom(5, 6, 8, 0x20000, 0x8000_0000)),
  gpa: bytes(GFNS),
  size: bytes(12),
  at: bytes(ANON_PAGES + FILE_PAGES),
  fd: mostly(fc.constant(GMEM_FD), fc.constantFrom(0, 99, -1)),
  offset: bytes(FILE_PAGES),
});

const op: fc.Arbitrary<Op> = fc.oneof(
  { weight: 6, arbitrary: region },
  // The whole of a slot again: deleted, moved, with other flags, or as it is.
  { weight: 3, arbitrary: region.map((o) => ({ ...o, size: 0n })) },
  {
    weight: 6,
    arbitrary: region.map((o) => ({ ...o, size: 8n * PAGE, at: BigInt(o.slot & 3) * 8n * PAGE })),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      op: fc.constant('attributes' as const),
      gpa: bytes(GFNS),
      size: bytes(GFNS),
      to: mostly(fc.constantFrom(0, 8), fc.constantFrom(1, 9, 16)),
      flags: mostly(fc.constant(0), fc.constant(1)),
    }),
  },
  { weight: 3, arbitrary: fc.record({ op: fc.constant('log' as const), slot }) },
  {
    weight: 2,
    arbitrary: fc.record({
      op: fc.constant('clear' as const),
      slot,
      first: mostly(fc.constant(0), fc.constantFrom(1, 64, 0xffff_ffc0)),
      count: mostly(fc.integer({ min: 0, max: 12 }), fc.constantFrom(64, 0xffff_ffff)),
      pages: fc.array(fc.integer({ min: 0, max: 14 }), { maxLength: 6 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      op: fc.constant('fallocate' as const),
      mode: mostly(fc.constantFrom(1, 3), fc.constantFrom(0, 2, 8)),
      offset: bytes(FILE_PAGES),
      length: bytes(8),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      op: fc.constant('dontneed' as const),
      page: fc.integer({ min: 0, max: 59 }),
      pages: fc.integer({ min: 1, max: 5 }),
    }),
  },
  { weight: 4, arbitrary: fc.record({ op: fc.constant('hostRead' as const), page: hostPage }) },
  { weight: 4, arbitrary: fc.record({ op: fc.constant('hostWrite' as const), page: hostPage, byte }) },
  { weight: 8, arbitrary: fc.record({ op: fc.constant('load' as const), page }) },
  { weight: 10, arbitrary: fc.record({ op: fc.constantFrom('store' as const, 'add' as const), page, byte }) },
);

const seen = (access: Access): Seen =>
  access.ok
    ? {
        value: Number(access.value),
        exits: access.exits.map((exit) => ('isWrite' in exit && exit.isWrite ? 'w' : 'r')).join(''),
      }
    : access.exit.reason;

const signed = (n: bigint): bigint => BigInt.asIntN(64, n);

async function make(setup: Setup): Promise<Vm> {
  const { core, vmType, mapped, manual, pml } = setup;
  const vm = await createSandbox({
    ram: [],
    pool: 2 * 2 ** 20,
    core,
    vmType,
    pml,
    gmemProfile: mapped ? 'C' : 'B',
  });
  const length = BigInt(FILE_PAGES) * PAGE;
  expect(vm.vmm.mmap({ addr: HVA, length: BigInt(ANON_PAGES) * PAGE, prot: 3, shared: false })).toBe(0);
  expect(vm.kvm.createGuestMemfd({ size: length, flags: mapped ? 3 : 0 })).toEqual({ errno: 0, fd: GMEM_FD });
  if (mapped) {
    const addr = HVA + BigInt(ANON_PAGES) * PAGE;
    expect(vm.vmm.mmap({ addr, length, prot: 3, shared: true, fd: GMEM_FD })).toBe(0);
  }
  if (manual !== 0) expect(vm.kvm.enableCap(168, manual)).toBe(0);
  return vm;
}

async function compare(setup: Setup, ops: readonly Op[]): Promise<void> {
  const vm = await make(setup);
  const model = new KvmModel(setup);
  const { core } = vm.host;
  ops.forEach((o, i) => {
    const step = `step ${i} ${JSON.stringify(o, (_, v) => (typeof v === 'bigint' ? `0x${v.toString(16)}` : v))}`;
    const [is, want] = perform(o);
    expect(is, step).toEqual(want);
    expect(
      vm.kvm
        .memslots()
        .map(({ id, gpa, size, dirtyLog, readonly }) => [id, gpa >> 12n, size, dirtyLog, readonly]),
      step,
    ).toEqual(
      model.slots.map(({ id, gfn, pages, flags }) => [
        id,
        gfn,
        Number(pages) * 4096,
        (flags & 1) !== 0,
        (flags & 2) !== 0,
      ]),
    );
    const kinds = (isPrivate: (gfn: bigint) => boolean, gfns: number): string =>
      Array.from({ length: gfns }, (_, gfn) => (isPrivate(BigInt(gfn)) ? 'P' : 's')).join('');
    const wanted = kinds((gfn) => model.attributes.has(gfn), 512);
    expect(
      kinds((gfn) => vm.kvm.isPrivate(gfn * PAGE), 2 * GFNS),
      step,
    ).toBe(wanted.slice(0, 2 * GFNS));
    expect(core.x.isMixed(vm.ptr, 0n, 9n) !== 0, step).toBe(new Set(wanted).size > 1);
    const letters = Array.from({ length: FILE_PAGES }, (_, at) => (model.file.has(at) ? 'c' : '.')).join('');
    expect(vm.observe.filePages(GMEM_FD, 0, FILE_PAGES), step).toBe(letters);
  });
  expect(vm.host.check()).toEqual([]);

  function perform(o: Op): [unknown, unknown] {
    switch (o.op) {
      case 'region': {
        const hva = BigInt.asUintN(64, HVA + o.at);
        const errno = vm.kvm.setUserMemoryRegion2({
          slot: o.slot,
          flags: o.flags,
          guestPhysAddr: o.gpa,
          memorySize: o.size,
          userspaceAddr: hva,
          guestMemfd: o.fd,
          guestMemfdOffset: o.offset,
        });
        return [errno, model.setRegion({ ...o, hva, isFile: o.fd === GMEM_FD })];
      }
      case 'attributes': {
        const errno = vm.kvm.setMemoryAttributes({
          address: o.gpa,
          size: o.size,
          attributes: o.to,
          flags: o.flags,
        });
        return [errno, model.setAttributes(o.gpa, o.size, o.to, o.flags)];
      }
      case 'log': {
        const { errno, pages } = vm.kvm.getDirtyLog(o.slot);
        const wanted = model.logErrno(o.slot);
        if (errno !== 0 || wanted !== 0) return [errno, wanted];
        return [undefined, model.checkLog(o.slot, [...pages])];
      }
      case 'clear': {
        const errno = vm.kvm.clearDirtyLog({
          slot: o.slot,
          firstPage: o.first,
          numPages: o.count,
          pages: o.pages,
        });
        return [errno, model.clearLog(o.slot, o.first, o.count, o.pages)];
      }
      case 'fallocate':
        return [
          vm.vmm.fallocate(GMEM_FD, o.mode, signed(o.offset), signed(o.length)),
          model.fallocate(o.mode, signed(o.offset), signed(o.length)),
        ];
      case 'dontneed':
        model.dontneed(o.page, o.pages);
        return [vm.vmm.madvise(HVA + BigInt(o.page) * PAGE, BigInt(o.pages) * PAGE, 'dontneed'), 0];
      case 'hostRead': {
        const got = vm.vmm.load(HVA + BigInt(o.page) * PAGE);
        return [got.ok ? got.value : undefined, model.hostRead(o.page)];
      }
      case 'hostWrite':
        return [vm.vmm.store(HVA + BigInt(o.page) * PAGE, o.byte).ok, model.hostWrite(o.page, o.byte)];
      case 'load':
        return [seen(vm.guest.load(o.page * 4096, 1)), model.load(BigInt(o.page))];
      case 'store':
        return [seen(vm.guest.store(o.page * 4096, 1, o.byte)), model.store(BigInt(o.page), o.byte, false)];
      case 'add':
        return [seen(vm.guest.fetchAdd(o.page * 4096, 1, o.byte)), model.store(BigInt(o.page), o.byte, true)];
    }
  }
}

const setups: fc.Arbitrary<Setup> = fc
  .record({
    core: fc.constantFrom('release' as const, 'debug' as const),
    vmType: fc.constantFrom(0 as const, 1 as const, 1 as const),
    mapped: fc.boolean(),
    manual: fc.constantFrom(0 as const, 0 as const, 1 as const, 3 as const),
    pml: fc.boolean(),
  })
  .map((setup) => ({ ...setup, mapped: setup.mapped && setup.vmType === 0 }));

/** Found by the test below, shrunk. */
const SHRUNK: readonly (readonly [string, Setup, readonly Op[]])[] = [
  [
    'a vCPU remembers MMIO where a page becomes private',
    { core: 'debug', vmType: 1, mapped: false, manual: 0, pml: false },
    [
      { op: 'store', page: 32, byte: 0 },
      { op: 'attributes', gpa: 0n, size: 33n * PAGE, to: 8, flags: 0 },
      { op: 'store', page: 32, byte: 0 },
    ],
  ],
  [
    'a move to where no addresses are, which is refused, and a log that would have come with it',
    { core: 'debug', vmType: 0, mapped: false, manual: 0, pml: false },
    [
      { op: 'region', slot: 1, flags: 0, gpa: 0n, size: 8n * PAGE, at: 0n, fd: GMEM_FD, offset: 0n },
      { op: 'region', slot: 1, flags: 1, gpa: 2n ** 47n, size: 8n * PAGE, at: 0n, fd: GMEM_FD, offset: 0n },
      { op: 'log', slot: 1 },
    ],
  ],
];

describe('fuzz › KVM', () => {
  it.each(SHRUNK)('%s', async (_name, setup, ops) => {
    await compare(setup, ops);
  });

  it('the engine and the model agree after every step, and all invariants hold', {
    timeout: 300_000,
  }, async () => {
    await fc.assert(
      fc.asyncProperty(setups, fc.array(op, { minLength: 1, maxLength: 80, size: 'max' }), compare),
      { numRuns: Number(process.env.FUZZ_RUNS ?? 400) },
    );
  });
});
