export const PAGE_MASK: u64 = ~(<u64>4095);

/** Where user addresses end; linux arch/x86/include/asm/page_64_types.h. */
export const TASK_SIZE: u64 = (1 << 47) - 4096;

/** Bytes up to the next page border; 0 when that lies behind 2^64. */
// @ts-ignore: decorator
@inline
export function pageAlign(n: u64): u64 {
  return (n + 4095) & PAGE_MASK;
}

// @ts-ignore: decorator
@inline
export function min(a: u64, b: u64): u64 {
  return a < b ? a : b;
}

// @ts-ignore: decorator
@inline
export function max(a: u64, b: u64): u64 {
  return a > b ? a : b;
}
