// mbind, set_mempolicy, get_mempolicy of the VMM. A policy counts when a page is allocated; no page is ever moved.
// Reference: linux mm/mempolicy.c (do_mbind, mpol_new, queue_pages_test_walk, vma_replace_policy, do_get_mempolicy).
import { Errno } from '../abi/errno';
import { Mpol, MpolMf, POLICY_NODES_SHIFT } from '../abi/mempolicy';
import { VMA_FILE } from '../abi/vm-flags';
import { rangeLock, rangeUnlock } from '../base/chunk-lock';
import { HOST_NODE_COUNT, VM_INTERLEAVED, VM_TASK_POLICY } from '../base/layout';
import { bitGet } from '../base/bits';
import { min, pageAlign } from '../base/math';
import { hasNodes, nodeOfFrame } from '../frames/node';
import { fileOf, filePage } from './file-place';
import { vmaFrom, vmaOf } from './look-up';
import { vmaModify } from './modify';
import { BACKED, chunkOf, nextChunk, pageSlot } from './page-state';
import { fileSetPolicy, mappingPolicy, policyFlags, VMA_POLICY } from './policy';
import { VMA_END, VMA_FLAGS, VMA_NAME } from './vma';

/** Not a policy: mpol_new refuses. */
const INVALID: u32 = u32.MAX_VALUE;

/** Bits of the nodes that the host has. */
function existing(): u32 {
  return hasNodes() ? (1 << load<u32>(HOST_NODE_COUNT)) - 1 : 1;
}

/** mpol_new, mpol_set_nodemask. `nodes`: bits, nodes that the host does not have among them. */
function newPolicy(mode: u32, nodes: u32): u32 {
  if (mode == Mpol.Default || mode == Mpol.Local) return nodes != 0 ? INVALID : mode;
  if (mode > <u32>Mpol.Local) return INVALID;
  if (nodes == 0) return mode == Mpol.Preferred ? <u32>Mpol.Local : INVALID;
  nodes &= existing();
  return nodes == 0 ? INVALID : mode | (nodes << POLICY_NODES_SHIFT);
}

export function setMempolicy(vm: usize, mode: u32, nodes: u32): Errno {
  const policy = newPolicy(mode, nodes);
  if (policy == INVALID) return Errno.EINVAL;
  store<u32>(vm, policy, VM_TASK_POLICY);
  if (mode == Mpol.Interleave) store<u32>(vm, 0, VM_INTERLEAVED);
  return Errno.OK;
}

/** `flags`: MPOL_MF_*. */
export function mbind(vm: usize, start: u64, length: u64, mode: u32, nodes: u32, flags: u32): Errno {
  if (mode > <u32>Mpol.Local || (flags & ~(<u32>(MpolMf.Strict | MpolMf.Move | MpolMf.MoveAll))) != 0) return Errno.EINVAL;
  const endByte = start + pageAlign(length);
  if ((start & 4095) != 0 || endByte < start) return Errno.EINVAL;
  if (endByte == start) return Errno.OK;
  const policy = newPolicy(mode, nodes);
  if (policy == INVALID) return Errno.EINVAL;
  const vpn = start >> 12;
  const end = endByte >> 12;
  rangeLock(vm, vpn, end);
  const errno = bind(vm, vpn, end, policy, (flags & MpolMf.Strict) != 0 && mode != Mpol.Default);
  rangeUnlock(vm, vpn, end);
  return errno;
}

function bind(vm: usize, vpn: u64, end: u64, policy: u32, strict: bool): Errno {
  for (let at = vpn; at < end; ) {
    const v = vmaOf(vm, at);
    if (v == 0) return Errno.EFAULT;
    at = load<u64>(v, VMA_END);
  }
  const misplaced = strict && isMisplaced(vm, vpn, end, policy);
  while (vpn < end) {
    const v = vmaFrom(vm, vpn, end);
    const stop = min(load<u64>(v, VMA_END), end);
    const errno = replace(vm, v, vpn, stop, policy);
    if (errno != Errno.OK) return errno;
    vpn = stop;
  }
  return misplaced ? Errno.EIO : Errno.OK;
}

/** vma_replace_policy: of a file's pages too, whether the mapping is shared or not. */
function replace(vm: usize, v: usize, vpn: u64, end: u64, policy: u32): Errno {
  const flags = load<u32>(v, VMA_FLAGS);
  const file: usize = (flags & VMA_FILE) != 0 ? fileOf(v) : 0;
  const bits = policyFlags(vm, policy);
  if (bits == u32.MAX_VALUE) return Errno.ENOMEM;
  if (file != 0 && !fileSetPolicy(file, filePage(v, vpn), filePage(v, end), policy)) return Errno.ENOMEM;
  return vmaModify(vm, vpn, end, (flags & ~VMA_POLICY) | bits, load<u64>(v, VMA_NAME));
}

/** Whether a page that is mapped in [vpn, end) is on a node that the policy does not have. */
function isMisplaced(vm: usize, vpn: u64, end: u64, policy: u32): bool {
  const nodes = policy >> POLICY_NODES_SHIFT;
  for (vpn = nextChunk(vm, vpn, end); vpn < end; vpn = nextChunk(vm, vpn, end)) {
    const chunk = chunkOf(vm, vpn);
    for (const stop = min((vpn | 511) + 1, end); vpn < stop; vpn++) {
      if (!bitGet(chunk + BACKED, <u32>vpn & 511)) continue;
      const node = nodeOfFrame(load<u32>(pageSlot(chunk, <u32>vpn & 511)));
      if ((nodes & ((<u32>1) << node)) == 0) return true;
    }
  }
  return false;
}

/** The policy of the mapping at `vpn`, its own or its file's; ~0 where nothing is mapped. */
export function mempolicyAt(vm: usize, vpn: u64): u32 {
  const v = vmaOf(vm, vpn);
  return v == 0 ? INVALID : mappingPolicy(vm, v, vpn);
}
