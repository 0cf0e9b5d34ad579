// From measurements to rows: the ratio, the verdict and its reason. No measuring and no printing here.
import { owed } from './rows.mjs';

/**
 * One measured case of a row. `control` is absent when the row has none or it could not run.
 * @typedef {{ what: string, value: number, control?: number }} Part
 * A number beside the row, for information.
 * @typedef {{ what: string, value: number, unit: string }} Figure
 * A measured row: its cases, or why there is nothing to judge.
 * `mean`: the row is the geometric mean of its cases, not the worst of them.
 * @typedef {{ parts: Part[], mean?: boolean, controlMissing?: string | undefined, figures?: Figure[], notes?: string[] } |
 *   { abstain: string, figures?: Figure[], notes?: string[] }} Measured
 * @typedef {'goal' | 'floor' | 'short' | 'abstained' | 'reported'} Verdict
 * @typedef {{ what: string, value: number, control: number | null, ratio: number | null, verdict: Verdict }} Case
 * @typedef {{ id: string, build: import('./context.mjs').Build | null, what: string, unit: string,
 *   against: string | null, value: number | null, control: number | null, ratio: number | null,
 *   floor: import('./rows.mjs').Bound | null, goal: import('./rows.mjs').Bound | null,
 *   verdict: Verdict, reason?: string, cases: Case[], figures: Figure[], notes: string[] }} Row
 */

export const VERDICTS = /** @type {const} */ (['short', 'abstained', 'floor', 'goal', 'reported']);

/**
 * @param {import('./rows.mjs').RowSpec} promised @param {import('./context.mjs').Build | null} build
 * @param {Measured} measured @returns {Row}
 */
export function judge(promised, build, measured) {
  const spec = owed(promised, build);
  const base = { id: spec.id, build, what: spec.what, unit: spec.unit, against: spec.against };
  const bounds = { floor: spec.floor, goal: spec.goal };
  const beside = { figures: measured.figures ?? [], notes: measured.notes ?? [] };
  if ('abstain' in measured)
    return {
      ...base,
      ...{ value: null, control: null, ratio: null },
      ...bounds,
      verdict: 'abstained',
      reason: measured.abstain,
      cases: [],
      ...beside,
    };
  const cases = measured.parts.map((part) => judgeCase(spec, part));
  const row = measured.mean ? judgeCase(spec, mean(measured.parts)) : headline(spec, cases);
  return {
    ...base,
    ...{ value: row.value, control: row.control, ratio: row.ratio },
    ...bounds,
    verdict: row.verdict,
    ...(row.verdict === 'abstained' ? { reason: measured.controlMissing ?? abstention(spec, row) } : {}),
    cases,
    ...beside,
  };
}

/** A row is as good as its worst case. Where nothing is promised, the first case stands for all. */
function headline(/** @type {import('./rows.mjs').RowSpec} */ spec, /** @type {Case[]} */ cases) {
  return spec.floor ? cases.reduce((a, b) => (worse(b, a, spec) ? b : a)) : /** @type {Case} */ (cases[0]);
}

/** @param {import('./rows.mjs').RowSpec} spec @param {Part} part @returns {Case} */
function judgeCase(spec, part) {
  const control = part.control ?? null;
  const faster = spec.floor?.ratioAtLeast !== undefined;
  const ratio = control === null ? null : faster ? control / part.value : part.value / control;
  return {
    what: part.what,
    value: part.value,
    control,
    ratio,
    verdict: verdict(spec, part.value, control, ratio),
  };
}

/** @param {readonly Part[]} parts @returns {Part} */
function mean(parts) {
  const of = (/** @type {(part: Part) => number} */ field) =>
    Math.exp(parts.reduce((sum, part) => sum + Math.log(field(part)), 0) / parts.length);
  const control = parts.every((part) => part.control !== undefined);
  return {
    what: 'mean',
    value: of((p) => p.value),
    ...(control ? { control: of((p) => p.control ?? 0) } : {}),
  };
}

/** Whether a bound holds: `undefined` when only the missing ratio could tell. */
function holds(/** @type {import('./rows.mjs').Bound | null} */ bound, value, ratio) {
  if (!bound) return true;
  if (bound.valueAtMost !== undefined && !(value <= bound.valueAtMost)) return false;
  if (bound.valueAtLeast !== undefined && !(value >= bound.valueAtLeast)) return false;
  if (bound.ratioAtMost === undefined && bound.ratioAtLeast === undefined) return true;
  if (ratio === null) return undefined;
  return ratio <= (bound.ratioAtMost ?? Number.POSITIVE_INFINITY) && ratio >= (bound.ratioAtLeast ?? 0);
}

/** @param {import('./rows.mjs').RowSpec} spec @returns {Verdict} */
function verdict(spec, /** @type {number} */ value, /** @type {number | null} */ control, ratio) {
  if (!spec.floor && !spec.goal) return 'reported';
  if (spec.controlAtLeast !== undefined && !(control !== null && control >= spec.controlAtLeast))
    return 'abstained';
  const floor = holds(spec.floor, value, ratio);
  if (floor === undefined) return 'abstained';
  if (!floor) return 'short';
  return holds(spec.goal, value, ratio) ? 'goal' : 'floor';
}

function abstention(/** @type {import('./rows.mjs').RowSpec} */ spec, /** @type {Case} */ row) {
  return row.control === null
    ? 'no control'
    : `the control reached only ${row.control.toFixed(2)} ${spec.unit} of the ${spec.controlAtLeast} it needs`;
}

function worse(
  /** @type {Case} */ a,
  /** @type {Case} */ b,
  /** @type {import('./rows.mjs').RowSpec} */ spec,
) {
  if (a.verdict !== b.verdict) return VERDICTS.indexOf(a.verdict) < VERDICTS.indexOf(b.verdict);
  if (spec.floor?.valueAtLeast !== undefined) return a.value < b.value;
  if (a.ratio === null || b.ratio === null) return a.value > b.value;
  return spec.floor?.ratioAtLeast !== undefined ? a.ratio < b.ratio : a.ratio > b.ratio;
}
