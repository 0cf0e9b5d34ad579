// Loops over the core's own kernels, for rows range-large and range-small (assembly/base/bits.ts) and touch-steps
// (assembly/frames/bytes.ts): a call from JavaScript costs as much as a one-page operation, so the loop has to be
// inside. Compiled by bench/kernels.mjs with the flags of the release core; the core has no code for the benchmark.
//
// The plane lies at PLANE in the module's own memory. Same ranges at the same places as bench/native/plane.c.
import { bitsClear, bitsCount, bitsSet } from '../../assembly/base/bits';
import { frameZero } from '../../assembly/frames/bytes';

const PLANE: usize = 0x10000;

// @ts-ignore: decorator
@inline
function place(i: u32, span: u32): u32 {
  return (i * 2654435761) & ((span >> 1) - 1);
}

/** Make room for a plane of `span` pages and fill it: empty, or 3 pages of every 5 for counting. */
export function prepare(span: u32, pattern: bool): void {
  const pages = <i32>((PLANE + (span >> 3) + 0xffff) >> 16);
  if (memory.size() < pages) memory.grow(pages - memory.size());
  memory.fill(PLANE, 0, span >> 3);
  if (pattern) for (let page: u32 = 0; page + 3 <= span; page += 5) bitsSet(PLANE, page, 3);
}

/** Set and clear in turn. */
export function mix(span: u32, pages: u32, n: u32): void {
  for (let i: u32 = 0; i < n; i++) {
    if (i & 1) bitsClear(PLANE, place(i, span), pages);
    else bitsSet(PLANE, place(i, span), pages);
  }
}

/** The low 32 bits of the sum of the counts. */
export function count(span: u32, pages: u32, n: u32): u32 {
  let sum: u32 = 0;
  for (let i: u32 = 0; i < n; i++) sum += bitsCount(PLANE, place(i, span), pages);
  return sum;
}

/** What a call from JavaScript costs. */
export function nothing(a: u32, b: u32, c: u32, d: u32): void {}

/** Zeroes `pages` frames, one after the other. */
export function zero(pages: u32): void {
  const wasmPages = <i32>(1 + (pages >> 4));
  if (memory.size() < wasmPages) memory.grow(wasmPages - memory.size());
  for (let page: u32 = 0; page < pages; page++) frameZero((<u32>PLANE >> 12) + page);
}
