// Small programs of two vCPUs on files, huge pages, hugetlb and pages that KSM shares: each about one promise, explored
// further than the pairs.
import { Func } from '../assembly/abi/pvmemcontrol.ts';
import { HOST_FRAMES, HOST_SWAP } from '../src/core/layout.ts';
import type { Vm } from '../src/machine.ts';
import { POOL_LOCK } from './explore/layout.ts';
import { exploreMachine } from './explore/machine.ts';
import {
  equal,
  fillHugePool,
  HUGETLB,
  HUGETLB_SHARED,
  KSM,
  MEMFD,
  MEMFD_PRIVATE,
  SCANS,
  THP,
  TWIN,
  withTwins,
} from './explore/memories.ts';
import { farPage, fillPool, type Memory, PAGE, written } from './explore/operations.ts';
import { explorePrograms, type ProgramRow } from './explore/programs.ts';
import { hvaAt } from './support/machines.ts';

const P = 640n * PAGE;
const Q = 641n * PAGE;
const CHUNK = 512n * PAGE;
const CHUNK_LEN = 512n * PAGE;
const NEXT_CHUNK = CHUNK + CHUNK_LEN;

const backed =
  (...gfns: bigint[]) =>
  (vm: Vm): void =>
    written(vm, gfns);
const explore = (memory: Memory, rows: readonly ProgramRow[], more: Memory['size'] = {}): void =>
  explorePrograms(
    `explore › ${memory.name}`,
    exploreMachine({ cpus: 2, ...memory.size, ...more }),
    memory.coarse ? rows.map((row) => ({ coarse: true, ...row })) : rows,
  );

explore(THP, [
  {
    name: 'one huge page for two that fault at once',
    setUp: () => {},
    programs: (a, b) => [[a.store(P, 1n)], [b.store(Q, 2n)]],
    gfns: [512n, 640n, 641n],
    always: (outcome) => outcome.includes('512:H:0:0 640:H:1:0 641:H:2:0'),
  },
  {
    name: 'the huge zero page gives way to a huge page under a reader',
    setUp: (vm) => {
      vm.guest.load(P, 8);
    },
    programs: (a, b) => [
      [a.load(P), a.load(P)],
      [b.store(P, 7n), b.load(P)],
    ],
    gfns: [512n, 640n],
    always: (outcome) => /^b: stored \| = 0x7$/m.test(outcome) && !outcome.includes('a: = 0x7 | = 0x0'),
  },
  {
    name: 'no store is lost when the huge page is split under it',
    setUp: backed(640n, 641n),
    programs: (a, b) => [[a.store(P, 7n), a.load(P)], [b.request(Func.Pageout, Q, PAGE)]],
    gfns: [512n, 640n, 641n],
    always: (outcome) => outcome.includes('a: stored | = 0x7') && /640:[ah]:7:/.test(outcome),
  },
  {
    name: 'no store is lost to PAGEOUT of the whole',
    setUp: backed(640n, 1023n),
    programs: (a, b) => [[a.store(P, 7n), a.load(P)], [b.request(Func.Pageout, CHUNK, CHUNK_LEN)]],
    gfns: [512n, 640n, 1023n],
    always: (outcome) => outcome.includes('a: stored | = 0x7') && /640:[as]:7:/.test(outcome),
  },
  {
    name: 'a store to a page of zeros while the split makes it the zero page',
    setUp: backed(641n),
    programs: (a, b) => [[a.store(P, 7n), a.load(P)], [b.request(Func.Pageout, Q, PAGE)]],
    gfns: [640n, 641n],
    always: (outcome) => outcome.includes('a: stored | = 0x7') && /640:[ah]:7:/.test(outcome),
  },
  {
    name: 'the last two parts of a huge page are unmapped: it comes free once',
    interruptions: 1,
    setUp: (vm) => {
      written(vm, [512n, 1023n]);
      vm.vmm.madvise(hvaAt(vm, CHUNK + PAGE), CHUNK_LEN - 2n * PAGE, 'dontneed');
    },
    programs: (a, b) => [
      [a.request(Func.Dontneed, CHUNK, PAGE), a.store(farPage(0), 1n)],
      [b.request(Func.Dontneed, CHUNK + CHUNK_LEN - PAGE, PAGE), b.store(farPage(1), 2n)],
    ],
    gfns: [512n, 1023n, farPage(0) / PAGE, farPage(1) / PAGE],
  },
  {
    name: 'a page is protected, so the mapping is cut, while another part is freed',
    interruptions: 1,
    setUp: backed(640n, 700n),
    programs: (a, b) => [
      [a.request(Func.MprotectR, P, PAGE), a.store(P, 7n)],
      [b.request(Func.Free, 700n * PAGE, PAGE)],
    ],
    gfns: [512n, 640n, 700n],
    always: (outcome) => /^a: answer .* \| Efault/m.test(outcome),
  },
]);

/** The lock of a pool, at which pages come and go that others may want. */
const lockOf = (pool: number): number => pool + POOL_LOCK;

explore(
  THP,
  [
    {
      name: 'PAGEOUT of two huge pages, slots for one and a half',
      setUp: backed(512n, 640n, 1024n, 1100n),
      programs: (a, b) => [
        [a.request(Func.Pageout, CHUNK, CHUNK_LEN), a.load(P)],
        [b.request(Func.Pageout, NEXT_CHUNK, CHUNK_LEN), b.load(1100n * PAGE)],
      ],
      gfns: [512n, 640n, 1024n, 1100n],
      reclaims: true,
      only: [lockOf(HOST_SWAP)],
      interruptions: 1,
    },
  ],
  { swap: 768 },
);
explore(THP, [
  {
    name: 'what reclaim has freed becomes a huge page of another: reclaim goes on',
    setUp: fillHugePool,
    programs: (a, b) => [[a.store(P, 7n)], [b.store(farPage(1), 9n)]],
    gfns: [640n, farPage(1) / PAGE],
    reclaims: true,
    only: [lockOf(HOST_FRAMES)],
    interruptions: 1,
    always: (outcome) => !outcome.includes('OutOfMemory'),
  },
]);

/** The page at P and its twin in another chunk are one. */
const twins = (vm: Vm): void => {
  equal(vm, withTwins([640n]), () => 640n);
  vm.host.ksm.scan(SCANS);
};
const T = (640n + TWIN) * PAGE;
const KSM_GFNS = [640n, 640n + TWIN, farPage(0) / PAGE, farPage(1) / PAGE];
/** What `equal` put into each byte of the pages. */
const WORD = 0x0101010101010101n;

explore(KSM, [
  {
    name: 'a copy is made while the shared page is unmapped in another chunk, and its frame used again',
    setUp: twins,
    programs: (a, b) => [
      [a.store(P, 7n), a.load(P + 8n)],
      [b.request(Func.Dontneed, T, PAGE), b.store(farPage(1), 9n)],
    ],
    gfns: KSM_GFNS,
    always: (outcome) =>
      outcome.includes(`a: stored | = 0x${WORD.toString(16)}`) && outcome.includes('640:a:7:'),
  },
  {
    name: 'copies of one shared page are made in two chunks: its frame comes free once',
    setUp: twins,
    programs: (a, b) => [
      [a.store(P, 7n), a.load(T + 8n)],
      [b.store(T, 8n), b.load(P + 8n)],
    ],
    gfns: KSM_GFNS,
    always: (outcome) => outcome.includes('640:a:7:') && outcome.includes('2340:a:8:'),
  },
  {
    name: 'the last two mappings of a shared page go at once',
    setUp: twins,
    programs: (a, b) => [
      [a.request(Func.Dontneed, P, PAGE), a.store(farPage(0), 1n)],
      [b.request(Func.Dontneed, T, PAGE), b.store(farPage(1), 2n)],
    ],
    gfns: KSM_GFNS,
  },
  {
    name: 'FREE of a shared page while it is unmapped elsewhere',
    setUp: twins,
    programs: (a, b) => [
      [a.request(Func.Free, P, PAGE), a.request(Func.Pageout, P, PAGE)],
      [b.request(Func.Dontneed, T, PAGE)],
    ],
    gfns: KSM_GFNS,
  },
  {
    name: 'UNMERGEABLE of a page, a store to its twin',
    setUp: twins,
    programs: (a, b) => [
      [a.request(Func.Unmergeable, P, PAGE), a.load(P)],
      [b.store(T, 7n), b.load(T)],
    ],
    gfns: KSM_GFNS,
    always: (outcome) => outcome.includes(`| = 0x${WORD.toString(16)}`) && outcome.includes('stored | = 0x7'),
  },
  {
    name: 'UNMERGEABLE waits for the only chunk that has pages to take',
    setUp: (vm) => {
      twins(vm);
      written(vm, [1100n]);
      fillPool(vm);
    },
    programs: (a, b) => [
      [a.request(Func.Unmergeable, P, PAGE)],
      [b.request(Func.MprotectR, 1100n * PAGE, PAGE)],
    ],
    gfns: [640n, 640n + TWIN, 1100n],
    reclaims: true,
    always: (outcome) => /^a: answer 0 0 0 0/m.test(outcome),
  },
]);

explore(MEMFD, [
  {
    name: 'after REMOVE has answered nobody reads old bytes',
    setUp: backed(640n, 641n),
    programs: (a, b) => [[a.request(Func.Remove, P, PAGE), a.load(P)], [b.load(P)]],
    gfns: [640n, 641n],
    always: (outcome) => /^a: answer .* \| = 0x0$/m.test(outcome),
  },
  {
    name: 'fault-around maps no page that is being removed',
    setUp: (vm) => {
      written(vm, [640n, 641n, 642n]);
      vm.vmm.madvise(hvaAt(vm, P), 3n * PAGE, 'dontneed');
    },
    programs: (a, b) => [
      [a.load(Q), a.load(P)],
      [b.request(Func.Remove, P, PAGE), b.load(P), b.store(farPage(1), 9n)],
    ],
    gfns: [640n, 641n, 642n, farPage(1) / PAGE],
    always: (outcome) => /^b: answer .* \| = 0x0 \| stored$/m.test(outcome),
  },
  {
    name: 'two faults in one window, the file has all of it',
    setUp: (vm) => {
      written(vm, [640n, 641n, 655n]);
      vm.vmm.madvise(hvaAt(vm, P), 16n * PAGE, 'dontneed');
    },
    programs: (a, b) => [
      [a.load(P), a.store(655n * PAGE, 7n)],
      [b.store(Q, 8n), b.load(655n * PAGE)],
    ],
    gfns: [640n, 641n, 655n],
  },
  {
    name: 'message passing over pages of a file that come from swap',
    setUp: (vm) => {
      for (const gpa of [P, Q]) {
        vm.guest.store(gpa, 1, 0);
        vm.guest.pvmemcontrol.pageout({ gpa, len: PAGE });
      }
    },
    programs: (a, b) => [
      [a.store(P, 1n), a.store(Q, 1n)],
      [b.load(Q), b.load(P)],
    ],
    gfns: [640n, 641n],
    always: (outcome) => !outcome.includes('b: = 0x1 | = 0x0'),
  },
  {
    name: 'no store to a file is lost to PAGEOUT',
    setUp: backed(640n),
    programs: (a, b) => [[a.store(P, 7n), a.load(P)], [b.request(Func.Pageout, P, PAGE)]],
    gfns: [640n],
    always: (outcome) => outcome.includes('a: stored | = 0x7') && /640:[fs]:7:/.test(outcome),
  },
]);

explore(MEMFD_PRIVATE, [
  {
    name: 'the copy is dropped while it is being written: the file shows again',
    setUp: (vm) => {
      vm.vmm.fileWrite(hvaAt(vm, P), 4096n, 0x11);
      written(vm, [640n]);
    },
    programs: (a, b) => [[a.store(P, 7n), a.load(P + 8n)], [b.request(Func.Dontneed, P, PAGE)]],
    gfns: [640n],
    always: (outcome) => outcome.includes('a: stored | = 0x1111111111111111'),
  },
  {
    name: 'copies of two pages of one window, made by two',
    setUp: (vm) => {
      for (const at of [P, Q]) vm.vmm.fileWrite(hvaAt(vm, at), 4096n, 0x11);
      vm.guest.load(P, 8);
    },
    programs: (a, b) => [
      [a.store(P, 7n), a.load(Q + 8n)],
      [b.store(Q, 8n), b.load(P + 8n)],
    ],
    gfns: [640n, 641n],
    always: (outcome) => /640:a:7:111111111\w+ 641:a:8:111111111/.test(outcome),
  },
]);

const [FIRST, SECOND] = [CHUNK, NEXT_CHUNK];

explore(HUGETLB, [
  {
    name: 'a huge page that was dropped is zero when it comes back',
    interruptions: 1,
    setUp: backed(512n),
    programs: (a, b) => [
      [a.request(Func.Dontneed, FIRST, CHUNK_LEN), a.load(FIRST)],
      [b.load(FIRST), b.store(SECOND, 7n), b.load(SECOND + 8n)],
    ],
    gfns: [512n, 1024n],
    always: (outcome) => /^a: answer .* \| = 0x0$/m.test(outcome) && /\| stored \| = 0x0$/m.test(outcome),
  },
]);
explore(
  HUGETLB,
  [
    {
      name: 'two faults, one huge page: one gets it, the other none',
      setUp: () => {},
      programs: (a, b) => [[a.store(FIRST, 1n)], [b.store(SECOND, 2n)]],
      gfns: [512n, 1024n],
      always: (outcome) => outcome.split('Efault').length === 2,
    },
  ],
  { frames: 2 * 512 },
);
explore(HUGETLB_SHARED, [
  {
    name: 'after REMOVE of a part has answered nobody reads its old bytes',
    setUp: backed(640n, 641n),
    programs: (a, b) => [
      [a.request(Func.Remove, P, PAGE), a.load(P)],
      [b.load(P), b.load(Q)],
    ],
    gfns: [640n, 641n],
    always: (outcome) => /^a: answer .* \| = 0x0$/m.test(outcome),
  },
]);
