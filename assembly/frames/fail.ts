// Fault injection: the Nth allocation fails, in debug builds. Release builds do not have a trace of it.
// Armed by writing the words HOST_FAIL_*, as a test does. Reference: linux Documentation/fault-injection.
import { Fail } from '../abi/fail';
import { HOST_FAIL_COUNT, HOST_FAIL_FIRST, HOST_FAIL_KINDS, HOST_FAIL_TIMES } from '../base/layout';
import { threaded } from '../base/thread';

/** Count an allocation of this kind; whether it is one that is to fail. Those of vCPU threads never are. */
// @ts-ignore: decorator
@inline
export function fails(kind: Fail): bool {
  if (ASC_NO_ASSERT) return false;
  return failsNow(kind);
}

function failsNow(kind: Fail): bool {
  if (threaded() || (load<u32>(HOST_FAIL_KINDS) & kind) == 0) return false;
  const n = load<u32>(HOST_FAIL_COUNT) + 1;
  store<u32>(HOST_FAIL_COUNT, n);
  return n - load<u32>(HOST_FAIL_FIRST) < load<u32>(HOST_FAIL_TIMES);
}
