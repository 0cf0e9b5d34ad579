// Rows as text for people, and the machine they were measured on.

/** @param {import('./report.mjs').Report} report */
export function describe({ started, seconds, quick, machine, build, controls }) {
  const { plain, threads } = build.cores;
  const on =
    machine.on.one.length > 0 ? `on CPU ${machine.on.one}, workers on ${machine.on.pair}` : 'not pinned';
  return [
    `${started.slice(0, 16).replace('T', ' ')} UTC, ${seconds} s${quick ? ', quick' : ''}`,
    `Node ${machine.node}, ${machine.cpus} × ${machine.cpu}, ${machine.platform} ${machine.release}, ${on}, load ${machine.load.toFixed(1)} at the end`,
    `slatbox ${build.version}, cores ${plain.sha256.slice(0, 12)} (plain), ${threads.sha256.slice(0, 12)} (threads)`,
    controls.available
      ? `controls: ${controls.command} (${controls.compiler})`
      : `controls: none, ${controls.reason}`,
  ];
}

/** @param {number | null} value */
export function number(value) {
  if (value === null) return '–';
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : Math.abs(value) >= 1 ? 2 : 3;
  return value.toFixed(digits);
}

/** @param {import('./rows.mjs').Bound | null} bound @param {string} unit */
export function boundText(bound, unit) {
  if (!bound) return '–';
  const parts = [];
  if (bound.valueAtMost !== undefined) parts.push(`≤ ${bound.valueAtMost} ${unit}`);
  if (bound.valueAtLeast !== undefined) parts.push(`≥ ${bound.valueAtLeast} ${unit}`);
  if (bound.ratioAtMost !== undefined) parts.push(`≤ ${bound.ratioAtMost} × control`);
  if (bound.ratioAtLeast !== undefined) parts.push(`≥ ${bound.ratioAtLeast} × as fast`);
  return parts.join(', ');
}

/** A number with its unit, or a dash. */
export const measured = (/** @type {number | null} */ value, /** @type {string} */ unit) =>
  value === null ? '–' : `${number(value)} ${unit}`;

/** @param {readonly import('./judge.mjs').Row[]} rows */
export function cells(rows) {
  return rows.map((row) => [
    row.id,
    row.build ?? '–',
    measured(row.value, row.unit),
    measured(row.control, row.unit),
    number(row.ratio),
    boundText(row.floor, row.unit),
    boundText(row.goal, row.unit),
    row.reason ? `${row.verdict}: ${row.reason}` : row.verdict,
  ]);
}

export const HEADINGS = ['row', 'build', 'value', 'control', 'ratio', 'floor', 'goal', 'verdict'];

/** What stands beside a row: figures, then notes. */
export const beside = (/** @type {import('./judge.mjs').Row} */ row) => [
  ...row.figures.map(({ what, value, unit }) => `${what} ${measured(value, unit)}`),
  ...row.notes,
];

/** @param {readonly import('./judge.mjs').Row[]} rows */
export function table(rows) {
  const lines = [HEADINGS, ...cells(rows)];
  const widths = HEADINGS.map((_, column) => Math.max(...lines.map((line) => line[column].length)));
  const text = lines.map((line) =>
    line
      .map((cell, i) => cell.padEnd(widths[i]))
      .join('  ')
      .trimEnd(),
  );
  // Below each row its cases, worst or not, and what stands beside it.
  const details = rows.map((row) => [
    ...(row.cases.length > 1 ? row.cases : []).map(
      (one) =>
        `    ${one.what}: ${measured(one.value, row.unit)}` +
        (one.control === null ? '' : `, control ${number(one.control)}, ratio ${number(one.ratio)}`) +
        (one.verdict === 'reported' ? '' : `, ${one.verdict}`),
    ),
    ...beside(row).map((line) => `    ${line}`),
  ]);
  return [text[0], ...text.slice(1).flatMap((line, i) => [line, ...details[i]])].join('\n');
}
