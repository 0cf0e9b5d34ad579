// mlock, munlock, and bringing pages in. Reference: linux 6.18 mm/mlock.c, mm/gup.c; rule 6 of the recordings.
import { Errno } from '../abi/errno';
import { Status } from '../abi/status';
import { VM_HUGETLB, VM_LOCKED, VM_READ, VM_SHARED, VM_WRITE } from '../abi/vm-flags';
import { chunkMissed, rangeLock, rangeUnlock } from '../base/chunk-lock';
import { RUN_LOCAL, VM_CPUS, VM_LOCKED_VM, VM_MEMLOCK } from '../base/layout';
import { max, min, PAGE_MASK, pageAlign } from '../base/math';
import { runOf, threaded } from '../base/thread';
import { faultIn } from './fault';
import { vmaOf, vmasLockAll, vmasUnlock } from './look-up';
import { vmaModify } from './modify';
import { bitGet } from '../base/bits';
import { folioSetDirty, isAsOne } from './huge';
import { chunkOf, DIRTY, PART, WRITABLE } from './page-state';
import { VMA_END, VMA_FLAGS, VMA_NAME, VMA_START, vmaFind, vmaNext } from './vma';

/** mlock2(addr, len, 0): mark all VMAs, then populate. */
export function mlock(vm: usize, start: u64, length: u64): Errno {
  const limit = load<u64>(vm, VM_MEMLOCK);
  if (limit == 0) return Errno.EPERM;
  const len = pageAlign(length + (start & 4095));
  const first = start & PAGE_MASK;
  // A range that ends behind 2^64 gets no further than applyLock.
  rangeLock(vm, first >> 12, (first + len) >> 12);
  let errno = lockLocked(vm, first, len, limit);
  rangeUnlock(vm, first >> 12, (first + len) >> 12);
  // Linux populates after the mmap lock is given back (__mm_populate), so others may come in between here as well.
  for (let attempts: u32 = 0; errno == Errno.EAGAIN && chunkMissed(attempts); attempts++) {
    rangeLock(vm, first >> 12, (first + len) >> 12);
    errno = populateLocked(vm, first, len);
    rangeUnlock(vm, first >> 12, (first + len) >> 12);
  }
  return errno;
}

function lockLocked(vm: usize, first: u64, len: u64, limit: u64): Errno {
  let error: Errno;
  if (limit == u64.MAX_VALUE) error = applyLock(vm, first, len, true);
  else {
    // Nobody else locks memory between the look at the limit and what it allows.
    vmasLockAll(vm);
    error = withinLimit(vm, first, len, limit) ? applyLock(vm, first, len, true) : Errno.ENOMEM;
    vmasUnlock();
  }
  return error == Errno.OK ? populateLocked(vm, first, len) : error;
}

function populateLocked(vm: usize, first: u64, len: u64): Errno {
  const end = (first + len) >> 12;
  let vpn = first >> 12;
  while (vpn < end) {
    const v = vmaOf(vm, vpn);
    if (v == 0) return Errno.OK; // unmapped since it was marked: nothing to bring in (linux: find_vma_intersection)
    // PROT_NONE: GUP says EFAULT, mlock ENOMEM; what lies before it was populated.
    if ((load<u32>(v, VMA_FLAGS) & (VM_READ | VM_WRITE)) == 0) return Errno.ENOMEM;
    const stop = min(load<u64>(v, VMA_END), end);
    if (!populate(vm, vpn, stop)) return Errno.EAGAIN;
    vpn = stop;
  }
  return Errno.OK;
}

export function munlock(vm: usize, start: u64, length: u64): Errno {
  const first = start & PAGE_MASK;
  const len = pageAlign(length + (start & 4095));
  rangeLock(vm, first >> 12, (first + len) >> 12);
  const errno = applyLock(vm, first, len, false);
  rangeUnlock(vm, first >> 12, (first + len) >> 12);
  return errno;
}

/** RLIMIT_MEMLOCK: pages that are locked already count once. */
function withinLimit(vm: usize, first: u64, len: u64, limit: u64): bool {
  let pages = (len >> 12) + lockedVm(vm);
  if (pages > limit >> 12) pages -= lockedPages(vm, first >> 12, (first + len) >> 12);
  return pages <= limit >> 12;
}

/** Locked pages of the whole process. */
function lockedVm(vm: usize): u64 {
  let pages = load<u64>(vm, VM_LOCKED_VM);
  if (!threaded()) return pages;
  for (let cpu: u32 = 0, cpus = load<u32>(vm, VM_CPUS); cpu < cpus; cpu++) pages += load<u64>(runOf(vm, cpu) + RUN_LOCAL, VM_LOCKED_VM);
  return pages;
}

/** count_mm_mlocked_page_nr: pages of the range that are locked already. */
function lockedPages(vm: usize, vpn: u64, end: u64): u64 {
  let n: u64 = 0;
  for (let v = vmaFind(vm, vpn); v != 0; v = vmaNext(vm, v)) {
    const from = max(load<u64>(v, VMA_START), vpn);
    if (from >= end) break;
    if ((load<u32>(v, VMA_FLAGS) & VM_LOCKED) != 0) n += min(load<u64>(v, VMA_END), end) - from;
  }
  return n;
}

/** apply_vma_lock_flags */
function applyLock(vm: usize, start: u64, len: u64, lock: bool): Errno {
  const endByte = start + len;
  if (endByte < start) return Errno.EINVAL;
  const end = endByte >> 12;
  let vpn = start >> 12;
  while (vpn < end) {
    const v = vmaOf(vm, vpn, end);
    if (v == 0) return Errno.ENOMEM;
    const stop = min(load<u64>(v, VMA_END), end);
    const old = load<u32>(v, VMA_FLAGS);
    // hugetlb memory, which is never swapped, does not get the flag (10.5).
    const flags = (old & VM_HUGETLB) != 0 ? old : lock ? old | VM_LOCKED : old & ~(<u32>VM_LOCKED);
    if (flags != old && vmaModify(vm, vpn, stop, flags, load<u64>(v, VMA_NAME)) != Errno.OK) return Errno.ENOMEM;
    vpn = stop;
  }
  return Errno.OK;
}

/**
 * populate_vma_page_range on [vpn, end) of one VMA: as a write where it is private and writable, else as a read. False: out
 * of memory. A page that was writable already gets its dirty flag from the one who looks it up: huge mappings in the entry
 * (touch_pmd), others in the folio (follow_page_pte), and so for all of it.
 */
export function populate(vm: usize, vpn: u64, end: u64): bool {
  const vma = vmaOf(vm, vpn);
  const flags = load<u32>(vma, VMA_FLAGS);
  const write = (flags & (VM_WRITE | VM_SHARED)) == VM_WRITE;
  // Faults change neither the list nor the place of VMAs, so the record holds.
  for (; vpn < end; vpn++) {
    const chunk = chunkOf(vm, vpn);
    const i = <u32>vpn & 511;
    if (write && chunk != 0 && bitGet(chunk + WRITABLE, i) && bitGet(chunk + PART, i) && !isAsOne(chunk)) {
      if (!bitGet(chunk + DIRTY, i)) folioSetDirty(chunk, true);
    } else if (faultIn(vm, vpn, write, vma, chunk) != Status.Ok) return false;
  }
  return true;
}
