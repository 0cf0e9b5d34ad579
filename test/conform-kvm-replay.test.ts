// What a `kvm` replay makes of good, different and malformed recordings, on a recording that is played back instead of
// the engine. Reference: test/golden/kvm/README.md
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { type KvmSetup, kvmCases, replayKvm } from '../src/conform/kvm.ts';
import type { AccessEnd, GuestAccess, KvmDoor, KvmExit, RegionState } from '../src/conform/kvm-door.ts';
import { type KvmTrace, parseKvmRecording } from '../src/conform/kvm-trace.ts';
import { formatResult, runCases } from '../src/conform/report.ts';
import { SlatboxError } from '../src/errors.ts';
import { canPlay, KvmPlayback, parseOne, REGION, wrap } from './support/kvm-playback.ts';

const golden = new URL('./golden/kvm/', import.meta.url);
const files = readdirSync(golden).filter((file) => file.endsWith('.json'));
const read = (file: string): string => readFileSync(new URL(file, golden), 'utf8');

const play = (trace: KvmTrace, recorded: KvmTrace = trace) =>
  replayKvm(recorded, false, () => new KvmPlayback(trace));

describe('conform kvm › recordings played back', () => {
  it.each(files)('%s', async (file) => {
    const recording = parseKvmRecording(read(file), file);
    for (const trace of recording.traces.filter(canPlay)) {
      const outcome = await play(trace);
      expect(outcome.status, `${trace.name}: ${JSON.stringify(outcome.failure)}`).toBe('ok');
    }
  });
});

type Json = { [key: string]: Json } | Json[] | string | number;

/** Another value of the same kind at each leaf of what came out of a step: its path, and how to put it there and back. */
function* bends(value: Json, path: string): Generator<{ path: string; bend: () => () => void }> {
  if (typeof value !== 'object') return;
  for (const [key, child] of Object.entries(value)) {
    const here = `${path}.${key}`;
    const at = value as { [key: string]: Json };
    if (key === 'op' || key === 'by_read') continue;
    if (typeof child === 'object') {
      yield* bends(child, here);
      continue;
    }
    yield {
      path: here,
      bend: () => {
        at[key] =
          typeof child === 'string' ? otherText(child) : child + (Array.isArray(value) ? OTHER_PAGE : 1);
        return () => {
          at[key] = child;
        };
      },
    };
  }
}

/** In a list of pages: one that no slot has. */
const OTHER_PAGE = 1000;

/** Other text of the same length, so that a reader takes it if it can. */
function otherText(text: string): string {
  if (/^0x/.test(text)) return `0x${(BigInt(text) ^ 1n).toString(16)}`;
  if (/^[0-9a-f]+$/.test(text)) return text.slice(0, -1) + (text.endsWith('0') ? '1' : '0');
  const letters = text.replace(/[a-z.](?=[^a-z]*$)/, (letter) => (letter === 'f' ? 'a' : 'f'));
  return letters === text ? `${text}X` : letters;
}

describe('conform kvm › every field of a recording is compared', () => {
  it.each(files)('%s', async (file) => {
    const { traces } = JSON.parse(read(file)) as { traces: { name: string; ops: Json[] }[] };
    let [bent, steps] = [0, 0];
    for (const raw of traces) {
      const good = parseOne(raw);
      if (!canPlay(good)) continue;
      for (const [i, step] of raw.ops.entries()) {
        steps++;
        for (const { path, bend } of bends(step, `ops[${i}]`)) {
          const back = bend();
          const failedAt = await replayBent(raw, good);
          back();
          expect(failedAt, `${raw.name} ${path}`).toBe(i);
          bent++;
        }
      }
    }
    expect(bent).toBeGreaterThanOrEqual(steps);
  }, 60_000);
});

/** The step it failed at; a recording that is refused fails where the reader says. Undefined: it did not fail. */
async function replayBent(raw: unknown, good: KvmTrace): Promise<number | undefined> {
  let bad: KvmTrace;
  try {
    bad = parseOne(raw);
  } catch (error) {
    if (!(error instanceof SlatboxError)) throw error;
    return Number(/ops\[(\d+)\]/.exec(error.message)?.[1]);
  }
  const { status, failure } = await play(good, bad);
  return status === 'FAIL' ? failure?.step : undefined;
}

const DONE = [{ x: 'DONE' }];
const EFAULT = [{ x: 'UNKNOWN', err: 'EFAULT' }];
const trace = (...ops: object[]): KvmTrace => parseOne({ name: 't', ops });

/** Replays `ops` on a door that differs in some methods from one that plays them back. */
const withDoor = (ops: KvmTrace, lies: Partial<KvmDoor>) =>
  replayKvm(ops, false, () => Object.assign(new KvmPlayback(ops), lies));

describe('conform kvm › a door that lies', () => {
  const stateWith = (change: Partial<RegionState>) => ({
    regionState: () => ({ rss: 0, swap: 0, lck: 0, blk: 0, pg: '....', ...change }),
  });
  const access = (exits: KvmExit[], more: object = {}) => ({ guestAccess: () => ({ exits, ...more }) });
  const mmio = { x: 'MMIO', gpa: 0x1000n, len: 1, wr: false, data: undefined } as const;
  const done = { x: 'DONE' } as const;
  const segv = { ok: false, signal: 'SIGSEGV', code: 'SEGV_MAPERR' } as const;
  it.each<[string, object, Partial<KvmDoor>, string]>([
    ['more resident', {}, stateWith({ rss: 1 }), 'A.rss 0'],
    ['swap that is not recorded', {}, stateWith({ swap: 1 }), 'A.swap 0'],
    ['locked that is not recorded', {}, stateWith({ lck: 1 }), 'A.lck 0'],
    ['no memfd', {}, stateWith({ blk: undefined }), 'A.blk 0'],
    ['a letter', {}, stateWith({ pg: '.z..' }), 'A.pg "4."'],
    ['a mapping that failed', {}, { openRegion: () => ({ errno: 0, mmap: 19 }) }, 'mmap nothing'],
    ['a region that could not be', {}, { openRegion: () => ({ errno: 12, mmap: 0 }) }, 'err nothing'],
    ['an errno', { op: 'madv A 0 1 COLD', ret: 0 }, { rangeCall: () => 22 }, 'err nothing'],
    ['no errno', { op: 'madv A 0 1 COLD', err: 'EINVAL' }, { rangeCall: () => 0 }, 'err "EINVAL"'],
    ['an unknown errno', { op: 'madv A 0 1 COLD', err: 'EINVAL' }, { rangeCall: () => 999 }, 'err "EINVAL"'],
    ['an offset', { op: 'flseek A 0 end', ret: 4 }, { fileCall: () => ({ errno: 0, value: 5 }) }, 'ret 4'],
    ['a capability', { op: 'cap 10', ret: 4 }, { checkExtension: () => 5 }, 'ret 4'],
    ['a signal', { op: 'hr A 0', val: '0x0' }, { hostLoad: () => segv }, 'sig nothing'],
    [
      'no signal',
      { op: 'hw A 0 1', sig: 'SIGBUS' },
      { hostStore: () => ({ ok: true, value: 1 }) },
      'sig "SIGBUS"',
    ],
    ['another signal', { op: 'hfill A 0 1 1', sig: 'SIGBUS' }, { hostFill: () => segv }, 'sig "SIGBUS"'],
    ['a byte', { op: 'hr A 0', val: '0x0' }, { hostLoad: () => ({ ok: true, value: 1 }) }, 'val "0x0"'],
    ['a value', { op: 'gr 0x0 1', ex: DONE, val: '0x0' }, access([done], { value: 1n }), 'val "0x0"'],
    ['no value', { op: 'gr 0x0 1', ex: DONE, val: '0x0' }, access([done]), 'val "0x0"'],
    [
      'a value of a fault',
      { op: 'gr 0x0 1', ex: EFAULT },
      access([{ x: 'UNKNOWN', err: 'EFAULT' }], { value: 0n }),
      'val nothing',
    ],
    ['an exit more', { op: 'gw 0x0 1 0', ex: DONE }, access([mmio, done]), 'ex "DONE"'],
    ['no completion', { op: 'gw 0x0 1 0', ex: DONE }, access([]), 'ex "DONE"'],
    [
      'another exit',
      { op: 'gw 0x0 1 0', ex: EFAULT },
      access([{ x: 'OTHER', reason: 'OUT_OF_MEMORY' }]),
      'ex "UNKNOWN EFAULT"',
    ],
    [
      'other code',
      { op: 'gx 0x0', ex: DONE, val: '0x0' },
      access([done], { code: Uint8Array.of(0xb0, 0, 0x49, 0x89, 1) }),
      'code b0',
    ],
    ['a bit', { op: 'dirty 0', ret: 0, bits: [] }, { dirtyLog: () => ({ errno: 0, pages: [1] }) }, 'bits ""'],
    [
      'no log',
      { op: 'dirty 0', ret: 0, bits: [] },
      { dirtyLog: () => ({ errno: 2, pages: [] }) },
      'err nothing',
    ],
  ])('%s', async (_name, step, lies, expected) => {
    const ops = 'op' in step ? trace(REGION, step) : trace(REGION);
    expect((await withDoor(ops, {})).status).toBe('ok');
    const { status, failure } = await withDoor(ops, lies);
    expect(status).toBe('FAIL');
    expect(failure?.expected).toContain(expected);
  });

  it('a region that a step does not tell of has changed', async () => {
    const ops = trace(REGION, { op: 'cap 1', ret: 0 });
    const states = ['....', 'f...'];
    const door = { regionState: () => ({ rss: 0, swap: 0, lck: 0, blk: 0, pg: states.shift() as string }) };
    expect((await withDoor(ops, door)).failure).toMatchObject({ step: 1, op: 'cap 1' });
  });

  it('nothing is resumed where nothing ended in a fault', async () => {
    const ops = trace({ op: 'gr 0x0 1', ex: DONE, val: '0x0' }, { op: 'resume', ex: DONE, val: '0x0' });
    expect((await withDoor(ops, {})).failure).toMatchObject({ step: 1, expected: 'a fault to go on after' });
  });
});

describe('conform kvm › entering again', () => {
  /** Answers accesses in turn and writes them down. */
  const guest = (answers: AccessEnd[]) => {
    const seen: GuestAccess[] = [];
    const guestAccess = (access: GuestAccess): AccessEnd => {
      seen.push(access);
      return answers.shift() as AccessEnd;
    };
    return { seen, guestAccess };
  };
  const done: AccessEnd = { exits: [{ x: 'DONE' }] };
  const fault: AccessEnd = { exits: [{ x: 'UNKNOWN', err: 'EFAULT' }] };
  const exit = { x: 'MMIO', gpa: 0x3000n, len: 1, wr: true, data: '3c' } as const;

  it('a loop goes on with the page where it stopped, and all its exits are those of one entry', async () => {
    const ops = trace(
      { op: 'guestloop w 0x1000 3 0x3c', ex: EFAULT },
      { op: 'resume', ex: EFAULT },
      { op: 'resume', ex: [{ x: 'MMIO', gpa: '0x3000', len: 1, wr: 1, data: '3c' }, ...DONE] },
    );
    const { seen, guestAccess } = guest([done, fault, fault, done, { exits: [exit, ...done.exits] }]);
    expect(await withDoor(ops, { guestAccess })).toMatchObject({ status: 'ok' });
    const gpas = seen.map(({ gpa }) => gpa);
    expect(gpas).toEqual([0x1000n, 0x2000n, 0x2000n, 0x2000n, 0x3000n]);
    expect(seen[4]).toEqual({ kind: 'write', gpa: 0x3000n, len: 1, value: 0x3cn });
  });

  it('any other access is done again', async () => {
    const ops = trace({ op: 'gxadd 0x1001 1 2', ex: EFAULT }, { op: 'resume', ex: DONE, val: '0x7' });
    const { seen, guestAccess } = guest([fault, { ...done, value: 7n }]);
    expect(await withDoor(ops, { guestAccess })).toMatchObject({ status: 'ok' });
    const access = { kind: 'xadd', gpa: 0x1001n, len: 1, value: 2n };
    expect(seen).toEqual([access, access]);
  });
});

// R10.3a: all of bits minus by_read must be there, pages that the guest read since may be, and no others.
describe('conform kvm › the dirty log after reads', () => {
  const slot = (text = 'slot 1 0x10000 4 A 0 log') => ({ op: text, ret: 0 });
  const gr = (gpa: string) => ({ op: `gr ${gpa} 2`, ex: DONE, val: '0x0' });
  const dirty = (bits: number[], by_read?: number[]) => ({
    op: 'dirty 1',
    ret: 0,
    bits,
    ...(by_read && { by_read }),
  });
  it.each<[string, object[], number[][], boolean]>([
    ['a recorded bit is missing', [dirty([1])], [[]], false],
    ['a bit that a read may have set is missing', [dirty([1, 2], [2])], [[1]], true],
    ['a bit beside the one that a read may have set is missing', [dirty([1, 2], [2])], [[2]], false],
    ['a page that was read', [gr('0x11000'), dirty([])], [[1]], true],
    ['a page that was not', [gr('0x11000'), dirty([])], [[2]], false],
    ['both pages of a read over the border', [gr('0x11fff'), dirty([])], [[1, 2]], true],
    ['a page that was executed', [{ op: 'gx 0x11000', ex: DONE, val: '0x0' }, dirty([])], [[1]], true],
    ['a page that was only written', [{ op: 'gw 0x11000 1 1', ex: DONE }, dirty([])], [[1]], false],
    ['a page of another slot', [slot('slot 2 0x20000 4 A 0'), gr('0x21000'), dirty([])], [[1]], false],
    ['cleared by the call before', [gr('0x11000'), dirty([]), dirty([])], [[1], [1]], false],
    ['not logged then', [slot('slot 1 0x10000 4 A 0'), gr('0x11000'), slot(), dirty([])], [[1]], false],
    [
      'the log goes on at another place',
      [gr('0x11000'), slot('slot 1 0x20000 4 A 0 log'), dirty([])],
      [[1]],
      true,
    ],
    ['a new slot', [gr('0x11000'), { op: 'slotdel 1', ret: 0 }, slot(), dirty([])], [[1]], false],
    [
      'a read-only slot',
      [{ op: 'slotdel 1', ret: 0 }, slot('slot 1 0x10000 4 A 0 ro,log'), gr('0x11000'), dirty([])],
      [[1]],
      false,
    ],
    [
      'a call that failed moves nothing',
      [{ ...slot('slot 1 0x20000 4 A 0 log'), ret: undefined, err: 'EEXIST' }, gr('0x11000'), dirty([])],
      [[1]],
      true,
    ],
    [
      'kept by manual protection',
      [{ op: 'manualprotect 1', ret: 0 }, gr('0x11000'), dirty([]), dirty([])],
      [[1], [1]],
      true,
    ],
    [
      'cleared by name',
      [
        { op: 'manualprotect 1', ret: 0 },
        gr('0x11000'),
        dirty([]),
        { op: 'clrdirty 1 0 4 1', ret: 0 },
        dirty([]),
      ],
      [[1], [1]],
      false,
    ],
    [
      'another one cleared',
      [{ op: 'manualprotect 1', ret: 0 }, gr('0x11000'), { op: 'clrdirty 1 0 4 2', ret: 0 }, dirty([])],
      [[1]],
      true,
    ],
  ])('%s', async (_name, steps, logs, ok) => {
    const ops = trace(REGION, slot(), ...steps);
    const left = [...logs];
    const door = new KvmPlayback(ops);
    const played = door.dirtyLog.bind(door);
    door.dirtyLog = () => ({ ...played(), pages: left.shift() as number[] });
    const { status, failure } = await replayKvm(ops, false, () => door);
    expect(status).toBe(ok ? 'ok' : 'FAIL');
    if (!ok) expect(failure).toMatchObject({ step: ops.steps.length - 1 });
  });
});

describe('conform kvm › cases', () => {
  const text = wrap({
    name: 'one',
    ops: [REGION, { op: 'region T anon 1 thp', ret: 0, st: { T: { rss: 0, pg: '.' } } }],
  });
  it('a trace is a case, chosen by group and by what it uses', async () => {
    const swapped = text.replace('"swap":false', '"swap":true').replace('"ksm":false', '"ksm":true');
    const setups: KvmSetup[] = [];
    const cases = kvmCases(swapped, 'f.json', (setup) => {
      setups.push(setup);
      return new KvmPlayback(parseKvmRecording(text, 'f.json').traces[0] as KvmTrace);
    });
    expect(cases).toMatchObject([{ name: 'one', properties: { group: 'test' } }]);
    expect(cases[0]?.tags).toEqual(['test', 'swap', 'ksm', 'memfd', 'anon', 'thp']);
    const [result] = await runCases(cases);
    expect(result && formatResult(result)).toBe('ok f.json:one steps=2 checked=21');
    expect(setups).toEqual([{ swap: true, pages: 5 }]);
  });

  it('a door that cannot be had fails, and says so', async () => {
    const [result] = await runCases(
      kvmCases(text, 'f.json', () => {
        throw new Error('no such VM');
      }),
    );
    expect(result).toMatchObject({ status: 'FAIL', failure: { step: -1, actual: 'Error: no such VM' } });
  });
});
