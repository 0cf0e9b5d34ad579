// What is owed: one entry per promise of docs/performance.md, with the bound that must hold (floor) and the one we
// are after (goal). Measuring is elsewhere (bench/measure/); judging is bench/judge.mjs.
//
// A bound is on the value in the row's unit (`valueAtMost`, `valueAtLeast`) and/or on its ratio to the control of the
// same run: `ratioAtMost` where the ratio is value ÷ control (times slower), `ratioAtLeast` where it is control ÷
// value (times faster). A row has one kind of ratio, never both. Rows without bounds are for information.

/**
 * @typedef {{ valueAtMost?: number, valueAtLeast?: number, ratioAtMost?: number, ratioAtLeast?: number }} Bound
 * Where a row is measured. `each`: in both builds, on one CPU. `once`: what does not depend on the build.
 * `workers`: in the threads build, on two CPUs.
 * @typedef {'each' | 'once' | 'workers'} Where
 * @typedef {{ id: string, what: string, unit: string, against: string | null, where: Where,
 *   floor: Bound | null, goal: Bound | null, controlAtLeast?: number }} RowSpec
 * controlAtLeast: below it the machine, not the engine, is what was measured, and the row abstains.
 */

/** @type {readonly RowSpec[]} */
const PROMISED = [
  {
    id: 'info',
    what: 'INFO request from JS: fill buffer, doorbell, read answer',
    unit: 'ns',
    against: 'native loop over a model of the device',
    where: 'each',
    floor: { valueAtMost: 20, ratioAtMost: 6 },
    goal: { valueAtMost: 8, ratioAtMost: 2.5 },
  },
  {
    id: 'dontneed-1',
    what: 'DONTNEED of 1 untouched page, whole path',
    unit: 'ns',
    against: 'madvise(MADV_DONTNEED) of one untouched page',
    where: 'each',
    floor: { ratioAtLeast: 5 },
    goal: { ratioAtLeast: 15 },
  },
  {
    id: 'dontneed-1g',
    what: 'DONTNEED of 1 GiB, every 4 KiB page backed',
    unit: 'ms',
    against: 'madvise(MADV_DONTNEED) of 1 GiB touched',
    where: 'each',
    floor: { ratioAtLeast: 20 },
    goal: { ratioAtLeast: 60 },
  },
  {
    id: 'dontneed-1g-2m',
    what: 'DONTNEED of 1 GiB in huge pages of 2 MiB',
    unit: 'ms',
    against: 'madvise(MADV_DONTNEED) of 1 GiB in transparent huge pages',
    where: 'each',
    floor: { ratioAtLeast: 20 },
    goal: { ratioAtLeast: 100 },
  },
  {
    id: 'mprotect-1g',
    what: 'MPROTECT_R and MPROTECT_RW alternating, 1 GiB backed',
    unit: 'ms',
    against: 'mprotect of 1 GiB touched',
    where: 'each',
    floor: { ratioAtLeast: 10 },
    goal: { ratioAtLeast: 50 },
  },
  {
    id: 'first-touch',
    what: 'first touch of a page: violation, fault, zeroed frame, entry installed',
    unit: 'ns',
    against: 'native memset of 4 KiB, same working set',
    where: 'each',
    floor: { ratioAtMost: 1.6 },
    goal: { ratioAtMost: 1.15 },
  },
  {
    id: 'first-touch-2m',
    what: 'first touch of a huge page: violation, fault, 2 MiB zeroed, entry installed',
    unit: 'µs',
    against: 'native memset of 2 MiB, same working set',
    where: 'each',
    floor: { ratioAtMost: 1.6 },
    goal: { ratioAtMost: 1.15 },
  },
  {
    id: 'swap-out',
    what: 'a page that PAGEOUT of 128 MiB swaps: entry dropped, page copied, frame freed',
    unit: 'ns',
    against: 'native memcpy of 4 KiB, same working set',
    where: 'each',
    floor: { ratioAtMost: 1.6 },
    goal: { ratioAtMost: 1.15 },
  },
  {
    id: 'swap-in',
    what: 'first touch of a swapped page: violation, fault, page copied, entry installed',
    unit: 'ns',
    against: 'native memcpy of 4 KiB, same working set',
    where: 'each',
    floor: { ratioAtMost: 1.6 },
    goal: { ratioAtMost: 1.15 },
  },
  {
    id: 'reclaim',
    what: 'first touch of a page when no frame is free: another page makes room',
    unit: 'ns',
    against: 'native memcpy and memset of as many pages',
    where: 'each',
    floor: { ratioAtMost: 1.6 },
    goal: { ratioAtMost: 1.15 },
  },
  {
    id: 'ksm-scan',
    what: 'a page that KSM scans: sum, search, comparison, merge',
    unit: 'ns',
    against: 'native XXH64, hash table and memcmp of the same pages',
    where: 'each',
    floor: { ratioAtMost: 2 },
    goal: { ratioAtMost: 1.25 },
  },
  {
    id: 'private-touch',
    what: 'first touch of a private page: violation, zeroed frame in the guest_memfd, entry installed',
    unit: 'ns',
    against: 'native memset of 4 KiB, same working set',
    where: 'each',
    floor: { ratioAtMost: 1.6 },
    goal: { ratioAtMost: 1.15 },
  },
  {
    id: 'convert',
    what: 'KVM_SET_MEMORY_ATTRIBUTES of 4 KiB to 1 TiB in which no page is mapped',
    unit: 'ns',
    against: null,
    where: 'each',
    floor: { valueAtMost: 3000 },
    goal: { valueAtMost: 1500 },
  },
  {
    id: 'convert-4k',
    what: 'a private page that is there becomes shared: attributes, and a hole in the guest_memfd',
    unit: 'ns',
    against: 'fallocate(PUNCH_HOLE) of a page of a mapped memfd',
    where: 'each',
    floor: { ratioAtLeast: 4 },
    goal: { ratioAtLeast: 10 },
  },
  {
    id: 'convert-2m',
    what: 'the same of 2 MiB',
    unit: 'µs',
    against: 'fallocate(PUNCH_HOLE) of 2 MiB of a mapped memfd',
    where: 'each',
    floor: { ratioAtLeast: 20 },
    goal: { ratioAtLeast: 100 },
  },
  {
    id: 'convert-1g',
    what: 'the same of 1 GiB',
    unit: 'ms',
    against: 'fallocate(PUNCH_HOLE) of 1 GiB of a mapped memfd',
    where: 'each',
    floor: { ratioAtLeast: 100 },
    goal: { ratioAtLeast: 500 },
  },
  {
    id: 'dirty-log-1t',
    what: 'a page of a dirty log of 1 TiB, of which a thousandth is in it: read, cleared, protected',
    unit: 'ns',
    against: null,
    where: 'each',
    floor: { valueAtMost: 40 },
    goal: { valueAtMost: 15 },
  },
  {
    id: 'memslot',
    what: 'a memslot of 64 MiB made or deleted, among 10 000 or with one other',
    unit: 'ns',
    against: null,
    where: 'each',
    floor: { valueAtMost: 3000 },
    goal: { valueAtMost: 1000 },
  },
  {
    id: 'hit-loop',
    what: 'guest load or store that hits, loop in the engine',
    unit: 'ns',
    against: 'native 4-level walk and access, same tables and pages',
    where: 'each',
    floor: { ratioAtMost: 1.6 },
    goal: { ratioAtMost: 1.1 },
  },
  {
    id: 'hit-js',
    what: 'guest load or store that hits, one call from JS each',
    unit: 'ns',
    against: null,
    where: 'each',
    floor: { valueAtMost: 25 },
    goal: { valueAtMost: 8 },
  },
  {
    id: 'range-large',
    what: 'range operation on page state, 128 MiB and more',
    unit: 'ns',
    against: 'native bit plane',
    where: 'each',
    floor: { ratioAtLeast: 0.85 },
    goal: { ratioAtLeast: 0.95 },
  },
  {
    id: 'range-small',
    what: 'range operation on page state, 1 to 512 pages',
    unit: 'ns',
    against: 'native bit plane',
    where: 'each',
    floor: { ratioAtLeast: 0.5 },
    goal: { ratioAtLeast: 0.75 },
  },
  {
    id: 'range-small-js',
    what: 'range operation on page state, 1 to 512 pages',
    unit: 'ns',
    against: 'plain JavaScript bit plane (Uint32Array)',
    where: 'each',
    floor: { ratioAtLeast: 2 },
    goal: { ratioAtLeast: 3 },
  },
  {
    id: 'guest-size',
    what: 'cost of a request in a guest of 1 GiB, 64 GiB, 1 TiB: dearest ÷ cheapest',
    unit: '×',
    against: null,
    where: 'each',
    floor: { valueAtMost: 1.5 },
    goal: { valueAtMost: 1.1 },
  },
  {
    id: 'startup-1t',
    what: 'creating a guest of 1 TiB, host and wasm included',
    unit: 'ms',
    against: null,
    where: 'each',
    floor: { valueAtMost: 100 },
    goal: { valueAtMost: 100 },
  },
  {
    id: 'metadata-1t',
    what: 'metadata of an untouched guest of 1 TiB',
    unit: 'MiB',
    against: null,
    where: 'each',
    floor: { valueAtMost: 16 },
    goal: { valueAtMost: 16 },
  },
  {
    id: 'raster',
    what: 'picture of 1 TiB in 1024 × 512 cells',
    unit: 'ms',
    against: null,
    where: 'each',
    floor: { valueAtMost: 4 },
    goal: { valueAtMost: 1 },
  },
];

/** Throughput of two vCPU workers ÷ one, each on a CPU, with a buffer and a range of guest RAM of its own. */
const scaling = (/** @type {string} */ id, /** @type {string} */ what, /** @type {string} */ work) => ({
  id: `workers-${id}`,
  what: `two vCPU workers ÷ one: ${what}`,
  unit: '×',
  against: `two native threads ÷ one: ${work}`,
  where: /** @type {const} */ ('workers'),
  floor: { valueAtLeast: 1.6 },
  goal: { valueAtLeast: 1.9 },
  controlAtLeast: 1.8,
});

/** @type {readonly RowSpec[]} */
const WORKERS = [
  scaling('info', 'INFO', 'requests to a model of the device'),
  scaling('dontneed', 'DONTNEED of 1 untouched page', 'walks in 2 MiB'),
  scaling('dontneed-touched', 'store to a page and DONTNEED of it', 'memset of one page'),
  scaling('mprotect', 'MPROTECT_R and RW in turn, 64 MiB backed', 'ranges of a bit plane'),
  scaling('faults', 'first touch of 128 MiB', 'memset of 128 MiB, 4 KiB at a time'),
  scaling('mixed', 'all requests and touches mixed', 'device model, walks and memset mixed'),
  // Each call changes the list of mappings, which is one list and has one lock, as in Linux.
  {
    ...scaling('mprotect-1', 'MPROTECT_R and RW in turn, 1 page', 'walks in 2 MiB'),
    floor: null,
    goal: null,
  },
];

const information = (
  /** @type {string} */ id,
  /** @type {string} */ unit,
  /** @type {Where} */ where,
  /** @type {string} */ what,
  /** @type {string | null} */ against = null,
) => ({ id, what, unit, against, where, floor: null, goal: null });

/** @type {readonly RowSpec[]} */
const REPORTED = [
  information('info-steps', 'ns', 'each', 'where the time of an INFO request goes'),
  information('dontneed-steps', 'ns', 'each', 'where the time of a DONTNEED request goes'),
  information('touch-steps', 'ns', 'each', 'where the time of a first touch goes'),
  information(
    'startup-cold',
    'ms',
    'each',
    'from the start of a process to the answer of its first request',
    'a Node process that does nothing',
  ),
  information('memory-guest', 'MiB', 'each', 'memory of a guest of 1 GiB, 64 GiB, 1 TiB'),
  information('wasm-size', 'bytes', 'once', 'bytes of wasm'),
];

export const ROWS = [...PROMISED, ...WORKERS, ...REPORTED];

/**
 * What a row owes in a build. Nanoseconds are promised of the plain build; the threads build, which pays for locks,
 * answers for the same ratios.
 * @param {RowSpec} spec @param {import('./context.mjs').Build | null} build @returns {RowSpec}
 */
export function owed(spec, build) {
  if (build !== 'threads' || spec.unit !== 'ns') return spec;
  return { ...spec, floor: relative(spec.floor), goal: relative(spec.goal) };
}

/** @param {Bound | null} bound */
function relative(bound) {
  const { valueAtMost: _, ...ratios } = bound ?? {};
  return Object.keys(ratios).length > 0 ? ratios : null;
}
