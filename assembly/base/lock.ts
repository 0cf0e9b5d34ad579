// A lock: one word, 0 when free, else the run record of the thread that holds it; behind it the number of threads that
// sleep. The main thread is alone when it runs, and passes. A vCPU thread spins a little and then sleeps: with fewer
// processors than vCPUs, who holds the lock may not be running.
//
// ╒═ 0 owner u32 ═╤═ 4 sleepers u32 ═╕
//
// Order, when several are held: chunk locks by ascending number → reclaim → VMA list → tree → page cache → pool.
import { SyncPoint } from '../abi/sync';
import { RUN_MODE } from './layout';
import { EXPLORE, self, sync, THREADS } from './thread';

const SLEEPERS: usize = 4;
const SPINS: i32 = 100;

/**
 * Sleep while the word at p is `value`, a millisecond at most. A call into the host language, where it is Atomics.wait:
 * V8's baseline compiler (Node 20) loses a function's locals at memory.atomic.wait32, and with them the lock.
 */
// @ts-ignore: decorator
@external('env', 'wait')
declare function nap(p: usize, value: u32): void;

// @ts-ignore: decorator
@inline
export function lock(p: usize): void {
  if (THREADS) {
    if (self != 0) take(p);
  }
}

// @ts-ignore: decorator
@inline
export function unlock(p: usize): void {
  if (THREADS) {
    if (self != 0) give(p);
  }
}

/** Whether the lock is this thread's now; false leaves everything as it was. */
export function tryLock(p: usize): bool {
  if (THREADS) {
    sync(SyncPoint.LockTake, p);
    return atomic.cmpxchg<u32>(p, 0, <u32>self) == 0;
  }
  return true;
}

function take(p: usize): void {
  if (THREADS) {
    assert(atomic.load<u32>(p) != <u32>self);
    assert((load<u32>(self, RUN_MODE) & 1) == 0); // in a guest window nothing is waited for
    sync(SyncPoint.LockTake, p);
    if (atomic.cmpxchg<u32>(p, 0, <u32>self) != 0) contend(p);
  }
}

function contend(p: usize): void {
  if (THREADS) {
    do {
      const owner = atomic.load<u32>(p);
      if (owner != 0) pause(p, owner, SyncPoint.LockWait);
    } while (atomic.cmpxchg<u32>(p, 0, <u32>self) != 0);
  }
}

function give(p: usize): void {
  if (THREADS) {
    assert(atomic.load<u32>(p) == <u32>self);
    sync(SyncPoint.LockGive, p);
    atomic.store<u32>(p, 0);
    wake(p);
  }
}

/** Until the word at p is no longer `value`, or a while has passed. Sleepers are counted in the word behind it. */
export function pause(p: usize, value: u32, point: SyncPoint): void {
  if (THREADS) {
    if (EXPLORE) {
      sync(point, p);
      return;
    }
    let x: f64 = 3;
    for (let i = 0; i < SPINS; i++) {
      if (atomic.load<u32>(p) != value) return;
      // WebAssembly has no pause instruction. A chain of square roots takes as long and leaves the core to its other
      // hardware thread, which may be the one that holds the lock.
      for (let k = 0; k < 4; k++) x = sqrt<f64>(x + 2);
    }
    if (x < 0) unreachable(); // never: or the chain would be left out
    atomic.add<u32>(p, 1, SLEEPERS);
    nap(p, value);
    atomic.sub<u32>(p, 1, SLEEPERS);
  }
}

/** Wake who sleeps on the word at p. */
// @ts-ignore: decorator
@inline
export function wake(p: usize): void {
  if (THREADS) {
    if (atomic.load<u32>(p, SLEEPERS) != 0) atomic.notify(p);
  }
}
