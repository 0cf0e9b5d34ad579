// One thing to explore: a machine in a state, and a program for each of its vCPUs. Its outcomes under all orders of
// whole operations are what it may do; every interleaving must end in one of them.
import { SyncPoint } from '../../assembly/abi/sync.ts';
import { hex } from '../../src/address.ts';
import type { Vm } from '../../src/machine.ts';
import type { Execution, System } from './execute.ts';
import { END, execute, follow, OPERATION } from './execute.ts';
import type { Bounds, Exploration, Found } from './explorer.ts';
import { exploreAll } from './explorer.ts';
import type { Call, Fiber } from './fiber.ts';
import { LOCK_SIZE, LOCKS, LOCKS_END, RUN_CACHES, VM_DEV_LOCK } from './layout.ts';
import type { ExploreMachine } from './machine.ts';
import { stateOf } from './outcome.ts';
import type { Sabotage } from './sabotage.ts';
import type { Schedule } from './schedule.ts';
import { formatSchedule, letterOf } from './schedule.ts';

/** Where a thread cannot go on before the word at `what` has changed. */
const WAITS: ReadonlySet<number> = new Set([SyncPoint.LockWait, SyncPoint.ZapWait, SyncPoint.ModeWait]);

export interface TrialPlan {
  readonly name: string;
  readonly machine: ExploreMachine;
  /** Brings the fresh machine to the state from which the programs start. */
  readonly setUp: (vm: Vm) => void;
  readonly programs: readonly (readonly Call[])[];
  /** gfns whose pages are part of the outcome. */
  readonly pages: readonly bigint[];
  /** What else is part of the outcome: slots, attributes, logs. Looked at last, it may change the machine. */
  readonly more?: (vm: Vm) => string;
  /** The programs make the host reclaim: stateOf. */
  readonly reclaims?: boolean;
  /**
   * For operations that take hundreds of steps (huge pages): a vCPU is not stopped where nobody can tell it from the stop
   * before. That is where it looks at the same VMA list once more, and, unless the programs reclaim, at its own page caches:
   * no pool gets empty then, so nobody else takes from them. That somebody does it all the same is an error.
   */
  readonly coarse?: boolean;
  /** Addresses of the words at which a vCPU may be stopped. Default: all; a vCPU that waits is always stopped. */
  readonly only?: readonly number[];
  /** A defect of the engine. */
  readonly sabotage?: Sabotage;
}

export class Trial implements System {
  readonly plan: TrialPlan;
  readonly threads: readonly Fiber[];
  /** Outcomes of whole operations one after the other; but for those of several steps (Call.steps). */
  readonly serial: Exploration;
  #stepwise = true;
  /** Who came to a point last, and the VMA list that it looked at there, else 0. */
  #last = 0;
  #looked = 0;

  constructor(plan: TrialPlan) {
    this.plan = plan;
    this.threads = plan.machine.fibers.slice(0, plan.programs.length);
    this.#start();
    this.serial = exploreAll(this, { interruptions: 0 });
    this.#stepwise = false;
    const broken = [...this.serial.outcomes].find(([outcome]) => /^(BROKEN|error|deadlock)/m.test(outcome));
    if (broken) throw new Error(this.report(...broken));
  }

  #start(): void {
    this.plan.machine.start(this.plan.setUp);
  }

  reset(): void {
    this.plan.machine.reset();
    this.threads.forEach((fiber, i) => {
      fiber.load(this.plan.programs[i] as readonly Call[]);
    });
  }

  waits(point: number, what: number): (() => boolean) | undefined {
    const open = this.plan.sabotage?.(point, what) ?? false;
    if (open || !WAITS.has(point)) return undefined;
    const { u32 } = this.plan.machine.core;
    const before = u32[what >>> 2];
    return () => u32[what >>> 2] !== before;
  }

  passes(thread: number, point: number, what: number): boolean {
    if (this.plan.only) return !WAITS.has(point) && !this.plan.only.includes(what);
    if (!this.plan.coarse) return false;
    if (!this.plan.reclaims && this.#isOwnCache(thread, what)) return true;
    const again = point === SyncPoint.Look && this.#looked === what && this.#last === thread;
    this.#looked = point === SyncPoint.Look ? what : 0;
    this.#last = thread;
    return again;
  }

  #isOwnCache(thread: number, what: number): boolean {
    const { machine } = this.plan;
    const owner = this.threads.findIndex((_, cpu) =>
      RUN_CACHES.some(({ from, to }) => what >= machine.runOf(cpu) + from && what < machine.runOf(cpu) + to),
    );
    if (owner !== -1 && owner !== thread) throw new Error('a page cache of another vCPU is needed');
    return owner !== -1;
  }

  between(thread: number, point: number, what: number): boolean {
    if (point === OPERATION) return true;
    const fiber = this.threads[thread] as Fiber;
    const steps = this.#stepwise ? fiber.call?.steps : undefined;
    if (steps === undefined) return false;
    // The first window is the beginning of the operation.
    if (point === SyncPoint.WindowEnter) return fiber.windows > 1;
    return steps !== 'access' && point === SyncPoint.LockTake && this.#firstLock(thread, what);
  }

  /** What is about to be locked is the device or a chunk, and the thread has no chunk yet. */
  #firstLock(thread: number, what: number): boolean {
    const { machine } = this.plan;
    const isChunk = what >= LOCKS && what < LOCKS_END;
    if (!isChunk && what !== machine.vm.ptr + VM_DEV_LOCK) return false;
    const run = machine.runOf(thread);
    for (let at = LOCKS; at < LOCKS_END; at += LOCK_SIZE) if (machine.core.readU32(at) === run) return false;
    return true;
  }

  outcome(): string {
    this.plan.machine.fold();
    const results = this.threads.map(({ results }, i) => `${letterOf(i)}: ${results.join(' | ')}`);
    const { machine, pages, reclaims = false, more } = this.plan;
    return [...results, stateOf(machine.vm, pages, reclaims), ...(more ? [more(machine.vm)] : [])].join('\n');
  }

  replay(schedule: Schedule): Execution {
    return execute(this, follow(schedule));
  }

  /** What an exploration found that no serial order gives; empty when all is well. */
  strangers(exploration: Exploration): string[] {
    return [...exploration.outcomes.keys()].filter((outcome) => !this.serial.outcomes.has(outcome));
  }

  /** Throws when an exploration found what no serial order gives; the message has a schedule that leads there. */
  expect(exploration: Exploration): void {
    const bad = this.strangers(exploration)[0];
    if (bad !== undefined) throw new Error(this.report(bad, exploration.outcomes.get(bad) as Found));
  }

  /** Explores within the bounds, and expects. Returns how many schedules that took, the serial ones included. */
  hold(bounds: Bounds): number {
    const exploration = exploreAll(this, bounds);
    this.expect(exploration);
    return this.serial.schedules + exploration.schedules;
  }

  /** All that is needed to see an outcome again and to understand it. */
  report(outcome: string, { schedule }: Found): string {
    const { log } = this.replay(schedule);
    const steps = log.flatMap((thread, i) =>
      i % 3 === 0 ? `  ${letterOf(thread)} → ${placeOf(log[i + 1] as number, log[i + 2] as number)}` : [],
    );
    return [
      `${this.plan.name}: ${this.serial.outcomes.has(outcome) ? 'a serial order must not end like this' : 'no serial order ends like this'}`,
      `schedule: ${formatSchedule(schedule)}`,
      outcome,
      'serial orders end in:',
      ...[...this.serial.outcomes.keys()].map((serial) => serial.replaceAll(/^/gm, '  ')),
      'steps:',
      ...steps,
    ].join('\n');
  }
}

function placeOf(point: number, what: number): string {
  if (point === END) return 'end';
  return point === OPERATION ? 'next operation' : `${SyncPoint[point] ?? point} ${hex(what)}`;
}
