// What tests of huge SLAT leaves look at. Entry values are spelled out: Intel SDM vol. 3, linux arch/x86/kvm/mmu/spte.h.
import type { Vm } from '../../src/index.ts';

/** R W X, write-back, huge (7), ignore-PAT, accessed, dirty, MMU present (11), host-writable (57), MMU-writable (58). */
export const HUGE_RW = 0x0600_0000_0000_0bf7n;
export const HUGE_RO = 0x9f5n;
/** What a leaf of 1 GiB has besides, in a bit that processors ignore. */
export const GIB_LEAF = 1n << 52n;
export const ADDRESS = 0x000f_ffff_ffff_f000n;

/** Level of the leaf that maps gpa, 0 when none does. */
export const levelOf = (vm: Vm, gpa: bigint | number): number =>
  vm.observe.walk(gpa).entries.find((e) => e.leaf && e.present)?.level ?? 0;
export const levels = (vm: Vm, ...gpas: (bigint | number)[]): number[] => gpas.map((gpa) => levelOf(vm, gpa));
