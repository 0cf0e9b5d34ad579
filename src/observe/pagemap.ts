// /proc/PID/pagemap of the VMM's mappings of guest RAM: entries as they are, and runs of equal ones. Reference: linux 6.18
// Documentation/admin-guide/mm/pagemap.rst, fs/proc/task_mmu.c (pagemap_read).
import { PM_SWAP_TYPE_BITS, Pm } from '../../assembly/abi/page-flags.ts';
import { type Hva, PAGE_SIZE } from '../address.ts';
import { SCRATCH, SCRATCH_SIZE } from '../core/layout.ts';
import { SlatboxError } from '../errors.ts';
import type { Vm } from '../vm.ts';
import type { PagemapRun } from './proc-types.ts';

/** Entries that the engine hands over at a time. */
const WINDOW = SCRATCH_SIZE / 8;
const LIMIT = 2 ** 24;

export function readPagemap(vm: Vm, from: Hva, to: Hva): BigUint64Array {
  const pages = pagesOf(from, to);
  if (pages > LIMIT) {
    const hint = 'at most 2^24 pages at a time; pagemapRuns has no limit';
    throw new SlatboxError('SLB-022', `a pagemap of ${pages} pages`, hint);
  }
  const { core } = vm.host;
  const out = new BigUint64Array(pages);
  for (let done = 0; done < pages; done += WINDOW) {
    const n = Math.min(WINDOW, pages - done);
    core.x.pagemap(vm.ptr, (from >> 12n) + BigInt(done), n);
    out.set(core.u64.subarray(SCRATCH / 8, SCRATCH / 8 + n), done);
  }
  return out;
}

function pagesOf(from: Hva, to: Hva): number {
  const whole = from % BigInt(PAGE_SIZE) === 0n && to % BigInt(PAGE_SIZE) === 0n;
  if (whole && from <= to) return Number((to - from) / BigInt(PAGE_SIZE));
  const range = `${from.toString(16)}-${to.toString(16)}`;
  throw new SlatboxError(
    'SLB-022',
    `a pagemap of ${range}`,
    'from and to are multiples of 4096, from is not above to',
  );
}

/** A piece of pagemap as pairs of u32, low half first; `skipped` pages without anything lie in front of it. */
interface Piece {
  readonly skipped: number;
  readonly halves: Uint32Array;
}

/** All that may not be 0, in ascending pieces. Cost follows what is there. The last piece may be empty. */
export function* pieces(vm: Vm, from: Hva, to: Hva): Generator<Piece> {
  const { core } = vm.host;
  const end = to >> 12n;
  for (let at = from >> 12n; at < end; ) {
    const next = BigInt.asUintN(64, core.x.pagemapNext(vm.ptr, at, end));
    // To the end of its 2 MiB: what lies behind may not be there.
    const border = ((next >> 9n) + 1n) << 9n;
    const n = Number((border < end ? border : end) - next);
    core.x.pagemap(vm.ptr, next, n);
    yield { skipped: Number(next - at), halves: core.u32.slice(SCRATCH / 4, SCRATCH / 4 + 2 * n) };
    at = next + BigInt(n);
  }
}

/** A run that is still growing. */
interface Open {
  readonly start: Hva;
  pages: number;
  /** Halves of the first entry. */
  readonly high: number;
  readonly low: number;
  /** By how much `low` grows from page to page: the second page decides, but nothing is followed by nothing. */
  step: number | undefined;
}

export function* readRuns(vm: Vm, from: Hva, to: Hva): Generator<PagemapRun> {
  pagesOf(from, to);
  let run = open(from, 0, 0, 0);
  for (const { skipped, halves } of pieces(vm, from, to)) {
    if (skipped > 0 && !continues(run, 0, 0)) {
      yield closed(run);
      run = open(endOf(run), 0, 0, 0);
    }
    run.pages += skipped;
    for (let i = 0; i < halves.length; i += 2) {
      const low = halves[i] as number;
      const high = halves[i + 1] as number;
      if (!continues(run, high, low)) {
        if (run.pages > 0) yield closed(run);
        run = open(endOf(run), 0, high, low);
      }
      run.pages++;
    }
  }
  if (run.pages > 0) yield closed(run);
}

const open = (start: Hva, pages: number, high: number, low: number): Open => ({
  start,
  pages,
  high,
  low,
  step: high === 0 ? 0 : undefined,
});
const endOf = ({ start, pages }: Open): Hva => (start + BigInt(pages * PAGE_SIZE)) as Hva;

/** Whether a page with this entry goes on with the run. */
function continues(run: Open, high: number, low: number): boolean {
  if (high !== run.high) return false;
  if (run.step === undefined && run.pages > 0) {
    const step = low - run.low;
    if (step === 0 || step === (has(high, Pm.Swap) ? 2 ** PM_SWAP_TYPE_BITS : 1)) run.step = step;
  }
  return low === run.low + (run.step ?? 0) * run.pages && (run.step !== undefined || run.pages === 0);
}

const has = (high: number, pm: Pm): boolean => ((high >>> (pm - 32)) & 1) === 1;

function closed({ start, pages, high, low, step }: Open): PagemapRun {
  const entry = (BigInt(high) << 32n) | BigInt(low);
  const [present, swapped] = [has(high, Pm.Present), has(high, Pm.Swap)];
  return {
    start,
    pages,
    entry,
    present,
    swapped,
    file: has(high, Pm.File),
    exclusive: has(high, Pm.MmapExclusive),
    // Numbers of frames are below 2^32: the lower half has all of them.
    pfn: present ? low : undefined,
    swapOffset: swapped ? low >>> PM_SWAP_TYPE_BITS : undefined,
    step: step === undefined || step === 0 ? 0 : 1,
  };
}
