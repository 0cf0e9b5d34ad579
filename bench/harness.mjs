// Interleaved rounds: engine, control, engine, control … so that a change of the machine's load meets both sides, and the
// fastest of each side's rounds. Neighbours only ever slow a round, and not both sides alike (another guest on the other
// half of a core costs code that computes more than code that waits for memory), so the fastest rounds compare what the
// medians would if the machine were ours alone.

/** @param {readonly number[]} values */
export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/**
 * Runs every side once per round, in turn, after one round that is not counted (compilation, first touch of memory).
 * @template {string} K
 * @param {number} rounds
 * @param {Record<K, () => number | Promise<number>>} sides each answers the time of one operation
 * @returns {Promise<Record<K, number>>} the fastest
 */
export async function interleave(rounds, sides) {
  const names = /** @type {K[]} */ (Object.keys(sides));
  const samples = /** @type {Record<K, number[]>} */ (Object.fromEntries(names.map((name) => [name, []])));
  for (let round = -1; round < rounds; round++)
    for (const name of names) {
      const sample = await sides[name]();
      if (round >= 0) samples[name].push(sample);
    }
  return /** @type {Record<K, number>} */ (
    Object.fromEntries(names.map((name) => [name, Math.min(...samples[name])]))
  );
}

/**
 * Nanoseconds of one of `n` operations that `body` does: processor time, so that the turns of other programs on a busy
 * machine are not counted. Its unit is a microsecond: `body` should take some milliseconds.
 */
export function timed(n, body) {
  const before = process.cpuUsage();
  body(n);
  const { user, system } = process.cpuUsage(before);
  return ((user + system) * 1000) / n;
}

/**
 * The best of four turns: for rows whose floor is a number of nanoseconds, so that what else runs in this process (the
 * compiler, after a call for another row) does not count as theirs. Both sides of a row take it or neither.
 * @param {() => number | Promise<number>} side
 */
export async function bestTurn(side) {
  let best = Number.POSITIVE_INFINITY;
  for (let turn = 0; turn < 4; turn++) best = Math.min(best, await side());
  return best;
}

/** The same by the clock on the wall, for what is over in less. */
export function timedWall(n, body) {
  const start = process.hrtime.bigint();
  body(n);
  return Number(process.hrtime.bigint() - start) / n;
}

/** Both sides computed something: if it differs, the comparison of their times means nothing. */
export function mustAgree(what, engine, control) {
  if (BigInt(engine) !== BigInt(control))
    throw new Error(`${what}: the engine computed ${engine}, the control ${control}`);
}

/**
 * Figures for cases whose value is nanoseconds of a page: how many pages a second that is.
 * @param {readonly { what: string, value: number }[]} parts @returns {import('./judge.mjs').Figure[]}
 */
export const perSecond = (parts) =>
  parts.map(({ what, value }) => ({ what: `${what}, a second`, value: 1e3 / value, unit: 'million pages' }));
