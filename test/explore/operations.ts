// The table of operations that are explored against each other. A later operation is one more row: every pair with the
// others, at every place and from every state, comes by itself (docs/concurrency-testing.md).
import { Func, TransportCommand } from '../../assembly/abi/pvmemcontrol.ts';
import { Prot } from '../../assembly/abi/status.ts';
import type { Vm } from '../../src/machine.ts';
import type { Advice } from '../../src/vmm/process.ts';
import { hvaAt } from '../support/machines.ts';
import type { Cpu } from './calls.ts';
import type { Call } from './fiber.ts';
import type { MachineSize } from './machine.ts';

export const PAGE = 4096n;

/** The pages that an operation is about. */
export interface Place {
  /** First byte of the range, for operations on ranges. */
  readonly gpa: bigint;
  readonly len: bigint;
  /** Address for a single access. */
  readonly word: bigint;
}

/** `pages` pages from gfn on; single accesses at `word`. */
export function range(gfn: bigint, pages: bigint, word = gfn * PAGE): Place {
  return { gpa: gfn * PAGE, len: pages * PAGE, word };
}

export interface Operation {
  readonly name: string;
  /** What it changes or looks at: pages in `Place`, or only the device. */
  readonly on: 'pages' | 'device';
  program(cpu: Cpu, place: Place): readonly Call[];
  /** What must be so before the threads start. */
  before?(vm: Vm, place: Place): void;
  /** It goes through a per-CPU buffer. */
  readonly isRequest?: boolean;
  /** It makes the host reclaim pages. */
  readonly reclaims?: boolean;
}

/** A page that no place contains, in a chunk of its own, for vCPU `cpu`. */
export const farPage = (cpu: number): bigint => (2000n + BigInt(cpu)) * PAGE;
const FILLER = 1536n * PAGE;
/** Pages that reclaim can take while vCPUs are at work on those of the place: in a chunk of their own. */
export const SPARE = range(2100n, 4n);

/** Takes all frames of the pool and locks them, request buffers too: the next page costs one that is there already. */
export function fillPool(vm: Vm): void {
  vm.vmm.mlock(hvaAt(vm, 0x8000n), BigInt(vm.cpus) * PAGE);
  vm.vmm.mlock(hvaAt(vm, FILLER), BigInt(vm.host.frames().free) * PAGE);
  if (vm.host.frames().free !== 0) throw new Error('the pool is not empty');
}

/** The same, but reclaim finds pages besides those of the place: the spare ones. */
export function emptyPool(vm: Vm): void {
  vm.guest.touch({ ...SPARE, write: true });
  fillPool(vm);
}

/** The pages stay, their SLAT entries go. */
export function zap(vm: Vm, { gpa, len }: Place): void {
  for (const prot of [Prot.Read, Prot.Read | Prot.Write]) vm.vmm.mprotect(hvaAt(vm, gpa), len, prot);
}

export const request = (name: string, func: Func, arg?: (cpu: Cpu) => bigint): Operation => ({
  name,
  on: func === Func.Info ? 'device' : 'pages',
  isRequest: true,
  program: (cpu, { gpa, len }) => [cpu.request(func, gpa, len, arg?.(cpu) ?? 0n)],
});

/** A request that frees frames, and a store that gets one of them: who still writes to it is found out there. */
export const freeing = (name: string, func: Func): Operation => ({
  name,
  on: 'pages',
  isRequest: true,
  program: (cpu, { gpa, len }) => [cpu.request(func, gpa, len), cpu.store(farPage(cpu.cpu), cpu.tag)],
});

const device = (
  name: string,
  program: (cpu: Cpu) => readonly Call[],
  first?: TransportCommand,
): Operation => ({
  name,
  on: 'device',
  program,
  ...(first !== undefined && {
    before: (vm: Vm) => {
      vm.guest.store(BigInt(vm.pci.window + 8), 4, first);
    },
  }),
});

const register = (cpu: Cpu): readonly Call[] => [
  cpu.setPayload(farPage(cpu.cpu)),
  cpu.command(TransportCommand.Register),
  cpu.payload(),
];

export const OPERATIONS: readonly Operation[] = [
  { name: 'load', on: 'pages', program: (cpu, { word }) => [cpu.load(word)] },
  { name: 'store', on: 'pages', program: (cpu, { word }) => [cpu.store(word, cpu.tag)] },
  { name: 'fault read', on: 'pages', before: zap, program: (cpu, { word }) => [cpu.touch(word)] },
  {
    name: 'fault write',
    on: 'pages',
    before: zap,
    program: (cpu, { word }) => [cpu.touch(word, Number(cpu.tag))],
  },
  freeing('DONTNEED', Func.Dontneed),
  request('FREE', Func.Free),
  freeing('PAGEOUT', Func.Pageout),
  request('MPROTECT NONE', Func.MprotectNone),
  request('MPROTECT R', Func.MprotectR),
  request('MPROTECT RW', Func.MprotectRw),
  request('MLOCK', Func.Mlock),
  request('MUNLOCK', Func.Munlock),
  request('SET_NAME', Func.SetVmaAnonName, (cpu) => cpu.tag),
  {
    name: 'reclaim',
    on: 'pages',
    reclaims: true,
    before: emptyPool,
    program: (cpu) => [cpu.store(farPage(cpu.cpu), cpu.tag)],
  },
  request('INFO', Func.Info),
  device('RESET', (cpu) => [cpu.command(TransportCommand.Reset), cpu.answer()]),
  device('REGISTER', register, TransportCommand.Reset),
  device('REGISTER when ready', register),
  device('READY', (cpu) => [cpu.command(TransportCommand.Ready), cpu.answer()], TransportCommand.Reset),
  device('DISCONNECT', (cpu) => [cpu.command(TransportCommand.Disconnect), cpu.answer()]),
];

/** A state of the pages around a place before the threads start. */
export interface State {
  readonly name: string;
  bring(vm: Vm, gfns: readonly bigint[]): void;
}

/** The guest writes two words of its own into each page. */
export function written(vm: Vm, gfns: readonly bigint[]): void {
  for (const gfn of gfns) {
    vm.guest.store(gfn * PAGE, 8, gfn * 0x10001n);
    vm.guest.store(gfn * PAGE + 4088n, 8, gfn * 0x10003n);
  }
}

/** The VMM's advice on each page of its own. */
export function advise(vm: Vm, gfns: readonly bigint[], advice: (gfn: bigint) => Advice): void {
  for (const gfn of gfns) vm.vmm.madvise(hvaAt(vm, gfn * PAGE), PAGE, advice(gfn));
}

const paged = (vm: Vm, gfns: readonly bigint[], even: Advice, odd: Advice): void => {
  written(vm, gfns);
  advise(vm, gfns, (gfn) => (gfn % 2n === 0n ? even : odd));
};

export const STATES: readonly State[] = [
  { name: 'untouched', bring: () => {} },
  { name: 'backed', bring: written },
  { name: 'swapped and lazily freed', bring: (vm, gfns) => paged(vm, gfns, 'pageout', 'free') },
  { name: 'lazily freed and swapped', bring: (vm, gfns) => paged(vm, gfns, 'free', 'pageout') },
];
export const BACKED = STATES[1] as State;

/** Where two operations meet: a place for each of them. */
export interface Meeting {
  readonly name: string;
  readonly places: readonly [Place, Place];
  /** Pages that both together have to do with, and one on each side. */
  readonly gfns: readonly bigint[];
}

/** Chunks of 2 MiB begin at multiples of 512 pages; the lists of mappings of a small guest do so too. */
export const MEETINGS: readonly Meeting[] = [
  { name: 'same page', places: [range(640n, 1n), range(640n, 1n)], gfns: [639n, 640n, 641n] },
  { name: 'neighbours', places: [range(640n, 1n), range(641n, 1n)], gfns: [639n, 640n, 641n, 642n] },
  {
    name: 'chunk border',
    places: [range(1023n, 2n), range(1023n, 2n, 1024n * PAGE)],
    gfns: [1022n, 1023n, 1024n, 1025n],
  },
  {
    name: 'neighbours at a chunk border',
    places: [range(1023n, 1n), range(1024n, 1n)],
    gfns: [1022n, 1023n, 1024n, 1025n],
  },
];

/** A kind of guest memory: a machine that has it, and what is explored on it. */
export interface Memory {
  readonly name: string;
  readonly size: Omit<MachineSize, 'cpus'>;
  readonly operations: readonly Operation[];
  readonly states: readonly State[];
  readonly meetings: readonly Meeting[];
  /** TrialPlan.more */
  readonly more?: (vm: Vm, gfns: readonly bigint[]) => string;
  /** The tests take one pair in so many. Default: all. */
  readonly oneIn?: number;
  /** Its operations take hundreds of steps (TrialPlan.coarse). */
  readonly coarse?: boolean;
}

/** Rows of the table above, by name. */
export const rowsOf = (...names: readonly string[]): Operation[] =>
  names.map((name) => {
    const row = OPERATIONS.find((operation) => operation.name === name);
    if (!row) throw new Error(`no operation ${name}`);
    return row;
  });

/** Private anonymous memory in small pages. */
export const SMALL_PAGES: Memory = {
  name: 'small pages',
  size: {},
  operations: OPERATIONS,
  states: STATES,
  meetings: MEETINGS,
};
