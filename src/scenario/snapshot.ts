// Counters of all VMs at one moment: a plain value, by VM.
import type { Counters } from '../types.ts';
import { HOST_COUNTERS } from './counters.ts';
import type { ScenarioVms } from './port.ts';
import type { StepResult } from './result.ts';
import { ALL_VMS } from './vms.ts';

export type Snapshot = Readonly<Record<string, Counters>>;

/** Who has the host's memory, in bytes. */
export interface HostMemory {
  /** Frames in use. */
  readonly used: number;
  /** Swap in use. */
  readonly swap: number;
  /** What KSM saves: the pages that VMs map, less the frames behind them. */
  readonly saved: number;
  readonly vms: Readonly<Record<string, { readonly rss: number; readonly swap: number }>>;
}

export const takeSnapshot = (vms: ScenarioVms): Snapshot =>
  Object.fromEntries([...vms].map(([name, vm]) => [name, vm.observe.counters()]));

/** A counter of a VM, or the sum of all; what counts for the host is the same everywhere. */
export function counterOf(snapshot: Snapshot, vm: string, name: string): number | undefined {
  if (vm !== ALL_VMS) return snapshot[vm]?.[name];
  const all = Object.values(snapshot).map((counters) => counters[name]);
  if (HOST_COUNTERS.includes(name)) return all[0];
  return all.some((value) => value === undefined) ? undefined : sum(all as number[]);
}

export function memoryOf(snapshot: Snapshot): HostMemory {
  const all = Object.entries(snapshot);
  const of = (counters: Counters, key: string): number => counters[key] ?? 0;
  const one = all[0]?.[1] ?? {};
  return {
    used: of(one, 'pool.used'),
    swap: of(one, 'swap.used'),
    saved: of(one, 'ksm.saved'),
    vms: Object.fromEntries(
      all.map(([name, counters]) => [
        name,
        { rss: of(counters, 'host.rss'), swap: of(counters, 'host.swap') },
      ]),
    ),
  };
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

function difference(before: Counters, after: Counters): Record<string, number> {
  const changed: Record<string, number> = {};
  for (const [name, value] of Object.entries(after)) {
    const by = value - (before[name] ?? 0);
    if (by !== 0) changed[name] = by;
  }
  return changed;
}

/** What a step about `vm` changed. */
export function changes(
  before: Snapshot,
  after: Snapshot,
  vm: string,
): Pick<StepResult, 'changed' | 'others'> {
  const changed = difference(before[vm] ?? {}, after[vm] ?? {});
  const others: Record<string, Counters> = {};
  for (const [name, counters] of Object.entries(after)) {
    if (name === vm) continue;
    const own = difference(before[name] ?? {}, counters);
    for (const key of HOST_COUNTERS) delete own[key];
    if (Object.keys(own).length > 0) others[name] = own;
  }
  return Object.keys(others).length > 0 ? { changed, others } : { changed };
}

/** By how much a step changed a counter of one VM, whichever VM the step was about. */
export function changeIn(result: StepResult, vm: string, key: string): number {
  const own = result.vm === vm || HOST_COUNTERS.includes(key);
  return (own ? result.changed[key] : result.others?.[vm]?.[key]) ?? 0;
}
