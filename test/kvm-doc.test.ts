// docs/kvm.md tells the truth: its example runs.
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { blocks, example } from './support/documents.ts';

it('docs/kvm.md: the example prints what its comment says', async () => {
  const [code] = blocks(readFileSync(new URL('../docs/kvm.md', import.meta.url), 'utf8'), 'ts');
  const { said, printed } = await example(code ?? '');
  expect(said).toHaveLength(1);
  expect(printed).toEqual(said);
});
