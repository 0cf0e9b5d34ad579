// One part of a run, in a process of its own: the rows of one build. So no part meets code that the compiler has
// specialised for another one, and each stays on the CPUs it was started on (bench/cpus.mjs).
//   node bench/part.mjs JSON     with what `Part` says; prints the rows as JSON.
import { judge } from './judge.mjs';
import { hitJs, hitLoop } from './measure/access.mjs';
import { dontneedGibHuge, firstTouchHuge } from './measure/huge.mjs';
import { ksmScan } from './measure/ksm.mjs';
import {
  convert,
  convertGib,
  convertHuge,
  convertPage,
  dirtyLog,
  memslot,
  privateTouch,
} from './measure/kvm.mjs';
import { dontneedGib, firstTouch, mprotectGib } from './measure/memory.mjs';
import { reclaim, swapIn, swapOut } from './measure/pressure.mjs';
import { memoryGuest, startupCold, wasmSize } from './measure/process.mjs';
import { rangeLarge, rangeSmall, rangeSmallJs } from './measure/range.mjs';
import { dontneedOne, info } from './measure/request.mjs';
import { metadata, raster, startup } from './measure/scale.mjs';
import { guestSize } from './measure/size.mjs';
import { dontneedSteps, infoSteps, touchSteps } from './measure/steps.mjs';
import { workers } from './measure/workers.mjs';
import { startNative } from './native.mjs';
import { ROWS } from './rows.mjs';

/**
 * @typedef {{ build: import('./context.mjs').Build, cpus: number[], ids: string[], quick: boolean,
 *   native: import('./native.mjs').Compiled | import('./native.mjs').NoControls }} Part
 * @typedef {(context: import('./context.mjs').Context) => Promise<import('./judge.mjs').Measured>} Measure
 */

/** @type {Readonly<Record<string, Measure>>} */
const MEASURE = {
  info,
  'dontneed-1': dontneedOne,
  'dontneed-1g': dontneedGib,
  'dontneed-1g-2m': dontneedGibHuge,
  'mprotect-1g': mprotectGib,
  'first-touch': firstTouch,
  'first-touch-2m': firstTouchHuge,
  'swap-out': swapOut,
  'swap-in': swapIn,
  reclaim,
  'ksm-scan': ksmScan,
  'private-touch': privateTouch,
  convert,
  'convert-4k': convertPage,
  'convert-2m': convertHuge,
  'convert-1g': convertGib,
  'dirty-log-1t': dirtyLog,
  memslot,
  'hit-loop': hitLoop,
  'hit-js': hitJs,
  'range-large': rangeLarge,
  'range-small': rangeSmall,
  'range-small-js': rangeSmallJs,
  'guest-size': guestSize,
  'startup-1t': startup,
  'metadata-1t': metadata,
  raster,
  ...workers,
  'info-steps': infoSteps,
  'dontneed-steps': dontneedSteps,
  'touch-steps': touchSteps,
  'startup-cold': startupCold,
  'memory-guest': memoryGuest,
  'wasm-size': wasmSize,
};

/** One line that replaces itself, for who sits in front of it. */
const progress = (/** @type {string} */ text) => {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
};

/** @type {Part} */
const { build, cpus, ids, quick, native: compiled } = JSON.parse(process.argv[2] ?? '');
const native = startNative(compiled, cpus);
const context = { build, cpus, native, rounds: quick ? 5 : 15, fewRounds: quick ? 3 : 9 };
const rows = [];
for (const spec of ROWS) {
  if (!ids.includes(spec.id)) continue;
  progress(`${spec.id}, ${build} …`);
  rows.push(judge(spec, spec.where === 'once' ? null : build, await MEASURE[spec.id](context)));
}
progress('');
native.stop();
console.log(JSON.stringify(rows));
