// Checkpoints of a host with several VMs: back to the same state, on to the same states, and no byte of the time between.
// Reference: design section 5; src/host/checkpoint.ts; docs/errors.md SLB-027.
import { describe, expect, it } from 'vitest';
import type { Host, Vm } from '../src/index.ts';
import { createHost, SlatboxError } from '../src/index.ts';
import { BUILDS, type Build, hvaAt, KIB, letters, MIB, machine, PAGE } from './support/machines.ts';
import { Random } from './support/random.ts';

const RAM = 2 * MIB;
const PAGES = RAM / PAGE;

async function hostOf(build: Build, vms = 3): Promise<Host> {
  const host = await createHost({ memory: MIB, swap: MIB, ...build });
  for (let i = 0; i < vms; i++)
    host.createVm({ memory: RAM, cpus: i + 1, backing: i === 1 ? 'anon_acct' : 'anon' });
  return host;
}

/** One random thing that a guest or its VMM does; frames for half of one VM's RAM, so reclaim and swap take part. */
function act(host: Host, r: Random): void {
  const vm = r.pick(host.vms);
  const page = r.below(PAGES);
  const gpa = page * PAGE;
  const len = (1 + r.below(Math.min(24, PAGES - page))) * PAGE;
  const hva = hvaAt(vm, gpa);
  const request = vm.guest.pvmemcontrol;
  switch (r.below(16)) {
    case 0:
      vm.guest.fill({ gpa, len, byte: r.below(256) });
      break;
    case 1:
      vm.guest.touch({ gpa, len });
      break;
    case 2:
      // Not the pages of the driver's buffers.
      request.dontneed({ gpa: Math.max(gpa, 64 * KIB), len: PAGE });
      break;
    case 3:
      vm.vmm.madvise(hva, BigInt(len), 'free');
      break;
    case 4:
      vm.vmm.madvise(hva, BigInt(len), 'pageout');
      break;
    case 5:
      vm.vmm.mprotect(hva, BigInt(len), r.below(4));
      break;
    case 6:
      vm.vmm.mprotect(hvaAt(vm, 0), BigInt(RAM), 3);
      break;
    case 7:
      vm.vmm.setAnonName(hva, BigInt(len), r.pick(['a', 'b', undefined, 'pvmemcontrol-5']));
      break;
    case 8:
      vm.vmm.mlock(hva, BigInt(PAGE));
      break;
    case 9:
      vm.vmm.munlock(hvaAt(vm, 0), BigInt(RAM));
      break;
    case 10:
      vm.vmm.store(hva, r.below(256));
      break;
    case 11:
      vm.vmm.madvise(hva, BigInt(len), 'dontdump');
      break;
    default:
      vm.guest.store(BigInt(gpa + r.below(PAGE)), r.pick([1, 2, 4, 8] as const), r.bits(), {
        cpu: r.below(vm.cpus),
      });
  }
}
function run(host: Host, seed: number, steps: number): void {
  // The drivers' buffers must stay reachable for the requests above.
  for (const vm of host.vms) if (!vm.guest.driver.bound) vm.guest.driver.probe();
  const r = new Random(seed);
  for (let i = 0; i < steps; i++) {
    for (const vm of host.vms) vm.vmm.mprotect(hvaAt(vm, 32 * KIB), BigInt(32 * KIB), 3);
    act(host, r);
  }
}

/** All that an observer can see of a host. */
function seen(host: Host): unknown {
  return {
    digest: host.digest(),
    frames: host.frames(),
    swap: host.swap(),
    metadata: host.metadataBytes(),
    next: host.events.next,
    check: host.check(),
    vms: host.vms.map((vm) => ({
      smaps: vm.observe.smapsText(),
      letters: letters(vm, 0, PAGES),
      counters: vm.observe.counters(),
      device: vm.device.snapshot(),
      bound: vm.guest.driver.bound,
      leaves: Array.from({ length: PAGES }, (_, i) => vm.observe.walk(i * PAGE).entries[3]?.value ?? 0n),
    })),
  };
}

describe.each(BUILDS)('checkpoint › %s', (_name, build) => {
  it.each([
    1, 2, 3,
  ])('round trip, seed %i: the same state, and the same states from there on', async (seed) => {
    const host = await hostOf(build);
    run(host, seed, 150);
    const before = seen(host);
    const checkpoint = host.checkpoint();
    expect(seen(host), 'taking it changes nothing').toEqual(before);

    run(host, seed + 100, 150);
    const after = seen(host);
    expect(after).not.toEqual(before);
    host.restore(checkpoint);
    expect(seen(host)).toEqual(before);
    run(host, seed + 100, 150);
    expect(seen(host)).toEqual(after);

    // Another future in between leaves no trace.
    host.restore(checkpoint);
    run(host, seed + 200, 150);
    host.restore(checkpoint);
    run(host, seed + 100, 150);
    expect(seen(host)).toEqual(after);
  });

  it('a page of one word, a page of bytes, a page in swap, a device in use: all come back', async () => {
    const vm = await machine(build);
    const noise = Uint8Array.from({ length: PAGE }, (_, i) => (i * 7 + (i >> 8)) & 255);
    vm.guest.fill({ gpa: 64 * KIB, len: PAGE, byte: 0xab });
    vm.ramAccess.write(68 * KIB, noise);
    vm.ramAccess.write(72 * KIB, noise);
    // One word over and over, but for the last byte.
    vm.guest.fill({ gpa: 76 * KIB, len: PAGE, byte: 0xab });
    vm.guest.store(80 * KIB - 1, 1, 0xac);
    vm.vmm.madvise(hvaAt(vm, 72 * KIB), 4096n, 'pageout');
    vm.guest.pvmemcontrol.info();
    const device = vm.device.snapshot();
    const checkpoint = vm.host.checkpoint();
    vm.guest.driver.remove();
    vm.guest.fill({ gpa: 0, len: 2 * MIB, byte: 0x55 });
    vm.host.restore(checkpoint);
    expect(vm.device.snapshot()).toEqual(device);
    expect(vm.guest.pvmemcontrol.info()).toMatchObject({ errno: 0 });
    expect(vm.guest.verify({ gpa: 64 * KIB, len: PAGE, byte: 0xab })).toEqual({ differs: undefined });
    expect(vm.ramAccess.read(68 * KIB, PAGE)).toEqual(noise);
    expect(letters(vm, 72 * KIB)).toBe('s');
    expect(vm.guest.read(72 * KIB, PAGE)).toEqual(noise);
    expect(vm.guest.verify({ gpa: 76 * KIB, len: PAGE, byte: 0xab })).toEqual({
      differs: BigInt(80 * KIB - 1),
    });
    expect(vm.host.check()).toEqual([]);
  });

  // Frames behind the old end of the pool hold bytes of the undone future: they must not count as fresh.
  it('no byte of an undone future is visible', async () => {
    const host = await hostOf(build, 2);
    const [a, b] = host.vms as [Vm, Vm];
    a.guest.fill({ gpa: 0, len: 8 * PAGE, byte: 1 });
    const checkpoint = host.checkpoint();
    a.guest.fill({ gpa: 0, len: 100 * PAGE, byte: 0xee });
    b.guest.fill({ gpa: 0, len: 100 * PAGE, byte: 0xdd });
    for (let round = 0; round < 2; round++) {
      host.restore(checkpoint);
      expect(a.guest.verify({ gpa: 0, len: 8 * PAGE, byte: 1 })).toEqual({ differs: undefined });
      expect(b.guest.touch({ gpa: 0, len: 150 * PAGE, write: true, byte: 0 }).pages).toBe(150);
      expect(b.guest.verify({ gpa: 0, len: 150 * PAGE, byte: 0 })).toEqual({ differs: undefined });
      expect(a.guest.verify({ gpa: 8 * PAGE, len: 100 * PAGE, byte: 0 })).toEqual({ differs: undefined });
      expect(host.check()).toEqual([]);
    }
  });

  it('costs what is in use, not what there is', async () => {
    const vm = await machine(build, { memory: '1T', pool: '512M' });
    vm.guest.touch({ gpa: 0, len: 4 * MIB, write: true });
    vm.ramAccess.write(
      0,
      Uint8Array.from({ length: PAGE }, (_, i) => i & 255),
    );
    // Pages of one word count as the word; only one of the 1024 is kept whole.
    expect(vm.host.checkpoint().bytes).toBeLessThan(5 * MIB);
  });
});

describe('checkpoint › misuse', () => {
  const refused = (run: () => void): string => {
    try {
      run();
    } catch (error) {
      if (error instanceof SlatboxError) return error.code;
      throw error;
    }
    return 'accepted';
  };
  const BUILD = { core: 'release', wasmMemory: 'plain' } as const;

  it.each([
    ['one with another pool', { memory: 2 * MIB, swap: MIB }],
    ['one just like it', { memory: MIB, swap: MIB }],
  ])('a checkpoint of another host, %s: SLB-027, nothing changed', async (_row, options) => {
    const host = await hostOf(BUILD, 1);
    run(host, 5, 50);
    const other = await createHost({ ...options, ...BUILD });
    other.createVm({ memory: RAM }).guest.fill({ gpa: 0, len: 20 * PAGE, byte: 9 });
    const before = seen(host);
    expect(refused(() => host.restore(other.checkpoint()))).toBe('SLB-027');
    expect(seen(host)).toEqual(before);
  });

  it('a VM made after it: SLB-027', async () => {
    const host = await hostOf(BUILD, 1);
    const checkpoint = host.checkpoint();
    host.createVm({ memory: RAM });
    expect(refused(() => host.restore(checkpoint))).toBe('SLB-027');
    expect(host.check()).toEqual([]);
  });
});
