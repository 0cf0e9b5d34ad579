// Rows of two vCPU workers: what both do at the same time ÷ what one does alone, beside the same of two native threads.
//
// A round has six measurements, one after the other: native together, native alone on each CPU, engine together, engine
// alone on each CPU. Each does a fixed amount of work in each thread, and its time ends with the last thread. So the
// speed-up is 2 × (mean of the two alone) ÷ together. A round counts when the machine was free for it: no thread of
// either side waited for its CPU (a measurement in which one did is made again), and the native threads reached what the row needs of them, but not more than two can
// give. When too few rounds are like that, the row abstains. What the engine reached has no say in it.
import { median } from '../harness.mjs';
import { ROWS } from '../rows.mjs';
import { Crew } from '../workers/crew.mjs';
import { LOADS } from '../workers/loads.mjs';

const PREFIX = 'workers-';
/** For so many rounds, one of them counts. */
const PATIENCE = 3;
const LINUX_ROUNDS = 3;

/** Of a measurement's time. A thread that waits for so long has met somebody else's work. */
const WAITED = 0.02;
/** Times that such a measurement is made again. */
const AGAIN = 2;
/** A speed-up of two threads beyond this is one that was disturbed when it was alone. */
const IMPOSSIBLE = 2.15;

/**
 * One side of a round: nanoseconds alone (mean of the two CPUs) and together, and the longest wait for a CPU.
 * @typedef {{ alone: number, together: number, waited: number }} Times
 * @typedef {{ engine: Times, control: Times }} Round
 */
const speedup = (/** @type {Times} */ { alone, together }) => (2 * alone) / together;

/** @typedef {(members: number[]) => Promise<{ ns: number, waited: number }>} Measurement */

/** @param {Measurement} once @returns {Promise<Times>} */
async function times(once) {
  const measure = async (/** @type {number[]} */ members) => {
    let result = await once(members);
    for (let again = 0; again < AGAIN && result.waited > WAITED; again++) result = await once(members);
    return result;
  };
  const together = await measure([0, 1]);
  const first = await measure([0]);
  const second = await measure([1]);
  return {
    together: together.ns,
    alone: (first.ns + second.ns) / 2,
    waited: Math.max(together.waited, first.waited, second.waited),
  };
}

/** Both CPUs' crew in C. */
const nativeTimes = (
  /** @type {import('../native.mjs').NativeControls} */ native,
  /** @type {string} */ line,
) =>
  times(async (members) => {
    const mask = members.reduce((bits, cpu) => bits | (1 << cpu), 0);
    return native.run(`crew ${mask} ${line}`);
  });

/** Nanoseconds of one operation, with what has to be done before. */
const engineTimes = (/** @type {Crew} */ crew, /** @type {import('../workers/loads.mjs').Load} */ load) =>
  times(async (members) => {
    if (load.before) await crew.run(members, load.before, 1);
    const { ns, waited } = await crew.run(members, load.program, load.rounds);
    return { ns: ns / (load.rounds * load.operations), waited };
  });

/** Whether the machine was free for a round. @param {Round} round @param {number} needed of the control */
const free = ({ engine, control }, needed) =>
  Math.max(engine.waited, control.waited) <= WAITED &&
  speedup(control) >= needed &&
  speedup(control) <= IMPOSSIBLE;

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
      // Compilation, first touch of memory.
      await engineTimes(crew, load);
      await nativeTimes(native, load.control);
      /** @type {Round[]} */
      const all = [];
      /** @type {Round[]} */
      const counted = [];
      while (all.length < rounds * PATIENCE && counted.length < rounds) {
        const control = await nativeTimes(native, load.control);
        const round = { control, engine: await engineTimes(crew, load) };
        all.push(round);
        if (free(round, needed)) counted.push(round);
      }
      const linux = load.linux ? await linuxFigures(native, load.linux) : [];
      if (counted.length * PATIENCE >= rounds) return result(counted, all.length, linux);
      const { parts, figures } = result(all, all.length, linux);
      const { value, control } = parts[0];
      return {
        abstain: `the CPUs were free for ${counted.length} of ${all.length} rounds; over all of them ${value.toFixed(2)} ×, control ${control.toFixed(2)} ×`,
        figures,
      };
    } finally {
      await crew.close();
    }
  };

/** @param {readonly Round[]} rounds @param {readonly import('../judge.mjs').Figure[]} linux */
function result(rounds, /** @type {number} */ of, linux) {
  const middle = (/** @type {(round: Round) => number} */ field) => median(rounds.map(field));
  const value = middle(({ engine }) => speedup(engine));
  return {
    parts: [{ what: 'speed-up', value, control: middle(({ control }) => speedup(control)) }],
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
  for (let round = 0; round < LINUX_ROUNDS; round++) all.push(await nativeTimes(native, line));
  return [
    { what: "Linux's own call, two threads ÷ one", value: median(all.map(speedup)), unit: '×' },
    { what: "Linux's own call alone", value: median(all.map(({ alone }) => alone)), unit: 'ns' },
  ];
}

export const workers = Object.fromEntries(
  ROWS.filter(({ where }) => where === 'workers').map((row) => [
    row.id,
    measure(row.id.slice(PREFIX.length), row.controlAtLeast ?? 0),
  ]),
);
