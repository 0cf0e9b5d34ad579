// Rows about the range kernels of page state (assembly/base/bits.ts): range-large, range-small, range-small-js.
// Their loop is in WebAssembly, in the native control and in the JavaScript control alike; counts are compared.
import { interleave, mustAgree, timed } from '../harness.mjs';
import { loadKernels } from '../kernels.mjs';
import { planeLoop, planePrepare } from '../plane.mjs';

/** Pages of the plane, in pages of guest: 16 GiB (512 KiB of bits) for large ranges, 4 GiB for small ones. */
const LARGE_SPAN = 2 ** 22;
const SMALL_SPAN = 2 ** 20;
const SMALL = [1, 8, 64, 512];
/** 128 MiB, 1 GiB, 8 GiB. */
const LARGE = [2 ** 15, 2 ** 18, 2 ** 21];
const OPS = /** @type {const} */ (['mix', 'count']);
const NAME = { mix: 'set and clear', count: 'count' };

/** @typedef {{ what: string, engine: number, control: number }} Cell */

/**
 * @param {import('../context.mjs').Context} context @param {number} span
 * @param {readonly number[]} sizes @param {number} budget pages a round
 */
async function againstNative({ build, native, rounds }, span, sizes, budget) {
  if (!native.available) return { abstain: native.reason };
  const kernels = await loadKernels(build);
  const parts = [];
  const figures = [];
  for (const op of OPS)
    for (const pages of sizes) {
      const n = Math.max(20, Math.min(300_000, Math.round(budget / pages)));
      let sum = 0;
      kernels.prepare(span, op === 'count');
      const run = async (/** @type {string} */ what) => {
        const { ns, check } = await native.run(`plane ${what} ${span} ${pages} ${n}`);
        mustAgree(`${op} ${pages} pages`, sum, check);
        return ns;
      };
      const { engine, control, fastest } = await interleave(rounds, {
        engine: () => timed(n, () => (sum = (kernels[op](span, pages, n) ?? 0) >>> 0)),
        control: () => run(op),
        // With every instruction of the processor, some of which WebAssembly has no name for.
        fastest: () => (op === 'count' ? run('count-native') : 0),
      });
      parts.push({ what: `${NAME[op]}, ${size(pages)}`, value: engine, control });
      if (op === 'count')
        figures.push({
          what: `count, ${size(pages)}, against every instruction of the processor`,
          value: fastest / engine,
          unit: '×',
        });
    }
  return { parts, figures };
}

/** @param {import('../context.mjs').Context} context */
export const rangeLarge = (context) => againstNative(context, LARGE_SPAN, LARGE, 2 ** 29);
/** @param {import('../context.mjs').Context} context */
export const rangeSmall = (context) => againstNative(context, SMALL_SPAN, SMALL, 2 ** 26);

/** @param {import('../context.mjs').Context} context */
export async function rangeSmallJs({ build, rounds }) {
  const kernels = await loadKernels(build);
  // On the kind of memory that a machine in JavaScript would have to live in.
  const bytes = SMALL_SPAN / 8;
  const plane = new Uint32Array(build === 'threads' ? new SharedArrayBuffer(bytes) : new ArrayBuffer(bytes));
  const parts = [];
  for (const op of OPS)
    for (const pages of SMALL) {
      const n = 100_000;
      let sum = 0;
      kernels.prepare(SMALL_SPAN, op === 'count');
      planePrepare(plane, op === 'count');
      const { engine, control } = await interleave(rounds, {
        engine: () => timed(n, () => (sum = (kernels[op](SMALL_SPAN, pages, n) ?? 0) >>> 0)),
        control: () => timed(n, () => mustAgree(`${op} ${pages} pages`, sum, planeLoop(plane, op, pages, n))),
      });
      parts.push({ what: `${NAME[op]}, ${size(pages)}`, value: engine, control });
    }
  // The mean: of set and clear of a word or two a compiler makes the same instructions on all three sides.
  return { parts, mean: true };
}

const size = (/** @type {number} */ pages) =>
  pages >= 2 ** 18
    ? `${pages / 2 ** 18} GiB`
    : pages >= 2 ** 15
      ? `${pages / 2 ** 8} MiB`
      : pages === 1
        ? '1 page'
        : `${pages} pages`;
