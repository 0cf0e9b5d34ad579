// Pairs of operations on memory that is not plain small pages: files, huge pages, hugetlb, pages that KSM shares, and where
// vCPU threads make KVM's calls about slots, dirty logs and private pages. There are
// thousands: the tests take some of each kind, from a seed (FUZZ_SEED repeats them). `npm run explore` takes all.
import { describe, expect, it } from 'vitest';
import { KVM_MEMORIES } from './explore/kvm-memories.ts';
import { MEMORIES } from './explore/memories.ts';
import type { Meeting, Operation, State } from './explore/operations.ts';
import { Pairs, pairsOf } from './explore/pairs.ts';
import { Random } from './support/random.ts';

const INTERRUPTIONS = Number(process.env.EXPLORE_INTERRUPTIONS ?? 1);
/** One pair in so many, of every kind of memory. */
const ONE_IN = process.env.EXPLORE_ONE_IN;
/** Only these kinds of memory. */
const ONLY = process.env.EXPLORE_MEMORY?.split(',');

describe('explore › memories', () => {
  const random = Random.fresh();

  it.each(
    [...MEMORIES, ...KVM_MEMORIES]
      .filter(({ name }) => ONLY?.includes(name) ?? true)
      .map((memory) => [memory.name, memory] as const),
  )('%s', { timeout: 0 }, (name, memory) => {
    const trials: (readonly [Operation, Operation, Meeting, State])[] = pairsOf(memory).flatMap(
      ([, , a, b]) =>
        memory.meetings.flatMap((meeting) => memory.states.map((state) => [a, b, meeting, state] as const)),
    );
    const pairs = new Pairs(memory);
    const oneIn = Number(ONE_IN ?? memory.oneIn ?? 1);
    for (const [a, b, meeting, state] of trials) {
      if (random.chance(oneIn)) pairs.hold(a, b, meeting, state, INTERRUPTIONS);
    }
    console.log(
      `${name}: ${pairs.trials} of ${trials.length} pairs explored, ${pairs.schedules} schedules, seed ${random.seed}`,
    );
    expect(pairs.schedules).toBeGreaterThan(pairs.trials);
  });
});
