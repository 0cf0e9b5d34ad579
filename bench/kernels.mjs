// Compiles bench/engine/loops.ts (AssemblyScript, over the core's own sources) and instantiates it.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { main } from 'assemblyscript/asc';

const FOLDER = fileURLToPath(new URL('engine', import.meta.url));

/** What the targets of the core's asconfig.json differ in. 4100 pages of 64 KiB: zero() wants up to 256 MiB. */
const OPTIONS = {
  plain: [],
  threads: ['--enable', 'threads', '--sharedMemory', '--maximumMemory', '4100'],
};

/**
 * @typedef {{ prepare(span: number, pattern: boolean): void, mix(span: number, pages: number, n: number): void,
 *   count(span: number, pages: number, n: number): number,
 *   nothing(a: number, b: number, c: number, d: number): void, zero(pages: number): void }} Kernels
 * @param {import('./context.mjs').Build} build @returns {Promise<Kernels>}
 */
export async function loadKernels(build) {
  const out = mkdtempSync(join(tmpdir(), 'slatbox-bench-'));
  try {
    const file = join(out, 'loops.wasm');
    // --config: asc would otherwise take the project's asconfig.json, and with it the entries of the core.
    const { error, stderr } = await main([
      'loops.ts',
      '--baseDir',
      FOLDER,
      '--config',
      'asconfig.json',
      ...OPTIONS[build],
      '--outFile',
      file,
    ]);
    if (error) throw new Error(`asc: ${error.message}\n${stderr}`);
    const { instance } = await WebAssembly.instantiate(readFileSync(file), {
      env: {
        abort() {
          throw new Error('abort in bench/engine/loops.ts');
        },
      },
    });
    return /** @type {Kernels} */ (/** @type {unknown} */ (instance.exports));
  } finally {
    rmSync(out, { recursive: true });
  }
}
