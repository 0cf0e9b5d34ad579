// Which number of which row goes into the picture of docs/performance.md. Drawing is bench/svg.mjs.
import { ROWS } from './rows.mjs';
import { number } from './table.mjs';

/**
 * A line of the picture. Larger is better, in every panel. `note` stands where the numbers are, for a row without any.
 * @typedef {{ label: string, floor: number, goal: number, note?: string,
 *   marks: { kind: 'plain' | 'threads' | 'control', at: number, short?: boolean }[] }} Line
 * @typedef {{ title: string, lines: Line[] }} Panel
 * A way to turn a row into a number that is larger when the row is better, and its bounds with it.
 * @typedef {{ title: string, fits(spec: import('./rows.mjs').RowSpec): boolean,
 *   at(row: import('./judge.mjs').Row, spec: import('./rows.mjs').RowSpec): number | null,
 *   bound(bound: import('./rows.mjs').Bound, spec: import('./rows.mjs').RowSpec): number }} Scale
 */

const hasRatio = (/** @type {import('./rows.mjs').RowSpec} */ { floor }) =>
  floor?.ratioAtLeast !== undefined || floor?.ratioAtMost !== undefined;
const limit = (/** @type {import('./rows.mjs').RowSpec} */ { floor }) => floor?.valueAtMost ?? Number.NaN;

/** @type {readonly Scale[]} */
const SCALES = [
  {
    title: 'times as fast as the control',
    fits: hasRatio,
    at: (row, spec) =>
      row.ratio === null ? null : spec.floor?.ratioAtMost === undefined ? row.ratio : 1 / row.ratio,
    bound: (bound) => bound.ratioAtLeast ?? 1 / (bound.ratioAtMost ?? Number.NaN),
  },
  {
    title: 'two workers ÷ one',
    fits: ({ where, floor }) => where === 'workers' && floor !== null,
    at: (row) => (row.verdict === 'abstained' ? null : row.value),
    bound: (bound) => bound.valueAtLeast ?? Number.NaN,
  },
  {
    title: 'times better than the limit (rows without a control)',
    fits: (spec) => !hasRatio(spec) && spec.floor?.valueAtMost !== undefined,
    at: (row, spec) => (row.value === null ? null : limit(spec) / row.value),
    bound: (bound, spec) => limit(spec) / (bound.valueAtMost ?? Number.NaN),
  },
];

/** @param {readonly import('./judge.mjs').Row[]} rows @returns {Panel[]} */
export function panels(rows) {
  return SCALES.map((scale) => ({
    title: scale.title,
    lines: ROWS.filter((spec) => scale.fits(spec)).flatMap((spec) => {
      const measured = rows.filter((row) => row.id === spec.id);
      return measured.length === 0 || !spec.floor || !spec.goal ? [] : [lineOf(scale, spec, measured)];
    }),
  })).filter((panel) => panel.lines.length > 0);
}

/** @param {Scale} scale @param {import('./rows.mjs').RowSpec} spec @param {readonly import('./judge.mjs').Row[]} rows @returns {Line} */
function lineOf(scale, spec, rows) {
  const marks = rows.flatMap((row) => {
    const at = scale.at(row, spec);
    if (at === null) return [];
    const own = { kind: row.build ?? /** @type {const} */ ('plain'), at, short: row.verdict === 'short' };
    return row.build === 'threads' && spec.controlAtLeast !== undefined && row.control !== null
      ? [own, { kind: /** @type {const} */ ('control'), at: row.control }]
      : [own];
  });
  return {
    label: spec.id,
    floor: scale.bound(/** @type {import('./rows.mjs').Bound} */ (spec.floor), spec),
    goal: scale.bound(/** @type {import('./rows.mjs').Bound} */ (spec.goal), spec),
    marks,
    ...(marks.length === 0 ? { note: 'abstained' } : {}),
  };
}

/** `236×`, `0.42×`. */
export const times = (/** @type {number} */ n) => `${number(n)}×`;
