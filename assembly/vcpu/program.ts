// A guest program in the engine: steps in linear memory, run round after round without a crossing. What vCPU threads do
// in the benchmark and under stress; the same accesses one by one from the host language give the same results.
//
// ╒═ step, 64 bytes ═══════════════════════════════════════════════════════════════════╕
// │ 0 kind u32 │ 4 size u32 │ 8 gpa u64 │ 16 len u64 │ 24 arg u64 │ 32 advance u64     │
// │ 40 span u64 │ 48 failures u32 │ 52 last u32 │ 56 sum u64                            │
// ╘════════════════════════════════════════════════════════════════════════════════════╛
// Round r is at gpa + (r × advance mod span); span 0: no end. failures, last and sum are results: rounds whose status
// or errno was not 0, that of the last round, and the sum of loaded values, pages or bytes done.
// What a kind takes of these words: abi/status.ts Step.
import { Access, RUN_BUFFER, RUN_DRIVER_BUFFER, RUN_DRIVER_DOORBELL, RUN_DRIVER_REGISTER, RUN_STATUS, RUN_VALUE, RUN_VM, Step } from '../abi/status';
import { Errno } from '../abi/errno';
import { hostCall } from '../device/pvmemcontrol/request';
import { ramOf, ramVpn } from '../memslot/ram';
import { dirtyClearAll, dirtyTake } from '../kvm/dirty-log';
import { setMemoryAttributes } from '../kvm/attributes';
import { setMemoryRegion } from '../kvm/region';
import { fallocate } from '../mm/fallocate';
import { vcpuLoad, vcpuStore } from './access';
import { vcpuAdd } from './locked';
import { vcpuFill, vcpuRequest, vcpuTouch, vcpuVerify } from './loops';

const SIZE: usize = 4;
const GPA: usize = 8;
const LEN: usize = 16;
const ARG: usize = 24;
const ADVANCE: usize = 32;
const SPAN: usize = 40;
const FAILURES: usize = 48;
const LAST: usize = 52;
const SUM: usize = 56;
const STEP: usize = 64;

/** Runs `steps` steps at `at`, `rounds` times. A failed step does not end it. Returns rounds. */
export function vcpuProgram(run: usize, at: usize, steps: u32, rounds: u32): u32 {
  const end = at + <usize>steps * STEP;
  for (let round: u32 = 0; round < rounds; round++) {
    for (let p = at; p < end; p += STEP) {
      let offset = <u64>round * load<u64>(p, ADVANCE);
      const span = load<u64>(p, SPAN);
      if (span != 0) offset %= span;
      const last = step(run, p, load<u64>(p, GPA) + offset);
      store<u32>(p, last, LAST);
      if (last != 0) store<u32>(p, load<u32>(p, FAILURES) + 1, FAILURES);
    }
  }
  return rounds;
}

function step(run: usize, p: usize, gpa: u64): u32 {
  const size = load<u32>(p, SIZE);
  const len = load<u64>(p, LEN);
  const arg = load<u64>(p, ARG);
  switch (load<u32>(p)) {
    case Step.Load: {
      const status = vcpuLoad(run, gpa, size, Access.Read);
      return result(p, status, load<u64>(run, RUN_VALUE));
    }
    case Step.Store:
      return vcpuStore(run, gpa, size, arg);
    case Step.Fetch:
      return vcpuLoad(run, gpa, 1, Access.Fetch);
    case Step.TouchRead:
    case Step.TouchWrite: {
      const pages = vcpuTouch(run, gpa, len, load<u32>(p) == Step.TouchWrite, <u32>arg);
      return result(p, load<u32>(run, RUN_STATUS), pages);
    }
    case Step.Fill: {
      const bytes = vcpuFill(run, gpa, len, <u32>arg);
      return result(p, load<u32>(run, RUN_STATUS), bytes);
    }
    case Step.Verify: {
      const bytes = vcpuVerify(run, gpa, len, <u32>arg);
      return result(p, load<u32>(run, RUN_STATUS), bytes);
    }
    case Step.Request:
      return request(run, size, gpa, len, arg);
    case Step.HostCall: {
      const vm: usize = load<u32>(run, RUN_VM);
      const region = ramOf(vm, gpa >> 12);
      if (region == 0) return Errno.EINVAL;
      return hostCall(vm, size, (ramVpn(region, gpa >> 12) << 12) | (gpa & 4095), len, arg);
    }
    case Step.Add:
      return result(p, vcpuAdd(run, gpa, size, arg), load<u64>(run, RUN_VALUE));
    case Step.Operands:
      return Errno.OK;
    default:
      return call(load<u32>(run, RUN_VM), p, gpa);
  }
}

/** What the vCPU's VMM thread asks of the kernel between two entries of its guest. */
function call(vm: usize, p: usize, gpa: u64): u32 {
  const size = load<u32>(p, SIZE);
  const len = load<u64>(p, LEN);
  const arg = load<u64>(p, ARG);
  switch (load<u32>(p)) {
    case Step.SetRegion: {
      const more = p + STEP;
      return setMemoryRegion(vm, false, size, load<u32>(more, SIZE), gpa, len, arg, <usize>load<u64>(more, LEN), load<u64>(more, GPA));
    }
    case Step.GetDirtyLog: {
      const pages = dirtyTake(vm, size);
      return pages < 0 ? <u32>-pages : result(p, Errno.OK, pages);
    }
    case Step.ClearDirtyLog:
      return dirtyClearAll(vm, size, arg, <u32>len);
    case Step.SetAttributes:
      return setMemoryAttributes(vm, gpa, len, arg, size);
    case Step.Fallocate:
      return arg == 0 ? Errno.EBADF : fallocate(<usize>arg, size, gpa, len);
    default:
      return Errno.EINVAL;
  }
}

function result(p: usize, status: u32, by: u64): u32 {
  store<u64>(p, load<u64>(p, SUM) + by, SUM);
  return status;
}

/** As the guest's driver does it. The answer's errno; an access that fails counts as EFAULT. */
function request(run: usize, func: u32, gpa: u64, len: u64, arg: u64): u32 {
  store<u64>(run, func, RUN_BUFFER + 0);
  store<u64>(run, gpa, RUN_BUFFER + 8);
  store<u64>(run, len, RUN_BUFFER + 16);
  store<u64>(run, arg, RUN_BUFFER + 24);
  const status = vcpuRequest(run, load<u64>(run, RUN_DRIVER_BUFFER), load<u64>(run, RUN_DRIVER_REGISTER), load<u32>(run, RUN_DRIVER_DOORBELL));
  return status != 0 ? Errno.EFAULT : load<u32>(run, RUN_BUFFER);
}
