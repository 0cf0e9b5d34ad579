// Installing SLAT entries, and making and freeing the tables above them. A leaf table belongs to who holds its chunk's
// lock; the tables above have a lock of their own, are read without it, and stay while vCPU threads run.
import { SyncPoint } from '../abi/sync';
import { RUN_LOCAL, VM_HUGE_TAG, VM_MAPPED, VM_MAPPED_HUGE, VM_PSC_TAG, VM_ROOT, VM_TREE_LOCK } from '../base/layout';
import { lock, unlock } from '../base/lock';
import { add, runOf, self, sync, THREADS, threaded } from '../base/thread';
import { fence, waitWindows } from '../base/window';
import { arenaGet, arenaPut } from '../frames/arena';
import { EPT_1G, EPT_HUGE, EPT_RWX, EPT_TABLE, entryTable, isTable, leafTable, tableCount, tableUsers } from './entry';

/** An empty root. False when the arena is empty. */
export function slatInit(vm: usize): bool {
  const root = arenaGet();
  if (root == 0) return false;
  store<u32>(vm, <u32>root, VM_ROOT);
  forget(vm);
  return true;
}

/** Empty the paging-structure cache of a VM none of whose threads run. */
// @ts-ignore: decorator
@inline
function forget(vm: usize): void {
  store<u64>(vm, u64.MAX_VALUE, VM_PSC_TAG);
  store<u64>(vm, u64.MAX_VALUE, VM_HUGE_TAG);
}

/** Write an entry that others walk through without a lock: what it leads to is complete. */
// @ts-ignore: decorator
@inline
export function publish(p: usize, entry: u64): void {
  if (THREADS) {
    if (self != 0) {
      sync(SyncPoint.Publish, p);
      atomic.store<u64>(p, entry);
      return;
    }
  }
  store<u64>(p, entry);
}

/** The table that entry `index` of `table` leads to, made when absent. 0: no arena page, or a leaf stands there. */
function childTable(table: usize, index: usize): usize {
  const p = table + (index << 3);
  const e = load<u64>(p);
  if ((e & EPT_RWX) != 0) return (e & EPT_HUGE) == 0 ? entryTable(e) : 0;
  const child = arenaGet();
  if (child == 0) return 0;
  store<u16>(tableCount(child), 0);
  store<u32>(tableUsers(child), 0);
  publish(p, <u64>child | EPT_TABLE);
  addEntries(table, 1);
  return child;
}

/** Add `by` to the count of present entries of a table. */
// @ts-ignore: decorator
@inline
export function addEntries(table: usize, by: i32): void {
  const n = tableCount(table);
  store<u16>(n, <u16>(<i32>load<u16>(n) + by));
}

/** The level-3 table of gfn, made when absent; 0 as below. Under the tree lock. */
function level3Make(vm: usize, gfn: u64): usize {
  return childTable(load<u32>(vm, VM_ROOT), <usize>((gfn >> 27) & 511));
}

/** The same for level 2. */
function level2Make(vm: usize, gfn: u64): usize {
  const table = level3Make(vm, gfn);
  return table == 0 ? 0 : childTable(table, <usize>((gfn >> 18) & 511));
}

/** The leaf table of gfn, made when absent. 0: the arena is empty; tables made on the way stay, empty but owned. */
function leafTableMake(vm: usize, gfn: u64): usize {
  lock(vm + VM_TREE_LOCK);
  let table = level2Make(vm, gfn);
  if (table != 0) table = childTable(table, <usize>((gfn >> 9) & 511));
  unlock(vm + VM_TREE_LOCK);
  return table;
}

/** Put the leaf entry of gfn (absent, or present with less permission) to `entry`. False when the arena is empty. */
export function slatMap(vm: usize, gfn: u64, entry: u64): bool {
  let table = leafTable(vm, gfn);
  if (table == 0) {
    table = leafTableMake(vm, gfn);
    if (table == 0) return false;
  }
  const p = table + (<usize>(gfn & 511) << 3);
  if ((load<u64>(p) & EPT_RWX) == 0) {
    addEntries(table, 1);
    add(vm, VM_MAPPED, 1);
  }
  publish(p, entry);
  return true;
}

/**
 * Put a leaf of 2^shift pages, 2 MiB or 1 GiB, over gfn. A leaf table that stands in the place of 2 MiB, empty or with
 * entries for parts of the same page, is given back (linux: a shadow page replaced by a huge SPTE). No table may stand in the
 * place of 1 GiB (hasTable). False when the arena is empty.
 */
export function slatMapHuge(vm: usize, gfn: u64, entry: u64, shift: u64): bool {
  lock(vm + VM_TREE_LOCK);
  const table = shift == 18 ? level3Make(vm, gfn) : level2Make(vm, gfn);
  if (table == 0) {
    unlock(vm + VM_TREE_LOCK);
    return false;
  }
  const p = table + (<usize>((gfn >> shift) & 511) << 3);
  const old = load<u64>(p);
  publish(p, entry | (shift == 18 ? EPT_HUGE | EPT_1G : EPT_HUGE));
  if ((old & EPT_RWX) == 0) addEntries(table, 1);
  unlock(vm + VM_TREE_LOCK);
  if ((old & EPT_HUGE) != 0) return true;
  add(vm, VM_MAPPED, 1);
  if (shift == 9) add(vm, VM_MAPPED_HUGE, 1);
  if (!isTable(old)) return true;
  assert(shift == 9);
  add(vm, VM_MAPPED, 0 - <u64>load<u16>(tableCount(entryTable(old))));
  tableFree(vm, entryTable(old));
  return true;
}

/** Whether smaller leaves have, or had, the place of a leaf of 1 GiB around gfn: while threads run their table stays. */
export function hasTable(vm: usize, gfn: u64): bool {
  const e = load<u64>(<usize>load<u32>(vm, VM_ROOT) + (<usize>((gfn >> 27) & 511) << 3));
  return isTable(e) && isTable(load<u64>(entryTable(e) + (<usize>((gfn >> 18) & 511) << 3)));
}

/**
 * Give a table back. Its parent no longer points to it, but a vCPU thread may still have it in its paging-structure
 * cache or be walking through it.
 */
export function tableFree(vm: usize, table: usize): void {
  if (threaded()) tableForget(vm, table);
  // The main thread's, also while threads run: the table may be that of a VM which is not running.
  forget(vm);
  store<u16>(tableCount(table), 0);
  arenaPut(table);
}

function tableForget(vm: usize, table: usize): void {
  if (THREADS) {
    fence();
    const users = atomic.load<u32>(tableUsers(table));
    for (let mask = users; mask != 0; mask &= mask - 1) {
      atomic.store<u64>(runOf(vm, <u32>ctz(mask)) + RUN_LOCAL, u64.MAX_VALUE, VM_PSC_TAG);
    }
    waitWindows(vm, users);
  }
}
