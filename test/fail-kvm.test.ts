// "What if there is no memory just now?" for KVM's calls and the faults behind them: every allocation fails, one at a time
// and from one on. The call says ENOMEM, or the access OUT_OF_MEMORY, all invariants hold, nothing is lost, and the same call
// works when there is memory again. Reference: linux Documentation/fault-injection; see also fail-nth, fail-mmap.
import { describe, expect, it } from 'vitest';
import { Errno } from '../assembly/abi/errno.ts';
import type { GmemProfileName, Vm } from '../src/index.ts';
import { ANY, FOREVER, failing } from './support/fail.ts';
import { hvaAt, MIB, machine, PAGE } from './support/machines.ts';

const PS = 4096n;
const GPA = 0x1_0000_0000n;
const MAP = 0x1000_4000_0000n;
const PRIVATE = 8;

/** A slot with a guest_memfd of 4 MiB at 4 GiB, of which some pages are private and used; slot 0 is RAM and logs. */
interface Machine {
  readonly vm: Vm;
  readonly fd: number;
}
async function made(gmemProfile: GmemProfileName, pml: boolean): Promise<Machine> {
  const vm = await machine(
    { core: 'debug', wasmMemory: 'plain' },
    { memory: 4 * MIB, pool: 16 * MIB, swap: 0, vmType: 1, gmemProfile, pml, physBits: 46 },
  );
  const own = gmemProfile === 'D';
  const { fd } = vm.kvm.createGuestMemfd({ size: 4 * MIB, flags: own ? 3 : gmemProfile === 'A' ? 1 : 0 });
  if (own) vm.vmm.mmap({ addr: MAP, length: 4n << 20n, prot: 3, shared: true, fd });
  vm.kvm.setUserMemoryRegion2({
    slot: 1,
    flags: 4,
    guestPhysAddr: GPA,
    memorySize: 4 * MIB,
    userspaceAddr: own ? MAP : hvaAt(vm, 0),
    guestMemfd: fd,
  });
  if (own) vm.kvm.setMemoryAttributes2({ fd, offset: 0, size: 8n * PS, attributes: PRIVATE });
  else vm.kvm.setMemoryAttributes({ address: GPA, size: 8n * PS, attributes: PRIVATE });
  for (let page = 0n; page < 4n; page++) vm.guest.store(GPA + page * PS, 1, 0x10 + Number(page));
  vm.guest.touch({ gpa: 0, len: 16 * PAGE, write: true });
  return { vm, fd };
}

const region = (vm: Vm, slot: number, flags: number, gpa: bigint, size = 8 * PAGE): Errno =>
  vm.kvm.setUserMemoryRegion({
    slot,
    flags,
    guestPhysAddr: gpa,
    memorySize: size,
    userspaceAddr: hvaAt(vm, 0),
  });

/** Bytes of slot 1 become private, the way of the VM's profile. */
const convert = (vm: Vm, fd: number, offset: bigint, size: bigint): unknown =>
  vm.kvm.fileAttributes
    ? vm.kvm.setMemoryAttributes2({ fd, offset, size, attributes: PRIVATE })
    : vm.kvm.setMemoryAttributes({ address: GPA + offset, size, attributes: PRIVATE });

interface Row {
  readonly name: string;
  readonly run: (machine: Machine) => unknown;
  readonly before?: (machine: Machine) => unknown;
  /** What it may say, besides what it says without a failure. */
  readonly failure: unknown;
  readonly profiles?: readonly GmemProfileName[];
  /** Only page-modification logs take memory. */
  readonly pml?: true;
}
const OUT = { ok: false, reason: 'OUT_OF_MEMORY' };
const access = (a: ReturnType<Vm['guest']['load']>): unknown =>
  a.ok ? { ok: true, value: a.value } : { ok: false, reason: a.exit.reason };

const ROWS: readonly Row[] = [
  { name: 'a slot', run: ({ vm }) => region(vm, 70, 0, 2n * GPA), failure: Errno.ENOMEM },
  { name: 'a slot that logs', run: ({ vm }) => region(vm, 70, 1, 2n * GPA), failure: Errno.ENOMEM },
  {
    name: 'a log for a slot',
    pml: true,
    before: ({ vm }) => region(vm, 70, 0, 2n * GPA),
    run: ({ vm }) => region(vm, 70, 1, 2n * GPA),
    failure: Errno.ENOMEM,
  },
  {
    name: 'a slot that moves, and a log for it',
    pml: true,
    before: ({ vm }) => region(vm, 70, 0, 2n * GPA),
    run: ({ vm }) => region(vm, 70, 1, 3n * GPA),
    failure: Errno.ENOMEM,
  },
  {
    name: 'a write that is logged',
    before: ({ vm }) => region(vm, 0, 1, 0n, 4 * MIB),
    run: ({ vm }) => access(vm.guest.store(5n * PS, 1, 7)),
    failure: OUT,
  },
  {
    name: 'a read that makes a logged translation',
    before: ({ vm }) => {
      region(vm, 0, 1, 0n, 4 * MIB);
      vm.vmm.store(hvaAt(vm, 100 * PAGE), 9);
    },
    run: ({ vm }) => access(vm.guest.load(100n * PS, 1)),
    failure: OUT,
  },
  {
    name: 'attributes of a range inside others',
    run: ({ vm }) =>
      vm.kvm.setMemoryAttributes({
        address: GPA + 4n * PS,
        size: (3n << 27n) + 5n * PS,
        attributes: PRIVATE,
      }),
    failure: Errno.ENOMEM,
    profiles: ['A', 'B', 'C'],
  },
  {
    name: 'attributes of some of what is private as a whole',
    before: ({ vm }) =>
      vm.kvm.setMemoryAttributes({ address: 1n << 40n, size: 1n << 36n, attributes: PRIVATE }),
    run: ({ vm }) =>
      vm.kvm.setMemoryAttributes({ address: (1n << 40n) + 5n * PS, size: 1n << 30n, attributes: 0 }),
    failure: Errno.ENOMEM,
    profiles: ['B'],
  },
  {
    name: 'conversion in place',
    before: ({ vm, fd }) => vm.kvm.setMemoryAttributes2({ fd, offset: 0, size: 8n * PS, attributes: 0 }),
    run: ({ vm, fd }) =>
      vm.kvm.setMemoryAttributes2({ fd, offset: 5n * PS, size: 700n * PS, attributes: PRIVATE }).errno,
    failure: Errno.ENOMEM,
    profiles: ['D'],
  },
  {
    name: 'a fault of private memory',
    before: ({ vm, fd }) => convert(vm, fd, 2n << 20n, 8n * PS),
    run: ({ vm }) => access(vm.guest.store(GPA + (2n << 20n), 1, 7)),
    failure: OUT,
  },
  {
    name: 'allocation of a range',
    run: ({ vm, fd }) => vm.vmm.fallocate(fd, 1, 2n << 20n, 64n * PS),
    failure: Errno.ENOMEM,
  },
  {
    name: 'a guest_memfd',
    run: ({ vm }) => vm.kvm.createGuestMemfd({ size: 1 << 20 }).errno,
    failure: Errno.ENOMEM,
  },
];

const rows = ROWS.flatMap((row) =>
  (row.profiles ?? (['A', 'B', 'D'] as const)).flatMap((profile) =>
    (row.pml ? [true] : [true, false]).map((pml) => ({
      ...row,
      profile,
      pml,
      title: `${row.name}, profile ${profile}${pml ? '' : ', write protection'}`,
    })),
  ),
);

describe('every allocation of KVM fails', () => {
  it.each(rows)('$title', async ({ run, before, failure, profile, pml }) => {
    const made1 = await made(profile, pml);
    const { vm } = made1;
    const { host } = vm;
    before?.(made1);
    const start = host.checkpoint();
    const good = run(made1);
    expect(good).not.toEqual(failure);
    const digest = host.digest();
    host.restore(start);
    const { tried } = failing(host, { kinds: ANY }, () => run(made1));
    expect(tried).toBeGreaterThan(0);
    for (let first = 1; first <= tried; first++) {
      for (const times of [1, FOREVER]) {
        const where = `${first} of ${tried}, ${times === 1 ? 'once' : 'from then on'}`;
        host.restore(start);
        const { result } = failing(host, { kinds: ANY, first, times }, () => run(made1));
        expect([good, failure], where).toContainEqual(result);
        expect(host.check(), where).toEqual([]);
        // What was there is still there.
        for (let page = 0n; page < 4n; page++) {
          expect(access(vm.guest.load(GPA + page * PS, 1)), where).toEqual({ ok: true, value: 0x10n + page });
        }
        expect(access(vm.guest.load(3n * PS, 1)), where).toEqual({ ok: true, value: 1n });
        if (times !== 1 || JSON.stringify(result, bigintText) === JSON.stringify(good, bigintText)) continue;
        expect(run(made1), `${where}, again`).toEqual(good);
        expect(host.check(), `${where}, again`).toEqual([]);
      }
    }
    host.restore(start);
    run(made1);
    expect(host.digest()).toBe(digest);
  });
});

const bigintText = (_key: string, value: unknown): unknown =>
  typeof value === 'bigint' ? `${value}n` : value;
