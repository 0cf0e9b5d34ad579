// anon_vma: which VMAs may be merged once they have anonymous pages. Reference: linux mm/rmap.c (__anon_vma_prepare),
// mm/vma.c (find_mergeable_anon_vma, reusable_anon_vma); rules 7.3 and 7.4 of the recordings.
import { VM_EXEC, VM_READ, VM_WRITE, VMA_NAME_TEXT, VMA_NAMED } from '../abi/vm-flags';
import { HOST_NEXT_ANON_VMA } from '../base/layout';
import { THREADS, threaded } from '../base/thread';
import { vmasLock, vmasLockAll, vmasUnlock } from './look-up';
import { firstPart, isBorder, lastPart, setAnon } from './regions';
import { VMA_ANON, VMA_END, VMA_FLAGS, VMA_START, vmaFind, vmaNext, vmaPrev } from './vma';

/** anon_vma_prepare: with its first anonymous page a VMA takes over a neighbour's anon_vma, or a new one (7.3). */
// @ts-ignore: decorator
@inline
export function anonPrepare(vm: usize, vpn: u64, vma: usize): void {
  if (load<u32>(vma, VMA_ANON) == 0) store<u32>(vma, anonOf(vm, vpn), VMA_ANON);
}

function anonOf(vm: usize, vpn: u64): u32 {
  vmasLock(vm, vpn, vpn);
  let v = vmaFind(vm, vpn);
  if (threaded() && (isBorder(vm, load<u64>(v, VMA_START)) || isBorder(vm, load<u64>(v, VMA_END)))) {
    // It, or a neighbour, may have parts in other regions.
    vmasUnlock();
    vmasLockAll(vm);
    v = vmaFind(vm, vpn);
  }
  let anon = load<u32>(v, VMA_ANON);
  if (anon == 0) {
    anon = anonOfNeighbours(vm, v);
    if (anon == 0) anon = newAnon();
    setAnon(vm, v, anon);
  }
  vmasUnlock();
  return anon;
}

function anonOfNeighbours(vm: usize, vma: usize): u32 {
  const last = lastPart(vm, vma);
  const next = vmaNext(vm, last);
  const anon = next != 0 ? reusable(last, next, vma, next) : 0;
  if (anon != 0) return anon;
  const first = firstPart(vm, vma);
  const prev = vmaPrev(vm, first);
  return prev != 0 ? reusable(prev, first, vma, prev) : 0;
}

/** Numbers of anon_vmas are the host's: VMs whose threads run count them together. */
function newAnon(): u32 {
  if (THREADS) {
    if (threaded()) return atomic.add<u32>(HOST_NEXT_ANON_VMA, 1);
  }
  const anon = load<u32>(HOST_NEXT_ANON_VMA);
  store<u32>(HOST_NEXT_ANON_VMA, anon + 1);
  return anon;
}

/** anon_vma of `other` if low and high touch and their flags differ at most in r/w/x and the name. */
function reusable(low: usize, high: usize, v: usize, other: usize): u32 {
  if (load<u64>(low, VMA_END) != load<u64>(high, VMA_START)) return 0;
  const ignored: u32 = VM_READ | VM_WRITE | VM_EXEC | VMA_NAMED | VMA_NAME_TEXT;
  if (((load<u32>(v, VMA_FLAGS) ^ load<u32>(other, VMA_FLAGS)) & ~ignored) != 0) return 0;
  return load<u32>(other, VMA_ANON);
}
