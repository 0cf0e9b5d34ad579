// Writes a run into docs: the tables of docs/performance.md, between its markers, and the picture beside it.
import { readFile, writeFile } from 'node:fs/promises';
import { panels } from './plot.mjs';
import { picture } from './svg.mjs';
import { beside, boundText, describe, measured, number } from './table.mjs';

const FILE = new URL('../docs/performance.md', import.meta.url);
const PICTURE = new URL('../docs/performance.svg', import.meta.url);
const BEGIN = '<!-- bench: begin -->';
const END = '<!-- bench: end -->';

/** @typedef {import('./judge.mjs').Row} Row */

/** @param {import('./report.mjs').Report} report */
export async function writeMarkdown(report) {
  const text = await readFile(FILE, 'utf8');
  const begin = text.indexOf(BEGIN);
  const end = text.indexOf(END);
  if (begin < 0 || end < begin) throw new Error(`docs/performance.md has no ${BEGIN} … ${END}`);
  await writeFile(FILE, text.slice(0, begin) + block(report) + text.slice(end));
  const { machine, started } = report;
  const where = `Node ${machine.node}, ${machine.cpus} × ${machine.cpu}, ${started.slice(0, 10)}`;
  await writeFile(PICTURE, picture(panels(report.rows), where));
}

const line = (/** @type {readonly string[]} */ columns) => `| ${columns.join(' | ')} |`;
const markdownTable = (
  /** @type {readonly string[]} */ headings,
  /** @type {readonly string[][]} */ lines,
) => [line(headings), line(headings.map(() => '---')), ...lines.map(line), ''];

/** @param {import('./report.mjs').Report} report */
function block(report) {
  const { rows } = report;
  const promised = rows.filter((row) => row.verdict !== 'reported' || row.floor);
  return [
    BEGIN,
    '',
    ...describe(report).map((fact) => `- ${fact}`),
    '',
    ...section('The plain build', promised, (row) => row.build === 'plain'),
    ...section(
      'The threads build, one thread',
      promised,
      (row) => row.build === 'threads' && !ofWorkers(row),
    ),
    ...section('Two workers', rows, ofWorkers),
    '**The cases** of rows with several, and what stands beside them:',
    '',
    ...cases(rows),
  ].join('\n');
}

const ofWorkers = (/** @type {Row} */ row) => row.id.startsWith('workers-');

/** @param {readonly Row[]} rows @param {(row: Row) => boolean} wanted */
function section(/** @type {string} */ title, rows, wanted) {
  const lines = rows
    .filter(wanted)
    .map((row) => [
      row.id,
      measured(row.value, row.unit),
      measured(row.control, row.unit),
      number(row.ratio),
      boundText(row.floor, row.unit),
      boundText(row.goal, row.unit),
      row.reason ? `${row.verdict}: ${row.reason}` : row.verdict,
    ]);
  if (lines.length === 0) return [];
  return [
    `**${title}**`,
    '',
    ...markdownTable(['row', 'value', 'control', 'ratio', 'floor', 'goal', 'verdict'], lines),
  ];
}

/** A line a case, the builds beside each other. @param {readonly Row[]} rows */
function cases(rows) {
  const lines = rows
    .filter((row, i) => rows.findIndex((other) => other.id === row.id) === i)
    .flatMap(({ id }) => {
      const plain = rows.find((row) => row.id === id && row.build !== 'threads');
      const threads = rows.find((row) => row.id === id && row.build === 'threads');
      const first = plain ?? threads;
      if (!first) return [];
      const several = first.cases.length > 1 ? first.cases : [];
      return [
        ...several.map((_, i) => [id, caseName(first, i), caseText(plain, i), caseText(threads, i)]),
        ...beside(first).map((_, i) => [
          id,
          '',
          plain ? (beside(plain)[i] ?? '') : '',
          threads ? (beside(threads)[i] ?? '') : '',
        ]),
      ];
    });
  return markdownTable(['row', 'case', 'plain', 'threads'], lines);
}

/** The case's name without the numbers that some carry in brackets. */
const caseName = (/** @type {Row} */ row, /** @type {number} */ i) =>
  (row.cases[i]?.what ?? '').replace(/ \(.*\)$/, '');

/** Value, ratio and verdict of case `i`, and what its name has in brackets. */
function caseText(/** @type {Row | undefined} */ row, /** @type {number} */ i) {
  const one = row?.cases[i];
  if (!row || !one) return '–';
  const numbers = / \((.*)\)$/.exec(one.what)?.[1];
  return [
    measured(one.value, row.unit),
    ...(one.control === null ? [] : [`control ${number(one.control)}, ratio ${number(one.ratio)}`]),
    ...(numbers ? [numbers] : []),
    ...(one.verdict === 'reported' ? [] : [one.verdict]),
  ].join(', ');
}
