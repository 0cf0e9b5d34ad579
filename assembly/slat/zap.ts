// Dropping SLAT entries. Cost follows the tables that are there, never the size of the range: an absent
// level-4 entry skips 512 GiB at once, and a leaf table wholly inside the range is freed as it is.
import { VM_MAPPED, VM_ROOT } from '../base/layout';
import { min } from '../base/math';
import { EPT_RWX, entryTable, GFN_LIMIT, leafEntry, tableCount } from './entry';
import { tableFree } from './map';

/** Zap [from, to). Returns how many present leaf entries were dropped. */
export function slatZap(vm: usize, from: u64, to: u64): u64 {
  if (to > GFN_LIMIT) to = GFN_LIMIT;
  if (from >= to || load<u64>(vm, VM_MAPPED) == 0) return 0;
  if (to - from == 1) {
    // Most calls are about one page, and mostly there is nothing: one look, through the paging-structure cache.
    if ((leafEntry(vm, from) & EPT_RWX) == 0) return 0;
  }
  const zapped = zapTable(vm, load<u32>(vm, VM_ROOT), 27, from, to);
  store<u64>(vm, load<u64>(vm, VM_MAPPED) - zapped, VM_MAPPED);
  return zapped;
}

/** Zap everything and free all tables but the root. SLAT is a cache: the next accesses fill it again. */
export function slatZapAll(vm: usize): u64 {
  // Empty tables (left by a mapping that ran out of arena) have no leaf entries, but go as well.
  const zapped = zapTable(vm, load<u32>(vm, VM_ROOT), 27, 0, GFN_LIMIT);
  store<u64>(vm, 0, VM_MAPPED);
  return zapped;
}

/** One table whose entries span 2^shift frames each. Children that end up empty are freed. */
function zapTable(vm: usize, table: usize, shift: u64, from: u64, to: u64): u64 {
  let zapped: u64 = 0;
  const counter = tableCount(table);
  let gfn = from;
  while (gfn < to) {
    const next = min(((gfn >> shift) + 1) << shift, to);
    const p = table + (<usize>((gfn >> shift) & 511) << 3);
    const e = load<u64>(p);
    if ((e & EPT_RWX) != 0) {
      const child = entryTable(e);
      let empty = false;
      if (shift == 9) {
        if (next - gfn == 512) {
          zapped += load<u16>(tableCount(child));
          empty = true;
        } else {
          zapped += zapLeaf(child, <usize>(gfn & 511), <usize>(next - gfn));
          empty = load<u16>(tableCount(child)) == 0;
        }
      } else {
        zapped += zapTable(vm, child, shift - 9, gfn, next);
        empty = load<u16>(tableCount(child)) == 0;
      }
      if (empty) {
        store<u64>(p, 0);
        store<u16>(counter, load<u16>(counter) - 1);
        tableFree(vm, child);
      }
    }
    gfn = next;
  }
  return zapped;
}

/** Entries [index, index+n) of a leaf table. */
function zapLeaf(table: usize, index: usize, n: usize): u64 {
  let zapped: u32 = 0;
  for (let p = table + (index << 3), end = p + (n << 3); p < end; p += 8) {
    if ((load<u64>(p) & EPT_RWX) != 0) {
      store<u64>(p, 0);
      zapped++;
    }
  }
  const counter = tableCount(table);
  store<u16>(counter, load<u16>(counter) - <u16>zapped);
  return zapped;
}
