// Huge pages of a guest_memfd: 512 pages of the file that were allocated as one folio and are all still there. Only the
// guest maps them as one. Reference: the first posting of guest_memfd, virt/kvm/guest_mem.c (kvm_gmem_get_huge_folio).
//
// CHUNK_PARTS of a chunk of the file: 512 while its folio is whole, 0 else.
import { GMEM_HUGEPAGES } from '../abi/file';
import { bitsSet } from '../base/bits';
import { GROUP } from '../frames/pool';
import { FILE_FIRST, fileEnd, fileFlags, fileRoom } from './file';
import { groupPut } from './frame';
import { addBacked, BACKED, CHUNK_NODE, CHUNK_PARTS, chunkIndex, chunkMake, chunkOf, NODE_BACKED, pageSlot } from './page-state';
import { groupGetZeroed } from './reclaim';

/** The 2 MiB of the file around page `at` are one folio. */
export function fileIsHuge(file: usize, at: u64): bool {
  const chunk = chunkOf(file, at);
  return chunk != 0 && load<u32>(chunk, CHUNK_PARTS) == GROUP;
}

/**
 * A folio for the 2 MiB around page `at`, a hole, if the file may have huge pages, has no page there and reaches over all of
 * them. False: a small page is to be had.
 */
export function fileObtainHuge(vm: usize, file: usize, at: u64): bool {
  if ((fileFlags(file) & GMEM_HUGEPAGES) == 0 || load<u32>(file, FILE_FIRST) != 0) return false;
  const base = at & ~(<u64>511);
  if (base + GROUP > fileEnd(file) || !fileRoom(file, base + GROUP)) return false;
  let chunk = chunkOf(file, base);
  if (chunk != 0 && load<u16>(<usize>load<u32>(chunk, CHUNK_NODE) + (<usize>chunkIndex(base) << 1), NODE_BACKED) != 0) return false;
  const first = groupGetZeroed(vm, file, base);
  if (first == 0) return false;
  // Looked up again: making room may have changed what was there.
  chunk = chunkOf(file, base);
  if (chunk == 0) chunk = chunkMake(file, base);
  if (chunk == 0) {
    groupPut(vm, first);
    return false;
  }
  for (let i: u32 = 0; i < GROUP; i++) store<u32>(pageSlot(chunk, i), first + i);
  bitsSet(chunk + BACKED, 0, GROUP);
  addBacked(file, load<u32>(chunk, CHUNK_NODE), chunkIndex(base), GROUP);
  store<u32>(chunk, GROUP, CHUNK_PARTS);
  return true;
}

/** Pages [at, end) are about to go: folios that lose a part are none any more. */
export function fileSplitHuge(file: usize, at: u64, end: u64): void {
  if ((fileFlags(file) & GMEM_HUGEPAGES) == 0) return;
  splitAt(file, at);
  splitAt(file, end);
}

function splitAt(file: usize, at: u64): void {
  const chunk = (at & 511) != 0 ? chunkOf(file, at) : 0;
  if (chunk != 0) store<u32>(chunk, 0, CHUNK_PARTS);
}
