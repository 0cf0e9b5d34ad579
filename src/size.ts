// Sizes and addresses as people write them: 4K, 1G, 5G+2M, 0x1000, 4096, 1_000.
import { SlatboxError } from './errors.ts';

const UNIT: Readonly<Record<string, bigint>> = {
  '': 1n,
  K: 1n << 10n,
  M: 1n << 20n,
  G: 1n << 30n,
  T: 1n << 40n,
};
const TERM = /^(0x[0-9a-f_]+|[0-9][0-9_]*)([KMGT]?)(?:i?B)?$/i;

/** Number, bigint or text to bigint. `what` names the thing in the error (SLB-010). */
export function parseInteger(value: bigint | number | string, what = 'size'): bigint {
  if (typeof value === 'bigint') return value;
  if (typeof value === 'number') {
    if (!Number.isSafeInteger(value)) throw badInteger(String(value), what);
    return BigInt(value);
  }
  let sum = 0n;
  for (const term of value.split('+')) {
    const m = TERM.exec(term.trim());
    if (!m) throw badInteger(value, what);
    sum += BigInt((m[1] as string).replaceAll('_', '')) * (UNIT[(m[2] as string).toUpperCase()] as bigint);
  }
  return sum;
}

function badInteger(text: string, what: string): SlatboxError {
  return new SlatboxError(
    'SLB-010',
    `${what}: "${text}" is not a whole number or size`,
    'write 4096, 0x1000, 4K, 1G or 5G+2M',
  );
}

/** A size in bytes as a safe number, 0 ≤ n < 2^53. */
export function parseSize(value: bigint | number | string, what = 'size'): number {
  const n = parseInteger(value, what);
  if (n < 0n || n > BigInt(Number.MAX_SAFE_INTEGER)) throw badInteger(String(value), what);
  return Number(n);
}

/** Bytes for people, binary units, two decimals at most: `1.50 GiB`, `4 KiB`. */
export function formatSize(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let n = bytes;
  let u = 0;
  while (n >= 1024 && u < units.length - 1) {
    n /= 1024;
    u++;
  }
  return `${Number.isInteger(n) ? n : n.toFixed(2)} ${units[u]}`;
}
