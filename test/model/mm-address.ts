// Byte addresses of the model: unsigned 64-bit arithmetic, as a system call does it with its arguments.
// Reference: linux 6.18 include/linux/mm.h (PAGE_ALIGN), arch/x86/include/asm/page_64.h (task_size_max).

export const PAGE = 4096n;
/** The address of the mapping, which matters only where a range wraps around the 64-bit address space. */
const BASE = 1n << 44n;
/** End of user space: 47 bits but for the last page. */
export const TASK_SIZE = (1n << 47n) - PAGE;

export const u64 = (value: bigint): bigint => BigInt.asUintN(64, value);
/** Rounds up to whole pages; wraps to 0 for the last 4095 values. */
export const pageAlign = (len: bigint): bigint => u64(len + PAGE - 1n) & ~(PAGE - 1n);
export const aligned = (address: bigint): boolean => address % PAGE === 0n;
/** `start` counts bytes from the start of the mapping and may be negative. */
export const addressOf = (start: bigint): bigint => u64(BASE + start);
/** Page number, from the start of the mapping, of an aligned address: at most 2^53, so a safe number. */
export const pageOf = (address: bigint): number => Number((address - BASE) / PAGE);

/** mlock and munlock align the start down, and add what they cut off to the length before rounding it up. */
export function lockRange(start: bigint, len: bigint): { address: bigint; length: bigint } {
  const offset = addressOf(start) % PAGE;
  return { address: addressOf(start) - offset, length: pageAlign(u64(len + offset)) };
}
