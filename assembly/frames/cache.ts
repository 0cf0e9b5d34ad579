// Page caches: pages that a vCPU thread keeps for itself, so that threads do not meet at the pools. One for frames, one
// for metadata pages, one for swap slots (linux: per-CPU page lists and swap slot caches). Filled from the pool and emptied into it by halves. Each has a lock,
// which only a thread that finds the pool empty takes from outside.
//
// ╒═ 0 lock (2 × u32) ═╤═ 8 count ═╤═ 12 next ═╤═ 16 end ═╤═ 20 zeroed ═╤═ 24 handed ═╤═ 28 – ═╤═ 32 page u32 × capacity ═╕
// next … end: pages of the pool that nobody had before, not counted in `count`; `zeroed`: they are known to be zero.
// handed: the page just handed out, if it is known to be zero.
import { HOST_ARENA, HOST_FRAMES, HOST_SWAP, HOST_VM_COUNT, RUN_CACHE_ARENA, RUN_CACHE_FRAMES, RUN_CACHE_SWAP, VM_BASE, VM_CPUS, VM_SIZE } from '../base/layout';
import { lock, unlock } from '../base/lock';
import { runOf, self, threaded } from '../base/thread';
import { poolBump, poolFree, poolGet, poolHigh, poolLock, poolPop, poolPut, poolPutChunk, poolTakeFresh } from './pool';

const COUNT: usize = 8;
const NEXT: usize = 12;
const END: usize = 16;
const ZEROED: usize = 20;
const HANDED: usize = 24;
const PAGES: usize = 32;

/** Frames: more than a guest touches and drops in one go, or they would wander from one processor's caches to the other's. */
// @ts-ignore: decorator
@inline
function capacity(pool: usize): u32 {
  return pool == HOST_FRAMES ? 120 : 56;
}

/** A page with any content, 0 when there is none in the pool nor in any cache. */
// @ts-ignore: decorator
@inline
export function pageGet(pool: usize): u32 {
  return threaded() ? cacheGet(pool) : poolGet(pool);
}

// @ts-ignore: decorator
@inline
export function pagePut(pool: usize, page: u32): void {
  if (threaded()) cachePut(pool, page);
  else poolPut(pool, page);
}

/** 512 pages at once, as a chunk of page state holds them. */
// @ts-ignore: decorator
@inline
export function pagePutChunk(pool: usize, pages: usize): void {
  lock(poolLock(pool));
  poolPutChunk(pool, pages);
  unlock(poolLock(pool));
}

/** True when `page`, just handed out, still has the zeros of fresh linear memory; it counts as used from now on. */
// @ts-ignore: decorator
@inline
export function pageTakeFresh(pool: usize, page: u32): bool {
  if (!threaded()) return poolTakeFresh(pool, page);
  const cache = cacheOf(self, pool);
  const fresh = load<u32>(cache, HANDED) == page;
  store<u32>(cache, 0, HANDED);
  return fresh;
}

function cacheOf(run: usize, pool: usize): usize {
  return run + (pool == HOST_FRAMES ? RUN_CACHE_FRAMES : pool == HOST_ARENA ? RUN_CACHE_ARENA : RUN_CACHE_SWAP);
}

function cacheGet(pool: usize): u32 {
  const cache = cacheOf(self, pool);
  lock(cache);
  let page = pop(cache);
  if (page == 0) {
    refill(cache, pool);
    page = pop(cache);
  }
  unlock(cache);
  return page != 0 ? page : steal(pool);
}

function pop(cache: usize): u32 {
  const n = load<u32>(cache, COUNT);
  if (n != 0) {
    store<u32>(cache, n - 1, COUNT);
    store<u32>(cache, 0, HANDED);
    return load<u32>(cache + (<usize>(n - 1) << 2), PAGES);
  }
  const next = load<u32>(cache, NEXT);
  if (next == load<u32>(cache, END)) return 0;
  store<u32>(cache, next + 1, NEXT);
  store<u32>(cache, load<u32>(cache, ZEROED) != 0 ? next : 0, HANDED);
  return next;
}

function push(cache: usize, page: u32): void {
  const n = load<u32>(cache, COUNT);
  store<u32>(cache + (<usize>n << 2), page, PAGES);
  store<u32>(cache, n + 1, COUNT);
}

/** Half a cache of pages from the pool: freed ones first, else a run that nobody had before. */
function refill(cache: usize, pool: usize): void {
  lock(poolLock(pool));
  for (let i: u32 = 0, half = capacity(pool) >> 1; i < half; i++) {
    const page = poolPop(pool);
    if (page == 0) break;
    push(cache, page);
  }
  if (load<u32>(cache, COUNT) == 0) {
    let n = capacity(pool) >> 1;
    let first = poolBump(pool, n);
    while (first == 0 && n != 1) first = poolBump(pool, (n >>= 1));
    if (first != 0) {
      store<u32>(cache, first, NEXT);
      store<u32>(cache, first + n, END);
      store<u32>(cache, poolHigh(pool, first, n) ? 1 : 0, ZEROED);
    }
  }
  unlock(poolLock(pool));
}

function cachePut(pool: usize, page: u32): void {
  const cache = cacheOf(self, pool);
  lock(cache);
  if (load<u32>(cache, COUNT) == capacity(pool)) {
    lock(poolLock(pool));
    for (let i: u32 = 0, half = capacity(pool) >> 1; i < half; i++) poolPut(pool, pop(cache));
    unlock(poolLock(pool));
  }
  push(cache, page);
  unlock(cache);
}

/** A page from another thread's cache: the pool is empty, and so is our own cache. */
function steal(pool: usize): u32 {
  for (let v: u32 = 0, vms = load<u32>(HOST_VM_COUNT); v < vms; v++) {
    const vm = VM_BASE + <usize>v * VM_SIZE;
    for (let cpu: u32 = 0, cpus = load<u32>(vm, VM_CPUS); cpu < cpus; cpu++) {
      const run = runOf(vm, cpu);
      if (run == self) continue;
      const cache = cacheOf(run, pool);
      lock(cache);
      const page = pop(cache);
      unlock(cache);
      if (page != 0) return page;
    }
  }
  return 0;
}

/** Free pages of the pool and of all caches. While threads run a hint. */
export function pagesFree(pool: usize): u32 {
  let free = poolFree(pool);
  if (!threaded()) return free;
  for (let v: u32 = 0, vms = load<u32>(HOST_VM_COUNT); v < vms; v++) {
    const vm = VM_BASE + <usize>v * VM_SIZE;
    for (let cpu: u32 = 0, cpus = load<u32>(vm, VM_CPUS); cpu < cpus; cpu++) {
      const cache = cacheOf(runOf(vm, cpu), pool);
      free += load<u32>(cache, COUNT) + load<u32>(cache, END) - load<u32>(cache, NEXT);
    }
  }
  return free;
}

/** What a thread that has ended kept goes back. On the main thread. */
export function cacheEmpty(run: usize): void {
  emptyInto(run, HOST_ARENA);
  emptyInto(run, HOST_FRAMES);
  emptyInto(run, HOST_SWAP);
}

function emptyInto(run: usize, pool: usize): void {
  const cache = cacheOf(run, pool);
  for (let page = pop(cache); page != 0; page = pop(cache)) poolPut(pool, page);
  store<u32>(cache, 0, HANDED);
}
