// mlock, munlock. Reference: linux 6.18 mm/mlock.c; rule 6 of the recordings.
import { Errno } from '../abi/errno';
import { Status } from '../abi/status';
import { VM_EXEC, VM_HUGETLB, VM_LOCKED, VM_LOCKONFAULT, VM_READ, VM_WRITE } from '../abi/vm-flags';
import { chunkMissed, rangeLock, rangeUnlock } from '../base/chunk-lock';
import { RUN_LOCAL, VM_CPUS, VM_LOCKED_VM, VM_MEMLOCK } from '../base/layout';
import { max, min, PAGE_MASK, pageAlign } from '../base/math';
import { runOf, threaded } from '../base/thread';
import { vmaOf, vmasLockAll, vmasUnlock } from './look-up';
import { vmaModify } from './modify';
import { populate } from './populate';
import { VMA_END, VMA_FLAGS, VMA_NAME, VMA_START, vmaFind, vmaNext } from './vma';

/** mlock2: mark all VMAs, then populate; with MLOCK_ONFAULT only the former. */
export function mlock(vm: usize, start: u64, length: u64, onFault: bool): Errno {
  const limit = load<u64>(vm, VM_MEMLOCK);
  if (limit == 0) return Errno.EPERM;
  const len = pageAlign(length + (start & 4095));
  const first = start & PAGE_MASK;
  // A range that ends behind 2^64 gets no further than applyLock.
  rangeLock(vm, first >> 12, (first + len) >> 12);
  let errno = lockLocked(vm, first, len, limit, onFault);
  rangeUnlock(vm, first >> 12, (first + len) >> 12);
  // Linux populates after the mmap lock is given back (__mm_populate), so others may come in between here as well.
  for (let attempts: u32 = 0; errno == Errno.EAGAIN && chunkMissed(attempts); attempts++) {
    rangeLock(vm, first >> 12, (first + len) >> 12);
    errno = populateLocked(vm, first, len);
    rangeUnlock(vm, first >> 12, (first + len) >> 12);
  }
  return errno;
}

function lockLocked(vm: usize, first: u64, len: u64, limit: u64, onFault: bool): Errno {
  let error: Errno;
  const flags: u32 = onFault ? VM_LOCKED | VM_LOCKONFAULT : VM_LOCKED;
  if (limit == u64.MAX_VALUE) error = applyLock(vm, first, len, flags);
  else {
    // Nobody else locks memory between the look at the limit and what it allows.
    vmasLockAll(vm);
    error = withinLimit(vm, first, len, limit) ? applyLock(vm, first, len, flags) : Errno.ENOMEM;
    vmasUnlock();
  }
  return error == Errno.OK && !onFault ? populateLocked(vm, first, len) : error;
}

function populateLocked(vm: usize, first: u64, len: u64): Errno {
  const end = (first + len) >> 12;
  let vpn = first >> 12;
  while (vpn < end) {
    const v = vmaOf(vm, vpn);
    if (v == 0) return Errno.OK; // unmapped since it was marked: nothing to bring in (linux: find_vma_intersection)
    // PROT_NONE: GUP says EFAULT, mlock ENOMEM; what lies before it was populated.
    if ((load<u32>(v, VMA_FLAGS) & (VM_READ | VM_WRITE | VM_EXEC)) == 0) return Errno.ENOMEM;
    const stop = min(load<u64>(v, VMA_END), end);
    const status = populate(vm, vpn, stop);
    // __mlock_posix_error_return: GUP's EFAULT is ENOMEM, its ENOMEM EAGAIN.
    if (status != Status.Ok) return status == Status.Sigbus ? Errno.ENOMEM : Errno.EAGAIN;
    vpn = stop;
  }
  return Errno.OK;
}

export function munlock(vm: usize, start: u64, length: u64): Errno {
  const first = start & PAGE_MASK;
  const len = pageAlign(length + (start & 4095));
  rangeLock(vm, first >> 12, (first + len) >> 12);
  const errno = applyLock(vm, first, len, 0);
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

/** apply_vma_lock_flags: VM_LOCKED, VM_LOCKONFAULT are as in `lock` now. */
function applyLock(vm: usize, start: u64, len: u64, lock: u32): Errno {
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
    const flags = (old & VM_HUGETLB) != 0 ? old : (old & ~(<u32>(VM_LOCKED | VM_LOCKONFAULT))) | lock;
    if (flags != old && vmaModify(vm, vpn, stop, flags, load<u64>(v, VMA_NAME)) != Errno.OK) return Errno.ENOMEM;
    vpn = stop;
  }
  return Errno.OK;
}
