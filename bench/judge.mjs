// From measurements to rows: the ratio, the verdict and its reason. No measuring and no printing here.

/**
 * One measured case of a row. `control` is absent when the row has none or it could not run.
 * @typedef {{ what: string, value: number, control?: number }} Part
 * A measured row: its cases, or why there is nothing to judge.
 * `mean`: the row is the geometric mean of its cases, not the worst of them.
 * @typedef {{ parts: Part[], mean?: boolean, controlMissing?: string | undefined, notes?: string[] } |
 *   { abstain: string, value?: number }} Measured
 * @typedef {'goal' | 'floor' | 'short' | 'abstained'} Verdict
 * @typedef {{ id: string, what: string, unit: string, value: number | null, control: number | null,
 *   ratio: number | null, floor: import('./rows.mjs').Bound | null, goal: import('./rows.mjs').Bound | null,
 *   verdict: Verdict, reason?: string, against: string | null,
 *   parts?: { what: string, value: number, control: number | null, ratio: number | null, verdict: Verdict }[],
 *   notes?: string[] }} Row
 */

const ORDER = ['short', 'abstained', 'floor', 'goal'];

/** @param {import('./rows.mjs').RowSpec} spec @param {Measured} measured @returns {Row} */
export function judge(spec, measured) {
  const base = { id: spec.id, what: spec.what, unit: spec.unit, against: spec.against };
  const bounds = { floor: spec.floor, goal: spec.goal };
  if ('abstain' in measured)
    return {
      ...base,
      value: measured.value ?? null,
      control: null,
      ratio: null,
      ...bounds,
      verdict: 'abstained',
      reason: measured.abstain,
    };
  const parts = measured.parts.map((part) => judgePart(spec, part));
  // A row is as good as its worst case: the lowest verdict, then the case nearest to (or furthest below) its bound.
  const row = measured.mean
    ? judgePart(spec, mean(measured.parts))
    : parts.reduce((a, b) => (worse(b, a, spec) ? b : a));
  return {
    ...base,
    value: row.value,
    control: row.control,
    ratio: row.ratio,
    ...bounds,
    verdict: row.verdict,
    ...(row.verdict === 'abstained' ? { reason: measured.controlMissing ?? 'no control' } : {}),
    ...(parts.length > 1 ? { parts } : {}),
    ...(measured.notes ? { notes: measured.notes } : {}),
  };
}

/** @param {import('./rows.mjs').RowSpec} spec @param {Part} part */
function judgePart(spec, part) {
  const control = part.control ?? null;
  const faster = spec.floor?.ratioAtLeast !== undefined;
  const ratio = control === null ? null : faster ? control / part.value : part.value / control;
  return { what: part.what, value: part.value, control, ratio, verdict: verdict(spec, part.value, ratio) };
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
  if (bound.ratioAtMost === undefined && bound.ratioAtLeast === undefined) return true;
  if (ratio === null) return undefined;
  return ratio <= (bound.ratioAtMost ?? Number.POSITIVE_INFINITY) && ratio >= (bound.ratioAtLeast ?? 0);
}

/** @param {import('./rows.mjs').RowSpec} spec @param {number} value @param {number | null} ratio @returns {Verdict} */
function verdict(spec, value, ratio) {
  const floor = holds(spec.floor, value, ratio);
  if (floor === undefined) return 'abstained';
  if (!floor) return 'short';
  return holds(spec.goal, value, ratio) ? 'goal' : 'floor';
}

function worse(a, b, spec) {
  if (a.verdict !== b.verdict) return ORDER.indexOf(a.verdict) < ORDER.indexOf(b.verdict);
  if (a.ratio === null || b.ratio === null) return a.value > b.value;
  return spec.floor?.ratioAtLeast !== undefined ? a.ratio < b.ratio : a.ratio > b.ratio;
}
