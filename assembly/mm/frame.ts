// Frames that come free, and groups of them that are had without reclaim: what reclaim itself may use.
import { HOST_FRAMES } from '../base/layout';
import { pagePut } from '../frames/cache';

/** A frame that `vm` had comes free. */
// @ts-ignore: decorator
@inline
export function framePut(vm: usize, frame: u32): void {
  pagePut(HOST_FRAMES, frame);
}
