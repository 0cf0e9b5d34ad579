// Files in memory: memfds, shared anonymous memory, hugetlb files, guest_memfds. A file has pages, kept like those of a VM
// (page-state.ts), and is mapped in places (file-place.ts). Faults of its mappings: file-fault.ts. Holes and sizes: file-size.ts.
// Reference: linux mm/shmem.c (shmem_writeout), virt/kvm/guest_memfd.c; rule 5 of the recordings.
//
// ╒═ file, an arena page; VM_DIR, VM_DIR_LEN, VM_RSS, VM_SWAP, VM_TREE_LOCK as in a VM's record ═╕
// │ 24 file made before this one u32 │ 28 places u32 │ 32 kind u32 │ 36 flags u32                 │
// │ 40 size in bytes u64 │ 48 descriptors u32 │ 52 owner u32 │ 56 home u64 │ 64 first u32         │
// │ 68 allocating u32: fallocate is at work                                                       │
// │ 72, 76 roots of the sets of private and of pinned pages u32 (file-attributes.ts)              │
// │ 96 NUMA policies u32 (policy.ts)                                                                 │
// │ 1024 places of 16 bytes: vpn of the page that is VPN_BASE in the file i64, pages mapped u64    │
// ╘═══════════════════════════════════════════════════════════════════════════════════════════════╛
// Owner: the VM whose VMM has made the file, is charged for its pages, and alone can map it. Descriptors: how many of
// them are open; with the last one and the last mapped page the file goes (file-size.ts, filePut).
//
// Page 0 of a file has the number VPN_BASE + first here. Home is its first place. RAM that is a file is mapped congruent:
// `first` is chosen so that a chunk of the file is a chunk of its home, and who has the lock of the one has the other.
// A VM that maps a file in a second place, or not congruent, has one lock for all of its chunks (VM_LOCK_BITS 0).
//
// In a file's chunk Backed = in memory, Zero = in memory, of zeros, and not up to date: allocated by fallocate and not
// used yet, so nobody sees a page there. VM_RSS: pages in memory; VM_SWAP: swapped. Both are blocks, the rest is holes.
import { FileKind } from '../abi/file';
import { Counter, EventKind } from '../abi/events';
import { HOST_FILES, VM_DIR, VM_DIR_LEN, VPN_BASE } from '../base/layout';
import { bitClear, bitGet, bitSet } from '../base/bits';
import { max, min } from '../base/math';
import { arenaGet, arenaGetContiguous, arenaPut, arenaPutContiguous } from '../frames/arena';
import { frameCopy } from '../frames/bytes';
import { count, event } from '../trace/events';
import { framePut } from './frame';
import {
  addBacked, addSwapped, BACKED, CHUNK_NODE, chunkIndex, chunkOf, DIRTY, hint, HINT_SWAPPED, pageSlot, SWAPPED, ZERO,
} from './page-state';
import { swapGet } from './swap';

export const FILE_NEXT: usize = 24;
export const FILE_PLACES: usize = 28;
export const FILE_KIND: usize = 32;
export const FILE_FLAGS: usize = 36;
export const FILE_SIZE: usize = 40;
export const FILE_DESCRIPTORS: usize = 48;
export const FILE_OWNER: usize = 52;
export const FILE_HOME: usize = 56;
export const FILE_FIRST: usize = 64;
export const FILE_ALLOCATING: usize = 68;
/** Roots of sets, mm/file-attributes.ts. */
export const FILE_PRIVATE: usize = 72;
export const FILE_PINS: usize = 76;
/** Address of its NUMA policies, 0 none (mm/policy.ts). */
export const FILE_POLICIES: usize = 96;
/** Where a file can have pages: below 64 TiB, as guests can. */
const DIR_MAX: u64 = 1 << 16;

/** Entries of a directory that is one arena page. */
const DIR_PAGE: u64 = 1024;

/**
 * A file of `size` bytes, all holes, with one descriptor; `first` & 511 is where its page 0 lies in a chunk. 0 without
 * metadata.
 */
export function fileCreate(vm: usize, kind: FileKind, flags: u32, size: u64, first: u64): usize {
  const dir = arenaGet();
  if (dir == 0) return 0;
  const file = arenaGet();
  if (file == 0) {
    arenaPut(dir);
    return 0;
  }
  store<u32>(file, <u32>dir, VM_DIR);
  store<u32>(file, kind, FILE_KIND);
  store<u32>(file, flags, FILE_FLAGS);
  store<u64>(file, size, FILE_SIZE);
  store<u32>(file, 1, FILE_DESCRIPTORS);
  store<u32>(file, <u32>vm, FILE_OWNER);
  store<u32>(file, <u32>first & 511, FILE_FIRST);
  // A size costs nothing: the directory grows with what is used.
  store<u32>(file, <u32>min(gibsTo(fileEnd(file)), DIR_PAGE), VM_DIR_LEN);
  store<u32>(file, load<u32>(HOST_FILES), FILE_NEXT);
  store<u32>(HOST_FILES, <u32>file);
  return file;
}

/** Entries of a directory that reaches up to page `end`. */
function gibsTo(end: u64): u64 {
  return (end - VPN_BASE + ((1 << 18) - 1)) >> 18;
}

// @ts-ignore: decorator
@inline
function dirPages(len: u32): u32 {
  return <u32>max((<u64>len + DIR_PAGE - 1) / DIR_PAGE, 1);
}

/** The file can have pages up to `end`, so that no thread has to see to it. False without metadata. */
export function fileRoom(file: usize, end: u64): bool {
  const gibs = gibsTo(end);
  const len = load<u32>(file, VM_DIR_LEN);
  if (gibs <= len) return true;
  if (gibs > DIR_MAX) return false;
  const old = dirPages(len);
  if (dirPages(<u32>gibs) > old) {
    const dir = arenaGetContiguous(dirPages(<u32>gibs));
    if (dir == 0) return false;
    memory.copy(dir, load<u32>(file, VM_DIR), <usize>len << 2);
    arenaPutContiguous(load<u32>(file, VM_DIR), old);
    store<u32>(file, <u32>dir, VM_DIR);
  }
  store<u32>(file, <u32>gibs, VM_DIR_LEN);
  return true;
}

/** The file has no page at or behind this one, whatever its size. */
export function fileReach(file: usize): u64 {
  return VPN_BASE + ((<u64>load<u32>(file, VM_DIR_LEN)) << 18);
}

/** Arena pages of its directory. */
export function fileDirPages(file: usize): u32 {
  return dirPages(load<u32>(file, VM_DIR_LEN));
}

/** The size is `size` bytes now; its pages are as they were. */
export function fileSetSize(file: usize, size: u64): void {
  store<u64>(file, size, FILE_SIZE);
}

/** A file without pages, descriptors and mappings goes. */
export function fileDelete(file: usize): void {
  let at = HOST_FILES;
  while (load<u32>(at) != <u32>file) at = <usize>load<u32>(at) + FILE_NEXT;
  store<u32>(at, load<u32>(file, FILE_NEXT));
  arenaPutContiguous(load<u32>(file, VM_DIR), fileDirPages(file));
  if (load<u32>(file, FILE_POLICIES) != 0) arenaPut(load<u32>(file, FILE_POLICIES));
  arenaPut(file);
}

/** Whether neither a descriptor nor a mapping keeps the file. */
export function fileIsUnused(file: usize): bool {
  return load<u32>(file, FILE_DESCRIPTORS) == 0 && load<u32>(file, FILE_PLACES) == 0;
}

/** Whose memory cgroup pays for it. */
// @ts-ignore: decorator
@inline
export function fileOwner(file: usize): usize {
  return load<u32>(file, FILE_OWNER);
}

// @ts-ignore: decorator
@inline
export function fileKind(file: usize): FileKind {
  return load<u32>(file, FILE_KIND);
}

export function fileFlags(file: usize): u32 {
  return load<u32>(file, FILE_FLAGS);
}

/** In bytes. */
export function fileSize(file: usize): u64 {
  return load<u64>(file, FILE_SIZE);
}

/** The file's page in which byte `offset` is, or would be. */
// @ts-ignore: decorator
@inline
export function fileAt(file: usize, offset: u64): u64 {
  return VPN_BASE + load<u32>(file, FILE_FIRST) + (offset >> 12);
}

/** The first page behind the end of the file. */
// @ts-ignore: decorator
@inline
export function fileEnd(file: usize): u64 {
  return fileAt(file, load<u64>(file, FILE_SIZE) + 4095);
}

/** The frame of the file's page `at` if it is in memory and up to date, 0 otherwise. */
export function fileCached(file: usize, at: u64): u32 {
  const chunk = chunkOf(file, at);
  const i = <u32>at & 511;
  return chunk != 0 && bitGet(chunk + BACKED, i) && !bitGet(chunk + ZERO, i) ? load<u32>(pageSlot(chunk, i)) : 0;
}

/** The file's page `at` was written, through an entry that is being taken away or by a guest. */
export function fileDirty(file: usize, at: u64): void {
  bitSet(chunkOf(file, at) + DIRTY, <u32>at & 511);
}

/**
 * What reclaim does with a page that nobody maps any more: dirty, it goes to swap; clean, it was never written, and is a
 * hole again. False without a slot, nothing changed.
 */
export function fileReclaim(vm: usize, file: usize, at: u64): bool {
  const chunk = chunkOf(file, at);
  const i = <u32>at & 511;
  const frame = load<u32>(pageSlot(chunk, i));
  if (bitGet(chunk + DIRTY, i)) {
    const slot = swapGet(vm);
    if (slot == 0) return false;
    frameCopy(slot, frame);
    store<u32>(pageSlot(chunk, i), slot);
    bitSet(chunk + SWAPPED, i);
    hint(load<u32>(chunk, CHUNK_NODE), chunkIndex(at), HINT_SWAPPED);
    addSwapped(file, 1);
    count(vm, Counter.ReclaimSwapout);
    event(EventKind.SwapOut, vm, 1, at - VPN_BASE, slot, 0);
  }
  bitClear(chunk + BACKED, i);
  bitClear(chunk + DIRTY, i);
  bitClear(chunk + ZERO, i);
  addBacked(file, load<u32>(chunk, CHUNK_NODE), chunkIndex(at), -1);
  framePut(vm, frame);
  return true;
}
