// Numbers for people. Addresses are grouped on screen; `copy` texts use the plain form of src/address.ts.
import { formatAddress, hex } from '../src/address.ts';
import { isBytes } from '../src/scenario/index.ts';
import { formatSize } from '../src/size.ts';

export { formatAddress, hex };

/** Bytes of any size; lengths are bigints on the page. */
export const bytesText = (n: bigint | number): string => formatSize(Number(n));

/** A 64-bit value with all its digits: `0x0000_0001_0123_5907`. */
export function fullHex(value: bigint, bits: 32 | 64): string {
  const digits = BigInt.asUintN(bits, value)
    .toString(16)
    .padStart(bits / 4, '0');
  return `0x${digits.replace(/\B(?=(?:[0-9a-f]{4})+$)/g, '_')}`;
}

export const count = (n: number): string => n.toLocaleString('en');

/** `+12`, `−3`: with a real minus sign, so that columns line up. */
export function signed(n: number, text: (n: number) => string): string {
  return n === 0 ? '' : n > 0 ? `+${text(n)}` : `−${text(-n)}`;
}

export const counterText = (name: string, value: number): string =>
  isBytes(name) ? bytesText(value) : count(value);
