// Faults of the VMM's own page table on private anonymous memory. Host accesses, populate and the
// SLAT's violations all end here. Reference: linux mm/memory.c do_anonymous_page, do_swap_page, do_wp_page.
import { Counter, EventKind } from '../abi/events';
import { Status } from '../abi/status';
import { VM_READ, VM_WRITE, VMA_NAME_TEXT, VMA_NAMED } from '../abi/vm-flags';
import { HOST_FRAMES, HOST_NEXT_ANON_VMA, HOST_SWAP } from '../base/layout';
import { bitClear, bitGet, bitSet } from '../base/bits';
import { THREADS, threaded } from '../base/thread';
import { frameCopy } from '../frames/bytes';
import { pagePut, pageTakeFresh } from '../frames/cache';
import { notify } from '../memslot/notify';
import { count, event } from '../trace/events';
import {
  addBacked, addSwapped, BACKED, CHUNK_NODE, chunkAt, chunkIndex, chunkMake, chunkOf, DIRTY, hint, HINT_ZERO, nodeOf,
  pageSlot, SWAPPED, WRITABLE, ZERO,
} from './page-state';
import { frameGet, frameGetZeroed } from './reclaim';
import { vmaOf, vmasLock, vmasLockAll, vmasUnlock } from './look-up';
import { setAnon } from './modify';
import { firstPart, isBorder, lastPart } from './regions';
import { VMA_ANON, VMA_END, VMA_FLAGS, VMA_START, vmaFind, vmaNext, vmaPrev } from './vma';

/** An access of the VMM process to its page vpn: permission, then fault. The chunk is locked by the caller. */
export function hostAccess(vm: usize, vpn: u64, write: bool): Status {
  const vma = vmaOf(vm, vpn);
  if (vma == 0) return Status.SegvMaperr;
  const flags = load<u32>(vma, VMA_FLAGS);
  // x86-64 has no page that can be written and not read.
  const allowed = write ? flags & VM_WRITE : flags & (VM_READ | VM_WRITE);
  return allowed != 0 ? faultIn(vm, vpn, write, vma, chunkOf(vm, vpn)) : Status.SegvAccerr;
}

/**
 * Make page vpn present, writable and dirty for a write; present for a read (`.` becomes the zero page).
 * `vma` is its VMA (vmaOf), whose permission the caller has checked, `chunk` its chunk, 0 when absent.
 * Ok or OutOfMemory, then nothing changed.
 */
export function faultIn(vm: usize, vpn: u64, write: bool, vma: usize, chunk: usize): Status {
  const i = <u32>vpn & 511;
  if (chunk != 0) {
    if (bitGet(chunk + BACKED, i)) {
      if (write) {
        bitSet(chunk + DIRTY, i);
        bitSet(chunk + WRITABLE, i);
      }
      return Status.Ok;
    }
    if (bitGet(chunk + SWAPPED, i)) return swapIn(vm, vpn, write, vma, chunk);
    if (!write && bitGet(chunk + ZERO, i)) return Status.Ok;
  }
  return write ? anonymousPage(vm, vpn, vma, chunk) : zeroPage(vm, vpn, chunk);
}

function zeroPage(vm: usize, vpn: u64, chunk: usize): Status {
  if (chunk == 0) chunk = chunkMake(vm, vpn);
  if (chunk == 0) return Status.OutOfMemory;
  bitSet(chunk + ZERO, <u32>vpn & 511);
  hint(load<u32>(chunk, CHUNK_NODE), chunkIndex(vpn), HINT_ZERO);
  count(vm, Counter.FaultsMinor);
  event(EventKind.Fault, vm, 0, vpn, 0x7a, 0); // z
  return Status.Ok;
}

function anonymousPage(vm: usize, vpn: u64, vma: usize, chunk: usize): Status {
  // The frame first: reclaim may run, and nothing of this page may be half done then.
  const frame = frameGetZeroed(vm);
  if (frame == 0) return Status.OutOfMemory;
  if (chunk == 0) chunk = chunkMake(vm, vpn);
  if (chunk == 0) {
    pagePut(HOST_FRAMES, frame);
    return Status.OutOfMemory;
  }
  anonPrepare(vm, vpn, vma);
  const i = <u32>vpn & 511;
  if (bitGet(chunk + ZERO, i)) {
    // The zero page may be mapped in the SLAT (linux: wp_page_copy's notifier).
    notify(vm, vpn, vpn + 1);
    bitClear(chunk + ZERO, i);
  }
  store<u32>(pageSlot(chunk, i), frame);
  bitSet(chunk + BACKED, i);
  bitSet(chunk + DIRTY, i);
  bitSet(chunk + WRITABLE, i);
  addBacked(vm, load<u32>(chunk, CHUNK_NODE), chunkIndex(vpn), 1);
  count(vm, Counter.FaultsMinor);
  event(EventKind.Fault, vm, 0, vpn, 0x61, 0); // a
  return Status.Ok;
}

/** A page read back in is clean until written; either way its slot is given up at once (rule 3.3). */
function swapIn(vm: usize, vpn: u64, write: bool, vma: usize, chunk: usize): Status {
  const frame = frameGet(vm);
  if (frame == 0) return Status.OutOfMemory;
  pageTakeFresh(HOST_FRAMES, frame);
  const i = <u32>vpn & 511;
  const slot = load<u32>(pageSlot(chunk, i));
  frameCopy(frame, slot);
  pagePut(HOST_SWAP, slot);
  store<u32>(pageSlot(chunk, i), frame);
  bitClear(chunk + SWAPPED, i);
  bitSet(chunk + BACKED, i);
  if (write) bitSet(chunk + DIRTY, i);
  if ((load<u32>(vma, VMA_FLAGS) & VM_WRITE) != 0) bitSet(chunk + WRITABLE, i);
  addSwapped(vm, -1);
  addBacked(vm, load<u32>(chunk, CHUNK_NODE), chunkIndex(vpn), 1);
  count(vm, Counter.FaultsMajor);
  count(vm, Counter.SwapIns);
  event(EventKind.SwapIn, vm, 0, vpn, slot, 0);
  event(EventKind.Fault, vm, 1, vpn, 0x61, 0);
  return Status.Ok;
}

/** anon_vma_prepare: with its first anonymous page a VMA takes over a neighbour's anon_vma, or a new one (7.3). */
// @ts-ignore: decorator
@inline
function anonPrepare(vm: usize, vpn: u64, vma: usize): void {
  if (load<u32>(vma, VMA_ANON) == 0) store<u32>(vma, anonOf(vm, vpn), VMA_ANON);
}

function anonOf(vm: usize, vpn: u64): u32 {
  vmasLock(vm, vpn, vpn);
  let v = vmaFind(vm, vpn);
  if (threaded() && (isBorder(vm, load<u64>(v, VMA_START)) || isBorder(vm, load<u64>(v, VMA_END)))) {
    // It, or a neighbour, may have parts in other regions.
    vmasUnlock();
    vmasLockAll(vm);
    v = vmaFind(vm, vpn);
  }
  let anon = load<u32>(v, VMA_ANON);
  if (anon == 0) {
    anon = anonOfNeighbours(vm, v);
    if (anon == 0) anon = newAnon();
    setAnon(vm, v, anon);
  }
  vmasUnlock();
  return anon;
}

function anonOfNeighbours(vm: usize, vma: usize): u32 {
  const last = lastPart(vm, vma);
  const next = vmaNext(vm, last);
  const anon = next != 0 ? reusable(last, next, vma, next) : 0;
  if (anon != 0) return anon;
  const first = firstPart(vm, vma);
  const prev = vmaPrev(vm, first);
  return prev != 0 ? reusable(prev, first, vma, prev) : 0;
}

/** Numbers of anon_vmas are the host's: VMs whose threads run count them together. */
function newAnon(): u32 {
  if (THREADS) {
    if (threaded()) return atomic.add<u32>(HOST_NEXT_ANON_VMA, 1);
  }
  const anon = load<u32>(HOST_NEXT_ANON_VMA);
  store<u32>(HOST_NEXT_ANON_VMA, anon + 1);
  return anon;
}

/** anon_vma of `other` if low and high touch and their flags differ at most in r/w/x and the name. */
function reusable(low: usize, high: usize, v: usize, other: usize): u32 {
  if (load<u64>(low, VMA_END) != load<u64>(high, VMA_START)) return 0;
  const ignored: u32 = VM_READ | VM_WRITE | VMA_NAMED | VMA_NAME_TEXT;
  if (((load<u32>(v, VMA_FLAGS) ^ load<u32>(other, VMA_FLAGS)) & ~ignored) != 0) return 0;
  return load<u32>(other, VMA_ANON);
}

/** Frame behind a backed page, 0 when the page is not backed. */
// @ts-ignore: decorator
@inline
export function frameOf(vm: usize, vpn: u64): u32 {
  const node = nodeOf(vm, vpn);
  const chunk = node == 0 ? <usize>0 : chunkAt(node, chunkIndex(vpn));
  const i = <u32>vpn & 511;
  return chunk != 0 && bitGet(chunk + BACKED, i) ? load<u32>(pageSlot(chunk, i)) : 0;
}
