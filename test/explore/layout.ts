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
/** Chunks of the largest guest here. */
export const CHUNKS = 16;
/** Of the locks in use. */
export const LOCKS_END = LOCKS + CHUNKS * LOCK_SIZE;
/** Page caches of a vCPU thread: places in its run record. */
export const RUN_CACHES = [
  { from: place('RUN_CACHE_ARENA'), to: place('RUN_LOCAL') },
  { from: place('RUN_CACHE_FRAMES'), to: place('RUN_CACHE_FRAMES') + 512 },
];
export const VM_DEV_LOCK = place('VM_DEV_LOCK');
export const VM_SEQUENCE = place('VM_SEQUENCE');
export const VM_LOCKED_VM = place('VM_LOCKED_VM');
/** Of a pool's record, assembly/frames/pool.ts. */
export const POOL_LOCK = Number(constants('assembly/frames/pool.ts').LOCK);
