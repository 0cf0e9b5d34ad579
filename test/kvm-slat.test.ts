// What KVM does with SLAT entries when the VMM's memory changes. Cases SL-11, SL-13, SL-15, SL-16 of the SLAT reference by
// their ids (SL-01 … SL-08, SL-18: paging tests; SL-09, SL-10, SL-12, SL-17: kvm-memslots.test.ts; SL-14: explorer).
import { beforeEach, describe, expect, it } from 'vitest';
import { Errno } from '../assembly/abi/errno.ts';
import type { Exit, Vm } from '../src/index.ts';
import { BUILDS, changes, hvaAt, MIB, machine, PAGE } from './support/machines.ts';

const PS = 4096n;
const GPA = 0x4000_0000n;
const MAP = 0x1000_4000_0000n;
const PUNCH = 3;

const result = (access: {
  readonly ok: boolean;
  readonly value?: bigint;
  readonly exits?: readonly Exit[];
  readonly exit?: Exit;
}): unknown => (access.ok ? (access.exits?.[0]?.reason ?? access.value) : access.exit?.reason);

describe.each(BUILDS)('kvm › SLAT and host events, %s', (_name, build) => {
  it('SL-11: a frame of small pages that becomes a huge page: small leaves until they are zapped, then a huge one', async () => {
    const vm = await machine(build, { memory: 4 * MIB, pool: 16 * MIB, backing: 'anon' });
    const hva = hvaAt(vm, 0);
    vm.guest.touch({ gpa: 0, len: 2 * MIB, write: true });
    const level = (): number | undefined => {
      vm.guest.load(PS, 1);
      return vm.observe.walk(PS).entries.at(-1)?.level;
    };
    expect(level()).toBe(1);
    vm.vmm.madvise(hva, 2n << 20n, 'hugepage');
    expect(level()).toBe(1);
    const zapped = changes(vm, () => expect(vm.vmm.madvise(hva, 2n << 20n, 'collapse')).toBe(Errno.OK))[
      'slat.zapped'
    ];
    expect(zapped).toBe(512);
    expect(level()).toBe(2);
    expect(vm.host.check()).toEqual([]);
  });

  it.each([
    true,
    false,
  ])('a part of a huge zero page is dropped under a dirty log (PML %s): the small leaves of all of it go', async (pml) => {
    const vm = await machine(build, { memory: 4 * MIB, pool: 16 * MIB, backing: 'thp', pml });
    vm.guest.load(0, 1);
    expect(vm.observe.walk(0).entries.at(-1)?.level).toBe(2);
    const [slot] = vm.kvm.memslots();
    if (!slot) throw new Error('no slot');
    const region = { slot: slot.id, guestPhysAddr: slot.gpa, memorySize: slot.size, userspaceAddr: slot.hva };
    expect(vm.kvm.setUserMemoryRegion2({ ...region, flags: 1 })).toBe(Errno.OK);
    expect(vm.observe.walk(0).entries.at(-1)?.level).toBe(1);
    const dropped = changes(vm, () =>
      expect(vm.vmm.madvise(slot.hva + 8n * PS, PS, 'dontneed')).toBe(Errno.OK),
    );
    expect(dropped['slat.zapped']).toBe(512);
    expect(vm.host.check()).toEqual([]);
  });

  it('SL-13: between begin and end of an invalidation faults of its gfns retry, others do not; the end counts', async () => {
    const vm = await machine(build, { memory: 4 * MIB });
    vm.guest.touch({ gpa: 0, len: 8 * PAGE, write: true });
    const calls = (): number => vm.observe.counters()['notifier.calls'] ?? 0;
    const before = calls();
    vm.kvm.invalidateBegin(2n * PS, 2n * PS);
    expect([0n, 1n, 2n, 3n, 4n].map((page) => result(vm.guest.load(page * PS, 1)))).toEqual([
      1n,
      1n,
      'RETRY',
      'RETRY',
      1n,
    ]);
    vm.kvm.invalidateBegin(6n * PS, PS);
    // Two at a time: from the first gfn of either to the last.
    expect([1n, 2n, 5n, 6n].map((page) => result(vm.guest.store(page * PS, 1, 1)))).toEqual([
      0n,
      'RETRY',
      0n,
      'RETRY',
    ]);
    vm.kvm.invalidateEnd();
    expect([result(vm.guest.load(2n * PS, 1)), calls() - before]).toEqual(['RETRY', 1]);
    vm.kvm.invalidateEnd();
    expect([2n, 3n, 6n].map((page) => result(vm.guest.load(page * PS, 1)))).toEqual([1n, 1n, 1n]);
    expect([calls() - before, vm.observe.counters()['slat.retries']]).toEqual([2, 5]);
    expect(() => vm.kvm.invalidateEnd()).toThrow(RangeError);
  });

  it('SL-15: mprotect NONE → READ → READ | WRITE under a guest', async () => {
    const vm = await machine(build, { memory: 4 * MIB });
    const hva = hvaAt(vm, 0);
    vm.guest.store(0, 1, 0x5a);
    const both = (prot: number): unknown[] => {
      expect(vm.vmm.mprotect(hva, PS, prot)).toBe(Errno.OK);
      return [result(vm.guest.load(0, 1)), result(vm.guest.store(0, 1, 0x5a)), result(vm.guest.fetch(0))];
    };
    expect(both(0)).toEqual(['EFAULT', 'EFAULT', 'EFAULT']);
    expect(both(1)).toEqual([0x5an, 'EFAULT', 0x5an]);
    expect(both(3)).toEqual([0x5an, 0n, 0x5an]);
    // Execution asks for read permission alone (R4.1); an executable page that may not be read is not for the guest (R4.3).
    expect(both(4)).toEqual(['EFAULT', 'EFAULT', 'EFAULT']);
    expect(both(7)).toEqual([0x5an, 0n, 0x5an]);
    expect(vm.host.check()).toEqual([]);
  });

  describe('SL-16', () => {
    let vm: Vm;
    let hva: bigint;
    let memfd: number;
    let gmem: number;
    // Slot 0 is anonymous RAM; 1 and 2 are one memfd; 3 and 4 halves of one guest_memfd.
    beforeEach(async () => {
      vm = await machine(build, { memory: 4 * MIB, gmemProfile: 'C' });
      hva = hvaAt(vm, 0);
      memfd = vm.vmm.memfdCreate(8 * PAGE);
      gmem = vm.kvm.createGuestMemfd({ size: 8 * PAGE, flags: 3 }).fd;
      for (const [fd, addr] of [
        [memfd, MAP],
        [gmem, MAP + 0x10_0000n],
      ] as const) {
        expect(vm.vmm.mmap({ addr, length: 8n * PS, prot: 3, shared: true, fd })).toBe(Errno.OK);
      }
      const region = { flags: 0, memorySize: 8 * PAGE, userspaceAddr: MAP };
      expect(vm.kvm.setUserMemoryRegion({ ...region, slot: 1, guestPhysAddr: GPA })).toBe(Errno.OK);
      expect(vm.kvm.setUserMemoryRegion({ ...region, slot: 2, guestPhysAddr: 2n * GPA })).toBe(Errno.OK);
      for (const n of [0n, 1n]) {
        const errno = vm.kvm.setUserMemoryRegion2({
          slot: 3 + Number(n),
          flags: 4,
          guestPhysAddr: (3n + n) * GPA,
          memorySize: 4 * PAGE,
          userspaceAddr: MAP + 0x10_0000n + n * 4n * PS,
          guestMemfd: gmem,
          guestMemfdOffset: n * 4n * PS,
        });
        expect(errno).toBe(Errno.OK);
      }
      for (const gpa of [0n, GPA, 3n * GPA, 4n * GPA]) vm.guest.store(gpa, 1, 0x77);
      vm.guest.load(2n * GPA, 1);
    });
    const zaps = (run: () => unknown): number =>
      changes(vm, () => expect(run()).toBe(Errno.OK))['slat.zapped'] ?? 0;
    const load = (gpa: bigint): unknown => result(vm.guest.load(gpa, 1));

    it.each<[string, () => unknown, number, bigint, unknown]>([
      ['munmap', () => vm.vmm.munmap(hva, PS), 1, 0n, 'EFAULT'],
      ['DONTNEED on private anonymous memory', () => vm.vmm.madvise(hva, PS, 'dontneed'), 1, 0n, 0n],
      ['DONTNEED on a shared file', () => vm.vmm.madvise(MAP, PS, 'dontneed'), 2, GPA, 0x77n],
      [
        'DONTNEED on a mapped guest_memfd',
        () => vm.vmm.madvise(MAP + 0x10_0000n, PS, 'dontneed'),
        0,
        3n * GPA,
        0x77n,
      ],
      ['mprotect NONE', () => vm.vmm.mprotect(hva, PS, 0), 1, 0n, 'EFAULT'],
      [
        'mprotect NONE on a mapped guest_memfd',
        () => vm.vmm.mprotect(MAP + 0x10_0000n, PS, 0),
        0,
        3n * GPA,
        0x77n,
      ],
      ['munmap of a mapped guest_memfd', () => vm.vmm.munmap(MAP + 0x10_0000n, 8n * PS), 0, 3n * GPA, 0x77n],
      ['mprotect READ', () => vm.vmm.mprotect(hva, PS, 1), 1, 0n, 0x77n],
      [
        'PUNCH_HOLE of a memfd: through both slots',
        () => vm.vmm.fallocate(memfd, PUNCH, 0n, PS),
        2,
        2n * GPA,
        0n,
      ],
      [
        'PUNCH_HOLE of a guest_memfd: all slots bound to it',
        () => vm.vmm.fallocate(gmem, PUNCH, 0n, 8n * PS),
        2,
        4n * GPA,
        0n,
      ],
      [
        'REMOVE on a mapped guest_memfd',
        () => vm.vmm.madvise(MAP + 0x10_0000n, PS, 'remove'),
        1,
        3n * GPA,
        0n,
      ],
      [
        'slot delete',
        () =>
          vm.kvm.setUserMemoryRegion({
            slot: 1,
            flags: 0,
            guestPhysAddr: 0,
            memorySize: 0,
            userspaceAddr: 0,
          }),
        1,
        GPA,
        'MMIO',
      ],
      [
        'slot move, the old place',
        () =>
          vm.kvm.setUserMemoryRegion({
            slot: 1,
            flags: 0,
            guestPhysAddr: 9n * GPA,
            memorySize: 8 * PAGE,
            userspaceAddr: MAP,
          }),
        1,
        GPA,
        'MMIO',
      ],
      [
        'slot move, the new place',
        () =>
          vm.kvm.setUserMemoryRegion({
            slot: 1,
            flags: 0,
            guestPhysAddr: 9n * GPA,
            memorySize: 8 * PAGE,
            userspaceAddr: MAP,
          }),
        1,
        9n * GPA,
        0x77n,
      ],
      ['a page that goes to swap', () => vm.vmm.madvise(hva, PS, 'pageout'), 1, 0n, 0x77n],
      ['ftruncate', () => vm.vmm.ftruncate(memfd, 0n), 2, GPA, 'EFAULT'],
    ])('%s', (_row, event, zapped, gpa, next) => {
      expect(zaps(event)).toBe(zapped);
      expect(load(gpa)).toBe(next);
      expect(vm.host.check()).toEqual([]);
    });

    it('two slots, one HVA: written through one, seen through the other', () => {
      vm.guest.store(2n * GPA + 5n, 1, 0x21);
      expect(load(GPA + 5n)).toBe(0x21n);
    });
  });
});
