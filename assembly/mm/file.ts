// Files in memory: memfds, shared anonymous memory, hugetlb files, guest_memfds. A file has pages, kept like those of a VM
// (page-state.ts), and is mapped in places. Faults of its mappings: file-fault.ts. Holes and sizes: file-size.ts.
// Reference: linux mm/shmem.c (shmem_writeout), virt/kvm/guest_memfd.c; rule 5 of the recordings.
//
// ╒═ file, an arena page; VM_DIR, VM_DIR_LEN, VM_RSS, VM_SWAP, VM_TREE_LOCK as in a VM's record ═╕
// │ 24 file made before this one u32 │ 28 places u32 │ 32 kind u32 │ 36 flags u32                 │
// │ 40 size in bytes u64 │ 48 descriptors u32 │ 52 owner u32 │ 56 home u64 │ 64 first u32         │
// │ 72, 76 roots of the sets of private and of pinned pages u32 (file-attributes.ts)              │
// │ 96 NUMA policies u32 (policy.ts)                                                                 │
// │ 1024 places of 16 bytes: vpn of the page that is VPN_BASE in the file i64, pages mapped u64    │
// ╘═══════════════════════════════════════════════════════════════════════════════════════════════╛
// Owner: the VM whose VMM has made the file, is charged for its pages, and alone can map it. Descriptors: how many of
// them are open; with the last one and the last mapped page the file goes (file-size.ts, filePut).
//
// Page 0 of a file has the number VPN_BASE + first here. Home is its first place. RAM that is a file is mapped congruent:
// `first` is chosen so that a chunk of the file is a chunk of its home, and who has the lock of the one has the other.
// A VM that maps a file in a second place, or not congruent, has one lock for all of its chunks (VM_LOCK_MASK 0).
//
// In a file's chunk Backed = in memory, Zero = in memory, of zeros, and not up to date: allocated by fallocate and not
// used yet, so nobody sees a page there. VM_RSS: pages in memory; VM_SWAP: swapped. Both are blocks, the rest is holes.
import { FileKind } from '../abi/file';
import { Counter, EventKind } from '../abi/events';
import { HOST_FILES, RUN_VMA_ASIDE, VM_DIR, VM_DIR_LEN, VM_LOCK_MASK, VPN_BASE } from '../base/layout';
import { bitClear, bitGet, bitSet } from '../base/bits';
import { max, min } from '../base/math';
import { self } from '../base/thread';
import { arenaGet, arenaGetContiguous, arenaPut, arenaPutContiguous } from '../frames/arena';
import { frameCopy } from '../frames/bytes';
import { count, event } from '../trace/events';
import { framePut } from './frame';
import { vmaOf } from './look-up';
import {
  addBacked, addSwapped, BACKED, CHUNK_NODE, chunkIndex, chunkOf, DIRTY, FILE, hint, HINT_SWAPPED, pageSlot, SWAPPED, ZERO,
} from './page-state';
import { swapGet } from './swap';
import { VMA_NAME } from './vma';

export const FILE_NEXT: usize = 24;
const PLACES: usize = 28;
export const FILE_KIND: usize = 32;
export const FILE_FLAGS: usize = 36;
export const FILE_SIZE: usize = 40;
export const FILE_DESCRIPTORS: usize = 48;
export const FILE_OWNER: usize = 52;
const HOME: usize = 56;
export const FILE_FIRST: usize = 64;
/** Roots of sets, mm/file-attributes.ts. */
export const FILE_PRIVATE: usize = 72;
export const FILE_PINS: usize = 76;
/** Address of its NUMA policies, 0 none (mm/policy.ts). */
export const FILE_POLICIES: usize = 96;
const PLACE: usize = 1024;
const PLACE_SIZE: usize = 16;
/** Places in which a file can be mapped, each at another distance between its pages and the VMM's. */
const PLACE_MAX: u32 = 192;
assert(PLACE + <usize>PLACE_MAX * PLACE_SIZE <= 4096);
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
  return load<u32>(file, FILE_DESCRIPTORS) == 0 && load<u32>(file, PLACES) == 0;
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

/** VMA_NAME of a VMA that maps the file's page `at` at vpn. */
export function fileName(file: usize, vpn: u64, at: u64): u64 {
  return ((vpn - (at - VPN_BASE)) << 20) | (<u64>file >> 12);
}

/** The place where a VMA with this name has its file: vpn of the page that is VPN_BASE in the file. */
// @ts-ignore: decorator
@inline
function placeOf(name: u64): u64 {
  return <u64>(<i64>name >> 20);
}

// @ts-ignore: decorator
@inline
export function fileOf(vma: usize): usize {
  return fileNamed(load<u64>(vma, VMA_NAME));
}

// @ts-ignore: decorator
@inline
export function fileNamed(name: u64): usize {
  return <usize>(<u32>name & 0xfffff) << 12;
}

/** The file's page at vpn of a VMA that maps it. */
// @ts-ignore: decorator
@inline
export function filePage(vma: usize, vpn: u64): u64 {
  return vpn - placeOf(load<u64>(vma, VMA_NAME)) + VPN_BASE;
}

/** `pages` more are mapped by a VMA of this name. False: the file is mapped in too many places. */
export function fileMap(name: u64, pages: u64): bool {
  const file = fileNamed(name);
  const place = placeOf(name);
  const n = load<u32>(file, PLACES);
  let p = file + PLACE;
  for (const end = placesEnd(file); p < end && load<u64>(p) != place; p += PLACE_SIZE) {}
  if (p == placesEnd(file)) {
    if (n == PLACE_MAX) return false;
    store<u64>(p, place);
    store<u64>(p, 0, 8);
    store<u32>(file, n + 1, PLACES);
  }
  store<u64>(p, load<u64>(p, 8) + pages, 8);
  if (load<u64>(file, HOME) == 0) store<u64>(file, place, HOME);
  if (place != load<u64>(file, HOME) || (place & 511) != 0) store<u32>(fileOwner(file), 0, VM_LOCK_MASK);
  return true;
}

/** `pages` fewer. */
export function fileUnmap(name: u64, pages: u64): void {
  const file = fileNamed(name);
  let p = file + PLACE;
  while (load<u64>(p) != placeOf(name)) p += PLACE_SIZE;
  store<u64>(p, load<u64>(p, 8) - pages, 8);
  if (load<u64>(p, 8) != 0) return;
  // The last place takes the empty one's.
  const last = placesEnd(file) - PLACE_SIZE;
  store<u64>(p, load<u64>(last));
  store<u64>(p, load<u64>(last, 8), 8);
  store<u32>(file, load<u32>(file, PLACES) - 1, PLACES);
}

// @ts-ignore: decorator
@inline
function placesEnd(file: usize): usize {
  return file + PLACE + <usize>load<u32>(file, PLACES) * PLACE_SIZE;
}

export function filePlaces(file: usize): u32 {
  return load<u32>(file, PLACES);
}

/** VMA_NAME of the VMAs in place n. */
export function filePlaceName(file: usize, n: u32): u64 {
  return (load<u64>(file + PLACE + <usize>n * PLACE_SIZE) << 20) | (<u64>file >> 12);
}

/** How many pages are mapped there. */
export function filePlacePages(file: usize, n: u32): u64 {
  return load<u64>(file + PLACE + <usize>n * PLACE_SIZE, 8);
}

/** Where a VMA of this name would have the file's page `at`; below 0, as i64, where it cannot reach. */
export function fileVpn(name: u64, at: u64): i64 {
  return <i64>(at - VPN_BASE + placeOf(name));
}

/** How many entries map the file's page `at`: they have its frame. */
export function fileMappings(file: usize, at: u64): u32 {
  const own = chunkOf(file, at);
  if (own == 0 || !bitGet(own + BACKED, <u32>at & 511)) return 0;
  const frame = load<u32>(pageSlot(own, <u32>at & 511));
  const vm = fileOwner(file);
  let n: u32 = 0;
  let p = file + PLACE;
  for (const end = placesEnd(file); p < end; p += PLACE_SIZE) {
    const vpn = at - VPN_BASE + load<u64>(p);
    const i = <u32>vpn & 511;
    const chunk = chunkOf(vm, vpn);
    if (chunk != 0 && bitGet(chunk + FILE, i) && load<u32>(pageSlot(chunk, i)) == frame) n++;
  }
  return n;
}

/** Where home has the file's page `at`: the lock of that chunk is the page's, too. */
export function fileHome(file: usize, at: u64): u64 {
  return at - VPN_BASE + load<u64>(file, HOME);
}

/** Whether the file's page that is mapped at vpn was written, as far as the file knows. */
export function fileIsDirty(vm: usize, vpn: u64): bool {
  const vma = vmaOf(vm, vpn, 0, self + RUN_VMA_ASIDE);
  const at = filePage(vma, vpn);
  return bitGet(chunkOf(fileOf(vma), at) + DIRTY, <u32>at & 511);
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

/** The file whose home in `vm` has vpn, whether or not it is still mapped there; 0 for none. */
export function fileAround(vm: usize, vpn: u64): usize {
  for (let file: usize = load<u32>(HOST_FILES); file != 0; file = load<u32>(file, FILE_NEXT)) {
    const home = load<u64>(file, HOME);
    if (fileOwner(file) == vm && home != 0 && vpn - fileHome(file, fileAt(file, 0)) < fileEnd(file) - fileAt(file, 0)) return file;
  }
  return 0;
}
