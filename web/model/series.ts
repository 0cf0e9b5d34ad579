// Counters over time: the results of the steps say what each one changed, the sums are the lanes.
import type { StepResult } from '../../src/scenario/index.ts';
import type { Counters } from '../../src/types.ts';

export interface Lane {
  readonly key: string;
  readonly name: string;
  readonly unit: 'bytes' | 'count';
}

/** What the plots show; the table has all counters. */
export const LANES: readonly Lane[] = [
  { key: 'host.rss', name: 'RSS', unit: 'bytes' },
  { key: 'host.swap', name: 'Swap', unit: 'bytes' },
  { key: 'metadata.bytes', name: 'Metadata', unit: 'bytes' },
  { key: 'faults.minor', name: 'Faults', unit: 'count' },
  { key: 'slat.violations', name: 'Violations', unit: 'count' },
  { key: 'slat.zapped', name: 'Zapped', unit: 'count' },
  { key: 'hostcalls.total', name: 'Host calls', unit: 'count' },
  { key: 'exits.mmio', name: 'MMIO exits', unit: 'count' },
];

/**
 * One value per step from 0 (as built) on. `now` are the counters after `step` steps; the values at the other steps
 * follow from what each step changed.
 */
export function series(key: string, results: readonly StepResult[], now: Counters, step: number): number[] {
  const changes = results.map((r) => r.changed[key] ?? 0);
  const before = changes.slice(0, step).reduce((sum, by) => sum + by, 0);
  const values = [(now[key] ?? 0) - before];
  for (const by of changes) values.push((values.at(-1) as number) + by);
  return values;
}
