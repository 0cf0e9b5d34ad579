// Numbers over time: one value a step, from 0 (as built) on. The results of the steps say how much memory there was after
// each, and what each one changed of a counter.
import { changeIn, type StepResult } from '../../src/scenario/index.ts';
import type { Counters } from '../../src/types.ts';

export interface Lane {
  readonly name: string;
  readonly values: readonly number[];
}

const COUNTS = [
  ['faults.minor', 'Faults'],
  ['slat.violations', 'Violations'],
  ['slat.zapped', 'Zapped'],
  ['hostcalls.total', 'Host calls'],
  ['exits.mmio', 'MMIO exits'],
] as const;

/** Counters of a VM, of which `now` are the values after `step` steps; the table has all counters. */
export function countLanes(vm: string, results: readonly StepResult[], now: Counters, step: number): Lane[] {
  return COUNTS.map(([key, name]) => ({ name, values: series(vm, key, results, now[key] ?? 0, step) }));
}

/** The value `now` is that after `step` steps; the others follow from what each step changed. */
export function series(
  vm: string,
  key: string,
  results: readonly StepResult[],
  now: number,
  step: number,
): number[] {
  const changes = results.map((r) => changeIn(r, vm, key));
  const before = changes.slice(0, step).reduce((sum, by) => sum + by, 0);
  const values = [now - before];
  for (const by of changes) values.push((values.at(-1) as number) + by);
  return values;
}

/** With more VMs than this their RSS is one lane, and that of the one looked at another. */
const VM_LANES = 4;

/** Who has the host's memory, in bytes. Nobody has any before the first step. */
export function memoryLanes(vms: readonly string[], vm: string, results: readonly StepResult[]): Lane[] {
  const lane = (name: string, value: (memory: StepResult['memory']) => number): Lane => ({
    name,
    values: [0, ...results.map((r) => value(r.memory))],
  });
  const rssOf = (name: string, label: string) => lane(label, (m) => m.vms[name]?.rss ?? 0);
  const all = lane('RSS of all VMs', (m) => Object.values(m.vms).reduce((sum, { rss }) => sum + rss, 0));
  const rss =
    vms.length === 1
      ? [rssOf(vm, 'RSS')]
      : vms.length <= VM_LANES
        ? vms.map((name) => rssOf(name, `RSS of ${name}`))
        : [all, rssOf(vm, `RSS of ${vm}`)];
  const saved = lane('Saved by KSM', (m) => m.saved);
  return [
    lane('Frames in use', (m) => m.used),
    ...rss,
    lane('Swap', (m) => m.swap),
    ...(saved.values.some((n) => n > 0) ? [saved] : []),
  ];
}
