// mremap to a fixed place, without a change of length: VMAs and all that their pages are move.
// Reference: linux 6.18 mm/mremap.c (check_mremap_params, remap_move, move_vma, move_page_tables), mm/vma.c (copy_vma).
// Not on vCPU threads.
import { Errno } from '../abi/errno';
import { VM_HUGETLB, VM_LOCKED, VMA_FILE, VMA_MOVED } from '../abi/vm-flags';
import { VM_LOCKED_VM } from '../base/layout';
import { bitClear, bitGet, bitSet } from '../base/bits';
import { max, min, pageAlign, TASK_SIZE } from '../base/math';
import { add } from '../base/thread';
import { notify } from '../memslot/notify';
import { fileMap, fileName, fileOf, filePage } from './file-place';
import { fileUnmapped } from './file-size';
import { folioMove, folioOf, folioSplit, isAsOne, mappingSplitTold, tableMade } from './huge';
import { vmaAdd } from './insert';
import { mapsAllow } from './map-count';
import {
  addMapped, BACKED, CHUNK_NODE, chunkAt, chunkIndex, chunkMake, chunkOf, chunkSettle, FILE, hint, HINT_LAZY, HINT_SPECIAL, HINT_SWAPPED,
  HINT_ZERO, LAZY, nextChunk, nodeOf, pageSlot, PART, SWAPPED, ZERO,
} from './page-state';
import { pagesUnshare } from './range';
import { dirRoom } from './space';
import { unmapLocked } from './unmap';
import { VMA_ANON, VMA_END, VMA_FLAGS, VMA_NAME, VMA_START, vmaFind } from './vma';

/** mremap(start, length, length, MREMAP_MAYMOVE | MREMAP_FIXED, to). VMAs go one by one, holes between them stay holes. */
export function mremap(vm: usize, start: u64, length: u64, to: u64): Errno {
  if ((start & 4095) != 0) return Errno.EINVAL;
  const len = pageAlign(length);
  if (len == 0 || len > TASK_SIZE || to > TASK_SIZE - len || (to & 4095) != 0) return Errno.EINVAL;
  if (start < to + len && to < start + len) return Errno.EINVAL;
  // Linux wants to stay four below the limit even after the two cuts that it may take.
  if (!mapsAllow(vm, 6)) return Errno.ENOMEM;
  const vpn = start >> 12;
  const end = vpn + (len >> 12);
  const delta = (to >> 12) - vpn;
  const first = vmaFind(vm, vpn);
  if (first == 0 || load<u64>(first, VMA_START) > vpn) return Errno.EFAULT;
  if (!dirRoom(vm, to >> 12, (to + len) >> 12)) return Errno.ENOMEM;
  for (let v = first; v != 0 && load<u64>(v, VMA_START) < end; ) {
    const a = max(load<u64>(v, VMA_START), vpn);
    const b = min(load<u64>(v, VMA_END), end);
    const error = moveVma(vm, a, b, delta);
    if (error != Errno.OK) return error;
    v = vmaFind(vm, b);
  }
  return Errno.OK;
}

/** [a, b), in one VMA, to where its pages have numbers that are `delta` higher. */
function moveVma(vm: usize, a: u64, b: u64, delta: u64): Errno {
  if ((load<u32>(vmaFind(vm, a), VMA_FLAGS) & VM_HUGETLB) != 0) return Errno.EINVAL;
  const error = unmapLocked(vm, a + delta, b + delta);
  if (error != Errno.OK) return error;
  const v = vmaFind(vm, a);
  let flags = load<u32>(v, VMA_FLAGS);
  // KSM must not find at the new place what it remembers of the old one.
  if (!pagesUnshare(vm, a, b)) return Errno.ENOMEM;
  const isFile = (flags & VMA_FILE) != 0;
  const anon = load<u32>(v, VMA_ANON);
  const name = isFile ? fileName(fileOf(v), a + delta, filePage(v, a)) : load<u64>(v, VMA_NAME);
  // Anonymous pages keep the numbers that they had first, so such a VMA fits to no other. One that has none begins anew.
  if (!isFile) flags = anon != 0 ? flags | VMA_MOVED : flags & ~(<u32>VMA_MOVED);
  if (isFile && !fileMap(name, b - a)) return Errno.ENOMEM;
  if (!chunksMake(vm, a, b, delta) || !vmaAdd(vm, a + delta, b + delta, flags, anon, name)) {
    if (isFile) fileUnmapped(name, b - a);
    return Errno.ENOMEM;
  }
  notify(vm, a, b);
  for (let vpn = nextChunk(vm, a, b); vpn < b; vpn = nextChunk(vm, vpn, b)) {
    const stop = min((vpn | 511) + 1, b);
    moveChunk(vm, vpn, stop, delta);
    vpn = stop;
  }
  if ((flags & VM_LOCKED) != 0) add(vm, VM_LOCKED_VM, b - a);
  return unmapLocked(vm, a, b);
}

/** Chunks for all that [a, b) has, at the new place. False without metadata. */
function chunksMake(vm: usize, a: u64, b: u64, delta: u64): bool {
  for (let vpn = nextChunk(vm, a, b); vpn < b; vpn = nextChunk(vm, vpn, b)) {
    const stop = min((vpn | 511) + 1, b);
    if (chunkMake(vm, vpn + delta) == 0 || chunkMake(vm, stop - 1 + delta) == 0) return false;
    vpn = stop;
  }
  return true;
}

/** The pages [vpn, stop) of one chunk. A huge page stays one if all of it moves to a chunk; else it becomes small pages. */
function moveChunk(vm: usize, vpn: u64, stop: u64, delta: u64): void {
  const node = nodeOf(vm, vpn);
  const index = chunkIndex(vpn);
  const chunk = chunkAt(node, index);
  const whole = stop - vpn == 512 && (delta & 511) == 0;
  if (!whole) {
    if (folioOf(chunk) != 0) folioSplit(vm, vpn, chunk, false);
    mappingSplitTold(chunk);
  }
  for (let at = vpn; at < stop; at++) movePage(vm, chunk, <u32>at & 511, node, index, at + delta);
  if (whole && (folioOf(chunk) != 0 || isAsOne(chunk))) folioMove(vm, vpn, chunk, vpn + delta, chunkOf(vm, vpn + delta));
  chunkSettle(vm, vpn, node, index, chunk);
}

/** Page i of a chunk, if there is anything, to page `to`, where there is nothing. */
function movePage(vm: usize, chunk: usize, i: u32, node: usize, index: u32, to: u64): void {
  const backed = bitGet(chunk + BACKED, i);
  if (!backed && !bitGet(chunk + SWAPPED, i) && !bitGet(chunk + ZERO, i)) return;
  const target = chunkOf(vm, to);
  const j = <u32>to & 511;
  tableMade(target);
  store<u32>(pageSlot(target, j), load<u32>(pageSlot(chunk, i)));
  const other: usize = load<u32>(target, CHUNK_NODE);
  if (backed) {
    addMapped(node, index, -1);
    addMapped(other, chunkIndex(to), 1);
  }
  let hints: u32 = 0;
  if (bitGet(chunk + ZERO, i)) hints |= HINT_ZERO;
  if (bitGet(chunk + SWAPPED, i)) hints |= HINT_SWAPPED;
  if (bitGet(chunk + LAZY, i)) hints |= HINT_LAZY;
  if (bitGet(chunk + FILE, i) || bitGet(chunk + PART, i)) hints |= HINT_SPECIAL;
  hint(other, chunkIndex(to), hints);
  for (let plane = BACKED; plane <= PART; plane += 64) {
    if (!bitGet(chunk + plane, i)) continue;
    bitSet(target + plane, j);
    bitClear(chunk + plane, i);
  }
}
