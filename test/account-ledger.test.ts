// Ledger and engine say the same: random operations on both, all counters that both have compared after each.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Mpol } from '../assembly/abi/mempolicy.ts';
import { Ledger, type LedgerMapping } from '../src/account/ledger.ts';
import type { LedgerFile } from '../src/account/ledger-file.ts';
import { machineTotals } from '../src/account/machine.ts';
import type { Policy } from '../src/account/policy.ts';
import type { Vm } from '../src/index.ts';
import { leafUsage } from '../src/observe/usage.ts';
import { BUILDS, MIB, machine } from './support/machines.ts';

const PAGE = 4096;
/** Pages of each mapping and file. */
const PAGES = 40;
const HVA = 1n << 44n;
const GPA = 1n << 32n;
const APART = 1n << 30n;
const NODES = 4;
/**
 * Pages of the guest_memfd, and frames of each node: few enough that nodes fill up, together enough for all there can be; with
 * huge pages so many that there is always a group of frames for one.
 */
const SMALL = { gmem: PAGES, room: 64, huge: false };
const HUGE = { gmem: 1536, room: 4096, huge: true };
type Size = typeof SMALL;

const POLICIES: readonly Policy[] = [
  { mode: Mpol.Default, nodes: [] },
  { mode: Mpol.Preferred, nodes: [3] },
  { mode: Mpol.Interleave, nodes: [1, 2] },
  { mode: Mpol.Interleave, nodes: [0, 1, 3] },
];

const rangeOf = (pages: number) => {
  const page = fc.nat(pages - 1);
  return fc.tuple(page, page).map(([a, b]) => ({ first: Math.min(a, b), count: Math.abs(a - b) + 1 }));
};
const operations = ({ gmem }: Size) =>
  fc.oneof(
    fc.record({
      op: fc.constant('touch' as const),
      which: fc.nat(2),
      page: fc.nat(PAGES - 1),
      write: fc.boolean(),
    }),
    fc.record({ op: fc.constant('guest' as const), page: fc.nat(gmem - 1) }),
    fc.record({ op: fc.constant('allocate' as const), range: rangeOf(gmem) }),
    fc.record({ op: fc.constant('punch' as const), range: rangeOf(PAGES), gmem: fc.constant(false) }),
    fc.record({ op: fc.constant('punch' as const), range: rangeOf(gmem), gmem: fc.constant(true) }),
    fc.record({ op: fc.constant('dontneed' as const), which: fc.nat(2), range: rangeOf(PAGES) }),
  );
type Operation = ReturnType<typeof operations> extends fc.Arbitrary<infer T> ? T : never;

/** An anonymous mapping, a private and a shared one of a memfd, and a guest_memfd with a slot; on both sides. */
class Pair {
  readonly ledger: Ledger;
  readonly mappings: readonly LedgerMapping[];
  readonly memfd: LedgerFile;
  readonly gmem: LedgerFile;
  readonly fds: { readonly memfd: number; readonly gmem: number };

  constructor(
    readonly vm: Vm,
    policy: Policy,
    readonly size: Size,
  ) {
    expect(vm.vmm.setMempolicy(policy.mode, policy.nodes)).toBe(0);
    const length = BigInt(PAGES * PAGE);
    const memfd = vm.vmm.memfdCreate(length);
    const gmemLength = size.gmem * PAGE;
    const { fd: gmem } = vm.kvm.createGuestMemfd({ size: gmemLength, flags: size.huge ? 1 : 0 });
    this.fds = { memfd, gmem };
    vm.vmm.mmap({ addr: HVA, length, prot: 3, shared: false });
    vm.vmm.mmap({ addr: HVA + APART, length, prot: 3, shared: false, fd: memfd });
    vm.vmm.mmap({ addr: HVA + 2n * APART, length, prot: 3, shared: true, fd: memfd });
    vm.kvm.setUserMemoryRegion2({
      slot: 0,
      flags: 4,
      guestPhysAddr: GPA,
      memorySize: gmemLength,
      userspaceAddr: HVA,
      guestMemfd: gmem,
      guestMemfdOffset: 0,
    });
    vm.kvm.setMemoryAttributes({ address: GPA, size: gmemLength, attributes: 8 });

    this.ledger = new Ledger({ nodes: Array.from({ length: NODES }, () => size.room), policy });
    this.memfd = this.ledger.createFile({ name: 'memfd', kind: 'memfd', pages: PAGES });
    this.gmem = this.ledger.createFile({ name: 'gmem', kind: 'gmem', pages: size.gmem, huge: size.huge });
    const map = (name: string, shared: boolean, file?: LedgerFile, first = 0) =>
      this.ledger.mmap({ name, shared, pages: PAGES, first, ...(file && { file }) });
    this.mappings = [
      map('anon', false, undefined, Number(HVA / 4096n)),
      map('private', false, this.memfd),
      map('shared', true, this.memfd),
    ];
  }

  run(o: Operation): void {
    const { vm, ledger, fds } = this;
    const at = (which: number, n: number): bigint => HVA + BigInt(which) * APART + BigInt(n * PAGE);
    const bytes = (n: number): bigint => BigInt(n * PAGE);
    switch (o.op) {
      case 'touch': {
        const hva = at(o.which, o.page);
        expect((o.write ? vm.vmm.store(hva, 1) : vm.vmm.load(hva)).ok).toBe(true);
        expect(ledger.touch(this.mappings[o.which] as LedgerMapping, o.page, o.write)).toBe(true);
        break;
      }
      case 'guest':
        expect(vm.guest.store(GPA + bytes(o.page), 1, 1)).toMatchObject({ ok: true, exits: [] });
        expect(this.gmem.guestFault(o.page)).toBeGreaterThan(0);
        break;
      case 'allocate':
        expect(vm.vmm.fallocate(fds.gmem, 1, bytes(o.range.first), bytes(o.range.count))).toBe(0);
        expect(this.gmem.allocate(o.range.first, o.range.count)).toBe(true);
        break;
      case 'punch':
        expect(
          vm.vmm.fallocate(o.gmem ? fds.gmem : fds.memfd, 3, bytes(o.range.first), bytes(o.range.count)),
        ).toBe(0);
        ledger.punch(o.gmem ? this.gmem : this.memfd, o.range.first, o.range.count);
        break;
      case 'dontneed':
        expect(vm.vmm.madvise(at(o.which, o.range.first), bytes(o.range.count), 'dontneed')).toBe(0);
        ledger.dontneed(this.mappings[o.which] as LedgerMapping, o.range.first, o.range.count);
    }
  }

  /** What both have, in pages. */
  engine(): object {
    const t = machineTotals(this.vm);
    const [small, huge] = leafUsage(this.vm, { from: GPA, to: GPA + BigInt(this.size.gmem * PAGE) });
    const pages = (n: number): number => n / PAGE;
    return {
      vmSize: pages(t.vmSize),
      rssAnon: pages(t.rssAnon),
      rssFile: pages(t.rssFile),
      rssShmem: pages(t.rssShmem),
      cached: pages(t.cached),
      shmem: pages(t.shmem),
      unevictable: pages(t.unevictable),
      mapped: pages(t.mapped),
      fileThp: pages(t.fileThp),
      pages4k: pages(small),
      pages2m: pages(huge),
      anonNodes: t.anonNodes.map(pages),
      fileNodes: t.fileNodes.map(pages),
      fileThpNodes: t.fileThpNodes.map(pages),
      unevictableNodes: t.unevictableNodes.map(pages),
      mappedNodes: t.mappedNodes.map(pages),
      freeNodes: this.vm.host.nodes().map(({ free }) => pages(free)),
    };
  }
}

describe('account › ledger and engine', () => {
  it.each(
    BUILDS.flatMap(([name, build]) => [
      [name, 'small pages', build, SMALL] as const,
      [name, 'huge pages', build, HUGE] as const,
    ]),
  )(
    'the same counters after every operation (%s, %s)',
    async (_, __, build, size) => {
      const property = fc.asyncProperty(
        fc.constantFrom(...POLICIES),
        fc.array(operations(size), { maxLength: 60, size: 'max' }),
        async (policy, steps) => {
          const vm = await machine(build, {
            ram: [],
            pool: size.room * NODES * PAGE,
            swap: 0,
            numaNodes: NODES,
            vmType: 1,
            gmemProfile: size.huge ? 'A' : 'B',
          });
          const pair = new Pair(vm, policy, size);
          for (const o of steps) {
            pair.run(o);
            expect(pair.engine()).toEqual(pair.ledger.counters());
          }
          expect(vm.host.check()).toEqual([]);
        },
      );
      await fc.assert(property, { numRuns: 40, seed: 11 });
    },
    60_000,
  );

  it('a machine has what its parts have', async () => {
    const vm = await machine(BUILDS[0]?.[1] ?? { core: 'release', wasmMemory: 'plain' }, { memory: 4 * MIB });
    vm.guest.touch({ gpa: 0, len: MIB, write: true });
    expect(machineTotals(vm)).toMatchObject({ vmSize: 4 * MIB, rssAnon: MIB, charged: MIB, taken: MIB });
  });
});
