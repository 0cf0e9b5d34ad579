// docs/accounting.md has no output that a run does not print: its sessions run, its example prints what its comments say.
// After a change that is meant: UPDATE_README=1 npx vitest run test/accounting-doc.test.ts
import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { runCli } from './support/cli.ts';
import { blocks, example } from './support/documents.ts';

const FILE = 'docs/accounting.md';
const text = (): string => readFileSync(FILE, 'utf8');
const sessions = [...text().matchAll(/```console\n\$ npx slatbox (.*)\n[\s\S]*?```/g)];

describe(FILE, () => {
  it('has a session of each command', () => {
    expect(sessions.map(([, command]) => command?.split(' --')[0])).toEqual([
      'account builtin:snp-10x10g',
      'who builtin:sample-dontneed',
      'account builtin:snp-40g',
      'account builtin:snp-40g',
    ]);
  });

  it.each(sessions.map(([shown, command]) => [command as string, shown]))(
    '%s',
    async (command, shown) => {
      const { code, out } = await runCli(command, '');
      expect(code).toBe(0);
      const now = `\`\`\`console\n$ npx slatbox ${command}\n${out}\`\`\``;
      if (!process.env.UPDATE_README) expect(shown).toBe(now);
      else if (shown !== now)
        writeFileSync(
          FILE,
          text().replace(shown, () => now),
        );
    },
    60_000,
  );

  it('the example prints what its comments say', async () => {
    const [code] = blocks(text(), 'ts');
    const { said, printed } = await example(code ?? '');
    expect(said.length).toBeGreaterThan(10);
    expect(printed).toEqual(said);
  }, 60_000);
});
