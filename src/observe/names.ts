// Numbers and their names.
import { Errno } from '../../assembly/abi/errno.ts';
import { Func, MEMCTL_FUNC_LAST, MemctlFunc } from '../../assembly/abi/pvmemcontrol.ts';
import { REQUESTS } from '../requests.ts';
import type { AbiName } from '../types.ts';

export const errnoName = (errno: number): string => Errno[errno] ?? `errno ${errno}`;

/** Of the merged generation. */
export const funcName = (code: bigint): string => REQUESTS[Number(code)] ?? `function ${code}`;

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
