// The place in the address bar: `#s=dontneed-1g&t=3&sel=0x40000000+4K&lens=slat&do=3:dontneed_1G_4K`.
// Readable keys, only what is not the default, and in the hash: it is never sent to a server.
// Reference: docs/web.md "Links".
import { hex } from '../src/address.ts';
import { parseInteger } from '../src/size.ts';
import type { Lens } from '../src/types.ts';
import type { Insertion } from './engine/port.ts';
import { LENSES } from './model/lens.ts';
import type { Range } from './model/view.ts';

export interface Place {
  readonly scenario: string | undefined;
  readonly step: number;
  /** Name of the VM that the panels show; undefined for the first. */
  readonly vm: string | undefined;
  readonly selection: Range | undefined;
  readonly lens: Lens;
  readonly insertions: readonly Insertion[];
}

const DEFAULT_LENS: Lens = 'backing';

/** Percent signs only where they are needed: these are as good as letters in a hash. */
const encode = (text: string): string =>
  encodeURIComponent(text).replace(/%(2B|3A|2F)/g, (escaped) => decodeURIComponent(escaped));
/** Spaces as `_`, since `%20` is hard to read. In numbers `_` only groups digits; elsewhere it is written `~`. */
const encodeLine = (line: string): string =>
  encode(
    line
      .trim()
      .split(/\s+/)
      .map((word) => (/^[0-9]/.test(word) ? word.replaceAll('_', '') : word.replaceAll('_', '~')))
      .join('_'),
  );
const decode = (text: string): string => decodeURIComponent(text);

export function toHash({ scenario, step, vm, selection, lens, insertions }: Place): string {
  const parts: string[] = [];
  if (scenario) parts.push(`s=${encode(scenario)}`);
  if (step > 0) parts.push(`t=${step}`);
  if (vm) parts.push(`vm=${encode(vm)}`);
  if (selection) parts.push(`sel=${hex(selection.gpa)}+${hex(selection.len)}`);
  if (lens !== DEFAULT_LENS) parts.push(`lens=${lens}`);
  if (insertions.length > 0)
    parts.push(`do=${insertions.map(({ at, line }) => `${at}:${encodeLine(line)}`).join(',')}`);
  return parts.length > 0 ? `#${parts.join('&')}` : '';
}

/** Keeps what parses; `dropped` names the rest, for a notice. */
export function fromHash(hash: string): { place: Place; dropped: string[] } {
  const dropped: string[] = [];
  let scenario: string | undefined;
  let step = 0;
  let vm: string | undefined;
  let selection: Range | undefined;
  let lens = DEFAULT_LENS;
  let insertions: Insertion[] = [];
  for (const part of hash.replace(/^#/, '').split('&').filter(Boolean)) {
    const [key, ...rest] = part.split('=');
    try {
      const value = decode(rest.join('='));
      if (key === 's') scenario = value.replace(/^builtin:/, '');
      else if (key === 't') step = parseCount(value);
      else if (key === 'vm') vm = value;
      else if (key === 'sel') selection = parseRange(value);
      else if (key === 'lens') lens = parseLens(value);
      else if (key === 'do') insertions = value.split(',').map(parseInsertion);
      else dropped.push(part);
    } catch {
      dropped.push(part);
    }
  }
  return { place: { scenario, step, vm, selection, lens, insertions }, dropped };
}

function parseCount(text: string): number {
  if (!/^[0-9]{1,9}$/.test(text)) throw new RangeError(text);
  return Number(text);
}

/** `0x140203000+4K`: the last term is the length. */
function parseRange(text: string): Range {
  const plus = text.lastIndexOf('+');
  const [gpa, len] = plus < 0 ? [text, '4K'] : [text.slice(0, plus), text.slice(plus + 1)];
  return { gpa: parseInteger(gpa), len: parseInteger(len) };
}

function parseLens(text: string): Lens {
  const found = LENSES.find((l) => l.id === text);
  if (!found) throw new RangeError(text);
  return found.id;
}

function parseInsertion(text: string): Insertion {
  const colon = text.indexOf(':');
  return {
    at: parseCount(text.slice(0, colon)),
    line: text
      .slice(colon + 1)
      .replaceAll('_', ' ')
      .replaceAll('~', '_'),
  };
}
