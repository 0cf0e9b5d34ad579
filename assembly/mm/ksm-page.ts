// A page that KSM shares: its stable node, and how mappings of it end. The scanner is in ksm.ts.
// Reference: linux mm/ksm.c (struct ksm_stable_node, break_ksm, remove_rmap_item_from_tree); rule 8 of the recordings.
//
// ╒═ stable node, 40 bytes ═══════════════════════════════════════════════════════════╕
// │ 0 frame u32, 0 when nobody maps it any more │ 4 items u32 │ 8 flags u32            │
// │ 12 next in its bucket (or free) u32 │ 16 sum of its contents u64 │ 24 VM u32         │
// ╘═══════════════════════════════════════════════════════════════════════════════════╛
// items: addresses that the scanner noted here; they stay noted until it comes by again, whatever they map by then.
import { frameMapped, frameMappings, frameNode, frameSetNode } from '../frames/shared';
import { framePut } from './frame';

export const NODE_FRAME: usize = 0;
export const NODE_ITEMS: usize = 4;
const NODE_FLAGS: usize = 8;
export const NODE_NEXT: usize = 12;
export const NODE_SUM: usize = 16;
export const NODE_VM: usize = 24;
export const NODE_SIZE: usize = 40;

/** PG_dirty and, taken away by MADV_FREE, PG_swapbacked of the page. */
const FOLIO_DIRTY: u32 = 1;
const FOLIO_LAZY: u32 = 2;

/** Whether reclaim may drop the page: freed lazily, and not written since. */
export function ksmIsLazy(frame: u32): bool {
  return load<u32>(frameNode(frame), NODE_FLAGS) == FOLIO_LAZY;
}

export function ksmIsDirty(frame: u32): bool {
  return (load<u32>(frameNode(frame), NODE_FLAGS) & FOLIO_DIRTY) != 0;
}

/** Whether PG_swapbacked is there: reclaim swaps the page, and does not drop or rescue it. */
export function ksmIsSwapBacked(frame: u32): bool {
  return (load<u32>(frameNode(frame), NODE_FLAGS) & FOLIO_LAZY) == 0;
}

/** The VM that is charged for the page, whoever maps it by now: the one whose page became the shared one. */
export function ksmChargedTo(frame: u32): usize {
  return load<u32>(frameNode(frame), NODE_VM);
}

/** The frame of a private page becomes one that KSM shares, mapped once. It keeps whether it was freed lazily, but is dirty. */
export function ksmStart(node: usize, vm: usize, frame: u32, lazy: bool, sum: u64): void {
  store<u32>(node, frame, NODE_FRAME);
  store<u32>(node, 0, NODE_ITEMS);
  store<u32>(node, FOLIO_DIRTY | (lazy ? FOLIO_LAZY : 0), NODE_FLAGS);
  store<u64>(node, sum, NODE_SUM);
  store<u32>(node, <u32>vm, NODE_VM);
  frameSetNode(frame, node);
  frameMapped(frame, 1);
}

/** One mapping less. With the last the frame comes free; the node stays as long as items are noted there. */
export function ksmUnmapped(vm: usize, frame: u32): void {
  if (frameMapped(frame, -1) != 0) return;
  const node = frameNode(frame);
  store<u32>(node, 0, NODE_FRAME);
  framePut(load<u32>(node, NODE_VM), frame);
}

/** MADV_FREE. A dirty page that others map too is left alone: they did not free it. */
export function ksmFree(frame: u32): void {
  if (ksmIsDirty(frame) && frameMappings(frame) != 1) return;
  store<u32>(frameNode(frame), FOLIO_LAZY, NODE_FLAGS);
}

/** Reclaim's look at a page that was freed lazily and written again: it is only taken back into use. */
export function ksmRescue(frame: u32): void {
  store<u32>(frameNode(frame), FOLIO_DIRTY, NODE_FLAGS);
}
