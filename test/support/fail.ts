// Allocations made to fail: the words that the debug core looks at (assembly/frames/fail.ts), written from outside.
import { Fail } from '../../assembly/abi/fail.ts';
import type { Host } from '../../src/machine.ts';
import { constants } from './assembly.ts';

const layout = constants('assembly/base/layout.ts');
const word = (name: string): number => Number(layout[name]) >>> 2;
const KINDS = word('HOST_FAIL_KINDS');
const COUNT = word('HOST_FAIL_COUNT');
const FIRST = word('HOST_FAIL_FIRST');
const TIMES = word('HOST_FAIL_TIMES');

export const ANY = Fail.Frame | Fail.Group | Fail.Metadata | Fail.Slot;
export const FOREVER = 2 ** 31;

/** What `run` returns, while the allocations `first` (from 1 on) to `first + times - 1` of these kinds fail, and how many it tried. */
export function failing<T>(
  host: Host,
  { kinds = ANY, first = 0, times = 0 }: { kinds?: number; first?: number; times?: number },
  run: () => T,
): { readonly result: T; readonly tried: number } {
  const { u32 } = host.core;
  arm(host, kinds, first, times);
  try {
    return { result: run(), tried: u32[COUNT] as number };
  } finally {
    u32[KINDS] = 0;
  }
}

/** The same for a run of vCPU threads, in which only what the main thread allocates fails: the code of its error, or `ok`. */
export async function failingRun(
  host: Host,
  first: number,
  run: () => Promise<unknown>,
): Promise<{ readonly ended: string; readonly tried: number }> {
  const { u32 } = host.core;
  arm(host, ANY, first, 1);
  const ended = await run().then(
    () => 'ok',
    (error: { code: string }) => error.code,
  );
  u32[KINDS] = 0;
  return { ended, tried: u32[COUNT] as number };
}

function arm({ core: { u32 } }: Host, kinds: number, first: number, times: number): void {
  u32[COUNT] = 0;
  u32[FIRST] = first;
  u32[TIMES] = times;
  u32[KINDS] = kinds;
}
