// Loops of guest code and the driver's send in one crossing do what the same accesses one by one do.
import { describe, expect, it } from 'vitest';
import { Driver } from '../src/guest/driver.ts';
import { VmPort } from '../src/guest/vm-port.ts';
import { createSandbox } from '../src/machine.ts';

const PAGE = 4096;

describe.each(['release', 'debug'] as const)('vcpu › loops › %s', (core) => {
  it.each([
    ['a page and a cache line apart', PAGE + 64, 'anon'],
    ['within a page', 8, 'anon'],
    ['over table borders', 2 ** 21 - PAGE, 'anon'],
    ['over huge pages', 2 ** 19 + 64, 'thp'],
    ['within a huge page', PAGE + 8, 'thp'],
  ] as const)('vcpuStride: %s', async (_name, stride, backing) => {
    const span = 6 * 2 ** 20;
    const [loop, single] = [
      await createSandbox({ memory: '16M', core, backing }),
      await createSandbox({ memory: '16M', core, backing }),
    ];
    const { x } = loop.host.core;
    const run = loop.guest.run();
    expect(x.vcpuStride(run, 0n, BigInt(span), BigInt(stride), 500, 1)).toBe(500);
    let sum = 0n;
    for (let i = 0, at = 0; i < 500; i++, at = (at + stride) % span) single.guest.store(at & ~7, 8, i);
    for (let i = 0, at = 0; i < 500; i++, at = (at + stride) % span) {
      const access = single.guest.load(at & ~7, 8);
      if (access.ok) sum += access.value;
    }
    expect(x.vcpuStride(run, 0n, BigInt(span), BigInt(stride), 500, 0)).toBe(500);
    expect(loop.host.core.readU64(run + 16)).toBe(sum);
    expect(loop.observe.digest()).toBe(single.observe.digest());
  });

  it('vcpuStride: stops at the first access that fails, and a protection in the middle is seen', async () => {
    const vm = await createSandbox({ memory: '16M', core });
    const { x } = vm.host.core;
    vm.guest.fill({ gpa: 0, len: '8M', byte: 1 });
    expect(vm.guest.pvmemcontrol.mprotectR({ gpa: '4M', len: PAGE }).errno).toBe(0);
    expect(x.vcpuStride(vm.guest.run(), 0n, 1n << 23n, 4096n, 2048, 0)).toBe(2048);
    expect(x.vcpuStride(vm.guest.run(), 0n, 1n << 23n, 4096n, 2048, 1)).toBe(1024);
    expect(vm.host.check()).toEqual([]);
  });

  it('a request in one crossing leaves the same machine as its three steps', async () => {
    const programs = await Promise.all([true, false].map((whole) => requests(core, whole)));
    expect(programs[1]).toEqual(programs[0]);
  });
});

async function requests(core: 'release' | 'debug', whole: boolean) {
  const vm = await createSandbox({ memory: '64M', cpus: 2, core });
  const port = new VmPort(vm, vm.guest);
  if (!whole) Object.defineProperty(port, 'request', { value: undefined });
  const driver = new Driver(port);
  expect(driver.probe()).toBe(0);
  vm.guest.touch({ gpa: '16M', len: '4M', write: true });
  const calls = [
    [1, 0x100_0000n, 0x2000n, 0],
    [3, 0x110_0000n, 0x1000n, 1],
    [1, 0x8000n, 0x2000n, 0], // over both per-CPU buffers
    [10, 0x120_0000n, 0x1000n, 1],
    [99, 0n, 0n, 0],
    [1, 0xffff_ffff_ffff_f000n, 0x2000n, 1],
    [9, 0x9000n, 0x1000n, 1], // its own buffer: the device breaks
    [1, 0x100_0000n, 0x1000n, 0],
  ] as const;
  const answers = calls.map(([func, addr, length, cpu]) => driver.vmmCall(func, addr, length, 0n, cpu));
  return { answers, digest: vm.observe.digest(), state: vm.device.snapshot().state };
}
