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
