// What a VMM does when guest memory is to become private or shared: because the guest asks (KVM_EXIT_HYPERCALL), or because
// it has touched memory of the other kind (KVM_EXIT_MEMORY_FAULT).
// Reference: linux tools/testing/selftests/kvm/x86/private_mem_conversions_test.c (handle_exit_hypercall); QEMU
// accel/kvm/kvm-all.c (kvm_convert_memory).
import { Errno } from '../../assembly/abi/errno.ts';
import { KVM_MEMORY_ATTRIBUTE_PRIVATE } from '../../assembly/abi/kvm.ts';
import { type HypercallExit, KVM_HC_MAP_GPA_RANGE } from '../hypercall.ts';
import type { Exit } from '../types.ts';
import type { Vm } from '../vm.ts';
import type { Memslot } from './kvm.ts';

/** FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE. */
const PUNCH = 3;
/** Bit 4 of the attributes of the hypercall: encrypted. */
const ENCRYPTED = 1n << 4n;

export interface ConversionOptions {
  /**
   * What is given back afterwards: `other`, what the range was before (the VMM's pages of what is private now, the
   * guest_memfd's of what is shared now), so that memory is not held twice; `none`, nothing: both halves keep their bytes.
   * Default `other`.
   */
  readonly discard?: 'other' | 'none';
}
export interface Conversion extends ConversionOptions {
  readonly gpa: bigint;
  /** Bytes. */
  readonly size: bigint;
  readonly toPrivate: boolean;
}

/** The part of [gpa, gpa + size) in each slot, as [slot, offset in it, bytes]. */
function* parts(vm: Vm, gpa: bigint, size: bigint): Generator<readonly [Memslot, bigint, bigint]> {
  for (const slot of vm.kvm.memslots()) {
    const from = gpa > slot.gpa ? gpa : slot.gpa;
    const end = slot.gpa + BigInt(slot.size);
    const to = gpa + size < end ? gpa + size : end;
    if (from < to) yield [slot, from - slot.gpa, to - from];
  }
}

/**
 * Converts a range, by the attributes of the VM or, where a guest_memfd keeps them itself, of the file. The first errno ends
 * it; ranges before that are converted.
 */
export function convertMemory(vm: Vm, { gpa, size, toPrivate, discard = 'other' }: Conversion): Errno {
  const attributes = toPrivate ? KVM_MEMORY_ATTRIBUTE_PRIVATE : 0;
  if (vm.kvm.fileAttributes) {
    for (const [slot, offset, length] of parts(vm, gpa, size)) {
      if (slot.fd === undefined) continue;
      const at = BigInt(slot.guestMemfdOffset ?? 0) + offset;
      const { errno } = vm.kvm.setMemoryAttributes2({ fd: slot.fd, offset: at, size: length, attributes });
      if (errno !== Errno.OK) return errno;
    }
    return Errno.OK;
  }
  const errno = vm.kvm.setMemoryAttributes({ address: gpa, size, attributes });
  if (errno !== Errno.OK || discard === 'none') return errno;
  for (const [slot, offset, length] of parts(vm, gpa, size)) {
    const failed = toPrivate
      ? vm.vmm.discard(slot.hva + offset, length)
      : slot.fd === undefined
        ? Errno.OK
        : vm.vmm.fallocate(slot.fd, PUNCH, BigInt(slot.guestMemfdOffset ?? 0) + offset, length);
    if (failed !== Errno.OK) return failed;
  }
  return Errno.OK;
}

/** The VMM's answer to a hypercall that has left the guest: what `ret` is to be, 0 or minus an errno. */
export function handleHypercall(vm: Vm, exit: HypercallExit, options: ConversionOptions = {}): bigint {
  if (exit.nr !== KVM_HC_MAP_GPA_RANGE) return -BigInt(Errno.EINVAL);
  const [gpa, pages, attributes] = exit.args;
  const toPrivate = (attributes & ENCRYPTED) !== 0n;
  return -BigInt(convertMemory(vm, { gpa, size: pages * 4096n, toPrivate, ...options }));
}

/** The VMM's answer to a MEMORY_FAULT exit: the page becomes of the kind that the guest wants, and it may be run again. */
export function handleMemoryFault(
  vm: Vm,
  exit: Extract<Exit, { reason: 'MEMORY_FAULT' }>,
  options: ConversionOptions = {},
): Errno {
  const toPrivate = (exit.flags & BigInt(KVM_MEMORY_ATTRIBUTE_PRIVATE)) !== 0n;
  return convertMemory(vm, { gpa: exit.gpa, size: BigInt(exit.size), toPrivate, ...options });
}
