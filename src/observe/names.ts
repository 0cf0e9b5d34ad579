// Numbers and their names.
import { Errno } from '../../assembly/abi/errno.ts';

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
