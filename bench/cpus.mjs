// On which CPUs a run happens. Left to the scheduler the engine and its native control sit on different CPUs, and
// where one of them is shared with somebody else's work only one side of a ratio gets slower. So each part of the run
// is started under taskset: on the CPU that is quietest just now, or on the two quietest that are not halves of one
// core. Without taskset everything goes where the system puts it.
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync, readlinkSync } from 'node:fs';
import { cpus } from 'node:os';

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
