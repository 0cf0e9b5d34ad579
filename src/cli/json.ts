// JSON of the command line: addresses and other 64-bit values as hex text, byte counts as numbers.
import { hex } from '../address.ts';

function plain(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return hex(value);
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex');
  return value;
}

export const toJson = (value: unknown): string => `${JSON.stringify(value, plain, 2)}\n`;
/** One line, for NDJSON. */
export const toJsonLine = (value: unknown): string => `${JSON.stringify(value, plain)}\n`;
