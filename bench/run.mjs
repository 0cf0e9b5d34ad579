// npm run bench: measures every row of bench/rows.mjs against its control in this run and judges it.
//   node bench/run.mjs [--json] [--only ID]… [--memory plain|threads] [--quick] [--markdown]
// --json: one document on stdout, docs/performance.md says what is in it. --only: rows by name, several times.
// --memory: one build instead of both. --quick: fewer rounds. --markdown: also writes table and picture of
// docs/performance.md. Exit 0; 1 when a row is short of its floor, 2 for arguments it does not understand, 3 when it
// could not measure. Needs `npm run build` first.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { pairOf, pinned, quietCpus } from './cpus.mjs';
import { writeMarkdown } from './markdown.mjs';
import { compileNative } from './native.mjs';
import { makeReport } from './report.mjs';
import { ROWS } from './rows.mjs';
import { describe, table } from './table.mjs';

const PART = fileURLToPath(new URL('part.mjs', import.meta.url));
const BUILDS = /** @type {const} */ (['plain', 'threads']);

function options() {
  try {
    const { values } = parseArgs({
      options: {
        json: { type: 'boolean', default: false },
        quick: { type: 'boolean', default: false },
        markdown: { type: 'boolean', default: false },
        memory: { type: 'string' },
        only: { type: 'string', multiple: true, default: [] },
      },
    });
    const ids = ROWS.map((row) => row.id);
    for (const id of values.only)
      if (!ids.includes(id)) throw new Error(`--only ${id}: rows are ${ids.join(' ')}`);
    const builds = BUILDS.filter((build) => values.memory === undefined || values.memory === build);
    if (builds.length === 0) throw new Error(`--memory ${values.memory}: plain or threads`);
    return { ...values, builds };
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exit(2);
  }
}

/** Rows of one part, measured in a process on its CPUs. @param {import('./part.mjs').Part} part */
async function measure(part) {
  if (part.ids.length === 0) return [];
  // execArgv: `node --cpu-prof bench/run.mjs` looks into the parts as well.
  const [command, ...args] = pinned(part.cpus, [
    process.execPath,
    ...process.execArgv,
    PART,
    JSON.stringify(part),
  ]);
  const child = spawn(/** @type {string} */ (command), args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const chunks = [];
  const ended = once(child, 'close');
  for await (const chunk of child.stdout) chunks.push(chunk);
  const [code] = await ended;
  if (code !== 0) throw new Error(`the ${part.build} part of the run ended with ${code}`);
  return /** @type {import('./judge.mjs').Row[]} */ (JSON.parse(Buffer.concat(chunks).toString()));
}

const { json, quick, markdown, only, builds } = options();
const started = new Date();
const quiet = quietCpus();
const native = compileNative();
const cpus = { one: quiet.slice(0, 1), pair: pairOf(quiet) };
const ids = (/** @type {readonly import('./rows.mjs').Where[]} */ where) =>
  ROWS.filter((row) => where.includes(row.where) && (only.length === 0 || only.includes(row.id))).map(
    (row) => row.id,
  );
try {
  const rows = [];
  for (const build of builds) {
    const where = /** @type {import('./rows.mjs').Where[]} */ (
      build === builds[0] ? ['each', 'once'] : ['each']
    );
    rows.push(...(await measure({ build, cpus: cpus.one, ids: ids(where), quick, native })));
  }
  if (builds.includes('threads'))
    rows.push(
      ...(await measure({ build: 'threads', cpus: cpus.pair, ids: ids(['workers']), quick, native })),
    );
  const report = makeReport({ started, quick, cpus, native, rows });
  console.log(
    json ? JSON.stringify(report, undefined, 2) : `${describe(report).join('\n')}\n\n${table(rows)}`,
  );
  if (markdown) await writeMarkdown(report);
  process.exitCode = report.verdicts.short > 0 ? 1 : 0;
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 3;
} finally {
  if (native.available) rmSync(dirname(native.program), { recursive: true });
}
