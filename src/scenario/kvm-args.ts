// Arguments of the steps in schema-kvm.ts, as they are in a file and as an action has them.
import { parseInteger } from '../size.ts';
import type { MemoryKind } from '../types.ts';
import type { IntegerSpec } from './format.ts';
import type { PROTECTIONS } from './schema-kvm.ts';

/** What is left out has the step's default. */
export interface KvmArgs {
  readonly slot: number;
  readonly flags: readonly string[];
  readonly hva: bigint | undefined;
  /** Of memslot.create: the slot has the memory that is at this gpa. */
  readonly alias: bigint | undefined;
  /** Name of a file. */
  readonly file: string | undefined;
  readonly offset: bigint;
  readonly cap: string;
  readonly first: bigint;
  /** Pages; undefined: all from `first` on. */
  readonly count: bigint | undefined;
  /** Page numbers; undefined: all. */
  readonly list: readonly number[] | undefined;
  /** `private`, `shared`; of migrate a VM. */
  readonly to: string;
  /** Of guest-memfd.convert: `zero`, `preserve`, or '' where it is not said. */
  readonly contents: string;
  readonly prot: (typeof PROTECTIONS)[number];
  readonly shared: boolean;
  readonly advice: string;
  readonly stop: number | undefined;
  readonly rounds: number | undefined;
  readonly writes: number;
  readonly every: number | undefined;
  /** Of load and store: the memory that the guest means. */
  readonly kind: MemoryKind | undefined;
  /** Whether the step has a gpa. */
  readonly isGuestPlace: boolean;
}

export function kvmArgs(raw: Readonly<Record<string, unknown>>): KvmArgs {
  const integer = (key: string): bigint | undefined =>
    raw[key] === undefined ? undefined : parseInteger(raw[key] as IntegerSpec, key);
  const text = (key: string): string => (raw[key] as string | undefined) ?? '';
  const number = (key: string): number | undefined => raw[key] as number | undefined;
  return {
    slot: number('slot') ?? 0,
    flags: (raw.flags as string[] | undefined) ?? [],
    hva: integer('hva'),
    alias: integer('alias'),
    file: raw.file as string | undefined,
    offset: integer('offset') ?? 0n,
    cap: text('cap'),
    first: integer('first') ?? 0n,
    count: integer('count'),
    list: raw.list === undefined ? undefined : pagesOf(String(raw.list)),
    to: text('to'),
    contents: text('contents'),
    prot: (raw.prot as KvmArgs['prot'] | undefined) ?? 'rw',
    shared: raw.shared === true,
    advice: text('advice'),
    stop: number('stop'),
    rounds: number('rounds'),
    writes: number('writes') ?? 0,
    every: number('every'),
    kind: raw.kind as MemoryKind | undefined,
    isGuestPlace: raw.gpa !== undefined,
  };
}

/** `0-2,512` as ranges, both ends included. */
export const rangesOf = (list: string): (readonly [from: number, to: number])[] =>
  list
    .split(',')
    .filter(Boolean)
    .map((part) => {
      const [from = 0, to = from] = part.split('-').map(Number);
      return [from, to] as const;
    });

const pagesOf = (list: string): number[] =>
  rangesOf(list).flatMap(([from, to]) => Array.from({ length: to - from + 1 }, (_, i) => from + i));

/** Ascending numbers as `0-2,512`. */
export function listOf(pages: ArrayLike<number>): string {
  const parts: string[] = [];
  for (let i = 0; i < pages.length; ) {
    const from = pages[i] as number;
    let to = from;
    while (++i < pages.length && pages[i] === to + 1) to++;
    parts.push(to > from ? `${from}-${to}` : String(from));
  }
  return parts.join(',');
}
