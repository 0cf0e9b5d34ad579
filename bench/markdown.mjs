// Writes the table of a run into docs/performance.md, between its markers.
import { readFile, writeFile } from 'node:fs/promises';
import { cells, HEADINGS, number } from './table.mjs';

const FILE = new URL('../docs/performance.md', import.meta.url);
const BEGIN = '<!-- bench: begin -->';
const END = '<!-- bench: end -->';

/** @param {readonly string[]} machine @param {readonly import('./judge.mjs').Row[]} rows */
export async function writeMarkdown(machine, rows) {
  const text = await readFile(FILE, 'utf8');
  const begin = text.indexOf(BEGIN);
  const end = text.indexOf(END);
  if (begin < 0 || end < begin) throw new Error(`docs/performance.md has no ${BEGIN} … ${END}`);
  const line = (/** @type {readonly string[]} */ columns) => `| ${columns.join(' | ')} |`;
  const parts = rows
    .filter((row) => row.parts)
    .flatMap((row) =>
      (row.parts ?? []).map((part) =>
        line([
          row.id,
          part.what,
          `${number(part.value)} ${row.unit}`,
          number(part.control),
          number(part.ratio),
          part.verdict,
        ]),
      ),
    );
  const notes = rows.flatMap((row) => (row.notes ?? []).map((note) => `- ${row.id}: ${note}`));
  const block = [
    BEGIN,
    '',
    ...machine.map((fact) => `- ${fact}`),
    '',
    line(HEADINGS),
    line(HEADINGS.map(() => '---')),
    ...cells(rows).map(line),
    '',
    'The cases of rows with several:',
    '',
    line(['row', 'case', 'value', 'control', 'ratio', 'verdict']),
    line(Array.from({ length: 6 }, () => '---')),
    ...parts,
    '',
    ...notes,
    '',
  ].join('\n');
  await writeFile(FILE, text.slice(0, begin) + block + text.slice(end));
}
