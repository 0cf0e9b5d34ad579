// Hosts and VMs as their caller sees them: misuse, sizes, several at a time.
// Reference: docs/errors.md, docs/architecture.md.
import { describe, expect, it } from 'vitest';
import type { HostOptions, Vm, VmOptions } from '../src/index.ts';
import { createHost, createSandbox, SlatboxError } from '../src/index.ts';
import { text } from './support/assembly.ts';
import { BUILDS, type Build, changes, GIB, hvaAt, KIB, MIB, machine, PAGE } from './support/machines.ts';

const BUILD: Build = { core: 'release', wasmMemory: 'plain' };

/** Code of the error that `run` ends with; every one of them says what to do instead, and is documented. */
async function codeOf(run: () => unknown): Promise<string> {
  try {
    await run();
  } catch (error) {
    if (!(error instanceof SlatboxError)) throw error;
    expect(error.hint ?? '').not.toBe('');
    expect(text('docs/errors.md')).toContain(`| ${error.code} |`);
    return error.code;
  }
  return 'no error';
}

describe('host › misuse of createHost', () => {
  it.each<[string, HostOptions, string]>([
    ['memory in words', { memory: 'lots' }, 'SLB-010'],
    ['negative memory', { memory: -4096 }, 'SLB-010'],
    ['half a byte', { memory: 4096.5 }, 'SLB-010'],
    ['more than numbers can say', { memory: 1n << 60n }, 'SLB-010'],
    ['negative swap', { memory: '1M', swap: '-1' }, 'SLB-010'],
    ['no frames', { memory: 0 }, 'SLB-020'],
    ['all of linear memory', { memory: '4G' }, 'SLB-020'],
    ['8 TiB', { memory: '8T' }, 'SLB-020'],
    ['2^52 bytes', { memory: 2 ** 52 }, 'SLB-020'],
    ['swap that leaves no room', { memory: '2G', swap: '2G' }, 'SLB-020'],
  ])('%s', async (_row, options, code) => {
    expect(await codeOf(() => createHost(options))).toBe(code);
  });
});

describe('host › misuse of createVm', () => {
  const region = (gpa: number | string, size: number | string) => ({ gpa, size });
  it.each<[string, VmOptions, string]>([
    ['no vCPU', { cpus: 0 }, 'SLB-024'],
    ['33 vCPUs', { cpus: 33 }, 'SLB-024'],
    ['half a vCPU', { cpus: 1.5 }, 'SLB-024'],
    ['no memory', { memory: 0 }, 'SLB-024'],
    ['half a page', { memory: 2048 }, 'SLB-024'],
    ['a region that starts inside a page', { ram: [region(1, 4096)] }, 'SLB-024'],
    ['overlap by a page', { ram: [region(0, 8192), region(4096, 8192)] }, 'SLB-024'],
    ['descending', { ram: [region(8192, 4096), region(0, 4096)] }, 'SLB-024'],
    ['addresses of 53 bits', { physBits: 53 }, 'SLB-024'],
    ['one page beyond 2^46', { ram: [region('64T', 4096)] }, 'SLB-024'],
    ['ends beyond 2^46', { ram: [region(4096, '64T')] }, 'SLB-024'],
    ['gpa near 2^64', { ram: [region('0xfffffffffffff000', 8192)] }, 'SLB-024'],
    ['a size in words', { ram: [region(0, 'all')] }, 'SLB-010'],
    ['memlock in words', { memlock: 'all' }, 'SLB-010'],
    ['129 regions', { ram: Array.from({ length: 129 }, (_, i) => region(i * 8192, 4096)) }, 'SLB-025'],
  ])('%s: refused, and the host is as before', async (_row, options, code) => {
    const host = await createHost({ memory: MIB, swap: 0, ...BUILD });
    const metadata = host.metadataBytes();
    expect(await codeOf(() => host.createVm(options))).toBe(code);
    expect([host.vms.length, host.metadataBytes(), host.check()]).toEqual([0, metadata, []]);
    // The next one is number 0, for the engine too.
    const vm = host.createVm({ memory: MIB });
    vm.guest.store(0, 1, 1);
    expect([vm.id, host.events.records().at(-1)?.vm]).toEqual([0, 0]);
  });

  it('128 regions are possible, each is RAM, what is between them is not', async () => {
    const vm = await machine(BUILD, { ram: Array.from({ length: 128 }, (_, i) => region(i * 8192, 4096)) });
    for (const { gpa } of vm.ram) {
      expect(vm.guest.store(gpa, 4, 7)).toEqual({ ok: true, value: 0n, exits: [] });
      expect(vm.guest.load(gpa + 4096n, 1)).toMatchObject({ exits: [{ reason: 'MMIO' }] });
    }
    expect(vm.observe.vmas()).toHaveLength(128);
    expect(vm.host.check()).toEqual([]);
  });

  it('32 VMs share a host, a 33rd is refused', async () => {
    const host = await createHost({ memory: MIB, swap: 0, ...BUILD });
    for (let i = 0; i < 32; i++) host.createVm({ memory: MIB, cpus: 32 });
    expect(await codeOf(() => host.createVm({ memory: MIB }))).toBe('SLB-025');
    host.vms.forEach((vm, i) => {
      expect(vm.guest.store(0, 8, i, { cpu: 31 }).ok).toBe(true);
    });
    host.vms.forEach((vm, i) => {
      expect(vm.guest.load(0, 8)).toMatchObject({ value: BigInt(i) });
    });
    expect(host.frames().used).toBe(32);
    expect(host.check()).toEqual([]);
  });
});

describe('host › misuse of a VM', () => {
  it.each<[string, (vm: Vm) => unknown, string]>([
    ['a load of 3 bytes', (vm) => vm.guest.load(0, 3 as 4), 'SLB-022'],
    ['a store of 16 bytes', (vm) => vm.guest.store(0, 16 as 8, 0), 'SLB-022'],
    ['a load of nothing', (vm) => vm.guest.load(0, 0 as 1), 'SLB-022'],
    ['vCPU 2 of 2', (vm) => vm.guest.load(0, 1, { cpu: 2 }), 'SLB-023'],
    ['vCPU -1', (vm) => vm.guest.touch({ gpa: 0, len: 1, cpu: -1 }), 'SLB-023'],
    ['vCPU 0.5', (vm) => vm.guest.write(0, Uint8Array.of(1), { cpu: 0.5 }), 'SLB-023'],
    ['a length in words', (vm) => vm.guest.fill({ gpa: 0, len: 'all', byte: 1 }), 'SLB-010'],
    ['a negative length', (vm) => vm.guest.verify({ gpa: 0, len: -1, byte: 1 }), 'SLB-010'],
    ['an address in words', (vm) => vm.guest.load('home', 1), 'SLB-010'],
    ['ramAccess.read outside RAM', (vm) => vm.ramAccess.read('3G', 1), 'SLB-021'],
    ['ramAccess.read over the end of RAM', (vm) => vm.ramAccess.read(64 * MIB - 1, 2), 'SLB-021'],
    ['ramAccess.write outside RAM', (vm) => vm.ramAccess.write('1T', Uint8Array.of(1)), 'SLB-021'],
    ['ramAccess.fill over 2^64', (vm) => vm.ramAccess.fill((1n << 64n) - 1n, 2, 1), 'SLB-021'],
    ['ramAccess.write without a frame', (vm) => vm.ramAccess.fill(0, 9 * MIB, 1), 'SLB-028'],
    [
      'ramAccess.read where the VMM has unmapped',
      (vm) => {
        vm.vmm.munmap(hvaAt(vm, 0), 4096n);
        return vm.ramAccess.read(0, 1);
      },
      'SLB-028',
    ],
    ['a raster of 2^20 + 1 cells', (vm) => vm.observe.raster('backing', 0, 12, 2 ** 20 + 1, 1), 'SLB-022'],
    ['cells of half a page', (vm) => vm.observe.raster('slat', 0, 11, 1, 1), 'SLB-022'],
    ['cells of 2^41 bytes', (vm) => vm.observe.raster('slat', 0, 41, 1, 1), 'SLB-022'],
    ['cells of 2^12.5 bytes', (vm) => vm.observe.raster('slat', 0, 12.5, 1, 1), 'SLB-022'],
    ['a raster from the middle of a cell', (vm) => vm.observe.raster('slat', 4096, 13, 1, 1), 'SLB-022'],
    ['a request on vCPU 2 of 2', (vm) => vm.guest.pvmemcontrol.free({ gpa: 0, len: 0, cpu: 2 }), 'SLB-023'],
  ])('%s', async (_row, misuse, code) => {
    const vm = await machine(BUILD, { cpus: 2, swap: 0 });
    expect(await codeOf(() => misuse(vm))).toBe(code);
    expect(vm.host.check()).toEqual([]);
  });

  it('a guest that has closed its own buffer is no misuse: the request fails', async () => {
    const vm = await machine(BUILD);
    vm.guest.pvmemcontrol.mprotectNone({ gpa: 0, len: 64 * KIB });
    expect(vm.guest.pvmemcontrol.dontneed({ gpa: MIB, len: PAGE }).errno).not.toBe(0);
    expect(vm.device.snapshot().state).toBe('broken');
    expect(vm.host.check()).toEqual([]);
  });

  it('a guest too small for the driver', async () => {
    const vm = await machine(BUILD, { memory: 4 * KIB });
    expect(await codeOf(() => vm.guest.pvmemcontrol.info())).toBe('SLB-029');
  });
});

describe.each(BUILDS)('host › %s', (_name, build) => {
  it.each([
    [4096, 0, 1, 0],
    [1, 1, 1, 1],
    [4097, '4K', 2, 1],
    ['1G', '256M', 262144, 65536],
  ])('memory %s, swap %s: %i frames, %i slots', async (memory, swap, frames, slots) => {
    const host = await createHost({ memory, swap, ...build });
    expect([host.frames(), host.swap().total]).toEqual([{ total: frames, free: frames, used: 0 }, slots]);
    expect([host.metadataBytes(), host.vms, host.check()]).toEqual([0, [], []]);
  });

  it.each([
    ['1G', 16],
    ['64G', 16],
    ['1T', 16],
    ['64T', 16],
  ])('an untouched guest of %s costs at most %i MiB of metadata', async (memory, most) => {
    const vm = await machine(build, {
      memory: memory === '64T' ? 0 : memory,
      ...(memory === '64T' && { ram: [{ gpa: 0, size: '64T' }] }),
    });
    expect(vm.host.metadataBytes()).toBeLessThanOrEqual(most * MIB);
    // A GiB costs four bytes, and so does each of the TiB in which the VMM may map more.
    const bytes = Number(vm.ram.at(-1)?.hva) + (vm.ram.at(-1)?.size ?? 0) - 2 ** 44;
    expect(vm.host.metadataBytes()).toBeLessThanOrEqual(12 * PAGE + Math.ceil(bytes / GIB / 1024) * PAGE);
    expect(vm.host.frames().used).toBe(0);
  });

  it('RAM is [0, 3G) and what is more from 4G up', async () => {
    const vm = await machine(build, { memory: '5G' });
    expect(vm.ram.map(({ gpa, size }) => [gpa, size])).toEqual([
      [0n, 3 * GIB],
      [BigInt(4 * GIB), 2 * GIB],
    ]);
    for (const gpa of [3 * GIB - 1, 4 * GIB, 6 * GIB - 1])
      expect(vm.guest.store(gpa, 1, 1)).toMatchObject({ exits: [] });
    for (const gpa of [3 * GIB, 4 * GIB - 1, 6 * GIB])
      expect(vm.guest.store(gpa, 1, 1)).toMatchObject({ exits: [{ len: 1 }] });
    expect(vm.device.snapshot().barBase).toBe(0xdffffff0n);
  });

  it('hosts have nothing in common', async () => {
    const hosts = await Promise.all([1, 2, 3].map(() => createHost({ memory: MIB, swap: MIB, ...build })));
    const vms = hosts.map((host) => host.createVm({ memory: MIB }));
    vms.forEach((vm, i) => {
      vm.guest.fill({ gpa: 0, len: (i + 1) * PAGE, byte: i + 1 });
    });
    vms.forEach((vm, i) => {
      expect(vm.guest.verify({ gpa: 0, len: (i + 1) * PAGE, byte: i + 1 })).toEqual({ differs: undefined });
      expect([vm.id, vm.host.frames().used, vm.observe.rss()]).toEqual([0, i + 1, (i + 1) * PAGE]);
    });
    expect(new Set(hosts.map((host) => host.digest())).size).toBe(3);
  });

  it('VMs share frames, and nothing else', async () => {
    const host = await createHost({ memory: 32 * PAGE, swap: 0, ...build });
    const [a, b] = [host.createVm({ memory: MIB }), host.createVm({ memory: MIB, cpus: 2 })];
    const digest = b.observe.digest();
    expect(changes(b, () => a.guest.fill({ gpa: 0, len: 20 * PAGE, byte: 1 }))).toEqual({
      'events.total': 40,
      'pool.used': 20 * PAGE,
      'frames.free': -20,
      'frames.used': 20,
      'metadata.bytes': 5 * PAGE,
    });
    expect(b.observe.digest()).toBe(digest);
    expect(b.guest.touch({ gpa: 0, len: 20 * PAGE, write: true })).toMatchObject({
      pages: 12,
      exit: { reason: 'OUT_OF_MEMORY' },
    });
    expect(host.check()).toEqual([]);
  });

  it('by default the pool is as large as the guest', async () => {
    const vm = await createSandbox({ memory: 2 * MIB, ...build });
    expect(vm.guest.fill({ gpa: 0, len: 2 * MIB, byte: 1 })).toEqual({ pages: 512 });
    expect(vm.host.frames()).toEqual({ total: 512, free: 0, used: 512 });
  });
});
