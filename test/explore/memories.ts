// Guest memory that is not plain small pages: what can be done with each kind, in which states it can be before the
// threads start, and where two operations meet. KSM's scanner runs on the main thread between runs (docs/concurrency.md),
// so here it is part of a state. Pages: chunks begin at multiples of 512, `farPage` is in the fourth.
import { Func } from '../../assembly/abi/pvmemcontrol.ts';
import { Prot } from '../../assembly/abi/status.ts';
import type { Region, Vm } from '../../src/machine.ts';
import type { Advice } from '../../src/vmm/process.ts';
import { hvaAt } from '../support/machines.ts';
import type { Meeting, Memory, Operation, State } from './operations.ts';
import {
  advise,
  emptyPool,
  freeing,
  MEETINGS,
  PAGE,
  range,
  request,
  rowsOf,
  SPARE,
  written,
} from './operations.ts';

const REMOVE = freeing('REMOVE', Func.Remove);
const UNTOUCHED: State = { name: 'untouched', bring: () => {} };
const WRITTEN: State = { name: 'written', bring: written };

const read = (vm: Vm, gfns: readonly bigint[]): void => {
  for (const gfn of gfns) vm.guest.load(gfn * PAGE, 8);
};
const after = (name: string, bring: State['bring'], advice: Advice): State => ({
  name,
  bring: (vm, gfns) => {
    bring(vm, gfns);
    advise(vm, gfns, () => advice);
  },
});
/** write(2) to the file, without a mapping. */
const filled = (vm: Vm, gfns: readonly bigint[]): void => {
  for (const gfn of gfns) vm.vmm.fileWrite(hvaAt(vm, gfn * PAGE), 4096n, Number(gfn & 0x7fn) + 1);
};
const filledAndRead = (vm: Vm, gfns: readonly bigint[]): void => {
  filled(vm, gfns);
  read(vm, gfns);
};
const filledAndWritten = (vm: Vm, gfns: readonly bigint[]): void => {
  filled(vm, gfns);
  written(vm, gfns);
};

const ACCESSES = ['load', 'store', 'fault read', 'fault write'] as const;
const PROTECTIONS = ['MPROTECT NONE', 'MPROTECT R', 'MPROTECT RW'] as const;
const LOCKS = ['MLOCK', 'MUNLOCK'] as const;

/** Faults map all pages of a window of 16 that the file has in memory. */
const FILE_MEETINGS: readonly Meeting[] = [
  ...MEETINGS,
  {
    name: 'border of a fault-around window',
    places: [range(655n, 1n), range(656n, 1n)],
    gfns: [654n, 655n, 656n, 657n],
  },
];

export const MEMFD: Memory = {
  name: 'memfd',
  oneIn: 25,
  size: { vmm: { backing: 'memfd' } },
  operations: [...rowsOf(...ACCESSES, 'DONTNEED', 'PAGEOUT', ...PROTECTIONS, ...LOCKS, 'reclaim'), REMOVE],
  states: [
    UNTOUCHED,
    WRITTEN,
    { name: 'in the file', bring: filled },
    { name: 'read from the file', bring: filledAndRead },
    after('written, then unmapped', written, 'dontneed'),
    after('written, then swapped', written, 'pageout'),
  ],
  meetings: FILE_MEETINGS,
};

/** All frames are locked; of a page that is locked for reading there is no copy. */
const PRIVATE_FILE_RECLAIM: Operation = {
  ...(rowsOf('reclaim')[0] as Operation),
  before: (vm) => {
    const filler = hvaAt(vm, 1536n * PAGE);
    vm.guest.touch({ ...SPARE, write: true });
    vm.vmm.mlock(hvaAt(vm, 0x8000n), BigInt(vm.cpus) * PAGE);
    vm.vmm.mprotect(filler, 64n * PAGE, Prot.Read);
    vm.vmm.mlock(filler, BigInt(vm.host.frames().free) * PAGE);
    if (vm.host.frames().free !== 0) throw new Error('the pool is not empty');
  },
};

export const MEMFD_PRIVATE: Memory = {
  name: 'memfd_priv',
  oneIn: 25,
  size: { vmm: { backing: 'memfd_priv' } },
  operations: [...rowsOf(...ACCESSES, 'DONTNEED', 'PAGEOUT', ...PROTECTIONS, ...LOCKS), PRIVATE_FILE_RECLAIM],
  states: [
    UNTOUCHED,
    { name: 'in the file', bring: filled },
    { name: 'read from the file', bring: filledAndRead },
    { name: 'copied', bring: filledAndWritten },
    after('read, then swapped', filledAndRead, 'pageout'),
    after('copied, then swapped', filledAndWritten, 'pageout'),
  ],
  meetings: FILE_MEETINGS,
};

const HUGE = 512n;
/** The huge pages in which operations meet: chunks 1 and 2, and one page of each that no operation is about. */
const HUGE_PAGES: readonly { readonly first: bigint; readonly other: bigint }[] = [
  { first: 512n, other: 700n },
  { first: 1024n, other: 1300n },
];

/** Of each huge page the page that no operation is about. */
const others = (vm: Vm, change: (hva: bigint) => void): void => {
  for (const { other } of HUGE_PAGES) change(hvaAt(vm, other * PAGE));
};
const wholes = (vm: Vm, advice: Advice): void => {
  for (const { first } of HUGE_PAGES) vm.vmm.madvise(hvaAt(vm, first * PAGE), HUGE * PAGE, advice);
};

const HUGE_MEETINGS: readonly Meeting[] = [
  { name: 'same page', places: [range(640n, 1n), range(640n, 1n)], gfns: [639n, 640n, 641n] },
  { name: 'first and last page', places: [range(512n, 1n), range(1023n, 1n)], gfns: [512n, 640n, 1023n] },
  {
    name: 'part and whole',
    places: [range(640n, 8n), range(512n, HUGE, 641n * PAGE)],
    gfns: [512n, 640n, 641n, 648n, 1023n],
  },
  { name: 'whole', places: [range(512n, HUGE), range(512n, HUGE, 1023n * PAGE)], gfns: [512n, 640n, 1023n] },
  {
    name: 'border of two',
    places: [range(1023n, 2n), range(1023n, 2n, 1024n * PAGE)],
    gfns: [1022n, 1023n, 1024n, 1025n],
  },
];

/** Chunk 8, behind all places: a guest of 32 MiB has sixteen. */
const HUGE_FILLER = 4096n * PAGE;

/** No frame is free, and all are locked but those of the place and of one huge page. */
export function fillHugePool(vm: Vm): void {
  vm.guest.touch({ gpa: 2560n * PAGE, len: PAGE, write: true });
  vm.vmm.mlock(hvaAt(vm, 0x8000n), BigInt(vm.cpus) * PAGE);
  vm.vmm.mlock(hvaAt(vm, HUGE_FILLER), BigInt(vm.host.frames().free) * PAGE);
  if (vm.host.frames().free !== 0) throw new Error('the pool is not empty');
}

/** Takes the huge pages of the place, splits those of which parts are gone, or finds the spare one. */
const HUGE_RECLAIM: Operation = { ...(rowsOf('reclaim')[0] as Operation), before: fillHugePool };

export const THP: Memory = {
  name: 'thp',
  oneIn: 250,
  size: {
    vmm: { backing: 'thp' },
    ram: 32 * 2 ** 20,
    frames: 6 * 512,
    swap: 4 * 512,
    // The driver's buffers made a huge page: it is split, so that there is less to put back for each schedule.
    prepare: (vm) => {
      vm.vmm.madvise(hvaAt(vm, 100n * PAGE), PAGE, 'pageout');
    },
  },
  operations: [
    ...rowsOf(...ACCESSES, 'DONTNEED', 'FREE', 'PAGEOUT', ...PROTECTIONS, ...LOCKS, 'SET_NAME'),
    HUGE_RECLAIM,
  ],
  states: [
    UNTOUCHED,
    { name: 'huge zero page', bring: read },
    { name: 'huge page', bring: written },
    {
      name: 'huge page mapped by parts',
      bring: (vm, gfns) => {
        written(vm, gfns);
        for (const prot of [Prot.Read, Prot.Read | Prot.Write])
          others(vm, (hva) => vm.vmm.mprotect(hva, PAGE, prot));
      },
    },
    {
      name: 'huge page, a part unmapped',
      bring: (vm, gfns) => {
        written(vm, gfns);
        others(vm, (hva) => vm.vmm.madvise(hva, PAGE, 'dontneed'));
      },
    },
    {
      name: 'huge page lazily freed',
      bring: (vm, gfns) => {
        written(vm, gfns);
        wholes(vm, 'free');
      },
    },
    {
      name: 'small pages in a table that stays',
      bring: (vm, gfns) => {
        written(vm, gfns);
        others(vm, (hva) => vm.vmm.madvise(hva, PAGE, 'pageout'));
      },
    },
  ],
  meetings: HUGE_MEETINGS,
  coarse: true,
};

/** From here on pages may be merged; request buffers are before. */
const MERGEABLE = 512n;

function mergeable(vm: Vm): void {
  const { size } = vm.ram[0] as Region;
  vm.vmm.madvise(hvaAt(vm, MERGEABLE * PAGE), BigInt(size) - MERGEABLE * PAGE, 'mergeable');
}

/** Every page gets the same bytes as `like` of it. */
export function equal(vm: Vm, gfns: readonly bigint[], like: (gfn: bigint) => bigint): void {
  mergeable(vm);
  for (const gfn of gfns) {
    const byte = Number(like(gfn) & 0x7fn) + 1;
    vm.guest.fill({ gpa: gfn * PAGE, len: PAGE, byte });
  }
}

/** The first scan remembers, the second finds the first two, the third all. */
export const SCANS = 3;

/** A page in a chunk of its own that shares with those of the place. */
const PARTNER = 2300n;
/** From a page to the one that shares with it alone: in another chunk. */
export const TWIN = 1700n;

export const withTwins = (gfns: readonly bigint[]): bigint[] => gfns.flatMap((gfn) => [gfn, gfn + TWIN]);

export const KSM: Memory = {
  name: 'ksm',
  oneIn: 20,
  size: {},
  operations: [
    ...rowsOf(...ACCESSES, 'DONTNEED', 'FREE', 'PAGEOUT', 'MPROTECT R', 'MPROTECT RW', 'MLOCK'),
    request('MERGEABLE', Func.Mergeable),
    request('UNMERGEABLE', Func.Unmergeable),
    { ...(rowsOf('reclaim')[0] as Operation), before: emptyPool },
  ],
  states: [
    {
      name: 'not shared',
      bring: (vm, gfns) => {
        mergeable(vm);
        written(vm, gfns);
        vm.host.ksm.scan(SCANS);
      },
    },
    {
      name: 'shared by all',
      bring: (vm, gfns) => {
        equal(vm, [...gfns, PARTNER], () => 0n);
        vm.host.ksm.scan(SCANS);
      },
    },
    {
      name: 'shared by two each',
      bring: (vm, gfns) => {
        equal(vm, withTwins(gfns), (gfn) => (gfn > TWIN ? gfn - TWIN : gfn));
        vm.host.ksm.scan(SCANS);
      },
    },
    {
      name: 'lazily freed, then shared',
      bring: (vm, gfns) => {
        equal(vm, withTwins(gfns), (gfn) => (gfn > TWIN ? gfn - TWIN : gfn));
        advise(vm, withTwins(gfns), () => 'free');
        vm.host.ksm.scan(SCANS);
      },
    },
    {
      name: 'shared, then alone',
      bring: (vm, gfns) => {
        equal(vm, withTwins(gfns), (gfn) => (gfn > TWIN ? gfn - TWIN : gfn));
        vm.host.ksm.scan(SCANS);
        advise(
          vm,
          gfns.map((gfn) => gfn + TWIN),
          () => 'dontneed',
        );
      },
    },
  ],
  meetings: [
    ...MEETINGS,
    { name: 'two chunks', places: [range(640n, 1n), range(1100n, 1n)], gfns: [640n, 1100n] },
  ],
};

const HUGETLB_MEETINGS: readonly Meeting[] = [
  {
    name: 'same huge page',
    places: [range(512n, HUGE, 640n * PAGE), range(512n, HUGE, 1023n * PAGE)],
    gfns: [512n, 640n, 1023n],
  },
  {
    name: 'neighbours',
    places: [range(512n, HUGE, 1023n * PAGE), range(1024n, HUGE)],
    gfns: [512n, 1023n, 1024n],
  },
  {
    name: 'both and one',
    places: [range(512n, 2n * HUGE, 1023n * PAGE), range(1024n, HUGE)],
    gfns: [512n, 1023n, 1024n],
  },
  {
    name: 'part and whole',
    places: [range(640n, 8n), range(512n, HUGE, 640n * PAGE)],
    gfns: [512n, 640n, 647n, 648n],
  },
];
const HUGETLB_SIZE = { frames: 8 * 512, swap: 0 };
const HUGETLB_ROWS = rowsOf(...ACCESSES, 'DONTNEED', ...PROTECTIONS, 'MLOCK');

export const HUGETLB: Memory = {
  name: 'hugetlb',
  oneIn: 20,
  size: { ...HUGETLB_SIZE, vmm: { backing: 'hugetlb' } },
  operations: HUGETLB_ROWS,
  states: [UNTOUCHED, WRITTEN, { name: 'read', bring: read }],
  meetings: HUGETLB_MEETINGS,
  coarse: true,
};

export const HUGETLB_SHARED: Memory = {
  name: 'hugetlb_shared',
  oneIn: 25,
  size: { ...HUGETLB_SIZE, vmm: { backing: 'hugetlb_shared' } },
  operations: [...HUGETLB_ROWS, REMOVE],
  states: [
    UNTOUCHED,
    WRITTEN,
    {
      name: 'written, then unmapped',
      bring: (vm, gfns) => {
        written(vm, gfns);
        wholes(vm, 'dontneed');
      },
    },
  ],
  meetings: HUGETLB_MEETINGS,
  coarse: true,
};

export const MEMORIES: readonly Memory[] = [MEMFD, MEMFD_PRIVATE, THP, KSM, HUGETLB, HUGETLB_SHARED];
