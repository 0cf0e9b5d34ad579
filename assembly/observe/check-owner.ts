// Who owns what, for check(): a bitmap a pool, in which each page may be set once.
import { HOST_ARENA, SCRATCH, SCRATCH_SIZE } from '../base/layout';
import { bitGet, bitSet } from '../base/bits';
import { poolBase, poolBumped } from '../frames/pool';

/** What is wrong; the host language has a sentence for each. */
export enum Broken {
  Nothing = 0,
  OwnedTwice = 1,
  Leaked = 2,
  OutsidePool = 3,
  CountDiffers = 4,
  StateContradicts = 5,
  VmaOrder = 6,
  SlatStale = 7,
  SlatPermission = 8,
  PageWithoutVma = 9,
  PoolTooLarge = 10,
  ChargeDiffers = 11,
  CountsAsFresh = 12,
  SlotOrder = 13,
}

export function at(where: u64, e: Broken): Broken {
  store<u64>(SCRATCH + SCRATCH_SIZE - 8, where);
  return e;
}

/** End of the ownership bitmap for a pool that starts at `from`. */
export function bitmapOf(pool: usize, from: usize): usize {
  return from + (((<usize>poolBumped(pool) + 63) >> 6) << 3);
}

export function own(pool: usize, bitmap: usize, page: u32): Broken {
  const i = page - poolBase(pool);
  if (i >= poolBumped(pool)) return at(page, Broken.OutsidePool);
  if (bitGet(bitmap, i)) return at(page, Broken.OwnedTwice);
  bitSet(bitmap, i);
  return Broken.Nothing;
}

export function ownFrames(pool: usize, bitmap: usize, first: u32, count: u32): Broken {
  for (let i: u32 = 0; i < count; i++) {
    const e = own(pool, bitmap, first + i);
    if (e != Broken.Nothing) return e;
  }
  return Broken.Nothing;
}

export function ownRun(arena: usize, address: usize, pages: u32): Broken {
  return ownFrames(HOST_ARENA, arena, <u32>(address >> 12), pages);
}
