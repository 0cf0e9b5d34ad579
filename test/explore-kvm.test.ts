// What vCPUs may see while KVM's calls change memory under them, each promise a small program; and that the explorer would
// notice if the engine did not keep it. Cases SL-13, SL-14 of the SLAT reference, GM-P21 of the guest_memfd reference.
import { describe, expect, it } from 'vitest';
import { Func } from '../assembly/abi/pvmemcontrol.ts';
import type { Vm } from '../src/machine.ts';
import { Cpu } from './explore/calls.ts';
import { exploreAll } from './explore/explorer.ts';
import { VM_SEQUENCE } from './explore/layout.ts';
import { exploreMachine } from './explore/machine.ts';
import { farPage, PAGE } from './explore/operations.ts';
import { sabotagesOf } from './explore/sabotage.ts';
import { Trial, type TrialPlan } from './explore/trial.ts';
import { hvaAt } from './support/machines.ts';

const P = 640n * PAGE;
/** A slot over the page at P, at a gpa of its own. */
const GPA = 0xc000_0000n;
const SLOT = { slot: 9, gpa: GPA, len: PAGE, hva: (1n << 44n) + P } as const;
const NONE = { slot: 9, len: 0n } as const;
const ONES = '0xffffffffffffffff';
const DEEP = Number(process.env.EXPLORE_INTERRUPTIONS ?? 0);

const machine = exploreMachine({ cpus: 2, kvm: true });
const [a, b] = [new Cpu(machine, 0), new Cpu(machine, 1)];
const counter = (vm: Vm, name: 'slat.retries' | 'notifier.calls'): number =>
  vm.observe.counters()[name] as number;
const sequence = (vm: Vm): number => vm.host.core.readU32(vm.ptr + VM_SEQUENCE);

const withSlot = (vm: Vm): void => {
  const { slot, gpa: guestPhysAddr, len: memorySize, hva: userspaceAddr } = SLOT;
  vm.kvm.setUserMemoryRegion({ slot, flags: 0, guestPhysAddr, memorySize, userspaceAddr });
  vm.guest.store(GPA, 8, 0x1234);
};

const hold = (plan: Omit<TrialPlan, 'machine'>, interruptions = 2): Trial => {
  const trial = new Trial({ machine, ...plan });
  expect(
    trial.hold({ interruptions: Math.max(interruptions, DEEP), cap: 10_000_000 }),
  ).toBeGreaterThanOrEqual(plan.programs.length);
  return trial;
};
const outcomesOf = (trial: Trial): string[] => [...trial.serial.outcomes.keys()];

describe("explore › KVM's calls", () => {
  it('SL-13: between begin and end of an invalidation a fault is refused, behind it the page is mapped; the sequence is one on', () => {
    const trial = hold({
      name: 'SL-13',
      setUp: (vm) => {
        vm.guest.store(P, 8, 5);
      },
      programs: [[a.invalidateBegin(P, PAGE), a.load(P), a.invalidateEnd(), a.load(P)]],
      pages: [640n],
      more: (vm) => `sequence ${sequence(vm)} retries ${counter(vm, 'slat.retries')}`,
    });
    expect(outcomesOf(trial)).toEqual([
      expect.stringMatching(/^a: begun \| Retry read 0x280000 \| ended \| = 0x5\n/),
    ]);
    const before = sequence(machine.vm);
    const retries = counter(machine.vm, 'slat.retries');
    trial.reset();
    expect([sequence(machine.vm), counter(machine.vm, 'slat.retries')]).toEqual([before - 1, retries - 1]);
  });

  it('SL-14: a fault that began before an invalidation and would map behind it is refused by its sequence, and taken again', () => {
    const seen = new Set<string>();
    const trial = new Trial({
      name: 'SL-14',
      machine,
      setUp: (vm) => {
        vm.guest.store(P, 8, 5);
        vm.vmm.madvise(hvaAt(vm, P), PAGE, 'pageout');
      },
      programs: [
        [a.invalidateBegin(P, PAGE), a.hostCall(Func.Dontneed, P, PAGE), a.invalidateEnd()],
        [b.load(P)],
      ],
      pages: [640n],
      more: (vm) => {
        const result = /= 0x\w+|Retry/.exec(machine.fibers[1]?.results[0] ?? '')?.[0];
        seen.add(`${result}, refused ${counter(vm, 'slat.retries')}`);
        return '';
      },
    });
    trial.hold({ interruptions: 2 });
    // Before all, in the middle, behind all; and begun before the end, mapped behind it.
    expect([...seen].sort()).toEqual([
      '= 0x0, refused 0',
      '= 0x0, refused 1',
      '= 0x5, refused 0',
      'Retry, refused 1',
    ]);
  });

  it('GM-P21: a guest that spins on a word while its slot is deleted and made again sees the old, MMIO, then fresh memory', () => {
    const trial = hold({
      name: 'GM-P21',
      setUp: withSlot,
      programs: [
        [a.load(GPA), a.load(GPA), a.load(GPA)],
        [b.region(NONE), b.hostCall(Func.Dontneed, P, PAGE), b.region(SLOT)],
      ],
      pages: [640n],
    });
    for (const outcome of outcomesOf(trial)) {
      const loads = (/^a: (.*)/.exec(outcome)?.[1] ?? '').split(' | ');
      const kinds = ['= 0x1234', `= ${ONES}, unclaimed read of 8 at 0xc0000000`, '= 0x0'];
      const order = loads.map((load) => kinds.indexOf(load));
      expect(order, outcome).toEqual([...order].sort());
      expect(order, outcome).not.toContain(-1);
    }
    expect(outcomesOf(trial).length).toBeGreaterThan(6);
  });

  it('a store is in the log that is read behind it, or in the next', () => {
    const trial = hold({
      name: 'log',
      setUp: (vm) => {
        const { slot, gpa: guestPhysAddr, len: memorySize, hva: userspaceAddr } = SLOT;
        vm.guest.store(P, 8, 1);
        vm.kvm.setUserMemoryRegion({ slot, flags: 1, guestPhysAddr, memorySize, userspaceAddr });
      },
      programs: [
        [a.store(GPA, 2n), a.store(GPA, 3n)],
        [b.readLog(9), b.load(P), b.readLog(9), b.load(P)],
      ],
      pages: [640n],
      more: (vm) => `log ${vm.kvm.getDirtyLog(9).pages.length}`,
    });
    for (const outcome of outcomesOf(trial)) {
      // What was read last before the last look at the log is what the page has, or the page is in the log.
      const last = /b: .* \| = (0x\d)\n/.exec(outcome)?.[1];
      if (last !== '0x3') expect(outcome).toMatch(/log 1$/);
    }
  });

  it('a slot comes where a vCPU remembers that there is none', () => {
    const trial = hold({
      name: 'MMIO',
      setUp: () => {},
      programs: [
        [a.store(GPA, 1n), a.store(GPA, 2n), a.store(GPA, 3n)],
        [b.region(SLOT), b.load(GPA)],
      ],
      pages: [640n],
    });
    for (const outcome of outcomesOf(trial)) expect(outcome).not.toMatch(/^a: stored \|.*unclaimed/);
  });
});

describe("explore › KVM's calls, defects", () => {
  const sabotages = sabotagesOf(machine);
  it.each([
    [
      'locks',
      'locks do not hold',
      [[a.store(GPA, 1n)], [b.region(NONE), b.region({ ...SLOT, hva: SLOT.hva + PAGE })]],
    ],
    [
      'zapWait',
      'a deleted slot does not wait for guest windows',
      [[a.store(GPA, 1n)], [b.region(NONE), b.hostCall(Func.Dontneed, P, PAGE), b.store(farPage(1), 7n)]],
    ],
    [
      'zapWait',
      'a log is read while a page is written that was in it',
      [[a.store(GPA, 1n)], [b.region({ ...SLOT, flags: 1 }), b.load(P), b.readLog(9)]],
    ],
  ] as const)('%s: %s', (defect, name, programs) => {
    const plan: TrialPlan = {
      name,
      machine,
      setUp: withSlot,
      programs,
      pages: [640n, 641n, farPage(1) / PAGE],
      more: (vm) => `log ${vm.kvm.getDirtyLog(9).pages.length}`,
    };
    expect(new Trial(plan).hold({ interruptions: 1 })).toBeGreaterThan(2);
    const trial = new Trial({ ...plan, sabotage: sabotages[defect] });
    expect(trial.strangers(exploreAll(trial, { interruptions: 1 }))).not.toEqual([]);
  });
});
