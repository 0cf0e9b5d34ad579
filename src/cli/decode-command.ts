// `slatbox decode`: one number of a page table or of a fault, in its fields. No machine is made.
import { hex } from '../address.ts';
import { SlatboxError } from '../errors.ts';
import {
  type BitLayout,
  decodeEptEntry,
  decodeEptPointer,
  decodeLongModeEntry,
  decodeStage2Entry,
  EPT_POINTER,
  EPT_QUALIFICATION,
  eptEntryLayout,
  fieldValue,
  type Granule,
  longModeLayout,
  NESTED_FAULT_INFO,
  PAGE_FAULT_CODE,
  STAGE2_SYNDROME,
  stage2Layout,
} from '../paging/index.ts';
import { parseInteger } from '../size.ts';
import { ExitCode } from './diagnostics.ts';
import type { Io } from './io.ts';
import { toJson } from './json.ts';

export interface DecodeOptions {
  readonly level?: string;
  readonly granule: Granule;
  readonly format: 'text' | 'json';
}

interface Format {
  readonly about: string;
  /** Levels of its tables, the default first; none where there is one value alone. */
  readonly levels: readonly number[];
  readonly layout: (value: bigint, level: number, granule: Granule) => BitLayout;
  /** What a processor makes of it, where the fields do not say so. */
  readonly verdict?: (value: bigint, level: number, granule: Granule) => string;
}

const X86_LEVELS = [1, 2, 3, 4, 5];
const present = (is: boolean): string => (is ? 'present' : 'not present');
const longMode = (about: string): Format => ({
  about,
  levels: X86_LEVELS,
  layout: longModeLayout,
  verdict: (value, level) => {
    const { reserved, present: is } = decodeLongModeEntry(value, level);
    return reserved === 0n ? present(is) : `page fault: reserved bits ${hex(reserved)}`;
  },
});

const FORMATS: Readonly<Record<string, Format>> = {
  ept: {
    about: 'EPT entry',
    levels: X86_LEVELS,
    layout: eptEntryLayout,
    verdict: (value, level) => {
      const { misconfiguration, present: is } = decodeEptEntry(value, level);
      return misconfiguration === undefined ? present(is) : `misconfiguration: ${misconfiguration}`;
    },
  },
  eptp: {
    about: 'EPT pointer',
    levels: [],
    layout: () => EPT_POINTER,
    verdict: (value) => {
      const { invalid } = decodeEptPointer(value);
      return invalid === undefined ? 'VM entry takes it' : `VM entry refuses it: ${invalid}`;
    },
  },
  'ept-violation': {
    about: 'exit qualification of an EPT violation',
    levels: [],
    layout: () => EPT_QUALIFICATION,
  },
  npt: longMode('AMD nested page table entry'),
  npf: { about: 'EXITINFO1 of a nested page fault', levels: [], layout: () => NESTED_FAULT_INFO },
  guest: longMode('entry of an x86-64 guest’s own page tables'),
  'page-fault': { about: 'error code of a page fault', levels: [], layout: () => PAGE_FAULT_CODE },
  stage2: {
    about: 'arm64 stage-2 descriptor',
    levels: [3, 2, 1, 0],
    layout: stage2Layout,
    verdict: (value, level, granule) => decodeStage2Entry(value, level, { granule }).kind,
  },
  'stage2-fault': { about: 'ESR_EL2 of a stage-2 abort', levels: [], layout: () => STAGE2_SYNDROME },
};

export const decodeFormats: readonly string[] = Object.keys(FORMATS);
/** `ept: EPT entry`, a line each. */
export const decodeHelp = (): string =>
  Object.entries(FORMATS)
    .map(([name, { about }]) => `  ${name.padEnd(15)}${about}\n`)
    .join('');

/** `name` is one of `decodeFormats`. SlatboxError SLB-049. */
export function decodeCommand(io: Io, name: string, text: string, o: DecodeOptions): ExitCode {
  const format = FORMATS[name] as Format;
  const value = parseValue(text);
  const level = parseLevel(name, format, o.level);
  const layout = format.layout(value, level, o.granule);
  const verdict = format.verdict?.(value, level, o.granule);
  if (o.format === 'json') {
    const fields = layout.fields.map((f) => {
      const v = fieldValue(value, f);
      return { high: f.high, low: f.low, name: f.name, value: v, meaning: f.meaning(v) };
    });
    const place = format.levels.length === 0 ? {} : { level };
    io.out(toJson({ format: name, value, ...place, layout: layout.name, verdict: verdict ?? null, fields }));
  } else {
    io.out(`${hex64(value)}  ${layout.name}${verdict === undefined ? '' : `: ${verdict}`}\n`);
    for (const f of layout.fields) {
      const v = fieldValue(value, f);
      const place = f.high === f.low ? `${f.high}` : `${f.high}:${f.low}`;
      io.out(`${place.padStart(7)}  ${f.name.padEnd(10)} ${hex(v).padEnd(14)} ${f.meaning(v)}\n`);
    }
  }
  return ExitCode.Ok;
}

const hex64 = (value: bigint): string => `0x${value.toString(16).padStart(16, '0')}`;

function parseValue(text: string): bigint {
  let value: bigint;
  try {
    value = parseInteger(text, 'value');
  } catch {
    throw new SlatboxError('SLB-049', `"${text}" is not a number`, 'write 0x0600000012345b77');
  }
  if (value >> 64n === 0n) return value;
  throw new SlatboxError(
    'SLB-049',
    `${hex(value)} has more than 64 bits`,
    'an entry has 16 hex digits at most',
  );
}

function parseLevel(name: string, { levels }: Format, text: string | undefined): number {
  if (text === undefined) return levels[0] ?? 0;
  const level = levels.find((l) => `${l}` === text);
  if (level !== undefined) return level;
  const hint = levels.length === 0 ? `${name} has none: leave it out` : `one of ${levels.join(', ')}`;
  throw new SlatboxError('SLB-049', `--level ${text} of ${name}`, hint);
}
