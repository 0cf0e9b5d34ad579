// What a run depends on: its inputs alone. The build, the events and the size of an untouched guest make no difference.
// Reference: docs/architecture.md (time), docs/performance.md (cost of a request).
import { describe, expect, it } from 'vitest';
import type { Vm } from '../src/index.ts';
import { BUILDS, type Build, changes, hvaAt, MIB, machine, PAGE } from './support/machines.ts';
import { Random } from './support/random.ts';

const BUILD: Build = { core: 'release', wasmMemory: 'plain' };

/** A program of every kind of access, call and request, enough to swap. */
function program(vm: Vm): void {
  const r = new Random(20);
  const request = vm.guest.pvmemcontrol;
  const calls = [
    request.dontneed,
    request.free,
    request.pageout,
    request.dontdump,
    request.mlock,
    request.munlock,
    request.mprotectNone,
    request.mprotectR,
    request.mprotectW,
    request.mprotectRw,
    request.mergeable,
    request.unmergeable,
    request.remove,
    request.setVmaAnonName,
  ];
  for (let i = 0; i < 600; i++) {
    const gpa = MIB + r.below(3072) * PAGE;
    const len = r.below(700) * PAGE;
    if (r.chance(3)) r.pick(calls)({ gpa, len, arg: r.below(3) });
    else if (r.chance(2)) vm.guest.touch({ gpa, len, write: r.chance(2), byte: i & 255 });
    else if (r.below(3) < 2) vm.guest.store(BigInt(gpa + r.below(PAGE)), 8, r.bits());
    else vm.vmm.store(hvaAt(vm, gpa), i & 255);
  }
  request.munlock({ gpa: MIB, len: 32 * MIB });
}

describe('host › the same program', () => {
  it('events off: nothing is recorded, the state is the same', async () => {
    const [on, off] = [await machine(BUILD), await machine(BUILD, { events: false })];
    for (const vm of [on, off]) program(vm);
    expect(off.host.events.records()).toEqual([]);
    expect(off.host.events.next).toBe(1);
    expect(off.host.digest()).toBe(on.host.digest());
  });

  it('ends in the same state on all four builds, by the same events', async () => {
    const ends = [];
    for (const [, build] of BUILDS) {
      const vm = await machine(build, { pool: 6 * MIB, swap: 4 * MIB });
      program(vm);
      expect(vm.host.check()).toEqual([]);
      // The shared zero page: mapped everywhere, never written.
      expect(vm.host.core.u8.subarray(0x60000, 0x61000).every((byte) => byte === 0)).toBe(true);
      const counters = vm.observe.counters();
      expect(
        Math.min(
          counters['reclaim.swapout'] ?? 0,
          counters['faults.major'] ?? 0,
          counters['vmas.splits'] ?? 0,
        ),
      ).toBeGreaterThan(10);
      const events = vm.host.events
        .records(vm.host.events.next - 2000)
        .map((e) => `${e.seq} ${e.cause} ${e.text}`);
      ends.push({ digest: vm.host.digest(), counters, smaps: vm.observe.smapsText(), events });
    }
    for (const end of ends.slice(1)) expect(end).toEqual(ends[0]);
  });

  it('looking changes nothing', async () => {
    const vm = await machine(BUILD, { pool: 6 * MIB, swap: 4 * MIB });
    program(vm);
    const state = () => [vm.host.digest(), vm.observe.counters(), vm.host.events.next, vm.device.snapshot()];
    const before = state();
    vm.observe.smapsText();
    vm.observe.pageLetters(hvaAt(vm, 0), 16384);
    for (const gpa of [0, MIB, 32 * MIB, 2 ** 47]) vm.observe.walk(gpa);
    for (const lens of ['backing', 'slat', 'protection'] as const) vm.observe.raster(lens, 0, 12, 1024, 64);
    // Absent, zero, swapped, protected pages: reading RAM faults nothing in.
    vm.ramAccess.read(0, 64 * MIB);
    vm.host.checkpoint();
    expect(vm.host.check()).toEqual([]);
    expect(state()).toEqual(before);
  });

  it('a different byte, page or permission is a different digest', async () => {
    const digests = new Set<string>();
    const variants: ((vm: Vm) => void)[] = [
      () => undefined,
      (vm) => vm.guest.store(0, 1, 1),
      (vm) => vm.guest.store(0, 1, 2),
      (vm) => vm.guest.store(1, 1, 1),
      (vm) => vm.guest.store(PAGE, 1, 1),
      (vm) => vm.guest.load(0, 1),
      (vm) => vm.vmm.store(hvaAt(vm, 0), 1),
      (vm) => vm.vmm.load(hvaAt(vm, 0)),
      (vm) => vm.vmm.mprotect(hvaAt(vm, 0), 4096n, 1),
      (vm) => vm.vmm.madvise(hvaAt(vm, 0), 4096n, 'dontdump'),
      (vm) => vm.bus.write(0xdffffff0n, Uint8Array.of(1, 0, 0, 0)),
      (vm) => vm.bus.write(0xdffffff8n, Uint8Array.of(0xd2, 0xe6, 0x0f, 0x06)),
    ];
    for (const variant of variants) {
      const vm = await machine(BUILD);
      variant(vm);
      digests.add(vm.host.digest());
    }
    expect(digests.size).toBe(variants.length);
  });
});

// Design section 8: the cost of a request does not depend on the size of an untouched guest. Counted, not timed.
describe('host › a request costs the same in a guest of 1 GiB and of 1 TiB', () => {
  const NAMES = [
    'dontneed',
    'remove',
    'free',
    'pageout',
    'dontdump',
    'setVmaAnonName',
    'mlock',
    'munlock',
    'mprotectNone',
    'mprotectR',
    'mprotectW',
    'mprotectRw',
    'mergeable',
    'unmergeable',
  ] as const;

  it.each(NAMES)('%s', async (name) => {
    const costs = [];
    for (const memory of ['1G', '1T']) {
      const vm = await machine(BUILD, { memory });
      vm.guest.pvmemcontrol.info();
      vm.guest.touch({ gpa: 32 * MIB, len: 4 * PAGE, write: true });
      const first = vm.host.events.next;
      const change = changes(vm, () => {
        vm.guest.pvmemcontrol[name]({ gpa: 16 * MIB, len: PAGE, arg: 1 });
        if (name !== 'mlock') vm.guest.pvmemcontrol[name]({ gpa: 0x20_0000, len: 256 * MIB, arg: 1 });
      });
      costs.push({ change, events: vm.host.events.records(first).map((e) => e.text) });
    }
    expect(costs[1]).toEqual(costs[0]);
    expect(costs[0]?.change['requests.total']).toBe(name === 'mlock' ? 1 : 2);
  });
});
