// Three vCPUs at the same time: random triples of operations under random schedules. FUZZ_SEED repeats a run.
import { afterAll, describe, expect, it } from 'vitest';
import { Cpu } from './explore/calls.ts';
import { exploreRandom } from './explore/explorer.ts';
import { exploreMachine } from './explore/machine.ts';
import type { Meeting } from './explore/operations.ts';
import { farPage, MEETINGS, OPERATIONS, PAGE, STATES } from './explore/operations.ts';
import { Trial } from './explore/trial.ts';
import { Random } from './support/random.ts';

const TRIPLES = Number(process.env.EXPLORE_TRIPLES ?? 300);
const SCHEDULES = 60;

describe('explore › threes', () => {
  const machine = exploreMachine({ cpus: 3 });
  const cpus = [0, 1, 2].map((cpu) => new Cpu(machine, cpu));
  const random = Random.fresh();
  let schedules = 0;

  afterAll(() => {
    console.log(`${TRIPLES} triples explored, ${schedules} schedules, seed ${random.seed}`);
  });

  it(`${TRIPLES} of them`, { timeout: 300_000 }, () => {
    for (let n = 0; n < TRIPLES; n++) {
      const operations = cpus.map(() => random.pick(OPERATIONS));
      const meeting: Meeting = random.pick(MEETINGS);
      const state = random.pick(STATES);
      const places = cpus.map(() => random.pick(meeting.places));
      const trial = new Trial({
        name: `seed ${random.seed}, ${operations.map(({ name }) => name).join(' ‖ ')}, ${meeting.name}, ${state.name}`,
        machine,
        setUp: (vm) => {
          state.bring(vm, meeting.gfns);
          for (const [i, { before }] of operations.entries()) before?.(vm, places[i] as Meeting['places'][0]);
        },
        programs: operations.map(({ program }, i) =>
          program(cpus[i] as Cpu, places[i] as Meeting['places'][0]),
        ),
        pages: [...meeting.gfns, ...cpus.map(({ cpu }) => farPage(cpu) / PAGE)],
        reclaims: operations.some(({ reclaims }) => reclaims),
      });
      const exploration = exploreRandom(trial, random, SCHEDULES);
      trial.expect(exploration);
      schedules += trial.serial.schedules + exploration.schedules;
    }
    expect(schedules).toBeGreaterThan(TRIPLES * SCHEDULES);
  });
});
