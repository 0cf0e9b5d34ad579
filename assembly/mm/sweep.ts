// Which pages reclaim takes. Deterministic: a hand goes round the pages of all VMs in address order. Locked VMAs are never
// touched, nor is the pinned page (a straddling access holds its first page while it faults in the second).
// Three rounds, each only if the one before did not free enough: what can be dropped (lazily freed pages, parts of huge
// pages that nobody maps), clean pages of files, then swap.
// At the limit of a VM the same is done with its own pages alone, and a hand of its own.
// Reference: linux mm/vmscan.c, mm/huge_memory.c (deferred_split_scan).
import {
  HERE_PIN_VM, HERE_PIN_VPN, HOST_FILES, HOST_HAND_VM, HOST_HAND_VPN, HOST_HERE, HOST_KSM_NODES, HOST_SWAP, HOST_VM_COUNT, RUN_HERE,
  RUN_LOCAL, RUN_VMA_ASIDE, VM_BASE, VM_CPUS, VM_DIR_LEN, VM_HAND, VM_ID, VM_LAZY, VM_RSS, VM_SIZE, VM_TABLES_STAY, VPN_BASE,
} from '../base/layout';
import { FileKind } from '../abi/file';
import { VM_LOCKED } from '../abi/vm-flags';
import { bitGet } from '../base/bits';
import { chunkTry, chunkUntry } from '../base/chunk-lock';
import { min } from '../base/math';
import { runOf, self, threaded } from '../base/thread';
import { pagesFree } from '../frames/cache';
import { GROUP, poolFree } from '../frames/pool';
import { frameMappings } from '../frames/shared';
import { FILE_ALLOCATING, FILE_NEXT, fileKind, fileOwner, fileReclaim } from './file';
import { fileHome, fileIsDirty, fileMappedAt, fileMappings, fileOf, filePage, filePlaces } from './file-place';
import { folioOf, folioSplit, isHugetlb, isWhole } from './huge';
import { ksmChargedTo, ksmIsLazy } from './ksm-page';
import { vmaOf } from './look-up';
import { fileEntryOut, folioOut, mixedPageOut } from './mixed';
import {
  BACKED, chunkAt, chunkIndex, chunkOf, DIRTY, FILE, HINT_LAZY, HINT_SPECIAL, KSM, LAZY, nextChunk, NODE_HINTS, nodeOf, pageSlot, PART, ZERO,
} from './page-state';
import { pageOut } from './page-out';
import { swapIsFull } from './swap';
import { VMA_END, VMA_FLAGS, VMA_START } from './vma';

export enum Round {
  Droppable = 0,
  Clean = 1,
  Swap = 2,
}

/** Pages of all VMs, one turn of the hand at most, until `need` are free. Returns how many came free. */
export function sweep(round: Round, need: u32): u32 {
  if (!isWorthwhile(round, 0)) return 0;
  const vms = load<u32>(HOST_VM_COUNT);
  let v = load<u32>(HOST_HAND_VM);
  let freed: u32 = 0;
  // The VM in which the hand stands is visited twice: from the hand on, and at last up to it.
  for (let visits: u32 = 0; visits <= vms; visits++) {
    freed += sweepVm(VM_BASE + <usize>v * VM_SIZE, round, need - freed, 0);
    if (freed >= need || (round == Round.Swap && slotsAreOut())) break;
    v = v + 1 < vms ? v + 1 : 0;
    store<u64>(HOST_HAND_VPN, VPN_BASE);
  }
  store<u32>(HOST_HAND_VM, v);
  return freed < need ? freed + sweepFiles(round, need - freed, 0) : freed;
}

/** The same of what `vm` alone is charged for. */
export function sweepOwn(vm: usize, round: Round, need: u32): u32 {
  if (!isWorthwhile(round, vm)) return 0;
  const hand = load<u64>(HOST_HAND_VPN);
  store<u64>(HOST_HAND_VPN, load<u64>(vm, VM_HAND));
  let freed = sweepVm(vm, round, need, vm);
  if (freed < need) {
    store<u64>(HOST_HAND_VPN, VPN_BASE);
    freed += sweepVm(vm, round, need - freed, vm);
  }
  store<u64>(vm, load<u64>(HOST_HAND_VPN), VM_HAND);
  // Pages that it began to share with other VMs, and which only one of those still maps.
  for (let v: u32 = 0, vms = load<u32>(HOST_KSM_NODES) != 0 ? load<u32>(HOST_VM_COUNT) : 0; v < vms && freed < need; v++) {
    store<u64>(HOST_HAND_VPN, VPN_BASE);
    if (VM_BASE + <usize>v * VM_SIZE != vm) freed += sweepVm(VM_BASE + <usize>v * VM_SIZE, round, need - freed, vm);
  }
  store<u64>(HOST_HAND_VPN, hand);
  return freed < need ? freed + sweepFiles(round, need - freed, vm) : freed;
}

/** Whether the host, or one VM, may have anything for this round. */
function isWorthwhile(round: Round, only: usize): bool {
  if (round == Round.Clean) return load<u32>(HOST_FILES) != 0;
  if (round == Round.Swap) return only != 0 ? !swapIsFull(only) : !slotsAreOut();
  if (only != 0) return isDroppable(only) || load<u32>(HOST_KSM_NODES) != 0;
  let any: bool = false;
  for (let v: u32 = 0, vms = load<u32>(HOST_VM_COUNT); v < vms && !any; v++) any = isDroppable(VM_BASE + <usize>v * VM_SIZE);
  return any;
}

/** Whether the VM has lazily freed pages, written again or not, or huge pages. */
function isDroppable(vm: usize): bool {
  let lazy: u64 = load<u64>(vm, VM_LAZY) | load<u32>(vm, VM_TABLES_STAY);
  if (threaded()) {
    for (let cpu: u32 = 0, cpus = load<u32>(vm, VM_CPUS); cpu < cpus; cpu++) lazy += load<u64>(runOf(vm, cpu) + RUN_LOCAL, VM_LAZY);
  }
  return lazy != 0;
}

/** Whether the host has no slot left. */
function slotsAreOut(): bool {
  return poolFree(HOST_SWAP) == 0 && pagesFree(HOST_SWAP) == 0;
}

/**
 * The pages of one VM from the hand on, until `need` of them are free; with `only`, those that VM is charged for. Chunks
 * at which another thread is at work are left out (linux: folio_trylock). Returns how many came free.
 */
function sweepVm(vm: usize, round: Round, need: u32, only: usize): u32 {
  const end = VPN_BASE + ((<u64>load<u32>(vm, VM_DIR_LEN)) << 18);
  let vpn = max<u64>(load<u64>(HOST_HAND_VPN), VPN_BASE);
  if (!threaded() && load<u64>(vm, VM_RSS) == 0) vpn = end;
  let freed: u32 = 0;
  while (freed < need && (round != Round.Swap || !swapIsFull(vm))) {
    vpn = nextChunk(vm, vpn, end);
    if (vpn >= end) break;
    const stop = ((vpn >> 9) + 1) << 9;
    const was = chunkTry(vm, vpn);
    if (was == 0) {
      vpn = stop;
      continue;
    }
    freed += sweepChunk(vm, vpn, stop, round, need - freed, only);
    chunkUntry(vm, vpn, was);
    vpn = load<u64>(HOST_HAND_VPN);
  }
  store<u64>(HOST_HAND_VPN, vpn);
  return freed;
}

/**
 * The pages [vpn, stop) of one chunk, until `need` of them are free (or there is no slot for more); with `only`, those that
 * VM is charged for. Returns how many; the hand stands behind the last page looked at.
 */
function sweepChunk(vm: usize, vpn: u64, stop: u64, round: Round, need: u32, only: usize): u32 {
  const node = nodeOf(vm, vpn);
  const index = chunkIndex(vpn);
  // Between the look that found it and its lock another thread may have taken it away.
  const chunk = chunkAt(node, index);
  const hints: u32 = load<u8>(node + index, NODE_HINTS);
  const special = (hints & HINT_SPECIAL) != 0;
  let freed: u32 = 0;
  // What is not shared is charged to the VM that has it.
  const foreign = only != 0 && only != vm;
  if (chunk == 0 || (!special && (foreign || !hasAny(hints, round))) || (special && isHugetlb(chunk))) vpn = stop;
  else if (special && !foreign && folioOf(chunk) != 0) freed = sweepFolio(vm, vpn & ~(<u64>511), chunk, round);
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
        if (!isCharged(chunk, i, foreign, only) || !wants(vm, vpn, chunk, round)) continue;
        freed += <u32>(bitGet(chunk + FILE, i) ? fileOut(vm, vpn) : mixedPageOut(vm, vpn, chunk));
      } else if (round == Round.Swap || bitGet(chunk + LAZY, i)) freed += <u32>pageOut(vm, vpn);
      if (round == Round.Swap && swapIsFull(vm)) {
        store<u64>(HOST_HAND_VPN, vpn + 1);
        return freed;
      }
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

/** Whether page i counts for the VM `only`, if that is one: pages of KSM may be charged to another than the one that maps them. */
function isCharged(chunk: usize, i: u32, foreign: bool, only: usize): bool {
  if (only == 0) return true;
  return bitGet(chunk + KSM, i) ? ksmChargedTo(load<u32>(pageSlot(chunk, i))) == only : !foreign;
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

/**
 * Reclaim of a page of a file, in all places that map it (linux: try_to_unmap). A VM that maps one in several has one lock
 * for all of its chunks, which is held. True when a frame came free.
 */
function fileOut(vm: usize, vpn: u64): bool {
  const vma = vmaOf(vm, vpn, 0, self + RUN_VMA_ASIDE);
  const file = fileOf(vma);
  const at = filePage(vma, vpn);
  if (fileKind(file) == FileKind.GuestMemfd) return false;
  for (let n: u32 = 0; n < filePlaces(file); n++) {
    const other = fileMappedAt(file, n, at);
    if (other == 0) continue;
    const v = vmaOf(vm, other, 0, self + RUN_VMA_ASIDE);
    if ((load<u32>(v, VMA_FLAGS) & VM_LOCKED) != 0 || pinned(vm, other)) return false;
  }
  for (let n: u32 = 0; n < filePlaces(file); n++) {
    const other = fileMappedAt(file, n, at);
    if (other != 0) fileEntryOut(vm, other, chunkOf(vm, other), file, at);
  }
  return fileReclaim(vm, file, at);
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
  return folioOut(vm, base, chunk);
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
function sweepFiles(round: Round, need: u32, only: usize): u32 {
  if (round == Round.Droppable) return 0;
  let freed: u32 = 0;
  for (let file: usize = load<u32>(HOST_FILES); file != 0 && freed < need; file = load<u32>(file, FILE_NEXT)) {
    const vm = fileOwner(file);
    // Its pages are on no list (linux: mapping_set_unevictable).
    if (fileKind(file) == FileKind.GuestMemfd) continue;
    if ((only != 0 && vm != only) || (round == Round.Swap && swapIsFull(vm))) continue;
    const end = VPN_BASE + ((<u64>load<u32>(file, VM_DIR_LEN)) << 18);
    for (let at = nextChunk(file, VPN_BASE, end); at < end && freed < need; at = nextChunk(file, (at | 511) + 1, end)) {
      const vpn = fileHome(file, at);
      const was = chunkTry(vm, vpn);
      if (was == 0) continue;
      const chunk = chunkAt(nodeOf(file, at), chunkIndex(at));
      if (chunk != 0 && !isHugetlb(chunk)) {
        for (let i: u32 = 0; i < GROUP && freed < need; i++) {
          const page = (at & ~(<u64>511)) + i;
          if (!bitGet(chunk + BACKED, i) || fileMappings(file, page) != 0) continue;
          // fallocate makes no room for its pages by swapping them (linux: shmem_writeout, nr_unswapped).
          if (bitGet(chunk + ZERO, i) && load<u32>(file, FILE_ALLOCATING) != 0) continue;
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
