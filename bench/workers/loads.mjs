// What the crews do: programs of the engine, each with the native control whose second thread says what a second thread
// can give, and with what Linux itself does on one address space.
import { Step } from '../../dist/assembly/abi/status.js';
import { Func, GIB, MIB, PAGE } from '../machine.mjs';

/** Each vCPU's own range of guest RAM: nothing that one does is near the other's. */
export const baseOf = (/** @type {number} */ cpu) => (1 + cpu) * GIB;

/** @typedef {import('./crew.mjs').Step} Step */
/**
 * @typedef {{ rounds: number, operations: number, program(cpu: number): Step[],
 *   once?(cpu: number): Step[], before?(cpu: number): Step[],
 *   control: string, linux?: string, options?: object }} Load
 * rounds of the program take some ten milliseconds, as the control does: long enough for the clock, short enough to find
 * the CPUs free. operations: in a round. once: run at the beginning, before: run each time, neither of them timed.
 */

const request = (
  /** @type {number} */ size,
  /** @type {number} */ gpa,
  /** @type {number} */ len,
  more = {},
) => ({
  ...{ kind: Step.Request, size, gpa, len },
  ...more,
});
const touch = (/** @type {number} */ gpa, /** @type {number} */ len, more = {}) => ({
  ...{ kind: Step.TouchWrite, gpa, len, arg: 1 },
  ...more,
});
/** A page further each round, within a chunk of 2 MiB. */
const NEXT = { advance: PAGE, span: 2 * MIB };
const BACKED = 64 * MIB;
const FAULTED = 128 * MIB;

/** @type {Readonly<Record<string, Load>>} */
export const LOADS = {
  info: {
    rounds: 300_000,
    operations: 1,
    program: (cpu) => [request(Func.Info, baseOf(cpu), 0)],
    control: 'info 2000000',
  },
  dontneed: {
    rounds: 100_000,
    operations: 1,
    program: (cpu) => [request(Func.Dontneed, baseOf(cpu), PAGE, NEXT)],
    control: 'walk load 512 4160 2500000',
    linux: 'dontneed-one 20000',
  },
  'dontneed-touched': {
    rounds: 20_000,
    operations: 1,
    program: (cpu) => [touch(baseOf(cpu), PAGE, NEXT), request(Func.Dontneed, baseOf(cpu), PAGE, NEXT)],
    control: 'zero-pages 4 150000',
    linux: 'dontneed-one-touched 10000',
  },
  mprotect: {
    rounds: 5_000,
    operations: 2,
    once: (cpu) => [touch(baseOf(cpu), BACKED)],
    program: (cpu) => protect(baseOf(cpu), BACKED),
    control: 'plane mix 1048576 512 2000000',
    linux: 'mprotect-touched 64 20',
  },
  faults: {
    rounds: 1,
    operations: FAULTED / PAGE,
    before: (cpu) => [request(Func.Dontneed, baseOf(cpu), FAULTED)],
    program: (cpu) => [touch(baseOf(cpu), FAULTED)],
    control: `zero-pages ${FAULTED / 1024} 1`,
    linux: 'first-touch 128',
  },
  mixed: {
    rounds: 400,
    operations: 1,
    program: mixed,
    control: 'mixed 1500',
    options: { swap: '64M' },
  },
  'mprotect-1': {
    rounds: 20_000,
    operations: 2,
    once: (cpu) => [touch(baseOf(cpu), 2 * MIB)],
    program: (cpu) => protect(baseOf(cpu) + MIB, PAGE),
    control: 'walk load 512 4160 2500000',
    linux: 'mprotect-one 5000',
  },
};

const protect = (/** @type {number} */ gpa, /** @type {number} */ len, more = {}) => [
  request(Func.MprotectR, gpa, len, more),
  request(Func.MprotectRw, gpa, len, more),
];

/** Every function, and every kind of access, in 64 pages; the next 64 in the next round, of 64 MiB. */
function mixed(/** @type {number} */ cpu) {
  const gpa = baseOf(cpu);
  const pages = (/** @type {number} */ n) => n * PAGE;
  const next = { advance: pages(64), span: BACKED };
  const page = (/** @type {number} */ n) => gpa + pages(n);
  /** @type {Step[]} */
  const steps = [
    touch(page(0), pages(64)),
    request(Func.Info, gpa, 0),
    request(Func.Dontneed, page(0), pages(16)),
    { kind: Step.TouchRead, gpa: page(0), len: pages(16) },
    request(Func.Free, page(16), pages(8)),
    { kind: Step.Store, gpa: page(18), size: 8, arg: 7 },
    request(Func.Pageout, page(24), pages(4)),
    touch(page(24), pages(4)),
    ...protect(page(0), pages(64)),
    request(Func.MprotectNone, page(32), PAGE),
    request(Func.MprotectW, page(32), PAGE),
    request(Func.MprotectRw, page(32), PAGE),
    request(Func.Mlock, page(40), pages(4)),
    request(Func.Munlock, page(40), pages(4)),
    request(Func.Mergeable, page(0), pages(64)),
    request(Func.Unmergeable, page(0), pages(64)),
    request(Func.Dontdump, page(0), pages(64)),
    request(Func.SetVmaAnonName, page(48), pages(8), { arg: 1 }),
    request(Func.SetVmaAnonName, page(48), pages(8)),
    { kind: Step.Load, gpa: page(50), size: 8 },
    { kind: Step.Fill, gpa: page(52), len: pages(2), arg: 0x5a },
    { kind: Step.Verify, gpa: page(52), len: pages(2), arg: 0x5a },
    { kind: Step.Fetch, gpa: page(52) },
    request(Func.Dontneed, page(0), pages(64)),
  ];
  return steps.map((step) => ({ ...step, ...next }));
}
