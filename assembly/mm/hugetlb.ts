// Memory of hugetlb pages, 2 MiB each: nothing smaller is ever allocated, mapped or given back, there is no swap, and smaps
// counts them apart. Reference: linux mm/hugetlb.c (hugetlb_fault, hugetlb_change_protection), fs/hugetlbfs/inode.c
// (hugetlbfs_punch_hole), mm/madvise.c (madvise_dontneed_free_valid_vma); rule 10 of the recordings.
//
// A mapped page has all 512 bits of its chunk in Backed, the numbers of its frames, and HUGETLB | AS_ONE; File when a file
// owns it. A file's chunk has the same numbers. Writable is the same for all 512.
import { Counter, EventKind } from '../abi/events';
import { Status } from '../abi/status';
import { VM_SHARED, VM_WRITE } from '../abi/vm-flags';
import { VM_HUGETLB } from '../base/layout';
import { bitGet, bitsClear, bitsSet } from '../base/bits';
import { add } from '../base/thread';
import { frameZero } from '../frames/bytes';
import { hugeGetZeroed, hugePut } from '../frames/huge';
import { GROUP } from '../frames/pool';
import { notify } from '../memslot/notify';
import { count, event } from '../trace/events';
import { fileOf, filePage } from './file';
import { AS_ONE, folioOf, HUGETLB, isHugetlb } from './huge';
import {
  addBacked, addMapped, BACKED, CHUNK_FOLIO, CHUNK_HUGE, CHUNK_NODE, chunkAt, chunkDrop, chunkIndex, chunkMake, chunkOf, FILE, hint,
  HINT_SPECIAL, nextChunk, nodeOf, pageSlot, WRITABLE,
} from './page-state';
import { VMA_FLAGS } from './vma';

/** Any access brings 2 MiB. A first read of private memory maps them read-only: there is no zero page to map. */
export function hugetlbFault(vm: usize, vpn: u64, write: bool, vma: usize, chunk: usize): Status {
  const flags = load<u32>(vma, VMA_FLAGS);
  const shared = (flags & VM_SHARED) != 0;
  const first = shared ? fileObtain(vm, fileOf(vma), filePage(vma, vpn)) : hugeGetZeroed();
  if (first == 0) return Status.NoHugetlb;
  if (chunk == 0) chunk = chunkMake(vm, vpn);
  if (chunk == 0) {
    if (!shared) hugePut(first);
    return Status.OutOfMemory;
  }
  fill(chunk, first);
  if (shared) bitsSet(chunk + FILE, 0, GROUP);
  if (write || (shared && (flags & VM_WRITE) != 0)) bitsSet(chunk + WRITABLE, 0, GROUP);
  const node: usize = load<u32>(chunk, CHUNK_NODE);
  hint(node, chunkIndex(vpn), HINT_SPECIAL);
  addMapped(node, chunkIndex(vpn), GROUP);
  add(vm, VM_HUGETLB, 1);
  count(vm, Counter.FaultsMinor);
  event(EventKind.Fault, vm, 0, vpn, 0x47, 0); // G
  return Status.Ok;
}

function fill(chunk: usize, first: u32): void {
  for (let i: u32 = 0; i < GROUP; i++) store<u32>(pageSlot(chunk, i), first + i);
  bitsSet(chunk + BACKED, 0, GROUP);
  store<u32>(chunk, first, CHUNK_FOLIO);
  store<u32>(chunk, AS_ONE | HUGETLB, CHUNK_HUGE);
}

/** First frame of the file's huge page, zeroed if it was a hole; 0 when there is none. */
function fileObtain(vm: usize, file: usize, at: u64): u32 {
  let chunk = chunkOf(file, at);
  if (chunk != 0) return folioOf(chunk);
  const first = hugeGetZeroed();
  if (first == 0) return 0;
  chunk = chunkMake(file, at);
  if (chunk == 0) {
    hugePut(first);
    return 0;
  }
  fill(chunk, first);
  addBacked(file, load<u32>(chunk, CHUNK_NODE), chunkIndex(at), GROUP);
  return first;
}

/** The huge pages of [vpn, end), both borders of one, are unmapped. What a file owns it keeps. */
export function hugetlbZap(vm: usize, vpn: u64, end: u64): void {
  for (vpn = nextChunk(vm, vpn, end); vpn < end; vpn = nextChunk(vm, vpn + GROUP, end)) {
    const node = nodeOf(vm, vpn);
    const index = chunkIndex(vpn);
    const chunk = chunkAt(node, index);
    notify(vm, vpn, vpn + GROUP);
    if (isHugetlb(chunk)) {
      if (!bitGet(chunk + FILE, 0)) hugePut(folioOf(chunk));
      addMapped(node, index, -GROUP);
      add(vm, VM_HUGETLB, -1);
    }
    chunkDrop(vm, vpn, node, index, chunk);
  }
}

/** Holes in [at, end) of the file: whole huge pages are freed; of those at either end that are hit in part, the part is zeroed. */
export function hugetlbPunch(file: usize, at: u64, end: u64): void {
  for (at = nextChunk(file, at, end); at < end; at = nextChunk(file, (at | 511) + 1, end)) {
    const node = nodeOf(file, at);
    const index = chunkIndex(at);
    const chunk = chunkAt(node, index);
    const stop = min<u64>((at | 511) + 1, end);
    if (stop - at == GROUP) {
      hugePut(folioOf(chunk));
      addBacked(file, node, index, -GROUP);
      chunkDrop(file, at, node, index, chunk);
    } else {
      for (let page = at; page < stop; page++) frameZero(load<u32>(pageSlot(chunk, <u32>page & 511)));
    }
  }
}

/** A private page is made writable by the next write, whatever the VMA permits. */
export function hugetlbProtect(vm: usize, vpn: u64, end: u64, writable: bool): void {
  for (vpn = nextChunk(vm, vpn, end); vpn < end; vpn = nextChunk(vm, vpn + GROUP, end)) {
    const chunk = chunkOf(vm, vpn);
    notify(vm, vpn, vpn + GROUP);
    if (writable && bitGet(chunk + FILE, 0)) bitsSet(chunk + WRITABLE, 0, GROUP);
    else bitsClear(chunk + WRITABLE, 0, GROUP);
  }
}
