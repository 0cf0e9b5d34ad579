// The VMM's system calls on its mappings, with Linux's errno, order of checks and partial effects.
// Addresses and lengths are unsigned 64-bit bytes straight from the caller.
// mlock and munlock: mlock.ts. Reference: linux 6.18 mm/madvise.c, mm/mprotect.c, mm/vma.c; rules 1, 2, 6, 7 of the recordings.
import { Errno } from '../abi/errno';
import { Madv, Prot } from '../abi/status';
import {
  VM_ACCOUNT, VM_DONTDUMP, VM_HUGETLB, VM_LOCKED, VM_MERGEABLE, VM_NORESERVE, VM_READ, VM_SHARED, VM_WRITE, VMA_FILE,
  VMA_NAME_TEXT, VMA_NAMED,
} from '../abi/vm-flags';
import { chunkMissed, rangeLock, rangeUnlock } from '../base/chunk-lock';
import { VM_LOCKED_VM, VM_NAMES, VM_VMA_HIT } from '../base/layout';
import { min, pageAlign } from '../base/math';
import { add, threaded } from '../base/thread';
import { Counter } from '../abi/events';
import { count } from '../trace/events';
import { chunkOf } from './page-state';
import { populate } from './mlock';
import { mapsAdd } from './map-count';
import { cutAllowed, mapsFull, vmaModify, vmaSplit } from './modify';
import { filePunch, fileUnmapped } from './file-size';
import { pagesDrop, pagesFree, pagesOut, pagesProtect, pagesUnshare } from './range';
import { fileAt, fileMap, fileName, fileOf, filePage } from './file';
import { hugetlbPages, hugetlbProtect, hugetlbPunch, hugetlbZap } from './hugetlb';
import { isInHit, vmaFrom, vmaOf, vmasLockAll, vmasUnlock } from './look-up';
import { continuesAt, isBorder, lastPart } from './regions';
import { LIST_CONTINUES, listOf, VMA_ANON, VMA_END, VMA_FLAGS, VMA_NAME, VMA_START, vmaDelete, vmaFind, vmaInsert } from './vma';

/** mmap at a free place, of a file if there is one. ENOMEM without metadata. */
export function map(vm: usize, vpn: u64, pages: u64, flags: u32, file: usize): Errno {
  const name = file != 0 ? fileName(file, vpn, fileAt(file, 0)) : 0;
  if (!vmaInsert(vm, vpn, vpn + pages, flags, 0, name)) return Errno.ENOMEM;
  if (file != 0) fileMap(name, pages);
  mapsAdd(vm, 1);
  return Errno.OK;
}

export function madvise(vm: usize, start: u64, length: u64, advice: i32): Errno {
  if ((start & 4095) != 0) return Errno.EINVAL;
  const len = pageAlign(length);
  if (length != 0 && len == 0) return Errno.EINVAL;
  const endByte = start + len;
  if (endByte < start) return Errno.EINVAL;
  if (len == 0) return Errno.OK;
  if ((advice == Madv.Dontneed || advice == Madv.Free) && dropsNothing(vm, start >> 12, endByte >> 12)) return Errno.OK;
  return walkVmas(vm, start >> 12, endByte >> 12, advice, 0, 0);
}

/**
 * DONTNEED or FREE of a few pages in the VMA last found, in a chunk of which nothing is there: guests drop much that
 * they never touched. Told from what is at hand, and all of it done when the answer is true. A vCPU thread would have
 * to lock the chunk first.
 */
// @ts-ignore: decorator
@inline
export function dropsNothing(vm: usize, vpn: u64, end: u64): bool {
  if (threaded() || vpn >> 9 != (end - 1) >> 9 || !isInHit(vm, vpn, end) || chunkOf(vm, vpn) != 0) return false;
  if ((load<u32>(load<u32>(vm, VM_VMA_HIT), VMA_FLAGS) & (VM_LOCKED | VMA_FILE)) != 0) return false;
  count(vm, Counter.NotifierCalls);
  return true;
}

/** prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME). `kind`: 0 removes the name, else VMA_NAMED (| VMA_NAME_TEXT). */
export function setAnonName(vm: usize, start: u64, length: u64, kind: u32, name: u64): Errno {
  if (!load<u32>(vm, VM_NAMES)) return Errno.EINVAL;
  if ((start & 4095) != 0) return Errno.EINVAL;
  const len = pageAlign(length);
  if (length != 0 && len == 0) return Errno.EINVAL;
  const endByte = start + len;
  if (endByte < start) return Errno.EINVAL;
  if (len == 0) return Errno.OK;
  return walkVmas(vm, start >> 12, endByte >> 12, ADVICE_NAME, kind, name);
}

/** Stands for PR_SET_VMA_ANON_NAME in walkVmas; no madvise number. */
const ADVICE_NAME: i32 = -1;

/** madvise_walk_vmas: VMA by VMA in address order; an error ends it at once, holes only make the end ENOMEM. */
function walkVmas(vm: usize, vpn: u64, end: u64, advice: i32, kind: u32, name: u64): Errno {
  let errno: Errno;
  let attempts: u32 = 0;
  do {
    rangeLock(vm, vpn, end);
    errno = walkLocked(vm, vpn, end, advice, kind, name);
    rangeUnlock(vm, vpn, end);
    // Copies of shared pages need frames, which may be where another vCPU is at work. What is done already stays.
  } while (errno == Errno.EAGAIN && advice == Madv.Unmergeable && chunkMissed(attempts++));
  return errno;
}

function walkLocked(vm: usize, vpn: u64, end: u64, advice: i32, kind: u32, name: u64): Errno {
  let unmapped: Errno = Errno.OK;
  while (vpn < end) {
    const v = vmaFrom(vm, vpn, end);
    const start = v == 0 ? end : load<u64>(v, VMA_START);
    if (vpn < start) {
      unmapped = Errno.ENOMEM;
      vpn = start;
      if (vpn >= end) break;
    }
    const stop = min(load<u64>(v, VMA_END), end);
    const error = advise(vm, v, vpn, stop, advice, kind, name);
    if (error != Errno.OK) return error;
    vpn = stop;
  }
  return unmapped;
}

/** One call on the piece [vpn, end) of VMA v. */
function advise(vm: usize, v: usize, vpn: u64, end: u64, advice: i32, kind: u32, name: u64): Errno {
  const flags = load<u32>(v, VMA_FLAGS);
  switch (advice) {
    case Madv.Remove:
      if ((flags & VM_LOCKED) != 0 || (flags & VMA_FILE) == 0) return Errno.EINVAL;
      // That it may be written counts, not the permissions of the moment (2.1).
      if ((flags & VM_SHARED) == 0) return Errno.EACCES;
      remove(vm, v, vpn, end);
      return Errno.OK;
    case Madv.Dontneed:
      if ((flags & VM_LOCKED) != 0) return Errno.EINVAL;
      if ((flags & VM_HUGETLB) == 0) pagesDrop(vm, vpn, end);
      else {
        // The end is rounded down, so that nothing is lost unasked (10.2).
        const rest = hugetlbPages(vm) - 1;
        if ((vpn & rest) != 0) return Errno.EINVAL;
        hugetlbZap(vm, vpn, end & ~rest);
      }
      return Errno.OK;
    case Madv.Free:
      if ((flags & (VM_LOCKED | VMA_FILE)) != 0) return Errno.EINVAL;
      pagesFree(vm, vpn, end);
      return Errno.OK;
    case Madv.Pageout:
      if ((flags & (VM_LOCKED | VM_HUGETLB)) != 0) return Errno.EINVAL;
      pagesOut(vm, vpn, end);
      return Errno.OK;
    case Madv.Dontdump:
      return updateVma(vm, v, vpn, end, flags | VM_DONTDUMP, load<u64>(v, VMA_NAME));
    case Madv.Mergeable:
      if ((flags & (VM_SHARED | VM_HUGETLB)) != 0) return Errno.OK; // vma_ksm_compatible: ignored
      return updateVma(vm, v, vpn, end, flags | <u32>VM_MERGEABLE, load<u64>(v, VMA_NAME));
    case Madv.Unmergeable:
      // Sharing ends before it is known whether there is room for the VMAs that the change of flags may need.
      if ((flags & <u32>VM_MERGEABLE) != 0 && !pagesUnshare(vm, vpn, end)) return Errno.EAGAIN;
      return updateVma(vm, v, vpn, end, flags & ~(<u32>VM_MERGEABLE), load<u64>(v, VMA_NAME));
    case ADVICE_NAME:
      if ((flags & VMA_FILE) != 0) return Errno.EBADF;
      return updateVma(vm, v, vpn, end, (flags & ~(<u32>(VMA_NAMED | VMA_NAME_TEXT))) | kind, name);
    default:
      return Errno.EINVAL;
  }
}

/** MADV_REMOVE of [vpn, end) of a VMA that shares a file (vfs_fallocate, PUNCH_HOLE): nobody maps the pages any more. */
function remove(vm: usize, v: usize, vpn: u64, end: u64): void {
  const file = fileOf(v);
  const at = filePage(v, vpn);
  const stop = filePage(v, end);
  if ((load<u32>(v, VMA_FLAGS) & VM_HUGETLB) == 0) filePunch(file, at, stop);
  else {
    const rest = hugetlbPages(vm) - 1;
    const first = (vpn + rest) & ~rest;
    if (first < (end & ~rest)) hugetlbZap(vm, first, end & ~rest);
    hugetlbPunch(file, at, stop);
  }
}

/** madvise_update_vma: out of mappings is EAGAIN here. */
function updateVma(vm: usize, v: usize, vpn: u64, end: u64, flags: u32, name: u64): Errno {
  if (flags == load<u32>(v, VMA_FLAGS) && name == load<u64>(v, VMA_NAME)) return Errno.OK;
  const error = vmaModify(vm, vpn, end, flags, name);
  return error == Errno.ENOMEM ? Errno.EAGAIN : error;
}

export function mprotect(vm: usize, start: u64, length: u64, prot: i32): Errno {
  if ((start & 4095) != 0) return Errno.EINVAL;
  if (length == 0) return Errno.OK;
  const endByte = start + pageAlign(length);
  if (endByte <= start) return Errno.ENOMEM;
  const end = endByte >> 12;
  rangeLock(vm, start >> 12, end);
  const errno = protectLocked(vm, start >> 12, end, prot);
  rangeUnlock(vm, start >> 12, end);
  return errno;
}

function protectLocked(vm: usize, vpn: u64, end: u64, prot: i32): Errno {
  while (vpn < end) {
    const v = vmaOf(vm, vpn, end);
    if (v == 0) return Errno.ENOMEM;
    const stop = min(load<u64>(v, VMA_END), end);
    const old = load<u32>(v, VMA_FLAGS);
    const flags = protectedFlags(v, old, prot);
    if (flags != old) {
      const error = vmaModify(vm, vpn, stop, flags, load<u64>(v, VMA_NAME));
      if (error != Errno.OK) return error;
      protectPages(vm, vpn, stop, old, flags);
    }
    vpn = stop;
  }
  return Errno.OK;
}

/** mprotect_fixup: the flags that VMA v, which has `old`, gets. */
function protectedFlags(v: usize, old: u32, prot: i32): u32 {
  const flags = (old & ~(<u32>(VM_READ | VM_WRITE))) | (prot & (Prot.Read | Prot.Write));
  if (flags == old) return old;
  if ((flags & VM_WRITE) != 0) {
    return (old & (VM_ACCOUNT | VM_WRITE | VM_HUGETLB | VM_SHARED | VM_NORESERVE)) == 0 ? flags | VM_ACCOUNT : flags;
  }
  return (old & (VM_ACCOUNT | VMA_FILE)) == VM_ACCOUNT && load<u32>(v, VMA_ANON) == 0 ? flags & ~VM_ACCOUNT : flags;
}

/** The pages of [vpn, end), in one VMA whose flags have just changed. */
// @ts-ignore: decorator
@inline
function protectPages(vm: usize, vpn: u64, end: u64, old: u32, flags: u32): void {
  if ((flags & VM_HUGETLB) != 0) hugetlbProtect(vm, vpn, end, (flags & VM_WRITE) != 0);
  else pagesProtect(vm, vpn, end, (flags & VM_WRITE) != 0);
  // Private locked memory that becomes writable is populated as a write (6.4); what cannot be had is left out.
  if ((old & (VM_WRITE | VM_LOCKED | VM_SHARED)) == VM_LOCKED && (flags & VM_WRITE) != 0) populate(vm, vpn, end);
}

export function munmap(vm: usize, start: u64, length: u64): Errno {
  if ((start & 4095) != 0 || start > TASK_SIZE || length > TASK_SIZE - start) return Errno.EINVAL;
  const len = pageAlign(length);
  if (len == 0) return Errno.EINVAL;
  const vpn = start >> 12;
  const end = (start + len) >> 12;
  rangeLock(vm, vpn, end);
  vmasLockAll(vm);
  const errno = unmapLocked(vm, vpn, end);
  vmasUnlock();
  rangeUnlock(vm, vpn, end);
  return errno;
}

/** munmap under all locks: it is rare, and nobody else need see half of it. */
function unmapLocked(vm: usize, vpn: u64, end: u64): Errno {
  let v = vmaFind(vm, vpn);
  if (v == 0 || load<u64>(v, VMA_START) >= end) return Errno.OK;
  if (load<u64>(v, VMA_START) < vpn || continuesAt(vm, vpn)) {
    // A hole in the middle makes two of one; cuts at an end always work (7.8), but inside a hugetlb page.
    if (end < load<u64>(lastPart(vm, v), VMA_END) && mapsFull(vm)) return Errno.ENOMEM;
    if (!cutAllowed(vm, v, vpn)) return Errno.EINVAL;
    if (vmaSplit(vm, vmaFind(vm, vpn - 1), vpn) == 0) return Errno.ENOMEM;
  }
  v = vmaFind(vm, end - 1);
  if (v != 0 && load<u64>(v, VMA_START) < end && (load<u64>(v, VMA_END) > end || continuesAt(vm, end))) {
    if (!cutAllowed(vm, v, end)) return Errno.EINVAL;
    if (vmaSplit(vm, v, end) == 0) return Errno.ENOMEM;
  }
  for (;;) {
    v = vmaFind(vm, vpn);
    if (v == 0) break;
    const from = load<u64>(v, VMA_START);
    if (from >= end) break;
    const to = load<u64>(v, VMA_END);
    if ((load<u32>(v, VMA_FLAGS) & VM_LOCKED) != 0) add(vm, VM_LOCKED_VM, from - to);
    if ((load<u32>(v, VMA_FLAGS) & VM_HUGETLB) != 0) hugetlbZap(vm, from, to);
    else pagesDrop(vm, from, to);
    const name = (load<u32>(v, VMA_FLAGS) & VMA_FILE) != 0 ? load<u64>(v, VMA_NAME) : 0;
    if (!continuesAt(vm, from)) mapsAdd(vm, -1);
    if (isBorder(vm, from)) store<u32>(listOf(vm, from), 0, LIST_CONTINUES);
    vmaDelete(vm, v);
    if (name != 0) fileUnmapped(name, to - from);
  }
  return Errno.OK;
}

const TASK_SIZE: u64 = (1 << 47) - 4096;
