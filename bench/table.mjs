// Rows as text for people, and the machine they were measured on.
import { cpus, loadavg, release } from 'node:os';

/** @param {import('./native.mjs').NativeControls | import('./native.mjs').NoControls} native */
export function describeMachine(native) {
  const load = loadavg()[0].toFixed(1);
  return [
    `Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model.trim()}, ${process.platform} ${release()}, load ${load} at the start`,
    native.available
      ? `controls: ${native.command} (${native.compiler})`
      : `controls: none, ${native.reason}`,
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
  if (bound.ratioAtMost !== undefined) parts.push(`≤ ${bound.ratioAtMost} × control`);
  if (bound.ratioAtLeast !== undefined) parts.push(`≥ ${bound.ratioAtLeast} × as fast`);
  return parts.join(', ');
}

/** @param {readonly import('./judge.mjs').Row[]} rows */
export function cells(rows) {
  return rows.map((row) => [
    row.id,
    `${number(row.value)} ${row.unit}`,
    row.control === null ? '–' : `${number(row.control)} ${row.unit}`,
    number(row.ratio),
    boundText(row.floor, row.unit),
    boundText(row.goal, row.unit),
    row.reason ? `${row.verdict}: ${row.reason}` : row.verdict,
  ]);
}

export const HEADINGS = ['row', 'value', 'control', 'ratio', 'floor', 'goal', 'verdict'];

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
  // Below each row its cases, worst or not, and its notes.
  const details = rows.map((row) => [
    ...(row.parts ?? []).map(
      (part) =>
        `    ${part.what}: ${number(part.value)} ${row.unit}` +
        (part.control === null ? '' : `, control ${number(part.control)}, ratio ${number(part.ratio)}`) +
        `, ${part.verdict}`,
    ),
    ...(row.notes ?? []).map((note) => `    ${note}`),
  ]);
  return [text[0], ...text.slice(1).flatMap((line, i) => [line, ...details[i]])].join('\n');
}
