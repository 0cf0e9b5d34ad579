// Giving a piece of a VMA new flags or a new name: merge with neighbours, else split.
// Reference: linux mm/vma.c, vma_modify and vma_merge_existing_range; rules 7.2–7.8 of the recordings.
import { Errno } from '../abi/errno';
import { Counter, EventKind } from '../abi/events';
import { SyncPoint } from '../abi/sync';
import { VM_ACCOUNT, VM_DONTEXPAND, VM_HUGETLB, VM_LOCKED } from '../abi/vm-flags';
import { VM_LOCKED_VM } from '../base/layout';
import { min } from '../base/math';
import { add, sync, threaded } from '../base/thread';
import { count, event } from '../trace/events';
import { mappingSplitAt } from './huge';
import { hugetlbPages } from './hugetlb';
import { vmasAllHeld, vmasLock, vmasLockAll, vmasUnlock } from './look-up';
import { mapsAdd, mapsAllow, mapsShare } from './map-count';
import { continuesAt, isBorder, setAnon } from './regions';
import {
  isBehind, LIST_CONTINUES, listOf, VMA_ANON, VMA_END, VMA_FLAGS, VMA_NAME, VMA_START, vmaDelete, vmaFind, vmaForget,
  vmaInsertBehind, vmaNext, vmaPrev,
} from './vma';

/** is_mergeable_anon_vma: at least one has none, or they are the same. */
// @ts-ignore: decorator
@inline
export function anonCompatible(a: u32, b: u32): bool {
  return a == 0 || b == 0 || a == b;
}

/** Whether vm.max_map_count leaves no room for one more VMA. On a vCPU thread that holds all lists. */
export function mapsFull(vm: usize): bool {
  if (mapsAllow(vm, 1)) return false;
  if (!threaded()) return true;
  mapsShare(vm);
  return !mapsAllow(vm, 1);
}

/** Whether the VMA may be cut at vpn: not inside a hugetlb page (linux: hugetlb_vm_op_split). */
export function cutAllowed(vm: usize, vma: usize, vpn: u64): bool {
  return (load<u32>(vma, VMA_FLAGS) & VM_HUGETLB) == 0 || (vpn & (hugetlbPages(vm) - 1)) == 0;
}

/** Whether one VMA has both vpn and the page before it. */
// @ts-ignore: decorator
@inline
function isInside(vm: usize, vma: usize, vpn: u64): bool {
  return load<u64>(vma, VMA_START) != vpn || continuesAt(vm, vpn);
}

/** Of the VMA that has both vpn, in part v, and the page before it: the part that has the latter. */
// @ts-ignore: decorator
@inline
function beforeIn(vm: usize, v: usize, vpn: u64): usize {
  return load<u64>(v, VMA_START) != vpn ? v : vmaPrev(vm, v);
}

/**
 * Two VMAs of the one that contains vpn and the page before it, whose part with that page is v. The part that begins at
 * vpn; 0, nothing changed, without metadata pages.
 */
function cut(vm: usize, v: usize, vpn: u64): usize {
  vmaForget(vm);
  let behind: usize;
  if (isBorder(vm, vpn)) {
    store<u32>(listOf(vm, vpn), 0, LIST_CONTINUES);
    behind = vmaNext(vm, v);
  } else {
    const end = load<u64>(v, VMA_END);
    // Shorten first, so that the new part's place in the order is free.
    store<u64>(v, vpn, VMA_END);
    behind = vmaInsertBehind(vm, v, end, load<u32>(v, VMA_FLAGS), load<u32>(v, VMA_ANON), load<u64>(v, VMA_NAME));
    if (behind == 0) {
      store<u64>(v, end, VMA_END);
      return 0;
    }
  }
  mapsAdd(vm, 1);
  mappingSplitAt(vm, vpn);
  return behind;
}

/** __split_vma: the same, without a look at the limit. */
export function vmaSplit(vm: usize, v: usize, vpn: u64): usize {
  const behind = cut(vm, v, vpn);
  if (behind == 0) return 0;
  count(vm, Counter.VmaSplits);
  event(EventKind.VmaSplit, vm, 0, vpn, 0, 0);
  return behind;
}

/** The VMA that ends at vpn and the one that begins there become one; all that they have is the same. */
function join(vm: usize, vpn: u64): void {
  if (isBorder(vm, vpn)) store<u32>(listOf(vm, vpn), 1, LIST_CONTINUES);
  else {
    const v = vmaFind(vm, vpn);
    const end = load<u64>(v, VMA_END);
    // Deleted first: its block is found by its start, which must not lie in another VMA. Then the one before it is found
    // anew, since blocks may have been joined.
    vmaDelete(vm, v);
    store<u64>(vmaFind(vm, vpn - 1), end, VMA_END);
  }
  mapsAdd(vm, -1);
}

/**
 * The piece [a, b), inside one VMA, gets `flags` and `name`. ENOMEM when a needed cut is refused; a cut made before it
 * stays (7.8). A vCPU thread has the locks of the piece's chunks, and takes those of the lists here if it has none.
 */
export function vmaModify(vm: usize, a: u64, b: u64, flags: u32, name: u64): Errno {
  if (vmasAllHeld(vm)) return modify(vm, a, b, flags, name);
  vmasLock(vm, a - 1, b);
  let error = modify(vm, a, b, flags, name);
  vmasUnlock();
  if (error != MORE_LISTS) return error;
  vmasLockAll(vm);
  error = modify(vm, a, b, flags, name);
  vmasUnlock();
  return error;
}

/** Nothing was done: it takes more lists than this thread holds. */
const MORE_LISTS = <Errno>-1;

function modify(vm: usize, a: u64, b: u64, flags: u32, name: u64): Errno {
  vmaForget(vm);
  const v = vmaFind(vm, a);
  const w = load<u64>(v, VMA_END) >= b ? v : vmaFind(vm, b - 1);
  const old = load<u32>(v, VMA_FLAGS);
  const anon = load<u32>(v, VMA_ANON);
  // mprotect gives accounting back only where no anonymous page has been (7.7); since it looked there may be one.
  if ((old & ~flags & VM_ACCOUNT) != 0 && anon != 0) flags |= VM_ACCOUNT;
  if (flags == old && name == load<u64>(v, VMA_NAME)) return Errno.OK;

  const cutA = isInside(vm, v, a);
  const cutB = load<u64>(w, VMA_END) != b || continuesAt(vm, b);
  // VM_DONTEXPAND, which every hugetlb VMA has, forbids all merging.
  const mergeable = (old & VM_DONTEXPAND) == 0;
  let left: usize = 0;
  if (!cutA && mergeable) {
    const p = vmaPrev(vm, v);
    if (p != 0 && load<u64>(p, VMA_END) == a && takes(p, flags, name, anon)) left = p;
  }
  let right: usize = 0;
  if (!cutB && mergeable) {
    const p = vmaNext(vm, w);
    if (p != 0 && load<u64>(p, VMA_START) == b && takes(p, flags, name, anon)) right = p;
  }
  if (left == 0 && right == 0) {
    if (!vmasAllHeld(vm) && !mapsAllow(vm, <i32>cutA + <i32>cutB)) return MORE_LISTS;
    let piece = v;
    if (cutA) {
      if (mapsFull(vm)) return Errno.ENOMEM;
      if (!cutAllowed(vm, v, a)) return Errno.EINVAL;
      piece = vmaSplit(vm, beforeIn(vm, v, a), a);
      if (piece == 0) return Errno.ENOMEM;
    }
    if (cutB) {
      if (mapsFull(vm)) return Errno.ENOMEM;
      if (!cutAllowed(vm, v, b)) return Errno.EINVAL;
      if (vmaSplit(vm, v == w ? piece : vmaFind(vm, b - 1), b) == 0) return Errno.ENOMEM;
    }
    sync(SyncPoint.Publish, piece);
    paint(vm, a, b, flags, name, anon);
  } else {
    // Both may take the piece and still not each other: then the left one wins.
    if (left != 0 && right != 0 && !anonCompatible(load<u32>(left, VMA_ANON), load<u32>(right, VMA_ANON))) right = 0;
    const error = merge(vm, a, b, left, right, v, w, flags, name);
    if (error != Errno.OK) return error;
  }
  if (((old ^ flags) & VM_LOCKED) != 0) add(vm, VM_LOCKED_VM, (flags & VM_LOCKED) != 0 ? b - a : a - b);
  return Errno.OK;
}

/** The piece [a, b), whose first part is in v and last one in w, goes to its neighbours, one of which may be 0. */
function merge(vm: usize, a: u64, b: u64, left: usize, right: usize, v: usize, w: usize, flags: u32, name: u64): Errno {
  const own = load<u32>(v, VMA_ANON);
  const leftAnon: u32 = left != 0 ? load<u32>(left, VMA_ANON) : 0;
  const rightAnon: u32 = right != 0 ? load<u32>(right, VMA_ANON) : 0;
  const anon = leftAnon != 0 ? leftAnon : left == 0 && rightAnon != 0 ? rightAnon : own != 0 ? own : rightAnon;
  // A neighbour that takes an anon_vma over may have parts in regions that are somebody else's.
  const adopts = (left != 0 && leftAnon != anon) || (right != 0 && rightAnon != anon);
  if (adopts && !vmasAllHeld(vm)) return MORE_LISTS;

  sync(SyncPoint.Publish, v);
  const start = left != 0 ? load<u64>(left, VMA_START) : a;
  const end = right != 0 ? load<u64>(right, VMA_END) : b;
  if (right == 0 && v == w && load<u64>(v, VMA_END) > b && !isBorder(vm, a)) {
    // The border between two VMAs of one list moves.
    store<u64>(left, b, VMA_END);
    store<u64>(v, b, VMA_START);
    mappingSplitAt(vm, b);
  } else if (left == 0 && v == w && load<u64>(v, VMA_START) < a && !isBorder(vm, b)) {
    store<u64>(right, a, VMA_START);
    store<u64>(v, a, VMA_END);
    mappingSplitAt(vm, a);
  } else if (left != 0 && right != 0 && isBehind(left, v) && isBehind(v, right)) {
    store<u64>(left, load<u64>(right, VMA_END), VMA_END);
    vmaDelete(vm, v, 2);
    mapsAdd(vm, -2);
  } else {
    if (right == 0 && (load<u64>(w, VMA_END) != b || continuesAt(vm, b)) && cut(vm, w, b) == 0) return Errno.ENOMEM;
    if (left == 0 && isInside(vm, v, a) && cut(vm, beforeIn(vm, v, a), a) == 0) return Errno.ENOMEM;
    paint(vm, a, b, flags, name, anon);
    if (right != 0) join(vm, b);
    if (left != 0) join(vm, a);
  }
  if (adopts) setAnon(vm, vmaFind(vm, a), anon);
  count(vm, Counter.VmaMerges);
  event(EventKind.VmaMerge, vm, 0, start, end, 0);
  return Errno.OK;
}

/** The VMAs of [a, b), which begin and end there, are to be one with these. */
function paint(vm: usize, a: u64, b: u64, flags: u32, name: u64, anon: u32): void {
  for (let v = vmaFind(vm, a); ; v = vmaNext(vm, v)) {
    store<u32>(v, flags, VMA_FLAGS);
    store<u32>(v, anon, VMA_ANON);
    store<u64>(v, name, VMA_NAME);
    if (load<u64>(v, VMA_END) >= b) return;
  }
}

/** Whether neighbour p would take a piece with these flags, name and anon_vma. */
export function takes(p: usize, flags: u32, name: u64, anon: u32): bool {
  return load<u32>(p, VMA_FLAGS) == flags && load<u64>(p, VMA_NAME) == name && anonCompatible(load<u32>(p, VMA_ANON), anon);
}
