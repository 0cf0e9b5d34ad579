// The native controls: bench/native/*.c, compiled on the spot once a run. Each part of the run (bench/part.mjs) keeps
// the program running beside itself, one line of stdin a round.
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const FOLDER = fileURLToPath(new URL('native', import.meta.url));
const FLAGS = ['-O3', '-march=native', '-pthread'];

/**
 * @typedef {{ available: true, compiler: string, command: string, program: string }} Compiled
 * @typedef {{ available: false, reason: string }} NoControls
 * waited, probe, each: of a crew; else 0.
 * @typedef {{ available: true, run(line: string): Promise<import('./cpus.mjs').Timed & { check: bigint }>, stop(): void }} NativeControls
 */

/** Who calls it removes `dirname(program)` at the end. @returns {Compiled | NoControls} */
export function compileNative() {
  if (process.platform !== 'linux')
    return { available: false, reason: 'the native controls are Linux system calls' };
  const compiler = [process.env.CC, 'cc', 'gcc', 'clang'].find((name) => name && version(name));
  if (!compiler) return { available: false, reason: 'no C compiler (CC, cc, gcc, clang)' };
  const directory = mkdtempSync(join(tmpdir(), 'slatbox-bench-'));
  const program = join(directory, 'native');
  try {
    const sources = readdirSync(FOLDER).filter((name) => name.endsWith('.c'));
    const files = sources.map((name) => join(FOLDER, name));
    execFileSync(compiler, [...FLAGS, '-o', program, ...files], { stdio: ['ignore', 'ignore', 'pipe'] });
  } catch (error) {
    rmSync(directory, { recursive: true });
    return { available: false, reason: `${compiler} could not compile bench/native: ${error}` };
  }
  return {
    available: true,
    compiler: /** @type {string} */ (version(compiler)),
    command: `${compiler} ${FLAGS.join(' ')}`,
    program,
  };
}

/**
 * Starts the compiled program; its crew, if one is asked for, runs on these CPUs.
 * @param {Compiled | NoControls} compiled @param {readonly number[]} cpus
 * @returns {NativeControls | NoControls & { stop(): void }}
 */
export function startNative(compiled, cpus) {
  if (!compiled.available) return { ...compiled, stop() {} };
  const child = spawn(compiled.program, cpus.map(String), { stdio: ['pipe', 'pipe', 'inherit'] });
  const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    available: true,
    async run(line) {
      child.stdin.write(`${line}\n`);
      const answer = await answers.next();
      if (answer.done) throw new Error(`native control ended at "${line}"`);
      const [ns, check, ...rest] = answer.value.split(' ');
      const [waited, probe, ...each] = rest.map(Number);
      return { ns: Number(ns), check: BigInt(check), waited, probe, each };
    },
    stop() {
      child.stdin.end();
    },
  };
}

/**
 * Why a round on huge pages measured something else: Linux gives them when it has them and is allowed to. `kib`: of
 * AnonHugePages in smaps, of `bytes` that were to be in them. Undefined when all were.
 */
export const withoutHugePages = (/** @type {number} */ kib, /** @type {number} */ bytes) =>
  kib * 1024 >= bytes
    ? undefined
    : `Linux had ${kib} of ${bytes / 1024} KiB in huge pages (smaps, AnonHugePages); transparent_hugepage/enabled?`;

/** First line of `NAME --version`, or nothing when there is no such program. */
function version(/** @type {string} */ name) {
  try {
    return execFileSync(name, ['--version'], { stdio: ['ignore', 'pipe', 'ignore'] })
      .toString()
      .split('\n')[0];
  } catch {
    return undefined;
  }
}
