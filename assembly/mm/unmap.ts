// munmap. Reference: linux 6.18 mm/vma.c (do_vmi_munmap, vms_gather_munmap_vmas), mm/memory.c (free_pgd_range).
import { Errno } from '../abi/errno';
import { VM_HUGETLB, VM_LOCKED, VMA_FILE } from '../abi/vm-flags';
import { rangeLock, rangeUnlock } from '../base/chunk-lock';
import { VM_LOCKED_VM } from '../base/layout';
import { pageAlign, TASK_SIZE } from '../base/math';
import { add } from '../base/thread';
import { fileUnmapped } from './file-size';
import { hugetlbZap } from './hugetlb';
import { vmasLockAll, vmasUnlock } from './look-up';
import { mapsAdd } from './map-count';
import { cutAllowed, mapsFull, vmaSplit } from './modify';
import { CHUNK_KSM, chunkAt, chunkDrop, chunkIndex, NODE_BACKED, NODE_HINTS, nodeOf } from './page-state';
import { pagesDrop } from './range';
import { continuesAt, isBorder, lastPart } from './regions';
import { LIST_CONTINUES, listOf, VMA_END, VMA_FLAGS, VMA_NAME, VMA_START, vmaDelete, vmaFind } from './vma';

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
export function unmapLocked(vm: usize, vpn: u64, end: u64): Errno {
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
    // Private hugetlb memory has no file that counts.
    const name = (load<u32>(v, VMA_FLAGS) & VMA_FILE) != 0 ? load<u64>(v, VMA_NAME) : 0;
    if (!continuesAt(vm, from)) mapsAdd(vm, -1);
    if (isBorder(vm, from)) store<u32>(listOf(vm, from), 0, LIST_CONTINUES);
    vmaDelete(vm, v);
    if (name != 0) fileUnmapped(name, to - from);
  }
  tableFree(vm, vpn);
  tableFree(vm, end - 1);
  return Errno.OK;
}

/** The page table of 2 MiB in which no VMA is left, so that a huge page may come there again. */
function tableFree(vm: usize, vpn: u64): void {
  const base = vpn & ~(<u64>511);
  const node = nodeOf(vm, vpn);
  const index = chunkIndex(vpn);
  const chunk = node == 0 ? <usize>0 : chunkAt(node, index);
  if (chunk == 0 || load<u32>(chunk, CHUNK_KSM) != 0 || load<u8>(node + index, NODE_HINTS) != 0) return;
  if (load<u16>(node + (<usize>index << 1), NODE_BACKED) != 0) return;
  const v = vmaFind(vm, base);
  if (v == 0 || load<u64>(v, VMA_START) >= base + 512) chunkDrop(vm, base, node, index, chunk);
}
