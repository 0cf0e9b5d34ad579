// Frames that are mapped more than once: how often, and on whose behalf. Only pages of KSM are; an anonymous page has one
// owner, and of a file's page the mappings are looked up (mm/file.ts).
//
// ╒═ 0 mappings u32 ═╤═ 4 address of the stable node u32 (mm/ksm.ts) ═╕
import { HOST_FRAMES, HOST_SHARED } from '../base/layout';
import { THREADS, threaded } from '../base/thread';
import { poolBase } from './pool';

export const SHARED_SIZE: usize = 8;
const NODE: usize = 4;

// @ts-ignore: decorator
@inline
function recordOf(frame: u32): usize {
  return <usize>load<u32>(HOST_SHARED) + <usize>(frame - poolBase(HOST_FRAMES)) * SHARED_SIZE;
}

// @ts-ignore: decorator
@inline
export function frameMappings(frame: u32): u32 {
  if (THREADS) return atomic.load<u32>(recordOf(frame));
  return load<u32>(recordOf(frame));
}

/** Add `by` mappings; how many there are then. Threads that unmap the same page from different chunks meet here. */
export function frameMapped(frame: u32, by: i32): u32 {
  const p = recordOf(frame);
  if (THREADS) {
    if (threaded()) return atomic.add<u32>(p, by) + by;
  }
  const n = load<u32>(p) + by;
  store<u32>(p, n);
  return n;
}

// @ts-ignore: decorator
@inline
export function frameNode(frame: u32): usize {
  return load<u32>(recordOf(frame), NODE);
}

export function frameSetNode(frame: u32, node: usize): void {
  store<u32>(recordOf(frame), 0);
  store<u32>(recordOf(frame), <u32>node, NODE);
}
