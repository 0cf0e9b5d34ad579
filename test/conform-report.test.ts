// What `slatbox conform` makes of good, different and malformed recordings, on the model instead of the engine.
// Reference: test/golden/mm/README.md; src/conform/report.ts
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { mmCases, runLengths } from '../src/conform/mm.ts';
import { parseMmTrace } from '../src/conform/mm-trace.ts';
import {
  type CaseResult,
  exitCode,
  formatJson,
  formatResult,
  formatText,
  runCases,
  selectCases,
  skip,
} from '../src/conform/report.ts';
import { SlatboxError } from '../src/errors.ts';
import { MmModel } from './model/mm-model.ts';

const text = readFileSync(new URL('./golden/mm/directed-redirtied-lazyfree-a.json', import.meta.url), 'utf8');
/** As behind an engine without the scanner. */
const open = ({ pages }: { pages: number }) =>
  Object.defineProperty(new MmModel({ pages, mode: 'anon' }), 'ksmSettle', { value: undefined });
/** The recording with other values at some paths (`steps.2.ret`); `undefined` takes a field out. */
function bent(edits: Readonly<Record<string, unknown>>): string {
  const trace: unknown = JSON.parse(text);
  for (const [path, value] of Object.entries(edits)) {
    const keys = path.split('.');
    const last = keys.pop() as string;
    const parent = keys.reduce((at, key) => (at as Record<string, unknown>)[key], trace);
    Object.assign(parent as object, { [last]: value });
  }
  return JSON.stringify(trace);
}
const run = async (recording: string): Promise<CaseResult> =>
  (await runCases(mmCases(recording, 'f.json', open)))[0] as CaseResult;

describe('conform › a difference', () => {
  it.each([
    ['errno', { 'steps.2.ret': -1, 'steps.2.errno': 'EINVAL' }, 2, 'free 0 2', 'ret -1'],
    ['value', { 'steps.6.val': 4 }, 6, 'read 1', 'val 4'],
    ['letter', { 'steps.0.pages': '.a14.' }, 0, 'write 0 1', 'pages ".a14."'],
    ['size', { 'steps.2.vmas.0.lazy': 4 }, 2, 'free 0 2', 'lazyFree (kB) 4'],
    ['flag', { flagSets: ['rd wr'] }, -1, 'init', 'flags "rd wr"'],
    ['state kept by a step', { 'steps.8.pages': undefined }, 8, 'dump', 'pages "za14."'],
    ['dump', { 'steps.8.data': [[16, 0]] }, 8, 'dump', 'data of page 1 0'],
    ['blocks', { 'init.blocks': 1 }, -1, 'init', 'blocks 1'],
    ['no KSM', { 'steps.9': { op: 'ksm_settle' } }, 9, 'ksm_settle', 'four scans of KSM'],
  ])('%s', async (_name, edits, step, op, expected) => {
    const { status, failure } = await run(bent(edits));
    expect(status).toBe('FAIL');
    expect(failure).toMatchObject({ step, op });
    expect(failure?.expected).toContain(expected);
  });

  it('prints the step with both states, and the exit code is 1', async () => {
    const result = await run(bent({ 'steps.6.val': 4 }));
    expect(formatResult(result)).toMatch(
      /^FAIL f\.json:directed-redirtied-lazyfree-a steps=9 checked=\d+\n {2}step 6: read 1\n {4}expected val 4\n {4}actual {3}val 3$/,
    );
    expect(exitCode([result])).toBe(1);
  });

  it('an exception of the engine is a failure of its step', async () => {
    const broken = Object.assign(new MmModel({ pages: 16, mode: 'anon' }), {
      hostWrite: () => {
        throw new Error('unreachable');
      },
    });
    const [result] = await runCases(mmCases(text, 'f.json', () => broken));
    expect(result?.failure).toMatchObject({ step: 0, op: 'write 0 1', actual: 'Error: unreachable' });
  });
});

describe('conform › output', () => {
  it('text and JSON tell the same', async () => {
    const good = await run(text);
    const skipped: CaseResult = {
      ...{ file: 'g.json', name: 's', tags: [], properties: {} },
      ...skip(3, 'no reason'),
    };
    expect(good.status).toBe('ok');
    expect(formatText([good, skipped])).toBe(
      `ok f.json:directed-redirtied-lazyfree-a steps=9 checked=${good.checked}\n` +
        'skipped g.json:s steps=3 checked=0 (no reason)\n1 passed, 0 failed, 1 skipped\n',
    );
    expect(JSON.parse(formatJson([good, skipped]))).toMatchObject({
      cases: [
        { name: 'directed-redirtied-lazyfree-a', status: 'ok', steps: 9 },
        { status: 'skipped', reason: 'no reason' },
      ],
      ...{ passed: 1, failed: 0, skipped: 1 },
    });
    expect(exitCode([good, skipped])).toBe(0);
  });

  it('counts each compared value: a state, and what the steps gave', async () => {
    const one = bent({ steps: JSON.parse(text).steps.slice(0, 1) });
    // A state of one VMA: its number, 4 fields, 15 sizes, the letters. The write: ret and fault.
    expect((await run(one)).checked).toBe(21 + 2 + 21);
  });

  it('run lengths', () => {
    expect(runLengths('aaa............z')).toBe('3a12.z');
    expect(runLengths('')).toBe('');
  });
});

describe('conform › selection', () => {
  const item = (name: string, mode: string, tags: string[]) => ({
    ...{ file: 'f.json', name, tags, properties: { mode } },
  });
  const cases = [
    item('a', 'anon', ['random']),
    item('b', 'anon', ['random', 'ksm']),
    item('c', 'memfd', ['directed']),
  ];
  const names = (only: string[], without: string[] = []) =>
    selectCases(cases, { only, without }).map((c) => c.name);

  it.each([
    ['all', [], [], ['a', 'b', 'c']],
    ['a property', ['mode=anon'], [], ['a', 'b']],
    ['a name', ['name=c'], [], ['c']],
    ['a tag', ['tag=directed'], [], ['c']],
    ['one key twice: either', ['name=a', 'name=c'], [], ['a', 'c']],
    ['two keys: both', ['mode=anon', 'tag=ksm'], [], ['b']],
    ['without', ['mode=anon'], ['ksm'], ['a']],
    ['a value nobody has', ['mode=thp'], [], []],
  ])('%s', (_name, only, without, expected) => {
    expect(names(only, without)).toEqual(expected);
  });

  it.each(['mode', '=anon', 'mdoe=anon'])('%s is refused', (only) => {
    expect(() => names([only])).toThrow(expect.objectContaining({ code: 'SLB-033' }));
  });
});

describe('conform › a malformed file is refused with the place', () => {
  it.each([
    ['no JSON', '{', 'not JSON'],
    ['an array', '[]', 'expected an object'],
    ['another format', bent({ format: 2 }), 'format: expected format 1'],
    ['unknown mode', bent({ mode: 'zfs' }), 'mode: expected one of anon'],
    ['no pages', bent({ pages: undefined }), 'pages: expected a whole number'],
    ['no init letters', bent({ 'init.pages': undefined }), 'init.pages: expected the whole state'],
    ['unknown op', bent({ 'steps.3.op': 'fly' }), 'steps[3].op: expected one of'],
    ['unknown field', bent({ 'steps.3.vm': 1 }), 'steps[3].vm: expected only'],
    ['no page', bent({ 'steps.3.page': undefined }), 'steps[3].page: expected a whole number'],
    ['byte', bent({ 'steps.3.byte': 256 }), 'steps[3].byte: expected a whole number from 0 to 255'],
    ['no val', bent({ 'steps.6.val': undefined }), 'steps[6].val: expected either val or a fault'],
    ['bytes', bent({ 'steps.2': { op: 'free', off: 0, bytes: -1 } }), 'steps[2].bytes'],
    ['both ranges', bent({ 'steps.2.off': 0, 'steps.2.bytes': 1 }), 'steps[2].start: expected either'],
    ['ret alone', bent({ 'steps.2.ret': -1 }), 'steps[2].ret: expected ret -1'],
    ['too few letters', bent({ 'steps.2.pages': '2l' }), 'steps[2].pages: expected 16 pages'],
    ['a huge count', bent({ 'steps.2.pages': '99999999.' }), 'steps[2].pages'],
    ['no letter', bent({ 'steps.2.pages': '16q' }), 'steps[2].pages: expected counts and letters'],
    ['no such flag set', bent({ 'steps.2.vmas.0.f': 9 }), 'steps[2].vmas[0].f'],
    ['size', bent({ 'steps.2.vmas.0.rss': 'x' }), 'steps[2].vmas[0].rss'],
    ['no data', bent({ 'steps.8.data': undefined }), 'steps[8].data: expected an array'],
    ['a null step', bent({ 'steps.1': null }), 'steps[1]: expected an object, found null'],
  ])('%s', (_name, recording, message) => {
    const parse = () => parseMmTrace(recording, 'f.json');
    expect(parse).toThrow(SlatboxError);
    expect(parse).toThrow(expect.objectContaining({ code: 'SLB-031' }));
    expect(parse).toThrow(message);
  });
});
