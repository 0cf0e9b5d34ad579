// Installing SLAT entries, and making and freeing the tables above them.
import { VM_MAPPED, VM_PSC_TAG, VM_ROOT } from '../base/layout';
import { arenaGet, arenaPut } from '../frames/arena';
import { EPT_RWX, EPT_TABLE, entryTable, leafTable, tableCount } from './entry';

/** An empty root. False when the arena is empty. */
export function slatInit(vm: usize): bool {
  const root = arenaGet();
  if (root == 0) return false;
  store<u32>(vm, <u32>root, VM_ROOT);
  store<u64>(vm, u64.MAX_VALUE, VM_PSC_TAG);
  return true;
}

function childTable(table: usize, index: usize): usize {
  const p = table + (index << 3);
  const e = load<u64>(p);
  if ((e & EPT_RWX) != 0) return entryTable(e);
  const child = arenaGet();
  if (child == 0) return 0;
  store<u16>(tableCount(child), 0);
  store<u64>(p, <u64>child | EPT_TABLE);
  const n = tableCount(table);
  store<u16>(n, load<u16>(n) + 1);
  return child;
}

/**
 * Put the leaf entry of gfn (absent, or present with less permission) to `entry`.
 * False when a table was needed and the arena is empty; tables made on the way stay, empty but owned.
 */
export function slatMap(vm: usize, gfn: u64, entry: u64): bool {
  let table = leafTable(vm, gfn);
  if (table == 0) {
    table = childTable(load<u32>(vm, VM_ROOT), <usize>((gfn >> 27) & 511));
    if (table == 0) return false;
    table = childTable(table, <usize>((gfn >> 18) & 511));
    if (table == 0) return false;
    table = childTable(table, <usize>((gfn >> 9) & 511));
    if (table == 0) return false;
  }
  const p = table + (<usize>(gfn & 511) << 3);
  if ((load<u64>(p) & EPT_RWX) == 0) {
    const n = tableCount(table);
    store<u16>(n, load<u16>(n) + 1);
    store<u64>(vm, load<u64>(vm, VM_MAPPED) + 1, VM_MAPPED);
  }
  store<u64>(p, entry);
  return true;
}

/** Give a table back. Its parent no longer points to it. */
export function tableFree(vm: usize, table: usize): void {
  store<u64>(vm, u64.MAX_VALUE, VM_PSC_TAG);
  store<u16>(tableCount(table), 0);
  arenaPut(table);
}
