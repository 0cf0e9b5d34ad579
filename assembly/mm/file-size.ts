// What a file has pages for: holes, allocation, its end, and its own end. The places that map it are told first.
// Offsets and lengths are checked by the caller (src/vmm/files.ts).
// Reference: linux mm/shmem.c (shmem_fallocate, shmem_setattr, shmem_undo_range), mm/memory.c (unmap_mapping_range),
// virt/kvm/guest_memfd.c (kvm_gmem_punch_hole, kvm_gmem_allocate, kvm_gmem_release).
import { FileKind } from '../abi/file';
import { VM_SHARED, VMA_FILE } from '../abi/vm-flags';
import { VM_RSS, VPN_BASE } from '../base/layout';
import { EventKind } from '../abi/events';
import { event } from '../trace/events';
import { bitClear, bitGet, bitSet } from '../base/bits';
import { min } from '../base/math';
import { frameAddress } from '../frames/bytes';
import { notifyFile, notifyFileGone } from '../memslot/notify';
import {
  FILE_ALLOCATING, FILE_DESCRIPTORS, fileAt, fileDelete, fileDirty, fileEnd, fileIsUnused, fileKind, fileOwner, fileReach,
  fileSetSize, fileSize,
} from './file';
import { fileNamed, filePlaceName, filePlaces, fileUnmap, fileVpn } from './file-place';
import { fileSetsFree } from './file-attributes';
import { fileObtain } from './file-fault';
import { fileIsHuge, fileSplitHuge } from './file-huge';
import { hugetlbPunch } from './hugetlb';
import { vmaFrom } from './look-up';
import { BACKED, chunkOf, DIRTY, nextChunk, SWAPPED, ZERO } from './page-state';
import { fileDrop, pagesDrop, pagesUnmap } from './range';
import { VMA_END, VMA_FLAGS, VMA_NAME, VMA_START } from './vma';

/** unmap_mapping_range: nobody maps the file's pages [at, end) any more. With `copies` private copies of them go, too. */
export function fileUnmapAll(file: usize, at: u64, end: u64, copies: bool): void {
  const vm = fileOwner(file);
  for (let n: u32 = 0; n < filePlaces(file); n++) {
    const name = filePlaceName(file, n);
    const stop: u64 = max<i64>(fileVpn(name, end), 0);
    for (let vpn: u64 = max<i64>(fileVpn(name, at), 0); vpn < stop; ) {
      const v = vmaFrom(vm, vpn, stop);
      if (v == 0) break;
      const from = max(load<u64>(v, VMA_START), vpn);
      const to = min(load<u64>(v, VMA_END), stop);
      const flags = load<u32>(v, VMA_FLAGS);
      if (from < to && (flags & VMA_FILE) != 0 && load<u64>(v, VMA_NAME) == name) {
        if (copies || (flags & VM_SHARED) != 0) pagesDrop(vm, from, to);
        else pagesUnmap(vm, from, to);
      }
      vpn = to;
    }
  }
}

/** Holes in [at, end) of a file of small pages. */
export function filePunch(file: usize, at: u64, end: u64): void {
  if (at >= end) return;
  const gmem = fileKind(file) == FileKind.GuestMemfd;
  if (gmem) notifyFile(fileOwner(file), file, at, end);
  fileUnmapAll(file, at, end, false);
  fileSplitHuge(file, at, end);
  const had = load<u64>(file, VM_RSS);
  fileDrop(file, at, min(end, fileReach(file)));
  if (gmem) event(EventKind.Punch, fileOwner(file), <u32>(had - load<u64>(file, VM_RSS)), (at - fileAt(file, 0)) << 12, (end - at) << 12, 0);
}

/** The same for bytes [offset, end) of a memfd: pages that are hit in part are zeroed there, and stay mapped. */
export function filePunchBytes(file: usize, offset: u64, end: u64): void {
  const first = fileAt(file, offset + 4095);
  const last = fileAt(file, end);
  // shmem_fallocate takes the end of what to unmap as the last byte before the last whole page, unsigned: behind a hole
  // that ends in the first page that is the end of the file.
  if (end < 4096) fileUnmapAll(file, first, fileReach(file), false);
  if (first > last) {
    zero(file, last, <u32>offset & 4095, <u32>end & 4095);
    return;
  }
  if ((offset & 4095) != 0) zero(file, first - 1, <u32>offset & 4095, 4096);
  filePunch(file, first, last);
  if ((end & 4095) != 0) zero(file, last, 0, <u32>end & 4095);
}

/** truncate_inode_partial_folio: bytes [from, to) of page `at`, if the file has it. It comes back from swap for this. */
function zero(file: usize, at: u64, from: u32, to: u32): void {
  const chunk = chunkOf(file, at);
  const i = <u32>at & 511;
  if (chunk == 0 || (!bitGet(chunk + BACKED, i) && !bitGet(chunk + SWAPPED, i))) return;
  const isNew = bitGet(chunk + ZERO, i);
  const frame = fileObtain(fileOwner(file), file, at);
  if (frame == 0) return;
  if (isNew) bitSet(chunk + ZERO, i);
  memory.fill(frameAddress(frame) + from, 0, to - from);
  fileDirty(file, at);
}

/**
 * ftruncate of a memfd. What lies behind the new end is gone, for private mappings, too; the rest of its last page is
 * zeroed. So it is with the size that it has already: pages can have been allocated behind its end.
 */
export function fileResize(file: usize, size: u64): void {
  const old = fileSize(file);
  fileSetSize(file, size);
  if (size > old) return;
  const end = fileEnd(file);
  fileUnmapAll(file, end, fileReach(file), true);
  if ((size & 4095) != 0) zero(file, end - 1, <u32>size & 4095, 4096);
  fileDrop(file, end, fileReach(file));
}

/**
 * fallocate: pages [first, last), from 0 on, are allocated. Those that were holes are not up to date, nobody sees them yet; a memfd's that
 * were so from an earlier call are now (shmem_get_folio_gfp, SGP_FALLOC). False without frames: a memfd's new pages are
 * given back, a guest_memfd's stay.
 */
export function fileAllocate(file: usize, first: u64, last: u64): bool {
  store<u32>(file, 1, FILE_ALLOCATING);
  const done = allocate(file, fileAt(file, first << 12), fileAt(file, last << 12));
  store<u32>(file, 0, FILE_ALLOCATING);
  return done;
}

function allocate(file: usize, at: u64, end: u64): bool {
  const memfd = fileKind(file) != FileKind.GuestMemfd;
  for (let page = at; page < end; page++) {
    const i = <u32>page & 511;
    const old = chunkOf(file, page);
    const there = old != 0 && bitGet(old + BACKED, i);
    if (there && !memfd) continue;
    const hole = !there && (old == 0 || !bitGet(old + SWAPPED, i));
    if (fileObtain(fileOwner(file), file, page) == 0) {
      if (memfd) unallocate(file, at, page);
      return false;
    }
    // Dirty: under memory pressure it goes to swap, it is not given up.
    if (memfd) fileDirty(file, page);
    // A huge page is cleared, and up to date, as soon as it is there.
    if (hole && !fileIsHuge(file, page)) bitSet(chunkOf(file, page) + ZERO, i);
  }
  return true;
}

/** shmem_undo_range of an allocation that failed: what is not up to date. */
function unallocate(file: usize, at: u64, end: u64): void {
  for (; at < end; at++) {
    const chunk = chunkOf(file, at);
    if (chunk != 0 && bitGet(chunk + BACKED, <u32>at & 511) && bitGet(chunk + ZERO, <u32>at & 511)) fileDrop(file, at, at + 1);
  }
}

/** A mapping of `pages` pages with this name has gone, and with the last one a file that nobody has open. */
export function fileUnmapped(name: u64, pages: u64): void {
  fileUnmap(name, pages);
  settle(fileNamed(name));
}

/** A descriptor is closed. A guest_memfd goes with all of its pages for the guest as well (kvm_gmem_release). */
export function filePut(file: usize): void {
  store<u32>(file, load<u32>(file, FILE_DESCRIPTORS) - 1, FILE_DESCRIPTORS);
  settle(file);
}

function settle(file: usize): void {
  if (!fileIsUnused(file)) return;
  const end = fileReach(file);
  if (fileKind(file) == FileKind.GuestMemfd) notifyFileGone(fileOwner(file), file);
  if (fileKind(file) == FileKind.Hugetlb) hugetlbPunch(file, VPN_BASE, end);
  else fileDrop(file, VPN_BASE, end);
  fileSetsFree(file);
  fileDelete(file);
}
