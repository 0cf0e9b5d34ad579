// The file behind a memfd: its page cache, kept like the pages of a VM (page-state.ts). Faults of its mappings: file-fault.ts.
// Reference: linux mm/shmem.c (shmem_writeout, shmem_undo_range); rule 5 of the recordings.
//
// ╒═ file, an arena page; VM_DIR, VM_DIR_LEN, VM_RSS, VM_SWAP, VM_TREE_LOCK as in a VM's record ═╕
// │ 24 file made before this one u32 │ 28 mappings u32                                           │
// │ 1024 mappings of 16 bytes: VM u32, –, vpn of the page that is VPN_BASE in the file u64        │
// ╘═══════════════════════════════════════════════════════════════════════════════════════════════╛
// Pages of a file are numbered from VPN_BASE on, shifted so that a chunk of the file is a chunk of its first mapping: who
// has the lock of the one has the other. VM_RSS: pages in memory; VM_SWAP: swapped. Both are blocks, the rest is holes.
import { Counter, EventKind } from '../abi/events';
import { HOST_FILES, RUN_VMA_ASIDE, VM_DIR, VM_DIR_LEN, VPN_BASE } from '../base/layout';
import { bitClear, bitGet, bitSet } from '../base/bits';
import { self } from '../base/thread';
import { arenaGet, arenaGetContiguous, arenaPut, arenaPutContiguous } from '../frames/arena';
import { frameCopy } from '../frames/bytes';
import { count, event } from '../trace/events';
import { framePut } from './frame';
import { vmaOf } from './look-up';
import {
  addBacked, addSwapped, BACKED, CHUNK_NODE, chunkIndex, chunkOf, DIRTY, FILE, hint, HINT_SWAPPED, pageSlot, SWAPPED,
} from './page-state';
import { swapGet } from './swap';
import { VMA_NAME } from './vma';

export const FILE_NEXT: usize = 24;
const MAPPINGS: usize = 28;
const MAPPING: usize = 1024;
const MAPPING_SIZE: usize = 16;

/** A file of `pages` pages, all holes, of which the first will be mapped at `vpn`. 0 without metadata. */
export function fileCreate(pages: u64, vpn: u64): usize {
  const gibs = <u32>((pages + (vpn & 511) + ((1 << 18) - 1)) >> 18);
  const dir = arenaGetContiguous((gibs + 1023) >> 10);
  if (dir == 0) return 0;
  const file = arenaGet();
  if (file == 0) {
    arenaPutContiguous(dir, (gibs + 1023) >> 10);
    return 0;
  }
  store<u32>(file, <u32>dir, VM_DIR);
  store<u32>(file, gibs, VM_DIR_LEN);
  store<u32>(file, load<u32>(HOST_FILES), FILE_NEXT);
  store<u32>(HOST_FILES, <u32>file);
  return file;
}

/** The pages of a file that has none in memory or in swap; it is taken out of the list by the caller. */
export function fileDelete(file: usize): void {
  arenaPutContiguous(load<u32>(file, VM_DIR), (load<u32>(file, VM_DIR_LEN) + 1023) >> 10);
  arenaPut(file);
}

/** What a VMA of `vm` that maps the file from `vpn` on has as its name. */
export function fileMap(file: usize, vm: usize, vpn: u64): u64 {
  const first = vpn & ~(<u64>511);
  const n = load<u32>(file, MAPPINGS);
  const p = file + MAPPING + <usize>n * MAPPING_SIZE;
  store<u32>(p, <u32>vm);
  store<u64>(p, first, 8);
  store<u32>(file, n + 1, MAPPINGS);
  return (first << 20) | (<u64>file >> 12);
}

// @ts-ignore: decorator
@inline
export function fileOf(vma: usize): usize {
  return <usize>(<u32>load<u64>(vma, VMA_NAME) & 0xfffff) << 12;
}

/** The file's page at vpn of a VMA that maps it. */
// @ts-ignore: decorator
@inline
export function filePage(vma: usize, vpn: u64): u64 {
  return vpn - (load<u64>(vma, VMA_NAME) >> 20) + VPN_BASE;
}

/** How many entries map the file's page `at`. */
export function fileMappings(file: usize, at: u64): u32 {
  let n: u32 = 0;
  let p = file + MAPPING;
  for (const end = p + <usize>load<u32>(file, MAPPINGS) * MAPPING_SIZE; p < end; p += MAPPING_SIZE) {
    const chunk = chunkOf(load<u32>(p), at - VPN_BASE + load<u64>(p, 8));
    if (chunk != 0 && bitGet(chunk + FILE, <u32>at & 511)) n++;
  }
  return n;
}

/** The VM that maps the file first, and where it maps the file's page `at`: whose chunk's lock is the file's. */
export function fileMapped(file: usize): usize {
  return load<u32>(file, MAPPING);
}

export function fileMapping(file: usize, at: u64): u64 {
  return at - VPN_BASE + load<u64>(file, MAPPING + 8);
}

/** Whether the file's page that is mapped at vpn was written, as far as the file knows. */
export function fileIsDirty(vm: usize, vpn: u64): bool {
  const vma = vmaOf(vm, vpn, 0, self + RUN_VMA_ASIDE);
  const at = filePage(vma, vpn);
  return bitGet(chunkOf(fileOf(vma), at) + DIRTY, <u32>at & 511);
}

/** The frame of the file's page `at` if it is in memory, 0 otherwise. */
export function fileCached(file: usize, at: u64): u32 {
  const chunk = chunkOf(file, at);
  const i = <u32>at & 511;
  return chunk != 0 && bitGet(chunk + BACKED, i) ? load<u32>(pageSlot(chunk, i)) : 0;
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
  addBacked(file, load<u32>(chunk, CHUNK_NODE), chunkIndex(at), -1);
  framePut(vm, frame);
  return true;
}

/** The file that a mapping of `vm` around vpn is of, whether or not the VMA is still there; 0 for none. */
export function fileAround(vm: usize, vpn: u64): usize {
  for (let file: usize = load<u32>(HOST_FILES); file != 0; file = load<u32>(file, FILE_NEXT)) {
    if (fileMapped(file) == vm && vpn - fileMapping(file, VPN_BASE) < (<u64>load<u32>(file, VM_DIR_LEN)) << 18) return file;
  }
  return 0;
}
