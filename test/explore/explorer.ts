// The explorer: executes a system under many schedules and collects the outcomes. Three ways: all schedules with at
// most so many interruptions (CHESS: Musuvathi and Qadeer, PLDI 2007: nearly every bug needs no more than two), all
// there are, and a number of random ones from a seed.
import type { Random } from '../support/random.ts';
import type { Execution, Scheduler, System } from './execute.ts';
import { execute, scheduleOf } from './execute.ts';
import type { Schedule } from './schedule.ts';

/** What came out, and the first schedule that led to it. */
export interface Found {
  readonly schedule: Schedule;
  times: number;
}

export interface Exploration {
  readonly schedules: number;
  readonly outcomes: ReadonlyMap<string, Found>;
}

export interface Bounds {
  /**
   * How often a thread may be interrupted, that is stopped where it could go on. Changing between two operations of a
   * program, and away from a thread that waits or has ended, is no interruption. Infinity: all schedules.
   */
  readonly interruptions: number;
  /** More schedules than this are an error: nothing is ever left out silently. Default 100 000. */
  readonly cap?: number;
}

/** A place where there was more than one way to go on. */
interface Choice {
  readonly options: readonly number[];
  taken: number;
}

class Outcomes {
  readonly map = new Map<string, Found>();
  schedules = 0;

  add(execution: Execution): void {
    this.schedules++;
    const found = this.map.get(execution.outcome);
    if (found) found.times++;
    else this.map.set(execution.outcome, { schedule: scheduleOf(execution), times: 1 });
  }
}

/** Every schedule within the bounds, once, depth first. */
export function exploreAll(system: System, { interruptions, cap = 100_000 }: Bounds): Exploration {
  const outcomes = new Outcomes();
  const path: Choice[] = [];
  do {
    if (outcomes.schedules === cap) throw new Error(`more than ${cap} schedules`);
    let depth = 0;
    let left = interruptions;
    const scheduler: Scheduler = {
      leaves: (free) => free || left > 0,
      pick: (options, free) => {
        if (options.length === 1) return options[0] as number;
        const known = path[depth++];
        const choice = known ?? { options, taken: 0 };
        if (!known) path.push(choice);
        if (!free && choice.taken > 0) left--;
        return choice.options[choice.taken] as number;
      },
    };
    outcomes.add(execute(system, scheduler));
  } while (advance(path));
  return { schedules: outcomes.schedules, outcomes: outcomes.map };
}

/** The next path: the deepest choice that has one more option takes it. False when there is none. */
function advance(path: Choice[]): boolean {
  for (;;) {
    const last = path.at(-1);
    if (!last) return false;
    if (++last.taken < last.options.length) return true;
    path.pop();
  }
}

/** `schedules` random ones. Each draws how restless it is, so that both few and many interruptions occur. */
export function exploreRandom(system: System, random: Random, schedules: number): Exploration {
  const outcomes = new Outcomes();
  while (outcomes.schedules < schedules) {
    const rest = 1 << (1 + random.below(5));
    const scheduler: Scheduler = {
      leaves: (free) => free || random.chance(rest),
      pick: (options) => random.pick(options),
    };
    outcomes.add(execute(system, scheduler));
  }
  return { schedules: outcomes.schedules, outcomes: outcomes.map };
}
