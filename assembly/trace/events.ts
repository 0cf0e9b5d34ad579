// Event ring and counters. Cheap enough to leave on: one record is five stores; off, one load and a
// branch. Events form a tree by `cause`: `scope` opens a cause, what happens until it is closed has it.
// Layout of a record: abi/events.ts.
import { EVENT_CAPACITY, EVENT_SIZE, EventKind } from '../abi/events';
import { EVENTS, HOST_CAUSE, HOST_CPU, HOST_EVENT_SEQ, HOST_EVENTS_ON, VM_COUNTERS, VM_ID } from '../base/layout';

// @ts-ignore: decorator
@inline
export function event(kind: EventKind, vm: usize, n: u32, a: u64, b: u64, c: u64): void {
  if (load<u32>(HOST_EVENTS_ON)) record(kind, vm, n, a, b, c);
}

function record(kind: u32, vm: usize, n: u32, a: u64, b: u64, c: u64): void {
  const seq = load<u32>(HOST_EVENT_SEQ) + 1;
  store<u32>(HOST_EVENT_SEQ, seq);
  const p = EVENTS + <usize>(seq & (EVENT_CAPACITY - 1)) * EVENT_SIZE;
  store<u32>(p, seq);
  store<u32>(p, kind | (load<u32>(HOST_CPU) << 8) | (load<u32>(vm, VM_ID) << 16), 4);
  store<u32>(p, load<u32>(HOST_CAUSE), 8);
  store<u32>(p, n, 12);
  store<u64>(p, a, 16);
  store<u64>(p, b, 24);
  store<u64>(p, c, 32);
}

/** The event just recorded becomes the cause of the next ones. Returns the cause before, for `unscope`. */
// @ts-ignore: decorator
@inline
export function scope(): u32 {
  const before = load<u32>(HOST_CAUSE);
  if (load<u32>(HOST_EVENTS_ON)) store<u32>(HOST_CAUSE, load<u32>(HOST_EVENT_SEQ));
  return before;
}

// @ts-ignore: decorator
@inline
export function unscope(before: u32): void {
  store<u32>(HOST_CAUSE, before);
}

// @ts-ignore: decorator
@inline
export function count(vm: usize, counter: i32, by: u64 = 1): void {
  const p = vm + VM_COUNTERS + (<usize>counter << 3);
  store<u64>(p, load<u64>(p) + by);
}

/** Complete the record `seq` (0: events are off) with its outcome, unless the ring has overwritten it since. */
export function outcome(seq: u32, c: u64): void {
  const p = EVENTS + <usize>(seq & (EVENT_CAPACITY - 1)) * EVENT_SIZE;
  if (seq != 0 && load<u32>(p) == seq) store<u64>(p, c, 32);
}

/** Seq of the newest event, 0 while events are off. */
// @ts-ignore: decorator
@inline
export function lastEvent(): u32 {
  return load<u32>(HOST_EVENTS_ON) ? load<u32>(HOST_EVENT_SEQ) : 0;
}
