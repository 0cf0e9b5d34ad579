// The documents tell the truth: README's code and commands are run, links lead somewhere, tables of constants
// and events equal the code. Reference: README.md, docs/.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { main } from '../src/cli/main.ts';
import { createFile } from '../src/cli/output-file.ts';
import * as api from '../src/index.ts';
import { blocks, example } from './support/documents.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const text = (path: string): string => readFileSync(join(root, path), 'utf8');
const filesIn = (folder: string, ending: string): string[] =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith(ending))
    .map((name) => join(folder, name));

const readme = text('README.md');
const documents = ['README.md', 'CHANGELOG.md', ...filesIn('docs', '.md')];

/** Rows of Markdown tables as cells, without backticks. */
const rows = (markdown: string): string[][] =>
  [...markdown.matchAll(/^\|(.*)\|$/gm)].map((m) =>
    (m[1] as string).split('|').map((cell) => cell.replaceAll('`', '').trim()),
  );

describe('README › library', () => {
  it('prints what its comments say', async () => {
    const { said, printed } = await example(blocks(readme, 'ts')[0] ?? '');
    expect(printed.length).toBeGreaterThan(3);
    expect(printed).toEqual(said);
  });
});

/** The output of a command line, as npx would show it. */
async function run(command: string): Promise<string> {
  let printed = '';
  const print = (part: string): void => {
    printed += part;
  };
  const read = (file: string): Uint8Array => readFileSync(join(root, file));
  const io = { out: print, err: print, errIsTty: false, outIsTty: false, env: {}, read, create: createFile };
  expect(await main(command.split(' '), io)).toBe(0);
  return printed;
}

describe('README › command line', () => {
  const sessions = blocks(readme, 'console').flatMap((block) => block.split(/^\$ npx slatbox /m).slice(1));

  // After a change that is meant: UPDATE_README=1 npx vitest run test/readme.test.ts
  it.each(sessions.map((session) => session.split('\n')))('%s', async (command, ...output) => {
    const printed = (await run(command)).trimEnd();
    const shown = output.join('\n').trimEnd();
    if (process.env.UPDATE_README) {
      const now = text('README.md').replace(`${command}\n${shown}`, () => `${command}\n${printed}`);
      writeFileSync(join(root, 'README.md'), now);
    } else expect(printed.split('\n')).toEqual(shown.split('\n'));
  });
});

describe('documents', () => {
  /** GitHub's anchor of a heading. */
  const anchor = (heading: string): string =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-');

  it.each(documents)('%s: links resolve', (document) => {
    const links = [...text(document).matchAll(/\]\(([^)\s]+)\)/g)].map((m) => m[1] as string);
    const dead = links.filter((link) => {
      if (/^https?:/.test(link)) return false;
      const [path = '', fragment] = link.split('#');
      const target = path === '' ? document : normalize(join(dirname(document), path));
      if (!existsSync(join(root, target))) return true;
      if (fragment === undefined || !target.endsWith('.md')) return false;
      const headings = [...text(target).matchAll(/^#+ (.*)$/gm)].map((m) => anchor(m[1] as string));
      return !headings.includes(fragment);
    });
    expect(dead).toEqual([]);
  });

  it('name only npm scripts that exist', () => {
    const { scripts } = JSON.parse(text('package.json')) as { scripts: Record<string, string> };
    const named = documents.flatMap((document) =>
      [...text(document).matchAll(/npm (?:run )?(start|test|(?<=run )[\w:-]+)/g)].map((m) => m[1] as string),
    );
    expect(named.length).toBeGreaterThan(4);
    expect([...new Set(named)].filter((name) => !(name in scripts))).toEqual([]);
  });

  it.each(documents)('%s: files of the project that it names exist', (document) => {
    const named = [...text(document).matchAll(/`((?:assembly|src|test|docs|examples|scripts)\/[\w./-]+)`/g)];
    expect(named.map((m) => m[1] as string).filter((path) => !existsSync(join(root, path)))).toEqual([]);
  });
});

describe('docs/memory-map.md', () => {
  it('has the constants of assembly/base/layout.ts', () => {
    const constants = new Map(
      [...text('assembly/base/layout.ts').matchAll(/^export const (\w+): usize = (0x[0-9a-f]+);/gm)].map(
        (m) => [m[1], Number(m[2])],
      ),
    );
    const named = rows(text('docs/memory-map.md')).filter(([, , , constant = '']) => constants.has(constant));
    expect(named.map(([start, , , constant]) => [constant, Number(start)])).toEqual(
      named.map(([, , , constant]) => [constant, constants.get(constant)]),
    );
    expect(named.map(([, , , constant]) => constant)).toEqual(
      [...constants.keys()].filter((name) => name !== 'SCRATCH_SIZE'),
    );
  });
});

describe('docs/events.md', () => {
  const section =
    text('docs/events.md')
      .split(/^## /m)
      .find((part) => part.startsWith('Kinds')) ?? '';
  const kinds = new Map(
    rows(section)
      .slice(2)
      .map(([kind = '', engine = '', detail = '']) => [kind, { engine, detail }]),
  );

  it('lists every kind', () => {
    const source = text('src/observe/events.ts');
    const readers = [...source.matchAll(/\[EventKind\.(\w+)\][\s\S]*?kind: '([a-z-]+)'/g)];
    expect(Object.fromEntries([...kinds].map(([kind, { engine }]) => [kind, engine]))).toEqual(
      Object.fromEntries(readers.map(([, engine, kind]) => [kind, engine])),
    );
  });

  it('names the fields of every event that a run has', async () => {
    for (const name of ['hostile-guest', 'lazy-free-pressure', 'guard-pages']) {
      const builtin = api.builtins.find((b) => b.name === name);
      const { scenario } = api.parseScenario(builtin?.text ?? '', name);
      expect(scenario).toBeDefined();
      if (!scenario) continue;
      const vm = await api.createSandbox(api.sandboxOptions(scenario.machine));
      const run = new api.ScenarioRun(scenario, vm);
      while (run.step());
      for (const { kind, detail } of vm.host.events.records()) {
        const missing = Object.keys(detail).filter((field) => !kinds.get(kind)?.detail.includes(field));
        expect(missing, kind).toEqual([]);
      }
    }
  }, 30_000);
});

describe('docs/scenarios.md', () => {
  type Schema = { properties: Record<string, Schema>; $defs: Record<string, Schema> };
  const schema = JSON.parse(text('schema/scenario.v1.schema.json')) as Schema;
  const documented = (document: string, key: string): boolean =>
    new RegExp(`\\b${key}\\b`).test(text(document));

  it('has every step, every key of machine and every counter', async () => {
    const vm = await api.createSandbox({ memory: '64K', swap: 0 });
    const counters = Object.keys(vm.observe.counters()).filter((key) => !key.startsWith('hostcalls.'));
    const keys = [schema.properties.machine, schema.$defs.Step].flatMap((s) =>
      Object.keys(s?.properties ?? {}),
    );
    expect(keys.length).toBeGreaterThan(30);
    expect([...keys, ...counters].filter((key) => !documented('docs/scenarios.md', key))).toEqual([]);
    expect(counters.filter((key) => !documented('docs/events.md', key))).toEqual([]);
  });
});

describe('docs/architecture.md', () => {
  // The arrow: a room imports from rooms further down. trace is told by all, observe and vm.ts look at all.
  const ORDER = [
    'abi',
    'base',
    'frames',
    'trace',
    'slat',
    'memslot',
    'mm',
    'gmem',
    'kvm',
    'device',
    'fault',
    'bus',
    'vcpu',
  ];

  it('imports in the engine follow the arrow', () => {
    const wrong: string[] = [];
    for (const file of filesIn('assembly', '.ts')) {
      const room = relative('assembly', file).split('/')[0] as string;
      if (!ORDER.includes(room)) continue;
      for (const [, path = ''] of text(file).matchAll(/from '(\.[^']+)'/g)) {
        const other = relative('assembly', normalize(join(dirname(file), path))).split('/')[0] as string;
        const down = ORDER.indexOf(other);
        if (down < 0 || down > ORDER.indexOf(room)) wrong.push(`${file} → ${other}`);
      }
    }
    expect(wrong).toEqual([]);
  });
});
