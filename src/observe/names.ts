// Numbers and their names.
import { Errno } from '../../assembly/abi/errno.ts';
import { Func, MEMCTL_FUNC_LAST, MemctlFunc } from '../../assembly/abi/pvmemcontrol.ts';
import type { AbiName } from '../types.ts';

export const errnoName = (errno: number): string => Errno[errno] ?? `errno ${errno}`;

/** Requests by function code of the merged generation, as scenario files and counters name them. */
export const FUNC_NAMES = [
  'info',
  'dontneed',
  'remove',
  'free',
  'pageout',
  'dontdump',
  'set-vma-anon-name',
  'mlock',
  'munlock',
  'mprotect-none',
  'mprotect-r',
  'mprotect-w',
  'mprotect-rw',
  'mergeable',
  'unmergeable',
] as const;

export const funcName = (code: bigint): string => FUNC_NAMES[Number(code)] ?? `function ${code}`;

const MEMCTL: Readonly<Record<number, Func>> = {
  [MemctlFunc.Unmergeable]: Func.Unmergeable,
  [MemctlFunc.Dontdump]: Func.Dontdump,
  [MemctlFunc.SetVmaAnonName]: Func.SetVmaAnonName,
};

/** What a function code means to a device of this generation. */
export function requestName(abi: AbiName, code: bigint): string {
  if (abi === 'pvmemcontrol') return funcName(code);
  if (code > BigInt(MEMCTL_FUNC_LAST)) return `function ${code}`;
  return funcName(BigInt(MEMCTL[Number(code)] ?? code));
}
