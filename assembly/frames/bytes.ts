// The only room that looks into a frame: zero, copy, fill, compare, hash. Everything else handles
// page numbers. (vcpu/access.ts does its single loads and stores with frameAddress.)

// @ts-ignore: decorator
@inline
export function frameAddress(page: u32): usize {
  return <usize>page << 12;
}

/** A u64 that was stored in two halves a moment ago: one wide load would wait for both stores to leave the store buffer. */
// @ts-ignore: decorator
@inline
export function loadHalves(p: usize): u64 {
  return <u64>load<u32>(p) | ((<u64>load<u32>(p, 4)) << 32);
}

/** An unrolled v128 loop: measured faster than memory.fill on a cold working set (docs/performance.md). */
export function frameZero(page: u32): void {
  const end = frameAddress(page) + 4096;
  const zero = i64x2.splat(0);
  for (let p = frameAddress(page); p < end; p += 128) {
    v128.store(p, zero, 0);
    v128.store(p, zero, 16);
    v128.store(p, zero, 32);
    v128.store(p, zero, 48);
    v128.store(p, zero, 64);
    v128.store(p, zero, 80);
    v128.store(p, zero, 96);
    v128.store(p, zero, 112);
  }
}

/** `n` frames from `page` on. So many that the engine's own filling routine gains more than the call to it costs. */
export function framesZero(page: u32, n: u32): void {
  memory.fill(frameAddress(page), 0, <usize>n << 12);
}

export function frameCopy(to: u32, from: u32): void {
  memory.copy(frameAddress(to), frameAddress(from), 4096);
}

/** A few bytes: for these the call to the engine's copying routine costs more than the loop. */
export function bytesCopy(to: usize, from: usize, n: u32): void {
  for (let i: u32 = 0; i < n; i++) store<u8>(to + i, load<u8>(from + i));
}

/** Offset of the first byte that is not `byte` in [from, to), or `to`. */
export function bytesDiffer(from: usize, to: usize, byte: u32): usize {
  const want = i8x16.splat(<i8>byte);
  let p = from;
  while (p + 16 <= to) {
    if (v128.any_true(v128.xor(v128.load(p), want))) break;
    p += 16;
  }
  while (p < to && load<u8>(p) == <u8>byte) p++;
  return p;
}

/** FNV-1a over 64-bit words, for digests: equal content, equal number. */
export function frameHash(page: u32, seed: u64): u64 {
  let h = seed;
  const end = frameAddress(page) + 4096;
  for (let p = frameAddress(page); p < end; p += 8) h = (h ^ load<u64>(p)) * 0x100000001b3;
  return h;
}

export function frameIsZero(page: u32): bool {
  const p = frameAddress(page);
  return bytesDiffer(p, p + 4096, 0) == p + 4096;
}

export function frameEqual(a: u32, b: u32): bool {
  const to = frameAddress(b) - frameAddress(a);
  for (let p = frameAddress(a), end = p + 4096; p < end; p += 64) {
    const d = v128.or(
      v128.or(v128.xor(v128.load(p, 0), v128.load(p + to, 0)), v128.xor(v128.load(p, 16), v128.load(p + to, 16))),
      v128.or(v128.xor(v128.load(p, 32), v128.load(p + to, 32)), v128.xor(v128.load(p, 48), v128.load(p + to, 48))),
    );
    if (v128.any_true(d)) return false;
  }
  return true;
}

/** Four sums side by side, so that no multiplication waits for the one before: for telling pages apart quickly. */
export function frameSum(page: u32): u64 {
  let a: u64 = 0x9e3779b97f4a7c15;
  let b: u64 = 0xc2b2ae3d27d4eb4f;
  let c: u64 = 0x165667b19e3779f9;
  let d: u64 = 0x27d4eb2f165667c5;
  for (let p = frameAddress(page), end = p + 4096; p < end; p += 32) {
    a = rotl(a ^ load<u64>(p, 0), 29) * 0x9fb21c651e98df25;
    b = rotl(b ^ load<u64>(p, 8), 29) * 0x9fb21c651e98df25;
    c = rotl(c ^ load<u64>(p, 16), 29) * 0x9fb21c651e98df25;
    d = rotl(d ^ load<u64>(p, 24), 29) * 0x9fb21c651e98df25;
  }
  let h = (rotl(a, 7) ^ rotl(b, 18) ^ rotl(c, 31) ^ rotl(d, 47)) * 0x9fb21c651e98df25;
  h ^= h >> 32;
  return h * 0xd6e8feb86659fd93;
}
