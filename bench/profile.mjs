// Where the time goes, function by function: runs bench/profiled.mjs under V8's sampling profiler, on a release core
// that has kept its function names (same flags otherwise), and prints who had the processor.
//   node bench/profile.mjs [--memory plain|threads] [--seconds N]
// Functions that the compilers have inlined count as their callers. Needs `npm run build` first; works in build/profile.
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const PROJECT = fileURLToPath(new URL('..', import.meta.url));
const FOLDER = `${PROJECT}build/profile`;
const WORK = ['info', 'dontneed-1', 'mprotect-1', 'first-touch', 'swap', 'ksm-scan', 'hit-js'];
const TARGETS = { plain: 'release', threads: 'release-threads' };
/** Less than that of the samples is not told. */
const LEAST = 0.02;

/**
 * Self time by function: of the core by its name, of everything else together.
 * @param {string} file @returns {[string, number][]} shares of 1, the largest first
 */
function shares(file) {
  const { nodes, samples, timeDeltas } = JSON.parse(readFileSync(file, 'utf8'));
  const names = new Map(
    nodes.map((/** @type {any} */ { id, callFrame: { functionName, url } }) => [
      id,
      url.startsWith('wasm:')
        ? functionName.split('/').pop()
        : url.includes('/bench/')
          ? '(JavaScript)'
          : '(rest)',
    ]),
  );
  /** @type {Map<string, number>} */
  const time = new Map();
  let whole = 0;
  samples.forEach((/** @type {number} */ id, /** @type {number} */ i) => {
    const name = /** @type {string} */ (names.get(id));
    if (name === '(rest)') return; // starting, compiling
    time.set(name, (time.get(name) ?? 0) + timeDeltas[i]);
    whole += timeDeltas[i];
  });
  return [...time]
    .map(([name, us]) => /** @type {[string, number]} */ ([name, us / whole]))
    .sort((a, b) => b[1] - a[1]);
}

const { values } = parseArgs({
  options: { memory: { type: 'string', default: 'plain' }, seconds: { type: 'string', default: '3' } },
});
const target = TARGETS[/** @type {keyof typeof TARGETS} */ (values.memory)];
if (!target) {
  console.error(`--memory ${values.memory}: plain or threads`);
  process.exit(2);
}

rmSync(FOLDER, { recursive: true, force: true });
mkdirSync(FOLDER, { recursive: true });
cpSync(`${PROJECT}dist`, `${FOLDER}/dist`, { recursive: true });
cpSync(`${PROJECT}bench`, `${FOLDER}/bench`, { recursive: true });
const asc = ['node_modules/assemblyscript/bin/asc.js', 'assembly/index.ts', '--config', 'asconfig.json'];
const named = ['--target', target, '--debug', '--outFile', `build/profile/dist/build/${target}.wasm`];
execFileSync(process.execPath, [...asc, ...named], { cwd: PROJECT, stdio: ['ignore', 'ignore', 'inherit'] });

for (const work of WORK) {
  const out = `${FOLDER}/${work}`;
  const profiler = ['--cpu-prof', '--cpu-prof-interval', '200', '--cpu-prof-dir', out];
  const program = [`${FOLDER}/bench/profiled.mjs`, work, values.memory, values.seconds];
  execFileSync(process.execPath, [...profiler, ...program], { cwd: PROJECT });
  const told = shares(`${out}/${readdirSync(out)[0]}`).filter(([, share]) => share >= LEAST);
  console.log(`${work}: ${told.map(([name, share]) => `${name} ${Math.round(share * 100)} %`).join(', ')}`);
}
