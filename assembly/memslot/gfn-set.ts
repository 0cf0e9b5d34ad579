// Sets of page numbers: the dirty pages of a slot, the private gfns of a VM. A tree whose leaves are bitmaps of 32768 pages
// (128 MiB), so that cost follows what is in it, never how far numbers go.
//
// ╒═ branch, a word: the root, or one of the 1024 u32 of a node's page ═══════════════════╕
// │ 0 nothing of it is in the set │ 1 all of it is │ else address of a node or a leaf      │
// ╘═══════════════════════════════════════════════════════════════════════════════════════╛
// A set has nodes of so many levels above its leaves as its largest number asks for: its depth, which its owner knows.
// Branches are made under the VM's tree lock; bits of a leaf are set with atomic instructions.
import { VM_TREE_LOCK } from '../base/layout';
import { bitsClear, bitsCount, bitsSet } from '../base/bits';
import { lock, unlock } from '../base/lock';
import { min } from '../base/math';
import { THREADS, threaded } from '../base/thread';
import { arenaGet, arenaPut } from '../frames/arena';

const NONE: u32 = 0;
const ALL: u32 = 1;
const LEAF_SHIFT: u64 = 15;
const LEAF_PAGES: u64 = 1 << LEAF_SHIFT;
const NODE_SHIFT: u64 = 10;

/** Depth of a set of numbers below `pages`, at most 2^35. */
export function setDepth(pages: u64): u32 {
  return pages <= LEAF_PAGES ? 0 : pages <= LEAF_PAGES << NODE_SHIFT ? 1 : 2;
}

/** How many numbers a branch at `depth` is about, as a power of two. */
// @ts-ignore: decorator
@inline
function spanShift(depth: u32): u64 {
  return LEAF_SHIFT + NODE_SHIFT * depth;
}

// @ts-ignore: decorator
@inline
function childAt(node: usize, depth: u32, i: u64): usize {
  return node + (<usize>((i >> spanShift(depth - 1)) & 1023) << 2);
}

// @ts-ignore: decorator
@inline
function bitAt(leaf: usize, i: u64): usize {
  return leaf + ((<usize>(i >> 6) & 511) << 3);
}

/** Whether i is in the set with root `at`. */
export function setHas(at: usize, depth: u32, i: u64): bool {
  let branch = load<u32>(at);
  for (; branch > ALL && depth != 0; depth--) branch = load<u32>(childAt(branch, depth, i));
  return branch > ALL ? ((load<u64>(bitAt(branch, i)) >> (i & 63)) & 1) != 0 : branch == ALL;
}

/** What i needs to be in the set is there, so that setAdd cannot fail. False, nothing changed, without a metadata page. */
export function setMake(vm: usize, at: usize, depth: u32, i: u64): bool {
  return leafMake(vm, at, depth, i) != 0;
}

/** i goes into the set. False, nothing changed, without a metadata page. `vm` has the lock. */
export function setAdd(vm: usize, at: usize, depth: u32, i: u64): bool {
  const leaf = leafMake(vm, at, depth, i);
  if (leaf <= <usize>ALL) return leaf != 0;
  const word = bitAt(leaf, i);
  const bit = (<u64>1) << (i & 63);
  if (THREADS) {
    if (threaded()) {
      atomic.or<u64>(word, bit);
      return true;
    }
  }
  store<u64>(word, load<u64>(word) | bit);
  return true;
}

/** The leaf of i, made when absent; ALL when a branch says so, 0 without metadata. */
function leafMake(vm: usize, p: usize, depth: u32, i: u64): usize {
  let branch = branchMake(vm, p);
  for (; branch > <usize>ALL && depth != 0; depth--) {
    p = childAt(branch, depth, i);
    branch = branchMake(vm, p);
  }
  return branch;
}

/** A node or a leaf for the branch at p, made when nothing of it is in the set; ALL when all is, 0 without metadata. */
function branchMake(vm: usize, p: usize): usize {
  const branch: usize = load<u32>(p);
  return branch == NONE ? split(vm, p) : branch;
}

/** The branch at p, of which nothing is in the set, becomes a page. The page, 0 without metadata. */
function split(vm: usize, p: usize): usize {
  const page = arenaGet();
  if (page == 0) return 0;
  lock(vm + VM_TREE_LOCK);
  const branch = load<u32>(p);
  if (branch <= ALL) publishBranch(p, page);
  unlock(vm + VM_TREE_LOCK);
  if (branch <= ALL) return page;
  arenaPut(page);
  return branch;
}

function publishBranch(p: usize, page: usize): void {
  if (THREADS) atomic.store<u32>(p, <u32>page);
  else store<u32>(p, <u32>page);
}

/** The same by who has the set to itself, of a branch that may be ALL. */
function splitAs(p: usize, depth: u32): usize {
  const branch = load<u32>(p);
  if (branch > ALL) return branch;
  const page = arenaGet();
  if (page == 0) return 0;
  if (branch == ALL) {
    if (depth == 0) memory.fill(page, 0xff, 4096);
    else for (let o: usize = 0; o < 4096; o += 4) store<u32>(page + o, ALL);
  }
  publishBranch(p, page);
  return page;
}

/**
 * What setChange of [from, to) will need is there. False, and the set as it was, without metadata. For this and all that
 * follows the caller has the set to itself.
 */
export function setReserve(at: usize, depth: u32, from: u64, to: u64): bool {
  return edge(at, depth, from) && edge(at, depth, to);
}

/** The pages on the way to the border before i, if that lies inside a leaf. */
function edge(at: usize, depth: u32, i: u64): bool {
  if ((i & (((<u64>1) << spanShift(depth)) - 1)) == 0) return true;
  const page = splitAs(at, depth);
  return page != 0 && (depth == 0 || edge(childAt(page, depth, i), depth - 1, i));
}

/** All of [from, to) goes in, or out. setReserve has been there. */
export function setChange(at: usize, depth: u32, from: u64, to: u64, value: bool): void {
  const shift = spanShift(depth);
  const span = (<u64>1) << shift;
  const first = from & ~(span - 1);
  if (from == first && to == first + span) {
    setFree(at, depth);
    store<u32>(at, value ? ALL : NONE);
    return;
  }
  const page: usize = load<u32>(at);
  if (page <= ALL) {
    // Nothing to do, or setReserve would have made a page of it.
    assert((page == ALL) == value);
    return;
  }
  if (depth == 0) {
    if (value) bitsSet(page, <u32>(from - first), <u32>(to - from));
    else bitsClear(page, <u32>(from - first), <u32>(to - from));
  } else {
    const step = (<u64>1) << spanShift(depth - 1);
    for (let i = from; i < to; ) {
      const next = min((i & ~(step - 1)) + step, to);
      setChange(childAt(page, depth, i), depth - 1, i, next, value);
      i = next;
    }
  }
  settle(at, depth, page);
}

/** A page that says the same of everything is given back. */
function settle(at: usize, depth: u32, page: usize): void {
  let branch = NONE;
  if (depth == 0) {
    const n = bitsCount(page, 0, 32768);
    if (n != 0 && n != 32768) return;
    branch = n == 0 ? NONE : ALL;
  } else {
    branch = load<u32>(page);
    if (branch > ALL) return;
    for (let o: usize = 4; o < 4096; o += 4) if (load<u32>(page + o) != branch) return;
  }
  store<u32>(at, branch);
  arenaPut(page);
}

/** The set is empty, and has no pages. */
export function setFree(at: usize, depth: u32): void {
  const branch: usize = load<u32>(at);
  store<u32>(at, NONE);
  if (branch <= ALL) return;
  if (depth != 0) for (let o: usize = 0; o < 4096; o += 4) setFree(branch + o, depth - 1);
  arenaPut(branch);
}

/** The first number in [from, to) that is in the set, or is not with `value` false; `to` when there is none. */
export function setNext(at: usize, depth: u32, from: u64, to: u64, value: bool): u64 {
  const branch: usize = load<u32>(at);
  if (branch <= ALL) return (branch == ALL) == value ? from : to;
  if (depth == 0) return leafNext(branch, from, to, value);
  const step = (<u64>1) << spanShift(depth - 1);
  for (let i = from; i < to; ) {
    const next = min((i & ~(step - 1)) + step, to);
    const found = setNext(childAt(branch, depth, i), depth - 1, i, next, value);
    if (found < next) return found;
    i = next;
  }
  return to;
}

function leafNext(leaf: usize, from: u64, to: u64, value: bool): u64 {
  const flip: u64 = value ? 0 : u64.MAX_VALUE;
  let word = (load<u64>(bitAt(leaf, from)) ^ flip) & (u64.MAX_VALUE << (from & 63));
  let i = from & ~(<u64>63);
  while (word == 0) {
    i += 64;
    if (i >= to) return to;
    word = load<u64>(bitAt(leaf, i)) ^ flip;
  }
  return min(i + ctz(word), to);
}

/** The 64 numbers from i on, a multiple of 64, as bits. */
export function setWord(at: usize, depth: u32, i: u64): u64 {
  let branch = load<u32>(at);
  for (; branch > ALL && depth != 0; depth--) branch = load<u32>(childAt(branch, depth, i));
  return branch > ALL ? load<u64>(bitAt(branch, i)) : branch == ALL ? u64.MAX_VALUE : 0;
}

/** Take those of `mask`, of the 64 numbers from i on, out of the set. False, nothing changed, without metadata. */
export function setTakeWord(at: usize, depth: u32, i: u64, mask: u64): bool {
  let p = at;
  for (let d = depth; ; d--) {
    if (load<u32>(p) == NONE) return true;
    const page = splitAs(p, d);
    if (page == 0) return false;
    if (d == 0) break;
    p = childAt(page, d, i);
  }
  const word = bitAt(load<u32>(p), i);
  store<u64>(word, load<u64>(word) & ~mask);
  return true;
}

/** All numbers are in the set, which has no pages. */
export function setFill(at: usize): void {
  store<u32>(at, ALL);
}

/** How many of [from, to) are in the set. */
export function setCount(at: usize, depth: u32, from: u64, to: u64): u64 {
  const branch: usize = load<u32>(at);
  if (branch <= ALL) return branch == ALL ? to - from : 0;
  if (depth == 0) return bitsCount(branch, <u32>(from & (LEAF_PAGES - 1)), <u32>(to - from));
  const step = (<u64>1) << spanShift(depth - 1);
  let n: u64 = 0;
  for (let i = from; i < to; ) {
    const next = min((i & ~(step - 1)) + step, to);
    n += setCount(childAt(branch, depth, i), depth - 1, i, next);
    i = next;
  }
  return n;
}
