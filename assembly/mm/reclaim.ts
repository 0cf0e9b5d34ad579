// Frames for the VMM's pages, and reclaim when there are none (sweep.ts): what can be dropped first, then swap.
import { EventKind } from '../abi/events';
import { HOST_FRAMES, HOST_RECLAIM_LOCK, HOST_SWAP } from '../base/layout';
import { lock, unlock } from '../base/lock';
import { threaded } from '../base/thread';
import { frameZero } from '../frames/bytes';
import { pageGet, pagesFree, pageTakeFresh } from '../frames/cache';
import { poolTotal } from '../frames/pool';
import { event } from '../trace/events';
import { sweepClean, sweepDroppable, sweepSwap } from './sweep';

/** MAX_RECLAIM_RETRIES */
const ATTEMPTS: u32 = 16;

/** A frame with any content, after reclaim if need be; 0 when there is none to be had. */
// @ts-ignore: decorator
@inline
export function frameGet(vm: usize): u32 {
  const page = pageGet(HOST_FRAMES);
  return page != 0 ? page : frameReclaimed(vm);
}

/** The same, zeroed. */
// @ts-ignore: decorator
@inline
export function frameGetZeroed(vm: usize): u32 {
  const page = frameGet(vm);
  if (page != 0 && !pageTakeFresh(HOST_FRAMES, page)) frameZero(page);
  return page;
}

function frameReclaimed(vm: usize): u32 {
  // One thread at a time; those that waited find what it freed.
  lock(HOST_RECLAIM_LOCK);
  let page = threaded() ? pageGet(HOST_FRAMES) : 0;
  if (page == 0 && sweepDroppable()) page = pageGet(HOST_FRAMES);
  if (page == 0 && sweepClean()) page = pageGet(HOST_FRAMES);
  // What came free others may have taken, who need no reclaim: a huge page is hundreds of frames (linux: should_reclaim_retry).
  for (let attempts: u32 = 0; page == 0 && attempts < ATTEMPTS && pagesFree(HOST_SWAP) != 0; attempts++) {
    const freed = sweepSwap();
    page = pageGet(HOST_FRAMES);
    if (!freed || !threaded()) break;
  }
  unlock(HOST_RECLAIM_LOCK);
  if (page == 0) event(EventKind.Oom, vm, 0, poolTotal(HOST_FRAMES), 0, 0);
  return page;
}
