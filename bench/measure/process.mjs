// Rows about whole processes and files: startup-cold, memory-guest, wasm-size.
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { interleave, median } from '../harness.mjs';
import { MIB } from '../machine.mjs';

const COLD = fileURLToPath(new URL('cold.mjs', import.meta.url));
const WASM = new URL('../../dist/build/', import.meta.url);
const SIZES = /** @type {const} */ (['1T', '64G', '1G']);
const NAMES = { '1T': '1 TiB', '64G': '64 GiB', '1G': '1 GiB' };

/**
 * A process of its own: milliseconds from its start until its first line, and its last line.
 * @param {readonly string[]} args of node @returns {Promise<{ ms: number, last: string }>}
 */
async function start(args) {
  const begun = process.hrtime.bigint();
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let ms = 0;
  let last = '';
  for await (const line of createInterface({ input: child.stdout })) {
    if (last === '') ms = Number(process.hrtime.bigint() - begun) / 1e6;
    last = line;
  }
  if (last === '') throw new Error(`node ${args.join(' ')} said nothing`);
  return { ms, last };
}

/** @param {import('../context.mjs').Context} context */
export async function startupCold({ build }) {
  const guests = SIZES.map((size) => [size, async () => (await start([COLD, build, size])).ms]);
  const sides = /** @type {Record<string, () => Promise<number>>} */ (Object.fromEntries(guests));
  const result = await interleave(5, {
    ...sides,
    nothing: async () => (await start(['-e', 'console.log("started")'])).ms,
  });
  return {
    parts: SIZES.map((size) => ({ what: NAMES[size], value: result[size], control: result.nothing })),
  };
}

/** @param {import('../context.mjs').Context} context */
export async function memoryGuest({ build }) {
  const parts = [];
  for (const size of SIZES) {
    const samples = [];
    for (let i = 0; i < 3; i++) samples.push(JSON.parse((await start([COLD, build, size])).last));
    const of = (/** @type {(sample: any) => number} */ field) => median(samples.map(field)) / MIB;
    const name = NAMES[size];
    parts.push(
      { what: `${name}: resident, library and core included`, value: of((s) => s.untouched.resident) },
      { what: `${name}: metadata`, value: of((s) => s.untouched.metadata) },
      { what: `${name}: resident with 64 MiB touched`, value: of((s) => s.touched.resident) },
      { what: `${name}: metadata with 64 MiB touched`, value: of((s) => s.touched.metadata) },
      { what: `${name}: linear memory reserved`, value: of((s) => s.reserved) },
    );
  }
  return { parts };
}

export async function wasmSize() {
  const files = ['release.wasm', 'release-threads.wasm'].map((name) => ({
    name,
    bytes: readFileSync(new URL(name, WASM)),
  }));
  return {
    parts: files.map(({ name, bytes }) => ({ what: name, value: bytes.length })),
    figures: files.map(({ name, bytes }) => ({
      what: `${name}, gzip`,
      value: gzipSync(bytes, { level: 9 }).length,
      unit: 'bytes',
    })),
  };
}
