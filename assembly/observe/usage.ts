// Who uses what: pages of a range of the VMM's page table, of a file, and SLAT leaves, as the kernel's counters count them.
// Cost follows what is there. Reference: linux mm/rmap.c (NR_ANON_MAPPED, NR_FILE_MAPPED), mm/filemap.c (NR_FILE_PAGES),
// mm/mlock.c, virt/kvm/guest_memfd.c (mapping_set_unevictable), arch/x86/kvm/mmu/mmu.c (kvm_update_page_stats).
import { FileKind } from '../abi/file';
import { VM_LOCKED, VMA_FILE } from '../abi/vm-flags';
import { PAGE_SIZE, SCRATCH, VM_ROOT, VPN_BASE } from '../base/layout';
import { bitGet } from '../base/bits';
import { max, min } from '../base/math';
import { nodeOfFrame } from '../frames/node';
import { frameMappings } from '../frames/shared';
import { fileKind, fileReach } from '../mm/file';
import { filePlaceName, filePlaces, fileVpn } from '../mm/file-place';
import { fileIsHuge } from '../mm/file-huge';
import { folioOf, isAsOne, isHugetlb } from '../mm/huge';
import { vmaFrom } from '../mm/look-up';
import { BACKED, chunkOf, FILE, KSM, nextChunk, pageSlot, PART, SWAPPED } from '../mm/page-state';
import { VMA_END, VMA_FLAGS, VMA_START } from '../mm/vma';
import { EPT_HUGE, EPT_RWX, entryTable } from '../slat/entry';

// What pagesUsage and fileUsage leave at SCRATCH, u64 pages each; src/core/layout.ts has the same numbers.
/** Mapped anonymous pages with one owner. */
export const USE_ANON: usize = 0;
/** Entries for pages that KSM shares. */
export const USE_KSM: usize = 8;
/** Of the first: of huge pages mapped as one. */
export const USE_ANON_HUGE: usize = 16;
/** Of huge pages, frames that nobody maps any more. */
export const USE_HELD: usize = 24;
/** Pages of hugetlb pages: those that are mapped, or those that a file has. */
export const USE_HUGETLB: usize = 32;
export const USE_SWAPPED: usize = 40;
/** Pages that mlock keeps. */
export const USE_LOCKED: usize = 48;
/** Pages of a file in memory, up to date or not. */
export const USE_CACHED: usize = 56;
/** Of those, pages that some page table maps, and the entries that do. */
export const USE_MAPPED: usize = 64;
export const USE_ENTRIES: usize = 72;
/** Pages that reclaim may not have: locked, or of a guest_memfd. */
export const USE_UNEVICTABLE: usize = 80;
/** Of the entries for pages of KSM: the share that each has in its frame, in bytes. */
export const USE_KSM_SHARE: usize = 88;
/** SLAT leaves of 4 KiB, 2 MiB and 1 GiB. */
export const USE_LEAVES: usize = 96;
/** The same pages by node, 8 nodes each: anonymous ones or a file's, and those that reclaim may not have. */
export const USE_NODES: usize = 128;
export const USE_NODES_UNEVICTABLE: usize = 192;
/** All pages that the page table maps, by node. */
export const USE_NODES_MAPPED: usize = 256;
/** Of a file: pages of huge pages, by node. */
export const USE_NODES_HUGE: usize = 320;
const USE_END: usize = 384;

// @ts-ignore: decorator
@inline
function plus(field: usize, by: u64): void {
  store<u64>(SCRATCH + field, load<u64>(SCRATCH + field) + by);
}

/** What [vpn, end) of the VMM's page table has besides pages of files. */
export function pagesUsage(vm: usize, vpn: u64, end: u64): void {
  memory.fill(SCRATCH, 0, USE_END);
  while (vpn < end) {
    const vma = vmaFrom(vm, vpn, end);
    if (vma == 0 || load<u64>(vma, VMA_START) >= end) return;
    const stop = min(load<u64>(vma, VMA_END), end);
    mappingUsage(vm, max(load<u64>(vma, VMA_START), vpn), stop, (load<u32>(vma, VMA_FLAGS) & VM_LOCKED) != 0);
    vpn = stop;
  }
}

function mappingUsage(vm: usize, vpn: u64, end: u64, locked: bool): void {
  while ((vpn = nextChunk(vm, vpn, end)) < end) {
    const chunk = chunkOf(vm, vpn);
    for (const stop = min((vpn | 511) + 1, end); vpn < stop; vpn++) {
      const i = <u32>vpn & 511;
      if (bitGet(chunk + BACKED, i)) plus(USE_NODES_MAPPED + (<usize>nodeOfFrame(load<u32>(pageSlot(chunk, i))) << 3), 1);
      if (isHugetlb(chunk)) {
        plus(USE_HUGETLB, 1);
        continue;
      }
      if (folioOf(chunk) != 0 && !bitGet(chunk + PART, i)) plus(USE_HELD, 1);
      if (bitGet(chunk + SWAPPED, i)) plus(USE_SWAPPED, 1);
      if (bitGet(chunk + BACKED, i) && !bitGet(chunk + FILE, i)) anonUsage(chunk, i, locked);
    }
  }
}

/** One mapped anonymous page, in a VMA that is locked or not. */
function anonUsage(chunk: usize, i: u32, locked: bool): void {
  const frame = load<u32>(pageSlot(chunk, i));
  if (bitGet(chunk + KSM, i)) {
    plus(USE_KSM, 1);
    plus(USE_KSM_SHARE, PAGE_SIZE / frameMappings(frame));
    return;
  }
  const node = <usize>nodeOfFrame(frame) << 3;
  const asOne = isAsOne(chunk);
  plus(USE_ANON, 1);
  plus(USE_NODES + node, 1);
  if (asOne) plus(USE_ANON_HUGE, 1);
  // Of a page mapped by parts it is not known whether it has PG_mlocked (page-flags.ts).
  if (!locked || (!asOne && bitGet(chunk + PART, i))) return;
  plus(USE_LOCKED, 1);
  plus(USE_NODES_UNEVICTABLE + node, 1);
}

/** What the file has of its pages [at, end), as it numbers them. */
export function fileUsage(vm: usize, file: usize, at: u64, end: u64): void {
  memory.fill(SCRATCH, 0, USE_END);
  end = min(end, fileReach(file));
  const isGmem = fileKind(file) == FileKind.GuestMemfd;
  while ((at = nextChunk(file, at, end)) < end) {
    const chunk = chunkOf(file, at);
    const huge = fileIsHuge(file, at);
    for (const stop = min((at | 511) + 1, end); at < stop; at++) {
      const i = <u32>at & 511;
      if (isHugetlb(chunk)) plus(USE_HUGETLB, 1);
      else if (bitGet(chunk + SWAPPED, i)) plus(USE_SWAPPED, 1);
      else if (bitGet(chunk + BACKED, i)) {
        const frame = load<u32>(pageSlot(chunk, i));
        const node = <usize>nodeOfFrame(frame) << 3;
        const locked = mappings(vm, file, at, frame);
        plus(USE_CACHED, 1);
        plus(USE_NODES + node, 1);
        if (huge) plus(USE_NODES_HUGE + node, 1);
        if (locked) plus(USE_LOCKED, 1);
        if (!locked && !isGmem) continue;
        plus(USE_UNEVICTABLE, 1);
        plus(USE_NODES_UNEVICTABLE + node, 1);
      }
    }
  }
}

/** Counts the entries that map the file's page `at`, which is in `frame`. Whether a locked VMA is among them. */
function mappings(vm: usize, file: usize, at: u64, frame: u32): bool {
  let entries: u32 = 0;
  let locked: bool = false;
  for (let n: u32 = 0; n < filePlaces(file); n++) {
    const vpn = fileVpn(filePlaceName(file, n), at);
    if (vpn < <i64>VPN_BASE) continue;
    const chunk = chunkOf(vm, vpn);
    const i = <u32>vpn & 511;
    if (chunk == 0 || !bitGet(chunk + FILE, i) || !bitGet(chunk + BACKED, i) || load<u32>(pageSlot(chunk, i)) != frame) continue;
    entries++;
    const vma = vmaFrom(vm, vpn, vpn + 1);
    if (vma != 0 && (load<u32>(vma, VMA_FLAGS) & (VM_LOCKED | VMA_FILE)) == (VM_LOCKED | VMA_FILE)) locked = true;
  }
  if (entries != 0) plus(USE_MAPPED, 1);
  plus(USE_ENTRIES, entries);
  return locked;
}

/** SLAT leaves for gfns [gfn, end), whole or in part: USE_LEAVES, and behind it those of 2 MiB and of 1 GiB, in pages of 4 KiB. */
export function leavesUsage(vm: usize, gfn: u64, end: u64): void {
  memory.fill(SCRATCH, 0, USE_END);
  tableUsage(load<u32>(vm, VM_ROOT), 27, 0, gfn, end);
}

function tableUsage(table: usize, shift: u64, base: u64, gfn: u64, end: u64): void {
  const first: u64 = gfn > base ? (gfn - base) >> shift : 0;
  for (let i = first; i < 512; i++) {
    const here = base + (i << shift);
    if (here >= end) return;
    const entry = load<u64>(table + (<usize>i << 3));
    if ((entry & EPT_RWX) == 0) continue;
    if (shift != 0 && (entry & EPT_HUGE) == 0) tableUsage(entryTable(entry), shift - 9, here, gfn, end);
    else plus(USE_LEAVES + ((<usize>shift / 9) << 3), min(here + (<u64>1 << shift), end) - max(here, gfn));
  }
}
