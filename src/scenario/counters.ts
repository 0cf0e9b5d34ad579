// The counters that `expect` may name. Values come from `vm.observe.counters()`; a test holds the two equal.
import { FUNC_NAMES } from '../observe/names.ts';

export const COUNTERS: readonly string[] = [
  'host.rss',
  'host.swap',
  'host.pss',
  'host.hugetlb',
  'pool.used',
  'swap.used',
  'frames.free',
  'frames.used',
  'faults.minor',
  'faults.major',
  'slat.violations',
  'slat.mapped',
  'slat.zapped',
  'slat.flushes',
  'exits.mmio',
  'exits.efault',
  'exits.oom',
  'notifier.calls',
  'hostcalls.total',
  ...FUNC_NAMES.filter((r) => r !== 'info').map((r) => `hostcalls.${r}`),
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
  /(^|\.)(host\.[a-z]+|pool\.used|swap\.used|ksm\.saved|metadata\.bytes)$/.test(name);
