// On which CPUs a run happens. Left to the scheduler the engine and its native control sit on different CPUs, and
// where one of them is shared with somebody else's work only one side of a ratio gets slower. So each part of the run
// is started under taskset: on the CPU that is quietest just now, or on the two quietest that are not halves of one
// core. Without taskset everything goes where the system puts it.
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync, readlinkSync } from 'node:fs';
import { cpus } from 'node:os';

/**
 * A measurement of threads: nanoseconds, and whether their CPUs were theirs. waited: the largest part of its time that a
 * thread waited for its CPU. probe: of `probe` before and after, the slowest.
 * each: nanoseconds of each thread, by its number in the crew.
 * @typedef {{ ns: number, waited: number, probe: number, each: readonly number[] }} Timed
 */

/** A few hundred milliseconds of plain work; prints its time. */
const SPIN =
  'let s=0;const t=process.hrtime.bigint();for(let i=0;i<3e8;i++)s=(s+i*7)|0;console.log(Number(process.hrtime.bigint()-t)+(s&0))';
/** More are not tried. */
const TRIED = 8;

/** CPUs by quietness, the quietest first; empty where a process cannot be put on one. @returns {number[]} */
export function quietCpus() {
  if (process.platform !== 'linux') return [];
  const times = [];
  for (let cpu = 0; cpu < Math.min(cpus().length, TRIED); cpu++) {
    const { stdout, status } = spawnSync('taskset', ['-c', String(cpu), process.execPath, '-e', SPIN], {
      encoding: 'utf8',
    });
    if (status === 0) times.push({ cpu, ns: Number(stdout) });
  }
  return times.sort((a, b) => a.ns - b.ns).map(({ cpu }) => cpu);
}

/** The first of them and the next one of another core: for two threads that must not share one. */
export function pairOf(/** @type {readonly number[]} */ quiet) {
  const [first, ...others] = quiet;
  if (first === undefined) return [];
  const shared = siblings(first);
  const second = others.find((cpu) => !shared.includes(cpu));
  return second === undefined ? [first] : [first, second];
}

/** CPUs of the same core, itself among them. Reference: Documentation/admin-guide/cputopology.rst. */
function siblings(/** @type {number} */ cpu) {
  try {
    const list = readFileSync(`/sys/devices/system/cpu/cpu${cpu}/topology/thread_siblings_list`, 'utf8');
    return list
      .trim()
      .split(',')
      .flatMap((range) => {
        const [from, to = from] = range.split('-').map(Number);
        return Array.from({ length: to - from + 1 }, (_, i) => from + i);
      });
  } catch {
    return [cpu];
  }
}

/** A command that starts `command` on these CPUs. @param {readonly number[]} on @param {readonly string[]} command */
export const pinned = (on, command) =>
  on.length === 0 ? [...command] : ['taskset', '-c', on.join(','), ...command];

/** Puts the calling thread, and nothing else of its process, on one CPU. */
export function pinThread(/** @type {number} */ cpu) {
  // PID/task/TID of whoever asks. Node has no name for its threads that the system would know.
  const tid = readlinkSync('/proc/thread-self').split('/')[2];
  execFileSync('taskset', ['-p', '-c', String(cpu), tid], { stdio: 'ignore' });
}

/**
 * Nanoseconds that the calling thread has waited for its CPU since it began, 0 where the system does not say.
 * Reference: Documentation/scheduler/sched-stats.rst.
 */
export function waited() {
  try {
    return Number(readFileSync('/proc/thread-self/schedstat', 'utf8').split(' ')[1]);
  } catch {
    return 0;
  }
}

const PROBE_TURNS = 40;
const PROBE_STEPS = 4000;

/**
 * Nanoseconds of a fixed piece of arithmetic (about a tenth of a millisecond) in chains that do not wait for each
 * other: what this CPU gives just now. When somebody else computes on the other half of its core, it takes up to twice
 * as long, and neither this system nor a loop that waits for memory sees anything.
 */
export function probe() {
  const begin = process.hrtime.bigint();
  let sum = 0;
  for (let turn = 0; turn < PROBE_TURNS; turn++) sum ^= chains(turn);
  const ns = Number(process.hrtime.bigint() - begin);
  return sum === 0.5 ? 0 : ns; // the sum is needed: else nothing would be computed
}

function chains(/** @type {number} */ seed) {
  let [a, b, c, d, e, f] = [seed, 2, 3, 4, 5, 6];
  for (let i = 0; i < PROBE_STEPS; i++) {
    a = (a + i) | 0;
    b = (b ^ i) | 0;
    c = (c - i) | 0;
    d = (d + 3) | 0;
    e = (e ^ 7) | 0;
    f = (f - 5) | 0;
  }
  return a ^ b ^ c ^ d ^ e ^ f;
}
