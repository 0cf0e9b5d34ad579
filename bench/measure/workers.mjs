// Rows of two vCPU workers: what both do at the same time ÷ what one does alone, beside the same of two native threads.
//
// A round has six measurements, one after the other: native together, native alone on each CPU, engine together, engine
// alone on each CPU. Each does a fixed amount of work in each thread. The speed-up is what each thread has of its own speed
// while the other one runs, added up: alone ÷ together of the one CPU and of the other. So it does not matter that one CPU
// may be faster than the other for minutes, as it is when only one of them has a neighbour on the other half of its core.
//
// A measurement is clean when the CPUs were free for it: no thread waited for its CPU, and plain arithmetic right before
// and after it was as fast as ever (bench/cpus.mjs, probe). Another one is made again, a few times. A round counts when
// all of its measurements are clean and the native threads reached what the row needs of them. What the engine reached
// has no say in it. When too few rounds count, all of them do, if in half of them the native threads reached what the row
// needs: neighbours come and go for both sides alike. Else the row abstains.
import { median } from '../harness.mjs';
import { ROWS } from '../rows.mjs';
import { Crew } from '../workers/crew.mjs';
import { LOADS } from '../workers/loads.mjs';

const PREFIX = 'workers-';
/** One of so many rounds that are wanted must count. */
const ENOUGH = 3;
const LINUX_ROUNDS = 3;
/** Milliseconds after which a row has seen enough rounds, however few have counted: on a busy machine none might. */
const LONGEST = 20_000;
/** Of a measurement's time. A thread that waits for so long has met somebody else's work. */
const WAITED = 0.02;
/** Times the fastest probe. */
const SLOWED = 1.15;
/** Times that such a measurement is made again. */
const AGAIN = 8;

/**
 * One side of a round: nanoseconds alone and together (means of the two CPUs), what both have of their own speed, the longest
 * wait and the slowest probe.
 * @typedef {{ alone: number, together: number, speedup: number, waited: number, probe: number }} Times
 * @typedef {{ engine: Times, control: Times }} Round
 */

/** One side, the engine's crew or the native one, and the fastest probe it has seen. */
class Side {
  #once;
  #fastest = Number.POSITIVE_INFINITY;

  /** @param {(members: number[]) => Promise<import('../cpus.mjs').Timed>} once */
  constructor(once) {
    this.#once = once;
  }

  /** @returns {Promise<Times>} */
  async times() {
    const together = await this.#measure([0, 1]);
    const first = await this.#measure([0]);
    const second = await this.#measure([1]);
    const all = [together, first, second];
    const alone = [first.each[0] ?? 0, second.each[1] ?? 0];
    const mean = (/** @type {readonly number[]} */ [a = 0, b = 0]) => (a + b) / 2;
    return {
      alone: mean(alone),
      together: mean(together.each),
      speedup: alone.reduce((sum, ns, cpu) => sum + ns / (together.each[cpu] ?? 0), 0),
      waited: Math.max(...all.map(({ waited }) => waited)),
      probe: Math.max(...all.map(({ probe }) => probe)),
    };
  }

  /** Whether the CPUs were free. */
  clean(/** @type {{ waited: number, probe: number }} */ { waited, probe }) {
    return waited <= WAITED && probe <= SLOWED * this.#fastest;
  }

  async #measure(/** @type {number[]} */ members) {
    for (let again = 0; ; again++) {
      const result = await this.#once(members);
      this.#fastest = Math.min(this.#fastest, result.probe);
      if (this.clean(result) || again === AGAIN) return result;
    }
  }
}

const nativeSide = (
  /** @type {import('../native.mjs').NativeControls} */ native,
  /** @type {string} */ line,
) =>
  new Side((members) => {
    const mask = members.reduce((bits, cpu) => bits | (1 << cpu), 0);
    return native.run(`crew ${mask} ${line}`);
  });

/** Nanoseconds of one operation, after what has to be done before. */
const engineSide = (/** @type {Crew} */ crew, /** @type {import('../workers/loads.mjs').Load} */ load) =>
  new Side(async (members) => {
    if (load.before) await crew.run(members, load.before, 1);
    const timed = await crew.run(members, load.program, load.rounds);
    const operations = load.rounds * load.operations;
    return { ...timed, ns: timed.ns / operations, each: timed.each.map((ns) => ns / operations) };
  });

/** @param {string} id @param {number} needed @returns {import('../part.mjs').Measure} */
const measure =
  (id, needed) =>
  async ({ cpus, native, rounds }) => {
    if (!native.available) return { abstain: native.reason };
    if (cpus.length < 2) return { abstain: 'needs taskset and two CPUs that are not halves of one core' };
    const load = LOADS[id];
    const crew = await Crew.open(cpus, { memory: '3G', pool: '512M', ...load.options });
    try {
      if (load.once) await crew.run([0, 1], load.once, 1);
      const sides = { control: nativeSide(native, load.control), engine: engineSide(crew, load) };
      const round = async () => ({
        control: await sides.control.times(),
        engine: await sides.engine.times(),
      });
      /** @type {(round: Round) => boolean} */
      const counts = ({ control, engine }) =>
        sides.control.clean(control) && sides.engine.clean(engine) && control.speedup >= needed;
      await round(); // compilation, first touch of memory
      /** @type {Round[]} */
      const all = [];
      const deadline = Date.now() + LONGEST;
      while (all.filter(counts).length < rounds && Date.now() < deadline) all.push(await round());
      const counted = all.filter(counts);
      const linux = load.linux ? await linuxFigures(native, load.linux) : [];
      if (counted.length * ENOUGH >= rounds) return result(counted, all.length, linux);
      const overAll = result(all, all.length, linux);
      const { value, control } = overAll.parts[0];
      const free = `the CPUs were free for ${counted.length} of ${all.length} rounds`;
      if (control >= needed) return { ...overAll, notes: [`${free}: the median is that of all`] };
      return {
        abstain: `${free}; over all of them ${value.toFixed(2)} ×, control ${control.toFixed(2)} ×`,
        figures: overAll.figures,
      };
    } finally {
      await crew.close();
    }
  };

/** @param {readonly Round[]} rounds @param {readonly import('../judge.mjs').Figure[]} linux */
function result(rounds, /** @type {number} */ of, linux) {
  const middle = (/** @type {(round: Round) => number} */ field) => median(rounds.map(field));
  const value = middle(({ engine }) => engine.speedup);
  return {
    parts: [{ what: 'speed-up', value, control: middle(({ control }) => control.speedup) }],
    figures: [
      { what: 'one worker alone, an operation', value: middle(({ engine }) => engine.alone), unit: 'ns' },
      { what: 'each of two, an operation', value: middle(({ engine }) => engine.together), unit: 'ns' },
      ...linux,
    ],
    notes: [`the CPUs were free for ${rounds.length} of ${of} rounds`],
  };
}

/** What Linux does with a second thread in the same address space. */
async function linuxFigures(
  /** @type {import('../native.mjs').NativeControls} */ native,
  /** @type {string} */ line,
) {
  const all = [];
  const side = nativeSide(native, line);
  for (let round = 0; round < LINUX_ROUNDS; round++) all.push(await side.times());
  return [
    {
      what: "Linux's own call, two threads ÷ one",
      value: median(all.map(({ speedup }) => speedup)),
      unit: '×',
    },
    { what: "Linux's own call alone", value: median(all.map(({ alone }) => alone)), unit: 'ns' },
  ];
}

export const workers = Object.fromEntries(
  ROWS.filter(({ where }) => where === 'workers').map((row) => [
    row.id,
    measure(row.id.slice(PREFIX.length), row.controlAtLeast ?? 0),
  ]),
);
