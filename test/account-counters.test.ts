// What each counter of Linux says of the same 64 MiB: a guest_memfd that nobody maps, one that the VMM maps and touches, and
// the shared half. Rows and columns of the table of counters; deltas as they were recorded on Linux 6.18, in kB, where system
// counters are batched (65500 there for the 65536 that are meant).
import { describe, expect, it } from 'vitest';
import { Mpol } from '../assembly/abi/mempolicy.ts';
import { machineAnswers, machineMemcg, machineNumaMaps, machineTotals } from '../src/account/machine.ts';
import { numaMapsText } from '../src/account/views.ts';
import type { Vm } from '../src/index.ts';
import { BUILDS, MIB, machine } from './support/machines.ts';

const SIZE = 64 * MIB;
const LENGTH = BigInt(SIZE);
const KB = 65536;
const HVA = 1n << 44n;
const ALLOCATE = 1;
const PUNCH = 3;

type Counter =
  | 'VIRT'
  | 'RES'
  | 'RssFile'
  | 'RssShmem'
  | 'SHR'
  | 'Cached'
  | 'Unevictable'
  | 'Shmem'
  | 'Mlocked'
  | 'Mapped'
  | 'memcg file'
  | 'memcg unevictable'
  | 'memcg file_thp'
  | 'st_blocks';

/** All counters of the table, in kB. */
function sample(vm: Vm, fd?: number): Record<Counter, number> {
  const t = machineTotals(vm);
  const status = vm.observe.status();
  const stat = machineMemcg(vm);
  const kb = (bytes = 0): number => bytes / 1024;
  expect([status.vmSize, status.rssAnon, status.rssFile, status.rssShmem]).toEqual([
    t.vmSize,
    t.rssAnon,
    t.rssFile,
    t.rssShmem,
  ]);
  return {
    VIRT: kb(t.vmSize),
    RES: kb(status.vmRss),
    RssFile: kb(status.rssFile),
    RssShmem: kb(status.rssShmem),
    SHR: kb(status.rssFile + status.rssShmem),
    Cached: kb(t.cached),
    Unevictable: kb(t.unevictable),
    Shmem: kb(t.shmem),
    Mlocked: kb(t.mlocked),
    Mapped: kb(t.mapped),
    'memcg file': kb(stat.file?.bytes),
    'memcg unevictable': kb(stat.unevictable?.bytes),
    'memcg file_thp': kb(stat.file_thp?.bytes),
    st_blocks: fd === undefined ? 0 : vm.vmm.fstat(fd).blocks / 2,
  };
}

/** The counters that are not 0. */
const nonZero = (counters: Record<Counter, number>): object =>
  Object.fromEntries(Object.entries(counters).filter(([, kb]) => kb !== 0));

const IN_FILE = { Cached: KB, Unevictable: KB, 'memcg file': KB, 'memcg unevictable': KB };

describe.each(BUILDS)('account › counters of 64 MiB (%s)', (_, build) => {
  const vmOf = (o: object): Promise<Vm> => machine(build, { ram: [], pool: 2 * SIZE, ...o });

  it('GM-P23: allocate 64 MiB private, punch', async () => {
    const vm = await vmOf({ vmType: 1 });
    const { fd } = vm.kvm.createGuestMemfd({ size: SIZE });
    expect(nonZero(sample(vm, fd))).toEqual({});
    expect(vm.vmm.fallocate(fd, ALLOCATE, 0n, LENGTH)).toBe(0);
    expect(nonZero(sample(vm, fd))).toEqual(IN_FILE);
    expect(vm.observe.smapsText() + numaMapsText(machineNumaMaps(vm))).toBe('');
    expect(machineAnswers(vm)).toEqual([{ size: SIZE, allocated: SIZE, nodes: [SIZE] }]);
    expect(vm.vmm.fallocate(fd, PUNCH, 0n, LENGTH)).toBe(0);
    expect(nonZero(sample(vm, fd))).toEqual({});
  });

  it('with folios of 2 MiB (A): file_thp as well', async () => {
    const vm = await vmOf({ vmType: 1, gmemProfile: 'A' });
    const { fd } = vm.kvm.createGuestMemfd({ size: SIZE, flags: 1 });
    expect(vm.vmm.fallocate(fd, ALLOCATE, 0n, LENGTH)).toBe(0);
    expect(nonZero(sample(vm, fd))).toEqual({ ...IN_FILE, 'memcg file_thp': KB });
    expect(vm.vmm.fallocate(fd, PUNCH, 4096n, 4096n)).toBe(0);
    expect(sample(vm, fd)['memcg file_thp']).toBe(KB - 2048);
  });

  it('recorded deltas: touch 64 MiB mapped in place (C), unmap, close', async () => {
    const vm = await vmOf({ gmemProfile: 'C' });
    const { fd } = vm.kvm.createGuestMemfd({ size: SIZE, flags: 3 });
    expect(vm.vmm.mmap({ addr: HVA, length: LENGTH, prot: 3, shared: true, fd })).toBe(0);
    expect(nonZero(sample(vm, fd))).toEqual({ VIRT: KB });
    expect(vm.vmm.madvise(HVA, LENGTH, 'populate_write')).toBe(0);
    const touched = { VIRT: KB, RES: KB, RssFile: KB, SHR: KB, Mapped: KB, ...IN_FILE };
    expect(nonZero(sample(vm, fd))).toEqual(touched);
    expect(vm.observe.smapsText()).toMatch(
      /^100000000000-100004000000 rw-s .* anon_inode:\[kvm-gmem\]\n.*\n.*\n.*\nRss: +65536 kB\n/,
    );
    expect(numaMapsText(machineNumaMaps(vm))).toBe(
      '100000000000 default file=anon_inode:[kvm-gmem] dirty=16384 N0=16384 kernelpagesize_kB=4\n',
    );
    expect(vm.observe.smapsRollup()).toMatchObject({ pssFile: SIZE, pssShmem: 0 });
    expect(vm.vmm.munmap(HVA, LENGTH)).toBe(0);
    expect(nonZero(sample(vm, fd))).toEqual(IN_FILE);
    expect(vm.vmm.close(fd)).toBe(0);
    expect(nonZero(sample(vm))).toEqual({});
  });

  it.each([
    ['anonymous', false, { VIRT: KB, RES: KB }],
    [
      'a memfd',
      true,
      {
        VIRT: KB,
        RES: KB,
        RssShmem: KB,
        SHR: KB,
        Cached: KB,
        Shmem: KB,
        Mapped: KB,
        'memcg file': KB,
        st_blocks: KB,
      },
    ],
  ])('the shared half: %s', async (_, isFile, expected) => {
    const vm = await vmOf({});
    const fd = isFile ? vm.vmm.memfdCreate(SIZE) : undefined;
    vm.vmm.mmap({ addr: HVA, length: LENGTH, prot: 3, shared: isFile, ...(fd !== undefined && { fd }) });
    vm.vmm.madvise(HVA, LENGTH, 'populate_write');
    expect(nonZero(sample(vm, fd))).toEqual(expected);
    expect(numaMapsText(machineNumaMaps(vm))).toBe(
      isFile
        ? '100000000000 default file=/memfd:guest-ram\\040(deleted) dirty=16384 active=0 N0=16384 kernelpagesize_kB=4\n'
        : '100000000000 default anon=16384 dirty=16384 active=0 N0=16384 kernelpagesize_kB=4\n',
    );
  });

  it('Mlocked and Unevictable: what mlock keeps', async () => {
    const vm = await vmOf({});
    vm.vmm.mmap({ addr: HVA, length: LENGTH, prot: 3, shared: false });
    vm.vmm.mlock(HVA, 1n << 20n);
    expect(sample(vm)).toMatchObject({
      RES: 1024,
      Mlocked: 1024,
      Unevictable: 1024,
      'memcg unevictable': 1024,
    });
  });

  it('kpageflags of a guest_memfd: unevictable, not swap-backed', async () => {
    const vm = await vmOf({});
    const { fd } = vm.kvm.createGuestMemfd({ size: SIZE });
    vm.vmm.fallocate(fd, ALLOCATE, 0n, LENGTH);
    const types = vm.host.pageTypes().types.filter(({ names }) => names.includes('unevictable'));
    expect(types.map(({ pages, names }) => [pages, names])).toEqual([
      [SIZE / 4096, ['uptodate', 'lru', 'unevictable']],
    ]);
  });

  it('numa_maps: policies as Linux writes them', async () => {
    const vm = await vmOf({ numaNodes: 4 });
    const map = (n: number, mode: Mpol, nodes: number[]): number => {
      const addr = HVA + (BigInt(n) << 30n);
      vm.vmm.mmap({ addr, length: 16384n, prot: 3, shared: false });
      return vm.vmm.mbind(addr, 16384n, mode, nodes);
    };
    map(0, Mpol.Bind, [0, 1, 3]);
    map(1, Mpol.Preferred, [2]);
    map(2, Mpol.Local, []);
    map(3, Mpol.Default, []);
    vm.vmm.setMempolicy(Mpol.Interleave, [2, 3]);
    vm.vmm.madvise(HVA + (1n << 30n), 16384n, 'populate_write');
    expect(numaMapsText(machineNumaMaps(vm)).split('\n')).toEqual([
      '100000000000 bind:0-1,3',
      '100040000000 prefer:2 anon=4 dirty=4 active=0 N2=4 kernelpagesize_kB=4',
      '100080000000 local',
      '1000c0000000 interleave:2-3',
      '',
    ]);
  });

  it('numa_maps of hugetlb: in its own pages', async () => {
    const vm = await machine(build, { memory: 8 * MIB, pool: 16 * MIB, backing: 'hugetlb' });
    vm.guest.touch({ gpa: 0, len: 4 * MIB, write: true });
    expect(numaMapsText(machineNumaMaps(vm))).toMatch(
      /^100000000000 default file=\/anon_hugepage\\040\(deleted\) huge .*N0=2 kernelpagesize_kB=2048\n$/,
    );
  });
});
