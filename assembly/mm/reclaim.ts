// Frames for the VMM's pages, and reclaim when there are none: lazily freed pages first, then swap.
// Deterministic: a hand goes round the pages of all VMs in address order. Locked VMAs are never touched,
// nor is the pinned page (a straddling access holds its first page while it faults in the second).
// Reference: linux mm/vmscan.c, mm/rmap.c try_to_unmap_one (what happens to each kind of page).
import { Counter, EventKind } from '../abi/events';
import {
  HOST_FRAMES, HOST_HAND_VM, HOST_HAND_VPN, HOST_LAZY, HOST_PIN_VM, HOST_PIN_VPN, HOST_SWAP, HOST_VM_COUNT,
  VM_BASE, VM_DIR_LEN, VM_ID, VM_RSS, VM_SIZE, VPN_BASE,
} from '../base/layout';
import { bitClear, bitGet, bitSet } from '../base/bits';
import { frameCopy, frameZero } from '../frames/bytes';
import { poolFree, poolGet, poolPut, poolTakeFresh, poolTotal } from '../frames/pool';
import { notify } from '../memslot/notify';
import { count, event } from '../trace/events';
import {
  addBacked, addSwapped, BACKED, chunkAt, chunkIndex, DIRTY, hint, HINT_LAZY, HINT_SWAPPED, LAZY, nextChunk,
  NODE_HINTS, nodeOf, pageSlot, SWAPPED, WRITABLE,
} from './page-state';
import { VMA_END, VMA_FLAGS, vmaOf } from './vma';
import { VM_LOCKED } from '../abi/vm-flags';

/** As many pages as Linux takes in one go (SWAP_CLUSTER_MAX). */
const BATCH: u32 = 32;

/** A frame with any content, after reclaim if need be; 0 when there is none to be had. */
// @ts-ignore: decorator
@inline
export function frameGet(vm: usize): u32 {
  const page = poolGet(HOST_FRAMES);
  return page != 0 ? page : frameReclaimed(vm);
}

/** The same, zeroed. */
// @ts-ignore: decorator
@inline
export function frameGetZeroed(vm: usize): u32 {
  const page = frameGet(vm);
  if (page != 0 && !poolTakeFresh(HOST_FRAMES, page)) frameZero(page);
  return page;
}

function frameReclaimed(vm: usize): u32 {
  if (load<u32>(HOST_LAZY) != 0) sweep(true);
  let page = poolGet(HOST_FRAMES);
  if (page == 0 && poolFree(HOST_SWAP) != 0) {
    sweep(false);
    page = poolGet(HOST_FRAMES);
  }
  if (page == 0) event(EventKind.Oom, vm, 0, poolTotal(HOST_FRAMES), 0, 0);
  return page;
}

/**
 * One round of the hand at most, until BATCH pages are free. `lazy`: drop lazily freed pages and put those
 * that were written again back among the others; else: swap out.
 */
function sweep(lazy: bool): void {
  const vms = load<u32>(HOST_VM_COUNT);
  let v = load<u32>(HOST_HAND_VM);
  let vpn = load<u64>(HOST_HAND_VPN);
  let freed: u32 = 0;
  // The VM in which the hand stands is visited twice: from the hand on, and at last up to it.
  for (let visits: u32 = 0; visits <= vms && freed < BATCH; visits++) {
    const vm = VM_BASE + <usize>v * VM_SIZE;
    const end = VPN_BASE + ((<u64>load<u32>(vm, VM_DIR_LEN)) << 18);
    if (vpn < VPN_BASE) vpn = VPN_BASE;
    if (load<u64>(vm, VM_RSS) == 0) vpn = end;
    while (freed < BATCH) {
      vpn = nextChunk(vm, vpn, end);
      if (vpn >= end) break;
      const node = nodeOf(vm, vpn);
      const index = chunkIndex(vpn);
      const stop = ((vpn >> 9) + 1) << 9;
      if (lazy && (load<u8>(node + index, NODE_HINTS) & HINT_LAZY) == 0) {
        vpn = stop;
        continue;
      }
      while (vpn < stop && freed < BATCH) {
        const vma = vmaOf(vm, vpn);
        if (vma == 0) {
          vpn++;
          continue;
        }
        let till = load<u64>(vma, VMA_END);
        if (till > stop) till = stop;
        if ((load<u32>(vma, VMA_FLAGS) & VM_LOCKED) != 0) {
          vpn = till;
          continue;
        }
        const chunk = chunkAt(node, index);
        for (; vpn < till && freed < BATCH; vpn++) {
          if (!bitGet(chunk + BACKED, <u32>vpn & 511) || pinned(vm, vpn)) continue;
          freed += <u32>(lazy ? dropLazy(vm, vpn) : pageOut(vm, vpn));
          if (!lazy && poolFree(HOST_SWAP) == 0) freed = max<u32>(freed, BATCH);
        }
      }
    }
    if (freed >= BATCH) break;
    v = v + 1 < vms ? v + 1 : 0;
    vpn = VPN_BASE;
  }
  store<u32>(HOST_HAND_VM, v);
  store<u64>(HOST_HAND_VPN, vpn);
}

function pinned(vm: usize, vpn: u64): bool {
  return load<u64>(HOST_PIN_VPN) == vpn && load<u32>(HOST_PIN_VM) == load<u32>(vm, VM_ID) + 1;
}

/** Reclaim's look at a lazily freed page: clean is dropped (true), dirty goes back among the others. */
function dropLazy(vm: usize, vpn: u64): bool {
  const node = nodeOf(vm, vpn);
  const chunk = chunkAt(node, chunkIndex(vpn));
  const i = <u32>vpn & 511;
  if (!bitGet(chunk + LAZY, i)) return false;
  return pageOut(vm, vpn);
}

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
    store<u32>(HOST_LAZY, load<u32>(HOST_LAZY) - 1);
    bitClear(chunk + LAZY, i);
    if (bitGet(chunk + DIRTY, i)) return false;
    count(vm, Counter.ReclaimLazy);
    event(EventKind.ReclaimLazy, vm, 1, vpn, 0, 0);
  } else {
    slot = poolGet(HOST_SWAP);
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
  poolPut(HOST_FRAMES, frame);
  return true;
}
