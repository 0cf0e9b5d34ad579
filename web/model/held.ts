// Where the host's frames are: mapped by VMMs, shared by KSM, or held though nobody maps them. What a process maps (RSS)
// is not what it keeps from others: rules 5.3, 8.4 and 9.3 of docs/linux-rules.md.
import type { HostState, VmState } from '../engine/port.ts';

/** Bytes. used = mapped - saved + held. */
export interface Held {
  readonly used: number;
  /** RSS and hugetlb pages of all VMs: a frame counts for each page that maps it. */
  readonly mapped: number;
  /** What counting shared frames several times makes too much. */
  readonly saved: number;
  /** Pages of files that nobody maps, parts of huge pages that are not mapped any more. */
  readonly held: number;
}

export function heldOf({ used, saved }: HostState, vms: readonly VmState[]): Held {
  const mapped = vms.reduce(
    (sum, { counters }) => sum + (counters['host.rss'] ?? 0) + (counters['host.hugetlb'] ?? 0),
    0,
  );
  return { used, mapped, saved, held: used - mapped + saved };
}
