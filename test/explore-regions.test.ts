// The list of mappings in regions: while vCPU threads run, each 2 MiB of this small guest has a list of its own
// (assembly/mm/regions.ts). What lies over a border, and what concerns all lists, must be as with one list.
import { Func } from '../assembly/abi/pvmemcontrol.ts';
import { Prot } from '../assembly/abi/status.ts';
import { exploreMachine, type MachineSize } from './explore/machine.ts';
import { PAGE, written } from './explore/operations.ts';
import { explorePrograms, type ProgramRow } from './explore/programs.ts';
import { hvaAt } from './support/machines.ts';

/** In region 1, and in region 2: its first page, and one in its middle. */
const P = 640n * PAGE;
const BORDER = 1024n * PAGE;
const BELOW = BORDER - PAGE;
const Q = 1100n * PAGE;

const ROWS: readonly ProgramRow[] = [
  {
    name: 'a VMA over a border is cut there and joined again, its two parts being changed',
    setUp: (vm) => written(vm, [1023n, 1024n]),
    programs: (a, b) => [
      [a.request(Func.MprotectR, BELOW, PAGE), a.request(Func.MprotectRw, BELOW, PAGE)],
      [b.request(Func.MprotectR, BORDER, PAGE), b.request(Func.MprotectRw, BORDER, PAGE)],
    ],
    gfns: [1022n, 1023n, 1024n, 1025n],
    interruptions: 1,
  },
  {
    name: 'a whole region changes, and pages on both sides of its borders',
    setUp: (vm) => written(vm, [512n, 1023n]),
    programs: (a, b) => [
      [a.request(Func.SetVmaAnonName, 512n * PAGE, 512n * PAGE, 5n)],
      [
        b.request(Func.SetVmaAnonName, 511n * PAGE, PAGE, 5n),
        b.request(Func.SetVmaAnonName, BORDER, PAGE, 5n),
      ],
    ],
    gfns: [511n, 512n, 1023n, 1024n],
    interruptions: 1,
  },
];

/** Nothing of the guest is there yet, so no VMA has an anon_vma. */
const UNTOUCHED: readonly ProgramRow[] = [
  {
    name: 'the first anonymous pages of one VMA, in two regions',
    setUp: () => {},
    programs: (a, b) => [[a.store(P, 1n)], [b.store(Q, 1n)]],
    gfns: [640n, 1100n],
  },
  {
    name: 'the first anonymous page of a VMA, while its neighbour in the next region joins it',
    setUp: (vm) => {
      vm.vmm.mlock(hvaAt(vm, BORDER), PAGE);
    },
    programs: (a, b) => [[a.hostCall(Func.Munlock, BORDER, PAGE)], [b.store(P, 1n)]],
    gfns: [640n, 1024n],
  },
  {
    name: 'the same with the piece below the border',
    setUp: (vm) => {
      vm.vmm.mlock(hvaAt(vm, BELOW), PAGE);
      vm.vmm.mprotect(hvaAt(vm, 0n), 1023n * PAGE, Prot.Read);
    },
    programs: (a, b) => [[a.hostCall(Func.Munlock, BELOW, PAGE)], [b.store(Q, 1n)]],
    gfns: [1023n, 1100n],
  },
  {
    name: 'a VMA joins its neighbour, which is cut two regions away',
    setUp: (vm) => {
      vm.vmm.mlock(hvaAt(vm, BORDER), PAGE);
    },
    programs: (a, b) => [
      [a.hostCall(Func.Munlock, BORDER, PAGE)],
      [b.hostCall(Func.MprotectR, 300n * PAGE, PAGE)],
    ],
    gfns: [300n, 1024n],
  },
];

/** VMAs that the limit allows: what the VMM has besides, and `room` more than there are at first. */
const limited = (room: number): { maxMapCount: number } => ({ maxMapCount: 30 + 1 + room });

const atTheLimit = (room: number): ProgramRow => ({
  name: `max_map_count leaves ${room}, both cut two`,
  setUp: () => {},
  programs: (a, b) => [
    [a.request(Func.SetVmaAnonName, P, PAGE, 1n), a.request(Func.SetVmaAnonName, P, PAGE, 0n)],
    [b.request(Func.MprotectR, Q, PAGE)],
  ],
  gfns: [640n, 1100n],
});

const LIMITED_LOCKING: ProgramRow = {
  name: 'RLIMIT_MEMLOCK leaves one page, both lock one',
  setUp: () => {},
  programs: (a, b) => [
    [a.request(Func.Mlock, P, PAGE), a.request(Func.Munlock, P, PAGE)],
    [b.request(Func.Mlock, Q, PAGE)],
  ],
  gfns: [640n, 1100n],
};

const ACCOUNTED: ProgramRow = {
  name: 'accounting is given back only where no anonymous page is',
  setUp: () => {},
  programs: (a, b) => [[a.hostCall(Func.MprotectR, P, PAGE)], [b.store(Q, 1n)]],
  gfns: [640n, 1100n],
};

const explore = (size: Omit<MachineSize, 'cpus'>, rows: readonly ProgramRow[]): void =>
  explorePrograms('explore › regions', exploreMachine({ cpus: 2, ...size }), rows);

explore({}, ROWS);
explore({ driver: false }, UNTOUCHED);
for (const room of [1, 2, 3]) explore({ vmm: limited(room) }, [atTheLimit(room)]);
explore({ vmm: { memlock: 4096 } }, [LIMITED_LOCKING]);
explore({ driver: false, vmm: { backing: 'anon_acct' } }, [ACCOUNTED]);
