// The `kvm` recordings as typed values. A field this reader does not know is refused: it could not be compared.
// Reference: test/golden/kvm/README.md.
import type { KvmExit, RegionState } from './kvm-door.ts';
import { type KvmAction, parseOp } from './kvm-ops.ts';
import {
  asArray,
  asBoolean,
  asInteger,
  asObject,
  asString,
  asU64,
  at,
  type JsonObject,
  malformed,
  onlyKeys,
  parseJson,
  type Where,
} from './recording.ts';

/** What the recording says came out of an operation; undefined is what it does not have. */
export interface KvmResult {
  readonly ret: number | undefined;
  /** Name of an errno. */
  readonly err: string | undefined;
  /** Of `region`: the errno of a mapping that could not be. */
  readonly mmap: string | undefined;
  readonly sig: string | undefined;
  readonly val: bigint | undefined;
  readonly ex: readonly KvmExit[] | undefined;
  readonly bits: readonly number[] | undefined;
  /** Those of `bits` that a read may have set (R10.3a). */
  readonly byRead: readonly number[];
  readonly stat: { readonly size: number; readonly blocks: number; readonly mode: number } | undefined;
}

export interface KvmStep {
  readonly op: string;
  readonly action: KvmAction;
  readonly result: KvmResult;
  /** Regions whose state changed. */
  readonly state: ReadonlyMap<string, RegionState>;
}

export interface KvmTrace {
  readonly name: string;
  readonly steps: readonly KvmStep[];
}

export interface KvmRecording {
  readonly group: string;
  readonly swap: boolean;
  readonly ksm: boolean;
  readonly traces: readonly KvmTrace[];
}

const FORMAT = 'kvm-trace/1';
const LETTERS = '.-_zakfcsw';
/** Regions of more pages have their letters in runs. */
const PLAIN_LETTERS = 64;

/** Fields of the result, besides `op` and `st`, of each kind of operation. */
const FIELDS: Readonly<Record<KvmAction['kind'], readonly string[]>> = {
  region: ['ret', 'err', 'mmap'],
  slot: ['ret', 'err'],
  slotdel: ['ret', 'err'],
  access: ['ex', 'val'],
  loop: ['ex'],
  resume: ['ex', 'val'],
  hostLoad: ['val', 'sig'],
  hostStore: ['ret', 'sig'],
  hostFill: ['ret', 'sig'],
  range: ['ret', 'err'],
  mremap: ['ret', 'err'],
  file: ['ret', 'err'],
  fstat: ['ret', 'err', 'size', 'blocks', 'mode'],
  gmemcreate: ['ret', 'err'],
  cap: ['ret', 'err'],
  manualprotect: ['ret', 'err'],
  dirty: ['ret', 'err', 'bits', 'by_read'],
  clrdirty: ['ret', 'err'],
  ksmscan: ['ret'],
};

function parseExit(value: unknown, where: Where): KvmExit {
  const exit = asObject(value, where);
  const gpa = (): bigint => asU64(exit.gpa, at(where, 'gpa'));
  const err = (): string => asString(exit.err, at(where, 'err'));
  switch (exit.x) {
    case 'DONE':
      onlyKeys(exit, ['x'], where);
      return { x: exit.x };
    case 'MMIO': {
      const wr = asInteger(exit.wr, at(where, 'wr'), 0, 1) === 1;
      onlyKeys(exit, ['x', 'gpa', 'len', 'wr', ...(wr ? ['data'] : [])], where);
      const len = asInteger(exit.len, at(where, 'len'), 1, 8);
      const data = wr ? asString(exit.data, at(where, 'data')) : undefined;
      if (data !== undefined && !new RegExp(`^[0-9a-f]{${2 * len}}$`).test(data)) {
        throw malformed(at(where, 'data'), `${len} bytes in hex`, data);
      }
      return { x: exit.x, gpa: gpa(), len, wr, data };
    }
    case 'UNKNOWN':
      onlyKeys(exit, ['x', 'err'], where);
      return { x: exit.x, err: err() };
    case 'MEMORY_FAULT': {
      onlyKeys(exit, ['x', 'err', 'flags', 'gpa', 'size'], where);
      const flags = asInteger(exit.flags, at(where, 'flags'), 0);
      return { x: exit.x, err: err(), flags, gpa: gpa(), size: asInteger(exit.size, at(where, 'size'), 0) };
    }
    case 'INTERNAL_ERROR':
      onlyKeys(exit, ['x', 'sub'], where);
      return { x: exit.x, sub: asInteger(exit.sub, at(where, 'sub'), 0) };
    default:
      throw malformed(at(where, 'x'), 'one of DONE MMIO UNKNOWN MEMORY_FAULT INTERNAL_ERROR', exit.x);
  }
}

/** Letters one by one, or `3.,1a,60.`; they are `pages` in all. */
function parseLetters(value: unknown, pages: number, where: Where): string {
  const text = asString(value, where);
  let letters = text;
  if (pages > PLAIN_LETTERS) {
    letters = '';
    for (const run of text.split(',')) {
      const m = /^([1-9][0-9]{0,7})([^0-9])$/.exec(run);
      if (!m) throw malformed(where, 'counts and letters', text);
      letters += (m[2] as string).repeat(Number(m[1]));
      if (letters.length > pages) break;
    }
  }
  if (letters.length !== pages) throw malformed(where, `${pages} pages in all`, text);
  if ([...letters].some((letter) => !LETTERS.includes(letter))) {
    throw malformed(where, `letters of ${LETTERS}`, text);
  }
  return letters;
}

function parseRegionState(value: unknown, pages: number, where: Where): RegionState {
  const state = asObject(value, where);
  onlyKeys(state, ['rss', 'swap', 'lck', 'blk', 'pg'], where);
  const count = (key: string): number => asInteger(state[key], at(where, key), 0);
  const orNone = (key: string): number => (state[key] === undefined ? 0 : count(key));
  return {
    rss: count('rss'),
    swap: orNone('swap'),
    lck: orNone('lck'),
    blk: state.blk === undefined ? undefined : count('blk'),
    pg: parseLetters(state.pg, pages, at(where, 'pg')),
  };
}

function parseResult(step: JsonObject, kind: KvmAction['kind'], where: Where): KvmResult {
  const given = <T>(key: string, read: (value: unknown, where: Where) => T): T | undefined =>
    step[key] === undefined ? undefined : read(step[key], at(where, key));
  const integer = (value: unknown, here: Where): number => asInteger(value, here);
  const count = (value: unknown, here: Where): number => asInteger(value, here, 0);
  const numbers = (value: unknown, here: Where): number[] =>
    asArray(value, here).map((item, i) => count(item, at(here, i)));
  const bits = given('bits', numbers);
  const byRead = given('by_read', numbers) ?? [];
  if (byRead.some((bit) => !bits?.includes(bit))) {
    throw malformed(at(where, 'by_read'), 'some of bits', step.by_read);
  }
  const result: KvmResult = {
    ret: given('ret', integer),
    err: given('err', asString),
    mmap: given('mmap', asString),
    sig: given('sig', asString),
    val: given('val', asU64),
    ex: given('ex', (value, here) => asArray(value, here).map((exit, i) => parseExit(exit, at(here, i)))),
    bits,
    byRead,
    stat: kind === 'fstat' && step.err === undefined ? parseStat(step, where) : undefined,
  };
  checkResult(result, kind, where);
  return result;
}

function parseStat(step: JsonObject, where: Where): NonNullable<KvmResult['stat']> {
  const mode = asString(step.mode, at(where, 'mode'));
  if (!/^[0-7]+$/.test(mode)) throw malformed(at(where, 'mode'), 'a mode in octal', mode);
  const count = (key: string): number => asInteger(step[key], at(where, key), 0);
  return { size: count('size'), blocks: count('blocks'), mode: Number.parseInt(mode, 8) };
}

/** An operation has exactly one outcome. */
function checkResult(result: KvmResult, kind: KvmAction['kind'], where: Where): void {
  const fields = FIELDS[kind];
  if (fields.includes('ex')) {
    if (!result.ex?.length) throw malformed(at(where, 'ex'), 'at least one exit', result.ex);
    return;
  }
  const outcomes = (['ret', 'val', 'err', 'sig'] as const).filter((key) => fields.includes(key));
  const found = outcomes.filter((key) => result[key] !== undefined);
  if (found.length !== 1) {
    throw malformed(where, `one of ${outcomes.join(' ')}`, found.join(' and ') || undefined);
  }
  if (kind === 'dirty' && (result.bits === undefined) !== (result.err !== undefined)) {
    throw malformed(at(where, 'bits'), 'bits, or an error', result.bits);
  }
}

function parseStep(value: unknown, pagesOf: Map<string, number>, where: Where): KvmStep {
  const step = asObject(value, where);
  const op = asString(step.op, at(where, 'op'));
  const action = parseOp(op, at(where, 'op'), new Set(pagesOf.keys()));
  onlyKeys(step, ['op', 'st', ...FIELDS[action.kind]], where);
  const result = parseResult(step, action.kind, where);
  if (action.kind === 'region') pagesOf.set(action.setup.name, action.setup.pages);
  const stAt = at(where, 'st');
  const st = step.st === undefined ? {} : asObject(step.st, stAt);
  const state = new Map<string, RegionState>();
  for (const [region, text] of Object.entries(st)) {
    const pages = pagesOf.get(region);
    if (pages === undefined) throw malformed(at(stAt, region), 'a region that was made before', region);
    state.set(region, parseRegionState(text, pages, at(stAt, region)));
  }
  if (action.kind === 'region' && result.ret === 0) {
    const mapped = result.mmap === undefined;
    const told = state.has(action.setup.name);
    if (mapped !== told) throw malformed(stAt, 'the state of the region, or mmap', step.st);
  }
  return { op, action, result, state };
}

function parseTrace(value: unknown, where: Where): KvmTrace {
  const trace = asObject(value, where);
  onlyKeys(trace, ['name', 'ops'], where);
  const pagesOf = new Map<string, number>();
  const ops = at(where, 'ops');
  return {
    name: asString(trace.name, at(where, 'name')),
    steps: asArray(trace.ops, ops).map((step, i) => parseStep(step, pagesOf, at(ops, i))),
  };
}

/** A file of recordings from its text; SLB-031 with the place for anything that is not as the format says. */
export function parseKvmRecording(text: string, file: string): KvmRecording {
  const top: Where = { file, path: '' };
  const recording = asObject(parseJson(text, file), top);
  if (recording.format !== FORMAT) throw malformed(at(top, 'format'), FORMAT, recording.format);
  onlyKeys(recording, ['format', 'kernel', 'guest', 'group', 'swap', 'ksm', 'thp', 'traces'], top);
  if (recording.thp !== 'madvise') throw malformed(at(top, 'thp'), '"madvise"', recording.thp);
  const traces = at(top, 'traces');
  return {
    group: asString(recording.group, at(top, 'group')),
    swap: asBoolean(recording.swap, at(top, 'swap')),
    ksm: asBoolean(recording.ksm, at(top, 'ksm')),
    traces: asArray(recording.traces, traces).map((trace, i) => parseTrace(trace, at(traces, i))),
  };
}
