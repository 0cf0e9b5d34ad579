// Groups of 512 frames, contiguous and aligned: what a huge page is made of. Reference: linux mm/page_alloc.c, order 9.
import { Fail } from '../abi/fail';
import { HOST_FRAMES } from '../base/layout';
import { lock, unlock } from '../base/lock';
import { framesZero } from './bytes';
import { fails } from './fail';
import { GROUP, poolPopGroup, poolPutGroup, poolBase, poolBump, poolBumped, poolFresh, poolHigh, poolLock, poolPut, poolRegroup } from './pool';

/** First frame of a zeroed group, 0 when free frames, however many, are none. */
export function hugeGetZeroed(): u32 {
  if (fails(Fail.Group)) return 0;
  lock(poolLock(HOST_FRAMES));
  let first = poolPopGroup(HOST_FRAMES);
  let fresh: bool = false;
  if (first == 0) {
    first = bumpGroup();
    if (first != 0) fresh = poolHigh(HOST_FRAMES, first, GROUP);
    else if (poolRegroup(HOST_FRAMES)) first = poolPopGroup(HOST_FRAMES);
  }
  unlock(poolLock(HOST_FRAMES));
  if (first != 0 && !fresh) framesZero(first, GROUP);
  return first;
}

/** A group never used before. The frames in front of it, up to where it is aligned, become single ones. */
function bumpGroup(): u32 {
  const gap = (GROUP - (poolBumped(HOST_FRAMES) & (GROUP - 1))) & (GROUP - 1);
  if (poolFresh(HOST_FRAMES) < gap + GROUP) return 0;
  if (gap != 0) {
    const first = poolBump(HOST_FRAMES, gap);
    for (let i = gap; i != 0; i--) poolPut(HOST_FRAMES, first + i - 1);
  }
  return poolBump(HOST_FRAMES, GROUP);
}

/** All 512 frames of a group come free. */
export function hugePut(first: u32): void {
  assert(((first - poolBase(HOST_FRAMES)) & (GROUP - 1)) == 0);
  lock(poolLock(HOST_FRAMES));
  poolPutGroup(HOST_FRAMES, first);
  unlock(poolLock(HOST_FRAMES));
}
