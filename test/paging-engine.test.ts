// The walker of a processor over the engine's own tables: it comes to the same place, is stopped where the engine sees a
// violation, sets the same bits, and meets no entry that is misconfigured. Random guests; a failure names its seed (fast-check).
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type BackingKind,
  decodeEptEntry,
  decodeEptPointer,
  type EptWalk,
  PageModificationLog,
  type SlatAccess,
  type TableMemory,
  type Vm,
  walkEpt,
} from '../src/index.ts';
import { BUILDS, hvaAt, MIB, machine, PAGE } from './support/machines.ts';

const RAM = 16 * MIB;
const PAGES = RAM / PAGE;

/** Linear memory is the host's physical memory, where the tables are. Nothing is written there. */
const tablesOf = (vm: Vm): TableMemory => ({ read: (at) => vm.host.core.readU64(Number(at)) });
const walk = (vm: Vm, gpa: bigint, kind: SlatAccess['kind']): EptWalk =>
  walkEpt({ eptp: vm.observe.walk(gpa).eptp, memory: tablesOf(vm) }, gpa, { kind });

/** All entries of all tables that are present: how many leaves, and what is wrong with any. */
function wholeTree(vm: Vm): { leaves: number; wrong: string[] } {
  const memory = tablesOf(vm);
  const { root, levels, invalid } = decodeEptPointer(vm.observe.walk(0n).eptp);
  const wrong = invalid === undefined ? [] : [`EPTP: ${invalid}`];
  let leaves = 0;
  const visit = (table: bigint, level: number): void => {
    for (let i = 0n; i < 512n; i++) {
      const e = decodeEptEntry(memory.read(table + i * 8n) ?? 0n, level);
      if (!e.present) continue;
      if (e.misconfiguration !== undefined) wrong.push(`level ${level}: ${e.misconfiguration}`);
      if (e.leaf) leaves++;
      else visit(e.address, level - 1);
    }
  };
  visit(root, levels);
  return { leaves, wrong };
}

type Operation = readonly [
  (
    | 'load'
    | 'store'
    | 'fetch'
    | 'dontneed'
    | 'free'
    | 'pageout'
    | 'none'
    | 'read-only'
    | 'writable'
    | 'log'
    | 'harvest'
  ),
  /** First page and number of pages. */
  number,
  number,
];
const operation: fc.Arbitrary<Operation> = fc.tuple(
  fc.constantFrom<Operation[0]>(
    'load',
    'store',
    'fetch',
    'dontneed',
    'free',
    'pageout',
    'none',
    'read-only',
    'writable',
    'log',
    'harvest',
  ),
  // Mostly the same few pages, at borders of 2 MiB.
  fc.oneof(fc.integer({ min: 500, max: 530 }), fc.integer({ min: 0, max: PAGES - 65 })),
  fc.oneof(fc.constantFrom(1, 2, 64), fc.integer({ min: 1, max: 64 })),
);

/** KVM_MEM_LOG_DIRTY_PAGES of the one slot. */
function startLog(vm: Vm): void {
  const region = { slot: 0, flags: 1, guestPhysAddr: 0, memorySize: RAM, userspaceAddr: hvaAt(vm, 0) };
  expect(vm.kvm.setUserMemoryRegion(region)).toBe(0);
}

function carryOut(vm: Vm, [what, page, pages]: Operation): void {
  const gpa = BigInt(page * PAGE);
  const [hva, len] = [hvaAt(vm, gpa), BigInt(pages * PAGE)];
  const prot = { none: 0, 'read-only': 1, writable: 3 };
  switch (what) {
    case 'load':
      vm.guest.load(gpa, 8);
      break;
    case 'store':
      vm.guest.store(gpa, 8, 1);
      break;
    case 'fetch':
      vm.guest.fetch(gpa);
      break;
    case 'none':
    case 'read-only':
    case 'writable':
      vm.vmm.mprotect(hva, len, prot[what]);
      break;
    case 'log':
      startLog(vm);
      break;
    case 'harvest':
      vm.kvm.getDirtyLog(0);
      break;
    default:
      vm.vmm.madvise(hva, len, what);
  }
}

const violations = (vm: Vm): number => vm.observe.counters()['slat.violations'] ?? Number.NaN;
const attempt = (vm: Vm, gpa: bigint, kind: SlatAccess['kind']): void => {
  if (kind === 'write') vm.guest.store(gpa, 1, 1);
  else if (kind === 'read') vm.guest.load(gpa, 1);
  else vm.guest.fetch(gpa);
};

describe.each(BUILDS)('paging over the engine’s tables › %s', (_name, build) => {
  it.each<BackingKind>(['anon', 'thp', 'memfd'])('%s', async (backing) => {
    const gpas = fc.array(fc.integer({ min: 0, max: RAM - 1 }), { minLength: 4, maxLength: 8 });
    const property = fc.asyncProperty(
      fc.array(operation, { maxLength: 40 }),
      gpas,
      async (operations, probes) => {
        const vm = await machine(build, { backing, memory: RAM, pool: 24 * MIB });
        for (const o of operations) carryOut(vm, o);
        const { leaves, wrong } = wholeTree(vm);
        expect([leaves, wrong]).toEqual([vm.observe.counters()['slat.mapped'], []]);
        const touched = operations.map(([, page]) => page * PAGE + 7);
        for (const gpa of [...touched, ...probes].map(BigInt)) {
          for (const kind of ['read', 'fetch', 'write'] as const) {
            const { references, outcome } = walk(vm, gpa, kind);
            const seen = vm.observe.walk(gpa);
            expect(references.map((r) => [r.at, r.value])).toEqual(seen.entries.map((e) => [e.at, e.value]));
            const before = violations(vm);
            attempt(vm, gpa, kind);
            if (outcome.kind === 'ok') {
              expect([outcome.hpa, violations(vm) - before]).toEqual([seen.hpa, 0]);
              expect(vm.observe.walk(gpa).entries.map((e) => e.value)).toEqual(
                references.map((r) => r.after),
              );
            } else {
              expect([outcome.kind, violations(vm) - before]).toEqual(['violation', 1]);
            }
          }
        }
        expect(wholeTree(vm).wrong).toEqual([]);
      },
    );
    await fc.assert(property, { numRuns: 30 });
  }, 60_000);

  it('a dirty log: the walker sets D at the first write, where the engine does, and its log has the same pages', async () => {
    const vm = await machine(build, { memory: RAM });
    const written = [3, 5, 9, 600];
    for (const page of written) vm.guest.store(page * PAGE, 8, 1);
    startLog(vm);
    // What the walker sets stays out of the engine's tables.
    const set = new Map<bigint, bigint>();
    const { read } = tablesOf(vm);
    const memory: TableMemory = {
      read: (at) => set.get(at) ?? read(at),
      write: (at, value) => set.set(at, value).has(at),
    };
    const log = new PageModificationLog();
    const { eptp } = vm.observe.walk(0n);
    for (const page of [9, 3, 3, 600]) {
      walkEpt({ eptp, memory, log }, BigInt(page * PAGE), { kind: 'write' });
      vm.guest.store(page * PAGE, 8, 2);
    }
    expect([...set].map(([at]) => read(at))).toEqual([...set].map(([, value]) => value));
    expect(log.drain().map((gpa) => Number(gpa) / PAGE)).toEqual([9, 3, 600]);
    expect([...vm.kvm.getDirtyLog(0).pages]).toEqual([3, 9, 600]);
  });
});
