// What a step moved, in words: `65536 faults  rss 4 KiB → 256 MiB`.
import { formatSize } from '../size.ts';
import type { Counters } from '../types.ts';
import { counterOf, type Snapshot } from './snapshot.ts';

/** `rss 1 GiB → 512 MiB` and the other counters of `vm` that an action moved; of other VMs their memory in all. */
export function changesText(before: Snapshot, after: Snapshot, vm: string): string {
  const own = ofOne(before[vm] ?? {}, after[vm] ?? {});
  const rest = Object.keys(after).filter((name) => name !== vm);
  return [...own, ...ofOthers(before, after, rest)].join('  ');
}

function ofOne(before: Counters, after: Counters): string[] {
  const parts: string[] = [];
  const change = (name: string): number => (after[name] ?? 0) - (before[name] ?? 0);
  const counted = (name: string, one: string, many = `${one}s`): void => {
    const n = change(name);
    if (n > 0) parts.push(`${n} ${n === 1 ? one : many}`);
  };
  counted('faults.minor', 'fault');
  counted('faults.major', 'swap-in');
  counted('hostcalls.total', 'host call');
  counted('slat.zapped', 'zapped entry', 'zapped entries');
  counted('reclaim.lazyfree', 'lazily freed page dropped', 'lazily freed pages dropped');
  counted('reclaim.swapout', 'page swapped out', 'pages swapped out');
  for (const [name, label] of MEMORY) {
    if (change(name) !== 0) parts.push(way(label, before[name] ?? 0, after[name] ?? 0));
  }
  // Memory that comes or goes otherwise than by what the VMM maps: private pages, what a file or a huge page holds.
  const used = change('pool.used');
  if (used !== 0 && used !== change('host.rss') + change('host.hugetlb'))
    parts.push(way('host memory', before['pool.used'] ?? 0, after['pool.used'] ?? 0));
  return parts;
}

const MEMORY = [
  ['host.rss', 'rss'],
  ['host.swap', 'swap'],
] as const;
const way = (label: string, from: number, to: number): string =>
  `${label} ${formatSize(from)} → ${formatSize(to)}`;

function ofOthers(before: Snapshot, after: Snapshot, vms: readonly string[]): string[] {
  const total = (snapshot: Snapshot, key: string): number =>
    vms.reduce((sum, vm) => sum + (counterOf(snapshot, vm, key) ?? 0), 0);
  const parts = MEMORY.flatMap(([key, label]) => {
    const [from, to] = [total(before, key), total(after, key)];
    return from === to ? [] : [way(label, from, to)];
  });
  return parts.length > 0 ? [`others: ${parts.join(', ')}`] : [];
}
