// The console's grammar, the same words as in scenario files and on the command line:
//   dontneed 1G 4K --cpu 1      read 0x1000      touch 1G 2M --write      seek 4
// A line becomes a scenario step (plain object) or something for the page itself.
// Reference: docs/web.md "Console", docs/scenarios.md (the steps).
import { REQUESTS } from '../../src/requests.ts';

export type StepObject = Readonly<Record<string, unknown>>;
export type PageCommand =
  | { readonly page: 'step' | 'back' | 'clear' | 'digest' | 'smaps' }
  | { readonly page: 'help'; readonly topic: string | undefined }
  | { readonly page: 'seek'; readonly target: string }
  | { readonly page: 'select' | 'walk'; readonly gpa: string; readonly len: string };
export type Command = { readonly step: StepObject } | PageCommand | { readonly problem: string };

interface Verb {
  /** Names of the positional arguments; `?` marks those that may be left out, `…` takes the rest. */
  readonly args: readonly string[];
  readonly flags?: readonly string[];
  /** Flags with a value, by which a step says whose it is; a vCPU's has both. */
  readonly whose?: readonly ('cpu' | 'vm')[];
  readonly about: string;
}

const REQUEST: Verb = {
  args: ['gpa', 'len', 'arg?'],
  about: 'a pvmemcontrol request through the guest driver',
};

/** Verbs that are scenario steps; positional arguments have the names of the step's keys. */
export const STEP_VERBS: Readonly<Record<string, Verb>> = {
  touch: { args: ['gpa', 'len?'], flags: ['write'], about: 'one byte access in every page of the range' },
  fill: { args: ['gpa', 'len', 'byte'], about: 'store BYTE everywhere in the range' },
  verify: { args: ['gpa', 'len', 'byte'], about: 'is every byte of the range BYTE?' },
  read: { args: ['gpa', 'len?'], about: 'load bytes' },
  write: { args: ['gpa', 'bytes…'], about: 'store bytes' },
  load: { args: ['gpa', 'size?'], about: 'one load of 1, 2, 4 or 8 bytes' },
  store: { args: ['gpa', 'val', 'size?'], about: 'one store of 1, 2, 4 or 8 bytes' },
  fetch: { args: ['gpa'], about: 'one instruction fetch' },
  ...Object.fromEntries(REQUESTS.map((name) => [name, REQUEST])),
  info: { args: ['gpa?', 'len?', 'arg?'], about: 'page size and version of the device' },
  request: { args: ['func', 'gpa', 'len', 'arg?'], about: 'a request with any function code' },
  'mmio.read': { args: ['off', 'size?'], about: 'a load from BAR0' },
  'mmio.write': { args: ['off', 'val', 'size?'], about: 'a store to BAR0' },
  'ksm.scan': { args: ['passes?'], whose: [], about: 'KSM scans the mergeable memory of all VMs' },
  'file.write': {
    args: ['gpa', 'len', 'byte'],
    whose: ['vm'],
    about: 'another process writes to the memory file',
  },
  'fetch-add': { args: ['gpa', 'val', 'size?'], about: 'lock xadd: adds, and shows what was there' },
  'memslot.create': {
    args: ['slot', 'gpa', 'len', 'alias'],
    whose: ['vm'],
    about: 'a slot over the memory that the guest has at ALIAS',
  },
  'memslot.move': { args: ['slot', 'gpa'], whose: ['vm'], about: 'the slot at another address' },
  'memslot.delete': { args: ['slot'], whose: ['vm'], about: 'the slot goes' },
  'dirty-log.get': { args: ['slot'], whose: ['vm'], about: 'which pages of the slot were written' },
  'memory-attributes': {
    args: ['gpa', 'len', 'to'],
    whose: ['vm'],
    about: 'makes the range private or shared, and frees nothing',
  },
  hypercall: {
    args: ['gpa', 'len', 'to'],
    about: 'the guest asks for the range to be private or shared',
  },
  'vmm.read': { args: ['gpa'], whose: ['vm'], about: 'one byte, read by the VMM' },
  'vmm.write': { args: ['gpa', 'byte'], whose: ['vm'], about: 'one byte, written by the VMM' },
  'vmm.madvise': {
    args: ['gpa', 'len', 'advice'],
    whose: ['vm'],
    about: 'madvise by the VMM: dontneed, free, pageout …',
  },
  'free-report': { args: ['gpa', 'len'], whose: ['vm'], about: 'virtio-balloon reports the range as free' },
};

export const PAGE_VERBS: Readonly<Record<string, Verb>> = {
  select: { args: ['gpa', 'len?'], about: 'select a range in all panels' },
  walk: { args: ['gpa'], about: 'select a page and show its SLAT walk' },
  step: { args: [], about: 'one step forward' },
  back: { args: [], about: 'one step back' },
  seek: { args: ['step'], about: 'go to a step of the timeline' },
  smaps: { args: [], about: 'print smaps of the VMM' },
  digest: { args: [], about: 'print the digest of the machine' },
  clear: { args: [], about: 'empty the console' },
  help: { args: ['topic?'], about: 'this list, or one command' },
};

const bare = (arg: string): string => arg.replace(/[?…]$/, '');
const isOptional = (arg: string): boolean => arg.endsWith('?');

const WHOSE = { cpu: '[--cpu N]', vm: '[--vm NAME]' } as const;
const whoseOf = (name: string): readonly ('cpu' | 'vm')[] =>
  Object.hasOwn(STEP_VERBS, name) ? (STEP_VERBS[name]?.whose ?? ['cpu', 'vm']) : [];

/** `dontneed GPA LEN [ARG] [--cpu N] [--vm NAME]` */
export function usage(name: string): string {
  const verb = STEP_VERBS[name] ?? PAGE_VERBS[name];
  if (!verb) return name;
  const args = verb.args.map((a) =>
    isOptional(a) ? `[${bare(a).toUpperCase()}]` : `${bare(a).toUpperCase()}${a.endsWith('…') ? '…' : ''}`,
  );
  const flags = (verb.flags ?? []).map((f) => `[--${f}]`);
  const whose = whoseOf(name).map((w) => WHOSE[w]);
  return [name, ...args, ...flags, ...whose].join(' ');
}

export function helpText(topic: string | undefined): string {
  const line = (name: string) =>
    `${usage(name).padEnd(56)} ${(STEP_VERBS[name] ?? PAGE_VERBS[name])?.about ?? ''}`;
  if (topic) return STEP_VERBS[topic] || PAGE_VERBS[topic] ? line(topic) : `no command "${topic}"`;
  return [
    'These become steps of the timeline (back undoes them):',
    ...Object.keys(STEP_VERBS).map(line),
    'These look or move:',
    ...Object.keys(PAGE_VERBS).map(line),
    'Addresses and sizes: 4096, 0x1000, 4K, 1G, 5G+2M.',
  ].join('\n');
}

const PLAIN_NUMBER = /^(0x[0-9a-f_]+|[0-9][0-9_]*)$/i;
/** Steps take text such as `4K` for addresses, but bytes, sizes and cpu numbers only as numbers. */
const numeric = (text: string): number | string =>
  PLAIN_NUMBER.test(text) ? Number(text.replaceAll('_', '')) : text;
const NUMERIC_ARGS = new Set(['byte', 'size', 'bytes', 'cpu', 'passes', 'slot']);

/** The line with `--vm` in it, if it is a step of a VM and does not say of which. */
export function withVm(line: string, vm: string): string {
  const words = line.trim().split(/\s+/);
  const isOfVm = whoseOf((words[0] ?? '').toLowerCase()).includes('vm');
  return isOfVm && !words.includes('--vm') ? `${line.trim()} --vm ${vm}` : line;
}

export function parseCommand(line: string): Command | undefined {
  const words = line.trim().split(/\s+/).filter(Boolean);
  const [first, ...rest] = words;
  if (first === undefined) return undefined;
  const name = first.toLowerCase();
  const isStep = Object.hasOwn(STEP_VERBS, name);
  const verb = isStep ? STEP_VERBS[name] : Object.hasOwn(PAGE_VERBS, name) ? PAGE_VERBS[name] : undefined;
  if (!verb) return { problem: `no command "${first}"; type help` };

  const given: Record<string, unknown> = {};
  const positional: string[] = [];
  for (let i = 0; i < rest.length; i++) {
    const word = rest[i] as string;
    if (!word.startsWith('--')) {
      positional.push(word);
      continue;
    }
    const flag = word.slice(2);
    const next = rest[i + 1];
    if (whoseOf(name).some((w) => w === flag) && next !== undefined) {
      given[flag] = flag === 'cpu' ? numeric(next) : next;
      i++;
    } else if (verb.flags?.includes(flag)) given[flag] = true;
    else return { problem: `${name}: "${word}" is not understood; usage: ${usage(name)}` };
  }

  for (const arg of verb.args) {
    const key = bare(arg);
    if (arg.endsWith('…')) given[key] = positional.splice(0).map(numeric);
    else {
      const word = positional.shift();
      if (word !== undefined) given[key] = NUMERIC_ARGS.has(key) ? numeric(word) : word;
      else if (!isOptional(arg)) return { problem: `${name}: ${key} is missing; usage: ${usage(name)}` };
    }
  }
  if (positional.length > 0)
    return { problem: `${name}: "${positional[0]}" is too much; usage: ${usage(name)}` };
  return isStep ? { step: { [name]: given } } : toPage(name, given);
}

function toPage(name: string, given: Readonly<Record<string, unknown>>): Command {
  const text = (key: string, otherwise: string) => (typeof given[key] === 'string' ? given[key] : otherwise);
  switch (name) {
    case 'help':
      return { page: 'help', topic: typeof given.topic === 'string' ? given.topic : undefined };
    case 'seek':
      return { page: 'seek', target: text('step', '0') };
    case 'select':
    case 'walk':
      return { page: name, gpa: text('gpa', '0'), len: text('len', '4K') };
    default:
      return { page: name as 'step' | 'back' | 'clear' | 'digest' | 'smaps' };
  }
}
