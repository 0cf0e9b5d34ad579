// The pairs again with two interruptions in a schedule, where they meet most: on the same page, which is there. Without
// reclaim, whose many points would take as long as all others together.
import { afterAll, describe, expect, it } from 'vitest';
import { BACKED, MEETINGS, SMALL_PAGES } from './explore/operations.ts';
import { Pairs, pairsOf } from './explore/pairs.ts';

const SAME_PAGE = MEETINGS.slice(0, 1);
const LIGHT = pairsOf(SMALL_PAGES).filter(([, , a, b]) => !a.reclaims && !b.reclaims);

describe('explore › pairs, deep', () => {
  const pairs = new Pairs(SMALL_PAGES);

  afterAll(() => {
    console.log(`${pairs.trials} pairs explored with two interruptions, ${pairs.schedules} schedules`);
  });

  it.each(LIGHT)('%s ‖ %s', { timeout: 600_000 }, (_a, _b, a, b) => {
    const before = pairs.schedules;
    for (const meeting of SAME_PAGE) pairs.hold(a, b, meeting, BACKED, 2);
    expect(pairs.schedules).toBeGreaterThan(before);
  });
});
