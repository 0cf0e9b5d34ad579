// KVM_GET_DIRTY_LOG, KVM_CLEAR_DIRTY_LOG, and a slot's log from its beginning to its end.
// Reference: linux virt/kvm/kvm_main.c (kvm_get_dirty_log_protect, kvm_clear_dirty_log_protect), arch/x86/kvm/mmu/mmu.c
// (kvm_arch_mmu_enable_log_dirty_pt_masked), arch/x86/kvm/x86.c (kvm_mmu_slot_apply_flags); recorded rules R10.
import { Errno } from '../abi/errno';
import { Counter, EventKind } from '../abi/events';
import { ManualProtect } from '../abi/kvm';
import { RUN_PML, RUN_PML_INDEX } from '../abi/status';
import { SCRATCH, SCRATCH_SIZE, VM_CPUS, VM_DIRTY_SLOTS, VM_MANUAL_PROTECT, VM_PML } from '../base/layout';
import { min } from '../base/math';
import { runOf } from '../base/thread';
import { arenaGet } from '../frames/arena';
import { dirtyDepth, isLogging, PML_ENTRIES, PML_USED, pmlFlushAll } from '../memslot/dirty';
import { setCount, setFill, setFree, setNext, setTakeWord, setWord } from '../memslot/gfn-set';
import { zapGfns } from '../memslot/notify';
import { SLOT_BASE, SLOT_DIRTY, SLOT_END, SLOT_ID, SLOT_MAX, slotById, slotPages, slotVpn } from '../memslot/table';
import { isAsOne } from '../mm/huge';
import { chunkOf } from '../mm/page-state';
import { EPT_D, EPT_W, nextLevel2 } from '../slat/entry';
import { slatProtect } from '../slat/protect';
import { count, event } from '../trace/events';
import { slotsLock, slotsUnlock } from './lock';

/** A log for the slot: nothing in it, or all of it where it begins so. False without a page for a vCPU's own log. */
export function logMake(vm: usize, slot: usize): bool {
  if (load<u32>(vm, VM_PML) != 0 && !pmlMake(vm)) return false;
  store<u32>(slot, 0, SLOT_DIRTY);
  if ((load<u32>(vm, VM_MANUAL_PROTECT) & ManualProtect.InitiallySet) != 0) setFill(slot + SLOT_DIRTY);
  store<u32>(vm, load<u32>(vm, VM_DIRTY_SLOTS) + 1, VM_DIRTY_SLOTS);
  return true;
}

/** Made with the first log, kept for all others. */
function pmlMake(vm: usize): bool {
  for (let cpu: u32 = 0, cpus = load<u32>(vm, VM_CPUS); cpu < cpus; cpu++) {
    const run = runOf(vm, cpu);
    if (load<u32>(run, RUN_PML) != 0) continue;
    const page = arenaGet();
    if (page == 0) return false;
    store<u32>(run, <u32>page, RUN_PML);
    store<u32>(run, PML_ENTRIES - 1, RUN_PML_INDEX);
  }
  store<u32>(vm, PML_USED, VM_PML);
  return true;
}

/** The log of a slot that has one is no more. */
export function logDrop(vm: usize, slot: usize): void {
  setFree(slot + SLOT_DIRTY, dirtyDepth(slot));
  store<u32>(vm, load<u32>(vm, VM_DIRTY_SLOTS) - 1, VM_DIRTY_SLOTS);
}

/** From now on each write to the slot's pages is noticed. A log in which all is set needs no write to be noticed yet. */
export function logStart(vm: usize, slot: usize): void {
  if ((load<u32>(vm, VM_MANUAL_PROTECT) & ManualProtect.InitiallySet) == 0) protect(vm, load<u64>(slot, SLOT_BASE), load<u64>(slot, SLOT_END));
}

/** Small leaves in the place of what the VMM maps by huge ones go, so that they come back huge (kvm_tdp_mmu_zap_collapsible_sptes). */
export function logStop(vm: usize, slot: usize): void {
  const end = load<u64>(slot, SLOT_END);
  for (let gfn = nextLevel2(vm, load<u64>(slot, SLOT_BASE), end); gfn < end; ) {
    const next = min(((gfn >> 9) + 1) << 9, end);
    const chunk = chunkOf(vm, slotVpn(slot, gfn));
    if (chunk != 0 && isAsOne(chunk)) zapGfns(vm, gfn, next);
    gfn = nextLevel2(vm, next, end);
  }
}

/** The next write to pages of [from, to) is to be noticed. */
function protect(vm: usize, from: u64, to: u64): void {
  if (slatProtect(vm, from, to, load<u32>(vm, VM_PML) != 0 ? EPT_D : EPT_W) != 0) count(vm, Counter.SlatFlushes);
}

/** The slot whose log `slot`, with its address space in the upper half, asks for. Else 0 (noSlot). */
function loggingSlot(vm: usize, slot: u32): usize {
  if (slot >> 16 != 0 || slot >= SLOT_MAX) return 0;
  const found = slotById(vm, slot);
  return found != 0 && isLogging(found) ? found : 0;
}

// @ts-ignore: decorator
@inline
function noSlot(slot: u32): Errno {
  return slot >> 16 != 0 || slot >= SLOT_MAX ? Errno.EINVAL : Errno.ENOENT;
}

/** How many pages, numbered from the slot's first, one call of dirtyPages tells. */
const TELLS: u32 = <u32>(SCRATCH_SIZE >> 2);

/** Whether there is a log to be read; what processors have noted for themselves is in it then. */
export function dirtyGet(vm: usize, id: u32): Errno {
  if (loggingSlot(vm, id) == 0) return noSlot(id);
  pmlFlushAll(vm);
  return Errno.OK;
}

/** Numbers of the log's pages from `from` on, u32 each at SCRATCH. How many; as many as fit if there may be more. dirtyGet has answered OK. */
export function dirtyPages(vm: usize, id: u32, from: u32): u32 {
  const slot = slotById(vm, id);
  const depth = dirtyDepth(slot);
  const end = slotPages(slot);
  let n: u32 = 0;
  for (let i = setNext(slot + SLOT_DIRTY, depth, from, end, true); i < end && n < TELLS; ) {
    for (let word = setWord(slot + SLOT_DIRTY, depth, i & ~(<u64>63)) & (u64.MAX_VALUE << (i & 63)); word != 0 && n < TELLS; word &= word - 1) {
      const page = (i & ~(<u64>63)) + ctz(word);
      if (page >= end) break;
      store<u32>(SCRATCH + (<usize>n << 2), <u32>page);
      n++;
    }
    i = setNext(slot + SLOT_DIRTY, depth, min((i | 63) + 1, end), end, true);
  }
  return n;
}

/**
 * The log was read: it is empty, and the next write to each of its pages is noticed, unless that is left to dirtyClear
 * (manual protection). How many pages were in it.
 */
export function dirtyTaken(vm: usize, id: u32): u64 {
  const slot = slotById(vm, id);
  const at = slot + SLOT_DIRTY;
  const depth = dirtyDepth(slot);
  const end = slotPages(slot);
  const pages = setCount(at, depth, 0, end);
  const manual = load<u32>(vm, VM_MANUAL_PROTECT) != 0;
  event(EventKind.DirtyLog, vm, <u32>pages, id, manual ? 0 : 1, 0);
  if (manual || pages == 0) return pages;
  const base = load<u64>(slot, SLOT_BASE);
  for (let i = setNext(at, depth, 0, end, true); i < end; ) {
    const stop = setNext(at, depth, i, end, false);
    protect(vm, base + i, base + stop);
    i = setNext(at, depth, stop, end, true);
  }
  setFree(at, depth);
  return pages;
}

/** Checks of KVM_CLEAR_DIRTY_LOG. */
export function dirtyClearable(vm: usize, id: u32, first: u64, pages: u32): Errno {
  if (id >> 16 != 0 || id >= SLOT_MAX || (first & 63) != 0) return Errno.EINVAL;
  const slot = loggingSlot(vm, id);
  if (slot == 0) return Errno.ENOENT;
  const all = slotPages(slot);
  if (first > all || pages > all - first || (pages < all - first && (pages & 63) != 0)) return Errno.EINVAL;
  pmlFlushAll(vm);
  return Errno.OK;
}

/**
 * Of 64 × `words` pages from `first` on, a multiple of 64, those whose bit is set at SCRATCH are taken out of the log if
 * they are in it, and their next write is noticed. ENOMEM without metadata; words before that are done.
 */
export function dirtyClear(vm: usize, id: u32, first: u64, words: u32): Errno {
  const slot = slotById(vm, id);
  const at = slot + SLOT_DIRTY;
  const depth = dirtyDepth(slot);
  const base = load<u64>(slot, SLOT_BASE);
  const end = slotPages(slot);
  let cleared: u32 = 0;
  for (let n: u32 = 0; n < words; n++) {
    const i = first + (<u64>n << 6);
    if (i >= end) break;
    let mask = load<u64>(SCRATCH + (<usize>n << 3));
    if (end - i < 64) mask &= ((<u64>1) << (end - i)) - 1;
    mask &= setWord(at, depth, i);
    if (mask == 0) continue;
    if (!setTakeWord(at, depth, i, mask)) return Errno.ENOMEM;
    cleared += <u32>popcnt(mask);
    while (mask != 0) {
      const from = ctz(mask);
      const run = ctz(~(mask >> from));
      protect(vm, base + i + from, base + i + from + run);
      mask = run + from == 64 ? 0 : mask & (u64.MAX_VALUE << (from + run));
    }
  }
  if (cleared != 0) event(EventKind.DirtyLog, vm, cleared, id, 1, 0);
  return Errno.OK;
}

/** KVM_GET_DIRTY_LOG for who wants to know no more than how many pages were in it. That many, or minus an errno. */
export function dirtyTake(vm: usize, id: u32): i64 {
  slotsLock(vm);
  const errno = dirtyGet(vm, id);
  const pages: i64 = errno == Errno.OK ? dirtyTaken(vm, id) : -(<i64>errno);
  slotsUnlock(vm);
  return pages;
}

/** KVM_CLEAR_DIRTY_LOG with all bits of the range. */
export function dirtyClearAll(vm: usize, id: u32, first: u64, pages: u32): Errno {
  slotsLock(vm);
  let errno = dirtyClearable(vm, id, first, pages);
  for (let done: u64 = 0; done < pages && errno == Errno.OK; done += <u64>SCRATCH_SIZE << 3) {
    const words = <u32>min((pages - done + 63) >> 6, SCRATCH_SIZE >> 3);
    memory.fill(SCRATCH, 0xff, <usize>words << 3);
    errno = dirtyClear(vm, id, first + done, words);
  }
  slotsUnlock(vm);
  return errno;
}
