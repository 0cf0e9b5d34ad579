// npm run bench: measures every row of bench/rows.mjs against its control in this run and judges it.
//   node bench/run.mjs [--json] [--only ID]… [--quick] [--markdown]
// --json: an array of rows on stdout. --quick: fewer rounds. --markdown: also writes the table into
// docs/performance.md. Exit 1 when a row is short of its floor, 2 for arguments it does not understand.
// Needs `npm run build` first.
import { parseArgs } from 'node:util';
import { judge } from './judge.mjs';
import { writeMarkdown } from './markdown.mjs';
import { hitJs, hitLoop } from './measure/access.mjs';
import { dontneedGib, firstTouch, mprotectGib } from './measure/memory.mjs';
import { rangeLarge, rangeSmall, rangeSmallJs } from './measure/range.mjs';
import { dontneedOne, guestSize, info } from './measure/request.mjs';
import { metadata, raster, startup, wasmSize, workers } from './measure/scale.mjs';
import { startNative } from './native.mjs';
import { pin } from './pin.mjs';
import { ROWS } from './rows.mjs';
import { describeMachine, table } from './table.mjs';

/** @type {Readonly<Record<string, (context: import('./context.mjs').Context) => Promise<import('./judge.mjs').Measured>>>} */
const MEASURE = {
  info,
  'dontneed-1': dontneedOne,
  'dontneed-1g': dontneedGib,
  'mprotect-1g': mprotectGib,
  'first-touch': firstTouch,
  'hit-loop': hitLoop,
  'hit-js': hitJs,
  'range-large': rangeLarge,
  'range-small': rangeSmall,
  'range-small-js': rangeSmallJs,
  'guest-size': guestSize,
  'startup-1t': startup,
  'metadata-1t': metadata,
  workers,
  raster,
  'wasm-size': wasmSize,
};

function options() {
  try {
    const { values } = parseArgs({
      options: {
        json: { type: 'boolean', default: false },
        quick: { type: 'boolean', default: false },
        markdown: { type: 'boolean', default: false },
        only: { type: 'string', multiple: true, default: [] },
      },
    });
    for (const id of values.only)
      if (!MEASURE[id]) throw new Error(`--only ${id}: rows are ${Object.keys(MEASURE).join(' ')}`);
    return values;
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exit(2);
  }
}

/** One line that replaces itself, for who sits in front of it. */
const progress = (/** @type {string} */ text) => {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
};

const { json, quick, markdown, only } = options();
pin();
const native = await startNative();
const machine = describeMachine(native);
if (!json) console.log(`${machine.join('\n')}\n`);

const context = { native, rounds: quick ? 5 : 15, fewRounds: quick ? 3 : 9 };
const rows = [];
for (const spec of ROWS) {
  if (only.length > 0 && !only.includes(spec.id)) continue;
  progress(`${spec.id} …`);
  rows.push(judge(spec, await MEASURE[spec.id](context)));
}
progress('');
native.stop();

console.log(json ? JSON.stringify(rows, undefined, 2) : table(rows));
if (markdown) await writeMarkdown(machine, rows);
process.exitCode = rows.some((row) => row.verdict === 'short') ? 1 : 0;
