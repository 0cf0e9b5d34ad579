// Pre-copy migration as a library function: rounds, the stop condition, what is left for the downtime, equal memory, and
// what it does not change. Reference: src/vmm/migration.ts.
import { describe, expect, it } from 'vitest';
import { Errno } from '../assembly/abi/errno.ts';
import type { HostOptions, MigrationOptions, Vm, VmOptions } from '../src/index.ts';
import { createHost, migrate } from '../src/index.ts';
import { BUILDS, type Build, hvaAt, MIB, PAGE } from './support/machines.ts';

const PAGES = (8 * MIB) / PAGE;

async function pair(build: Build, options: VmOptions = {}, host: HostOptions = {}): Promise<[Vm, Vm]> {
  const made = await createHost({ memory: 32 * MIB, swap: 0, ...build, ...host });
  return [made.createVm({ memory: 8 * MIB, ...options }), made.createVm({ memory: 8 * MIB, ...options })];
}

/** Stores `writes` pages each time, one after the other in [gpa, gpa + pages). */
function writer(vm: Vm, gpa: number, pages: number, writes: number): () => void {
  let n = 0;
  return () => {
    for (let i = 0; i < writes; i++, n++) vm.guest.store(gpa + (n % pages) * PAGE, 8, n + 1);
  };
}

describe.each(BUILDS)('migration › %s', (_name, build) => {
  it('a guest that stands still: one round of all pages, and nothing is left', async () => {
    const [from, to] = await pair(build);
    from.guest.fill({ gpa: MIB, len: 16 * PAGE, byte: 0x42 });
    const { errno, rounds, downtime, converged, differs } = migrate(from, to);
    expect([errno, converged, differs, downtime]).toEqual([Errno.OK, true, undefined, 0]);
    expect(rounds).toEqual([
      { pages: PAGES, copied: 16, dirtied: 0 },
      { pages: 0, copied: 0, dirtied: 0 },
    ]);
    expect(to.guest.verify({ gpa: MIB, len: 16 * PAGE, byte: 0x42 }).differs).toBeUndefined();
    // Pages of zeros take no memory there.
    expect(to.observe.rss()).toBe(16 * PAGE);
    expect(from.host.check()).toEqual([]);
  });

  it.each<[string, number, MigrationOptions, number[], boolean]>([
    ['one page for eight copied', 4, { every: 32, stop: 8 }, [PAGES, 256, 32, 4], true],
    ['as many as are copied', 64, { every: 64, maxRounds: 3 }, [PAGES, 256, 256, 256], false],
    ['stopped at once', 8, { every: 64, stop: PAGES }, [PAGES, 256], true],
    ['a round in which the guest did not get to run', 1, { every: PAGES, stop: 0 }, [PAGES, 1, 0], true],
  ])('%s', async (_row, writes, options, pages, converged) => {
    const [from, to] = await pair(build);
    from.guest.fill({ gpa: MIB, len: MIB, byte: 7 });
    const result = migrate(from, to, { ...options, guest: writer(from, MIB, 256, writes) });
    expect(result.rounds.map((round) => round.pages)).toEqual(pages);
    expect(result.downtime).toBe(pages.at(-1));
    expect([result.converged, result.differs]).toEqual([converged, undefined]);
    expect(from.host.check()).toEqual([]);
  });

  it('what the guest wrote last has arrived, and a page made zero again is zero there', async () => {
    const [from, to] = await pair(build);
    from.guest.store(MIB, 8, 1);
    let turns = 0;
    const guest = () => from.guest.store(MIB, 8, turns++ === 0 ? 2 : 0);
    const { differs } = migrate(from, to, { guest, every: 1024, stop: 0, maxRounds: 4 });
    expect(turns).toBeGreaterThan(1);
    expect(differs).toBeUndefined();
    expect(to.guest.load(MIB, 8)).toMatchObject({ value: 0n });
  });

  it('slots are as they were: no dirty log, and the flag of a read-only one', async () => {
    const [from, to] = await pair(build);
    for (const vm of [from, to]) {
      vm.kvm.setUserMemoryRegion({
        slot: 5,
        flags: 2,
        guestPhysAddr: 64 * MIB,
        memorySize: 4 * PAGE,
        userspaceAddr: hvaAt(vm, MIB),
      });
    }
    from.guest.store(MIB, 1, 9);
    const before = from.kvm.memslots();
    expect(migrate(from, to)).toMatchObject({ errno: Errno.OK, differs: undefined });
    expect(from.kvm.memslots()).toEqual(before);
    expect(to.guest.load(64 * MIB, 1)).toMatchObject({ value: 9n });
    expect(from.kvm.getDirtyLog(0).errno).toBe(Errno.ENOENT);
  });

  it('no memory there: it is given up, and the guest goes on where it was', async () => {
    const [from, to] = await pair(build, {}, { memory: 3 * MIB });
    from.guest.fill({ gpa: 0, len: 2 * MIB, byte: 1 });
    expect(migrate(from, to)).toMatchObject({ errno: Errno.ENOMEM, converged: false, differs: undefined });
    expect(from.guest.verify({ gpa: 0, len: 2 * MIB, byte: 1 }).differs).toBeUndefined();
    expect(from.kvm.memslots()[0]?.dirtyLog).toBe(false);
    expect(from.host.check()).toEqual([]);
  });

  it('no RAM there: EFAULT', async () => {
    const [from] = await pair(build);
    const to = from.host.createVm({ memory: 4 * MIB });
    expect(migrate(from, to)).toMatchObject({ errno: Errno.EFAULT });
  });

  it('private memory has no dirty log: nothing is begun', async () => {
    const [from, to] = await pair(build, { vmType: 1 });
    const { fd } = from.kvm.createGuestMemfd({ size: 4 * PAGE });
    from.kvm.setUserMemoryRegion2({
      slot: 5,
      flags: 4,
      guestPhysAddr: 64 * MIB,
      memorySize: 4 * PAGE,
      userspaceAddr: hvaAt(from, 0),
      guestMemfd: fd,
    });
    const digest = from.observe.digest();
    expect(migrate(from, to)).toMatchObject({ errno: Errno.EOPNOTSUPP, rounds: [] });
    expect(from.observe.digest()).toBe(digest);
  });

  it.each(['thp', 'memfd', 'hugetlb'] as const)('RAM of %s', async (backing) => {
    const [from, to] = await pair(build, { backing });
    from.guest.fill({ gpa: 2 * MIB, len: 3 * MIB, byte: 0x31 });
    const result = migrate(from, to, { guest: writer(from, 2 * MIB, 64, 4), every: 256, stop: 4 });
    expect(result).toMatchObject({ errno: Errno.OK, converged: true, differs: undefined });
    expect(from.host.check()).toEqual([]);
  });
});
