// The benchmark judges rightly and reports in its format: how measurements become verdicts, the command's arguments
// and exit codes, the JSON document, the picture. What the numbers are is the benchmark's own affair.
// Reference: docs/performance.md, bench/rows.mjs, bench/report.v1.schema.json
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import Ajv from 'ajv/dist/2020.js';
import { describe, expect, it } from 'vitest';
import {
  type Build,
  boundText,
  judge,
  number,
  owed,
  panels,
  picture,
  ROWS,
  type RowSpec,
  withoutHugePages,
} from '../bench/library.mjs';
import { PROJECT } from './support/assembly.ts';

const spec = (id: string): RowSpec => {
  const found = ROWS.find((row) => row.id === id);
  if (!found) throw new Error(`no row ${id}`);
  return found;
};
const judged = (id: string, build: Build, value: number, control?: number) =>
  judge(spec(id), build, { parts: [{ what: 'case', value, ...(control !== undefined && { control }) }] });

describe('benchmark › verdicts', () => {
  it.each([
    // id, build, value, control → verdict, ratio
    ['info', 'plain', 8, 4, 'goal', 2],
    ['info', 'plain', 9, 4, 'floor', 2.25],
    ['info', 'plain', 21, 7, 'short', 3],
    ['info', 'plain', 19, 3, 'short', 19 / 3],
    // Nanoseconds are promised of the plain build; the ratio is promised of both.
    ['info', 'threads', 21, 7, 'floor', 3],
    ['info', 'threads', 21, 3, 'short', 7],
    ['info', 'plain', 19, undefined, 'abstained', null],
    ['dontneed-1', 'plain', 100, 400, 'short', 4],
    ['dontneed-1', 'plain', 100, 500, 'floor', 5],
    ['dontneed-1', 'threads', 100, 1500, 'goal', 15],
    ['dontneed-1g-2m', 'plain', 0.2, 3.9, 'short', 3.9 / 0.2],
    ['dontneed-1g-2m', 'plain', 0.1, 2, 'floor', 20],
    ['dontneed-1g-2m', 'threads', 0.02, 2, 'goal', 100],
    // What is compared page by page counts as a ratio in both builds.
    ['swap-out', 'threads', 1700, 1000, 'short', 1.7],
    ['swap-in', 'plain', 1600, 1000, 'floor', 1.6],
    ['reclaim', 'threads', 1150, 1000, 'goal', 1.15],
    ['first-touch-2m', 'threads', 330, 200, 'short', 1.65],
    ['private-touch', 'plain', 1.7, 1, 'short', 1.7],
    ['convert', 'plain', 3001, undefined, 'short', null],
    ['convert-4k', 'threads', 100, 400, 'floor', 4],
    ['convert-1g', 'threads', 1, 99, 'short', 99],
    ['dirty-log-1t', 'plain', 15, undefined, 'goal', null],
    ['memslot', 'plain', 2000, undefined, 'floor', null],
    ['ksm-scan', 'plain', 2100, 1000, 'short', 2.1],
    ['ksm-scan', 'threads', 2000, 1000, 'floor', 2],
    ['hit-js', 'plain', 26, undefined, 'short', null],
    ['hit-js', 'threads', 26, undefined, 'reported', null],
    ['startup-1t', 'threads', 101, undefined, 'short', null],
    ['workers-info', 'threads', 1.59, 1.95, 'short', 1.59 / 1.95],
    ['workers-info', 'threads', 1.6, 1.8, 'floor', 1.6 / 1.8],
    ['workers-info', 'threads', 1.9, 1.95, 'goal', 1.9 / 1.95],
    ['workers-info', 'threads', 1.2, 1.79, 'abstained', 1.2 / 1.79],
    ['workers-mprotect-1', 'threads', 0.4, 1.9, 'reported', 0.4 / 1.9],
  ] as const)('%s of %s: %s against %s is %s', (id, build, value, control, verdict, ratio) => {
    const row = judged(id, build, value, control);
    expect([row.verdict, row.ratio]).toEqual([verdict, ratio]);
  });

  it('a row is as good as its worst case, or as their mean where it says so', () => {
    const parts = [
      { what: 'good', value: 1, control: 4 },
      { what: 'bad', value: 1, control: 1 },
    ];
    const worst = judge(spec('range-small-js'), 'plain', { parts });
    expect([worst.verdict, worst.ratio]).toEqual(['short', 1]);
    const mean = judge(spec('range-small-js'), 'plain', { parts, mean: true });
    expect([mean.verdict, mean.ratio]).toEqual(['floor', 2]);
    expect(mean.cases.map(({ verdict }) => verdict)).toEqual(['goal', 'short']);
  });

  it('a row that abstains says why', () => {
    expect(judged('workers-info', 'threads', 1.2, 1.5).reason).toBe(
      'the control reached only 1.50 × of the 1.8 it needs',
    );
    const missing = judge(spec('info'), 'plain', {
      parts: [{ what: 'case', value: 5 }],
      controlMissing: 'no cc',
    });
    expect([missing.verdict, missing.reason]).toEqual(['abstained', 'no cc']);
    expect(judge(spec('info'), 'plain', { abstain: 'no reason' })).toMatchObject({
      verdict: 'abstained',
      reason: 'no reason',
      value: null,
    });
  });

  it('a control on huge pages that Linux did not give all of is none', () => {
    expect(withoutHugePages(2 ** 20, 2 ** 30)).toBeUndefined();
    expect(withoutHugePages(2 ** 20 - 2048, 2 ** 30)).toMatch(
      /^Linux had 1046528 of 1048576 KiB in huge pages/,
    );
    expect(withoutHugePages(0, 2 ** 30)).toMatch(/^Linux had 0 of/);
  });

  it.each(
    ROWS.map((row) => [row.id, row] as const),
  )('%s: a goal is at least as hard as the floor', (_, row) => {
    expect(row.floor === null).toBe(row.goal === null);
    for (const key of ['valueAtMost', 'ratioAtMost'] as const)
      if (row.floor?.[key] !== undefined) expect(row.goal?.[key]).toBeLessThanOrEqual(row.floor[key]);
    for (const key of ['valueAtLeast', 'ratioAtLeast'] as const)
      if (row.floor?.[key] !== undefined) expect(row.goal?.[key]).toBeGreaterThanOrEqual(row.floor[key]);
    // What is left for the threads build is part of what the plain one owes.
    expect(row.floor ?? {}).toMatchObject(owed(row, 'threads').floor ?? {});
  });

  it('numbers and bounds as people read them', () => {
    expect([0.03512, 1.239, 15.04, 36118, null].map(number)).toEqual(['0.035', '1.24', '15.0', '36118', '–']);
    expect(boundText(spec('info').floor, 'ns')).toBe('≤ 20 ns, ≤ 6 × control');
    expect(boundText(spec('workers-info').goal, '×')).toBe('≥ 1.9 ×');
    expect(boundText(null, 'ns')).toBe('–');
  });
});

describe('benchmark › picture', () => {
  const rows = [
    judged('info', 'plain', 21, 7),
    judged('info', 'threads', 21, 7),
    judged('hit-js', 'plain', 10),
    judged('workers-info', 'threads', 1.9, 1.95),
    judge(spec('workers-faults'), 'threads', { abstain: 'no CPU' }),
  ];

  it('puts larger for better on every axis, with floor and goal', () => {
    const [ratios, workers, limits] = panels(rows);
    expect(ratios?.lines).toMatchObject([{ label: 'info', floor: 1 / 6, goal: 0.4 }]);
    expect(ratios?.lines[0]?.marks).toEqual([
      { kind: 'plain', at: 1 / 3, short: true },
      { kind: 'threads', at: 1 / 3, short: false },
    ]);
    expect(workers?.lines.map(({ note, marks }) => [note, marks.map(({ kind }) => kind)])).toEqual([
      [undefined, ['threads', 'control']],
      ['abstained', []],
    ]);
    expect(limits?.lines).toMatchObject([{ label: 'hit-js', floor: 1, goal: 25 / 8, marks: [{ at: 2.5 }] }]);
  });

  it('is well-formed, has both colour schemes, and no number that is none', () => {
    const svg = picture(panels(rows), 'a <machine> & a date');
    expect(svg).toContain('a &lt;machine&gt; &amp; a date');
    expect(svg).toContain('prefers-color-scheme: dark');
    expect(svg).not.toMatch(/NaN|Infinity|undefined/);
    const open = svg.match(/<(svg|title|style|text)\b/g)?.length;
    const closed = svg.match(/<\/(svg|title|style|text)>/g)?.length;
    expect(open).toBe(closed);
    for (const { label } of panels(rows).flatMap(({ lines }) => lines)) expect(svg).toContain(`>${label}<`);
  });
});

describe('benchmark › command', () => {
  const bench = (...args: string[]) =>
    spawnSync(process.execPath, ['bench/run.mjs', ...args], { cwd: PROJECT, encoding: 'utf8' });

  it('--json prints one document of its format', () => {
    const { status, stdout, stderr } = bench(
      '--json',
      '--quick',
      '--only',
      'wasm-size',
      '--only',
      'metadata-1t',
    );
    expect(stderr).toBe('');
    expect(status).toBe(0);
    const schema = JSON.parse(readFileSync(`${PROJECT}bench/report.v1.schema.json`, 'utf8'));
    const ajv = new Ajv({ allErrors: true, strict: true, allowUnionTypes: true });
    const report = JSON.parse(stdout);
    ajv.validate(schema, report);
    expect(ajv.errors).toBeNull();
    expect(report.rows.map((row: { id: string; build: string }) => [row.id, row.build])).toEqual([
      ['metadata-1t', 'plain'],
      ['wasm-size', null],
      ['metadata-1t', 'threads'],
    ]);
    expect(report.verdicts).toMatchObject({ goal: 2, reported: 1, short: 0 });
  }, 60_000);

  it('ksm-scan: engine and native control merge the same number of pages', () => {
    const { status, stdout, stderr } = bench(
      ...['--json', '--quick', '--memory', 'plain', '--only', 'ksm-scan'],
    );
    // It ends with 3 when they do not. Whether the row is short depends on what else runs here.
    expect(stderr).toBe('');
    expect([0, 1]).toContain(status);
    const { rows, controls } = JSON.parse(stdout);
    expect(rows).toHaveLength(1);
    if (controls.available)
      expect(rows[0].cases.map(({ what }: { what: string }) => what)).toEqual([
        'the first scan, which only looks',
        'the second, which merges',
        'the third, when nothing changes any more',
      ]);
    else expect(rows[0].reason).toBe(controls.reason);
  }, 60_000);

  it.each([
    [['--only', 'nonsense'], /--only nonsense: rows are info dontneed-1/],
    [['--memory', 'other'], /--memory other: plain or threads/],
    [['--fast'], /--fast/],
  ])('%j: exit code 2, and why', (args, message) => {
    const { status, stderr } = bench(...args);
    expect(status).toBe(2);
    expect(stderr).toMatch(message);
  });
});
