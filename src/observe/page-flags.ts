// /proc/kpageflags and /proc/kpagecount of a host. Reference: linux 6.18 fs/proc/page.c.
import type { Core } from '../core/core.ts';
import { SCRATCH, SCRATCH_SIZE } from '../core/layout.ts';
import { SlatboxError } from '../errors.ts';

/** Entries that the engine hands over at a time. */
const WINDOW = SCRATCH_SIZE / 8;
const LIMIT = 2 ** 24;

function read(core: Core, what: 'pageFlags' | 'pageCounts', pfn: number, count: number): BigUint64Array {
  const isCount = (n: number): boolean => Number.isInteger(n) && n >= 0 && n <= LIMIT;
  if (!isCount(pfn) || !isCount(count)) {
    throw new SlatboxError(
      'SLB-022',
      `${count} frames from ${pfn} on`,
      'frame numbers and counts are whole, up to 2^24',
    );
  }
  const out = new BigUint64Array(count);
  for (let done = 0; done < count; done += WINDOW) {
    const n = Math.min(WINDOW, count - done);
    core.x[what](pfn + done, n);
    out.set(core.u64.subarray(SCRATCH / 8, SCRATCH / 8 + n), done);
  }
  return out;
}

/** One entry a frame from `pfn` on. Each look goes through all that the host's VMs have in memory. */
export const readPageFlags = (core: Core, pfn: number, count: number): BigUint64Array =>
  read(core, 'pageFlags', pfn, count);

export const readPageCounts = (core: Core, pfn: number, count: number): BigUint64Array =>
  read(core, 'pageCounts', pfn, count);
