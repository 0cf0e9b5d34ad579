// Small programs that allocate: each works on a VM that `setup` has prepared, and says in a word how it ended.
import { Fail } from '../../assembly/abi/fail.ts';
import type { Vm } from '../../src/machine.ts';
import type { Access, BackingKind, Exit, HostAccess } from '../../src/types.ts';
import type { Advice } from '../../src/vmm/process.ts';
import { ANY } from './fail.ts';
import { hvaAt, PAGE } from './machines.ts';

export interface Program {
  readonly name: string;
  /** Left out: all. */
  readonly backings?: readonly BackingKind[];
  readonly memoryLimit?: number;
  readonly setup: (vm: Vm) => void;
  readonly run: (vm: Vm) => string;
  /** How it may end when an allocation fails, besides as ever. */
  readonly failures: readonly string[];
  /** Kinds of failures (by backing) after which the same state cannot be had by running again. Default: SMALL_PAGES. */
  readonly otherState?: Partial<Record<BackingKind, number>>;
}

export const ALL: readonly BackingKind[] = [
  ...(['anon', 'anon_acct', 'memfd', 'memfd_priv', 'thp', 'hugetlb', 'hugetlb_shared'] as const),
];
const ANONYMOUS = ['anon', 'anon_acct', 'thp'] as const;
const PRIVATE = [...ANONYMOUS, 'memfd_priv'] as const;
const SHARED_FILES = ['memfd', 'hugetlb_shared'] as const;
const PAGED = [...PRIVATE, 'memfd'] as const;

/** Pages with contents on both sides of a border of 2 MiB. (The driver's buffer, with the answer, is page 8.) */
const FIRST = 508;
const COUNT = 8;
export const WATCHED: readonly number[] = [...Array.from({ length: 16 }, (_, i) => FIRST - 4 + i), 1020];

const ERRNO: Readonly<Record<number, string>> = {
  0: 'ok',
  11: 'EAGAIN',
  12: 'ENOMEM',
  13: 'EACCES',
  14: 'EFAULT',
  22: 'EINVAL',
};
const errno = (n: number): string => ERRNO[n] ?? `errno ${n}`;
const ended = (access: Access): string => (access.ok ? 'ok' : access.exit.reason);
const loop = ({ exit }: { readonly exit?: Exit }): string => exit?.reason ?? 'ok';
const host = (access: HostAccess): string => (access.ok ? 'ok' : access.signal);

const range = (vm: Vm, page: number, pages: number) =>
  [hvaAt(vm, page * PAGE), BigInt(pages * PAGE)] as const;
const span = (page: number, pages: number) => ({ gpa: page * PAGE, len: pages * PAGE });
const advise = (vm: Vm, advice: Advice, page = FIRST, pages = COUNT): string =>
  errno(vm.vmm.madvise(...range(vm, page, pages), advice));

function written(vm: Vm): void {
  for (let i = 0; i < COUNT; i++) vm.guest.fill({ ...span(FIRST + i, 1), byte: i + 1 });
}
function equal(vm: Vm): void {
  vm.guest.fill({ ...span(FIRST, COUNT), byte: 7 });
  advise(vm, 'mergeable');
}
function merged(vm: Vm): void {
  equal(vm);
  vm.host.ksm.scan(3);
}
function swapped(vm: Vm): void {
  written(vm);
  advise(vm, 'pageout');
}
const nothing = (): void => {};
const cut = (vm: Vm): void => {
  vm.vmm.mprotect(...range(vm, FIRST + 2, 3), 1);
};

// A huge page that could not be had is 512 small pages from then on.
export const SMALL_PAGES: NonNullable<Program['otherState']> = {
  thp: Fail.Frame | Fail.Group | Fail.Metadata,
};
// A file's page is unmapped before it is known that there is no slot, and a second PAGEOUT sees mapped pages only. A huge
// page that does not get all its slots is split.
const NOT_PAGED_OUT = { memfd: Fail.Slot, thp: ANY };
// Which pages are in swap depends on when room was needed.
const OTHER_PAGES = { anon: ANY, memfd: ANY, memfd_priv: ANY };

const ACCESS = ['OUT_OF_MEMORY', 'EFAULT'];
const HOST = ['SIGBUS'];
const CALL = ['ENOMEM', 'EAGAIN'];
/** Also those of the driver, whose buffer cannot be reached. */
const REQUEST = [...CALL, 'EFAULT', 'EINVAL'];

export const PROGRAMS: readonly Program[] = [
  {
    name: 'guest read',
    setup: nothing,
    run: (vm) => loop(vm.guest.touch(span(FIRST, COUNT))),
    failures: ACCESS,
  },
  {
    name: 'guest write',
    setup: nothing,
    run: (vm) => loop(vm.guest.fill({ ...span(FIRST, COUNT), byte: 9 })),
    failures: ACCESS,
  },
  {
    name: 'guest store over a page border',
    setup: nothing,
    run: (vm) => ended(vm.guest.store(512 * PAGE - 4, 8, 0x1111_2222_3333_4444n)),
    failures: ACCESS,
  },
  {
    name: 'VMM read',
    setup: nothing,
    run: (vm) => host(vm.vmm.load(hvaAt(vm, FIRST * PAGE))),
    failures: HOST,
  },
  {
    name: 'VMM write',
    setup: nothing,
    run: (vm) => host(vm.vmm.fillPage(hvaAt(vm, FIRST * PAGE), 9)),
    failures: HOST,
  },
  {
    name: 'VMM write to what was read',
    setup: (vm) => vm.guest.touch(span(FIRST, COUNT)),
    run: (vm) => host(vm.vmm.fillPage(hvaAt(vm, FIRST * PAGE), 9)),
    failures: HOST,
  },
  {
    name: 'write(2) to the file',
    backings: ['memfd', 'memfd_priv'],
    setup: nothing,
    run: (vm) => errno(vm.vmm.fileWrite(hvaAt(vm, FIRST * PAGE), 4096n, 9).errno),
    failures: CALL,
  },
  { name: 'DONTNEED', setup: written, run: (vm) => advise(vm, 'dontneed'), failures: [] },
  { name: 'FREE', setup: written, run: (vm) => advise(vm, 'free'), failures: [] },
  {
    name: 'PAGEOUT',
    setup: written,
    run: (vm) => advise(vm, 'pageout'),
    failures: [],
    otherState: NOT_PAGED_OUT,
  },
  {
    name: 'PAGEOUT of 2 MiB',
    setup: written,
    run: (vm) => advise(vm, 'pageout', 0, 512),
    failures: [],
    otherState: NOT_PAGED_OUT,
  },
  { name: 'REMOVE', backings: SHARED_FILES, setup: written, run: (vm) => advise(vm, 'remove'), failures: [] },
  { name: 'DONTDUMP', setup: written, run: (vm) => advise(vm, 'dontdump', FIRST + 2, 3), failures: CALL },
  {
    name: 'a name',
    setup: written,
    run: (vm) => errno(vm.vmm.setAnonName(...range(vm, FIRST + 2, 3), 'x')),
    failures: CALL,
  },
  {
    name: 'MPROTECT',
    setup: written,
    run: (vm) => errno(vm.vmm.mprotect(...range(vm, FIRST + 2, 3), 0)),
    failures: CALL,
  },
  {
    name: 'MPROTECT back',
    setup: (vm) => {
      written(vm);
      cut(vm);
    },
    run: (vm) => errno(vm.vmm.mprotect(...range(vm, FIRST, COUNT), 3)),
    failures: CALL,
  },
  {
    name: 'MPROTECT of locked memory to writable',
    setup: (vm) => {
      written(vm);
      vm.vmm.mprotect(...range(vm, FIRST, COUNT), 1);
      vm.vmm.mlock(...range(vm, FIRST - 4, 16));
    },
    // What cannot be brought in is left out.
    run: (vm) => errno(vm.vmm.mprotect(...range(vm, FIRST - 4, 16), 3)),
    failures: CALL,
  },
  {
    name: 'MLOCK',
    setup: written,
    run: (vm) => errno(vm.vmm.mlock(...range(vm, FIRST - 2, 12))),
    failures: CALL,
  },
  {
    name: 'MUNLOCK',
    setup: (vm) => {
      written(vm);
      vm.vmm.mlock(...range(vm, FIRST, COUNT));
    },
    run: (vm) => errno(vm.vmm.munlock(...range(vm, FIRST + 2, 3))),
    failures: CALL,
  },
  {
    name: 'munmap in the middle',
    setup: written,
    run: (vm) => errno(vm.vmm.munmap(...range(vm, FIRST + 2, 3))),
    failures: CALL,
  },
  { name: 'MERGEABLE', setup: written, run: (vm) => advise(vm, 'mergeable', FIRST + 2, 3), failures: CALL },
  {
    name: 'KSM scans',
    backings: PRIVATE,
    setup: equal,
    run: (vm) => {
      vm.host.ksm.scan(3);
      return 'ok';
    },
    failures: [],
  },
  {
    name: 'write to a page that KSM shares',
    backings: PRIVATE,
    setup: merged,
    run: (vm) => loop(vm.guest.fill({ ...span(FIRST + 1, 2), byte: 3 })),
    failures: ACCESS,
  },
  {
    name: 'UNMERGEABLE',
    backings: PRIVATE,
    setup: merged,
    run: (vm) => advise(vm, 'unmergeable', FIRST + 1, 5),
    failures: CALL,
  },
  {
    name: 'swap-in by a guest read',
    backings: PAGED,
    setup: swapped,
    run: (vm) => loop(vm.guest.touch(span(FIRST, COUNT))),
    failures: ACCESS,
  },
  {
    name: 'swap-in by a guest write',
    backings: PAGED,
    setup: swapped,
    run: (vm) => loop(vm.guest.fill({ ...span(FIRST, COUNT), byte: 3 })),
    failures: ACCESS,
  },
  {
    name: 'copy of a file page',
    backings: ['memfd_priv'],
    setup: (vm) => {
      vm.vmm.fileWrite(hvaAt(vm, FIRST * PAGE), 4096n, 5);
      vm.guest.touch(span(FIRST, 2));
    },
    run: (vm) => loop(vm.guest.fill({ ...span(FIRST, 2), byte: 3 })),
    failures: ACCESS,
  },
  {
    name: 'copy of a swapped file page',
    backings: ['memfd_priv'],
    setup: (vm) => {
      vm.vmm.fileWrite(hvaAt(vm, FIRST * PAGE), 4096n, 5);
      vm.guest.touch(span(FIRST, 2));
      advise(vm, 'pageout');
    },
    run: (vm) => loop(vm.guest.fill({ ...span(FIRST, 2), byte: 3 })),
    failures: ACCESS,
  },
  {
    name: 'split of a huge page',
    backings: ['thp'],
    setup: written,
    run: (vm) => advise(vm, 'free', FIRST, 2),
    failures: [],
  },
  {
    name: 'pressure: more pages than the limit allows',
    backings: ['anon', 'memfd', 'memfd_priv'],
    memoryLimit: 20 * PAGE,
    setup: written,
    run: (vm) => loop(vm.guest.fill({ ...span(1020 - 40, 40), byte: 9 })),
    failures: ACCESS,
    otherState: OTHER_PAGES,
  },
  {
    name: 'binding the driver',
    setup: nothing,
    run: (vm) => errno(vm.guest.driver.bound ? 0 : -vm.guest.driver.probe()),
    failures: ['EINVAL', 'EFAULT'],
  },
  ...(['dontneed', 'pageout', 'mlock', 'mprotectNone', 'setVmaAnonName'] as const).map((request) => ({
    name: `a request: ${request}`,
    setup: (vm: Vm) => {
      vm.guest.driver.probe();
      written(vm);
    },
    run: (vm: Vm) => {
      const { errno: error } = vm.guest.pvmemcontrol[request]({ ...span(FIRST + 1, 3), arg: 7 });
      return errno(error);
    },
    failures: REQUEST,
    ...(request === 'pageout' && { otherState: NOT_PAGED_OUT }),
  })),
  {
    name: 'a request from a buffer that is in swap',
    backings: PAGED,
    setup: (vm) => {
      vm.guest.driver.probe();
      vm.vmm.madvise(...range(vm, 8, 1), 'pageout');
    },
    run: (vm) => errno(vm.guest.pvmemcontrol.dontneed(span(FIRST, 1)).errno),
    failures: REQUEST,
  },
];
