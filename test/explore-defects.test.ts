// "Would it find a bug?" The engine's locks and waits are disabled from the outside, one kind at a time: before a thread
// looks at the word that it would wait for, the word says that the way is free. Each time the explorer must notice.
import { describe, expect, it } from 'vitest';
import { Func, TransportCommand } from '../assembly/abi/pvmemcontrol.ts';
import { SyncPoint } from '../assembly/abi/sync.ts';
import { Cpu } from './explore/calls.ts';
import { exploreAll } from './explore/explorer.ts';
import { exploreMachine } from './explore/machine.ts';
import { bring, PAGE } from './explore/operations.ts';
import { formatSchedule, parseSchedule } from './explore/schedule.ts';
import { Trial, type TrialPlan } from './explore/trial.ts';

const P = 640n * PAGE;
const machine = exploreMachine({ cpus: 2 });
const [a, b] = [new Cpu(machine, 0), new Cpu(machine, 1)];

/** Frees the word that is about to be looked at. */
const freed = (at: SyncPoint) => {
  return (point: SyncPoint, what: number): void => {
    if (point === at) machine.core.u32[what >>> 2] = 0;
  };
};

const plan = (name: string, rest: Pick<TrialPlan, 'programs'> & Partial<TrialPlan>): TrialPlan => ({
  name,
  machine,
  setUp: (vm) => bring(vm, 'backed', [640n, 641n]),
  pages: [640n, 641n],
  ...rest,
});

describe('explore › defects', () => {
  it.each([
    [
      'locks do not hold',
      plan('no locks', {
        setUp: () => {},
        programs: [[a.store(P, 1n)], [b.store(P + PAGE, 1n)]],
        sabotage: freed(SyncPoint.LockTake),
      }),
    ],
  ])('%s', (_name, broken) => {
    const { sabotage: _, ...sound } = broken;
    expect(new Trial(sound).hold({ interruptions: 1 })).toBeGreaterThan(2);
    const trial = new Trial(broken);
    const exploration = exploreAll(trial, { interruptions: 1 });
    const [stranger = ''] = trial.strangers(exploration);
    expect(stranger).not.toBe('');
    // What it says is enough to get there again.
    const text = formatSchedule(exploration.outcomes.get(stranger)?.schedule ?? []);
    expect(trial.replay(parseSchedule(text)).outcome).toBe(stranger);
    expect(() => trial.expect(exploration)).toThrow(text);
  });
});

describe('explore › the same again', () => {
  it('a schedule takes the same steps and ends the same, whatever ran in between', () => {
    const trial = new Trial(
      plan('again', {
        programs: [
          [a.request(Func.Dontneed, P, PAGE), a.store(P, 3n)],
          [b.request(Func.SetVmaAnonName, P, PAGE, 5n), b.command(TransportCommand.Reset)],
        ],
      }),
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
