// Reclaim of one anonymous page. Reference: linux mm/vmscan.c, mm/rmap.c try_to_unmap_one.
import { Counter, EventKind } from '../abi/events';
import { VM_LAZY } from '../base/layout';
import { bitClear, bitGet, bitSet } from '../base/bits';
import { add } from '../base/thread';
import { frameCopy } from '../frames/bytes';
import { notify } from '../memslot/notify';
import { count, event } from '../trace/events';
import { framePut } from './frame';
import {
  addBacked, addSwapped, BACKED, chunkAt, chunkIndex, DIRTY, hint, HINT_SWAPPED, LAZY, nodeOf, pageSlot, SWAPPED, WRITABLE,
} from './page-state';
import { swapGet } from './swap';

/**
 * Reclaim one backed page (mapped once): `l` is dropped, `d` is rescued to `a`, `a` goes to swap when there
 * is a slot. True when its frame came free. The chunk stays, even when empty: callers hold it.
 */
export function pageOut(vm: usize, vpn: u64): bool {
  const node = nodeOf(vm, vpn);
  const index = chunkIndex(vpn);
  const chunk = chunkAt(node, index);
  const i = <u32>vpn & 511;
  const frame = load<u32>(pageSlot(chunk, i));
  const lazy = bitGet(chunk + LAZY, i);
  let slot: u32 = 0;
  if (lazy) {
    notify(vm, vpn, vpn + 1);
    add(vm, VM_LAZY, -1);
    bitClear(chunk + LAZY, i);
    if (bitGet(chunk + DIRTY, i)) return false;
    count(vm, Counter.ReclaimLazy);
    event(EventKind.ReclaimLazy, vm, 1, vpn, 0, 0);
  } else {
    slot = swapGet(vm);
    if (slot == 0) return false;
    notify(vm, vpn, vpn + 1);
    frameCopy(slot, frame);
    bitSet(chunk + SWAPPED, i);
    hint(node, index, HINT_SWAPPED);
    addSwapped(vm, 1);
    count(vm, Counter.ReclaimSwapout);
    event(EventKind.SwapOut, vm, 0, vpn, slot, 0);
  }
  store<u32>(pageSlot(chunk, i), slot);
  bitClear(chunk + BACKED, i);
  bitClear(chunk + DIRTY, i);
  bitClear(chunk + WRITABLE, i);
  addBacked(vm, node, index, -1);
  framePut(vm, frame);
  return true;
}
