// Every pair of operations, on two vCPUs at the same time: on the same page, on neighbours, at the border of two chunks,
// from every state of the pages. Whatever comes out, some order of the whole operations gives it too.
import { afterAll, describe, expect, it } from 'vitest';
import { Cpu } from './explore/calls.ts';
import { exploreMachine } from './explore/machine.ts';
import { bring, farPage, MEETINGS, OPERATIONS, PAGE, STATES } from './explore/operations.ts';
import { Trial } from './explore/trial.ts';

/** Interruptions in a schedule; nearly all races need one, nearly all others two. */
const INTERRUPTIONS = Number(process.env.EXPLORE_INTERRUPTIONS ?? 1);

const PAIRS = OPERATIONS.flatMap((a, i) => OPERATIONS.slice(i).map((b) => [a.name, b.name, a, b] as const));

describe('explore › pairs', () => {
  const machine = exploreMachine({ cpus: 2 });
  const cpus = [new Cpu(machine, 0), new Cpu(machine, 1)] as const;
  let schedules = 0;
  let trials = 0;

  afterAll(() => {
    console.log(`${trials} pairs explored, ${schedules} schedules`);
  });

  it.each(PAIRS)('%s ‖ %s', { timeout: 600_000 }, (_a, _b, a, b) => {
    const pages = a.on === 'pages' || b.on === 'pages';
    for (const meeting of pages ? MEETINGS : MEETINGS.slice(0, 1)) {
      for (const state of pages ? STATES : STATES.slice(1, 2)) {
        const trial = new Trial({
          name: `${a.name} ‖ ${b.name}, ${meeting.name}, ${state}`,
          machine,
          setUp: (vm) => {
            bring(vm, state, meeting.gfns);
            for (const [i, { before }] of [a, b].entries()) before?.(vm, meeting.places[i as 0 | 1]);
          },
          programs: [a.program(cpus[0], meeting.places[0]), b.program(cpus[1], meeting.places[1])],
          pages: [...meeting.gfns, ...cpus.map(({ cpu }) => farPage(cpu) / PAGE)],
          reclaims: [a, b].some(({ reclaims }) => reclaims),
        });
        schedules += trial.hold({ interruptions: INTERRUPTIONS });
        trials++;
      }
    }
    expect(trials).toBeGreaterThan(0);
  });
});
