// Giving a piece of a VMA new flags or a new name: merge with neighbours, else split.
// Reference: linux mm/vma.c, vma_modify and vma_merge_existing_range; rules 7.2–7.8 of the recordings.
import { Errno } from '../abi/errno';
import { Counter, EventKind } from '../abi/events';
import { VM_MAX_MAPS, VM_OTHER_MAPS, VM_VMA_COUNT } from '../base/layout';
import { count, event } from '../trace/events';
import {
  NONE, VMA_ANON, VMA_END, VMA_FLAGS, VMA_NAME, VMA_START, vmaAt, vmaDelete, vmaFind, vmaForget, vmaInsert, vmaNext, vmaPrev,
} from './vma';

/** is_mergeable_anon_vma: at least one has none, or they are the same. */
// @ts-ignore: decorator
@inline
function anonCompatible(a: u32, b: u32): bool {
  return a == 0 || b == 0 || a == b;
}

/** Whether vm.max_map_count leaves no room for one more VMA. */
export function mapsFull(vm: usize): bool {
  return load<u32>(vm, VM_VMA_COUNT) + load<u32>(vm, VM_OTHER_MAPS) >= load<u32>(vm, VM_MAX_MAPS);
}

/** split_vma: cut the VMA that contains vpn there; vpn is not its start. ENOMEM at the limit, nothing changed. */
export function vmaSplit(vm: usize, vpn: u64): Errno {
  return mapsFull(vm) ? Errno.ENOMEM : vmaCut(vm, vpn);
}

/** The same without a look at the limit (linux: __split_vma). ENOMEM only without metadata pages. */
export function vmaCut(vm: usize, vpn: u64): Errno {
  vmaForget(vm);
  const v = vmaAt(vm, vmaFind(vm, vpn));
  const end = load<u64>(v, VMA_END);
  const flags = load<u32>(v, VMA_FLAGS);
  const anon = load<u32>(v, VMA_ANON);
  const name = load<u64>(v, VMA_NAME);
  // Shorten first, so that the new part's place in the order is free.
  store<u64>(v, vpn, VMA_END);
  if (!vmaInsert(vm, vpn, end, flags, anon, name)) {
    store<u64>(vmaAt(vm, vmaFind(vm, vpn - 1)), end, VMA_END);
    return Errno.ENOMEM;
  }
  count(vm, Counter.VmaSplits);
  event(EventKind.VmaSplit, vm, 0, vpn, 0, 0);
  return Errno.OK;
}

function merged(vm: usize, start: u64, end: u64): Errno {
  count(vm, Counter.VmaMerges);
  event(EventKind.VmaMerge, vm, 0, start, end, 0);
  return Errno.OK;
}

/**
 * The piece [a, b), inside one VMA, gets `flags` and `name`; the caller has seen that they differ from the VMA's.
 * ENOMEM when a needed cut is refused; a cut made before it stays (7.8).
 */
export function vmaModify(vm: usize, a: u64, b: u64, flags: u32, name: u64): Errno {
  vmaForget(vm);
  const cursor = vmaFind(vm, a);
  const v = vmaAt(vm, cursor);
  const start = load<u64>(v, VMA_START);
  const end = load<u64>(v, VMA_END);
  const anon = load<u32>(v, VMA_ANON);

  let left: usize = 0;
  if (a == start) {
    const c = vmaPrev(vm, cursor);
    if (c != NONE) {
      const p = vmaAt(vm, c);
      if (load<u64>(p, VMA_END) == a && takes(p, flags, name, anon)) left = p;
    }
  }
  let right: usize = 0;
  const nextCursor = b == end ? vmaNext(vm, cursor) : NONE;
  if (nextCursor != NONE) {
    const p = vmaAt(vm, nextCursor);
    if (load<u64>(p, VMA_START) == b && takes(p, flags, name, anon)) right = p;
  }
  // Both may take the piece and still not each other: then the left one wins.
  if (left != 0 && right != 0 && !anonCompatible(load<u32>(left, VMA_ANON), load<u32>(right, VMA_ANON))) right = 0;

  if (left != 0) {
    const leftAnon = load<u32>(left, VMA_ANON);
    const rightAnon: u32 = right != 0 ? load<u32>(right, VMA_ANON) : 0;
    const newEnd = right != 0 ? load<u64>(right, VMA_END) : b;
    const newStart = load<u64>(left, VMA_START);
    const newAnon = leftAnon != 0 ? leftAnon : anon != 0 ? anon : rightAnon;
    if (right != 0) {
      vmaDelete(vm, nextCursor);
      vmaDelete(vm, vmaFind(vm, start));
      left = vmaAt(vm, vmaFind(vm, newStart));
    }
    store<u32>(left, newAnon, VMA_ANON);
    store<u64>(left, newEnd, VMA_END);
    if (right == 0) {
      if (b == end) vmaDelete(vm, cursor);
      else store<u64>(v, b, VMA_START);
    }
    return merged(vm, newStart, newEnd);
  }
  if (right != 0) {
    if (load<u32>(right, VMA_ANON) == 0) store<u32>(right, anon, VMA_ANON);
    store<u64>(right, a, VMA_START);
    const newEnd = load<u64>(right, VMA_END);
    if (a == start) vmaDelete(vm, cursor);
    else store<u64>(v, a, VMA_END);
    return merged(vm, a, newEnd);
  }
  if (a > start) {
    const error = vmaSplit(vm, a);
    if (error != Errno.OK) return error;
  }
  if (b < end) {
    const error = vmaSplit(vm, b);
    if (error != Errno.OK) return error;
  }
  const piece = vmaAt(vm, vmaFind(vm, a));
  store<u32>(piece, flags, VMA_FLAGS);
  store<u64>(piece, name, VMA_NAME);
  return Errno.OK;
}

/** Whether neighbour p would take a piece with these flags, name and anon_vma. */
function takes(p: usize, flags: u32, name: u64, anon: u32): bool {
  return load<u32>(p, VMA_FLAGS) == flags && load<u64>(p, VMA_NAME) == name && anonCompatible(load<u32>(p, VMA_ANON), anon);
}
