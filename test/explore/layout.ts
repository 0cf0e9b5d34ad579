// Places in linear memory that only these tests look at, by the engine's own names (assembly/base/layout.ts).
import { constants } from '../support/assembly.ts';

const numbers = constants('assembly/base/layout.ts');

const place = (name: string): number => {
  const value = numbers[name];
  if (value === undefined) throw new Error(`no ${name} in the layout`);
  return Number(value);
};

export const LOCKS = place('LOCKS');
export const LOCK_SIZE = place('LOCK_SIZE');
/** Of the locks in use: a guest of 16 MiB has eight chunks. */
export const LOCKS_END = LOCKS + 8 * LOCK_SIZE;
export const VM_DEV_LOCK = place('VM_DEV_LOCK');
export const VM_LOCKED_VM = place('VM_LOCKED_VM');
