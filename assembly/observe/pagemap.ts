// /proc/PID/pagemap of the VMM. Reference: linux 6.18 fs/proc/task_mmu.c (pte_to_pagemap_entry, pagemap_pmd_range,
// pagemap_hugetlb_range). A kernel without CONFIG_MEM_SOFT_DIRTY, as the recordings are from: bit 55 is never set.
import { Pm, PM_SWAP_TYPE_BITS } from '../abi/page-flags';
import { HOST_SWAP, HUGE_ZERO_PAGE, SCRATCH, VPN_BASE, VPN_LIMIT, ZERO_PAGE } from '../base/layout';
import { bitGet } from '../base/bits';
import { max, min } from '../base/math';
import { poolBase } from '../frames/pool';
import { frameMappings } from '../frames/shared';
import { fileMappings, fileOf, filePage } from '../mm/file-place';
import { isAsOne } from '../mm/huge';
import { vmaOf } from '../mm/look-up';
import { BACKED, chunkOf, FILE, KSM, nextChunk, pageSlot, SWAPPED, ZERO } from '../mm/page-state';

const PRESENT: u64 = (<u64>1) << Pm.Present;
const SWAP: u64 = (<u64>1) << Pm.Swap;
const OF_FILE: u64 = (<u64>1) << Pm.File;
const EXCLUSIVE: u64 = (<u64>1) << Pm.MmapExclusive;

/** Entries of `pages` pages from vpn on, u64 each at SCRATCH, which must have room for them. */
export function pagemap(vm: usize, vpn: u64, pages: u32): void {
  memory.fill(SCRATCH, 0, <usize>pages << 3);
  const end = min(vpn + pages, VPN_LIMIT);
  for (let at = nextChunk(vm, max(vpn, VPN_BASE), end); at < end; at = nextChunk(vm, at, end)) {
    const chunk = chunkOf(vm, at);
    for (const stop = min((at | 511) + 1, end); at < stop; at++) {
      store<u64>(SCRATCH + (<usize>(at - vpn) << 3), entry(vm, at, chunk));
    }
  }
}

/** First page from vpn on, at most `end`, whose entry may be other than 0: so that readers can skip what was never touched. */
export function pagemapNext(vm: usize, vpn: u64, end: u64): u64 {
  const stop = min(end, VPN_LIMIT);
  return vpn >= stop ? end : min(nextChunk(vm, max(vpn, VPN_BASE), stop), stop);
}

function entry(vm: usize, vpn: u64, chunk: usize): u64 {
  const i = <u32>vpn & 511;
  if (bitGet(chunk + BACKED, i)) {
    // A huge page that is mapped as one counts as a mapping of each of its pages.
    let e = PRESENT | load<u32>(pageSlot(chunk, i));
    if (bitGet(chunk + FILE, i)) e |= OF_FILE;
    return mappings(vm, vpn, chunk) == 1 ? e | EXCLUSIVE : e;
  }
  if (bitGet(chunk + SWAPPED, i)) {
    // Offset 0 of a swap area is its header.
    const offset: u64 = load<u32>(pageSlot(chunk, i)) - poolBase(HOST_SWAP) + 1;
    return SWAP | (offset << PM_SWAP_TYPE_BITS);
  }
  if (!bitGet(chunk + ZERO, i)) return 0;
  // The zero page is no vm_normal_page, so nothing is said of it; the huge one is a folio that is not anonymous.
  return isAsOne(chunk) ? PRESENT | OF_FILE | ((HUGE_ZERO_PAGE >> 12) + i) : PRESENT | (ZERO_PAGE >> 12);
}

/** How many entries, of all processes, map the page that is mapped at vpn. */
function mappings(vm: usize, vpn: u64, chunk: usize): u32 {
  const i = <u32>vpn & 511;
  if (bitGet(chunk + KSM, i)) return frameMappings(load<u32>(pageSlot(chunk, i)));
  if (!bitGet(chunk + FILE, i)) return 1;
  const vma = vmaOf(vm, vpn);
  return fileMappings(fileOf(vma), filePage(vma, vpn));
}
