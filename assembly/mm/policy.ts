// Which node a page is to come from: the policy of its mapping, of its place in a file, or of the VMM's task.
// Reference: linux mm/mempolicy.c (get_vma_policy, policy_nodemask, interleave_nodes, interleave_nid,
// mpol_set_shared_policy), mm/shmem.c (shmem_get_pgoff_policy), virt/kvm/guest_memfd.c (kvm_gmem_get_folio).
//
// A policy (abi/mempolicy.ts) is a number, 0 for none. Those of mappings have an index in the VM's record, which the flags
// of a VMA name, so that VMAs are split and merged as by any flag. Those of a file are ranges of its pages.
//
// ╒═ policies of a file, an arena page ═ 24 bytes each, by page ═╤═ 4088 count u32 ═╕
// │ 0 first page u64 │ 8 page behind the last u64 │ 16 policy u32 │                  │
// ╘══════════════════════════════════════════════════════════════╧══════════════════╛
import { FileKind } from '../abi/file';
import { Mpol, POLICY_NODES_SHIFT } from '../abi/mempolicy';
import { VMA_FILE, VMA_POLICY_HIGH, VMA_POLICY_LOW } from '../abi/vm-flags';
import { RUN_VMA_ASIDE, VM_INTERLEAVED, VM_POLICIES, VM_TASK_POLICY, VPN_BASE } from '../base/layout';
import { self, THREADS } from '../base/thread';
import { arenaGet } from '../frames/arena';
import { nodeTake } from '../frames/node';
import { GROUP } from '../frames/pool';
import { FILE_POLICIES, fileAt, fileKind } from './file';
import { fileOf, filePage } from './file-place';
import { vmaOf } from './look-up';
import { VMA_FLAGS, vmaFind, vmaNext } from './vma';

/** Policies of mappings that a VM can have at a time. */
const POLICY_MAX: u32 = 15;
const LOW_SHIFT: u32 = 23;
const HIGH_SHIFT: u32 = 27;
export const VMA_POLICY: u32 = VMA_POLICY_LOW | VMA_POLICY_HIGH;
/** Ranges that a file can have. */
const RANGE_MAX: u32 = 170;
const RANGE_SIZE: usize = 24;
const RANGES: usize = 4088;
/** The node of all processors. */
const LOCAL_NODE: u32 = 0;
const ALL_NODES: u32 = 0xff;

// @ts-ignore: decorator
@inline
function modeOf(policy: u32): Mpol {
  return policy & ((1 << POLICY_NODES_SHIFT) - 1);
}

// @ts-ignore: decorator
@inline
function nodesOf(policy: u32): u32 {
  return policy >> POLICY_NODES_SHIFT;
}

/** The policy that a VMA with these flags has itself. */
function vmaOwnPolicy(vm: usize, flags: u32): u32 {
  const index = ((flags >> LOW_SHIFT) & 3) | (((flags >> HIGH_SHIFT) & 3) << 2);
  return index == 0 ? 0 : load<u32>(vm + VM_POLICIES + (<usize>(index - 1) << 2));
}

/** Bits of a VMA's flags for `policy`; ~0 when the VM has too many policies. */
export function policyFlags(vm: usize, policy: u32): u32 {
  if (policy == 0) return 0;
  let free: u32 = 0;
  for (let index: u32 = POLICY_MAX; index != 0; index--) {
    const p = vm + VM_POLICIES + (<usize>(index - 1) << 2);
    if (load<u32>(p) == policy) return indexFlags(index);
    if (free == 0 && !isUsed(vm, index)) free = index;
  }
  if (free == 0) return u32.MAX_VALUE;
  store<u32>(vm + VM_POLICIES + (<usize>(free - 1) << 2), policy);
  return indexFlags(free);
}

function indexFlags(index: u32): u32 {
  return ((index & 3) << LOW_SHIFT) | ((index >> 2) << HIGH_SHIFT);
}

function isUsed(vm: usize, index: u32): bool {
  for (let v = vmaFind(vm, VPN_BASE); v != 0; v = vmaNext(vm, v)) {
    if ((load<u32>(v, VMA_FLAGS) & VMA_POLICY) == indexFlags(index)) return true;
  }
  return false;
}

// @ts-ignore: decorator
@inline
function rangeAt(table: usize, n: u32): usize {
  return table + <usize>n * RANGE_SIZE;
}

/** The policy of the file's page `at`, 0 for none. */
function filePolicy(file: usize, at: u64): u32 {
  const table: usize = load<u32>(file, FILE_POLICIES);
  if (table == 0) return 0;
  for (let n: u32 = 0, count = load<u32>(table, RANGES); n < count; n++) {
    const p = rangeAt(table, n);
    if (at < load<u64>(p)) return 0;
    if (at < load<u64>(p, 8)) return load<u32>(p, 16);
  }
  return 0;
}

/** mpol_set_shared_policy: pages [at, end) of the file. False without room, nothing changed. */
export function fileSetPolicy(file: usize, at: u64, end: u64, policy: u32): bool {
  let table: usize = load<u32>(file, FILE_POLICIES);
  if (table == 0) {
    if (policy == 0) return true;
    table = arenaGet();
    if (table == 0) return false;
    store<u32>(file, <u32>table, FILE_POLICIES);
  }
  const count = load<u32>(table, RANGES);
  if (count + 2 > RANGE_MAX) return false;
  // Ranges before it, one cut at its start, itself, one cut at its end, ranges behind it.
  let n: u32 = 0;
  while (n < count && load<u64>(rangeAt(table, n), 8) <= at) n++;
  let last = n;
  while (last < count && load<u64>(rangeAt(table, last)) < end) last++;
  const head = n < last && load<u64>(rangeAt(table, n)) < at;
  const tail = n < last && load<u64>(rangeAt(table, last - 1), 8) > end;
  const headFrom: u64 = head ? load<u64>(rangeAt(table, n)) : 0;
  const headPolicy: u32 = head ? load<u32>(rangeAt(table, n), 16) : 0;
  const tailEnd: u64 = tail ? load<u64>(rangeAt(table, last - 1), 8) : 0;
  const tailPolicy: u32 = tail ? load<u32>(rangeAt(table, last - 1), 16) : 0;
  const added: u32 = (head ? 1 : 0) + (tail ? 1 : 0) + (policy != 0 ? 1 : 0);
  memory.copy(rangeAt(table, n + added), rangeAt(table, last), <usize>(count - last) * RANGE_SIZE);
  store<u32>(table, count - (last - n) + added, RANGES);
  if (head) put(table, n++, headFrom, at, headPolicy);
  if (policy != 0) put(table, n++, at, end, policy);
  if (tail) put(table, n, end, tailEnd, tailPolicy);
  return true;
}

function put(table: usize, n: u32, from: u64, to: u64, policy: u32): void {
  const p = rangeAt(table, n);
  store<u64>(p, from);
  store<u64>(p, to, 8);
  store<u32>(p, policy, 16);
}

/** __get_vma_policy at vpn of VMA v: of a file that of its page, whoever set it. 0 for none. */
export function mappingPolicy(vm: usize, v: usize, vpn: u64): u32 {
  if ((load<u32>(v, VMA_FLAGS) & VMA_FILE) == 0 || fileOf(v) == 0) return vmaOwnPolicy(vm, load<u32>(v, VMA_FLAGS));
  return filePolicy(fileOf(v), filePage(v, vpn));
}

/**
 * Frames from `first` on, one or a group, get their node: they are to be page `at` of `space`, a VM or a file of it. False:
 * the policy leaves no node with room.
 */
export function place(vm: usize, space: usize, at: u64, first: u32, count: u32): bool {
  const shift: u64 = count == GROUP ? 9 : 0;
  if (space != vm) {
    const policy = filePolicy(space, at);
    const page = at - fileAt(space, 0);
    // What a guest_memfd allocates goes by the task's turn, shmem by the place in the file.
    if (fileKind(space) == FileKind.GuestMemfd) return take(vm, policy, NEXT, first, count);
    return take(vm, policy, page >> shift, first, count);
  }
  // Reclaim or a fault may have a VMA at hand.
  const v = vmaOf(vm, at, 0, self + RUN_VMA_ASIDE);
  const policy: u32 = v == 0 ? 0 : mappingPolicy(vm, v, at);
  const isFile = v != 0 && (load<u32>(v, VMA_FLAGS) & VMA_FILE) != 0 && fileOf(v) != 0;
  const index = isFile ? filePage(v, at) - fileAt(fileOf(v), 0) : at;
  return take(vm, policy, index >> shift, first, count);
}

/** NO_INTERLEAVE_INDEX: the task's next turn. */
const NEXT: u64 = u64.MAX_VALUE;

function take(vm: usize, policy: u32, index: u64, first: u32, count: u32): bool {
  if (policy == 0) policy = load<u32>(vm, VM_TASK_POLICY);
  const nodes = nodesOf(policy);
  switch (modeOf(policy)) {
    case Mpol.Preferred:
      return nodeTake(first, count, ctz(nodes), ALL_NODES);
    case Mpol.Bind:
      return nodeTake(first, count, LOCAL_NODE, nodes);
    case Mpol.Interleave:
      return nodeTake(first, count, index == NEXT ? nextTurn(vm, nodes) : nthNode(nodes, <u32>(index % popcnt(nodes))), ALL_NODES);
    default:
      return nodeTake(first, count, LOCAL_NODE, ALL_NODES);
  }
}

/** interleave_nodes: il_prev goes on to the next node of the policy. One for the VM, where each Linux task has its own. */
function nextTurn(vm: usize, nodes: u32): u32 {
  const turn: u32 = THREADS ? atomic.add<u32>(vm + VM_INTERLEAVED, 1) : load<u32>(vm, VM_INTERLEAVED);
  if (!THREADS) store<u32>(vm, turn + 1, VM_INTERLEAVED);
  return nthNode(nodes, turn % popcnt(nodes));
}

function nthNode(nodes: u32, n: u32): u32 {
  for (; n != 0; n--) nodes &= nodes - 1;
  return ctz(nodes);
}
