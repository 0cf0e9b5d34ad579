// The program that bench/profile.mjs looks at: one kind of work for some seconds.
//   node bench/profiled.mjs WORK BUILD SECONDS
import { COMMAND_GPA, FIRST, Func, GIB, Machine, MIB, PAGE, RING } from './machine.mjs';

const [, , work = '', build = '', seconds = ''] = process.argv;
const AREA = 256 * MIB;
const machine = await Machine.open(/** @type {import('./context.mjs').Build} */ (build), {
  memory: '1G',
  swap: AREA,
});
const { u32, x } = machine.core;
const { buffer, run } = machine;
const { ptr } = machine.vm;

function request(/** @type {number} */ code, /** @type {number} */ gpa, /** @type {number} */ len) {
  u32[buffer] = code;
  u32[buffer + 1] = 0;
  u32[buffer + 2] = gpa;
  u32[buffer + 3] = 0;
  u32[buffer + 4] = len;
  u32[buffer + 5] = 0;
  u32[buffer + 6] = 0;
  u32[buffer + 7] = 0;
  x.mmioWrite32(ptr, COMMAND_GPA, 0, RING);
}

/** @type {Record<string, () => void>} */
const WORK = {
  info: () => request(Func.Info, 0, 0),
  'dontneed-1': () => request(Func.Dontneed, GIB / 2, PAGE),
  'mprotect-1': () => {
    request(Func.MprotectR, GIB / 2, PAGE);
    request(Func.MprotectRw, GIB / 2, PAGE);
  },
  'first-touch': () => {
    machine.request(Func.Dontneed, FIRST, AREA);
    machine.touch(FIRST, AREA);
  },
  swap: () => {
    machine.touch(FIRST, AREA);
    machine.request(Func.Pageout, FIRST, AREA);
  },
  'ksm-scan': () => x.ksmScan(),
  'hit-js': () => x.vcpuLoadAt(run, FIRST, 8, 0),
};
/** So many between two looks at the clock. */
const BATCH = ['first-touch', 'swap', 'ksm-scan'].includes(work) ? 1 : 10_000;

const one = WORK[work];
if (!one) throw new Error(`work is one of ${Object.keys(WORK).join(' ')}`);
if (work === 'ksm-scan') {
  // Pages of which no two are equal: what a scan costs when nothing changes any more.
  machine.request(Func.Mergeable, FIRST, AREA);
  for (let gpa = FIRST; gpa < FIRST + AREA; gpa += PAGE) machine.vm.guest.store(gpa, 4, gpa);
}
if (work === 'hit-js') machine.touch(FIRST, PAGE);
for (const end = Date.now() + Number(seconds) * 1000; Date.now() < end; )
  for (let i = 0; i < BATCH; i++) one();
