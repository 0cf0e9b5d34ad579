// Scenario files: what is accepted, and what is said about the rest. Runs on the engine: scenario-run.test.ts.
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: scenario files write their parameters so.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { gpa } from '../src/address.ts';
import { SlatboxError } from '../src/errors.ts';
import { builtins } from '../src/scenario/builtins/index.ts';
import { match, type Subject } from '../src/scenario/expect.ts';
import { flatten, loadScenario, parseScenario, sandboxOptions } from '../src/scenario/index.ts';
import { nearest } from '../src/scenario/suggest.ts';

const scenario = (steps: string, head = ''): string => `version: 1\n${head}steps:\n${steps}`;
const first = (text: string, params = {}): SlatboxError => {
  const { problems } = parseScenario(text, 'x.yaml', params);
  expect(problems.length).toBeGreaterThan(0);
  return problems[0] as SlatboxError;
};

describe('scenario › what is wrong with it', () => {
  it.each([
    ['nothing', '', 'SLB-005', ''],
    ['comments only', '# hello\n', 'SLB-005', ''],
    ['YAML that does not end', 'steps: [', 'SLB-003', ''],
    ['the same key twice', 'version: 1\nversion: 1\nsteps: []', 'SLB-003', ''],
    ['two documents', 'version: 1\n---\nversion: 1\n', 'SLB-003', ''],
    ['text instead of a map', 'hello', 'SLB-013', 'map'],
    ['a future version', 'version: 2\nsteps:\n  - note: x\n', 'SLB-016', '2'],
    ['no steps', 'version: 1\n', 'SLB-012', '"steps"'],
    ['an empty list of steps', 'version: 1\nsteps: []\n', 'SLB-013', 'something in it'],
    ['an unknown top-level key', scenario('  - note: x\n', 'titel: x\n'), 'SLB-011', '"titel"'],
    ['an unknown action', scenario('  - dontned: { gpa: 0, len: 4K }\n'), 'SLB-011', '"dontned"'],
    ['an unknown argument', scenario('  - touch: { gpa: 0, len: 4K, wirte: true }\n'), 'SLB-011', '"wirte"'],
    ['an unknown condition', scenario('  - expect: { host.rss: { mim: 1 } }\n'), 'SLB-011', '"mim"'],
    ['two actions in one step', scenario('  - note: a\n    fetch: { gpa: 0 }\n'), 'SLB-013', 'one key'],
    ['a missing argument', scenario('  - touch: { gpa: 0 }\n'), 'SLB-012', '"len"'],
    ['a unit that is none', scenario('  - touch: { gpa: 1Q, len: 4K }\n'), 'SLB-013', '"1Q"'],
    ['a negative address', scenario('  - fetch: { gpa: -1 }\n'), 'SLB-013', '-1'],
    [
      'an address beyond 64 bits',
      scenario('  - fetch: { gpa: 0x10000000000000000 }\n'),
      'SLB-013',
      'too large',
    ],
    [
      'a size beyond 64 bits as text',
      scenario('  - touch: { gpa: 0, len: 99999999999T }\n'),
      'SLB-013',
      'too large',
    ],
    ['a read of gibibytes', scenario('  - read: { gpa: 0, len: 8G }\n'), 'SLB-013', 'too large'],
    ['a touch beyond all memory', scenario('  - touch: { gpa: 0, len: 65T }\n'), 'SLB-013', 'too large'],
    ['a register beyond all windows', scenario('  - mmio.read: { off: 4G }\n'), 'SLB-013', 'too large'],
    ['an access of 3 bytes', scenario('  - load: { gpa: 0, size: 3 }\n'), 'SLB-013', 'access size'],
    ['a cpu that is not there', scenario('  - fetch: { gpa: 0, cpu: 1 }\n'), 'SLB-013', 'no cpu 1'],
    ['too many cpus', scenario('  - note: x\n', 'machine: { cpus: 33 }\n'), 'SLB-013', '33'],
    [
      'a huge number of cpus',
      scenario('  - note: x\n', 'machine: { cpus: 99999999999999999999 }\n'),
      'SLB-013',
      'cpus',
    ],
    [
      'a mapping it has not',
      scenario('  - note: x\n', 'machine: { backing: { kind: hugetlb_16k } }\n'),
      'SLB-013',
      'anon_acct',
    ],
    ['a byte of 256', scenario('  - fill: { gpa: 0, len: 1, byte: 256 }\n'), 'SLB-013', '255'],
    ['an unknown counter', scenario('  - expect: { host.rrs: 0 }\n'), 'SLB-014', '"host.rrs"'],
    [
      'a result before its step',
      scenario('  - expect: { a.errno: 0 }\n  - info: { id: a }\n'),
      'SLB-014',
      '"a.errno"',
    ],
    [
      'a field that no result has',
      scenario('  - info: { id: a }\n  - expect: { a.erno: 0 }\n'),
      'SLB-014',
      '"a.erno"',
    ],
    [
      'unchanged since an unknown step',
      scenario('  - expect: { host.rss: { unchanged: z } }\n'),
      'SLB-014',
      '"z"',
    ],
    ['a counter compared with words', scenario('  - expect: { host.rss: much }\n'), 'SLB-013', '"much"'],
    ['no condition at all', scenario('  - expect: { host.rss: {} }\n'), 'SLB-013', 'no condition'],
    ['a parameter without value', scenario('  - fetch: { gpa: "${base}" }\n'), 'SLB-015', '"base"'],
    [
      'a parameter that does not fit',
      scenario('  - fetch: { gpa: "${b}" }\n', 'params: { b: x }\n'),
      'SLB-013',
      '"x"',
    ],
    [
      'a hundred million steps',
      scenario('  - repeat: { times: 10000, steps: [{ repeat: { times: 10000, steps: [{ note: x }] } }] }\n'),
      'SLB-017',
      '100000000',
    ],
  ])('%s', (_name, text, code, says) => {
    const error = first(text);
    expect(error).toBeInstanceOf(SlatboxError);
    expect(error.code).toBe(code);
    expect(error.message).toContain(says);
  });

  // "What if the file is made to eat the machine?"
  it.each([
    [
      'a billion laughs',
      `a: &a [x,x,x,x,x,x,x,x,x]\n${[...'bcdefgh'].map((k, i) => `${k}: &${k} [${Array(9).fill(`*${'abcdefg'[i]}`).join(',')}]`).join('\n')}\n`,
    ],
    ['brackets without end', '['.repeat(50_000)],
    ['nesting beyond reason', `${'['.repeat(100)}${']'.repeat(100)}`],
    ['five megabytes', `# ${'x'.repeat(5 << 20)}`],
  ])('%s is SLB-004', (_name, text) => {
    expect(first(text).code).toBe('SLB-004');
  });

  it('__proto__ and constructor are unknown keys like others', () => {
    for (const key of ['__proto__', 'constructor', 'toString']) {
      expect(first(scenario(`  - ${key}: { gpa: 0 }\n`)).code).toBe('SLB-011');
      expect(first(scenario(`  - expect: { ${key}: 1 }\n`)).code).toBe('SLB-014');
      expect(first(scenario(`  - fetch: { gpa: "\${${key}}" }\n`)).code).toBe('SLB-015');
    }
  });

  it('says the place and the nearest word', () => {
    const { place, hint } = first(scenario('  - note: ok\n  - dontneed: { gpa: 1G, lenn: 4K }\n'));
    expect(place).toEqual({
      file: 'x.yaml',
      line: 4,
      column: 26,
      length: 4,
      source: '  - dontneed: { gpa: 1G, lenn: 4K }',
    });
    expect(hint).toBe('did you mean "len"?');
  });

  it('lists all problems in the order of the file', () => {
    const text = scenario(
      '  - fetch: { gpa: x }\n  - fill: { gpa: 0, len: 1, bite: 1 }\n  - load: {}\n',
      'machine: { cpuz: 1 }\n',
    );
    const { problems } = parseScenario(text);
    expect(problems.map((p) => [p.code, p.place?.line])).toEqual([
      ['SLB-011', 2],
      ['SLB-013', 4],
      ['SLB-011', 5],
      ['SLB-012', 6],
    ]);
  });
});

describe('scenario › what it means', () => {
  it('reads sizes, hex and numbers beyond 2^53 exactly', () => {
    const s = loadScenario(
      scenario(
        '  - dontneed: { gpa: 5G+2M, len: 0xfffffffffffff001 }\n  - fetch: { gpa: 18446744073709551615 }\n',
      ),
    );
    const [dontneed, fetch] = flatten(s).map((f) => f.action.args);
    expect(dontneed?.gpa).toBe(0x1_4020_0000n);
    expect(dontneed?.len).toBe(0xffff_ffff_ffff_f001n);
    expect(fetch?.gpa).toBe(0xffff_ffff_ffff_ffffn);
  });

  it('puts parameters in, whole ones with their type; the caller overrides the file', () => {
    const text = scenario(
      '  - fill: { gpa: "${base}+4K", len: "${n}", byte: "${b}" }\n',
      'params: { base: 1G, n: 4096, b: 7 }\n',
    );
    const [fill] = flatten(loadScenario(text)).map((f) => f.action.args);
    expect(fill).toMatchObject({ gpa: 0x4000_1000n, len: 4096n, byte: 7 });
    const [other] = flatten(loadScenario(text, 'x', { base: '2G' })).map((f) => f.action.args);
    expect(other?.gpa).toBe(0x8000_1000n);
  });

  it('unrolls repeats and moves every gpa on', () => {
    const text = scenario(
      '  - note: x\n  - repeat: { times: 2, advance: 1M, steps: [{ repeat: { times: 2, advance: 4K, steps: [{ fetch: { gpa: 1G } }] } }, { note: y }] }\n',
    );
    const flat = flatten(loadScenario(text));
    expect(flat.map((f) => f.label)).toEqual([
      '1',
      '2[1].1[1].1',
      '2[1].1[2].1',
      '2[1].2',
      '2[2].1[1].1',
      '2[2].1[2].1',
      '2[2].2',
    ]);
    expect(flat.filter((f) => f.action.kind === 'fetch').map((f) => f.action.args.gpa)).toEqual([
      gpa('1G'),
      gpa('1G+4K'),
      gpa('1G+1M'),
      gpa('1G+1M+4K'),
    ]);
  });

  it('hands the machine to createSandbox in its words', () => {
    const { machine } = loadScenario(
      scenario(
        '  - note: x\n',
        'machine: { memory: 4G, pool: 1G, backing: { kind: anon_acct }, device: { pvmemcontrol: { abi: memctl } } }\n',
      ),
    );
    expect(sandboxOptions(machine)).toEqual({
      memory: '4G',
      pool: '1G',
      backing: 'anon_acct',
      abi: 'memctl',
    });
  });

  it.each(builtins.map((b) => [b.name, b] as const))('built-in %s is valid', (_name, b) => {
    expect(parseScenario(b.text, b.name).problems).toEqual([]);
  });
});

describe('scenario › expect', () => {
  const subject = (now: Subject['now'], before: Subject['now'] = now): Subject => ({
    now,
    before,
    after: (id) => (id === 's' ? 5 : undefined),
  });
  it.each([
    ['equal number', 'host.rss', 4096, 4096, true],
    ['equal size text', 'host.rss', '4K', 4096, true],
    ['another size', 'host.rss', '4K', 4095, false],
    ['bigint', 'a.value', 255, 255n, true],
    ['errno by name', 'a.errno', 'EINVAL', 22, true],
    ['errno by number as text', 'a.errno', '22', 22, true],
    ['another errno', 'a.errno', 'EPERM', 22, false],
    ['an errno that is none', 'a.errno', 'EWHAT', 22, false],
    ['exit', 'a.exit', 'EFAULT', 'EFAULT', true],
    ['truth', 'a.ok', true, true, true],
    ['a value that is not there', 'a.value', 0, undefined, false],
    ['min holds', 'host.rss', { min: '4K' }, 4096, true],
    ['min fails', 'host.rss', { min: '4K' }, 4095, false],
    ['max fails', 'host.rss', { max: 1 }, 2, false],
    ['min and max', 'host.rss', { min: 1, max: 3 }, 2, true],
    ['min of text', 'a.exit', { min: 0 }, 'none', false],
    ['one of', 'a.errno', { oneOf: [0, 'EAGAIN'] }, 11, true],
    ['none of', 'a.errno', { oneOf: [0, 1] }, 11, false],
    ['unchanged since a step', 'x', { unchanged: 's' }, 5, true],
    ['changed since a step', 'x', { unchanged: 's' }, 6, false],
  ])('%s', (_name, key, matcher, now, ok) => {
    expect(match(key, matcher, subject(now)).ok).toBe(ok);
  });

  it('compares with before the last action', () => {
    expect(match('host.rss', { unchanged: true }, subject(1, 1)).ok).toBe(true);
    expect(match('host.rss', { unchanged: true }, subject(2, 1)).ok).toBe(false);
    expect(match('host.rss', { change: '-4K' }, subject(0, 4096)).ok).toBe(true);
    expect(match('host.rss', { change: 4096 }, subject(0, 4096)).ok).toBe(false);
  });

  it('says both sides with units', () => {
    expect(match('host.rss', '1M', subject(4096))).toMatchObject({
      expected: 'host.rss = 1M',
      actual: '4 KiB',
    });
    expect(match('host.rss', 4096, subject(4097))).toMatchObject({
      expected: 'host.rss = 4 KiB',
      actual: '4.00 KiB (4097)',
    });
    expect(match('a.value', 255, subject(1n))).toMatchObject({ expected: 'a.value = 0xff', actual: '0x1' });
    expect(match('a.errno', 0, subject(22))).toMatchObject({ expected: 'a.errno = OK', actual: 'EINVAL' });
  });
});

describe('scenario › suggestions', () => {
  it.each([
    ['dontned', 'dontneed'],
    ['gap', 'gpa'],
    ['HOST.RSS', 'host.rss'],
    ['zzz', undefined],
  ])('%s → %s', (word, wanted) => {
    expect(nearest(word, ['dontneed', 'gpa', 'host.rss', 'free'])).toBe(wanted);
  });
});

describe('scenario › generated files', () => {
  it('are up to date', () => {
    execFileSync(process.execPath, ['scripts/build-schema.mjs', '--check'], { stdio: 'pipe' });
  }, 30_000);

  it('the published schema needs nothing from outside', () => {
    const schema = JSON.parse(readFileSync('schema/scenario.v1.schema.json', 'utf8'));
    expect(schema.$schema).toBe('https://json-schema.org/draft/2020-12/schema');
    const references = JSON.stringify(schema).match(/"\$ref":"[^"]*"/g) ?? [];
    expect(references.length).toBeGreaterThan(20);
    for (const r of references) expect(r).toMatch(/"#\/\$defs\/\w+"/);
  });

  it('the validator builds no code at run time', () => {
    const code = readFileSync('src/scenario/validator.generated.ts', 'utf8');
    expect(code).not.toMatch(/new Function|require\(|\beval\b/);
  });
});
