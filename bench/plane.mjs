// The plain JavaScript control: a flat bit plane in a Uint32Array, as one would write it without WebAssembly.
// Same ranges at the same places as bench/native/plane.c and bench/engine/loops.ts.

/** @param {Uint32Array} plane @param {number} first @param {number} n */
export function planeSet(plane, first, n) {
  const end = first + n;
  const w = first >>> 5;
  const last = (end - 1) >>> 5;
  const head = -1 << (first & 31);
  const tail = -1 >>> (-end & 31);
  if (w === last) {
    plane[w] |= head & tail;
    return;
  }
  plane[w] |= head;
  if (last - w > 16) plane.fill(0xffff_ffff, w + 1, last);
  else for (let i = w + 1; i < last; i++) plane[i] = 0xffff_ffff;
  plane[last] |= tail;
}

/** @param {Uint32Array} plane @param {number} first @param {number} n */
export function planeClear(plane, first, n) {
  const end = first + n;
  const w = first >>> 5;
  const last = (end - 1) >>> 5;
  const head = -1 << (first & 31);
  const tail = -1 >>> (-end & 31);
  if (w === last) {
    plane[w] &= ~(head & tail);
    return;
  }
  plane[w] &= ~head;
  if (last - w > 16) plane.fill(0, w + 1, last);
  else for (let i = w + 1; i < last; i++) plane[i] = 0;
  plane[last] &= ~tail;
}

/** @param {Uint32Array} plane @param {number} first @param {number} n */
export function planeCount(plane, first, n) {
  const end = first + n;
  const w = first >>> 5;
  const last = (end - 1) >>> 5;
  const head = -1 << (first & 31);
  const tail = -1 >>> (-end & 31);
  if (w === last) return popcount(plane[w] & head & tail);
  let sum = popcount(plane[w] & head);
  for (let i = w + 1; i < last; i++) sum += popcount(plane[i]);
  return sum + popcount(plane[last] & tail);
}

function popcount(/** @type {number} */ word) {
  let x = word - ((word >>> 1) & 0x5555_5555);
  x = (x & 0x3333_3333) + ((x >>> 2) & 0x3333_3333);
  return Math.imul((x + (x >>> 4)) & 0x0f0f_0f0f, 0x0101_0101) >>> 24;
}

/** Where operation `i` happens: anywhere in the lower half of the plane, the same on every side. */
const place = (/** @type {number} */ i, /** @type {number} */ span) =>
  Math.imul(i, 0x9e37_79b1) & (span / 2 - 1);

/** `n` operations of kind `op`, as `plane` in bench/native/plane.c; answers the low 32 bits of the sum of the counts. */
export function planeLoop(
  /** @type {Uint32Array} */ plane,
  /** @type {'mix' | 'count'} */ op,
  /** @type {number} */ pages,
  /** @type {number} */ n,
) {
  const span = plane.length * 32;
  if (op === 'count') {
    let sum = 0;
    for (let i = 0; i < n; i++) sum = (sum + planeCount(plane, place(i, span), pages)) >>> 0;
    return sum;
  }
  for (let i = 0; i < n; i++) {
    if (i & 1) planeClear(plane, place(i, span), pages);
    else planeSet(plane, place(i, span), pages);
  }
  return 0;
}

/** Empty, or 3 pages of every 5 for counting. */
export function planePrepare(/** @type {Uint32Array} */ plane, /** @type {boolean} */ pattern) {
  plane.fill(0);
  for (let page = 0; pattern && page + 3 <= plane.length * 32; page += 5) planeSet(plane, page, 3);
}
