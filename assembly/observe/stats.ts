// Numbers of a range of the VMM's pages, counted from the planes. Cost follows the chunks that are there.
// Results go to the scratch area as u32, one behind the other.
import { BACKED, chunkAt, chunkIndex, DIRTY, LAZY, nextChunk, nodeOf, SWAPPED, ZERO } from '../mm/page-state';
import { bitGet, wordMask } from '../base/bits';
import { min } from '../base/math';
import { SCRATCH } from '../base/layout';
import { vmaOf } from '../mm/look-up';

/** Pages of [vpn, end): SCRATCH ← backed, backed and dirty, lazily freed and clean, swapped, zero page (u64 each). */
export function rangeStats(vm: usize, vpn: u64, end: u64): void {
  let backed: u64 = 0;
  let dirty: u64 = 0;
  let lazyClean: u64 = 0;
  let swapped: u64 = 0;
  let zero: u64 = 0;
  while ((vpn = nextChunk(vm, vpn, end)) < end) {
    const chunk = chunkAt(nodeOf(vm, vpn), chunkIndex(vpn));
    const stop = min(((vpn >> 9) + 1) << 9, end);
    const to = (<u32>vpn & 511) + <u32>(stop - vpn);
    for (let i = <u32>vpn & 511; i < to; ) {
      const next = min(((i >> 6) + 1) << 6, to) as u32;
      const mask = wordMask(i & 63, ((next - 1) & 63) + 1);
      const p = chunk + (<usize>(i >> 6) << 3);
      const b = load<u64>(p, BACKED) & mask;
      const d = load<u64>(p, DIRTY);
      backed += popcnt(b);
      dirty += popcnt(b & d);
      lazyClean += popcnt(b & load<u64>(p, LAZY) & ~d);
      swapped += popcnt(load<u64>(p, SWAPPED) & mask);
      zero += popcnt(load<u64>(p, ZERO) & mask);
      i = next;
    }
    vpn = stop;
  }
  store<u64>(SCRATCH, backed, 0);
  store<u64>(SCRATCH, dirty, 8);
  store<u64>(SCRATCH, lazyClean, 16);
  store<u64>(SCRATCH, swapped, 24);
  store<u64>(SCRATCH, zero, 32);
}

/** The page's letter as in the traces: x . z a l d s (ASCII). */
export function pageLetter(vm: usize, vpn: u64): u32 {
  if (vmaOf(vm, vpn) == 0) return 0x78;
  return stateLetter(vm, vpn);
}

export function stateLetter(vm: usize, vpn: u64): u32 {
  const node = nodeOf(vm, vpn);
  const chunk = node == 0 ? <usize>0 : chunkAt(node, chunkIndex(vpn));
  const i = <u32>vpn & 511;
  if (chunk == 0) return 0x2e;
  if (bitGet(chunk + BACKED, i)) {
    if (!bitGet(chunk + LAZY, i)) return 0x61;
    return bitGet(chunk + DIRTY, i) ? 0x64 : 0x6c;
  }
  if (bitGet(chunk + SWAPPED, i)) return 0x73;
  return bitGet(chunk + ZERO, i) ? 0x7a : 0x2e;
}
