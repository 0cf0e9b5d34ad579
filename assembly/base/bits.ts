// Ranges of bits in a plane: one bit a page, 64 pages a word, little-endian. Edges are masked 64-bit
// words, the body is words or memory.fill from 512 bytes on (measured: docs/performance.md).

/** Bits [from, to) of one word; 0 ≤ from < to ≤ 64. */
// @ts-ignore: decorator
@inline
export function wordMask(from: u32, to: u32): u64 {
  return (~(<u64>0) >> (64 - (to - from))) << from;
}

/** Bits from `start` on, of its word. */
// @ts-ignore: decorator
@inline
function maskFrom(start: u32): u64 {
  return ~(<u64>0) << (start & 63);
}

/** Bits below `end`, of the word of the last one. */
// @ts-ignore: decorator
@inline
function maskBelow(end: u32): u64 {
  return ~(<u64>0) >> ((0 - end) & 63);
}

/** Set bits [start, start+len) of the plane at `base`. */
// @ts-ignore: decorator
@inline
export function bitsSet(base: usize, start: u32, len: u32): void {
  if (len == 0) return;
  const end = start + len;
  let p = base + ((start >> 6) << 3);
  const last = base + (((end - 1) >> 6) << 3);
  if (p == last) {
    store<u64>(p, load<u64>(p) | (maskFrom(start) & maskBelow(end)));
    return;
  }
  store<u64>(p, load<u64>(p) | maskFrom(start));
  p += 8;
  if (last - p >= 512) {
    memory.fill(p, 0xff, last - p);
  } else {
    const ones = i64x2.splat(-1);
    for (; p + 16 <= last; p += 16) v128.store(p, ones);
    if (p < last) store<u64>(p, ~(<u64>0));
  }
  store<u64>(last, load<u64>(last) | maskBelow(end));
}

/** Clear bits [start, start+len). */
// @ts-ignore: decorator
@inline
export function bitsClear(base: usize, start: u32, len: u32): void {
  if (len == 0) return;
  const end = start + len;
  let p = base + ((start >> 6) << 3);
  const last = base + (((end - 1) >> 6) << 3);
  if (p == last) {
    store<u64>(p, load<u64>(p) & ~(maskFrom(start) & maskBelow(end)));
    return;
  }
  store<u64>(p, load<u64>(p) & ~maskFrom(start));
  p += 8;
  if (last - p >= 512) {
    memory.fill(p, 0, last - p);
  } else {
    const zero = i64x2.splat(0);
    for (; p + 16 <= last; p += 16) v128.store(p, zero);
    if (p < last) store<u64>(p, 0);
  }
  store<u64>(last, load<u64>(last) & ~maskBelow(end));
}

/** How many bits of [start, start+len) are set. */
// @ts-ignore: decorator
@inline
export function bitsCount(base: usize, start: u32, len: u32): u32 {
  if (len == 0) return 0;
  const end = start + len;
  let p = base + ((start >> 6) << 3);
  const last = base + (((end - 1) >> 6) << 3);
  if (p == last) return <u32>popcnt(load<u64>(p) & maskFrom(start) & maskBelow(end));
  let n = popcnt(load<u64>(p) >> (start & 63)) + popcnt(load<u64>(last) << ((0 - end) & 63));
  p += 8;
  if (p == last) return <u32>n;
  for (; p + 64 <= last; p += 64) {
    n +=
      popcnt(load<u64>(p, 0)) +
      popcnt(load<u64>(p, 8)) +
      popcnt(load<u64>(p, 16)) +
      popcnt(load<u64>(p, 24)) +
      popcnt(load<u64>(p, 32)) +
      popcnt(load<u64>(p, 40)) +
      popcnt(load<u64>(p, 48)) +
      popcnt(load<u64>(p, 56));
  }
  for (; p < last; p += 8) n += popcnt(load<u64>(p));
  return <u32>n;
}

/** Whether all bits of [start, start+len) are set; true for an empty range. */
export function bitsAll(base: usize, start: u32, len: u32): bool {
  if (len == 0) return true;
  const end = start + len;
  let p = base + ((start >> 6) << 3);
  const last = base + (((end - 1) >> 6) << 3);
  if (p == last) {
    const m = maskFrom(start) & maskBelow(end);
    return (load<u64>(p) & m) == m;
  }
  const head = maskFrom(start);
  if ((load<u64>(p) & head) != head) return false;
  p += 8;
  for (; p + 64 <= last; p += 64) {
    const a = v128.and(v128.load(p, 0), v128.load(p, 16));
    const b = v128.and(v128.load(p, 32), v128.load(p, 48));
    if (!i64x2.all_true(i64x2.eq(v128.and(a, b), i64x2.splat(-1)))) return false;
  }
  for (; p < last; p += 8) if (load<u64>(p) != ~(<u64>0)) return false;
  const tail = maskBelow(end);
  return (load<u64>(last) & tail) == tail;
}

// @ts-ignore: decorator
@inline
export function bitGet(base: usize, i: u32): bool {
  return ((load<u64>(base + ((i >> 6) << 3)) >> (i & 63)) & 1) != 0;
}

// @ts-ignore: decorator
@inline
export function bitSet(base: usize, i: u32): void {
  const p = base + ((i >> 6) << 3);
  store<u64>(p, load<u64>(p) | ((<u64>1) << (i & 63)));
}

// @ts-ignore: decorator
@inline
export function bitClear(base: usize, i: u32): void {
  const p = base + ((i >> 6) << 3);
  store<u64>(p, load<u64>(p) & ~((<u64>1) << (i & 63)));
}
