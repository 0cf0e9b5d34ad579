// The native controls: compiles bench/native/*.c on the spot and keeps the program running, one line of stdin a round.
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const FOLDER = fileURLToPath(new URL('native', import.meta.url));
const FLAGS = ['-O3', '-march=native'];

/**
 * @typedef {{ available: true, compiler: string, command: string,
 *   run(line: string): Promise<{ ns: number, check: bigint }>, stop(): void }} NativeControls
 * @typedef {{ available: false, reason: string, stop(): void }} NoControls
 */

/** @returns {Promise<NativeControls | NoControls>} */
export async function startNative() {
  if (process.platform !== 'linux')
    return { available: false, reason: 'the native controls are Linux system calls', stop() {} };
  const compiler = [process.env.CC, 'cc', 'gcc', 'clang'].find((name) => name && version(name));
  if (!compiler) return { available: false, reason: 'no C compiler (CC, cc, gcc, clang)', stop() {} };
  const directory = mkdtempSync(join(tmpdir(), 'slatbox-bench-'));
  const program = join(directory, 'native');
  try {
    const sources = readdirSync(FOLDER).filter((name) => name.endsWith('.c'));
    const files = sources.map((name) => join(FOLDER, name));
    execFileSync(compiler, [...FLAGS, '-o', program, ...files], { stdio: ['ignore', 'ignore', 'pipe'] });
  } catch (error) {
    rmSync(directory, { recursive: true });
    return { available: false, reason: `${compiler} could not compile bench/native: ${error}`, stop() {} };
  }
  const child = spawn(program, { stdio: ['pipe', 'pipe', 'inherit'] });
  const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    available: true,
    compiler: /** @type {string} */ (version(compiler)),
    command: `${compiler} ${FLAGS.join(' ')}`,
    async run(line) {
      child.stdin.write(`${line}\n`);
      const answer = await answers.next();
      if (answer.done) throw new Error(`native control ended at "${line}"`);
      const [ns, check] = answer.value.split(' ');
      return { ns: Number(ns), check: BigInt(check) };
    },
    stop() {
      child.stdin.end();
      rmSync(directory, { recursive: true });
    },
  };
}

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
