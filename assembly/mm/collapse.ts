// MADV_COLLAPSE: 2 MiB of small pages become one huge page. Anonymous memory only; files have pages of 4 KiB here.
// Reference: linux 6.18 mm/khugepaged.c (madvise_collapse, hpage_collapse_scan_pmd, collapse_huge_page).
import { Errno } from '../abi/errno';
import { Counter } from '../abi/events';
import { VM_DONTEXPAND, VM_NOHUGEPAGE, VMA_FILE } from '../abi/vm-flags';
import { bitGet, bitsClear, bitsCount } from '../base/bits';
import { add } from '../base/thread';
import { VM_LAZY } from '../base/layout';
import { frameCopy } from '../frames/bytes';
import { GROUP } from '../frames/pool';
import { notify } from '../memslot/notify';
import { count } from '../trace/events';
import { framePut } from './frame';
import { hugeEntry, isAsOne, isNoTable, partsUnmapped } from './huge';
import { ksmUnmapped } from './ksm-page';
import {
  addBacked, addSwapped, BACKED, CHUNK_NODE, chunkIndex, chunkOf, KSM, LAZY, pageSlot, PART, SWAPPED,
} from './page-state';
import { groupGetZeroed } from './reclaim';
import { swapPut } from './swap';
import { VMA_ANON, VMA_END, VMA_FLAGS, VMA_START } from './vma';

const ROUND: u64 = ~(<u64>(GROUP - 1));

/** [vpn, end) of one VMA: each 2 MiB that is wholly in it. Where there is no page table the others go on, and all is EINVAL. */
export function collapse(vm: usize, vma: usize, vpn: u64, end: u64): Errno {
  const flags = load<u32>(vma, VMA_FLAGS);
  if ((flags & (VM_NOHUGEPAGE | VM_DONTEXPAND | VMA_FILE)) != 0 || load<u32>(vma, VMA_ANON) == 0) return Errno.EINVAL;
  if (((load<u64>(vma, VMA_START) + GROUP - 1) & ROUND) + GROUP > load<u64>(vma, VMA_END)) return Errno.EINVAL;
  const first = (vpn + GROUP - 1) & ROUND;
  const last = end & ROUND;
  let error: Errno = first > last ? Errno.EINVAL : Errno.OK;
  for (let base = first; base < last; base += GROUP) {
    const chunk = chunkOf(vm, base);
    if (chunk == 0 || isNoTable(chunk)) {
      error = Errno.EINVAL;
      continue;
    }
    if (isAsOne(chunk)) continue;
    const huge = groupGetZeroed(vm, vm, base);
    if (huge == 0) return Errno.ENOMEM;
    collapseChunk(vm, vma, base, chunk, huge);
  }
  return error;
}

/** The small pages of a chunk are copied to the huge page whose zeroed frames begin with `huge`. */
function collapseChunk(vm: usize, vma: usize, base: u64, chunk: usize, huge: u32): void {
  notify(vm, base, base + GROUP);
  let backed: i32 = 0;
  let swapped: i32 = 0;
  for (let i: u32 = 0; i < GROUP; i++) {
    const page = load<u32>(pageSlot(chunk, i));
    if (bitGet(chunk + BACKED, i)) {
      backed++;
      frameCopy(huge + i, page);
      if (bitGet(chunk + KSM, i)) ksmUnmapped(vm, page);
      else if (!bitGet(chunk + PART, i)) framePut(vm, page);
    } else if (bitGet(chunk + SWAPPED, i)) {
      swapped++;
      frameCopy(huge + i, page);
      swapPut(vm, page);
    }
  }
  const parts = bitsCount(chunk + PART, 0, GROUP);
  add(vm, VM_LAZY, 0 - <u64>bitsCount(chunk + LAZY, 0, GROUP));
  for (let plane = BACKED; plane <= PART; plane += 64) bitsClear(chunk + plane, 0, GROUP);
  addBacked(vm, load<u32>(chunk, CHUNK_NODE), chunkIndex(base), -backed);
  addSwapped(vm, -<i64>swapped);
  count(vm, Counter.FaultsMajor, swapped);
  count(vm, Counter.SwapIns, swapped);
  if (parts != 0) partsUnmapped(vm, base, chunk, parts);
  hugeEntry(vm, base, vma, chunk, huge);
}
