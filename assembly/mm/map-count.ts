// vm.max_map_count: how many VMAs the process may have. vCPU threads share out what is left of it, each counts on its
// own, and only who has used up its share looks at the others' (linux: percpu_counter).
import { SyncPoint } from '../abi/sync';
import { RUN_MAPS_LEFT, VM_CPUS, VM_MAX_MAPS, VM_OTHER_MAPS, VM_VMA_COUNT } from '../base/layout';
import { runOf, self, sync, threaded } from '../base/thread';

/** `by` more VMAs, which may be fewer. Under the lock of a list (look-up.ts). */
// @ts-ignore: decorator
@inline
export function mapsAdd(vm: usize, by: i32): void {
  if (threaded()) store<i32>(self, load<i32>(self, RUN_MAPS_LEFT) - by, RUN_MAPS_LEFT);
  else store<u32>(vm, load<u32>(vm, VM_VMA_COUNT) + by, VM_VMA_COUNT);
}

/** Whether the limit allows `n` more, as far as can be said; on a vCPU thread `false` is an answer only if it has all lists. */
// @ts-ignore: decorator
@inline
export function mapsAllow(vm: usize, n: i32): bool {
  return (threaded() ? load<i32>(self, RUN_MAPS_LEFT) : mapsLeft(vm)) >= n;
}

function mapsLeft(vm: usize): i32 {
  return load<i32>(vm, VM_MAX_MAPS) - load<i32>(vm, VM_OTHER_MAPS) - load<i32>(vm, VM_VMA_COUNT);
}

/** What is left is shared out anew. On the main thread, or by a vCPU thread that holds all lists. */
export function mapsShare(vm: usize): void {
  const left = threaded() ? gathered(vm) : mapsLeft(vm);
  sync(SyncPoint.Publish, vm);
  share(vm, left);
}

function share(vm: usize, left: i32): void {
  const cpus = load<i32>(vm, VM_CPUS);
  const each = left > 0 ? left / cpus : 0;
  for (let cpu = 0; cpu < cpus; cpu++) store<i32>(runOf(vm, cpu), each, RUN_MAPS_LEFT);
  const first = threaded() ? self : runOf(vm, 0);
  store<i32>(first, left - each * (cpus - 1), RUN_MAPS_LEFT);
}

function gathered(vm: usize): i32 {
  let left: i32 = 0;
  for (let cpu: u32 = 0, cpus = load<u32>(vm, VM_CPUS); cpu < cpus; cpu++) left += load<i32>(runOf(vm, cpu), RUN_MAPS_LEFT);
  return left;
}

/** A run has ended: the VM's own count is right again. */
export function mapsFold(vm: usize): void {
  store<i32>(vm, load<i32>(vm, VM_MAX_MAPS) - load<i32>(vm, VM_OTHER_MAPS) - gathered(vm), VM_VMA_COUNT);
}
