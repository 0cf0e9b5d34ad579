// Expectations: does a value of the machine, or of an earlier result, match what the scenario says?
import { Errno } from '../../assembly/abi/errno.ts';
import { hex } from '../address.ts';
import { formatSize, parseInteger } from '../size.ts';
import { isBytes } from './counters.ts';
import type { ScalarSpec } from './format.ts';
import type { FieldValue } from './outcome.ts';
import type { Conditions } from './schema.ts';

export interface Expectation {
  readonly key: string;
  /** `host.rss = 1 GiB`, the condition in words. */
  readonly expected: string;
  readonly actual: string;
  readonly ok: boolean;
}

/** A value now, and what it was: before the last action, or after the step with an id. */
export interface Subject {
  readonly now: FieldValue | undefined;
  readonly before: FieldValue | undefined;
  readonly after: (id: string) => FieldValue | undefined;
}

const isNumeric = (value: unknown): value is number | bigint =>
  typeof value === 'number' || typeof value === 'bigint';

/** Text of the file as the number it means: a size, or an errno by name; undefined if neither. */
function numberOf(spec: ScalarSpec, key: string): bigint | undefined {
  if (typeof spec === 'number') return Number.isInteger(spec) ? BigInt(spec) : undefined;
  if (typeof spec !== 'string') return undefined;
  if (key.endsWith('errno')) {
    const errno: unknown = Errno[spec as keyof typeof Errno];
    if (typeof errno === 'number') return BigInt(errno);
  }
  const negative = spec.startsWith('-');
  try {
    const n = parseInteger(negative ? spec.slice(1) : spec);
    return negative ? -n : n;
  } catch {
    return undefined;
  }
}

function equals(spec: ScalarSpec, actual: FieldValue, key: string): boolean {
  // Text that is digits alone comes out of YAML as a number.
  if (!isNumeric(actual)) return spec === actual || (typeof spec === 'number' && String(spec) === actual);
  const wanted = numberOf(spec, key);
  return wanted !== undefined && wanted === BigInt(actual);
}

export function show(key: string, value: FieldValue | undefined): string {
  if (value === undefined) return 'nothing';
  if (key.endsWith('errno') && isNumeric(value)) return Errno[Number(value)] ?? String(value);
  if (typeof value === 'bigint') return hex(value);
  return typeof value === 'number' && isBytes(key) ? exactSize(value) : String(value);
}

/** With units, and with all digits where units round: 1G+4K is not 1.00 GiB. */
function exactSize(bytes: number): string {
  const text = formatSize(bytes);
  return text.includes('.') ? `${text} (${bytes})` : text;
}

/** As the file has it; numbers, which come without their notation, in the notation of the actual value. */
function showSpec(key: string, spec: ScalarSpec, now: FieldValue | undefined): string {
  if (typeof spec !== 'number' || !Number.isInteger(spec) || spec < 0) return String(spec);
  return show(key, typeof now === 'bigint' ? BigInt(spec) : spec);
}

/** All conditions on one key. */
export function match(key: string, matcher: ScalarSpec | Conditions, subject: Subject): Expectation {
  const name = key.replace(/^counters\./, '');
  const { now } = subject;
  const said: string[] = [];
  let ok = now !== undefined;
  const condition = (text: string, holds: boolean): void => {
    said.push(text);
    ok &&= holds;
  };

  if (typeof matcher !== 'object' || matcher === null) {
    condition(`= ${showSpec(name, matcher, now)}`, now !== undefined && equals(matcher, now, name));
  } else {
    const { min, max, oneOf, unchanged, change } = matcher;
    const n = isNumeric(now) ? BigInt(now) : undefined;
    if (min !== undefined) {
      const least = numberOf(min, name);
      condition(`≥ ${showSpec(name, min, now)}`, n !== undefined && least !== undefined && n >= least);
    }
    if (max !== undefined) {
      const most = numberOf(max, name);
      condition(`≤ ${showSpec(name, max, now)}`, n !== undefined && most !== undefined && n <= most);
    }
    if (oneOf !== undefined) {
      const list = oneOf.map((spec) => showSpec(name, spec, now)).join(', ');
      condition(`one of ${list}`, now !== undefined && oneOf.some((spec) => equals(spec, now, name)));
    }
    if (unchanged !== undefined) {
      const then = unchanged === true ? subject.before : subject.after(unchanged);
      condition(`unchanged (${show(name, then)})`, now === then);
    }
    if (change !== undefined) {
      const by = numberOf(change, name);
      const { before } = subject;
      condition(
        `changed by ${showSpec(name, change, now)}`,
        n !== undefined && isNumeric(before) && n - BigInt(before) === by,
      );
    }
  }
  return { key, expected: `${name} ${said.join(', ')}`, actual: show(name, now), ok };
}
