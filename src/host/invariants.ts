// What a broken invariant is in words. Numbers: Broken of assembly/observe/check-owner.ts.

import { hex } from '../address.ts';
import type { Core } from '../core/core.ts';
import { SCRATCH, SCRATCH_SIZE } from '../core/layout.ts';

const SENTENCES = [
  'nothing',
  'a page is owned twice',
  'a page is owned by nobody',
  'a page number is outside its pool',
  'a count differs from a recount',
  'the state bits of a page contradict each other',
  'VMAs are out of order or empty',
  'a SLAT entry points to a page that is not behind it',
  'a SLAT entry allows more than the page',
  'a page is there without a VMA',
  'the pool is too large to be checked',
  'a VM is charged for other pages than it has',
  'a page in use counts as one that never was',
  'memslots are out of order, overlap, or are found in the wrong place',
];

export function sentence(broken: number, core: Core): string {
  const where = BigInt.asUintN(64, core.readU64(SCRATCH + SCRATCH_SIZE - 8));
  return `${SENTENCES[broken] ?? `invariant ${broken}`} (at ${hex(where)})`;
}
