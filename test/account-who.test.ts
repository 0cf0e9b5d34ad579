// Who counts this memory? The table of counters for memory of a guest_memfd without a host mapping, of one that the host
// maps and touches, and of the shared half, on machines of both builds; and the deltas that were recorded on Linux.
import { describe, expect, it } from 'vitest';
import type { Vm } from '../src/index.ts';
import { whoCounts } from '../src/index.ts';
import { BUILDS, machine } from './support/machines.ts';

const MIB = 2 ** 20;
const SIZE = 64 * MIB;
const HVA = 1n << 44n;
const KEEP_SIZE = 1;
const PUNCH = 3;

/** Counters of the range that are not 0. */
const counted = (vm: Vm, gpa: number | bigint, length: number): Record<string, number> =>
  Object.fromEntries(
    whoCounts(vm, gpa, length)
      .rows.filter(({ bytes }) => bytes !== 0)
      .map(({ view, counter, bytes }) => [`${view}.${counter}`, bytes]),
  );

describe.each(BUILDS)('account › who counts (%s)', (_, build) => {
  const kvm = (o: { vmType: 0 | 1; gmemProfile: 'B' | 'C' }): Promise<Vm> =>
    machine(build, { ram: [], pool: 4 * SIZE, ...o });

  /** A slot of SIZE at 4 GiB: its private half in a guest_memfd, its shared half an anonymous mapping or a memfd. */
  async function encrypted(shared: 'anon' | 'memfd'): Promise<{ vm: Vm; fd: number }> {
    const vm = await kvm({ vmType: 1, gmemProfile: 'B' });
    const { fd } = vm.kvm.createGuestMemfd({ size: SIZE });
    const file = shared === 'memfd' ? { fd: vm.vmm.memfdCreate(SIZE) } : {};
    expect(
      vm.vmm.mmap({ addr: HVA, length: BigInt(SIZE), prot: 3, shared: shared === 'memfd', ...file }),
    ).toBe(0);
    expect(
      vm.kvm.setUserMemoryRegion2({
        slot: 0,
        flags: 4,
        guestPhysAddr: 4n << 30n,
        memorySize: SIZE,
        userspaceAddr: HVA,
        guestMemfd: fd,
        guestMemfdOffset: 0,
      }),
    ).toBe(0);
    return { vm, fd };
  }

  it('a page of a guest_memfd without a host mapping', async () => {
    const { vm, fd } = await encrypted('anon');
    const before = counted(vm, 4n << 30n, SIZE);
    expect(before).toEqual({ 'guest.RAM': SIZE, 'process.VmSize': SIZE });
    expect(vm.vmm.fallocate(fd, KEEP_SIZE, 0n, BigInt(SIZE))).toBe(0);
    expect(counted(vm, 4n << 30n, SIZE)).toEqual({
      ...before,
      'file.guest_memfd pages': SIZE,
      'memcg.memory.current': SIZE,
      'memcg.file': SIZE,
      'memcg.unevictable': SIZE,
      'host.Cached': SIZE,
      'host.Unevictable': SIZE,
      'host.MemFree': -SIZE,
    });
    expect(vm.observe.filePages(fd, 0, 4)).toBe('....');
    expect(vm.vmm.fallocate(fd, PUNCH, 0n, BigInt(SIZE))).toBe(0);
    expect(counted(vm, 4n << 30n, SIZE)).toEqual(before);
  });

  it('mapped and touched by the host', async () => {
    const vm = await kvm({ vmType: 0, gmemProfile: 'C' });
    const { fd } = vm.kvm.createGuestMemfd({ size: SIZE, flags: 3 });
    expect(vm.vmm.mmap({ addr: HVA, length: BigInt(SIZE), prot: 3, shared: true, fd })).toBe(0);
    vm.kvm.setUserMemoryRegion2({
      slot: 0,
      flags: 4,
      guestPhysAddr: 0,
      memorySize: SIZE,
      userspaceAddr: HVA,
      guestMemfd: fd,
      guestMemfdOffset: 0,
    });
    expect(vm.vmm.madvise(HVA, BigInt(SIZE), 'populate_write')).toBe(0);
    expect(counted(vm, 0, SIZE)).toEqual({
      'guest.RAM': SIZE,
      'process.VmSize': SIZE,
      'process.VmRSS': SIZE,
      'process.RssFile': SIZE,
      'process.Pss': SIZE,
      'file.guest_memfd pages': SIZE,
      'memcg.memory.current': SIZE,
      'memcg.file': SIZE,
      'memcg.file_mapped': SIZE,
      'memcg.unevictable': SIZE,
      'host.Cached': SIZE,
      'host.Mapped': SIZE,
      'host.Unevictable': SIZE,
      'host.MemFree': -SIZE,
    });
  });

  it.each(['anon', 'memfd'] as const)('the shared half: %s', async (shared) => {
    const { vm } = await encrypted(shared);
    for (let i = 0; i < 4; i++) expect(vm.guest.store((4n << 30n) + BigInt(i * 4096), 8, 1).ok).toBe(true);
    const four = 4 * 4096;
    const file = {
      'file.memfd st_blocks': four,
      'memcg.file': four,
      'memcg.file_mapped': four,
      'memcg.shmem': four,
      'host.Cached': four,
      'host.Mapped': four,
      'host.Shmem': four,
      'process.RssShmem': four,
    };
    const anon = { 'memcg.anon': four, 'host.AnonPages': four, 'process.RssAnon': four };
    expect(counted(vm, 4n << 30n, SIZE)).toEqual({
      'guest.RAM': SIZE,
      'kvm.pages_4k': four,
      'process.VmSize': SIZE,
      'process.VmRSS': four,
      'process.Pss': four,
      'memcg.memory.current': four,
      'host.MemFree': -four,
      ...(shared === 'memfd' ? file : anon),
    });
  });

  it('both copies of a page that was converted without a discard', async () => {
    const { vm } = await encrypted('anon');
    const gpa = 4n << 30n;
    vm.guest.store(gpa, 8, 1);
    expect(vm.kvm.setMemoryAttributes({ address: gpa, size: 4096, attributes: 8 })).toBe(0);
    vm.guest.store(gpa, 8, 1);
    const one = counted(vm, gpa, 1);
    expect(one).toMatchObject({
      'guest.RAM': 4096,
      'guest.private': 4096,
      'host.MemFree': -8192,
      'kvm.pages_4k': 4096,
    });
    expect(one).toMatchObject({
      'process.RssAnon': 4096,
      'file.guest_memfd pages': 4096,
      'memcg.memory.current': 8192,
    });
  });
});
