// One CPU for the whole run. Left to the scheduler the engine and its native control sit on different CPUs, and where
// one of them is shared with somebody else's work only one side of a ratio gets slower. So the run is started again
// under taskset on the CPU that is quieter just now; without taskset it goes on as it is.
import { spawnSync } from 'node:child_process';
import { cpus } from 'node:os';

const PINNED = 'SLATBOX_BENCH_CPU';
/** A few hundred milliseconds of plain work; prints its time. */
const SPIN =
  'let s=0;const t=process.hrtime.bigint();for(let i=0;i<3e8;i++)s=(s+i*7)|0;console.log(Number(process.hrtime.bigint()-t)+(s&0))';

/** @returns {string | undefined} the CPU this run is pinned to */
export const pinnedCpu = () => process.env[PINNED];

/** Starts the run again on the quietest CPU and ends with its exit code; returns where that cannot be had. */
export function pin() {
  if (process.platform !== 'linux' || pinnedCpu() !== undefined) return;
  let best = { cpu: '', ns: Number.POSITIVE_INFINITY };
  for (let cpu = 0; cpu < Math.min(cpus().length, 8); cpu++) {
    const { stdout, status } = spawnSync('taskset', ['-c', String(cpu), process.execPath, '-e', SPIN], {
      encoding: 'utf8',
    });
    const ns = Number(stdout);
    if (status === 0 && ns < best.ns) best = { cpu: String(cpu), ns };
  }
  if (best.cpu === '') return;
  const { status } = spawnSync('taskset', ['-c', best.cpu, process.execPath, ...process.argv.slice(1)], {
    stdio: 'inherit',
    env: { ...process.env, [PINNED]: best.cpu },
  });
  process.exit(status ?? 1);
}
