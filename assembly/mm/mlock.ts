// mlock, munlock, and bringing pages in. Reference: linux 6.18 mm/mlock.c, mm/gup.c; rule 6 of the recordings.
import { Errno } from '../abi/errno';
import { Status } from '../abi/status';
import { VM_LOCKED, VM_READ, VM_WRITE } from '../abi/vm-flags';
import { chunkMissed, rangeLock, rangeUnlock } from '../base/chunk-lock';
import { VM_LOCKED_VM, VM_MEMLOCK } from '../base/layout';
import { max, min, PAGE_MASK, pageAlign } from '../base/math';
import { faultIn } from './fault';
import { vmaLock, vmaOf, vmaUnlock } from './look-up';
import { vmaModify } from './modify';
import { chunkOf } from './page-state';
import { NONE, VMA_END, VMA_FLAGS, VMA_NAME, VMA_START, vmaAt, vmaFind, vmaNext } from './vma';

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
  vmaLock(vm);
  const error = withinLimit(vm, first, len, limit) ? applyLock(vm, first, len, true) : Errno.ENOMEM;
  vmaUnlock(vm);
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
  vmaLock(vm);
  const errno = applyLock(vm, first, len, false);
  vmaUnlock(vm);
  rangeUnlock(vm, first >> 12, (first + len) >> 12);
  return errno;
}

/** RLIMIT_MEMLOCK: pages that are locked already count once. */
function withinLimit(vm: usize, first: u64, len: u64, limit: u64): bool {
  if (limit == u64.MAX_VALUE) return true;
  let pages = (len >> 12) + load<u64>(vm, VM_LOCKED_VM);
  if (pages > limit >> 12) pages -= lockedPages(vm, first >> 12, (first + len) >> 12);
  return pages <= limit >> 12;
}

/** count_mm_mlocked_page_nr: pages of the range that are locked already. */
function lockedPages(vm: usize, vpn: u64, end: u64): u64 {
  let n: u64 = 0;
  for (let c = vmaFind(vm, vpn); c != NONE; c = vmaNext(vm, c)) {
    const v = vmaAt(vm, c);
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
    const cursor = vmaFind(vm, vpn);
    if (cursor == NONE || load<u64>(vmaAt(vm, cursor), VMA_START) > vpn) return Errno.ENOMEM;
    const v = vmaAt(vm, cursor);
    const stop = min(load<u64>(v, VMA_END), end);
    const old = load<u32>(v, VMA_FLAGS);
    const flags = lock ? old | VM_LOCKED : old & ~(<u32>VM_LOCKED);
    if (flags != old) {
      if (vmaModify(vm, vpn, stop, flags, load<u64>(v, VMA_NAME)) != Errno.OK) return Errno.ENOMEM;
      const pages = stop - vpn;
      store<u64>(vm, load<u64>(vm, VM_LOCKED_VM) + (lock ? pages : 0 - pages), VM_LOCKED_VM);
    }
    vpn = stop;
  }
  return Errno.OK;
}

/** populate_vma_page_range on [vpn, end) of one VMA: writable as a write, else as a read. False: out of memory. */
export function populate(vm: usize, vpn: u64, end: u64): bool {
  const vma = vmaOf(vm, vpn);
  const write = (load<u32>(vma, VMA_FLAGS) & VM_WRITE) != 0;
  // Faults change neither the list nor the place of VMAs, so the record holds.
  for (; vpn < end; vpn++) if (faultIn(vm, vpn, write, vma, chunkOf(vm, vpn)) != Status.Ok) return false;
  return true;
}
