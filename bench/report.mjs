// The document of a run: what was measured, where, and of which build. bench/report.v1.schema.json is its schema.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { cpus, loadavg, release, totalmem } from 'node:os';
import { VERDICTS } from './judge.mjs';

const DIST = new URL('../dist/build/', import.meta.url);
const PACKAGE = new URL('../package.json', import.meta.url);

/**
 * @typedef {ReturnType<typeof makeReport>} Report
 * @param {{ started: Date, quick: boolean, cpus: { one: number[], pair: number[] },
 *   native: import('./native.mjs').Compiled | import('./native.mjs').NoControls,
 *   rows: readonly import('./judge.mjs').Row[] }} run
 */
export function makeReport({ started, quick, cpus: on, native, rows }) {
  return {
    format: 'slatbox-bench',
    version: 1,
    started: started.toISOString(),
    seconds: Math.round((Date.now() - started.getTime()) / 1000),
    quick,
    machine: {
      node: process.version,
      v8: process.versions.v8,
      platform: process.platform,
      release: release(),
      arch: process.arch,
      cpu: cpus()[0]?.model.trim() ?? 'unknown',
      cpus: cpus().length,
      memoryBytes: totalmem(),
      load: loadavg()[0] ?? 0,
      /** CPUs that rows ran on: one, or two for workers; empty where the system decided. */
      on,
    },
    build: {
      version: /** @type {string} */ (JSON.parse(readFileSync(PACKAGE, 'utf8')).version),
      cores: { plain: core('release.wasm'), threads: core('release-threads.wasm') },
    },
    controls: native.available
      ? { available: true, command: native.command, compiler: native.compiler }
      : { available: false, reason: native.reason },
    verdicts: count(rows),
    rows,
  };
}

function core(/** @type {string} */ file) {
  const bytes = readFileSync(new URL(file, DIST));
  return { file, bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') };
}

function count(/** @type {readonly import('./judge.mjs').Row[]} */ rows) {
  const counts = VERDICTS.map((verdict) => [verdict, rows.filter((row) => row.verdict === verdict).length]);
  return /** @type {Record<import('./judge.mjs').Verdict, number>} */ (Object.fromEntries(counts));
}
