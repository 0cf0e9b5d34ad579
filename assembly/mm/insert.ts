// A new VMA where nothing is mapped: it becomes part of its neighbours if they take it.
// Reference: linux mm/vma.c (vma_merge_new_range, vma_expand); rules 7.2 and 7.4 of the recordings.
import { Counter, EventKind } from '../abi/events';
import { VM_DONTEXPAND } from '../abi/vm-flags';
import { count, event } from '../trace/events';
import { mapsAdd } from './map-count';
import { anonCompatible, takes } from './modify';
import {
  VMA_ANON, VMA_END, VMA_START, vmaDelete, vmaFind, vmaForget, vmaInsert,
} from './vma';

/** [a, b), in which there is no VMA, gets one with these. False without metadata, nothing changed. Not on vCPU threads. */
export function vmaAdd(vm: usize, a: u64, b: u64, flags: u32, anon: u32, name: u64): bool {
  let left: usize = 0;
  let right: usize = 0;
  if ((flags & VM_DONTEXPAND) == 0) {
    const p = vmaFind(vm, a - 1);
    if (p != 0 && load<u64>(p, VMA_END) == a && takes(p, flags, name, anon)) left = p;
    const q = vmaFind(vm, b);
    if (q != 0 && load<u64>(q, VMA_START) == b && takes(q, flags, name, anon)) right = q;
    if (left != 0 && right != 0 && !anonCompatible(load<u32>(left, VMA_ANON), load<u32>(right, VMA_ANON))) right = 0;
  }
  if (left == 0 && right == 0) {
    if (!vmaInsert(vm, a, b, flags, anon, name)) return false;
    mapsAdd(vm, 1);
    return true;
  }
  vmaForget(vm);
  if (anon == 0 && right != 0) anon = load<u32>(right, VMA_ANON);
  let end = b;
  if (right != 0) {
    end = load<u64>(right, VMA_END);
    if (left != 0) {
      vmaDelete(vm, right);
      mapsAdd(vm, -1);
      // Found anew: blocks may have been joined.
      left = vmaFind(vm, a - 1);
    } else store<u64>(right, a, VMA_START);
  }
  const v = left != 0 ? left : right;
  if (left != 0) store<u64>(left, end, VMA_END);
  if (load<u32>(v, VMA_ANON) == 0) store<u32>(v, anon, VMA_ANON);
  count(vm, Counter.VmaMerges);
  event(EventKind.VmaMerge, vm, 0, load<u64>(v, VMA_START), end, 0);
  return true;
}
