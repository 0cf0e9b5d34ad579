// Taking write access, or the dirty bit, from SLAT entries: how a dirty log learns of the next write. Leaves of 2 MiB and
// 1 GiB are split in place first, since it is about pages of 4 KiB.
// Reference: linux arch/x86/kvm/mmu/tdp_mmu.c (wrprot_gfn_range, clear_dirty_gfn_range, tdp_mmu_split_huge_pages_root).
import { VM_MAPPED, VM_MAPPED_HUGE, VM_TREE_LOCK } from '../base/layout';
import { lock, unlock } from '../base/lock';
import { min } from '../base/math';
import { add, threaded } from '../base/thread';
import { arenaGet } from '../frames/arena';
import { EPT_1G, EPT_HUGE, EPT_TABLE, entryTable, level2Entry, nextLevel2, tableCount, tableUsers } from './entry';
import { publish } from './map';
import { settle, slatZap } from './zap';

/**
 * `bits` are taken from all leaves of [from, to) that have them. A huge leaf for whose table there is no page is zapped
 * instead. Returns how many leaves changed; when it does, no vCPU uses what they were.
 */
export function slatProtect(vm: usize, from: u64, to: u64, bits: u64): u64 {
  let changed: u64 = 0;
  for (let gfn = nextLevel2(vm, from, to); gfn < to; ) {
    const p = level2Entry(vm, gfn);
    const entry = load<u64>(p);
    if ((entry & EPT_HUGE) != 0) {
      // Looked at again: now there is a table here, or nothing.
      if (!split(vm, p, entry)) changed += slatZap(vm, gfn, gfn + 1);
      else changed++;
      gfn = nextLevel2(vm, gfn, to);
      continue;
    }
    const next = min(((gfn >> 9) + 1) << 9, to);
    changed += protectLeaf(vm, entryTable(entry), <usize>(gfn & 511), <usize>(next - gfn), bits);
    gfn = nextLevel2(vm, next, to);
  }
  return changed;
}

function protectLeaf(vm: usize, table: usize, index: usize, n: usize, bits: u64): u64 {
  let changed: u64 = 0;
  for (let p = table + (index << 3), end = p + (n << 3); p < end; p += 8) {
    const entry = load<u64>(p);
    if ((entry & bits) == 0) continue;
    store<u64>(p, entry & ~bits);
    changed++;
  }
  if (changed != 0 && threaded()) settle(vm, table);
  return changed;
}

/** The huge leaf at p becomes a table of 512 leaves of the next smaller size. False without a page for it. */
function split(vm: usize, p: usize, entry: u64): bool {
  const child = arenaGet();
  if (child == 0) return false;
  const gigantic = (entry & EPT_1G) != 0;
  const step: u64 = gigantic ? 512 << 12 : 1 << 12;
  const first = entry & ~(gigantic ? EPT_1G : EPT_HUGE);
  for (let i: usize = 0; i < 512; i++) store<u64>(child + (i << 3), first + step * i);
  store<u16>(tableCount(child), 512);
  store<u32>(tableUsers(child), 0);
  lock(vm + VM_TREE_LOCK);
  publish(p, <u64>child | EPT_TABLE);
  unlock(vm + VM_TREE_LOCK);
  add(vm, VM_MAPPED, 511);
  add(vm, VM_MAPPED_HUGE, gigantic ? 512 : -1);
  if (threaded()) settle(vm, p & ~(<usize>4095));
  return true;
}
