// docs/walks.md tells the truth: its examples run, its references are those that walks have.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { referenceCount } from '../src/index.ts';
import { blocks, example } from './support/documents.ts';

const text = readFileSync(new URL('../docs/walks.md', import.meta.url), 'utf8');

describe('docs/walks.md', () => {
  const examples = blocks(text, 'ts');

  it('has an example for EPT, nested paging, stage 2 and a vCPU with paging', () => {
    expect(examples.map((code) => /\b(walkEpt|walkNpt|walkStage2|guest\.virtual)\(/.exec(code)?.[1])).toEqual(
      ['walkEpt', 'walkNpt', 'walkStage2', 'guest.virtual'],
    );
  });

  it.each(
    examples.map((code, i) => [i + 1, code] as const),
  )('example %i prints what its comments say', async (_n, code) => {
    const { said, printed } = await example(code);
    expect(printed.length).toBeGreaterThan(1);
    expect(printed).toEqual(said);
  });

  it('counts references as the rule does', () => {
    const rows = [...text.matchAll(/\| (\d) × (\d) +\| (\d+) /g)].map(([, m, n, count]) => [
      Number(m),
      Number(n),
      Number(count),
    ]);
    expect(rows.length).toBe(3);
    for (const [m = 0, n = 0, count] of rows) expect(referenceCount(m, n)).toBe(count);
  });
});
