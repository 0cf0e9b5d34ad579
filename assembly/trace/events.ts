// Event ring and counters. Cheap enough to leave on: one record is five stores; off, one load and a
// branch. Events form a tree by `cause`: `open` records one that is the cause of what happens until `close`.
// Layout of a record: abi/events.ts.
import { EVENT_CAPACITY, EVENT_SIZE, EventKind, THREAD_EVENTS } from '../abi/events';
import {
  EVENTS, HERE_CAUSE, HERE_CPU, HERE_EVENT_SEQ, HERE_RING, HOST_EVENTS_ON, VM_COUNTERS, VM_ID, VM_KVM_COUNTERS,
} from '../base/layout';
import { add, here, THREADS, threaded } from '../base/thread';

/** Where record `seq` of this thread is. A vCPU thread has a smaller ring of its own. */
// @ts-ignore: decorator
@inline
function cell(seq: u32): usize {
  if (threaded()) return <usize>load<u32>(here(), HERE_RING) + <usize>(seq & (THREAD_EVENTS - 1)) * EVENT_SIZE;
  return EVENTS + <usize>(seq & (EVENT_CAPACITY - 1)) * EVENT_SIZE;
}

// @ts-ignore: decorator
@inline
export function event(kind: EventKind, vm: usize, n: u32, a: u64, b: u64, c: u64): void {
  if (load<u32>(HOST_EVENTS_ON)) record(kind, vm, n, a, b, c);
}

function record(kind: u32, vm: usize, n: u32, a: u64, b: u64, c: u64): void {
  const h = here();
  const seq = load<u32>(h, HERE_EVENT_SEQ) + 1;
  store<u32>(h, seq, HERE_EVENT_SEQ);
  const p = cell(seq);
  store<u32>(p, seq);
  store<u32>(p, kind | (load<u32>(h, HERE_CPU) << 8) | (load<u32>(vm, VM_ID) << 16), 4);
  store<u32>(p, load<u32>(h, HERE_CAUSE), 8);
  store<u32>(p, n, 12);
  store<u64>(p, a, 16);
  store<u64>(p, b, 24);
  store<u64>(p, c, 32);
}

/** Events are off: nothing to close. */
const NOTHING: u32 = 0xffffffff;

/** An event that is the cause of what happens until `close`, which takes what this returns. */
// @ts-ignore: decorator
@inline
export function open(kind: EventKind, vm: usize, n: u32, a: u64, b: u64, c: u64): u32 {
  return load<u32>(HOST_EVENTS_ON) ? opened(kind, vm, n, a, b, c) : NOTHING;
}

function opened(kind: u32, vm: usize, n: u32, a: u64, b: u64, c: u64): u32 {
  record(kind, vm, n, a, b, c);
  const h = here();
  const before = load<u32>(h, HERE_CAUSE);
  store<u32>(h, load<u32>(h, HERE_EVENT_SEQ), HERE_CAUSE);
  return before;
}

// @ts-ignore: decorator
@inline
export function close(before: u32): void {
  if (before != NOTHING) store<u32>(here(), before, HERE_CAUSE);
}

/** The same, and the event is completed with its outcome `c`, unless the ring has overwritten it since. */
export function closeWith(before: u32, c: u64): void {
  if (before == NOTHING) return;
  const seq = load<u32>(here(), HERE_CAUSE);
  const p = cell(seq);
  if (load<u32>(p) == seq) store<u64>(p, c, 32);
  close(before);
}

// @ts-ignore: decorator
@inline
export function count(vm: usize, counter: i32, by: u64 = 1): void {
  add(vm, VM_COUNTERS + (<usize>counter << 3), by);
}

/** A KvmCounter, which all threads share. */
export function countKvm(vm: usize, counter: i32, by: u64 = 1): void {
  const p = vm + VM_KVM_COUNTERS + (<usize>counter << 3);
  if (THREADS) atomic.add<u64>(p, by);
  else store<u64>(p, load<u64>(p) + by);
}
