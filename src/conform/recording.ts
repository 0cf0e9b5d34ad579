// Reading a recording that may be malformed: every look at it says what it expects and where (SLB-03x).
// SLB-030 the file cannot be read, SLB-031 it is not what its kind's format says, SLB-032 another format version.
import { SlatboxError } from '../errors.ts';

export type JsonObject = { readonly [key: string]: unknown };

/** A place in a recording, for messages: the file and the path in it, such as `steps[3].op`. */
export interface Where {
  readonly file: string;
  readonly path: string;
}

export const at = (where: Where, key: string | number): Where => ({
  file: where.file,
  path: typeof key === 'number' ? `${where.path}[${key}]` : where.path ? `${where.path}.${key}` : key,
});

const describe = (value: unknown): string => {
  if (value === undefined) return 'nothing';
  const text = JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
};

/** The error for something that is not as the format says. */
export function malformed(where: Where, expected: string, actual: unknown): SlatboxError {
  const place = where.path === '' ? where.file : `${where.file}: ${where.path}`;
  return new SlatboxError(
    'SLB-031',
    `${place}: expected ${expected}, found ${describe(actual)}`,
    'is this the right KIND for this file, and is the file whole?',
  );
}

/** JSON text to a value; text that is no JSON is SLB-031. */
export function parseJson(text: string, file: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new SlatboxError('SLB-031', `${file}: not JSON: ${(error as Error).message}`);
  }
}

export function asObject(value: unknown, where: Where): JsonObject {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw malformed(where, 'an object', value);
  }
  return value as JsonObject;
}

/** Refuses fields that nobody reads: they could not be compared. */
export function onlyKeys(object: JsonObject, known: readonly string[], where: Where): void {
  const key = Object.keys(object).find((k) => !known.includes(k));
  if (key !== undefined) throw malformed(at(where, key), `only ${known.join(' ')}`, object[key]);
}

export function asArray(value: unknown, where: Where): readonly unknown[] {
  if (!Array.isArray(value)) throw malformed(where, 'an array', value);
  return value;
}

export function asString(value: unknown, where: Where): string {
  if (typeof value !== 'string') throw malformed(where, 'a text', value);
  return value;
}

export function asBoolean(value: unknown, where: Where): boolean {
  if (typeof value !== 'boolean') throw malformed(where, 'true or false', value);
  return value;
}

/** A whole number from `min` to `max`, both included. */
export function asInteger(
  value: unknown,
  where: Where,
  min = Number.MIN_SAFE_INTEGER,
  max = Number.MAX_SAFE_INTEGER,
): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < min || value > max) {
    const open = min === Number.MIN_SAFE_INTEGER && max === Number.MAX_SAFE_INTEGER;
    throw malformed(where, open ? 'a whole number' : `a whole number from ${min} to ${max}`, value);
  }
  return value;
}

/** A number, or text `"0x…"` where it is too large for one; at most 64 bits. */
export function asU64(value: unknown, where: Where): bigint {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return BigInt(value);
  if (typeof value === 'string' && /^0x[0-9a-f]{1,16}$/i.test(value)) return BigInt(value);
  throw malformed(where, 'a whole number or "0x…" below 2^64', value);
}
