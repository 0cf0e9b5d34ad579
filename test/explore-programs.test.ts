// Small programs of two or three vCPUs, each about one promise of the machine; explored further than the pairs.
import { Func, TransportCommand } from '../assembly/abi/pvmemcontrol.ts';
import type { Vm } from '../src/machine.ts';
import type { Cpu } from './explore/calls.ts';
import type { Call } from './explore/fiber.ts';
import { exploreMachine } from './explore/machine.ts';
import { emptyPool, farPage, fillPool, PAGE, written } from './explore/operations.ts';
import { explorePrograms, type ProgramRow } from './explore/programs.ts';
import { hvaAt } from './support/machines.ts';

const P = 640n * PAGE;
const Q = 641n * PAGE;
/** First page of a 2 MiB chunk, and the last of the one before. */
const CHUNK = 1024n * PAGE;
const BELOW = CHUNK - PAGE;
const CHUNK_LEN = 512n * PAGE;

const backed = (...gfns: bigint[]) => {
  return (vm: Vm): void => written(vm, gfns);
};
const reset = (vm: Vm): void => {
  vm.guest.store(BigInt(vm.pci.window + 8), 4, TransportCommand.Reset);
};
const requestAll = (cpu: Cpu, ...funcs: Func[]): Call[] =>
  funcs.map((func) => cpu.request(func, P, PAGE, cpu.tag));

const ROWS: readonly ProgramRow[] = [
  {
    name: 'message passing: who sees the flag sees the data',
    setUp: () => {},
    programs: (a, b) => [
      [a.store(P, 1n), a.store(Q, 1n)],
      [b.load(Q), b.load(P)],
    ],
    gfns: [640n, 641n],
    always: (outcome) => !outcome.includes('b: = 0x1 | = 0x0'),
  },
  {
    name: 'message passing over pages that are there, every schedule',
    setUp: (vm) => {
      for (const gpa of [P, Q]) vm.guest.store(gpa, 8, 0);
    },
    programs: (a, b) => [
      [a.store(P, 1n), a.store(Q, 1n)],
      [b.load(Q), b.load(P)],
    ],
    gfns: [640n, 641n],
    interruptions: Number.POSITIVE_INFINITY,
    always: (outcome) => !outcome.includes('b: = 0x1 | = 0x0'),
  },
  {
    name: 'message passing over pages that come from swap',
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
    name: 'no store is lost to PAGEOUT',
    setUp: backed(640n),
    programs: (a, b) => [[a.store(P, 7n), a.load(P)], [b.request(Func.Pageout, P, PAGE)]],
    gfns: [640n],
    always: (outcome) => outcome.includes('a: stored | = 0x7') && /640:[as]:7:/.test(outcome),
  },
  {
    name: 'no store is lost to reclaim',
    setUp: (vm) => {
      written(vm, [640n, 641n]);
      emptyPool(vm);
    },
    programs: (a, b) => [
      [a.store(P, 7n), a.load(P)],
      [b.store(farPage(1), 1n), b.store(farPage(2), 1n)],
    ],
    gfns: [640n, 641n],
    reclaims: true,
    interruptions: 1,
    always: (outcome) => outcome.includes('a: stored | = 0x7') && /640:page:7:/.test(outcome),
  },
  {
    name: 'reclaim waits for the only chunk that has pages to take',
    setUp: (vm) => {
      written(vm, [640n, 641n]);
      vm.guest.pvmemcontrol.free({ gpa: Q, len: PAGE });
      fillPool(vm);
    },
    programs: (a, b) => [[a.touch(P, 7), a.request(Func.MprotectR, P, PAGE)], [b.store(farPage(1), 1n)]],
    gfns: [640n, 641n, farPage(1) / PAGE],
    reclaims: true,
    always: (outcome) => !outcome.includes('OutOfMemory'),
  },
  {
    name: 'reclaim for a request buffer waits too: the device does not break',
    setUp: (vm) => {
      written(vm, [640n, 641n]);
      vm.guest.pvmemcontrol.pageout({ gpa: 0x9000n, len: PAGE });
      fillPool(vm);
      vm.vmm.munlock(hvaAt(vm, 0x9000n), PAGE);
    },
    programs: (a, b) => [[a.request(Func.MprotectR, P, PAGE)], [b.request(Func.Mlock, Q, PAGE)]],
    gfns: [640n, 641n],
    reclaims: true,
    always: (outcome) => !outcome.includes('OutOfMemory') && /^device 2 /m.test(outcome),
  },
  {
    name: 'a store behind FREE is kept, or came before it',
    setUp: backed(640n),
    programs: (a, b) => [
      [a.store(P, 7n), a.load(P)],
      [b.request(Func.Free, P, PAGE), b.request(Func.Pageout, P, PAGE)],
    ],
    gfns: [640n],
  },
  {
    name: 'after DONTNEED has answered nobody reads old bytes',
    setUp: backed(640n),
    programs: (a, b) => [[a.request(Func.Dontneed, P, PAGE), a.load(P)], [b.load(P)]],
    gfns: [640n],
    always: (outcome) => /^a: answer .* \| = 0x0$/m.test(outcome),
  },
  {
    name: 'after MPROTECT NONE has answered nobody gets through',
    setUp: backed(640n),
    programs: (a, b) => [[a.request(Func.MprotectNone, P, PAGE), a.load(P)], [b.store(P, 7n)]],
    gfns: [640n],
    always: (outcome) => /^a: answer .* \| Efault/m.test(outcome),
  },
  {
    name: 'a load over a page border sees both pages before DONTNEED or after',
    setUp: backed(640n, 641n),
    programs: (a, b) => [[a.load(Q - 4n)], [b.request(Func.Dontneed, P, 2n * PAGE)]],
    gfns: [640n, 641n],
  },
  {
    name: 'a store over a chunk border, DONTNEED of both chunks',
    setUp: backed(1023n, 1024n),
    programs: (a, b) => [
      [a.store(CHUNK - 4n, ~0n & 0xffff_ffff_ffff_ffffn)],
      [b.request(Func.Dontneed, BELOW, 2n * PAGE)],
    ],
    gfns: [1023n, 1024n],
  },
  {
    name: 'two stores over the same page border',
    setUp: () => {},
    programs: (a, b) => [
      [a.store(Q - 4n, 0x1111_1111_1111_1111n)],
      [b.store(Q - 4n, 0x2222_2222_2222_2222n)],
    ],
    gfns: [640n, 641n],
  },
  {
    name: 'a SLAT table is freed under a walker',
    setUp: backed(1024n, 1025n),
    programs: (a, b) => [
      [a.load(CHUNK), a.store(CHUNK + PAGE, 1n)],
      [b.request(Func.Dontneed, CHUNK, CHUNK_LEN)],
    ],
    gfns: [1024n, 1025n],
  },
  {
    name: 'a SLAT table is freed and its page becomes another table',
    setUp: backed(1024n),
    programs: (a, b) => [
      [a.load(CHUNK)],
      [b.request(Func.Dontneed, CHUNK, CHUNK_LEN), b.store(P, 7n), b.store(farPage(1), 7n)],
    ],
    gfns: [640n, 1024n],
  },
  {
    name: 'RESET waits for a request that runs',
    setUp: backed(640n),
    programs: (a, b) => [
      [a.request(Func.Dontneed, P, PAGE), a.request(Func.Info, 0n, 0n)],
      [b.command(TransportCommand.Reset), b.answer()],
    ],
    gfns: [640n],
  },
  {
    name: 'two vCPUs register',
    setUp: reset,
    programs: (a, b) =>
      [a, b].map((cpu) => [
        cpu.setPayload(farPage(cpu.cpu)),
        cpu.command(TransportCommand.Register),
        cpu.payload(),
      ]),
    gfns: [],
  },
  {
    name: 'RESET while another vCPU registers',
    setUp: reset,
    programs: (a, b) => [
      [a.setPayload(P), a.command(TransportCommand.Register), a.command(TransportCommand.Ready), a.answer()],
      [b.command(TransportCommand.Reset), b.answer()],
    ],
    gfns: [],
  },
  {
    name: 'names of neighbours merge and split',
    setUp: backed(640n, 641n),
    programs: (a, b) => [
      [a.request(Func.SetVmaAnonName, P, PAGE, 5n), a.request(Func.SetVmaAnonName, P, PAGE, 0n)],
      [b.request(Func.SetVmaAnonName, Q, PAGE, 5n)],
    ],
    gfns: [640n, 641n],
  },
  {
    name: 'lock, unlock, protect: three calls on one page each',
    setUp: backed(640n),
    programs: (a, b) => [
      requestAll(a, Func.Mlock, Func.Munlock, Func.SetVmaAnonName),
      requestAll(b, Func.MprotectR, Func.MprotectNone, Func.MprotectRw),
    ],
    gfns: [639n, 640n, 641n],
    interruptions: 1,
  },
];

explorePrograms('explore › programs', exploreMachine({ cpus: 2 }), ROWS);
