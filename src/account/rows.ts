// The counters that `whoCounts` asks, each with its reason. The order is that of the tables that show them.
import type { Totals } from './totals.ts';
import type { WhoView } from './who.ts';

/** What was found of a range. In bytes. */
export interface Counted extends Totals {
  /** Of the range, what has a slot; of that, what is private. */
  readonly ram: number;
  readonly private: number;
  readonly pages4k: number;
  readonly pages2m: number;
  readonly pages1g: number;
  /** Whether a slot of the range has a guest_memfd. */
  readonly hasGmem: boolean;
}

interface Row {
  readonly view: WhoView;
  readonly counter: string;
  bytes(c: Counted): number;
  /** What memory.numa_stat has of it. */
  nodes?(c: Counted): readonly number[];
  why(c: Counted): string;
}

/** One of two sentences. */
const either = (is: boolean, yes: string, no: string): string => (is ? yes : no);
/** Pages of a guest_memfd that no page table of the VMM has. */
const hidden = (c: Counted): boolean => c.gmem > 0 && c.rssFile === 0;

export const ROWS = [
  {
    view: 'guest',
    counter: 'RAM',
    bytes: (c) => c.ram,
    why: (c) =>
      either(
        c.ram > 0,
        'has a memslot: the guest takes it for its RAM, touched or not',
        'no memslot: MMIO for the guest',
      ),
  },
  {
    view: 'guest',
    counter: 'private',
    bytes: (c) => c.private,
    why: (c) =>
      either(
        c.private > 0,
        'private by its memory attribute: backed by the guest_memfd',
        'no page is private: backed by what the VMM maps',
      ),
  },
  {
    view: 'kvm',
    counter: 'pages_4k',
    bytes: (c) => c.pages4k,
    why: () => 'leaves of 4 KiB in the SLAT: KVM counts what the guest has mapped, not what is allocated',
  },
  { view: 'kvm', counter: 'pages_2m', bytes: (c) => c.pages2m, why: () => 'leaves of 2 MiB in the SLAT' },
  { view: 'kvm', counter: 'pages_1g', bytes: (c) => c.pages1g, why: () => 'leaves of 1 GiB in the SLAT' },
  {
    view: 'process',
    counter: 'VmSize',
    bytes: (c) => c.vmSize,
    why: (c) => either(c.vmSize > 0, 'VIRT: size of the mappings, touched or not', 'the VMM maps none of it'),
  },
  {
    view: 'process',
    counter: 'VmRSS',
    bytes: (c) => c.rssAnon + c.rssFile + c.rssShmem,
    why: (c) =>
      hidden(c)
        ? 'RES counts entries of the VMM’s page table: pages of the guest_memfd have none'
        : 'RES: entries of the VMM’s page table, the three below',
  },
  {
    view: 'process',
    counter: 'RssAnon',
    bytes: (c) => c.rssAnon,
    why: () => 'entries for anonymous pages and private copies',
  },
  {
    view: 'process',
    counter: 'RssFile',
    bytes: (c) => c.rssFile,
    why: (c) =>
      either(
        hidden(c),
        'the VMM has touched no page of the guest_memfd through a mapping',
        'entries for pages of a guest_memfd, once mapped and touched',
      ),
  },
  {
    view: 'process',
    counter: 'RssShmem',
    bytes: (c) => c.rssShmem,
    why: () => 'entries for pages of a memfd',
  },
  {
    view: 'process',
    counter: 'Pss',
    bytes: (c) => c.pss,
    why: () => 'as RES, each entry by its share of the page',
  },
  {
    view: 'process',
    counter: 'VmSwap',
    bytes: (c) => c.vmSwap,
    why: () => 'anonymous pages in swap; those of a memfd are the file’s',
  },
  {
    view: 'process',
    counter: 'HugetlbPages',
    bytes: (c) => c.hugetlbPages,
    why: () => 'mapped hugetlb pages, which are in no RES',
  },
  {
    view: 'file',
    counter: 'guest_memfd pages',
    bytes: (c) => c.gmem,
    why: (c) => either(c.hasGmem, 'pages that the file has, whoever maps them', 'no guest_memfd behind it'),
  },
  {
    view: 'file',
    counter: 'guest_memfd st_blocks',
    bytes: () => 0,
    why: () => 'always 0: KVM’s file system counts no blocks',
  },
  {
    view: 'file',
    counter: 'memfd st_blocks',
    bytes: (c) => c.memfd,
    why: () => 'shmem counts its pages, swapped ones too',
  },
  {
    view: 'memcg',
    counter: 'memory.current',
    bytes: (c) => c.charged,
    why: () => 'frames that the VM’s cgroup is charged for: accounting, whatever statistics show',
  },
  {
    view: 'memcg',
    counter: 'anon',
    bytes: (c) => c.chargedAnon,
    nodes: (c) => c.anonNodes,
    why: () => 'mapped anonymous pages',
  },
  {
    view: 'memcg',
    counter: 'file',
    bytes: (c) => c.cached,
    nodes: (c) => c.fileNodes,
    why: () => 'pages of the page cache: a guest_memfd’s and a memfd’s, mapped or not',
  },
  {
    view: 'memcg',
    counter: 'file_mapped',
    bytes: (c) => c.mapped,
    why: () => 'of those, what some page table maps; the SLAT is none',
  },
  {
    view: 'memcg',
    counter: 'shmem',
    bytes: (c) => c.shmem,
    why: () => 'of those, what is swap-backed: a guest_memfd is not',
  },
  {
    view: 'memcg',
    counter: 'anon_thp',
    bytes: (c) => c.anonHugePages,
    why: () => 'anonymous huge pages mapped as one',
  },
  {
    view: 'memcg',
    counter: 'file_thp',
    bytes: (c) => c.fileThp,
    nodes: (c) => c.fileThpNodes,
    why: () => 'of file, folios of 2 MiB: a guest_memfd of the first posting has them, with ALLOW_HUGEPAGE',
  },
  {
    view: 'memcg',
    counter: 'unevictable',
    bytes: (c) => c.unevictable,
    nodes: (c) => c.unevictableNodes,
    why: () => 'locked pages, and every page of a guest_memfd, which reclaim may not have',
  },
  { view: 'memcg', counter: 'swap.current', bytes: (c) => c.chargedSwap, why: () => 'slots of swap' },
  { view: 'host', counter: 'AnonPages', bytes: (c) => c.anonPages, why: () => 'mapped anonymous pages' },
  {
    view: 'host',
    counter: 'Mapped',
    bytes: (c) => c.mapped,
    why: () => 'pages of files that some page table maps',
  },
  {
    view: 'host',
    counter: 'Cached',
    bytes: (c) => c.cached,
    why: () => 'pages of files in memory: a guest_memfd is one',
  },
  {
    view: 'host',
    counter: 'Shmem',
    bytes: (c) => c.shmem,
    why: () => 'pages of memfds; a guest_memfd’s are not',
  },
  {
    view: 'host',
    counter: 'Unevictable',
    bytes: (c) => c.unevictable,
    why: () => 'locked pages and pages of guest_memfds',
  },
  { view: 'host', counter: 'Mlocked', bytes: (c) => c.mlocked, why: () => 'pages in locked mappings' },
  {
    view: 'host',
    counter: 'AnonHugePages',
    bytes: (c) => c.anonHugePages,
    why: () => 'anonymous huge pages mapped as one',
  },
  {
    view: 'host',
    counter: 'Hugetlb',
    bytes: (c) => c.hugetlb,
    why: () => 'hugetlb pages, charged to no cgroup here',
  },
  {
    view: 'host',
    counter: 'MemFree',
    bytes: (c) => 0 - c.taken,
    why: () => 'frames that are not free because of it',
  },
] as const satisfies readonly Row[];

export type CounterName = (typeof ROWS)[number]['counter'];
