// Fault injection: the Nth allocation fails, in debug builds. Release builds do not have a trace of it.
// Armed by writing the words HOST_FAIL_*, as a test does. Reference: linux Documentation/fault-injection.
import { HOST_FAIL_COUNT, HOST_FAIL_FIRST, HOST_FAIL_KINDS, HOST_FAIL_TIMES } from '../base/layout';

/** Kinds of allocations, bits. */
export const FAIL_FRAME: u32 = 1;
export const FAIL_GROUP: u32 = 2;
export const FAIL_METADATA: u32 = 4;
export const FAIL_SWAP: u32 = 8;

/** Count an allocation of this kind; whether it is one that is to fail. For one thread of control. */
// @ts-ignore: decorator
@inline
export function fails(kind: u32): bool {
  if (ASC_NO_ASSERT) return false;
  return failsNow(kind);
}

function failsNow(kind: u32): bool {
  if ((load<u32>(HOST_FAIL_KINDS) & kind) == 0) return false;
  const n = load<u32>(HOST_FAIL_COUNT) + 1;
  store<u32>(HOST_FAIL_COUNT, n);
  return n - load<u32>(HOST_FAIL_FIRST) < load<u32>(HOST_FAIL_TIMES);
}
