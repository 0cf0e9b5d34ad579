// Memory nodes: where a page is allocated, by the policy of its mapping, of its place in a file, or of the task; and what
// the calls refuse. Reference: mbind(2), set_mempolicy(2), get_mempolicy(2), linux mm/mempolicy.c.
import { describe, expect, it } from 'vitest';
import { Errno } from '../assembly/abi/errno.ts';
import { Mpol, MpolF, MpolMf } from '../assembly/abi/mempolicy.ts';
import type { Vm } from '../src/index.ts';
import { files, fileUsage, pageUsage } from '../src/observe/usage.ts';
import { BUILDS, MIB, machine } from './support/machines.ts';

const HVA = 1n << 44n;
const PAGE = 4096;
const RW = 3;

describe.each(BUILDS)('numa (%s)', (_, build) => {
  const fresh = (o: object = {}): Promise<Vm> =>
    machine(build, { ram: [], pool: 16 * MIB, numaNodes: 4, gmemProfile: 'C', ...o });
  /** Pages of the mapping by node. */
  const nodes = (vm: Vm, pages: number, at = HVA): number[] =>
    pageUsage(vm, { from: at, to: at + BigInt(pages * PAGE) }).nodes.map((bytes) => bytes / PAGE);
  const anon = (vm: Vm, pages: number, at = HVA): number =>
    vm.vmm.mmap({ addr: at, length: BigInt(pages * PAGE), prot: RW, shared: false });
  const touch = (vm: Vm, pages: number, at = HVA): number =>
    vm.vmm.madvise(at, BigInt(pages * PAGE), 'populate_write');
  const len = (pages: number): bigint => BigInt(pages * PAGE);
  const fileNodes = (vm: Vm): number[] => {
    const [file] = files(vm);
    if (!file) throw new Error('no file');
    return fileUsage(vm, file.ptr, { from: 0n, to: BigInt(file.size) }).nodes.map((bytes) => bytes / PAGE);
  };

  it('without a policy: the node of the processors, the others when it is full', async () => {
    const vm = await fresh();
    anon(vm, 1536);
    touch(vm, 1536);
    expect(nodes(vm, 1536)).toEqual([1024, 512, 0, 0]);
    expect(vm.host.nodes().map(({ free }) => free / PAGE)).toEqual([0, 512, 1024, 1024]);
    expect(vm.host.check()).toEqual([]);
  });

  it.each([
    ['bind', Mpol.Bind, [2], [0, 0, 8, 0]],
    ['bind to two', Mpol.Bind, [1, 3], [0, 8, 0, 0]],
    ['preferred', Mpol.Preferred, [3], [0, 0, 0, 8]],
    ['preferred, no node: local', Mpol.Preferred, [], [8, 0, 0, 0]],
    ['interleave', Mpol.Interleave, [0, 2, 3], [3, 0, 3, 2]],
    ['local', Mpol.Local, [], [8, 0, 0, 0]],
  ])('a mapping of 8 pages: %s', async (_, mode, on, expected) => {
    const vm = await fresh();
    anon(vm, 8);
    expect(vm.vmm.mbind(HVA, len(8), mode, on)).toBe(Errno.OK);
    touch(vm, 8);
    // Anonymous memory goes round by its address.
    expect(nodes(vm, 8).reduce((a, b) => a + b)).toBe(8);
    expect([...nodes(vm, 8)].sort()).toEqual([...expected].sort());
    for (const [n, pages] of nodes(vm, 8).entries()) expect(pages > 0).toBe((expected[n] ?? 0) > 0);
    expect(vm.vmm.getMempolicy(HVA, MpolF.Addr)).toMatchObject({
      errno: 0,
      mode: mode === Mpol.Preferred && on.length === 0 ? Mpol.Local : mode,
      nodes: on,
    });
    expect(vm.host.check()).toEqual([]);
  });

  it('bind is strict: no other node helps, and what came free can be had again', async () => {
    const vm = await fresh();
    anon(vm, 1100);
    vm.vmm.mbind(HVA, len(1100), Mpol.Bind, [2]);
    for (let round = 0; round < 3; round++) {
      expect(touch(vm, 1100)).not.toBe(Errno.OK);
      expect(nodes(vm, 1100)).toEqual([0, 0, 1024, 0]);
      expect(vm.vmm.madvise(HVA, len(1100), 'dontneed')).toBe(Errno.OK);
      expect(vm.host.nodes().map(({ free }) => free / PAGE)).toEqual([1024, 1024, 1024, 1024]);
    }
    expect(vm.host.check()).toEqual([]);
  });

  it('mbind splits and merges VMAs, and keeps pages where they are', async () => {
    const vm = await fresh();
    anon(vm, 8);
    touch(vm, 4);
    expect(vm.vmm.mbind(HVA + len(2), len(4), Mpol.Bind, [3])).toBe(Errno.OK);
    expect(vm.observe.vmas().map(({ size }) => size / PAGE)).toEqual([2, 4, 2]);
    touch(vm, 8);
    expect(nodes(vm, 8)).toEqual([6, 0, 0, 2]);
    expect(vm.vmm.mbind(HVA, len(8), Mpol.Default)).toBe(Errno.OK);
    expect(vm.observe.vmas().map(({ size }) => size / PAGE)).toEqual([8]);
    expect(vm.vmm.mbind(HVA, len(8), Mpol.Bind, [3], MpolMf.Strict)).toBe(Errno.EIO);
    expect(vm.host.check()).toEqual([]);
  });

  it('the policy of a guest_memfd is per offset, counts at allocation, and outlives the mapping', async () => {
    const vm = await fresh();
    const { fd } = vm.kvm.createGuestMemfd({ size: 8 * PAGE, flags: 3 });
    vm.vmm.mmap({ addr: HVA, length: len(8), prot: RW, shared: true, fd });
    expect(vm.vmm.getMempolicy(HVA, MpolF.Addr)).toEqual({ errno: 0, mode: Mpol.Default, nodes: [] });
    expect(vm.vmm.mbind(HVA + len(2), len(4), Mpol.Bind, [1])).toBe(Errno.OK);
    touch(vm, 8);
    expect(fileNodes(vm)).toEqual([4, 4, 0, 0]);
    // Allocated pages do not move; punched and touched again they are allocated anew.
    expect(vm.vmm.mbind(HVA + len(2), len(2), Mpol.Bind, [3])).toBe(Errno.OK);
    expect(fileNodes(vm)).toEqual([4, 4, 0, 0]);
    expect(vm.vmm.fallocate(fd, 3, len(2), len(1))).toBe(Errno.OK);
    touch(vm, 8);
    expect(fileNodes(vm)).toEqual([4, 3, 0, 1]);
    expect(vm.vmm.getMempolicy(HVA + len(2), MpolF.Addr | MpolF.Node).mode).toBe(3);
    // Another mapping of the same offsets has the same policies: they are the file's.
    const other = HVA + (1n << 30n);
    vm.vmm.munmap(HVA, len(8));
    vm.vmm.mmap({ addr: other, length: len(8), prot: RW, shared: true, fd });
    expect(vm.vmm.getMempolicy(other + len(3), MpolF.Addr)).toMatchObject({ mode: Mpol.Bind, nodes: [3] });
    expect(vm.vmm.getMempolicy(other + len(5), MpolF.Addr)).toMatchObject({ mode: Mpol.Bind, nodes: [1] });
    expect(vm.vmm.getMempolicy(other + len(6), MpolF.Addr)).toMatchObject({ mode: Mpol.Default });
    expect(vm.host.check()).toEqual([]);
    vm.vmm.munmap(other, len(8));
    vm.vmm.close(fd);
    expect(vm.host.check()).toEqual([]);
  });

  it('what nobody can map follows the task alone: numactl -i 2,3', async () => {
    const vm = await fresh({ vmType: 1, gmemProfile: 'B' });
    expect(vm.vmm.setMempolicy(Mpol.Interleave, [2, 3])).toBe(Errno.OK);
    expect(vm.vmm.getMempolicy()).toEqual({ errno: 0, mode: Mpol.Interleave, nodes: [2, 3] });
    const { fd } = vm.kvm.createGuestMemfd({ size: 9 * PAGE });
    vm.vmm.fallocate(fd, 1, 0n, len(9));
    expect(fileNodes(vm)).toEqual([0, 0, 5, 4]);
    expect(vm.vmm.getMempolicy(0n, MpolF.Node).mode).toBe(3);
  });

  it('huge pages are on one node each', async () => {
    const vm = await fresh({ pool: 32 * MIB });
    anon(vm, 2048);
    vm.vmm.madvise(HVA, len(2048), 'hugepage');
    vm.vmm.mbind(HVA, len(2048), Mpol.Interleave, [0, 1]);
    touch(vm, 2048);
    expect(nodes(vm, 2048)).toEqual([1024, 1024, 0, 0]);
    expect(nodes(vm, 512)).toEqual([512, 0, 0, 0]);
    expect(vm.host.check()).toEqual([]);
  });

  it('hugetlb pages, too', async () => {
    const vm = await machine(build, { memory: 8 * MIB, pool: 32 * MIB, numaNodes: 4, backing: 'hugetlb' });
    vm.vmm.mbind(HVA, len(2048), Mpol.Bind, [3]);
    vm.guest.touch({ gpa: 0, len: 8 * MIB, write: true });
    expect(vm.host.nodes().map(({ free }) => free / MIB)).toEqual([8, 8, 8, 0]);
    expect(vm.host.check()).toEqual([]);
  });

  it('every frame in use has a node, whoever gave it back and whatever came in between', async () => {
    const vm = await machine(build, {
      memory: 8 * MIB,
      pool: 6 * MIB,
      swap: 8 * MIB,
      numaNodes: 3,
      cpus: 2,
      threads: build.wasmMemory === 'threads',
    });
    vm.vmm.setMempolicy(Mpol.Interleave, [0, 1, 2]);
    const touch = (gpa: number, len: number) => ({ touch: { gpa, len, write: true } });
    // More than there is: some of it goes to swap.
    await vm.run([[touch(0, 5 * MIB), touch(0, MIB)], [touch(4 * MIB, 4 * MIB)]]);
    const free = (): number => vm.host.nodes().reduce((sum, node) => sum + node.free, 0);
    expect(free()).toBe(vm.host.frames().free * PAGE);
    vm.vmm.madvise(HVA + BigInt(MIB), BigInt(2 * MIB) + 4096n, 'dontneed');
    expect(free()).toBe(vm.host.frames().free * PAGE);
    vm.guest.touch({ gpa: MIB, len: MIB, write: true });
    expect(free()).toBe(vm.host.frames().free * PAGE);
    const on = pageUsage(vm, { from: HVA, to: HVA + BigInt(8 * MIB) });
    expect(on.nodes.reduce((a, b) => a + b)).toBe(on.anon);
    expect(vm.host.check()).toEqual([]);
    await vm.close();
  });

  it('a checkpoint has the nodes of frames, and policies', async () => {
    const vm = await fresh();
    anon(vm, 8);
    vm.vmm.mbind(HVA, len(8), Mpol.Bind, [2]);
    touch(vm, 4);
    const checkpoint = vm.host.checkpoint();
    touch(vm, 8);
    vm.vmm.mbind(HVA, len(8), Mpol.Bind, [1]);
    vm.host.restore(checkpoint);
    expect(nodes(vm, 8)).toEqual([0, 0, 4, 0]);
    expect(vm.host.nodes().map(({ free }) => free / PAGE)).toEqual([1024, 1024, 1020, 1024]);
    touch(vm, 8);
    expect(nodes(vm, 8)).toEqual([0, 0, 8, 0]);
  });

  it.each([
    ['a mode that is none', [5 as Mpol, [0], 0], Errno.EINVAL],
    ['default with nodes', [Mpol.Default, [1], 0], Errno.EINVAL],
    ['local with nodes', [Mpol.Local, [1], 0], Errno.EINVAL],
    ['bind to nothing', [Mpol.Bind, [], 0], Errno.EINVAL],
    ['interleave on nothing', [Mpol.Interleave, [], 0], Errno.EINVAL],
    ['only nodes that are not there', [Mpol.Bind, [4, 9], 0], Errno.EINVAL],
    ['one that is there among them', [Mpol.Bind, [3, 9], 0], Errno.OK],
    ['flags that are none', [Mpol.Bind, [0], 8], Errno.EINVAL],
  ] as const)('mbind: %s', async (_, [mode, on, flags], errno) => {
    const vm = await fresh();
    anon(vm, 4);
    expect(vm.vmm.mbind(HVA, len(4), mode, on, flags)).toBe(errno);
    if (flags === 0) expect(vm.vmm.setMempolicy(mode, on)).toBe(errno);
  });

  it('mbind: ranges', async () => {
    const vm = await fresh();
    anon(vm, 4);
    expect(vm.vmm.mbind(HVA + 1n, len(1), Mpol.Bind, [0])).toBe(Errno.EINVAL);
    expect(vm.vmm.mbind(HVA, 0n, Mpol.Bind, [0])).toBe(Errno.OK);
    expect(vm.vmm.mbind(HVA, 1n, Mpol.Bind, [0])).toBe(Errno.OK);
    expect(vm.vmm.mbind(HVA, len(5), Mpol.Bind, [1])).toBe(Errno.EFAULT);
    expect(vm.vmm.getMempolicy(HVA + len(1), MpolF.Addr)).toMatchObject({ mode: Mpol.Default });
    expect(vm.vmm.getMempolicy(HVA + len(4), MpolF.Addr)).toMatchObject({ errno: Errno.EFAULT });
    expect(vm.vmm.getMempolicy(HVA)).toMatchObject({ errno: Errno.EINVAL });
    expect(vm.vmm.getMempolicy(0n, MpolF.Node)).toMatchObject({ errno: Errno.EINVAL });
    expect(vm.vmm.getMempolicy(0n, MpolF.MemsAllowed)).toMatchObject({ errno: 0, nodes: [0, 1, 2, 3] });
    expect(vm.vmm.getMempolicy(0n, MpolF.MemsAllowed | MpolF.Addr)).toMatchObject({ errno: Errno.EINVAL });
  });

  it('a host with one node has node 0 alone', async () => {
    const vm = await fresh({ numaNodes: 1 });
    anon(vm, 4);
    expect(vm.vmm.mbind(HVA, len(4), Mpol.Bind, [1])).toBe(Errno.EINVAL);
    expect(vm.vmm.mbind(HVA, len(4), Mpol.Bind, [0])).toBe(Errno.OK);
    touch(vm, 4);
    expect(nodes(vm, 4)).toEqual([4]);
    expect(vm.host.nodes()).toHaveLength(1);
  });

  it.each([0, 9, 1.5])('numaNodes %s is refused', async (numaNodes) => {
    await expect(fresh({ numaNodes })).rejects.toMatchObject({ code: 'SLB-020' });
  });
});
