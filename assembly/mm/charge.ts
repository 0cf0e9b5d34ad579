// What a VM is charged for, against its limits: a memory cgroup of its own. Memory: frames of anonymous pages, huge ones
// included, of the page cache of its files, and of pages that KSM shares, which stay charged to the VM whose page became
// the shared one; neither zero page, nor hugetlb. Swap: slots.
// Reference: linux mm/memcontrol.c (try_charge_memcg), mm/page_counter.c.
//
// ╒═ page counter (VM_MEMORY, VM_MEMORY_SWAP) ═ usage u64 ═╤═ 8 max u64, ~0 none ═╕
// Without a limit usage is kept per thread, as other counts are. With one, all vCPU threads share one word, or a charge
// could not be refused exactly at the limit. (Linux lets each processor charge 64 pages ahead.)
import { VM_MEMORY, VM_MEMORY_SWAP } from '../base/layout';
import { add, THREADS, threaded } from '../base/thread';

const MAX: usize = 8;
const NO_LIMIT: u64 = u64.MAX_VALUE;

export function chargeInit(vm: usize): void {
  setMax(vm, VM_MEMORY, NO_LIMIT);
  setMax(vm, VM_MEMORY_SWAP, NO_LIMIT);
}

export function setMax(vm: usize, counter: usize, pages: u64): void {
  store<u64>(vm + counter, pages, MAX);
}

// @ts-ignore: decorator
@inline
export function maxOf(vm: usize, counter: usize): u64 {
  return load<u64>(vm + counter, MAX);
}

/** Charge `pages` to the VM. False, nothing changed: that is over its limit. */
// @ts-ignore: decorator
@inline
export function charge(vm: usize, counter: usize, pages: u64): bool {
  if (threaded()) return chargeShared(vm, counter, pages);
  const usage = load<u64>(vm + counter) + pages;
  if (usage > load<u64>(vm + counter, MAX)) return false;
  store<u64>(vm + counter, usage);
  return true;
}

/** page_counter_try_charge */
function chargeShared(vm: usize, counter: usize, pages: u64): bool {
  const max = load<u64>(vm + counter, MAX);
  if (max == NO_LIMIT) {
    add(vm, counter, pages);
    return true;
  }
  if (THREADS) {
    for (let usage = atomic.load<u64>(vm + counter); usage + pages <= max; ) {
      const found = atomic.cmpxchg<u64>(vm + counter, usage, usage + pages);
      if (found == usage) return true;
      usage = found;
    }
  }
  return false;
}

// @ts-ignore: decorator
@inline
export function uncharge(vm: usize, counter: usize, pages: u64): void {
  if (threaded()) unchargeShared(vm, counter, pages);
  else store<u64>(vm + counter, load<u64>(vm + counter) - pages);
}

function unchargeShared(vm: usize, counter: usize, pages: u64): void {
  if (THREADS) {
    if (load<u64>(vm + counter, MAX) != NO_LIMIT) {
      atomic.sub<u64>(vm + counter, pages);
      return;
    }
  }
  add(vm, counter, -pages);
}

/** Usage of a VM that has a limit, or while no vCPU threads run. */
export function usageOf(vm: usize, counter: usize): u64 {
  return THREADS ? atomic.load<u64>(vm + counter) : load<u64>(vm + counter);
}

/** How many pages may still be charged (mem_cgroup_margin): none when usage is at the limit or, since that was lowered, over it. */
export function margin(vm: usize, counter: usize): u64 {
  const max = load<u64>(vm + counter, MAX);
  if (max == NO_LIMIT) return NO_LIMIT;
  const usage = usageOf(vm, counter);
  return usage < max ? max - usage : 0;
}
