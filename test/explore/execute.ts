// One execution of a few threads under a schedule that somebody picks step by step. The threads are ours to stop and
// to start: nothing runs at the same time, so an execution with the same picks is the same execution.
import type { Schedule } from './schedule.ts';

/** The point between two operations of a thread's program, where it is between two instructions of the guest. */
export const OPERATION = 0;

/** Told of each point a thread comes to; true stops it there. */
export type At = (point: number, what: number) => boolean;

/** A thread under test. */
export interface Thread {
  /** Goes on until `at` stops it at a point (false) or it has ended (true). */
  resume(at: At): boolean;
}

/** What is executed again and again. */
export interface System {
  readonly threads: readonly Thread[];
  /** Everything back to how it was before the first step. */
  reset(): void;
  /**
   * At `point` a thread may have to wait for `what`: then a question that stays false until it can go on.
   * undefined where threads do not wait.
   */
  waits(point: number, what: number): (() => boolean) | undefined;
  /** Whether `thread` is between two operations at `point`: to stop there is no interruption. */
  between(thread: number, point: number): boolean;
  /** After the last step: all that can be told from outside, as one text. */
  outcome(): string;
}

/**
 * Picks one of `options`: threads that can go on, the one that runs now first if it is among them. `free` is false
 * where taking another one than the first interrupts a thread in the middle of an operation. `step` counts from 0.
 */
export type Pick = (options: readonly number[], free: boolean, step: number) => number;

export interface Step {
  readonly thread: number;
  /** Where the step has ended; undefined at the end of the thread. */
  readonly point: number | undefined;
  readonly what: number;
}

export interface Execution {
  readonly outcome: string;
  readonly steps: readonly Step[];
}

/** More steps than any program here takes: somebody goes round in circles. */
const STEP_LIMIT = 20_000;

/** Runs all threads to their end. A deadlock, an endless loop and an error of the engine are outcomes too. */
export function execute(system: System, pick: Pick): Execution {
  const { threads } = system;
  const waiting: ((() => boolean) | undefined)[] = threads.map(() => undefined);
  const live = threads.map(() => true);
  const steps: Step[] = [];
  system.reset();

  /** Who is next after a step of `current`; -1 when nobody can go on. */
  const next = (current: number, free: boolean): number => {
    const options: number[] = [];
    for (let i = 0; i < threads.length; i++) {
      const thread = (current + i) % threads.length;
      if (live[thread] && (waiting[thread]?.() ?? true)) options.push(thread);
    }
    if (options.length === 0) return -1;
    return pick(options, free || options[0] !== current, steps.length);
  };

  try {
    let current = next(0, true);
    while (current >= 0) {
      let after = -1;
      const me = current;
      const ended = (threads[me] as Thread).resume((point, what) => {
        if (steps.push({ thread: me, point, what }) > STEP_LIMIT) throw new Error('the threads never end');
        waiting[me] = system.waits(point, what);
        after = next(me, system.between(me, point));
        return after !== me;
      });
      if (ended) {
        steps.push({ thread: me, point: undefined, what: 0 });
        live[me] = false;
        after = next(me, true);
      }
      current = after;
    }
  } catch (error) {
    return { outcome: `error: ${error instanceof Error ? error.message : error}`, steps };
  }
  return { outcome: live.includes(true) ? 'deadlock' : system.outcome(), steps };
}

/** The picks of an execution. The last thread's run is cut to one step: from there on nobody is interrupted. */
export function scheduleOf({ steps }: Execution): Schedule {
  const threads = steps.map(({ thread }) => thread);
  const last = threads.at(-1);
  let end = threads.length;
  while (end > 1 && threads[end - 2] === last) end--;
  return threads.slice(0, end);
}

/** Follows a schedule, then goes on without interrupting anybody. */
export const follow =
  (schedule: Schedule): Pick =>
  (options, _free, step) => {
    const wanted = schedule[step] ?? (options[0] as number);
    if (!options.includes(wanted)) throw new Error(`the schedule does not fit: step ${step}`);
    return wanted;
  };
