// The walk, entry by entry, for those who want to see it.
import { VM_ROOT } from '../base/layout';
import { EPT_HUGE, EPT_RWX, isTable, entryTable } from '../slat/entry';

/** Address of the entry that a walk of gfn uses at `level` (4 … 1), 0 when a level above is absent or a leaf. */
export function walkEntry(vm: usize, gfn: u64, level: u32): usize {
  let table: usize = load<u32>(vm, VM_ROOT);
  for (let l: u32 = 4; l > level; l--) {
    const e = load<u64>(table + (<usize>((gfn >> ((l - 1) * 9)) & 511) << 3));
    if (!isTable(e)) return 0;
    table = entryTable(e);
  }
  return table + (<usize>((gfn >> ((level - 1) * 9)) & 511) << 3);
}

/** Leaf entries of 1 GiB: counted when asked for. */
export function giganticLeaves(vm: usize): u32 {
  let n: u32 = 0;
  const root: usize = load<u32>(vm, VM_ROOT);
  for (let p = root; p < root + 4096; p += 8) {
    const e = load<u64>(p);
    if ((e & EPT_RWX) == 0) continue;
    for (let q = entryTable(e), end = q + 4096; q < end; q += 8) if ((load<u64>(q) & EPT_HUGE) != 0) n++;
  }
  return n;
}
