// A pool of 4 KiB pages: a LIFO stack of free ones in front of a bump pointer over those never used.
// Three of them: frames (guest RAM), arena (SLAT tables, page state, VMAs) and swap slots.
// LIFO, so that the touched part of linear memory stays small and warm: nothing is ever given back to
// the operating system.
//
// ╒═ 0 base page ═╤═ 4 total ═╤═ 8 bump ═╤═ 12 stack ═╤═ 16 stacked ═╤═ 20 high ═╤═ 24 lock (2 × u32) ═╕
// base: number of the first page · bump: pages ever handed out · stack: address of u32 free pages ·
// high: pages that may hold old bytes; what lies behind is still zero since the memory was made. A
// restored checkpoint turns back bump, never high.
//
// Nothing here takes the lock: threads come through frames/cache.ts.

const BASE: usize = 0;
const TOTAL: usize = 4;
const BUMP: usize = 8;
const STACK: usize = 12;
const STACKED: usize = 16;
const HIGH: usize = 20;
const LOCK: usize = 24;

// @ts-ignore: decorator
@inline
export function poolLock(pool: usize): usize {
  return pool + LOCK;
}

export function poolInit(pool: usize, basePage: u32, total: u32, stack: usize): void {
  store<u32>(pool, basePage, BASE);
  store<u32>(pool, total, TOTAL);
  store<u32>(pool, 0, BUMP);
  store<u32>(pool, <u32>stack, STACK);
  store<u32>(pool, 0, STACKED);
  store<u32>(pool, 0, HIGH);
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
  if (n == 0) return 0;
  store<u32>(pool, n - 1, STACKED);
  return load<u32>(load<u32>(pool, STACK) + ((n - 1) << 2));
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
}

/**
 * 512 pages at once, as a chunk of page state holds them; the last goes in first, so that they come out again in
 * the order in which they were taken: zeroing frames downwards costs half as much again (docs/performance.md).
 */
export function poolPutChunk(pool: usize, pages: usize): void {
  const n = load<u32>(pool, STACKED);
  let to: usize = load<u32>(pool, STACK) + (n << 2);
  for (let from = pages + 2048; from > pages; to += 16) {
    from -= 16;
    v128.store(to, i32x4.shuffle(v128.load(from), i32x4.splat(0), 3, 2, 1, 0));
  }
  store<u32>(pool, n + 512, STACKED);
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
  return load<u32>(pool, TOTAL) - load<u32>(pool, BUMP) + load<u32>(pool, STACKED);
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

export function poolStacked(pool: usize): u32 {
  return load<u32>(pool, STACKED);
}

export function poolStackedPage(pool: usize, i: u32): u32 {
  return load<u32>(load<u32>(pool, STACK) + (i << 2));
}
