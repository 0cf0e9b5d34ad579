// How accesses of a vCPU end, spelled out for comparison with what the engine says.
import { expect } from 'vitest';
import type { Access, Exit, Vm } from '../../src/index.ts';
import { hvaAt, PAGE } from './machines.ts';

export const bytes = (...list: number[]): Uint8Array => Uint8Array.from(list);
export const ones = (len: number): Uint8Array => new Uint8Array(len).fill(0xff);
export const mmio = (gpa: bigint, len: number, data: Uint8Array, isWrite: boolean): Exit =>
  ({ reason: 'MMIO', gpa, len, isWrite, data }) as Exit;
export const efault = (gpa: bigint, isWrite: boolean): Access => ({
  ok: false,
  exit: { reason: 'EFAULT', gpa, isWrite } as Exit,
});
export const done = (value = 0n): Access => ({ ok: true, value, exits: [] });

/** mprotect(2) of one page by the VMM; 1 read, 2 write. */
export function protect(vm: Vm, gpa: bigint, prot: number): void {
  expect(vm.vmm.mprotect(hvaAt(vm, gpa & ~0xfffn), BigInt(PAGE), prot)).toBe(0);
}
