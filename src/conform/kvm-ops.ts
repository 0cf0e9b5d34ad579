// The operations of `kvm` recordings, from their text to typed values: `gw 0x1000 4 0x2a`.
// Reference: test/golden/kvm/README.md, table of operations.
import type {
  AccessLen,
  FileCall,
  GuestAccess,
  RangeCall,
  RegionKind,
  RegionPart,
  RegionSetup,
  SlotCall,
} from './kvm-door.ts';
import { malformed, type Where } from './recording.ts';

/** The guest touches the first byte of each page in turn. */
export interface GuestLoop {
  readonly kind: 'loop';
  readonly write: boolean;
  readonly gpa: bigint;
  readonly pages: number;
  /** What is written. */
  readonly byte: number;
}

export type KvmAction =
  | { readonly kind: 'region'; readonly setup: RegionSetup }
  | { readonly kind: 'slot'; readonly slot: SlotCall }
  | { readonly kind: 'slotdel'; readonly id: number }
  | { readonly kind: 'access'; readonly access: GuestAccess }
  | GuestLoop
  | { readonly kind: 'resume' }
  | { readonly kind: 'hostLoad'; readonly region: string; readonly offset: bigint }
  | {
      readonly kind: 'hostStore';
      readonly region: string;
      readonly offset: bigint;
      readonly bytes: readonly number[];
    }
  | { readonly kind: 'hostFill'; readonly part: RegionPart; readonly byte: number }
  | { readonly kind: 'range'; readonly part: RegionPart; readonly call: RangeCall }
  | { readonly kind: 'mremap'; readonly part: RegionPart; readonly to: string; readonly toPage: number }
  | { readonly kind: 'file'; readonly region: string; readonly call: FileCall }
  | { readonly kind: 'fstat'; readonly region: string }
  | { readonly kind: 'gmemcreate'; readonly size: bigint; readonly flags: bigint }
  | { readonly kind: 'cap'; readonly cap: number }
  | { readonly kind: 'manualprotect'; readonly value: bigint }
  | { readonly kind: 'dirty'; readonly slot: number }
  | {
      readonly kind: 'clrdirty';
      readonly slot: number;
      readonly first: number;
      readonly count: number;
      readonly bits: readonly number[];
    }
  | { readonly kind: 'ksmscan'; readonly times: number };

const PAGE = 4096n;
const U32_MAX = 2 ** 32 - 1;
const PAGES_MAX = 2 ** 24;
const REGION_KINDS: readonly RegionKind[] = ['anon', 'anonsh', 'memfd', 'memfdpriv', 'gmem'];
const SLOT_FLAGS: Readonly<Record<string, number>> = { log: 1, ro: 2, gmem: 4 };
const GMEM = 4;
const PUNCH_HOLE = 2;
const KEEP_SIZE = 1;

/** The words of an operation, read from left to right; each look says what it expects. */
class Words {
  readonly #words: string[];
  readonly #text: string;
  readonly #where: Where;
  readonly #regions: ReadonlySet<string>;

  constructor(words: string[], text: string, where: Where, regions: ReadonlySet<string>) {
    this.#words = words;
    this.#text = text;
    this.#where = where;
    this.#regions = regions;
  }

  get more(): boolean {
    return this.#words.length > 0;
  }
  /** The next word stays. */
  peek(): string | undefined {
    return this.#words[0];
  }
  fail(expected: string): never {
    throw malformed(this.#where, expected, this.#text);
  }
  word(what: string): string {
    return this.#words.shift() ?? this.fail(what);
  }
  oneOf<T extends string>(what: string, choices: readonly T[]): T {
    const word = this.word(what);
    return choices.find((choice) => choice === word) ?? this.fail(`${what}: one of ${choices.join(' ')}`);
  }
  u64(what: string): bigint {
    const word = this.word(what);
    if (!/^(?:[0-9]+|0x[0-9a-fA-F]+)$/.test(word) || BigInt(word) >> 64n) {
      this.fail(`${what}: a whole number below 2^64`);
    }
    return BigInt(word);
  }
  integer(what: string, max: number): number {
    const value = this.u64(what);
    if (value > BigInt(max)) this.fail(`${what}: a whole number from 0 to ${max}`);
    return Number(value);
  }
  pages(what: string): number {
    return this.integer(what, PAGES_MAX);
  }
  byte(what: string): number {
    return this.integer(what, 255);
  }
  len(): AccessLen {
    const len = this.integer('LEN', 8);
    return len === 1 || len === 2 || len === 4 || len === 8 ? len : this.fail('LEN: 1, 2, 4 or 8');
  }
  region(what = 'R'): string {
    const name = this.word(what);
    return this.#regions.has(name) ? name : this.fail(`${what}: a region that was made before`);
  }
  part(): RegionPart {
    return { region: this.region(), page: this.pages('PAGE'), pages: this.pages('PAGES') };
  }
  /** `none` or letters of `rwx`. */
  prot(): number {
    const word = this.word('PROT');
    if (word === 'none') return 0;
    if (!/^r?w?x?$/.test(word)) this.fail('PROT: none, or letters of rwx');
    return [...word].reduce((prot, letter) => prot | (1 << 'rwx'.indexOf(letter)), 0);
  }
}

type Parse = (w: Words) => KvmAction;

function region(w: Words): KvmAction {
  const name = w.word('R');
  const kind = w.oneOf('KIND', REGION_KINDS);
  const pages = w.pages('PAGES');
  if (pages === 0) w.fail('PAGES: at least 1');
  const thp = w.peek() === 'thp' && w.word('thp') === 'thp';
  const gmemFlags = kind === 'gmem' && w.more ? w.integer('FLAGS', U32_MAX) : 0;
  return { kind: 'region', setup: { name, kind, pages, gmemFlags, thp } };
}

/** A number, or names joined by commas; none at the end of the operation. */
function slotFlags(w: Words): number {
  if (!w.more) return 0;
  if (/^[0-9]/.test(w.peek() ?? '')) return w.integer('FLAGS', U32_MAX);
  return w
    .word('FLAGS')
    .split(',')
    .reduce(
      (flags, name) => flags | (SLOT_FLAGS[name] ?? w.fail('FLAGS: a number, or names of ro log gmem')),
      0,
    );
}

/** `raw`: sizes and offsets are bytes, and the host address need not be in a region. */
function slot(w: Words, two: boolean, raw: boolean): KvmAction {
  const id = w.integer('ID', U32_MAX);
  const gpa = w.u64('GPA');
  const unit = raw ? 1n : PAGE;
  const size = BigInt.asUintN(64, w.u64(raw ? 'SIZE' : 'PAGES') * unit);
  const absolute = raw && w.peek() === 'abs';
  const at = absolute ? w.word('R') : w.region();
  const offset = BigInt.asUintN(64, w.u64(raw ? 'OFFSET' : 'PAGEOFF') * unit);
  const flags = slotFlags(w);
  const own = { region: absolute ? undefined : at, offset };
  const file = w.more ? slotFile(w) : own;
  return {
    kind: 'slot',
    slot: { two, id, flags, gpa, size, region: own.region, offset, file: flags & GMEM ? file : undefined },
  };
}

function slotFile(w: Words): NonNullable<SlotCall['file']> {
  const bad = w.peek() === 'badfd' && w.word('GR') === 'badfd';
  return { region: bad ? undefined : w.region('GR'), offset: w.u64('GOFF') };
}

const range =
  (call: Exclude<RangeCall['call'], 'madvise' | 'mprotect'>): Parse =>
  (w) => ({ kind: 'range', part: w.part(), call: { call } });

const file =
  (read: (w: Words) => FileCall): Parse =>
  (w) => ({ kind: 'file', region: w.region(), call: read(w) });

const fallocate = (w: Words, mode: number): FileCall => ({
  call: 'fallocate',
  mode,
  offset: w.u64('OFF'),
  length: w.u64('LEN'),
});

/** B0 VAL: load a constant; 49 89 00: report it. */
const codeOf = (value: number): readonly number[] => [0xb0, value, 0x49, 0x89, 0x00];

const OPS: Readonly<Record<string, Parse>> = {
  region,
  slot: (w) => slot(w, true, false),
  slot1: (w) => slot(w, false, false),
  slotraw: (w) => slot(w, true, true),
  slotdel: (w) => ({ kind: 'slotdel', id: w.integer('ID', U32_MAX) }),
  gr: (w) => ({ kind: 'access', access: { kind: 'read', gpa: w.u64('GPA'), len: w.len() } }),
  gw: (w) => ({
    kind: 'access',
    access: { kind: 'write', gpa: w.u64('GPA'), len: w.len(), value: w.u64('VAL') },
  }),
  gxadd: (w) => ({
    kind: 'access',
    access: { kind: 'xadd', gpa: w.u64('GPA'), len: w.len(), value: w.u64('VAL') },
  }),
  gx: (w) => ({ kind: 'access', access: { kind: 'execute', gpa: w.u64('GPA') } }),
  guestloop: (w) => {
    const write = w.oneOf('DIRECTION', ['r', 'w']) === 'w';
    const [gpa, pages] = [w.u64('GPA'), w.pages('PAGES')];
    return { kind: 'loop', write, gpa, pages, byte: write ? w.byte('VAL') : 0 };
  },
  resume: () => ({ kind: 'resume' }),
  hr: (w) => ({ kind: 'hostLoad', region: w.region(), offset: w.u64('OFF') }),
  hw: (w) => ({ kind: 'hostStore', region: w.region(), offset: w.u64('OFF'), bytes: [w.byte('VAL')] }),
  hcode: (w) => ({
    kind: 'hostStore',
    region: w.region(),
    offset: w.u64('OFF'),
    bytes: codeOf(w.byte('VAL')),
  }),
  hfill: (w) => ({ kind: 'hostFill', part: w.part(), byte: w.byte('VAL') }),
  madv: (w) => ({ kind: 'range', part: w.part(), call: { call: 'madvise', advice: w.word('ADVICE') } }),
  mprot: (w) => ({ kind: 'range', part: w.part(), call: { call: 'mprotect', prot: w.prot() } }),
  mlock: range('mlock'),
  mlockof: range('mlockOnfault'),
  munlock: range('munlock'),
  munmap: range('munmap'),
  mapanon: range('mapAnonymous'),
  mapfd: range('mapFile'),
  mremap: (w) => ({ kind: 'mremap', part: w.part(), to: w.region('R2'), toPage: w.pages('PAGE2') }),
  punch: file((w) => fallocate(w, PUNCH_HOLE | KEEP_SIZE)),
  falloc: file((w) => fallocate(w, KEEP_SIZE)),
  fallocraw: file((w) => fallocate(w, w.integer('MODE', U32_MAX))),
  ftrunc: file((w) => ({ call: 'ftruncate', size: w.u64('SIZE') })),
  fread: file((w) => ({ call: 'pread', offset: w.u64('OFF'), length: w.integer('LEN', U32_MAX) })),
  fwrite: file((w) => ({ call: 'pwrite', offset: w.u64('OFF'), length: w.integer('LEN', U32_MAX) })),
  flseek: file((w) => ({
    call: 'lseek',
    offset: w.u64('OFF'),
    whence: w.oneOf('WHENCE', ['data', 'hole', 'end']),
  })),
  fmmap: file((w) => ({
    call: 'mmap',
    page: w.pages('PAGE'),
    pages: w.pages('PAGES'),
    shared: w.oneOf('SHARING', ['shared', 'private']) === 'shared',
    prot: w.prot(),
  })),
  fclose: file(() => ({ call: 'close' })),
  fstat: (w) => ({ kind: 'fstat', region: w.region() }),
  gmemcreate: (w) => ({ kind: 'gmemcreate', size: w.u64('SIZE'), flags: w.u64('FLAGS') }),
  cap: (w) => ({ kind: 'cap', cap: w.integer('N', U32_MAX) }),
  manualprotect: (w) => ({ kind: 'manualprotect', value: w.u64('V') }),
  dirty: (w) => ({ kind: 'dirty', slot: w.integer('ID', U32_MAX) }),
  clrdirty: (w) => {
    const [id, first, count] = [
      w.integer('ID', U32_MAX),
      w.integer('FIRST', U32_MAX),
      w.integer('N', U32_MAX),
    ];
    const bits: number[] = [];
    while (w.more) bits.push(w.integer('BIT', U32_MAX));
    return { kind: 'clrdirty', slot: id, first, count, bits };
  },
  ksmscan: (w) => ({ kind: 'ksmscan', times: w.integer('N', 1000) }),
};

/** `regions`: those that earlier operations made. SLB-031 for what is none, or has other arguments. */
export function parseOp(text: string, where: Where, regions: ReadonlySet<string>): KvmAction {
  const [name = '', ...words] = text.split(' ');
  const parse = Object.hasOwn(OPS, name) ? OPS[name] : undefined;
  if (!parse) throw malformed(where, `one of ${Object.keys(OPS).join(' ')}`, text);
  const w = new Words(words, text, where, regions);
  const action = parse(w);
  if (w.more) w.fail(`no more than ${name} takes`);
  return action;
}
