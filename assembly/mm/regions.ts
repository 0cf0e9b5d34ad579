// VMAs while vCPU threads run: the address space is divided into regions of equal size, each with a list and a lock of
// its own, so that threads which change VMAs of different regions do not meet. A VMA that crosses a border lies in
// several lists, as one part in each; the list of every part but the first says that it continues the one before.
//
// Made when a run begins, taken back when it ends: then there is one list again, of whole VMAs.
import {
  HOST_ARENA, VM_VMA_HOME, VM_VMA_LIST_COUNT, VM_VMA_LIST_SHIFT, VM_VMA_LISTS, VM_VMA_REGION_MAX, VM_VMA_REGIONS, VPN_BASE,
} from '../base/layout';
import { min } from '../base/math';
import { sync, THREADS } from '../base/thread';
import { SyncPoint } from '../abi/sync';
import { arenaGetContiguous, arenaPut } from '../frames/arena';
import { poolFree } from '../frames/pool';
import {
  blockAt, firstIn, LIST_BLOCKS, LIST_CONTINUES, LIST_PAGES, listAppend, listAt, listOf, VMA_ANON, VMA_END, VMA_FLAGS,
  VMA_NAME, VMA_SIZE, VMA_START, vmaFind, vmaNext, vmaPrev,
} from './vma';

/** Regions of a VM at the most: a thread that needs all of them takes as many locks. */
const REGIONS: u32 = 64;
/** No region is smaller than a chunk: 2^9 pages. */
const SMALLEST: u32 = 9;

/** Whether vpn is the first page of a region. */
// @ts-ignore: decorator
@inline
export function isBorder(vm: usize, vpn: u64): bool {
  if (THREADS) {
    if (load<u32>(vm, VM_VMA_LIST_COUNT) == 1) return false;
    return (vpn & (((<u64>1) << load<u32>(vm, VM_VMA_LIST_SHIFT)) - 1)) == 0;
  }
  return false;
}

/** Whether a part begins at vpn that is the rest of a VMA which begins before it. */
export function continuesAt(vm: usize, vpn: u64): bool {
  if (!isBorder(vm, vpn)) return false;
  const list = listOf(vm, vpn);
  return load<u32>(list, LIST_CONTINUES) != 0 && load<u64>(firstIn(blockAt(list, 0)), VMA_START) == vpn;
}

/** The first part of the VMA of which `vma` is one. */
export function firstPart(vm: usize, vma: usize): usize {
  while (continuesAt(vm, load<u64>(vma, VMA_START))) vma = vmaPrev(vm, vma);
  return vma;
}

/** The last part. */
export function lastPart(vm: usize, vma: usize): usize {
  while (continuesAt(vm, load<u64>(vma, VMA_END))) vma = vmaNext(vm, vma);
  return vma;
}

/** All parts of the VMA of which `vma` is one get this anon_vma. */
export function setAnon(vm: usize, vma: usize, anon: u32): void {
  const last = lastPart(vm, vma);
  for (let v = firstPart(vm, vma); ; v = vmaNext(vm, v)) {
    sync(SyncPoint.Publish, v);
    store<u32>(v, anon, VMA_ANON);
    if (v == last) return;
  }
}

/** A run begins: regions, if there is more than one and metadata for their lists; else all goes on with one list. */
export function vmaCarve(vm: usize): void {
  const home: usize = load<u32>(vm, VM_VMA_HOME);
  const blocks = load<u32>(home, LIST_BLOCKS);
  if (blocks == 0) return;
  const lastBlock = blockAt(home, blocks - 1);
  const span = load<u64>(firstIn(lastBlock) + (<usize>(load<u32>(lastBlock) - 1) << 5), VMA_END) - VPN_BASE;
  const made = load<u32>(vm, VM_VMA_REGION_MAX);
  const most = made == 0 ? REGIONS : made;
  let shift = SMALLEST;
  while ((span - 1) >> shift >= most) shift++;
  const regions = <u32>((span - 1) >> shift) + 1;
  // A block for each region, and for the parts as many as before: what is left is for the run.
  if (regions == 1 || poolFree(HOST_ARENA) < 2 * (regions + blocks) + regions * LIST_PAGES) return;
  if (made == 0) {
    const lists = arenaGetContiguous(regions * LIST_PAGES);
    if (lists == 0) return;
    store<u32>(vm, <u32>lists, VM_VMA_REGIONS);
    store<u32>(vm, regions, VM_VMA_REGION_MAX);
  }
  store<u32>(vm, load<u32>(vm, VM_VMA_REGIONS), VM_VMA_LISTS);
  store<u32>(vm, regions, VM_VMA_LIST_COUNT);
  store<u32>(vm, shift, VM_VMA_LIST_SHIFT);
  for (let b: u32 = 0; b < blocks; b++) carveBlock(vm, blockAt(home, b), shift);
  // The first block stays with its list: with it vmaGather cannot fail.
  for (let b: u32 = 1; b < blocks; b++) arenaPut(blockAt(home, b));
  store<u32>(home, 1, LIST_BLOCKS);
  store<u32>(blockAt(home, 0), 0);
}

function carveBlock(vm: usize, block: usize, shift: u32): void {
  const last = listAt(vm, load<u32>(vm, VM_VMA_LIST_COUNT) - 1);
  for (let v = firstIn(block), stop = v + (<usize>load<u32>(block) << 5); v < stop; v += VMA_SIZE) {
    const end = load<u64>(v, VMA_END);
    for (let from = load<u64>(v, VMA_START); from < end; ) {
      const list = listOf(vm, from);
      const to = list == last ? end : min(end, ((from >> shift) + 1) << shift);
      listAppend(list, from, to, load<u32>(v, VMA_FLAGS), load<u32>(v, VMA_ANON), load<u64>(v, VMA_NAME));
      if (from != load<u64>(v, VMA_START)) store<u32>(list, 1, LIST_CONTINUES);
      from = to;
    }
  }
}

/** A run has ended: one list again. No block is needed that has not come free just before. */
export function vmaGather(vm: usize): void {
  const home: usize = load<u32>(vm, VM_VMA_HOME);
  if (load<u32>(vm, VM_VMA_LISTS) == <u32>home) return;
  for (let n: u32 = 0; n < load<u32>(vm, VM_VMA_LIST_COUNT); n++) gatherList(home, listAt(vm, n));
  store<u32>(vm, <u32>home, VM_VMA_LISTS);
  store<u32>(vm, 1, VM_VMA_LIST_COUNT);
  if (load<u32>(blockAt(home, 0)) != 0) return;
  arenaPut(blockAt(home, 0));
  store<u32>(home, 0, LIST_BLOCKS);
}

function gatherList(home: usize, list: usize): void {
  let continues = load<u32>(list, LIST_CONTINUES) != 0;
  for (let b: u32 = 0, blocks = load<u32>(list, LIST_BLOCKS); b < blocks; b++) {
    const block = blockAt(list, b);
    for (let v = firstIn(block), stop = v + (<usize>load<u32>(block) << 5); v < stop; v += VMA_SIZE) {
      const start = load<u64>(v, VMA_START);
      const end = load<u64>(v, VMA_END);
      const flags = load<u32>(v, VMA_FLAGS);
      const anon = load<u32>(v, VMA_ANON);
      const name = load<u64>(v, VMA_NAME);
      if (v + VMA_SIZE == stop) arenaPut(block);
      if (continues) extendLast(home, end);
      else listAppend(home, start, end, flags, anon, name);
      continues = false;
    }
  }
  store<u32>(list, 0, LIST_BLOCKS);
  store<u32>(list, 0, LIST_CONTINUES);
}

/** The VMA appended last ends at `end`. */
function extendLast(home: usize, end: u64): void {
  const block = blockAt(home, load<u32>(home, LIST_BLOCKS) - 1);
  store<u64>(firstIn(block) + (<usize>(load<u32>(block) - 1) << 5), end, VMA_END);
}
