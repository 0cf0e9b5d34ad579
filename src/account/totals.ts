// What the counters of Linux and KVM say of a set of memory: pieces of the VMM's page table and of files. Each page counts
// once where Linux counts pages, once for each entry where it counts entries.
// Reference: linux mm/rmap.c, mm/memcontrol.c (memory_stats), fs/proc/meminfo.c, fs/proc/task_mmu.c (task_mem).
import { FileKind } from '../../assembly/abi/file.ts';
import { kernelPageSize } from '../backing.ts';
import type { Ptr } from '../core/exports.ts';
import type { Mapping, Span } from '../observe/usage.ts';
import { fileUsage, ksmFrames, mappings, pageUsage, usedFile } from '../observe/usage.ts';
import type { Vm } from '../vm.ts';
import { common, sizeOf, union } from './spans.ts';

/** Memory to be counted: what the VMM's page table has at `hvas`, and these parts of files. */
export interface Memory {
  readonly hvas: readonly Span[];
  readonly files: ReadonlyMap<Ptr, readonly Span[]>;
}

/** In bytes. */
export interface Totals {
  /** Of the VMM process: /proc/PID/status and smaps. */
  readonly vmSize: number;
  readonly rssAnon: number;
  readonly rssFile: number;
  readonly rssShmem: number;
  readonly pss: number;
  readonly vmSwap: number;
  readonly hugetlbPages: number;
  /** Of the host: /proc/meminfo. */
  readonly anonPages: number;
  readonly anonHugePages: number;
  readonly mapped: number;
  readonly cached: number;
  /** Of that: huge pages of a guest_memfd. */
  readonly fileThp: number;
  readonly shmem: number;
  readonly unevictable: number;
  readonly mlocked: number;
  readonly hugetlb: number;
  /** Frames that would be free without it. */
  readonly taken: number;
  /** Of the VM's memory cgroup. */
  readonly charged: number;
  readonly chargedAnon: number;
  readonly chargedSwap: number;
  /** Of guest_memfds and of memfds: pages in memory, and for the latter swapped ones too. */
  readonly gmem: number;
  readonly memfd: number;
  /** memory.numa_stat: the cgroup's counters of pages, by node. */
  readonly anonNodes: readonly number[];
  readonly fileNodes: readonly number[];
  readonly fileThpNodes: readonly number[];
  readonly unevictableNodes: readonly number[];
  /** numa_maps: entries of the VMM's page table at `hvas`, by node of their page. */
  readonly mappedNodes: readonly number[];
}

const NUMBERS_OF_PAGES = [
  'anon',
  'ksm',
  'ksmShare',
  'anonHuge',
  'held',
  'hugetlb',
  'swapped',
  'locked',
] as const;
const NUMBERS_OF_FILES = [
  'cached',
  'mapped',
  'entries',
  'locked',
  'unevictable',
  'hugetlb',
  'swapped',
] as const;

const zeros = <K extends string>(keys: readonly K[]): Record<K, number> =>
  Object.fromEntries(keys.map((key) => [key, 0])) as Record<K, number>;
const plus = (a: number[], b: readonly number[]): void => {
  for (const [n, value] of b.entries()) a[n] = (a[n] ?? 0) + value;
};

const GIB = 2 ** 30;

/** The files behind the VMM's pages at `hvas`. */
export function filesAt(all: readonly Mapping[], hvas: readonly Span[]): Map<Ptr, Span[]> {
  const out = new Map<Ptr, Span[]>();
  for (const mapping of all) {
    const { file } = mapping;
    if (!file) continue;
    for (const span of hvas) {
      const part = common(mapping, span);
      if (!part) continue;
      const at = BigInt(file.offset) - mapping.from;
      out.set(file.ptr, [...(out.get(file.ptr) ?? []), { from: part.from + at, to: part.to + at }]);
    }
  }
  return out;
}

/** Where the VMM maps any of it. */
function mapped(all: readonly Mapping[], { hvas, files }: Memory): Span[] {
  const out: Span[] = [];
  for (const mapping of all) {
    const at = mapping.from - BigInt(mapping.file?.offset ?? 0);
    const ofFile = (mapping.file && files.get(mapping.file.ptr)) ?? [];
    const moved = ofFile.map(({ from, to }) => ({ from: from + at, to: to + at }));
    for (const span of [...hvas, ...moved]) out.push(common(mapping, span) ?? { from: 0n, to: 0n });
  }
  return union(out);
}

export function totals(vm: Vm, memory: Memory): Totals {
  const all = mappings(vm);
  const pages = zeros(NUMBERS_OF_PAGES);
  const ksm = { all: 0, charged: 0 };
  const none = vm.host.nodes().map(() => 0);
  const nodes = {
    anon: [...none],
    file: [...none],
    unevictable: [...none],
    mapped: [...none],
    huge: [...none],
  };
  let privateHugetlb = 0;
  for (const mapping of all) {
    for (const span of union(memory.hvas)) {
      const part = common(mapping, span);
      if (!part) continue;
      const used = pageUsage(vm, part);
      for (const key of NUMBERS_OF_PAGES) pages[key] += used[key];
      plus(nodes.anon, used.nodes);
      plus(nodes.unevictable, used.nodesUnevictable);
      plus(nodes.mapped, used.nodesMapped);
      if (!mapping.file) privateHugetlb += used.hugetlb;
    }
  }
  if (pages.ksm > 0) {
    for (const span of union(memory.hvas)) {
      const found = ksmFrames(vm, span);
      ksm.all += found.all;
      ksm.charged += found.charged;
      plus(nodes.anon, found.nodes);
    }
  }
  const gmem = zeros(NUMBERS_OF_FILES);
  const shmem = { ...gmem };
  for (const [ptr, spans] of memory.files) {
    const sum = usedFile(vm, ptr).kind === FileKind.GuestMemfd ? gmem : shmem;
    for (const span of union(spans)) {
      const used = fileUsage(vm, ptr, span);
      for (const key of NUMBERS_OF_FILES) sum[key] += used[key];
      plus(nodes.file, used.nodes);
      plus(nodes.huge, used.nodesHuge);
      plus(nodes.unevictable, used.nodesUnevictable);
    }
  }
  const file = gmem.cached + shmem.cached;
  const hugetlb = privateHugetlb + shmem.hugetlb;
  const mlocked = pages.locked + gmem.locked + shmem.locked;
  // Pages of 1 GiB are no frames of the pool.
  const pooled = kernelPageSize(vm.backing) === GIB ? 0 : hugetlb;
  return {
    vmSize: sizeOf(mapped(all, memory)),
    rssAnon: pages.anon + pages.ksm,
    rssFile: gmem.entries,
    rssShmem: shmem.entries,
    pss: pages.anon + pages.ksmShare + gmem.mapped + shmem.mapped,
    vmSwap: pages.swapped,
    hugetlbPages: pages.hugetlb,
    anonPages: pages.anon + ksm.all,
    anonHugePages: pages.anonHuge,
    mapped: gmem.mapped + shmem.mapped,
    cached: file,
    fileThp: nodes.huge.reduce((a, b) => a + b, 0),
    shmem: shmem.cached,
    unevictable: pages.locked + gmem.unevictable + shmem.unevictable,
    mlocked,
    hugetlb,
    taken: pages.anon + ksm.all + pages.held + file + pooled,
    charged: pages.anon + ksm.charged + pages.held + file,
    chargedAnon: pages.anon + ksm.charged,
    chargedSwap: pages.swapped + gmem.swapped + shmem.swapped,
    gmem: gmem.cached,
    memfd: shmem.cached + shmem.swapped,
    anonNodes: nodes.anon,
    fileNodes: nodes.file,
    fileThpNodes: nodes.huge,
    unevictableNodes: nodes.unevictable,
    mappedNodes: nodes.mapped,
  };
}
