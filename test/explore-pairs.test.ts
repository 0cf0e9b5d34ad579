// Every pair of operations, on two vCPUs at the same time: on the same page, on neighbours, at the border of two chunks,
// from every state of the pages. Whatever comes out, some order of the whole operations gives it too.
import { afterAll, describe, expect, it } from 'vitest';
import { MEETINGS, SMALL_PAGES, STATES } from './explore/operations.ts';
import { Pairs, pairsOf } from './explore/pairs.ts';

/** Interruptions in a schedule; nearly all races need one, nearly all others two. */
const INTERRUPTIONS = Number(process.env.EXPLORE_INTERRUPTIONS ?? 1);

describe('explore › pairs', () => {
  const pairs = new Pairs(SMALL_PAGES);

  afterAll(() => {
    console.log(`${pairs.trials} pairs explored, ${pairs.schedules} schedules`);
  });

  it.each(pairsOf(SMALL_PAGES))('%s ‖ %s', { timeout: 600_000 }, (_a, _b, a, b) => {
    const before = pairs.schedules;
    // The device alone knows neither places nor states of pages.
    const pages = a.on === 'pages' || b.on === 'pages';
    for (const meeting of pages ? MEETINGS : MEETINGS.slice(0, 1)) {
      for (const state of pages ? STATES : STATES.slice(1, 2))
        pairs.hold(a, b, meeting, state, INTERRUPTIONS);
    }
    expect(pairs.schedules).toBeGreaterThan(before);
  });
});
