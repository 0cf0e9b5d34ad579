// Swap slots of a VM's pages and of its files' pages: had from the host's area as far as the VM's limit of swap allows.
// Reference: linux mm/memcontrol.c (__mem_cgroup_try_charge_swap, mem_cgroup_get_nr_swap_pages).
import { Counter } from '../abi/events';
import { Fail } from '../abi/fail';
import { HOST_SWAP, VM_MEMORY_SWAP } from '../base/layout';
import { fails } from '../frames/fail';
import { pageGet, pagePut, pagesFree } from '../frames/cache';
import { poolFree } from '../frames/pool';
import { count } from '../trace/events';
import { charge, margin, uncharge } from './charge';

/** A slot, 0 when the host has none or the VM may have none. */
export function swapGet(vm: usize): u32 {
  const slot = fails(Fail.Slot) ? 0 : pageGet(HOST_SWAP);
  if (slot != 0) {
    if (charge(vm, VM_MEMORY_SWAP, 1)) return slot;
    pagePut(HOST_SWAP, slot);
    count(vm, Counter.SwapMax);
  }
  count(vm, Counter.SwapFail);
  return 0;
}

// @ts-ignore: decorator
@inline
export function swapPut(vm: usize, slot: u32): void {
  uncharge(vm, VM_MEMORY_SWAP, 1);
  pagePut(HOST_SWAP, slot);
}

/** Slots that the VM could have now. While threads run a hint. */
export function swapFree(vm: usize): u64 {
  return min<u64>(pagesFree(HOST_SWAP), margin(vm, VM_MEMORY_SWAP));
}

/** Whether it could have one, without a look at all caches. */
export function swapIsFull(vm: usize): bool {
  return margin(vm, VM_MEMORY_SWAP) == 0 || (poolFree(HOST_SWAP) == 0 && pagesFree(HOST_SWAP) == 0);
}
