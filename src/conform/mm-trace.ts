// The `mm` recordings as typed values. A field this reader does not know is refused: it could not be compared.
// Reference: test/golden/mm/README.md, sections "A trace", "A step" and "State".
import type { MmSizes, MmVma } from './mm-door.ts';
import {
  asArray,
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

const RANGE_OPS = [
  ...['dontneed', 'free', 'pageout', 'remove', 'dontdump', 'mergeable', 'unmergeable'],
  ...['mlock', 'munlock', 'mprot_none', 'mprot_r', 'mprot_w', 'mprot_rw', 'munmap'],
] as const;
const MODES = ['anon', 'anon_acct', 'memfd', 'memfd_priv', 'thp', 'hugetlb', 'hugetlb_shared'];
const LETTERS = '.xzZaldkKHLDhsfcGg';

/** State of the mapping; what a step does not tell stayed as it was. */
export interface MmState {
  readonly vmas: readonly MmVma[];
  /** One letter for each page. */
  readonly letters: string;
  /** Undefined where there is no file. */
  readonly blocks: number | undefined;
}

export type MmAction =
  | { readonly kind: 'range'; readonly start: bigint; readonly len: bigint }
  | { readonly kind: 'read'; readonly page: number }
  | { readonly kind: 'write'; readonly page: number; readonly byte: number }
  | { readonly kind: 'ksm_settle' | 'dump' };

export interface MmStep {
  readonly op: string;
  readonly action: MmAction;
  readonly ret: number;
  readonly errno: string | undefined;
  /** `SIGSEGV SEGV_ACCERR` */
  readonly fault: string | undefined;
  readonly val: number | undefined;
  /** Of `dump`: a byte for each page, -1 where the read faulted. */
  readonly data: readonly number[] | undefined;
  readonly state: Partial<MmState>;
}

export interface MmTrace {
  readonly name: string;
  readonly mode: string;
  readonly pages: number;
  readonly tags: readonly string[];
  readonly init: MmState;
  readonly steps: readonly MmStep[];
}

/** Names in the recording, in kB, of what `MmSizes` names in full. */
const SIZE_KEYS: Readonly<Record<string, keyof MmSizes>> = {
  rss: 'rss',
  pss: 'pss',
  shc: 'sharedClean',
  shd: 'sharedDirty',
  prc: 'privateClean',
  prd: 'privateDirty',
  anon: 'anonymous',
  ksm: 'ksm',
  lazy: 'lazyFree',
  thp: 'anonHugePages',
  htlb_sh: 'sharedHugetlb',
  htlb_pr: 'privateHugetlb',
  swap: 'swap',
  swappss: 'swapPss',
  locked: 'locked',
};

/** Run lengths must expand to exactly one item for each page. */
function checkLength(length: number, pages: number, where: Where): void {
  if (length !== pages) throw malformed(where, `${pages} pages in all`, length);
}

function parseLetters(value: unknown, pages: number, where: Where): string {
  const text = asString(value, where);
  let letters = '';
  let rest = text;
  while (rest !== '') {
    const m = /^([1-9][0-9]{0,7})?([^0-9])/.exec(rest);
    if (!m || !LETTERS.includes(m[2] as string)) {
      throw malformed(where, `counts and letters of ${LETTERS}`, text);
    }
    letters += (m[2] as string).repeat(Number(m[1] ?? 1));
    rest = rest.slice(m[0].length);
    if (letters.length > pages) break;
  }
  checkLength(letters.length, pages, where);
  return letters;
}

function parseData(value: unknown, pages: number, where: Where): number[] {
  const data: number[] = [];
  for (const [i, item] of asArray(value, where).entries()) {
    const pair = asArray(item, at(where, i));
    const count = asInteger(pair[0], at(at(where, i), 0), 1, pages);
    const byte = asInteger(pair[1], at(at(where, i), 1), -1, 255);
    data.push(...new Array<number>(count).fill(byte));
    if (data.length > pages) break;
  }
  checkLength(data.length, pages, where);
  return data;
}

function parseVma(value: unknown, flagSets: readonly string[][], pages: number, where: Where): MmVma {
  const vma = asObject(value, where);
  onlyKeys(vma, ['s', 'e', 'perm', 'f', ...Object.keys(SIZE_KEYS)], where);
  const start = asInteger(vma.s, at(where, 's'), 0, pages - 1);
  const end = asInteger(vma.e, at(where, 'e'), start + 1, pages);
  const perm = asString(vma.perm, at(where, 'perm'));
  const flags = flagSets[asInteger(vma.f, at(where, 'f'), 0, flagSets.length - 1)] as string[];
  const size = (key: string): number => (vma[key] === undefined ? 0 : asInteger(vma[key], at(where, key), 0));
  const sizes = Object.fromEntries(Object.entries(SIZE_KEYS).map(([key, name]) => [name, size(key)]));
  // The two whose absence means "the same as", not 0.
  if (vma.pss === undefined) sizes.pss = size('rss');
  if (vma.swappss === undefined) sizes.swapPss = size('swap');
  return { start, end, perm, flags, sizes: sizes as unknown as MmSizes };
}

interface Context {
  readonly pages: number;
  readonly flagSets: readonly string[][];
}

function parseState(object: JsonObject, { pages, flagSets }: Context, where: Where): Partial<MmState> {
  const state: { -readonly [K in keyof MmState]?: MmState[K] } = {};
  if (object.vmas !== undefined) {
    state.vmas = asArray(object.vmas, at(where, 'vmas')).map((vma, i) =>
      parseVma(vma, flagSets, pages, at(at(where, 'vmas'), i)),
    );
  }
  if (object.pages !== undefined) state.letters = parseLetters(object.pages, pages, at(where, 'pages'));
  if (object.blocks !== undefined) state.blocks = asInteger(object.blocks, at(where, 'blocks'), 0);
  return state;
}

const PAGE_BYTES = 4096n;

/** The arguments: pages (`start`, `len`) or bytes (`off`, `bytes`), as the call was given them. */
function parseRange(step: JsonObject, where: Where): MmAction {
  if (step.off === undefined && step.bytes === undefined) {
    const start = BigInt(asInteger(step.start, at(where, 'start'))) * PAGE_BYTES;
    return { kind: 'range', start, len: BigInt(asInteger(step.len, at(where, 'len'), 0)) * PAGE_BYTES };
  }
  if (step.start !== undefined || step.len !== undefined) {
    throw malformed(at(where, 'start'), 'either start and len or off and bytes', step.start ?? step.len);
  }
  const start = BigInt(asInteger(step.off, at(where, 'off')));
  return { kind: 'range', start, len: asU64(step.bytes, at(where, 'bytes')) };
}

function parseAction(step: JsonObject, op: string, where: Where): { action: MmAction; keys: string[] } {
  if ((RANGE_OPS as readonly string[]).includes(op)) {
    return { action: parseRange(step, where), keys: ['start', 'len', 'off', 'bytes', 'errno'] };
  }
  if (op === 'read' || op === 'check') {
    const page = asInteger(step.page, at(where, 'page'));
    return { action: { kind: 'read', page }, keys: ['page', 'fault', 'val'] };
  }
  if (op === 'write') {
    const page = asInteger(step.page, at(where, 'page'));
    const byte = asInteger(step.byte, at(where, 'byte'), 0, 255);
    return { action: { kind: 'write', page, byte }, keys: ['page', 'byte', 'fault'] };
  }
  if (op === 'ksm_settle') return { action: { kind: op }, keys: [] };
  if (op === 'dump') return { action: { kind: op }, keys: ['data'] };
  const known = [...RANGE_OPS, 'read', 'check', 'write', 'ksm_settle', 'dump'];
  throw malformed(at(where, 'op'), `one of ${known.join(' ')}`, op);
}

function parseFault(value: unknown, where: Where): string {
  const pair = asArray(value, where);
  return `${asString(pair[0], at(where, 0))} ${asString(pair[1], at(where, 1))}`;
}

function parseStep(value: unknown, context: Context, where: Where): MmStep {
  const step = asObject(value, where);
  const op = asString(step.op, at(where, 'op'));
  const { action, keys } = parseAction(step, op, where);
  onlyKeys(step, ['op', 'ret', ...keys, 'minflt', 'majflt', 'vmas', 'pages', 'blocks'], where);
  const ret = step.ret === undefined ? 0 : asInteger(step.ret, at(where, 'ret'), -1, 0);
  const errno = step.errno === undefined ? undefined : asString(step.errno, at(where, 'errno'));
  const fault = step.fault === undefined ? undefined : parseFault(step.fault, at(where, 'fault'));
  if ((ret === -1) !== (errno !== undefined || fault !== undefined)) {
    throw malformed(at(where, 'ret'), 'ret -1 together with an errno or a fault', step.ret);
  }
  const val = step.val === undefined ? undefined : asInteger(step.val, at(where, 'val'), 0, 255);
  if (action.kind === 'read' && (val === undefined) !== (fault !== undefined)) {
    throw malformed(at(where, 'val'), 'either val or a fault', step.val);
  }
  const data = action.kind === 'dump' ? parseData(step.data, context.pages, at(where, 'data')) : undefined;
  return { op, action, ret, errno, fault, val, data, state: parseState(step, context, where) };
}

/** A trace from the text of its file; SLB-031 with the place for anything that is not as the format says. */
export function parseMmTrace(text: string, file: string): MmTrace {
  const top: Where = { file, path: '' };
  const trace = asObject(parseJson(text, file), top);
  if (trace.format !== 1) throw malformed(at(top, 'format'), 'format 1', trace.format);
  const name = asString(trace.name, at(top, 'name'));
  const mode = asString(trace.mode, at(top, 'mode'));
  if (!MODES.includes(mode)) throw malformed(at(top, 'mode'), `one of ${MODES.join(' ')}`, mode);
  const pages = asInteger(trace.pages, at(top, 'pages'), 1, 2 ** 24);
  const strings = (value: unknown, where: Where): string[] =>
    asArray(value, where).map((item, i) => asString(item, at(where, i)));
  const tags = strings(trace.tags, at(top, 'tags'));
  const flagSets = strings(trace.flagSets, at(top, 'flagSets')).map((set) => set.split(' ').filter(Boolean));
  const context = { pages, flagSets };
  const initAt = at(top, 'init');
  const initObject = asObject(trace.init, initAt);
  onlyKeys(initObject, ['vmas', 'pages', 'blocks'], initAt);
  const { vmas, letters, blocks } = parseState(initObject, context, initAt);
  if (vmas === undefined) throw malformed(at(initAt, 'vmas'), 'the whole state', vmas);
  if (letters === undefined) throw malformed(at(initAt, 'pages'), 'the whole state', letters);
  const steps = asArray(trace.steps, at(top, 'steps')).map((step, i) =>
    parseStep(step, context, at(at(top, 'steps'), i)),
  );
  return { name, mode, pages, tags, init: { vmas, letters, blocks }, steps };
}
