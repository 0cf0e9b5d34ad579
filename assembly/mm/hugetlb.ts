// Memory of hugetlb pages, of 2 MiB or 1 GiB each: nothing smaller is ever allocated, mapped or given back, there is no swap,
// and smaps counts them apart. Reference: linux mm/hugetlb.c (hugetlb_fault, hugetlb_change_protection), fs/hugetlbfs/inode.c
// (hugetlbfs_punch_hole), mm/madvise.c (madvise_dontneed_free_valid_vma); rule 10 of the recordings.
//
// A mapped page has all 512 bits of its chunk in Backed, the numbers of its frames, and HUGETLB | AS_ONE; File when a file
// owns it. A file's chunk has the same numbers. Writable is the same for all 512. A page of 1 GiB is 512 such chunks, all
// of a node, which come, change and go together.
import { Counter, EventKind } from '../abi/events';
import { Status } from '../abi/status';
import { VM_SHARED, VM_WRITE } from '../abi/vm-flags';
import { VM_HUGETLB, VM_HUGETLB_PAGES } from '../base/layout';
import { bitGet, bitsClear, bitsSet } from '../base/bits';
import { min } from '../base/math';
import { add } from '../base/thread';
import { framesZero } from '../frames/bytes';
import { giganticGetZeroed, giganticPut, isGigantic } from '../frames/gigantic';
import { hugeGetZeroed, hugePut } from '../frames/huge';
import { hasNodes } from '../frames/node';
import { GROUP } from '../frames/pool';
import { notify } from '../memslot/notify';
import { count, event } from '../trace/events';
import { fileOwner } from './file';
import { fileOf, filePage } from './file-place';
import { AS_ONE, folioOf, HUGETLB, isHugetlb } from './huge';
import {
  addBacked, addMapped, BACKED, CHUNK_FOLIO, CHUNK_HUGE, CHUNK_NODE, chunkDrop, chunkIndex, chunkMake, chunkOf, FILE, hint,
  HINT_SPECIAL, nextChunk, nodeOf, pageSlot, WRITABLE,
} from './page-state';
import { place } from './policy';
import { VMA_FLAGS } from './vma';

/** 4 KiB pages of each hugetlb page of a VM that has such RAM (linux: pages_per_huge_page(hstate_vma(vma))). */
// @ts-ignore: decorator
@inline
export function hugetlbPages(vm: usize): u64 {
  return load<u32>(vm, VM_HUGETLB_PAGES);
}

/** First frame of a zeroed hugetlb page for page `at` of `space`, 0 when there is none. Those of 1 GiB have no node. */
function pageGet(vm: usize, space: usize, at: u64, pages: u64): u32 {
  if (pages != GROUP) return giganticGetZeroed();
  const first = hugeGetZeroed();
  if (first == 0 || !hasNodes() || place(vm, space, at, first, GROUP)) return first;
  hugePut(first);
  return 0;
}

function pagePut(first: u32): void {
  if (isGigantic(first)) giganticPut(first);
  else hugePut(first);
}

/** Any access brings all of a page. A first read of private memory maps it read-only: there is no zero page to map. */
export function hugetlbFault(vm: usize, vpn: u64, write: bool, vma: usize): Status {
  const flags = load<u32>(vma, VMA_FLAGS);
  const shared = (flags & VM_SHARED) != 0;
  const pages = hugetlbPages(vm);
  const base = vpn & ~(pages - 1);
  const first = shared ? fileObtain(fileOf(vma), filePage(vma, base), pages) : pageGet(vm, vm, base, pages);
  if (first == 0) return Status.Sigbus;
  if (!chunksMake(vm, base, pages)) {
    if (!shared) pagePut(first);
    return Status.OutOfMemory;
  }
  const writable = write || (shared && (flags & VM_WRITE) != 0);
  for (let part: u64 = 0; part < pages; part += GROUP) {
    const chunk = chunkOf(vm, base + part);
    fill(chunk, first + <u32>part);
    if (shared) bitsSet(chunk + FILE, 0, GROUP);
    if (writable) bitsSet(chunk + WRITABLE, 0, GROUP);
    const node: usize = load<u32>(chunk, CHUNK_NODE);
    hint(node, chunkIndex(base + part), HINT_SPECIAL);
    addMapped(node, chunkIndex(base + part), GROUP);
  }
  add(vm, VM_HUGETLB, pages / GROUP);
  count(vm, Counter.FaultsMinor);
  event(EventKind.Fault, vm, 0, vpn, 0x47, 0); // G
  return Status.Ok;
}

/** The chunks of a page that is not there. False without metadata pages, nothing changed. */
function chunksMake(space: usize, base: u64, pages: u64): bool {
  for (let part: u64 = 0; part < pages; part += GROUP) {
    if (chunkMake(space, base + part) != 0) continue;
    while (part != 0) {
      part -= GROUP;
      dropChunk(space, base + part);
    }
    return false;
  }
  return true;
}

function dropChunk(space: usize, vpn: u64): void {
  chunkDrop(space, vpn, nodeOf(space, vpn), chunkIndex(vpn), chunkOf(space, vpn));
}

function fill(chunk: usize, first: u32): void {
  for (let i: u32 = 0; i < GROUP; i++) store<u32>(pageSlot(chunk, i), first + i);
  bitsSet(chunk + BACKED, 0, GROUP);
  store<u32>(chunk, first, CHUNK_FOLIO);
  store<u32>(chunk, AS_ONE | HUGETLB, CHUNK_HUGE);
}

/** First frame of the file's page that begins at `at`, zeroed if it was a hole; 0 when there is none. */
function fileObtain(file: usize, at: u64, pages: u64): u32 {
  const there = chunkOf(file, at);
  if (there != 0) return folioOf(there);
  const first = pageGet(fileOwner(file), file, at, pages);
  if (first == 0) return 0;
  if (!chunksMake(file, at, pages)) {
    pagePut(first);
    return 0;
  }
  for (let part: u64 = 0; part < pages; part += GROUP) {
    const chunk = chunkOf(file, at + part);
    fill(chunk, first + <u32>part);
    addBacked(file, load<u32>(chunk, CHUNK_NODE), chunkIndex(at + part), GROUP);
  }
  return first;
}

/** The hugetlb pages of [vpn, end), both borders of one, are unmapped. What a file owns it keeps. */
export function hugetlbZap(vm: usize, vpn: u64, end: u64): void {
  const pages = hugetlbPages(vm);
  for (vpn = nextChunk(vm, vpn, end); vpn < end; vpn = nextChunk(vm, vpn + pages, end)) {
    const first = chunkOf(vm, vpn);
    notify(vm, vpn, vpn + pages);
    const mapped = isHugetlb(first);
    if (mapped) {
      if (!bitGet(first + FILE, 0)) pagePut(folioOf(first));
      add(vm, VM_HUGETLB, 0 - pages / GROUP);
    }
    for (let part: u64 = 0; part < pages; part += GROUP) {
      if (mapped) addMapped(nodeOf(vm, vpn + part), chunkIndex(vpn + part), -GROUP);
      dropChunk(vm, vpn + part);
    }
  }
}

/** Holes in [at, end) of the file: whole pages are freed; of those at either end that are hit in part, the part is zeroed. */
export function hugetlbPunch(file: usize, at: u64, end: u64): void {
  const pages = hugetlbPages(fileOwner(file));
  while ((at = nextChunk(file, at, end)) < end) {
    const base = at & ~(pages - 1);
    const stop = min(base + pages, end);
    const first = folioOf(chunkOf(file, base));
    if (stop - at == pages) {
      pagePut(first);
      for (; at < stop; at += GROUP) {
        addBacked(file, nodeOf(file, at), chunkIndex(at), -GROUP);
        dropChunk(file, at);
      }
    } else framesZero(first + <u32>(at - base), <u32>(stop - at));
    at = stop;
  }
}

/** A private page is made writable by the next write, whatever the VMA permits. */
export function hugetlbProtect(vm: usize, vpn: u64, end: u64, writable: bool): void {
  const pages = hugetlbPages(vm);
  for (vpn = nextChunk(vm, vpn, end); vpn < end; vpn = nextChunk(vm, vpn + pages, end)) {
    notify(vm, vpn, vpn + pages);
    setWritable(vm, vpn, pages, writable && bitGet(chunkOf(vm, vpn) + FILE, 0));
  }
}

/** do_wp_page of the page that contains vpn: its one owner, or a file, lets it be written. */
export function hugetlbMakeWritable(vm: usize, vpn: u64): void {
  const pages = hugetlbPages(vm);
  setWritable(vm, vpn & ~(pages - 1), pages, true);
}

function setWritable(vm: usize, base: u64, pages: u64, writable: bool): void {
  for (let part: u64 = 0; part < pages; part += GROUP) {
    const plane = chunkOf(vm, base + part) + WRITABLE;
    if (writable) bitsSet(plane, 0, GROUP);
    else bitsClear(plane, 0, GROUP);
  }
}
