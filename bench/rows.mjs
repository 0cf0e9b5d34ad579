// What is owed: one entry per promise of docs/performance.md, with the bound that must hold (floor) and the one we
// are after (goal). Measuring is elsewhere (bench/measure/); judging is bench/judge.mjs.
//
// A bound is `valueAtMost` (absolute, in the row's unit) and/or one on the ratio to the control of the same run:
// `ratioAtMost` where the ratio is value ÷ control (times slower), `ratioAtLeast` where it is control ÷ value (times
// faster). A row has one kind of ratio, never both.

/**
 * @typedef {{ valueAtMost?: number, ratioAtMost?: number, ratioAtLeast?: number }} Bound
 * @typedef {{ id: string, what: string, unit: string, against: string | null, floor: Bound | null, goal: Bound | null }} RowSpec
 */

/** @type {readonly RowSpec[]} */
export const ROWS = [
  {
    id: 'info',
    what: 'INFO request from JS: fill buffer, doorbell, read answer',
    unit: 'ns',
    against: 'native loop over a model of the device',
    floor: { valueAtMost: 20, ratioAtMost: 6 },
    goal: { valueAtMost: 8, ratioAtMost: 2.5 },
  },
  {
    id: 'dontneed-1',
    what: 'DONTNEED of 1 untouched page, whole path',
    unit: 'ns',
    against: 'madvise(MADV_DONTNEED) of one untouched page',
    floor: { ratioAtLeast: 5 },
    goal: { ratioAtLeast: 15 },
  },
  {
    id: 'dontneed-1g',
    what: 'DONTNEED of 1 GiB, every 4 KiB page backed',
    unit: 'ms',
    against: 'madvise(MADV_DONTNEED) of 1 GiB touched',
    floor: { ratioAtLeast: 20 },
    goal: { ratioAtLeast: 60 },
  },
  {
    id: 'mprotect-1g',
    what: 'MPROTECT_R and MPROTECT_RW alternating, 1 GiB backed',
    unit: 'ms',
    against: 'mprotect of 1 GiB touched',
    floor: { ratioAtLeast: 10 },
    goal: { ratioAtLeast: 50 },
  },
  {
    id: 'first-touch',
    what: 'first touch of a page: violation, fault, zeroed frame, entry installed',
    unit: 'ns',
    against: 'native memset of 4 KiB, same working set',
    floor: { ratioAtMost: 1.6 },
    goal: { ratioAtMost: 1.15 },
  },
  {
    id: 'hit-loop',
    what: 'guest load or store that hits, loop in the engine',
    unit: 'ns',
    against: 'native 4-level walk and access, same tables and pages',
    floor: { ratioAtMost: 1.6 },
    goal: { ratioAtMost: 1.1 },
  },
  {
    id: 'hit-js',
    what: 'guest load or store that hits, one call from JS each',
    unit: 'ns',
    against: null,
    floor: { valueAtMost: 25 },
    goal: { valueAtMost: 8 },
  },
  {
    id: 'range-large',
    what: 'range operation on page state, 128 MiB and more',
    unit: 'ns',
    against: 'native bit plane',
    floor: { ratioAtLeast: 0.85 },
    goal: { ratioAtLeast: 0.95 },
  },
  {
    id: 'range-small',
    what: 'range operation on page state, 1 to 512 pages',
    unit: 'ns',
    against: 'native bit plane',
    floor: { ratioAtLeast: 0.5 },
    goal: { ratioAtLeast: 0.75 },
  },
  {
    id: 'range-small-js',
    what: 'range operation on page state, 1 to 512 pages',
    unit: 'ns',
    against: 'plain JavaScript bit plane (Uint32Array)',
    floor: { ratioAtLeast: 2 },
    goal: { ratioAtLeast: 3 },
  },
  {
    id: 'guest-size',
    what: 'cost of a request in an untouched guest of 1 GiB, 64 GiB, 1 TiB: dearest ÷ cheapest',
    unit: '×',
    against: null,
    floor: { valueAtMost: 1.5 },
    goal: { valueAtMost: 1.1 },
  },
  {
    id: 'startup-1t',
    what: 'creating a guest of 1 TiB, host and wasm included',
    unit: 'ms',
    against: null,
    floor: { valueAtMost: 100 },
    goal: { valueAtMost: 100 },
  },
  {
    id: 'metadata-1t',
    what: 'metadata of an untouched guest of 1 TiB',
    unit: 'MiB',
    against: null,
    floor: { valueAtMost: 16 },
    goal: { valueAtMost: 16 },
  },
  {
    id: 'workers',
    what: 'two vCPU workers, own ranges, all requests mixed: throughput ÷ one worker',
    unit: '×',
    against: 'two native threads ÷ one',
    floor: null,
    goal: null,
  },
  {
    id: 'raster',
    what: 'picture of 1 TiB in 1024 × 512 cells',
    unit: 'ms',
    against: null,
    floor: { valueAtMost: 4 },
    goal: { valueAtMost: 1 },
  },
  {
    id: 'wasm-size',
    what: 'release core, bytes of wasm',
    unit: 'bytes',
    against: null,
    floor: null,
    goal: null,
  },
];
