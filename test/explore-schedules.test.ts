// The explorer itself, on toys: it executes exactly the schedules there are, finds the bug that is there, says how to
// get it again, and tells a deadlock.
import { describe, expect, it } from 'vitest';
import type { At, System, Thread } from './explore/execute.ts';
import { execute, follow, OPERATION } from './explore/execute.ts';
import { exploreAll, exploreRandom } from './explore/explorer.ts';
import { formatSchedule, parseSchedule } from './explore/schedule.ts';
import { Random } from './support/random.ts';

enum Toy {
  Step = 1,
  Wait = 2,
}

type Code = Generator<readonly [point: number, what: number], void>;

class GeneratorThread implements Thread {
  readonly #code: Code;

  constructor(code: Code) {
    this.#code = code;
  }

  resume(at: At): boolean {
    for (;;) {
      const { done, value } = this.#code.next();
      if (done) return true;
      if (at(...value)) return false;
    }
  }
}

/** Threads over a few shared numbers; the outcome is what those are in the end. */
class ToySystem implements System {
  threads: Thread[] = [];
  shared: number[] = [];
  readonly #codes: readonly ((shared: number[]) => Code)[];

  constructor(...codes: readonly ((shared: number[]) => Code)[]) {
    this.#codes = codes;
    this.threads = codes.map(() => new GeneratorThread((function* () {})()));
  }

  reset(): void {
    this.shared = [0, 0, 0];
    this.#codes.forEach((code, i) => {
      this.threads[i] = new GeneratorThread(code(this.shared));
    });
  }

  waits(point: number, what: number): (() => boolean) | undefined {
    if (point !== Toy.Wait) return undefined;
    const before = this.shared[what];
    return () => this.shared[what] !== before;
  }

  between(_thread: number, point: number): boolean {
    return point === OPERATION;
  }

  outcome(): string {
    return this.shared.join(' ');
  }
}

const walk = (points: number) =>
  function* (): Code {
    for (let i = 0; i < points; i++) yield [Toy.Step, 0];
  };

/** Adds one without a lock: read, point, write. */
function* addUnlocked(shared: number[]): Code {
  const before = shared[2] as number;
  yield [Toy.Step, 0];
  shared[2] = before + 1;
}

function* lock(shared: number[], n: number): Code {
  for (;;) {
    yield [Toy.Step, n];
    if (shared[n] === 0) break;
    yield [Toy.Wait, n];
  }
  shared[n] = 1;
}

function* addLocked(shared: number[]): Code {
  yield* lock(shared, 0);
  yield* addUnlocked(shared);
  shared[0] = 0;
}

/** Two locks, taken in this order. */
const addUnderBoth = (first: number, second: number) =>
  function* (shared: number[]): Code {
    yield* lock(shared, first);
    yield* lock(shared, second);
    shared[2] = (shared[2] as number) + 1;
    shared[first] = 0;
    shared[second] = 0;
  };

const choose = (n: number, k: number): number => (k === 0 ? 1 : (choose(n - 1, k - 1) * n) / k);

describe('explore › schedules', () => {
  it.each([
    [0, 0],
    [1, 1],
    [3, 2],
    [5, 5],
  ])('two threads with %i and %i points: all interleavings', (a, b) => {
    const { schedules } = exploreAll(new ToySystem(walk(a), walk(b)), { interruptions: Infinity });
    expect(schedules).toBe(choose(a + b + 2, a + 1));
  });

  it.each([
    [0, 2],
    // One of the two threads is interrupted at one of its three points.
    [1, 2 + 6],
  ])('at most %i interruptions', (interruptions, count) => {
    const { schedules } = exploreAll(new ToySystem(walk(3), walk(3)), { interruptions });
    expect(schedules).toBe(count);
  });

  it('changing between operations is no interruption', () => {
    const two = function* (): Code {
      yield [OPERATION, 1];
      yield [Toy.Step, 0];
    };
    expect(exploreAll(new ToySystem(two, two), { interruptions: 0 }).schedules).toBe(choose(4, 2));
  });

  it('more schedules than the cap are an error', () => {
    const system = new ToySystem(walk(4), walk(4));
    expect(() => exploreAll(system, { interruptions: Infinity, cap: 251 })).toThrow(
      'more than 251 schedules',
    );
    expect(exploreAll(system, { interruptions: Infinity, cap: 252 }).schedules).toBe(252);
  });

  it('a lost update is found with one interruption, and its text leads to it again', () => {
    const system = new ToySystem(addUnlocked, addUnlocked);
    expect([...exploreAll(system, { interruptions: 0 }).outcomes.keys()]).toEqual(['0 0 2']);
    const lost = exploreAll(system, { interruptions: 1 }).outcomes.get('0 0 1');
    const text = formatSchedule(lost?.schedule ?? []);
    expect(text).toBe('a1 b2 a1');
    expect(execute(system, follow(parseSchedule(text))).outcome).toBe('0 0 1');
  });

  it('with a lock nothing is lost', () => {
    for (const threads of [2, 3]) {
      const system = new ToySystem(...new Array(threads).fill(addLocked));
      const { outcomes } = exploreAll(system, { interruptions: threads === 2 ? Infinity : 3 });
      expect([...outcomes.keys()]).toEqual([`0 0 ${threads}`]);
    }
  });

  it('a deadlock is an outcome', () => {
    const { outcomes } = exploreAll(new ToySystem(addUnderBoth(0, 1), addUnderBoth(1, 0)), {
      interruptions: 1,
    });
    expect([...outcomes.keys()].sort()).toEqual(['0 0 2', 'deadlock']);
    const same = new ToySystem(addUnderBoth(0, 1), addUnderBoth(0, 1));
    expect([...exploreAll(same, { interruptions: Infinity }).outcomes.keys()]).toEqual(['0 0 2']);
  });

  it('a thread that never ends is an outcome', () => {
    const forever = function* (): Code {
      for (;;) yield [Toy.Step, 0];
    };
    expect(execute(new ToySystem(forever), follow([])).outcome).toBe('error: the threads never end');
  });

  it('random schedules are the same for the same seed', () => {
    const system = new ToySystem(addUnlocked, addUnlocked, addUnlocked);
    const runs = [1, 1, 2].map((seed) => exploreRandom(system, new Random(seed), 200));
    const counts = runs.map(({ outcomes }) => [...outcomes].map(([outcome, { times }]) => [outcome, times]));
    expect(counts[0]).toEqual(counts[1]);
    expect(counts[0]).not.toEqual(counts[2]);
    expect(runs[0]?.outcomes.has('0 0 1')).toBe(true);
  });

  it.each(['a1 b2 a1', 'c12', ''])('text %j and back', (text) => {
    expect(formatSchedule(parseSchedule(text))).toBe(text);
  });

  it('a schedule that does not fit is an error', () => {
    const system = new ToySystem(walk(1), walk(1));
    expect(execute(system, follow(parseSchedule('a3'))).outcome).toContain('does not fit');
    expect(() => parseSchedule('a b2')).toThrow('no part of a schedule: a');
  });
});
