// Dropping SLAT entries. Cost follows the tables that are there, never the size of the range: an absent
// level-4 entry skips 512 GiB at once, and a leaf table wholly inside the range is freed as it is.
//
// When a zap returns, no vCPU uses what it took: it waits for those that are in a guest window and may have found an
// entry of the same table (base/window.ts). A vCPU that never used a leaf of the table is not even looked at.
//
// A leaf of 2 MiB or 1 GiB of which a part is zapped goes whole, as in KVM; what is left of it is mapped again when it is used.
import { KvmCounter } from '../abi/events';
import { VM_MAPPED, VM_MAPPED_HUGE, VM_ROOT, VM_TREE_LOCK } from '../base/layout';
import { lock, unlock } from '../base/lock';
import { min } from '../base/math';
import { add, THREADS, threaded } from '../base/thread';
import { fence, waitWindows } from '../base/window';
import { EPT_HUGE, EPT_RWX, entryTable, GFN_LIMIT, isTable, leafEntry, leafTable, level2Entry, tableCount, tableUsers } from './entry';
import { countKvm } from '../trace/events';
import { addEntries, publish, tableFree } from './map';

/** Zap [from, to). Returns how many present leaf entries were dropped. */
export function slatZap(vm: usize, from: u64, to: u64): u64 {
  if (to > GFN_LIMIT) to = GFN_LIMIT;
  if (from >= to) return 0;
  if (to - from == 1) {
    // Most calls are about one page, and mostly there is nothing: one look, through the paging-structure cache.
    if ((leafEntry(vm, from) & EPT_RWX) == 0) return 0;
    const table = leafTable(vm, from);
    if (table != 0 && (threaded() || load<u16>(tableCount(table)) > 1)) return zapOne(vm, table, from);
  } else if (!threaded() && load<u64>(vm, VM_MAPPED) == 0) return 0;
  const zapped = zapTable(vm, load<u32>(vm, VM_ROOT), 27, from, to);
  if (zapped != 0) add(vm, VM_MAPPED, 0 - zapped);
  return zapped;
}

/** The entry of gfn in its leaf table, which stays. */
function zapOne(vm: usize, table: usize, gfn: u64): u64 {
  zapLeaf(table, <usize>(gfn & 511), 1);
  if (threaded()) settle(vm, table);
  add(vm, VM_MAPPED, -1);
  return 1;
}

/** Zap everything and free all tables but the root. SLAT is a cache: the next accesses fill it again. */
export function slatZapAll(vm: usize): u64 {
  // Empty tables (left by a mapping that ran out of arena) have no leaf entries, but go as well.
  const zapped = zapTable(vm, load<u32>(vm, VM_ROOT), 27, 0, GFN_LIMIT);
  store<u64>(vm, 0, VM_MAPPED);
  store<u64>(vm, 0, VM_MAPPED_HUGE);
  return zapped;
}

/** One table of level 4 or 3, whose entries span 2^shift frames each. Children that end up empty are freed. */
function zapTable(vm: usize, table: usize, shift: u64, from: u64, to: u64): u64 {
  let zapped: u64 = 0;
  let gfn = from;
  while (gfn < to) {
    const next = min(((gfn >> shift) + 1) << shift, to);
    const p = table + (<usize>((gfn >> shift) & 511) << 3);
    const e = load<u64>(p);
    if ((e & EPT_RWX) != 0) {
      if ((e & EPT_HUGE) != 0) {
        zapGigantic(vm, table, p);
        zapped++;
        gfn = next;
        continue;
      }
      const child = entryTable(e);
      zapped += shift == 18 ? zapLevel2(vm, child, gfn, next) : zapTable(vm, child, shift - 9, gfn, next);
      // While threads run the tables above the leaves stay: others walk through them without a lock.
      if (!threaded() && load<u16>(tableCount(child)) == 0) unlink(vm, table, p, child);
    }
    gfn = next;
  }
  return zapped;
}

/** A leaf of 1 GiB, at entry p of `table`. */
function zapGigantic(vm: usize, table: usize, p: usize): void {
  lock(vm + VM_TREE_LOCK);
  publish(p, 0);
  addEntries(table, -1);
  unlock(vm + VM_TREE_LOCK);
  if (threaded()) settle(vm, table);
}

/** A table of level 2: leaf tables, and leaves of its own. */
function zapLevel2(vm: usize, table: usize, from: u64, to: u64): u64 {
  let zapped: u64 = 0;
  let huge: u32 = 0;
  for (let gfn = from; gfn < to; ) {
    const next = min(((gfn >> 9) + 1) << 9, to);
    const p = table + (<usize>((gfn >> 9) & 511) << 3);
    const e = load<u64>(p);
    if ((e & EPT_RWX) != 0) {
      if ((e & EPT_HUGE) == 0) zapped += zapChild(vm, table, p, entryTable(e), gfn, next);
      else {
        publish(p, 0);
        huge++;
      }
    }
    gfn = next;
  }
  if (huge == 0) return zapped;
  lock(vm + VM_TREE_LOCK);
  addEntries(table, -(<i32>huge));
  unlock(vm + VM_TREE_LOCK);
  add(vm, VM_MAPPED_HUGE, 0 - <u64>huge);
  if (threaded()) settle(vm, table);
  return zapped + huge;
}

/** The leaf table `child`, entry p of `table`, between gfn and next. */
// @ts-ignore: decorator
@inline
function zapChild(vm: usize, table: usize, p: usize, child: usize, gfn: u64, next: u64): u64 {
  if (threaded()) {
    // An empty table stays too: taking it out of the tree is a lock that all vCPUs share, and it will be used again.
    if (load<u16>(tableCount(child)) == 0) return 0;
    const n = zapLeaf(child, <usize>(gfn & 511), <usize>(next - gfn));
    if (n != 0) settle(vm, child);
    return n;
  }
  const counter = tableCount(child);
  const whole = next - gfn == 512;
  const zapped: u32 = whole ? load<u16>(counter) : zapLeaf(child, <usize>(gfn & 511), <usize>(next - gfn));
  if (whole || load<u16>(counter) == 0) unlink(vm, table, p, child);
  return zapped;
}

/** Take `child` out of entry p of `table` and free it. */
function unlink(vm: usize, table: usize, p: usize, child: usize): void {
  lock(vm + VM_TREE_LOCK);
  publish(p, 0);
  addEntries(table, -1);
  unlock(vm + VM_TREE_LOCK);
  tableFree(vm, child);
}

/** Leaf entries of `table` have just been dropped: wait for the accesses that may have found them (linux: kvm_flush_remote_tlbs). */
export function settle(vm: usize, table: usize): void {
  if (THREADS) {
    fence();
    if (waitWindows(vm, atomic.load<u32>(tableUsers(table)))) countKvm(vm, KvmCounter.RemoteFlush);
  }
}

/**
 * While threads run, to make room: drop the leaf table of gfn, whose chunk's lock is held, with what [gfn, next) has in
 * it if that is all. Returns how many present entries went; the table stays when others are in it.
 */
export function slatZapTable(vm: usize, gfn: u64, next: u64): u64 {
  const p = level2Entry(vm, gfn);
  // Looked at again here and below: until the chunk was locked another thread may have been here.
  if (p == 0 || !isTable(load<u64>(p))) return 0;
  const zapped = slatZap(vm, gfn, next);
  const e = load<u64>(p);
  if (isTable(e) && load<u16>(tableCount(entryTable(e))) == 0) unlink(vm, p & ~(<usize>4095), p, entryTable(e));
  return zapped;
}

/** Entries [index, index+n) of a leaf table. */
function zapLeaf(table: usize, index: usize, n: usize): u32 {
  let zapped: u32 = 0;
  for (let p = table + (index << 3), end = p + (n << 3); p < end; p += 8) {
    if ((load<u64>(p) & EPT_RWX) != 0) {
      store<u64>(p, 0);
      zapped++;
    }
  }
  addEntries(table, -(<i32>zapped));
  return zapped;
}
