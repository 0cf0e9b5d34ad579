// Row guest-size: the same requests in guests of 1 GiB, 64 GiB and 1 TiB, over memory that nobody has touched and over
// parts that are backed.
import { interleave, mustAgree, timed } from '../harness.mjs';
import { FIRST, Func, GIB, Machine, MIB, PAGE } from '../machine.mjs';

const SIZES = /** @type {const} */ ([
  ['1 GiB', GIB],
  ['64 GiB', 64 * GIB],
  ['1 TiB', 1024 * GIB],
]);
const PROTECT = [Func.MprotectR, Func.MprotectRw];

/** @typedef {{ machine: Machine, memory: number }} Guest */
/** Each runs `n` times in a guest. @type {readonly { what: string, count: number, run(guest: Guest, n: number): void }[]} */
const KINDS = [
  { what: 'DONTNEED 1 page', count: 100_000, run: (guest, n) => spread(guest, [Func.Dontneed], PAGE, n, 64) },
  {
    what: 'MPROTECT_R and RW 1 page',
    count: 100_000,
    run: (guest, n) => spread(guest, PROTECT, PAGE, n, 64),
  },
  // At one place: elsewhere in the small guest it would meet the page state of the GiB with the per-CPU buffer.
  {
    what: 'DONTNEED 512 MiB',
    count: 100_000,
    run: (guest, n) => spread(guest, [Func.Dontneed], GIB / 2, n, 1),
  },
  { what: 'MPROTECT_R and RW 64 MiB, backed', count: 4_000, run: protectBacked },
  { what: 'DONTNEED 16 MiB, touched each time', count: 4, run: dropBacked },
];

/** @param {import('../context.mjs').Context} context */
export async function guestSize({ build, rounds }) {
  /** @type {[string, Guest][]} */
  const guests = [];
  for (const [name, memory] of SIZES)
    guests.push([name, { machine: await Machine.open(build, { memory, pool: '128M' }), memory }]);
  const parts = [];
  for (const { what, count, run } of KINDS) {
    const sides = guests.map(([name, guest]) => [name, () => timed(count, (n) => run(guest, n))]);
    const times = Object.entries(await interleave(rounds, Object.fromEntries(sides)));
    const ns = times.map(([, time]) => time);
    parts.push({
      what: `${what} (${times.map(([name, time]) => `${name} ${nanoseconds(time)}`).join(', ')})`,
      value: Math.max(...ns) / Math.min(...ns),
    });
  }
  return { parts };
}

const nanoseconds = (/** @type {number} */ ns) =>
  ns < 1e4 ? `${ns.toFixed(0)} ns` : `${(ns / 1000).toFixed(0)} µs`;

/** Guest-physical address at an offset into RAM, which is [0, 3 GiB) and from 4 GiB up, with `len` bytes after it. */
function placeOf(/** @type {number} */ offset, /** @type {number} */ len) {
  if (offset + len <= 3 * GIB) return offset;
  return offset < 3 * GIB ? 4 * GIB : offset + GIB;
}

/** `n` requests, `codes` in turn, at places all over guest RAM. @param {Guest} guest @param {readonly number[]} codes */
function spread({ machine, memory }, codes, /** @type {number} */ len, n, /** @type {number} */ places) {
  const at = Array.from({ length: places }, (_, i) => {
    const offset = Math.floor(((memory - len - FIRST) / places) * i + FIRST);
    return placeOf(offset - (offset % PAGE), len);
  });
  mustAgree('errno', machine.requests(n, codes, at, len), 0);
}

/** In the middle of the guest. */
const middle = (/** @type {Guest} */ { memory }, /** @type {number} */ len) => placeOf(memory / 2, len);

function protectBacked(/** @type {Guest} */ guest, /** @type {number} */ n) {
  const len = 64 * MIB;
  const at = middle(guest, len);
  // Backed since the round that is not counted; this leaves them so, and the requests find no SLAT entry but once.
  if (guest.machine.vm.host.frames().used < len / PAGE) guest.machine.touch(at, len);
  mustAgree('errno', guest.machine.requests(n, PROTECT, [at], len), 0);
}

function dropBacked(/** @type {Guest} */ guest, /** @type {number} */ n) {
  const len = 16 * MIB;
  const at = middle(guest, len);
  for (let i = 0; i < n; i++) {
    guest.machine.touch(at, len);
    guest.machine.request(Func.Dontneed, at, len);
  }
}
