// Which pages reclaim takes. Deterministic: a hand goes round the pages of all VMs in address order. Locked VMAs are never
// touched, nor is the pinned page (a straddling access holds its first page while it faults in the second).
// Three rounds, each only if the one before freed nothing: what can be dropped (lazily freed pages, parts of huge pages
// that nobody maps), clean pages of files, then swap.
// Reference: linux mm/vmscan.c, mm/huge_memory.c (deferred_split_scan).
import {
  HERE_PIN_VM, HERE_PIN_VPN, HOST_FILES, HOST_HAND_VM, HOST_HAND_VPN, HOST_HERE, HOST_SWAP, HOST_VM_COUNT, RUN_HERE, RUN_LOCAL,
  RUN_VMA_ASIDE, VM_BASE, VM_CPUS, VM_DIR_LEN, VM_ID, VM_LAZY, VM_RSS, VM_SIZE, VM_TABLES_STAY, VPN_BASE,
} from '../base/layout';
import { VM_LOCKED } from '../abi/vm-flags';
import { bitGet } from '../base/bits';
import { chunkTry, chunkUntry } from '../base/chunk-lock';
import { min } from '../base/math';
import { runOf, self, threaded } from '../base/thread';
import { pagesFree } from '../frames/cache';
import { GROUP, poolFree } from '../frames/pool';
import { frameMappings } from '../frames/shared';
import { FILE_NEXT, fileIsDirty, fileMapped, fileMappings, fileMapping, fileReclaim } from './file';
import { folioOf, folioSplit, isHugetlb, isWhole } from './huge';
import { ksmIsLazy } from './ksm-page';
import { vmaOf } from './look-up';
import { folioOut, mixedPageOut } from './mixed';
import {
  BACKED, chunkAt, chunkIndex, DIRTY, FILE, HINT_LAZY, HINT_SPECIAL, KSM, LAZY, nextChunk, NODE_HINTS, nodeOf, pageSlot, PART,
} from './page-state';
import { pageOut } from './page-out';
import { VMA_END, VMA_FLAGS, VMA_START } from './vma';

/** As many pages as Linux takes in one go (SWAP_CLUSTER_MAX). */
const BATCH: u32 = 32;

enum Round {
  Droppable = 0,
  Clean = 1,
  Swap = 2,
}

/** Drop lazily freed pages, and split huge pages of which a part is not mapped. False: there are none of either. */
export function sweepDroppable(): bool {
  if (!anyDroppable()) return false;
  sweep(Round.Droppable);
  return true;
}

/** Drop clean pages of files. False: there are no files. */
export function sweepClean(): bool {
  if (load<u32>(HOST_FILES) == 0) return false;
  if (sweep(Round.Clean) < BATCH) sweepFiles(Round.Clean);
  return true;
}

/** Swap out. Whether any frame came free. */
export function sweepSwap(): bool {
  let freed = sweep(Round.Swap);
  if (freed < BATCH && load<u32>(HOST_FILES) != 0) freed += sweepFiles(Round.Swap);
  return freed != 0;
}

/** Whether there are lazily freed pages on the host, written again or not, or huge pages. */
function anyDroppable(): bool {
  let lazy: u64 = 0;
  for (let v: u32 = 0, vms = load<u32>(HOST_VM_COUNT); v < vms; v++) {
    const vm = VM_BASE + <usize>v * VM_SIZE;
    lazy += load<u64>(vm, VM_LAZY) | load<u32>(vm, VM_TABLES_STAY);
    if (!threaded()) continue;
    for (let cpu: u32 = 0, cpus = load<u32>(vm, VM_CPUS); cpu < cpus; cpu++) lazy += load<u64>(runOf(vm, cpu) + RUN_LOCAL, VM_LAZY);
  }
  return lazy != 0;
}

/**
 * One turn of the hand at most, until BATCH pages are free. Chunks at which another thread is at work are left out (linux:
 * folio_trylock). Returns how many pages came free.
 */
function sweep(round: Round): u32 {
  const vms = load<u32>(HOST_VM_COUNT);
  let v = load<u32>(HOST_HAND_VM);
  let vpn = load<u64>(HOST_HAND_VPN);
  let freed: u32 = 0;
  // The VM in which the hand stands is visited twice: from the hand on, and at last up to it.
  for (let visits: u32 = 0; visits <= vms && freed < BATCH; visits++) {
    const vm = VM_BASE + <usize>v * VM_SIZE;
    const end = VPN_BASE + ((<u64>load<u32>(vm, VM_DIR_LEN)) << 18);
    if (vpn < VPN_BASE) vpn = VPN_BASE;
    if (!threaded() && load<u64>(vm, VM_RSS) == 0) vpn = end;
    while (freed < BATCH) {
      vpn = nextChunk(vm, vpn, end);
      if (vpn >= end) break;
      const stop = ((vpn >> 9) + 1) << 9;
      const was = chunkTry(vm, vpn);
      if (was == 0) {
        vpn = stop;
        continue;
      }
      freed += sweepChunk(vm, vpn, stop, round, BATCH - freed);
      chunkUntry(vm, vpn, was);
      vpn = load<u64>(HOST_HAND_VPN);
    }
    if (freed >= BATCH) break;
    v = v + 1 < vms ? v + 1 : 0;
    vpn = VPN_BASE;
  }
  store<u32>(HOST_HAND_VM, v);
  store<u64>(HOST_HAND_VPN, vpn);
  return freed;
}

/**
 * The pages [vpn, stop) of one chunk, until `need` of them are free (or there is no slot for more). Returns how many;
 * the hand stands behind the last page looked at.
 */
function sweepChunk(vm: usize, vpn: u64, stop: u64, round: Round, need: u32): u32 {
  const node = nodeOf(vm, vpn);
  const index = chunkIndex(vpn);
  // Between the look that found it and its lock another thread may have taken it away.
  const chunk = chunkAt(node, index);
  const hints: u32 = load<u8>(node + index, NODE_HINTS);
  const special = (hints & HINT_SPECIAL) != 0;
  let freed: u32 = 0;
  if (chunk == 0 || (!special && !hasAny(hints, round)) || (special && isHugetlb(chunk))) vpn = stop;
  else if (special && folioOf(chunk) != 0) freed = sweepFolio(vm, vpn & ~(<u64>511), chunk, round);
  while (vpn < stop && freed < need) {
    const vma = vmaOf(vm, vpn, 0, self + RUN_VMA_ASIDE);
    if (vma == 0) {
      vpn++;
      continue;
    }
    const till = min(load<u64>(vma, VMA_END), stop);
    if ((load<u32>(vma, VMA_FLAGS) & VM_LOCKED) != 0) {
      vpn = till;
      continue;
    }
    for (; vpn < till && freed < need; vpn++) {
      const i = <u32>vpn & 511;
      if (!bitGet(chunk + BACKED, i) || pinned(vm, vpn)) continue;
      if (special) {
        if (wants(vm, vpn, chunk, round)) freed += <u32>mixedPageOut(vm, vpn, chunk);
      } else if (round == Round.Swap || bitGet(chunk + LAZY, i)) freed += <u32>pageOut(vm, vpn);
      if (round == Round.Swap && poolFree(HOST_SWAP) == 0 && pagesFree(HOST_SWAP) == 0) freed = max<u32>(freed, need);
    }
  }
  store<u64>(HOST_HAND_VPN, vpn);
  return freed;
}

// @ts-ignore: decorator
@inline
function hasAny(hints: u32, round: Round): bool {
  return round == Round.Swap || (round == Round.Droppable && (hints & HINT_LAZY) != 0);
}

/** Whether a small page of any kind is one for this round. Parts of a huge page are taken as a whole or not at all. */
function wants(vm: usize, vpn: u64, chunk: usize, round: Round): bool {
  const i = <u32>vpn & 511;
  if (bitGet(chunk + PART, i)) return false;
  if (bitGet(chunk + FILE, i)) return round == Round.Swap || (round == Round.Clean && !bitGet(chunk + DIRTY, i) && !fileIsDirty(vm, vpn));
  if (round == Round.Swap) return true;
  if (round != Round.Droppable) return false;
  if (!bitGet(chunk + KSM, i)) return bitGet(chunk + LAZY, i);
  const frame = load<u32>(pageSlot(chunk, i));
  return ksmIsLazy(frame) && frameMappings(frame) == 1;
}

/** The chunk's huge page. Returns how many frames came free. */
function sweepFolio(vm: usize, base: u64, chunk: usize, round: Round): u32 {
  if (round == Round.Clean || anyLocked(vm, base)) return 0;
  for (let vpn = base; vpn < base + GROUP; vpn++) if (pinned(vm, vpn)) return 0;
  const whole = isWhole(chunk);
  if (whole && !bitGet(chunk + LAZY, 0) && round == Round.Droppable) return 0;
  const vma = vmaOf(vm, base, 0, self + RUN_VMA_ASIDE);
  const inOne = vma != 0 && load<u64>(vma, VMA_START) <= base && load<u64>(vma, VMA_END) >= base + GROUP;
  if (!whole || !inOne) return folioSplit(vm, base, chunk);
  return folioOut(vm, base, chunk) ? GROUP : 0;
}

function anyLocked(vm: usize, base: u64): bool {
  for (let vpn = base; vpn < base + GROUP; ) {
    const vma = vmaOf(vm, vpn, 0, self + RUN_VMA_ASIDE);
    if (vma == 0) {
      vpn++;
      continue;
    }
    if ((load<u32>(vma, VMA_FLAGS) & VM_LOCKED) != 0) return true;
    vpn = load<u64>(vma, VMA_END);
  }
  return false;
}

/** Pages of files that nobody maps. From the beginning each time: there is no order in which they were used. */
function sweepFiles(round: Round): u32 {
  let freed: u32 = 0;
  for (let file: usize = load<u32>(HOST_FILES); file != 0 && freed < BATCH; file = load<u32>(file, FILE_NEXT)) {
    const vm = fileMapped(file);
    const end = VPN_BASE + ((<u64>load<u32>(file, VM_DIR_LEN)) << 18);
    for (let at = nextChunk(file, VPN_BASE, end); at < end && freed < BATCH; at = nextChunk(file, (at | 511) + 1, end)) {
      const vpn = fileMapping(file, at);
      const was = chunkTry(vm, vpn);
      if (was == 0) continue;
      const chunk = chunkAt(nodeOf(file, at), chunkIndex(at));
      if (chunk != 0 && !isHugetlb(chunk)) {
        for (let i: u32 = 0; i < GROUP && freed < BATCH; i++) {
          const page = (at & ~(<u64>511)) + i;
          if (!bitGet(chunk + BACKED, i) || fileMappings(file, page) != 0) continue;
          if (round == Round.Swap || !bitGet(chunk + DIRTY, i)) freed += <u32>fileReclaim(vm, file, page);
        }
      }
      chunkUntry(vm, vpn, was);
    }
  }
  return freed;
}

function pinned(vm: usize, vpn: u64): bool {
  if (!threaded()) return pinnedBy(HOST_HERE, vm, vpn);
  for (let cpu: u32 = 0, cpus = load<u32>(vm, VM_CPUS); cpu < cpus; cpu++) {
    if (pinnedBy(runOf(vm, cpu) + RUN_HERE, vm, vpn)) return true;
  }
  return false;
}

// @ts-ignore: decorator
@inline
function pinnedBy(h: usize, vm: usize, vpn: u64): bool {
  return load<u64>(h, HERE_PIN_VPN) == vpn && load<u32>(h, HERE_PIN_VM) == load<u32>(vm, VM_ID) + 1;
}
