// Names of numbers that the guest and the device exchange.
// Reference: assembly/abi (the one source of the numbers); linux uapi memctl.h for the first generation.
import { Errno } from '../../assembly/abi/errno.ts';
import { FUNC_LAST, MEMCTL_FUNC_LAST } from '../../assembly/abi/pvmemcontrol.ts';
import { REQUESTS } from '../../src/requests.ts';
import type { AbiName } from '../../src/types.ts';

export function errnoName(value: bigint): string {
  return value === 0n ? 'success' : (Errno[Number(value)] ?? 'no errno that the device gives');
}

/** Codes that memctl gave to other functions than the merged generation did. */
const MEMCTL_NAMES: Readonly<Record<number, string>> = {
  5: 'unmergeable',
  6: 'dontdump',
  13: 'set-vma-anon-name',
};

/** The function that a code means to a device of this generation. */
export function functionName(value: bigint, abi: AbiName): string {
  const memctl = abi === 'memctl';
  if (value > BigInt(memctl ? MEMCTL_FUNC_LAST : FUNC_LAST)) return 'no function';
  const code = Number(value);
  const name = (memctl ? MEMCTL_NAMES[code] : undefined) ?? REQUESTS[code] ?? '';
  return name.toUpperCase().replaceAll('-', '_');
}
