// Faults of mappings of a file, and write(2) to it. Reference: linux mm/shmem.c (shmem_get_folio_gfp, shmem_swapin_folio),
// mm/memory.c (do_fault_around), mm/filemap.c (filemap_map_pages); rule 5 of the recordings.
import { Counter, EventKind } from '../abi/events';
import { FileKind, GmemFlag } from '../abi/file';
import { Status } from '../abi/status';
import { VM_HUGETLB, VM_SHARED, VM_WRITE, VMA_FILE } from '../abi/vm-flags';
import { HOST_FRAMES } from '../base/layout';
import { bitClear, bitGet, bitSet } from '../base/bits';
import { max, min } from '../base/math';
import { frameAddress, frameCopy } from '../frames/bytes';
import { pageTakeFresh } from '../frames/cache';
import { count, event } from '../trace/events';
import { fileCached, fileDirty, fileEnd, fileFlags, fileKind, fileRoom } from './file';
import { fileOf, filePage } from './file-place';
import { fileHasAttributes, fileIsPrivate } from './file-attributes';
import { fileObtainHuge } from './file-huge';
import { framePut } from './frame';
import { vmaOf } from './look-up';
import {
  addBacked, addSwapped, BACKED, CHUNK_NODE, chunkIndex, chunkMake, chunkOf, DIRTY, FILE, hint, HINT_SPECIAL, pageSlot,
  SWAPPED, WRITABLE, ZERO,
} from './page-state';
import { frameGet, frameGetZeroed } from './reclaim';
import { swapPut } from './swap';
import { VMA_END, VMA_FLAGS, VMA_START } from './vma';

/** fault_around_bytes, 64 KiB, in pages. */
const FAULT_AROUND: u64 = 16;

/**
 * shmem_get_folio, kvm_gmem_get_pfn: the frame of the file's page `at`, which is up to date now. A hole becomes a clean
 * zero page, a page that comes back from swap is dirty. 0: no frame or no metadata, nothing changed.
 */
export function fileObtain(vm: usize, file: usize, at: u64): u32 {
  let chunk = chunkOf(file, at);
  const i = <u32>at & 511;
  if (chunk != 0 && bitGet(chunk + BACKED, i)) {
    bitClear(chunk + ZERO, i);
    return load<u32>(pageSlot(chunk, i));
  }
  const swapped = chunk != 0 && bitGet(chunk + SWAPPED, i);
  if (!swapped && fileObtainHuge(vm, file, at)) return load<u32>(pageSlot(chunkOf(file, at), i));
  const frame = swapped ? frameGet(vm, file, at) : frameGetZeroed(vm, file, at);
  if (frame == 0) return 0;
  chunk = chunkOf(file, at);
  if (chunk == 0 && fileRoom(file, at + 1)) chunk = chunkMake(file, at);
  if (chunk == 0) {
    framePut(vm, frame);
    return 0;
  }
  if (swapped) {
    const slot = load<u32>(pageSlot(chunk, i));
    pageTakeFresh(HOST_FRAMES, frame);
    frameCopy(frame, slot);
    swapPut(vm, slot);
    bitClear(chunk + SWAPPED, i);
    addSwapped(file, -1);
    bitSet(chunk + DIRTY, i);
    count(vm, Counter.FaultsMajor);
    count(vm, Counter.SwapIns);
  }
  store<u32>(pageSlot(chunk, i), frame);
  bitSet(chunk + BACKED, i);
  addBacked(file, load<u32>(chunk, CHUNK_NODE), chunkIndex(at), 1);
  return frame;
}

/**
 * write(2) to the file's page that vpn is mapped to, or would be: address of the page, which is in memory and dirty now,
 * whether or not anybody maps it. 0: no file there (hugetlbfs has no write), or no frame.
 */
export function fileWrite(vm: usize, vpn: u64): usize {
  const vma = vmaOf(vm, vpn);
  if (vma == 0 || (load<u32>(vma, VMA_FLAGS) & (VMA_FILE | VM_HUGETLB)) != VMA_FILE) return 0;
  const file = fileOf(vma);
  const at = filePage(vma, vpn);
  const frame = fileObtain(vm, file, at);
  if (frame == 0) return 0;
  fileDirty(file, at);
  return frameAddress(frame);
}

/** Whether an access at vpn of a VMA that maps a file ends in SIGBUS: behind its end, or where the VMM may not look. */
export function fileForbids(vma: usize, vpn: u64): bool {
  const file = fileOf(vma);
  const at = filePage(vma, vpn);
  return at >= fileEnd(file) || (fileKind(file) == FileKind.GuestMemfd && !hostMay(file, at));
}

/** Whether the VMM may have the guest_memfd's page `at` in its page table, when it touches it there. */
function hostMay(file: usize, at: u64): bool {
  if (fileHasAttributes(file)) return !fileIsPrivate(file, at);
  return (fileFlags(file) & GmemFlag.InitShared) != 0;
}

/** Page vpn, where nothing is mapped, gets an entry for a page of the file. */
function fileEntry(vm: usize, vpn: u64, chunk: usize, frame: u32, write: bool, writable: bool): void {
  const i = <u32>vpn & 511;
  store<u32>(pageSlot(chunk, i), frame);
  bitSet(chunk + BACKED, i);
  bitSet(chunk + FILE, i);
  if (write) bitSet(chunk + DIRTY, i);
  if (writable) bitSet(chunk + WRITABLE, i);
  const node: usize = load<u32>(chunk, CHUNK_NODE);
  hint(node, chunkIndex(vpn), HINT_SPECIAL);
  addBacked(vm, node, chunkIndex(vpn), 1);
}

/**
 * A read where nothing is mapped: first all neighbours in the window that are in memory are mapped, this page too if it
 * is; else it is read in. Only a shared mapping gives the right to write at once; dirty it is not. Sigbus as fileForbids
 * says: that is found out last, when the neighbours are mapped.
 */
export function fileReadFault(vm: usize, vpn: u64, vma: usize, chunk: usize): Status {
  const file = fileOf(vma);
  const at = filePage(vma, vpn);
  const forbidden = fileForbids(vma, vpn);
  // What has to be got first: reclaim may run.
  const frame = forbidden ? 0 : fileObtain(vm, file, at);
  if (frame == 0 && !forbidden) return Status.OutOfMemory;
  if (chunk == 0) chunk = chunkMake(vm, vpn);
  if (chunk == 0) return Status.OutOfMemory;
  const flags = load<u32>(vma, VMA_FLAGS);
  const writable = (flags & (VM_SHARED | VM_WRITE)) == (VM_SHARED | VM_WRITE);
  // do_fault_around: 16 pages, aligned, within the VMA and the table. Where the VMA begins inside the window, the window
  // begins there but is as long as ever (5.6).
  // Nothing like it is done for a guest_memfd, whose VMAs have no map_pages.
  const alone = fileKind(file) == FileKind.GuestMemfd;
  const first = alone ? vpn : max(vpn & ~(FAULT_AROUND - 1), load<u64>(vma, VMA_START));
  const last = min(fileEnd(file) - at + vpn, load<u64>(vma, VMA_END));
  const end = alone ? vpn + 1 : min(min(first + FAULT_AROUND, last), ((vpn >> 9) + 1) << 9);
  for (let near = first; near < end; near++) {
    const i = <u32>near & 511;
    if (bitGet(chunk + BACKED, i) || bitGet(chunk + SWAPPED, i)) continue;
    const cached = near == vpn ? frame : fileCached(file, at - vpn + near);
    if (cached != 0) fileEntry(vm, near, chunk, cached, false, writable);
  }
  if (forbidden) return Status.Sigbus;
  count(vm, Counter.FaultsMinor);
  event(EventKind.Fault, vm, 0, vpn, 0x66, 0); // f
  return Status.Ok;
}

/** A write where nothing is mapped, through a shared mapping. The page is dirty at once (fault_dirty_shared_page), too. */
export function fileWriteFault(vm: usize, vpn: u64, vma: usize, chunk: usize): Status {
  const file = fileOf(vma);
  const at = filePage(vma, vpn);
  const frame = fileObtain(vm, file, at);
  if (frame == 0) return Status.OutOfMemory;
  if (chunk == 0) chunk = chunkMake(vm, vpn);
  if (chunk == 0) return Status.OutOfMemory;
  fileDirty(file, at);
  fileEntry(vm, vpn, chunk, frame, true, true);
  count(vm, Counter.FaultsMinor);
  event(EventKind.Fault, vm, 0, vpn, 0x66, 0);
  return Status.Ok;
}
