// hugetlb pages of 1 GiB, set aside when the host is made (linux: hugepagesz=1G hugepages=N): no frames of the pool, and
// never anything else. They lie behind all other memory, so a frame's number tells whether it belongs to one.
// Reference: linux 6.18 mm/hugetlb.c (gather_bootmem_prealloc, dequeue_hugetlb_folio_node_exact, enqueue_hugetlb_folio).
import { Fail } from '../abi/fail';
import {
  HOST_FRAMES, HOST_GIGANTIC_BASE, HOST_GIGANTIC_FREE, HOST_GIGANTIC_TOTAL, HOST_GIGANTIC_USED,
} from '../base/layout';
import { lock, unlock } from '../base/lock';
import { framesZero } from './bytes';
import { fails } from './fail';
import { poolLock } from './pool';

/** 4 KiB pages of 1 GiB. */
export const GIGANTIC: u32 = 1 << 18;

/** `total` pages of 1 GiB from page `base` on; u32.MAX_VALUE and 0 for none. */
export function giganticInit(base: u32, total: u32): void {
  store<u32>(HOST_GIGANTIC_BASE, base);
  store<u32>(HOST_GIGANTIC_TOTAL, total);
  store<u32>(HOST_GIGANTIC_FREE, (1 << total) - 1);
}

// @ts-ignore: decorator
@inline
export function isGigantic(frame: u32): bool {
  return frame >= load<u32>(HOST_GIGANTIC_BASE);
}

/** The number of the page of 1 GiB that has `frame`. */
export function giganticOf(frame: u32): u32 {
  return (frame - load<u32>(HOST_GIGANTIC_BASE)) / GIGANTIC;
}

/** First frame of a zeroed page of 1 GiB, 0 when none is free. One never used, which is zero already, comes first. */
export function giganticGetZeroed(): u32 {
  if (fails(Fail.Group)) return 0;
  lock(poolLock(HOST_FRAMES));
  const free = load<u32>(HOST_GIGANTIC_FREE);
  const used = load<u32>(HOST_GIGANTIC_USED);
  const fresh = free & ~used;
  const n = <u32>ctz(fresh != 0 ? fresh : free);
  if (free != 0) {
    store<u32>(HOST_GIGANTIC_FREE, free & ~(<u32>1 << n));
    store<u32>(HOST_GIGANTIC_USED, used | (<u32>1 << n));
  }
  unlock(poolLock(HOST_FRAMES));
  if (free == 0) return 0;
  const first = load<u32>(HOST_GIGANTIC_BASE) + n * GIGANTIC;
  if (fresh == 0) framesZero(first, GIGANTIC);
  return first;
}

export function giganticPut(first: u32): void {
  assert(((first - load<u32>(HOST_GIGANTIC_BASE)) & (GIGANTIC - 1)) == 0);
  lock(poolLock(HOST_FRAMES));
  store<u32>(HOST_GIGANTIC_FREE, load<u32>(HOST_GIGANTIC_FREE) | (<u32>1 << giganticOf(first)));
  unlock(poolLock(HOST_FRAMES));
}
