// Which vCPU's thread this instance of the module is, and the state that is its own.
//
// While vCPU threads run, each has an instance of the module over the same memory. What would otherwise be one field
// that all of them write (counters, gauges, the last leaf table) is then kept per thread, at the same offset of the
// thread's run record as in the VM record, and added up when the run is over (vcpu/threads.ts). An instance that is
// nobody's thread, as the main thread's is, works on the VM record itself and takes no locks.
// docs/concurrency.md has the whole picture.
import { SyncPoint } from '../abi/sync';
import { HOST_HERE, RUN_BASE, RUN_HERE, RUN_LOCAL, VCPU_MAX, VM_ID } from './layout';
import { RUN_SIZE, RUN_VM } from '../abi/status';

/** Whether this build has threads at all: in the plain one everything behind it compiles away. */
export const THREADS: bool = ASC_FEATURE_THREADS;
/** Whether it stops at synchronisation points (abi/sync.ts). */
// @ts-ignore: a name that only asc's command line may define
export const EXPLORE: bool = isDefined(SLATBOX_EXPLORE);

// The two globals of the module: an instance has its own, and so has a thread.

/** Run record of the vCPU whose thread this is, 0 on the main thread. */
export let self: usize = 0;
/** Record of its VM. */
export let selfVm: usize = 0;

/** This instance acts for the vCPU of `run` from now on; 0 for nobody. */
export function threadAttach(run: usize): void {
  self = run;
  selfVm = run == 0 ? 0 : load<u32>(run, RUN_VM);
}

/** Whether other threads may be running: what follows needs locks. */
// @ts-ignore: decorator
@inline
export function threaded(): bool {
  if (THREADS) return self != 0;
  return false;
}

/** Where the "thread" fields of VM `vm` are for this thread. */
// @ts-ignore: decorator
@inline
export function local(vm: usize): usize {
  if (THREADS) return vm == selfVm ? self + RUN_LOCAL : vm;
  return vm;
}

/** HERE_* of this thread. */
// @ts-ignore: decorator
@inline
export function here(): usize {
  if (THREADS) return self != 0 ? self + RUN_HERE : HOST_HERE;
  return HOST_HERE;
}

/** Add to a u64 "thread" field of VM `vm`. Reclaim also does so for VMs whose threads are others. */
// @ts-ignore: decorator
@inline
export function add(vm: usize, field: usize, by: u64): void {
  if (THREADS) {
    if (self != 0 && vm != selfVm) {
      atomic.add<u64>(vm + field, by);
      return;
    }
  }
  const p = local(vm) + field;
  store<u64>(p, load<u64>(p) + by);
}

export function runOf(vm: usize, cpu: u32): usize {
  return RUN_BASE + <usize>(load<u32>(vm, VM_ID) * VCPU_MAX + cpu) * RUN_SIZE;
}

// @ts-ignore: decorator
@external('env', 'sync')
declare function stop(point: i32, what: usize): void;

/** A synchronisation point: nothing, but for the schedule explorer. */
// @ts-ignore: decorator
@inline
export function sync(point: SyncPoint, what: usize): void {
  if (EXPLORE) {
    if (self != 0) stop(point, what);
  }
}
