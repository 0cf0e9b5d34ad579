// A pool of 4 KiB pages: a LIFO stack of free ones in front of a bump pointer over those never used.
// Three of them: frames (guest RAM), arena (SLAT tables, page state, VMAs) and swap slots.
// LIFO, so that the touched part of linear memory stays small and warm: nothing is ever given back to
// the operating system.
//
// Frames also come as groups of 512, contiguous and aligned, for huge pages (frames/huge.ts). Groups that are free have
// a stack of their own; single frames are taken from a group, one after the other, when no single one is free.
//
// ╒═ 0 base page ═╤═ 4 total ═╤═ 8 bump ═╤═ 12 stack ═╤═ 16 stacked ═╤═ 20 high ═╤═ 24 lock (2 × u32) ═╕
// ╞═ 32 groups ═══╪═ 36 run next ═╪═ 40 run end ═╪═ 44 puts ═╪═ 48 searched ════════════════════════════╡
// base: number of the first page · bump: pages ever handed out · stack: address of u32 free pages, behind which are
// u32 first pages of free groups · high: pages that may hold old bytes; what lies behind is still zero since the memory
// was made. A restored checkpoint turns back bump, never high. · run: pages of a group that is being used up ·
// puts, searched: pages ever given back singly, and how many when huge.ts last looked for a group among them.
//
// Nothing here takes the lock: threads come through frames/cache.ts.
import { HOST_FRAMES } from '../base/layout';

const BASE: usize = 0;
const TOTAL: usize = 4;
const BUMP: usize = 8;
const STACK: usize = 12;
const STACKED: usize = 16;
const HIGH: usize = 20;
const LOCK: usize = 24;
const GROUPS: usize = 32;
const RUN_NEXT: usize = 36;
const RUN_END: usize = 40;
const PUTS: usize = 44;
const SEARCHED: usize = 48;

/** Pages of a group: 2 MiB. */
export const GROUP: u32 = 512;

// @ts-ignore: decorator
@inline
export function poolLock(pool: usize): usize {
  return pool + LOCK;
}

/** Bytes of the stacks of a pool. Behind them huge.ts has a u32 for each group. */
export function poolStackBytes(total: u32): usize {
  return (<usize>total << 2) + (<usize>(total / GROUP) << 3);
}

export function poolInit(pool: usize, basePage: u32, total: u32, stack: usize): void {
  memory.fill(pool, 0, SEARCHED + 4);
  store<u32>(pool, basePage, BASE);
  store<u32>(pool, total, TOTAL);
  store<u32>(pool, <u32>stack, STACK);
}

/** A page with any content, 0 when there is none. */
// @ts-ignore: decorator
@inline
export function poolGet(pool: usize): u32 {
  const page = poolPop(pool);
  return page != 0 ? page : poolBump(pool, 1);
}

/** A page that was in use before, 0 when there is none. */
// @ts-ignore: decorator
@inline
export function poolPop(pool: usize): u32 {
  const n = load<u32>(pool, STACKED);
  if (n == 0) return runPop(pool);
  store<u32>(pool, n - 1, STACKED);
  return load<u32>(load<u32>(pool, STACK) + ((n - 1) << 2));
}

/** The next page of the group that is being used up, or the first of another one. */
function runPop(pool: usize): u32 {
  let next = load<u32>(pool, RUN_NEXT);
  if (next == load<u32>(pool, RUN_END)) {
    next = poolPopGroup(pool);
    if (next == 0) return 0;
    store<u32>(pool, next + GROUP, RUN_END);
  }
  store<u32>(pool, next + 1, RUN_NEXT);
  return next;
}

/** `count` contiguous pages never used before, 0 when there are not as many. */
export function poolBump(pool: usize, count: u32): u32 {
  const bump = load<u32>(pool, BUMP);
  if (count > load<u32>(pool, TOTAL) - bump) return 0;
  store<u32>(pool, bump + count, BUMP);
  return load<u32>(pool, BASE) + bump;
}

// @ts-ignore: decorator
@inline
export function poolPut(pool: usize, page: u32): void {
  const n = load<u32>(pool, STACKED);
  store<u32>(load<u32>(pool, STACK) + (n << 2), page);
  store<u32>(pool, n + 1, STACKED);
  store<u32>(pool, load<u32>(pool, PUTS) + 1, PUTS);
}

/** First page of a free group, 0 when there is none. */
export function poolPopGroup(pool: usize): u32 {
  const n = load<u32>(pool, GROUPS);
  if (n == 0) return 0;
  store<u32>(pool, n - 1, GROUPS);
  return load<u32>(groupSlot(pool, n - 1));
}

export function poolPutGroup(pool: usize, first: u32): void {
  const n = load<u32>(pool, GROUPS);
  store<u32>(groupSlot(pool, n), first);
  store<u32>(pool, n + 1, GROUPS);
}

/** The number of the group of frames that begins with `first`, and the other way round. */
// @ts-ignore: decorator
@inline
export function groupOf(first: u32): u32 {
  return (first - load<u32>(HOST_FRAMES, BASE)) / GROUP;
}

// @ts-ignore: decorator
@inline
export function groupFirst(group: u32): u32 {
  return load<u32>(HOST_FRAMES, BASE) + group * GROUP;
}

// @ts-ignore: decorator
@inline
function groupSlot(pool: usize, n: u32): usize {
  return <usize>load<u32>(pool, STACK) + (<usize>(load<u32>(pool, TOTAL) + n) << 2);
}

/**
 * 512 pages at once, as a chunk of page state holds them: as a group, if they are one. Else the last goes in first, so
 * that they come out again in the order in which they were taken: zeroing frames downwards costs half as much again
 * (docs/performance.md).
 */
export function poolPutChunk(pool: usize, pages: usize): void {
  if (isGroup(pool, pages)) {
    poolPutGroup(pool, load<u32>(pages));
    return;
  }
  const n = load<u32>(pool, STACKED);
  let to: usize = load<u32>(pool, STACK) + (n << 2);
  for (let from = pages + 2048; from > pages; to += 16) {
    from -= 16;
    v128.store(to, i32x4.shuffle(v128.load(from), i32x4.splat(0), 3, 2, 1, 0));
  }
  store<u32>(pool, n + 512, STACKED);
  store<u32>(pool, load<u32>(pool, PUTS) + 512, PUTS);
}

/** Whether the 512 pages at `pages` are contiguous and aligned. */
function isGroup(pool: usize, pages: usize): bool {
  const first = load<u32>(pages);
  if (((first - load<u32>(pool, BASE)) & (GROUP - 1)) != 0) return false;
  let want = i32x4.add(i32x4.splat(first), i32x4(0, 1, 2, 3));
  const step = i32x4.splat(4);
  for (let p = pages; p < pages + 2048; p += 16) {
    if (v128.any_true(v128.xor(v128.load(p), want))) return false;
    want = i32x4.add(want, step);
  }
  return true;
}

/** True when `page` still has the zeros of fresh linear memory; marks it as used. */
// @ts-ignore: decorator
@inline
export function poolTakeFresh(pool: usize, page: u32): bool {
  const i = page - load<u32>(pool, BASE);
  if (i < load<u32>(pool, HIGH)) return false;
  const fresh = i == load<u32>(pool, HIGH);
  store<u32>(pool, i + 1, HIGH);
  return fresh;
}

/** `count` pages from `first` on are used from now on; whether all of them still had their first zeros. */
export function poolHigh(pool: usize, first: u32, count: u32): bool {
  const i = first - load<u32>(pool, BASE);
  if (i + count <= load<u32>(pool, HIGH)) return false;
  const fresh = i >= load<u32>(pool, HIGH);
  store<u32>(pool, i + count, HIGH);
  return fresh;
}

// @ts-ignore: decorator
@inline
export function poolFree(pool: usize): u32 {
  return load<u32>(pool, TOTAL) - load<u32>(pool, BUMP) + load<u32>(pool, STACKED) + poolGrouped(pool);
}

/** Free pages of groups. */
// @ts-ignore: decorator
@inline
function poolGrouped(pool: usize): u32 {
  return load<u32>(pool, GROUPS) * GROUP + load<u32>(pool, RUN_END) - load<u32>(pool, RUN_NEXT);
}

/** Pages never handed out, which are the ones that can be had in a row. */
export function poolFresh(pool: usize): u32 {
  return load<u32>(pool, TOTAL) - load<u32>(pool, BUMP);
}

export function poolTotal(pool: usize): u32 {
  return load<u32>(pool, TOTAL);
}

export function poolBase(pool: usize): u32 {
  return load<u32>(pool, BASE);
}

export function poolBumped(pool: usize): u32 {
  return load<u32>(pool, BUMP);
}

/** Pages from the first on that count as used: they may hold old bytes. */
export function poolUsed(pool: usize): u32 {
  return load<u32>(pool, HIGH);
}

export function poolStacked(pool: usize): u32 {
  return load<u32>(pool, STACKED);
}

export function poolStackedPage(pool: usize, i: u32): u32 {
  return load<u32>(load<u32>(pool, STACK) + (i << 2));
}

export function poolGroups(pool: usize): u32 {
  return load<u32>(pool, GROUPS);
}

export function poolGroup(pool: usize, n: u32): u32 {
  return load<u32>(groupSlot(pool, n));
}

/** Pages of the group that is being used up: the first, and behind the last. */
export function poolRunNext(pool: usize): u32 {
  return load<u32>(pool, RUN_NEXT);
}

export function poolRunEnd(pool: usize): u32 {
  return load<u32>(pool, RUN_END);
}

/** Groups among the pages that were given back singly become groups. Whether there is one now. */
export function poolRegroup(pool: usize): bool {
  const groups = load<u32>(pool, TOTAL) / GROUP;
  if (load<u32>(pool, STACKED) < GROUP || load<u32>(pool, PUTS) == load<u32>(pool, SEARCHED)) return false;
  store<u32>(pool, load<u32>(pool, PUTS), SEARCHED);
  const counts = groupSlot(pool, groups);
  memory.fill(counts, 0, <usize>groups << 2);
  const base = load<u32>(pool, BASE);
  const stack: usize = load<u32>(pool, STACK);
  const end = stack + (<usize>load<u32>(pool, STACKED) << 2);
  for (let p = stack; p < end; p += 4) {
    const group = (load<u32>(p) - base) / GROUP;
    if (group < groups) store<u32>(counts + (<usize>group << 2), load<u32>(counts + (<usize>group << 2)) + 1);
  }
  let to = stack;
  for (let p = stack; p < end; p += 4) {
    const page = load<u32>(p);
    const group = (page - base) / GROUP;
    if (group < groups && load<u32>(counts + (<usize>group << 2)) == GROUP) {
      if ((page - base) % GROUP == 0) poolPutGroup(pool, page);
    } else {
      store<u32>(to, page);
      to += 4;
    }
  }
  store<u32>(pool, <u32>((to - stack) >> 2), STACKED);
  return load<u32>(pool, GROUPS) != 0;
}
