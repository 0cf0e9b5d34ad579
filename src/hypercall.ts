// The guest's call to have memory converted: KVM_HC_MAP_GPA_RANGE. What KVM checks itself, then the exit to the VMM.
// Reference: linux arch/x86/kvm/x86.c (____kvm_emulate_hypercall), Documentation/virt/kvm/x86/hypercalls.rst.
import type { AddressLike } from './types.ts';

export const KVM_HC_MAP_GPA_RANGE = 12;
/** Bit 4 of the attributes: encrypted, which is private. */
const ENCRYPTED = 1n << 4n;

/** KVM_EXIT_HYPERCALL, as the VMM finds it. */
export interface HypercallExit {
  readonly reason: 'HYPERCALL';
  readonly nr: number;
  /** gpa, pages, attributes, for MAP_GPA_RANGE. */
  readonly args: readonly [bigint, bigint, bigint];
  /** Bit 0: the guest was in long mode. */
  readonly flags: bigint;
}

export interface MapGpaRange {
  readonly gpa: AddressLike;
  /** 4 KiB pages. */
  readonly pages: bigint | number;
  readonly toPrivate: boolean;
  /** Privilege level of the guest code that calls. Default 0. */
  readonly cpl?: number;
}

/** What a guest gets without asking the VMM. */
export enum KvmError {
  /** KVM_ENOSYS: there is no such call, or it is not enabled. */
  NoSys = -1000,
  /** KVM_EPERM: not from user code. */
  Perm = -1,
  /** KVM_EINVAL. */
  Inval = -22,
}

/** The exit for this call, or what the guest gets at once. `enabled`: KVM_CAP_EXIT_HYPERCALL. */
export function mapGpaRangeExit(
  {
    gpa,
    pages,
    toPrivate,
    cpl = 0,
  }: { gpa: bigint; pages: bigint; toPrivate: boolean; cpl?: number | undefined },
  enabled: number,
): HypercallExit | KvmError {
  if (cpl > 0) return KvmError.Perm;
  if ((enabled & (1 << KVM_HC_MAP_GPA_RANGE)) === 0) return KvmError.NoSys;
  const end = gpa + pages * 4096n;
  if (gpa % 4096n !== 0n || pages <= 0n || end > 1n << 64n) return KvmError.Inval;
  return {
    reason: 'HYPERCALL',
    nr: KVM_HC_MAP_GPA_RANGE,
    args: [gpa, pages, toPrivate ? ENCRYPTED : 0n],
    flags: 1n,
  };
}
