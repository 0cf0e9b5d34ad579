// docs/savings.md has no number that a run does not print: its sessions and its tables of counters are run again.
// After a change that is meant: UPDATE_README=1 npx vitest run test/savings.test.ts
import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { main } from '../src/cli/main.ts';
import { createFile } from '../src/cli/output-file.ts';
import { isBytes } from '../src/scenario/counters.ts';
import { formatSize } from '../src/size.ts';

const FILE = 'docs/savings.md';
const document = (): string => readFileSync(FILE, 'utf8');

/** What a command line prints; it must end well, so all its expectations hold. */
async function printed(command: string): Promise<string> {
  let out = '';
  const print = (part: string): void => {
    out += part;
  };
  const io = {
    out: print,
    err: print,
    errIsTty: false,
    outIsTty: false,
    env: {},
    read: (file: string) => readFileSync(file),
    create: createFile,
  };
  const code = await main(command.split(' '), io);
  expect([code, code === 0 ? '' : out]).toEqual([0, '']);
  return out;
}

function check(shown: string, now: string): void {
  if (!process.env.UPDATE_README) expect(shown).toBe(now);
  else if (shown !== now)
    writeFileSync(
      FILE,
      document().replace(shown, () => now),
    );
}

const sessions = [...document().matchAll(/```console\n\$ npx slatbox (.*)\n([\s\S]*?)```/g)];
const tables = [...document().matchAll(/<!-- counters: (.*) -->\n\n(\| VM .*\n.*\n(?:\|.*\n)*)/g)];

describe('docs/savings.md', () => {
  it('has a session of each scenario that measures, in full size', () => {
    const names = sessions.map(([, command = '']) => /builtin:(\S+)/.exec(command)?.[1]);
    expect(names).toEqual([
      'overcommit-nothing',
      'overcommit-reporting',
      'overcommit-pvmemcontrol',
      'partial-huge-pages',
      'stacks-in-huge-pages',
      'kernel-stacks',
      'same-pages',
      'secrets',
    ]);
    expect(tables.length).toBe(3);
  });

  it.each(sessions.map((m) => [m[1] as string, m[0]]))(
    '%s',
    async (command, shown) => {
      check(shown, `\`\`\`console\n$ npx slatbox ${command}\n${await printed(command)}\`\`\``);
    },
    120_000,
  );

  it.each(tables.map((m) => [m[1] as string, m[2] as string]))(
    'counters of %s',
    async (command, shown) => {
      const { vms } = JSON.parse(await printed(`run ${command} --format json`)) as {
        vms: Record<string, { counters: Record<string, number> }>;
      };
      const [head = '', rule = ''] = shown.split('\n');
      const keys = [...head.matchAll(/`(.*?)`/g)].map((m) => m[1] as string);
      const width = rule
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.length - 2);
      const row = (cells: readonly string[]): string =>
        `| ${cells.map((cell, i) => cell.padEnd(width[i] ?? 0)).join(' | ')} |\n`;
      const value = (key: string, n: number | undefined): string =>
        n === undefined ? 'none' : isBytes(key) ? formatSize(n) : String(n);
      const rows = Object.entries(vms).map(([vm, { counters }]) =>
        row([vm, ...keys.map((key) => value(key, counters[key]))]),
      );
      check(shown, `${head}\n${rule}\n${rows.join('')}`);
    },
    60_000,
  );
});
