// Making room in the metadata arena. The SLAT is a cache of what the VMM's page table says, so its tables
// can always be dropped (linux: kvm_mmu_zap_all, the MMU shrinker); page state and VMAs cannot.
import { HOST_ARENA, HOST_VM_COUNT, VM_BASE, VM_SIZE } from '../base/layout';
import { Counter, EventKind } from '../abi/events';
import { slatZapAll } from '../slat/zap';
import { count, event } from '../trace/events';
import { arenaGet } from '../frames/arena';
import { poolFree } from '../frames/pool';

export function slatMakeRoom(): void {
  for (let i: u32 = 0, n = load<u32>(HOST_VM_COUNT); i < n; i++) {
    const vm = VM_BASE + <usize>i * VM_SIZE;
    const zapped = slatZapAll(vm);
    if (zapped == 0) continue;
    count(vm, Counter.SlatZapped, zapped);
    count(vm, Counter.SlatFlushes);
    event(EventKind.Zap, vm, <u32>zapped, 0, u64.MAX_VALUE, 1);
  }
}

/** Kept back for SLAT tables: when page state has filled all the rest, what is there can still be accessed. */
const SLAT_RESERVE: u32 = 64;

/** A zeroed metadata page, at the SLAT's cost if need be; 0 when there is none. */
export function metadataGet(): usize {
  if (poolFree(HOST_ARENA) <= SLAT_RESERVE) {
    slatMakeRoom();
    if (poolFree(HOST_ARENA) <= SLAT_RESERVE) return 0;
  }
  return arenaGet();
}
