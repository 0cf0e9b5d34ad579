// Frames and groups of them that come free: what reclaim itself may use. Those that are got: reclaim.ts.
import { HOST_FRAMES, VM_MEMORY } from '../base/layout';
import { pagePut } from '../frames/cache';
import { hugePut } from '../frames/huge';
import { GROUP } from '../frames/pool';
import { uncharge } from './charge';

/** A frame comes free that `vm` was charged for. */
// @ts-ignore: decorator
@inline
export function framePut(vm: usize, frame: u32): void {
  uncharge(vm, VM_MEMORY, 1);
  pagePut(HOST_FRAMES, frame);
}

/** The same for 512 frames of a huge page. */
export function groupPut(vm: usize, first: u32): void {
  uncharge(vm, VM_MEMORY, GROUP);
  hugePut(first);
}
