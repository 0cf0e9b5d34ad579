// The counters that `expect` may name. Values come from `vm.observe.counters()`; a test holds the two equal.
import { REQUESTS } from '../requests.ts';

export const COUNTERS: readonly string[] = [
  'host.rss',
  'host.swap',
  'host.pss',
  'host.hugetlb',
  'pool.used',
  'swap.used',
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
  'slat.mapped1g',
  'slat.zapped',
  'slat.flushes',
  'slat.flushes.remote',
  'slat.retries',
  'dirty.pages',
  'attributes.changes',
  'exits.mmio',
  'exits.efault',
  'exits.oom',
  'exits.memory-fault',
  'exits.hypercall',
  'exits.pml-full',
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
  'ksm.saved',
  'metadata.bytes',
  'events.total',
];

/** Counters of the host: the same for each of its VMs. */
export const HOST_COUNTERS: readonly string[] = [
  'pool.used',
  'swap.used',
  'frames.free',
  'frames.used',
  'ksm.shared',
  'ksm.saved',
  'metadata.bytes',
  'events.total',
];

/** Counters that are bytes, shown with units; also behind the name of a VM. */
export const isBytes = (name: string): boolean =>
  /(^|\.)(host\.[a-z]+|memory(\.swap)?\.current|pool\.used|swap\.used|ksm\.saved|metadata\.bytes)$/.test(
    name,
  );
