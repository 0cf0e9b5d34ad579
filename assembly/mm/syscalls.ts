// The VMM's system calls on its mappings, with Linux's errno, order of checks and partial effects: madvise, mprotect, names.
// Addresses and lengths are unsigned 64-bit bytes straight from the caller.
// Others: mmap.ts, unmap.ts, mremap.ts, mlock.ts. Reference: linux 6.18 mm/madvise.c, mm/mprotect.c; rules 1, 2, 6, 7 of the recordings.
import { Errno } from '../abi/errno';
import { Madv, Prot } from '../abi/status';
import {
  VM_ACCOUNT, VM_DONTCOPY, VM_DONTDUMP, VM_EXEC, VM_HUGEPAGE, VM_HUGETLB, VM_LOCKED, VM_LOCKONFAULT, VM_MAYEXEC, VM_MERGEABLE,
  VM_NOHUGEPAGE, VM_NORESERVE, VM_RAND_READ, VM_READ, VM_SEQ_READ, VM_SHARED, VM_WIPEONFORK, VM_WRITE, VMA_FILE,
  VMA_NAME_TEXT, VMA_NAMED,
} from '../abi/vm-flags';
import { chunkMissed, rangeLock, rangeUnlock } from '../base/chunk-lock';
import { VM_NAMES, VM_TABLES_STAY, VM_VMA_HIT } from '../base/layout';
import { min, pageAlign } from '../base/math';
import { threaded } from '../base/thread';
import { Counter } from '../abi/events';
import { count } from '../trace/events';
import { collapse } from './collapse';
import { fileOf, filePage } from './file-place';
import { filePunch } from './file-size';
import { hugetlbPages, hugetlbProtect, hugetlbPunch, hugetlbZap } from './hugetlb';
import { isInHit, vmaFrom, vmaOf } from './look-up';
import { vmaModify } from './modify';
import { chunkOf } from './page-state';
import { madvisePopulate, populate } from './populate';
import { pagesCold, pagesDrop, pagesFree, pagesOut, pagesProtect, pagesUnshare } from './range';
import { VMA_ANON, VMA_END, VMA_FLAGS, VMA_NAME, VMA_START } from './vma';

export function madvise(vm: usize, start: u64, length: u64, advice: i32): Errno {
  // madvise_behavior_valid
  if (advice < 0 || advice > Madv.Collapse || (advice > Madv.Dontneed && advice < Madv.Free)) return Errno.EINVAL;
  if ((start & 4095) != 0) return Errno.EINVAL;
  const len = pageAlign(length);
  if (length != 0 && len == 0) return Errno.EINVAL;
  const endByte = start + len;
  if (endByte < start) return Errno.EINVAL;
  if (len == 0) return Errno.OK;
  if ((advice == Madv.Dontneed || advice == Madv.Free) && dropsNothing(vm, start >> 12, endByte >> 12)) return Errno.OK;
  if (advice == Madv.PopulateRead || advice == Madv.PopulateWrite) {
    return madvisePopulate(vm, start >> 12, endByte >> 12, advice == Madv.PopulateWrite);
  }
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
    case Madv.DontneedLocked:
      if (advice == Madv.Dontneed && (flags & VM_LOCKED) != 0) return Errno.EINVAL;
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
    case Madv.Cold:
      if ((flags & (VM_LOCKED | VM_HUGETLB)) != 0) return Errno.EINVAL;
      pagesCold(vm, vpn, end);
      return Errno.OK;
    case Madv.Willneed:
      // Read-ahead into the swap cache, which nobody sees.
      return Errno.OK;
    case Madv.Collapse:
      return collapse(vm, v, vpn, end);
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
      return setFlags(vm, v, vpn, end, advice);
  }
}

/** Advice that is no more than a flag of the VMA. */
function setFlags(vm: usize, v: usize, vpn: u64, end: u64, advice: i32): Errno {
  let flags = load<u32>(v, VMA_FLAGS);
  switch (advice) {
    case Madv.Normal:
      flags &= ~(<u32>(VM_RAND_READ | VM_SEQ_READ));
      break;
    case Madv.Sequential:
      flags = (flags & ~(<u32>VM_RAND_READ)) | VM_SEQ_READ;
      break;
    case Madv.Random:
      flags = (flags & ~(<u32>VM_SEQ_READ)) | VM_RAND_READ;
      break;
    case Madv.Dontfork:
      flags |= VM_DONTCOPY;
      break;
    case Madv.Dofork:
      flags &= ~(<u32>VM_DONTCOPY);
      break;
    case Madv.Wipeonfork:
      if ((flags & (VMA_FILE | VM_SHARED)) != 0) return Errno.EINVAL;
      flags |= VM_WIPEONFORK;
      break;
    case Madv.Keeponfork:
      flags &= ~(<u32>VM_WIPEONFORK);
      break;
    case Madv.Dontdump:
      flags |= VM_DONTDUMP;
      break;
    case Madv.Dodump:
      flags &= ~(<u32>VM_DONTDUMP);
      break;
    case Madv.Hugepage:
      flags = (flags & ~(<u32>VM_NOHUGEPAGE)) | VM_HUGEPAGE;
      // From now on it counts which page tables there are.
      store<u32>(vm, 1, VM_TABLES_STAY);
      break;
    case Madv.Nohugepage:
      flags = (flags & ~(<u32>VM_HUGEPAGE)) | VM_NOHUGEPAGE;
      break;
    default:
      return Errno.EINVAL;
  }
  return updateVma(vm, v, vpn, end, flags, load<u64>(v, VMA_NAME));
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
  if ((prot & ~(Prot.Read | Prot.Write | Prot.Exec | Prot.Sem)) != 0) return Errno.EINVAL;
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
    // Executable where it may not be.
    if ((prot & Prot.Exec) != 0 && (old & VM_MAYEXEC) == 0) return Errno.EACCES;
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
  const flags = (old & ~(<u32>(VM_READ | VM_WRITE | VM_EXEC))) | (prot & (Prot.Read | Prot.Write | Prot.Exec));
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
  if ((old & (VM_WRITE | VM_LOCKED | VM_LOCKONFAULT | VM_SHARED)) == VM_LOCKED && (flags & VM_WRITE) != 0) populate(vm, vpn, end);
}
