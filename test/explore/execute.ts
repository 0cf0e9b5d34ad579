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
  /** Whether `thread` goes on at this point whatever the schedule says: nobody else can tell on which side of it it is. */
  passes?(thread: number, point: number, what: number): boolean;
  /** Whether `thread` is between two operations at this point: to stop there is no interruption. */
  between(thread: number, point: number, what: number): boolean;
  /** After the last step: all that can be told from outside, as one text. */
  outcome(): string;
}

/** Decides who goes on. `free`: to stop here is no interruption. `step` counts from 0. */
export interface Scheduler {
  /** Whether another thread is to be thought of at all while the one that runs can go on. */
  leaves(free: boolean, step: number): boolean;
  /** One of `options`: the threads that can go on, the one that runs now first if it is among them. */
  pick(options: readonly number[], free: boolean, step: number): number;
}

export interface Execution {
  readonly outcome: string;
  /** Three numbers a step: the thread, the point that the step has led to (END at its end), and what that is about. */
  readonly log: readonly number[];
}

/** In a log: the thread has ended. */
export const END = -1;

const NOBODY = -1;
/** More steps than any program here takes: somebody goes round in circles. */
const STEP_LIMIT = 20_000;

/** Runs all threads to their end. A deadlock, an endless loop and an error of the engine are outcomes too. */
export function execute(system: System, scheduler: Scheduler): Execution {
  const { threads } = system;
  const waiting: ((() => boolean) | undefined)[] = threads.map(() => undefined);
  const live = threads.map(() => true);
  const log: number[] = [];
  system.reset();

  const ready = (thread: number): boolean =>
    live[thread] === true && (waiting[thread] === undefined || (waiting[thread]?.() ?? true));
  /** Who is next after a step of `current`; NOBODY when none can go on. */
  const next = (current: number, free: boolean): number => {
    const step = log.length / 3;
    const stays = ready(current);
    if (stays && !scheduler.leaves(free, step)) return current;
    const options = stays ? [current] : [];
    for (let i = 1; i < threads.length; i++) {
      const thread = (current + i) % threads.length;
      if (ready(thread)) options.push(thread);
    }
    return options.length === 0 ? NOBODY : scheduler.pick(options, free || !stays, step);
  };

  try {
    for (let current = next(0, true); current !== NOBODY; ) {
      const me = current;
      const ended = (threads[me] as Thread).resume((point, what) => {
        if (system.passes?.(me, point, what)) return false;
        if (log.push(me, point, what) > STEP_LIMIT * 3) throw new Error('the threads never end');
        waiting[me] = system.waits(point, what);
        current = next(me, system.between(me, point, what));
        return current !== me;
      });
      if (!ended) continue;
      log.push(me, END, 0);
      live[me] = false;
      current = next(me, true);
    }
  } catch (error) {
    return { outcome: `error: ${error instanceof Error ? error.message : error}`, log };
  }
  return { outcome: live.includes(true) ? 'deadlock' : system.outcome(), log };
}

/** The picks of an execution. The last thread's run is cut to one step: from there on nobody is interrupted. */
export function scheduleOf({ log }: Execution): Schedule {
  const threads = log.filter((_, i) => i % 3 === 0);
  const last = threads.at(-1);
  let end = threads.length;
  while (end > 1 && threads[end - 2] === last) end--;
  return threads.slice(0, end);
}

/** Follows a schedule, then goes on without interrupting anybody. */
export const follow = (schedule: Schedule): Scheduler => ({
  leaves: (_free, step) => step < schedule.length,
  pick: (options, _free, step) => {
    const wanted = schedule[step] ?? (options[0] as number);
    if (!options.includes(wanted)) throw new Error(`the schedule does not fit: step ${step}`);
    return wanted;
  },
});
