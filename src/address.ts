// Address kinds that never mix. gva gpa hva hpa: guest/host, virtual/physical address;
// gfn, pfn: guest and host frame numbers.
import { SlatboxError } from './errors.ts';
import { parseInteger } from './size.ts';

export type Brand<T, B extends string> = T & { readonly __brand: B };
export type Gva = Brand<bigint, 'Gva'>;
export type Gpa = Brand<bigint, 'Gpa'>;
export type Hva = Brand<bigint, 'Hva'>;
export type Hpa = Brand<bigint, 'Hpa'>;
export type Gfn = Brand<number, 'Gfn'>;
export type Pfn = Brand<number, 'Pfn'>;

export const PAGE_SHIFT = 12;
export const PAGE_SIZE = 4096;

const U64_MAX = (1n << 64n) - 1n;

function address(value: bigint | number | string, kind: string): bigint {
  const n = parseInteger(value, kind);
  if (n < 0n || n > U64_MAX) {
    throw new SlatboxError('SLB-010', `${kind}: ${n} is not an unsigned 64-bit number`, 'from 0 to 2^64 - 1');
  }
  return n;
}

/** A guest-physical address from a number, a bigint or text (`0x…`, `5G+2M`). SlatboxError SLB-010. */
export const gpa = (value: bigint | number | string): Gpa => address(value, 'gpa') as Gpa;
/** A guest-virtual (linear) address. */
export const gva = (value: bigint | number | string): Gva => address(value, 'gva') as Gva;
export const hva = (value: bigint | number | string): Hva => address(value, 'hva') as Hva;
export const hpa = (value: bigint | number | string): Hpa => address(value, 'hpa') as Hpa;

/** `0x1_4020_3000`: groups of four, for people. */
export function formatAddress(value: bigint): string {
  const hex = value.toString(16);
  return `0x${hex.replace(/\B(?=(?:[0-9a-f]{4})+$)/g, '_')}`;
}
/** `0x140203000`: for machines and for copying. */
export const hex = (value: bigint | number): string => `0x${value.toString(16)}`;
