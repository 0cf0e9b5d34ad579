// get_mempolicy of the VMM, and nodes as bits. Reference: linux mm/mempolicy.c, do_get_mempolicy.
import { Errno } from '../../assembly/abi/errno.ts';
import { Mpol, MpolF, POLICY_NODES_SHIFT } from '../../assembly/abi/mempolicy.ts';
import { VM_INTERLEAVED, VM_TASK_POLICY } from '../core/layout.ts';
import type { Vm } from '../vm.ts';

/** What get_mempolicy answers. */
export interface MemoryPolicy {
  readonly errno: Errno;
  /** A mode; with MPOL_F_NODE the number of a node. */
  readonly mode: Mpol | number;
  readonly nodes: readonly number[];
}

/** Behind any node that a host can have: no host has it. */
const NO_NODE = 30;

export const nodeBits = (nodes: readonly number[]): number =>
  nodes.reduce((bits, n) => bits | (1 << Math.min(n, NO_NODE)), 0);

const refused = (errno: Errno): MemoryPolicy => ({ errno, mode: 0, nodes: [] });

export function getMempolicy(vm: Vm, hva: bigint, flags: number): MemoryPolicy {
  const { core } = vm.host;
  const all = vm.host.nodes().map((_, n) => n);
  if (flags & ~(MpolF.Node | MpolF.Addr | MpolF.MemsAllowed)) return refused(Errno.EINVAL);
  if (flags & MpolF.MemsAllowed) {
    return flags === MpolF.MemsAllowed ? { errno: Errno.OK, mode: 0, nodes: all } : refused(Errno.EINVAL);
  }
  const atAddress = (flags & MpolF.Addr) !== 0;
  if (!atAddress && hva !== 0n) return refused(Errno.EINVAL);
  const policy = atAddress ? core.x.mempolicyAt(vm.ptr, hva >> 12n) : core.readU32(vm.ptr + VM_TASK_POLICY);
  if (policy === -1) return refused(Errno.EFAULT);
  const mode = policy & ((1 << POLICY_NODES_SHIFT) - 1);
  const nodes = all.filter((n) => ((policy >>> POLICY_NODES_SHIFT) >> n) & 1);
  if (!(flags & MpolF.Node)) return { errno: Errno.OK, mode, nodes };
  if (atAddress) {
    // lookup_node brings the page in.
    if (!vm.vmm.load(hva).ok) return refused(Errno.EFAULT);
    const frame = core.x.frameOf(vm.ptr, hva >> 12n) >>> 0;
    return { errno: Errno.OK, mode: core.x.nodeOfFrame(frame) >>> 0, nodes };
  }
  if (mode !== Mpol.Interleave) return refused(Errno.EINVAL);
  const turn = core.readU32(vm.ptr + VM_INTERLEAVED) % nodes.length;
  return { errno: Errno.OK, mode: nodes[turn] as number, nodes };
}
