// The command line: outputs, exit codes and errors, through `main` with a world of its own; the real bin once.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { main } from '../src/cli/main.ts';
import { createFile } from '../src/cli/output-file.ts';
import { builtins } from '../src/scenario/builtins/index.ts';

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs a command line; `files` stand in for the disk, everything else is read from it. */
async function slatbox(
  argv: string,
  files: Record<string, string | Uint8Array> = {},
  env: Record<string, string> = {},
  tty = false,
): Promise<Ran> {
  let out = '';
  let err = '';
  const code = await main(argv.split(' '), {
    out: (text) => {
      out += text;
    },
    err: (text) => {
      err += text;
    },
    errIsTty: tty,
    outIsTty: tty,
    env,
    create: createFile,
    read: (file) => {
      const content = files[file];
      if (content === undefined) return readFileSync(file);
      return typeof content === 'string' ? new TextEncoder().encode(content) : content;
    },
  });
  return { code, out, err };
}

const STACK = /\n\s+at .+:\d+/;
const steps = (text: string): string => `version: 1\ntitle: Test\nmachine: { memory: 64M }\nsteps:\n${text}`;
const GOOD = steps(
  '  - info: {}\n  - touch: { gpa: 16M, len: 1M, write: true }\n  - expect: { host.rss: { change: 1M } }\n',
);
const FAILS = steps(
  '  - touch: { gpa: 16M, len: 1M, write: true }\n  - expect: { host.rss: { change: 2M } }\n',
);
const GUEST_ERROR = steps('  - dontneed: { gpa: 16M+1, len: 4K }\n');

describe('cli › exit codes', () => {
  it.each([
    ['0: all expectations hold', 'run good.yaml', 0],
    ['1: an expectation fails', 'run fails.yaml', 1],
    ['2: no such command', 'rum good.yaml', 2],
    ['2: no command', '--color never', 2],
    ['2: no such option', 'run good.yaml --fromat json', 2],
    ['2: no such format', 'run good.yaml --format xml', 2],
    ['2: no such file', 'run nosuch.yaml', 2],
    ['2: a directory', 'run .', 2],
    ['2: no such built-in', 'run builtin:nope', 2],
    ['2: no such step', 'run good.yaml --until 77', 2],
    ['2: no such kind', 'conform mmm good.yaml', 2],
    ['2: a recording that is none', 'conform mm good.yaml', 2],
    ['2: a recording that is not there', 'conform mm nosuch.json', 2],
    ['2: a binary recording', 'conform mm binary.yaml', 2],
    ['2: no address', 'walk good.yaml --gpa 1Q', 2],
    ['2: an address beyond 64 bits', 'walk good.yaml --gpa 0x10000000000000000', 2],
    ['3: invalid', 'run bad.yaml', 3],
    ['3: empty', 'run empty.yaml', 3],
    ['3: binary', 'run binary.yaml', 3],
    ['3: not UTF-8', 'run latin1.yaml', 3],
    ['3: check finds the same', 'check good.yaml bad.yaml', 3],
    ['3: a machine that cannot be', 'run huge.yaml', 3],
    ['0: a guest error is data', 'run guest.yaml', 0],
    ['4: unless --strict', 'run guest.yaml --strict', 4],
    ['1: a failed expectation is worse', 'run both.yaml --strict', 1],
    ['0: help', '--help', 0],
    ['0: version', '--version', 0],
  ])('%s', async (_name, argv, code) => {
    const ran = await slatbox(argv, {
      'good.yaml': GOOD,
      'fails.yaml': FAILS,
      'guest.yaml': GUEST_ERROR,
      'both.yaml': `${GUEST_ERROR}  - expect: { host.rss: 1T }\n`,
      'bad.yaml': steps('  - tuch: { gpa: 0, len: 1 }\n'),
      'empty.yaml': '',
      'binary.yaml': new Uint8Array([0x89, 0x50, 0x4e, 0x47, 0, 1, 2, 3]),
      'latin1.yaml': new Uint8Array([0x74, 0x69, 0x74, 0x6c, 0x65, 0x3a, 0x20, 0xe4]),
      'huge.yaml': 'version: 1\nmachine: { memory: 4G, pool: 8T }\nsteps:\n  - note: x\n',
    });
    expect([ran.code, ran.err]).toEqual([code, expect.any(String)]);
    expect(ran.out + ran.err).not.toMatch(STACK);
    if (code > 1 && code < 4) expect(ran.err).toMatch(/^(error\[SLB-\d{3}\]|Usage)/);
  });
});

describe('cli › run', () => {
  it('says per step what it did, and ends with a verdict', async () => {
    const { out, err } = await slatbox('run good.yaml', { 'good.yaml': GOOD });
    expect(err).toBe('');
    const lines = out.trimEnd().split('\n');
    expect(lines[0]).toMatch(/^Test {2}slatbox \d+\.\d+\.\d+$/);
    expect(lines[2]).toMatch(/^ {2}2 {3}touch 16M \+1M write +256 faults {2}.*rss .* → /);
    expect(lines[3]).toBe('  3 ✓ expect host.rss changed by 1M');
    expect(lines.at(-1)).toMatch(/^ok {2}1 expectation, 3 steps, \d+ events {2}digest [0-9a-f]{16}$/);
  });

  it('shows both sides of a failed expectation and its line', async () => {
    const { out } = await slatbox('run fails.yaml', { 'fails.yaml': FAILS });
    expect(out).toContain('✗');
    expect(out).toContain('expected host.rss changed by 2M');
    expect(out).toContain('line 6');
    expect(out).toMatch(/\nFAILED {2}1 of 1 expectation failed/);
  });

  it('says the same in JSON, addresses as hex text', async () => {
    const text = steps('  - load: { gpa: 8M, id: a }\n  - load: { gpa: 2G, id: hole }\n');
    const { out, code } = await slatbox('run x.yaml --format json', { 'x.yaml': text });
    const result = JSON.parse(out);
    expect(code).toBe(0);
    expect(result).toMatchObject({
      format: 'slatbox.result.v1',
      file: 'x.yaml',
      title: 'Test',
      ok: true,
      failed: 0,
    });
    expect(result.counters).toHaveProperty(['host.rss']);
    expect(result.steps[0]).toMatchObject({
      index: 0,
      label: '1',
      kind: 'load',
      line: 5,
      fields: { value: '0x0', exit: 'none' },
    });
    expect(result.steps[1].fields.exit).toBe('MMIO');
  });

  it('gives the same digest twice, in both builds', async () => {
    const digests = await Promise.all(
      ['', '', ' --core debug'].map(
        async (o) =>
          JSON.parse((await slatbox(`run g.yaml --format json${o}`, { 'g.yaml': GOOD })).out).digest,
      ),
    );
    expect(new Set(digests).size).toBe(1);
  });

  it('stops after --until', async () => {
    const { out } = await slatbox('run good.yaml --until 2', { 'good.yaml': GOOD });
    expect(out).toContain('touch');
    expect(out).toMatch(/ok {2}0 expectations, 2 steps/);
  });

  it('--param sets a parameter', async () => {
    const text = `params: { n: 1 }\n${steps('  - touch: { gpa: "$' + '{n}", len: 4K, write: true }\n')}`;
    const { out } = await slatbox('run p.yaml --param n=32M', { 'p.yaml': text });
    expect(out).toContain('touch 32M +4K');
  });

  it('folds the rounds of a repeat after the first into a line, unless --all', async () => {
    const text = steps(
      '  - repeat: { times: 50, advance: 4K, steps: [{ touch: { gpa: 1M, len: 4K, write: true } }, { note: next }] }\n',
    );
    const folded = await slatbox('run r.yaml', { 'r.yaml': text });
    expect(folded.out.split('\n').length).toBe(6);
    expect(folded.out).toMatch(/1\[2…50\] ✓ rss 4 KiB → … → 200 KiB +98 steps/);
    const all = await slatbox('run r.yaml --all', { 'r.yaml': text });
    expect(all.out.split('\n').length).toBe(103);
  });

  // Those that need gibibytes run in savings.test.ts.
  const here = builtins.filter((b) => !b.name.startsWith('overcommit'));
  it.each(here.map((b) => b.name))('builtin:%s holds', async (name) => {
    const { code, out } = await slatbox(`run builtin:${name} --strict`);
    expect(out).not.toContain('✗');
    expect(code).toBe(0);
  }, 240_000);

  it.each(readdirSync('examples').filter((f) => f.endsWith('.yaml')))('examples/%s holds', async (name) => {
    const { code, out } = await slatbox(`run examples/${name}`);
    expect(out).not.toContain('✗');
    expect(code).toBe(0);
  });
});

describe('cli › looking at a machine', () => {
  it('memslots: what is behind each, with its log and leaves', async () => {
    const { code, out } = await slatbox('memslots builtin:dirty-log --at 21');
    expect(code).toBe(0);
    expect(out.split('\n').map((line) => line.trim().split(/ {2,}/))).toEqual([
      ['id', 'guest-physical', 'size', 'hva', 'flags', 'guest_memfd', 'dirty', '4K', '2M', '1G'],
      ['0', '0x0-0x4000000', '64 MiB', '0x100000000000', 'log-dirty-pages', '-', '256', '1024', '0', '0'],
      [''],
    ]);
    const json = JSON.parse((await slatbox('memslots builtin:private-shared --format json')).out);
    expect(json.memslots[1]).toEqual({
      id: 8,
      gpa: '0x2000000',
      size: 8 << 20,
      hva: '0x108000000000',
      readonly: false,
      dirtyLog: false,
      guestMemfd: 'open',
      guestMemfdOffset: 0,
      fd: 3,
      leaves: { '4k': 512, '2m': 0, '1g': 0 },
    });
    const text = (await slatbox('memslots builtin:private-shared')).out;
    expect(text.split('\n')[2]).toContain('fd 3 +0x0');
  });

  it('the rounds of a migration are a table', async () => {
    const { out } = await slatbox('run builtin:pre-copy --until 4');
    expect(
      out
        .split('\n')
        .slice(5, 12)
        .map((line) => line.trim().split(/ +/)),
    ).toEqual([
      ['round', 'pages', 'copied', 'written', 'meanwhile'],
      ['1', '16384', '6144', '4096'],
      ['2', '4096', '4096', '1024'],
      ['3', '1024', '1024', '256'],
      ['4', '256', '256', '64'],
      ['5', '64', '64', '16'],
      ['stopped', '16', '16', '0'],
    ]);
  });

  it('smaps after a step', async () => {
    const before = await slatbox('smaps good.yaml --at 1', { 'good.yaml': GOOD });
    const after = await slatbox('smaps good.yaml', { 'good.yaml': GOOD });
    const rss = (text: string) =>
      [...text.matchAll(/^Rss: +(\d+) kB$/gm)].reduce((sum, m) => sum + Number(m[1]), 0);
    expect(rss(after.out) - rss(before.out)).toBe(1024);
  });

  it('walk names every entry, and with --bits its fields', async () => {
    const plain = await slatbox('walk good.yaml --gpa 16M', { 'good.yaml': GOOD });
    expect(plain.out).toMatch(
      /^PML4E\[0\] .*\nPDPTE\[0\] .*\nPDE\[8\] .*\nPTE\[0\] .*RWX {2}→ page .* 4 KiB WB/,
    );
    expect(plain.out).toContain('behind it: an anonymous page');
    const bits = await slatbox('walk good.yaml --gpa 16M --bits', { 'good.yaml': GOOD });
    expect(bits.out).toMatch(/bit 0 R=1 · 1 W=1 · 2 X=1 · 5:3 MT=6 \(WB\)/);
    const before = await slatbox('walk good.yaml --gpa 16M --at 0', { 'good.yaml': GOOD });
    expect(before.out).toContain('not mapped');
  });

  it('events, by kind, in three formats', async () => {
    const files = { 'good.yaml': GOOD };
    const all = await slatbox('events good.yaml --format json', files);
    const { events } = JSON.parse(all.out);
    expect(events.length).toBeGreaterThan(256);
    const kind = events.at(-1).kind as string;
    const some = await slatbox(`events good.yaml --format ndjson --kind ${kind}`, files);
    const lines = some.out
      .trimEnd()
      .split('\n')
      .map((l) => JSON.parse(l));
    expect(lines).toEqual(events.filter((e: { kind: string }) => e.kind === kind));
    const text = await slatbox(`events good.yaml --kind ${kind}`, files);
    expect(text.out.trimEnd().split('\n').length).toBe(lines.length);
  });

  it('list and its texts, schema', async () => {
    const list = await slatbox('list');
    for (const b of builtins) expect(list.out).toContain(`builtin:${b.name}`);
    expect((await slatbox('list --show guard-pages')).out).toBe(
      builtins.find((b) => b.name === 'guard-pages')?.text,
    );
    const schema = JSON.parse((await slatbox('schema')).out);
    expect(schema).toEqual(JSON.parse(readFileSync('schema/scenario.v1.schema.json', 'utf8')));
  });
});

describe('cli › conform', () => {
  const trace = (name: string) => `test/golden/mm/${name}`;
  it('one line a case, a closing line, exit 0', async () => {
    const file = readdirSync('test/golden/mm', { recursive: true })
      .map(String)
      .find((f) => /directed-.*\.json$/.test(f)) as string;
    const { out, code, err } = await slatbox(`conform mm ${trace(file)} --only mode=anon`);
    expect(err).toBe('');
    expect(out).toMatch(/\d+ passed, 0 failed, 0 skipped\n$/);
    expect(code).toBe(0);
  });

  it('a kvm file has many cases, one line each', async () => {
    const { out, code, err } = await slatbox(
      'conform kvm test/golden/kvm/gmem.json test/golden/kvm/swap.json --only group=swap --without memfd',
    );
    expect(err).toBe('');
    expect(out).toMatch(
      /^(ok test\/golden\/kvm\/swap\.json:pageout-anon-\d steps=\d+ checked=\d+\n)+3 passed, 0 failed, 0 skipped\n$/,
    );
    expect(code).toBe(0);
  });
});

describe('cli › messages', () => {
  it('an error has its line, a caret below the place, and a hint', async () => {
    const { err } = await slatbox('check bad.yaml', {
      'bad.yaml': steps('  - dontneed: { gpa: 1G, lenn: 4K }\n'),
    });
    expect(err).toContain(
      [
        'error[SLB-011]: unknown key "lenn" in steps[1].dontneed',
        '  ┌─ bad.yaml:5:26',
        '5 │   - dontneed: { gpa: 1G, lenn: 4K }',
        '  │                          ^^^^',
        '  = help: did you mean "len"?',
      ].join('\n'),
    );
  });

  it('control characters of a file do not reach the terminal', async () => {
    const { err } = await slatbox('check bad.yaml', { 'bad.yaml': steps('  - "\\e[31mred": { gpa: 0 }\n') });
    expect(err).toContain('SLB-011');
    expect(err).not.toContain('\u001b');
  });

  it('colours: when asked, never with NO_COLOR or into a file', async () => {
    const files = { 'bad.yaml': 'x' };
    expect((await slatbox('check bad.yaml', files)).err).not.toContain('\u001b[');
    expect((await slatbox('--color always check bad.yaml', files)).err).toContain('\u001b[');
    expect((await slatbox('check bad.yaml', files, {}, true)).err).toContain('\u001b[');
    expect((await slatbox('check bad.yaml', files, { NO_COLOR: '1' }, true)).err).not.toContain('\u001b[');
  });

  it('every command has help with an example', async () => {
    for (const command of 'run conform smaps smaps-rollup status pagemap page-types walk events core check schema list'.split(
      ' ',
    )) {
      const { out, code } = await slatbox(`${command} --help`);
      expect([command, code]).toEqual([command, 0]);
      expect(out).toContain(`$ slatbox ${command}`);
    }
  });

  it('every code in the sources is in docs/errors.md, and the other way round', () => {
    const sources = readdirSync('src', { recursive: true, encoding: 'utf8' })
      .filter((f) => /\.tsx?$/.test(f))
      .map((f) => readFileSync(join('src', f), 'utf8'));
    const used = new Set(
      sources.flatMap((s) => s.match(/'SLB-\d{3}'|\[SLB-\d{3}\]/g) ?? []).map((s) => s.slice(1, -1)),
    );
    const listed = new Set(readFileSync('docs/errors.md', 'utf8').match(/SLB-\d{3}(?= \|)/g));
    expect([...used].filter((c) => !listed.has(c))).toEqual([]);
    expect([...listed].filter((c) => !used.has(c))).toEqual([]);
  });
});

describe.runIf(existsSync('dist/src/cli/main.js'))('cli › the built bin', () => {
  const bin = 'dist/src/cli/main.js';
  it('runs a file, and stdin', () => {
    const file = join(mkdtempSync(join(tmpdir(), 'slatbox-')), 'good.yaml');
    writeFileSync(file, GOOD);
    expect(execFileSync(process.execPath, [bin, 'run', file], { encoding: 'utf8' })).toContain(
      'ok  1 expectation',
    );
    const piped = spawnSync(process.execPath, [bin, 'run', '-'], { input: FAILS, encoding: 'utf8' });
    expect([piped.status, piped.stderr]).toEqual([1, '']);
  });

  it('a reader that goes away is no error', () => {
    const command = `${process.execPath} ${bin} events builtin:guard-pages --format ndjson | head -1; echo "$\{PIPESTATUS[0]}"`;
    const { stdout, stderr } = spawnSync('bash', ['-c', command], { encoding: 'utf8' });
    expect(stderr).toBe('');
    expect(stdout.trimEnd().endsWith('\n0')).toBe(true);
  });
});
