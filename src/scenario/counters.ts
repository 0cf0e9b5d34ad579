// The counters that `expect` may name. Values come from `vm.observe.counters()`; a test holds the two equal.
import { REQUESTS } from './schema.ts';

export const COUNTERS: readonly string[] = [
  'host.rss',
  'host.swap',
  'host.pss',
  'host.hugetlb',
  'memory.current',
  'memory.swap.current',
  'memory.events.max',
  'memory.events.oom',
  'memory.swap.events.max',
  'memory.swap.events.fail',
  'frames.free',
  'frames.used',
  'faults.minor',
  'faults.major',
  'slat.violations',
  'slat.mapped',
  'slat.mapped2m',
  'slat.zapped',
  'slat.flushes',
  'exits.mmio',
  'exits.efault',
  'exits.oom',
  'notifier.calls',
  'hostcalls.total',
  ...REQUESTS.filter((r) => r !== 'info').map((r) => `hostcalls.${r}`),
  'requests.total',
  'requests.failed',
  'vmas.count',
  'vmas.splits',
  'vmas.merges',
  'reclaim.lazyfree',
  'reclaim.swapout',
  'ksm.merged',
  'ksm.shared',
  'metadata.bytes',
  'events.total',
];

/** Counters that are bytes, shown with units. */
export const isBytes = (name: string): boolean => /^host\.|\.(bytes|current)$/.test(name);
