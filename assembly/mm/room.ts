// Making room in the metadata arena. The SLAT is a cache of what the VMM's page table says, so its tables
// can always be dropped (linux: kvm_mmu_zap_all, the MMU shrinker); page state and VMAs cannot.
import { HOST_ARENA, HOST_VM_COUNT, VM_BASE, VM_SIZE, VM_SLOT_COUNT } from '../base/layout';
import { Counter, EventKind } from '../abi/events';
import { chunkTry, chunkUntry, hasOneLock } from '../base/chunk-lock';
import { min } from '../base/math';
import { threaded } from '../base/thread';
import { SLOT_BASE, SLOT_END, slotAt, slotVpn } from '../memslot/table';
import { nextLevel2 } from '../slat/entry';
import { slatZapAll, slatZapTable } from '../slat/zap';
import { count, event } from '../trace/events';
import { arenaGet } from '../frames/arena';
import { pagesFree } from '../frames/cache';
import { poolFree } from '../frames/pool';

export function slatMakeRoom(): void {
  for (let i: u32 = 0, n = load<u32>(HOST_VM_COUNT); i < n; i++) {
    const vm = VM_BASE + <usize>i * VM_SIZE;
    const zapped = threaded() ? zapOthers(vm) : slatZapAll(vm);
    if (zapped == 0) continue;
    count(vm, Counter.SlatZapped, zapped);
    count(vm, Counter.SlatFlushes);
    event(EventKind.Zap, vm, <u32>zapped, 0, u64.MAX_VALUE, 1);
  }
}

/** While threads run: the leaf tables of chunks that nobody else is at work on. The tables above stay. */
function zapOthers(vm: usize): u64 {
  let zapped: u64 = 0;
  // Where slots may change meanwhile, nobody does that now, or there is nothing to be had.
  const all = hasOneLock(vm) ? chunkTry(vm, 0) : 2;
  if (all == 0) return 0;
  for (let n: u32 = 0, slots = load<u32>(vm, VM_SLOT_COUNT); n < slots; n++) {
    const slot = slotAt(vm, n);
    const end = load<u64>(slot, SLOT_END);
    for (let gfn = nextLevel2(vm, load<u64>(slot, SLOT_BASE), end); gfn < end; ) {
      const next = min(((gfn >> 9) + 1) << 9, end);
      const vpn = slotVpn(slot, gfn);
      const was = chunkTry(vm, vpn);
      if (was != 0) {
        zapped += slatZapTable(vm, gfn, next);
        chunkUntry(vm, vpn, was);
      }
      gfn = nextLevel2(vm, next, end);
    }
  }
  chunkUntry(vm, 0, all);
  return zapped;
}

/** Kept back for SLAT tables: when page state has filled all the rest, what is there can still be accessed. */
const SLAT_RESERVE: u32 = 64;

/** A zeroed metadata page, at the SLAT's cost if need be; 0 when there is none. */
export function metadataGet(): usize {
  if (poolFree(HOST_ARENA) <= SLAT_RESERVE && pagesFree(HOST_ARENA) <= SLAT_RESERVE) {
    slatMakeRoom();
    if (pagesFree(HOST_ARENA) <= SLAT_RESERVE) return 0;
  }
  return arenaGet();
}
