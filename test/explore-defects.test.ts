// "Would it find a bug?" The engine's locks and waits are disabled, one kind at a time, and each time the explorer must
// notice, and say how to see it again.
import { describe, expect, it } from 'vitest';
import { Func, TransportCommand } from '../assembly/abi/pvmemcontrol.ts';
import { Cpu } from './explore/calls.ts';
import { exploreAll } from './explore/explorer.ts';
import { exploreMachine } from './explore/machine.ts';
import { THP } from './explore/memories.ts';
import { farPage, PAGE, written } from './explore/operations.ts';
import { sabotagesOf } from './explore/sabotage.ts';
import { formatSchedule, parseSchedule } from './explore/schedule.ts';
import type { TrialPlan } from './explore/trial.ts';
import { Trial } from './explore/trial.ts';

const P = 640n * PAGE;
/** Gets the frame that P had. */
const FAR = farPage(0);

const machine = exploreMachine({ cpus: 2 });
const [a, b] = [new Cpu(machine, 0), new Cpu(machine, 1)];
const sabotages = sabotagesOf(machine);

const plan = (name: string, programs: TrialPlan['programs']): TrialPlan => ({
  name,
  machine,
  setUp: (vm) => written(vm, [640n, 641n]),
  programs,
  pages: [640n, 641n, 642n, FAR / PAGE],
});

describe('explore › defects', () => {
  it.each([
    ['locks', 'locks do not hold', [[a.store(P + 2n * PAGE, 1n)], [b.store(P + 2n * PAGE, 2n)]]],
    [
      'zapWait',
      'a zap does not wait for guest windows',
      [[a.store(P, 1n)], [b.request(Func.Dontneed, P, PAGE), b.store(FAR, 7n)]],
    ],
    [
      'tableUsers',
      'a vCPU is not known as the user of a table',
      [[a.store(P, 1n)], [b.request(Func.Dontneed, P, PAGE), b.store(FAR, 7n)]],
    ],
    [
      'requestWait',
      'RESET does not wait for a request',
      [[a.request(Func.Dontneed, P, PAGE)], [b.command(TransportCommand.Reset), b.store(FAR, 7n)]],
    ],
  ] as const)('%s: %s', (defect, name, programs) => {
    const sound = plan(name, programs);
    expect(new Trial(sound).hold({ interruptions: 1 })).toBeGreaterThan(2);
    const trial = new Trial({ ...sound, sabotage: sabotages[defect] });
    const exploration = exploreAll(trial, { interruptions: 1 });
    const [stranger = ''] = trial.strangers(exploration);
    expect(stranger).not.toBe('');
    // What it says is enough to get there again.
    const text = formatSchedule(exploration.outcomes.get(stranger)?.schedule ?? []);
    expect(trial.replay(parseSchedule(text)).outcome).toBe(stranger);
    expect(() => trial.expect(exploration)).toThrow(text);
  });
});

describe('explore › defects, huge pages', () => {
  it('a split does not wait for guest windows: a page of zeros is taken while it is written', () => {
    const huge = exploreMachine({ cpus: 2, ...THP.size });
    const [first, second] = [new Cpu(huge, 0), new Cpu(huge, 1)];
    const sound: TrialPlan = {
      name: 'split',
      machine: huge,
      setUp: (vm) => written(vm, [641n]),
      programs: [
        [first.store(P, 7n), first.load(P)],
        [second.request(Func.Pageout, P + PAGE, PAGE), second.store(FAR, 9n)],
      ],
      pages: [640n, 641n, FAR / PAGE],
      coarse: true,
    };
    expect(new Trial(sound).hold({ interruptions: 1 })).toBeGreaterThan(2);
    const trial = new Trial({ ...sound, sabotage: sabotagesOf(huge).zapWait });
    const [stranger] = trial.strangers(exploreAll(trial, { interruptions: 1 }));
    expect(stranger).toContain('a: stored | = 0x0');
  });
});

describe('explore › the same again', () => {
  it('a schedule takes the same steps and ends the same, whatever ran in between', () => {
    const trial = new Trial(
      plan('again', [
        [a.request(Func.Dontneed, P, PAGE), a.store(P, 3n)],
        [b.request(Func.SetVmaAnonName, P, PAGE, 5n), b.command(TransportCommand.Reset)],
      ]),
    );
    const { outcomes } = exploreAll(trial, { interruptions: 1 });
    for (const [outcome, { schedule }] of outcomes) {
      const first = trial.replay(schedule);
      expect(first.outcome).toBe(outcome);
      trial.hold({ interruptions: 1 });
      expect(trial.replay(schedule)).toEqual(first);
    }
  });
});
