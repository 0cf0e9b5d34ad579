// Faults of the VMM's own page table. Host accesses, populate and the SLAT's violations all end here: anonymous pages of
// 4 KiB in this file, the others in file.ts, huge.ts and hugetlb.ts.
// Reference: linux mm/memory.c (handle_pte_fault, do_anonymous_page, do_swap_page, do_wp_page).
import { Counter, EventKind } from '../abi/events';
import { Status } from '../abi/status';
import { VM_EXEC, VM_HUGEPAGE, VM_HUGETLB, VM_READ, VM_SHARED, VM_WRITE, VMA_FILE } from '../abi/vm-flags';
import { HOST_FRAMES } from '../base/layout';
import { bitClear, bitGet, bitSet, bitsSet } from '../base/bits';
import { frameCopy } from '../frames/bytes';
import { pageTakeFresh } from '../frames/cache';
import { notify } from '../memslot/notify';
import { count, event } from '../trace/events';
import { anonPrepare } from './anon';
import { fileDirty } from './file';
import { fileOf, filePage } from './file-place';
import { fileForbids, fileObtain, fileReadFault, fileWriteFault } from './file-fault';
import { framePut } from './frame';
import { entryDirtied, folioSetDirty, hugeFault, isAsOne, isHugetlb, isNoTable, mappingSplit, tableMade, takesHuge } from './huge';
import { hugetlbFault, hugetlbMakeWritable } from './hugetlb';
import { ksmUnmapped } from './ksm-page';
import { vmaOf } from './look-up';
import {
  addBacked, addSwapped, BACKED, CHUNK_NODE, chunkAt, chunkIndex, chunkMake, chunkOf, DIRTY, FILE, hint, HINT_ZERO, KSM,
  nodeOf, pageSlot, PART, SWAPPED, WRITABLE, ZERO,
} from './page-state';
import { frameGet, frameGetZeroed, groupGetZeroed } from './reclaim';
import { swapPut } from './swap';
import { VMA_FLAGS } from './vma';

/** An access of the VMM process to its page vpn: permission, then fault. The chunk is locked by the caller. */
export function hostAccess(vm: usize, vpn: u64, write: bool): Status {
  const vma = vmaOf(vm, vpn);
  if (vma == 0) return Status.SegvMaperr;
  const flags = load<u32>(vma, VMA_FLAGS);
  // x86-64 has no page that can be written, or executed without a protection key, and not read.
  const allowed = write ? flags & VM_WRITE : flags & (VM_READ | VM_WRITE | VM_EXEC);
  return allowed != 0 ? faultIn(vm, vpn, write, vma, chunkOf(vm, vpn)) : Status.SegvAccerr;
}

/**
 * Make page vpn present, writable and dirty for a write; present for a read (`.` becomes the zero page).
 * `vma` is its VMA (vmaOf), whose permission the caller has checked, `chunk` its chunk, 0 when absent.
 * Ok, or OutOfMemory or Sigbus, then nothing changed for this page.
 */
export function faultIn(vm: usize, vpn: u64, write: bool, vma: usize, chunk: usize): Status {
  const i = <u32>vpn & 511;
  if (chunk != 0) {
    if (bitGet(chunk + BACKED, i)) {
      if (!write) return Status.Ok;
      if (!bitGet(chunk + WRITABLE, i)) return makeWritable(vm, vpn, vma, chunk);
      entryDirtied(chunk, i);
      return Status.Ok;
    }
    if (bitGet(chunk + SWAPPED, i)) return swapIn(vm, vpn, write, vma, chunk);
    if (!write && bitGet(chunk + ZERO, i)) return Status.Ok;
  }
  if ((load<u32>(vma, VMA_FLAGS) & (VMA_FILE | VM_HUGEPAGE)) != 0) return otherPage(vm, vpn, write, vma, chunk);
  return write ? anonymousPage(vm, vpn, vma, chunk) : zeroPage(vm, vpn, chunk);
}

/** do_wp_page: an entry that may not be written is to be, and the VMA permits it. */
function makeWritable(vm: usize, vpn: u64, vma: usize, chunk: usize): Status {
  const i = <u32>vpn & 511;
  const shared = (load<u32>(vma, VMA_FLAGS) & VM_SHARED) != 0;
  if (bitGet(chunk + KSM, i) || (bitGet(chunk + FILE, i) && !shared)) return copyPage(vm, vpn, vma, chunk);
  // wp_page_reuse: the page has no other owner, or the owners are meant to share it.
  entryDirtied(chunk, i);
  if (isHugetlb(chunk)) hugetlbMakeWritable(vm, vpn);
  else if (isAsOne(chunk)) bitsSet(chunk + WRITABLE, 0, 512);
  else bitSet(chunk + WRITABLE, i);
  return Status.Ok;
}

/** Nothing, or zero pages, in a VMA that has a file or asks for huge pages. */
function otherPage(vm: usize, vpn: u64, write: bool, vma: usize, chunk: usize): Status {
  const flags = load<u32>(vma, VMA_FLAGS);
  if ((flags & VM_HUGETLB) != 0) return hugetlbFault(vm, vpn, write, vma);
  if ((flags & VMA_FILE) != 0) {
    if (!write) return fileReadFault(vm, vpn, vma, chunk);
    if (fileForbids(vma, vpn)) return Status.Sigbus;
    return (flags & VM_SHARED) != 0 ? fileWriteFault(vm, vpn, vma, chunk) : copyFile(vm, vpn, vma);
  }
  const table = chunk != 0 && !isNoTable(chunk);
  if (table ? isAsOne(chunk) : takesHuge(vpn, vma)) {
    // The huge zero page, too, gives way to a huge page of its own, or to small ones when there is none.
    const first = write ? groupGetZeroed(vm, vm, vpn) : 0;
    if ((!write || first != 0) && hugeFault(vm, vpn, first, vma) == Status.Ok) return Status.Ok;
    if (table) mappingSplit(vm, vpn, chunk);
  }
  return write ? anonymousPage(vm, vpn, vma, chunk) : zeroPage(vm, vpn, chunk);
}

function zeroPage(vm: usize, vpn: u64, chunk: usize): Status {
  if (chunk == 0) chunk = chunkMake(vm, vpn);
  if (chunk == 0) return Status.OutOfMemory;
  tableMade(chunk);
  bitSet(chunk + ZERO, <u32>vpn & 511);
  hint(load<u32>(chunk, CHUNK_NODE), chunkIndex(vpn), HINT_ZERO);
  count(vm, Counter.FaultsMinor);
  event(EventKind.Fault, vm, 0, vpn, 0x7a, 0); // z
  return Status.Ok;
}

function anonymousPage(vm: usize, vpn: u64, vma: usize, chunk: usize): Status {
  // The frame first: reclaim may run, and nothing of this page may be half done then.
  const frame = frameGetZeroed(vm, vm, vpn);
  if (frame == 0) return Status.OutOfMemory;
  return anonymousEntry(vm, vpn, vma, chunk, frame);
}

/** Page vpn, where nothing or the zero page is mapped, gets `frame`, dirty and writable. */
// @ts-ignore: decorator
@inline
function anonymousEntry(vm: usize, vpn: u64, vma: usize, chunk: usize, frame: u32): Status {
  if (chunk == 0) chunk = chunkMake(vm, vpn);
  if (chunk == 0) {
    framePut(vm, frame);
    return Status.OutOfMemory;
  }
  anonPrepare(vm, vpn, vma);
  tableMade(chunk);
  const i = <u32>vpn & 511;
  if (bitGet(chunk + ZERO, i)) {
    // The zero page may be mapped in the SLAT (linux: wp_page_copy's notifier).
    notify(vm, vpn, vpn + 1);
    bitClear(chunk + ZERO, i);
  }
  store<u32>(pageSlot(chunk, i), frame);
  bitSet(chunk + BACKED, i);
  bitSet(chunk + DIRTY, i);
  bitSet(chunk + WRITABLE, i);
  addBacked(vm, load<u32>(chunk, CHUNK_NODE), chunkIndex(vpn), 1);
  count(vm, Counter.FaultsMinor);
  event(EventKind.Fault, vm, 0, vpn, 0x61, 0); // a
  return Status.Ok;
}

/** do_cow_fault: the file's page is read in, but only to be copied. */
function copyFile(vm: usize, vpn: u64, vma: usize): Status {
  const from = fileObtain(vm, fileOf(vma), filePage(vma, vpn));
  if (from == 0) return Status.OutOfMemory;
  const frame = frameGet(vm, vm, vpn);
  if (frame == 0) return Status.OutOfMemory;
  pageTakeFresh(HOST_FRAMES, frame);
  // Looked up again: making room for the copy may have taken the file's page out of memory.
  const again = fileObtain(vm, fileOf(vma), filePage(vma, vpn));
  if (again == 0) {
    framePut(vm, frame);
    return Status.OutOfMemory;
  }
  frameCopy(frame, again);
  return anonymousEntry(vm, vpn, vma, chunkOf(vm, vpn), frame);
}

/** wp_page_copy of a file's or KSM's page. */
function copyPage(vm: usize, vpn: u64, vma: usize, chunk: usize): Status {
  const i = <u32>vpn & 511;
  const frame = frameGet(vm, vm, vpn);
  if (frame == 0) return Status.OutOfMemory;
  pageTakeFresh(HOST_FRAMES, frame);
  // Making room may have taken the page itself.
  if (!bitGet(chunk + BACKED, i)) {
    framePut(vm, frame);
    return faultIn(vm, vpn, true, vma, chunk);
  }
  anonPrepare(vm, vpn, vma);
  notify(vm, vpn, vpn + 1);
  const from = load<u32>(pageSlot(chunk, i));
  frameCopy(frame, from);
  if (bitGet(chunk + KSM, i)) ksmUnmapped(vm, from);
  else if (bitGet(chunk + DIRTY, i)) fileDirty(fileOf(vma), filePage(vma, vpn));
  store<u32>(pageSlot(chunk, i), frame);
  bitClear(chunk + KSM, i);
  bitClear(chunk + FILE, i);
  bitSet(chunk + DIRTY, i);
  bitSet(chunk + WRITABLE, i);
  count(vm, Counter.FaultsMinor);
  event(EventKind.Fault, vm, 0, vpn, 0x61, 0);
  return Status.Ok;
}

/** A page read back in is clean until written; either way its slot is given up at once (rule 3.3). */
function swapIn(vm: usize, vpn: u64, write: bool, vma: usize, chunk: usize): Status {
  const frame = frameGet(vm, vm, vpn);
  if (frame == 0) return Status.OutOfMemory;
  pageTakeFresh(HOST_FRAMES, frame);
  const i = <u32>vpn & 511;
  const slot = load<u32>(pageSlot(chunk, i));
  frameCopy(frame, slot);
  swapPut(vm, slot);
  store<u32>(pageSlot(chunk, i), frame);
  bitClear(chunk + SWAPPED, i);
  bitSet(chunk + BACKED, i);
  if (write) bitSet(chunk + DIRTY, i);
  if ((load<u32>(vma, VMA_FLAGS) & VM_WRITE) != 0) bitSet(chunk + WRITABLE, i);
  addSwapped(vm, -1);
  addBacked(vm, load<u32>(chunk, CHUNK_NODE), chunkIndex(vpn), 1);
  count(vm, Counter.FaultsMajor);
  count(vm, Counter.SwapIns);
  event(EventKind.SwapIn, vm, 0, vpn, slot, 0);
  event(EventKind.Fault, vm, 1, vpn, 0x61, 0);
  return Status.Ok;
}

/**
 * set_page_dirty of the page behind vpn, which is there: what KVM does with a page that it holds writable, and
 * follow_page_pte for mlock. Of a huge page this is the flag of all of it, of a file's page that of the file.
 */
export function folioDirtied(vma: usize, vpn: u64, chunk: usize): void {
  const i = <u32>vpn & 511;
  if (bitGet(chunk + PART, i)) folioSetDirty(chunk, true);
  else if (bitGet(chunk + FILE, i)) fileDirty(fileOf(vma), filePage(vma, vpn));
  else bitSet(chunk + DIRTY, i);
}

/** Frame behind a backed page, 0 when the page is not backed. */
// @ts-ignore: decorator
@inline
export function frameOf(vm: usize, vpn: u64): u32 {
  const node = nodeOf(vm, vpn);
  const chunk = node == 0 ? <usize>0 : chunkAt(node, chunkIndex(vpn));
  const i = <u32>vpn & 511;
  return chunk != 0 && bitGet(chunk + BACKED, i) ? load<u32>(pageSlot(chunk, i)) : 0;
}
