// The stress of KVM's calls: real threads convert pages between private and shared, punch and allocate the guest_memfd, delete,
// make and move slots, read logs, and access all of that at the same time. After each slice, at a quiet point, everything is
// recounted; the VMM never sees a private byte, nor the guest a shared one in a private page; no written page is missing in a
// log. Bounded by a count of steps: a twentieth of STRESS_STEPS. FUZZ_SEED repeats the programs.
import { describe, expect, it } from 'vitest';
import { createHost, createSandbox } from '../src/machine.ts';
import type { Program, RepeatEnd } from '../src/threads/program.ts';
import { divide, GMEM, GMEM_FD, HVA, PAGE } from './stress/kvm-areas.ts';
import { KvmContents } from './stress/kvm-contents.ts';
import { makeKvmSlice } from './stress/kvm-slice.ts';
import { MIB } from './support/machines.ts';
import { Random } from './support/random.ts';

const STEPS = Number(process.env.STRESS_STEPS ?? 30_000_000) / 20;
const LENGTH = 48;
const ROUNDS = 240;
const FRAMES = 3400;

const MACHINES = [
  { core: 'release', cpus: 2, vmType: 1, gmemProfile: 'B', pml: true, backing: 'anon' },
  { core: 'debug', cpus: 5, vmType: 1, gmemProfile: 'B', pml: false, backing: 'anon' },
  { core: 'release', cpus: 5, vmType: 1, gmemProfile: 'B', pml: true, backing: 'thp' },
  { core: 'debug', cpus: 2, vmType: 1, gmemProfile: 'C', pml: true, backing: 'memfd' },
  { core: 'release', cpus: 5, vmType: 0, gmemProfile: 'C', pml: false, backing: 'anon' },
  { core: 'debug', cpus: 2, vmType: 0, gmemProfile: 'C', pml: true, backing: 'anon' },
] as const;

describe('stress › KVM', () => {
  it.each(
    MACHINES.map(
      (m) => [`${m.core}, ${m.cpus} vCPUs, type ${m.vmType}, ${m.gmemProfile}, ${m.backing}`, m] as const,
    ),
  )('%s', { timeout: 0 }, async (name, { core, cpus, vmType, gmemProfile, pml, backing }) => {
    const r = Random.fresh();
    const host = await createHost({
      memory: FRAMES * 4096,
      swap: 16 * MIB,
      core,
      wasmMemory: 'threads',
      events: false,
    });
    const vm = host.createVm({ memory: 64 * MIB, backing, cpus, vmType, gmemProfile, pml, threads: true });
    divide(vm, { vmType });
    const contents = new KvmContents(vm);
    let steps = 0;
    try {
      for (let number = 1; steps < STEPS / MACHINES.length; number++) {
        const where = `seed ${r.seed}, slice ${number}`;
        const attributes = vmType === 1;
        const slice = makeKvmSlice(r, { cpus, number, length: LENGTH, rounds: ROUNDS, attributes });
        const results = (await vm.run(slice.programs)) as unknown as RepeatEnd[][];
        expect(host.check(), where).toEqual([]);
        expect(slice.judge(results), where).toEqual([]);
        expect(contents.judge(slice.written), where).toEqual([]);
        contents.disturb(r);
        expect(host.check(), where).toEqual([]);
        steps += slice.steps;
      }
      // Everything goes back: nothing has leaked.
      const all = GMEM.pages * PAGE;
      expect(vm.vmm.fallocate(GMEM_FD, 3, 0n, all)).toBe(0);
      expect(vm.vmm.madvise(HVA, BigInt(64 * MIB), backing === 'memfd' ? 'remove' : 'dontneed')).toBe(0);
      expect([host.frames().used, host.swap().used, host.check()]).toEqual([0, 0, []]);
      const counters = vm.observe.counters();
      if (vmType === 1) expect(counters['attributes.changes']).toBeGreaterThan(0);
      const { 'slat.retries': retries, 'slat.flushes.remote': remote } = counters;
      console.log(`${name}: ${steps} steps, ${retries} retries, ${remote} remote flushes, seed ${r.seed}`);
    } finally {
      await vm.close();
    }
  });

  it.each([
    true,
    false,
  ])('each page that is written once is in a log that is read meanwhile, PML %s', async (pml) => {
    const vm = await createSandbox({ memory: 16 * MIB, cpus: 2, threads: true, pml, wasmMemory: 'threads' });
    try {
      const pages = 2048;
      const slot = { slot: 0, flags: 0, guestPhysAddr: 0, memorySize: 16 * MIB, userspaceAddr: HVA };
      expect(vm.guest.touch({ gpa: 0, len: pages * 4096, write: true })).toEqual({ pages });
      expect(vm.kvm.setUserMemoryRegion({ ...slot, flags: 1 })).toBe(0);
      const write: Program = [
        { repeat: { times: pages, advance: PAGE, steps: [{ store: { gpa: 0, val: 7 } }] } },
      ];
      const read: Program = [{ repeat: { times: 200, steps: [{ getDirtyLog: { slot: 0 } }] } }];
      const [, [reads]] = (await vm.run([write, read])) as unknown as [unknown, RepeatEnd[]];
      const seen = Number(reads?.steps[0]?.sum ?? 0n) + vm.kvm.getDirtyLog(0).pages.length;
      expect(seen).toBeGreaterThanOrEqual(pages);
      // A page is in a second one only when the first was read between its fault and its store.
      expect(seen).toBeLessThanOrEqual(pages + 200);
      expect(vm.host.check()).toEqual([]);
    } finally {
      await vm.close();
    }
  });
});

describe('stress › KVM, what it would notice', () => {
  it('a private byte where the VMM reads, a written page that the log has lost, a page that the guest sees instead', async () => {
    const vm = await createSandbox({ memory: 64 * MIB, cpus: 2, vmType: 1 });
    divide(vm, { vmType: 1 });
    const r = Random.fresh();
    const slice = makeKvmSlice(r, { cpus: 2, number: 1, length: LENGTH, rounds: 2, attributes: true });
    const results = vm.runInTurns(slice.programs) as unknown as RepeatEnd[][];
    const contents = new KvmContents(vm);
    expect([...slice.judge(results), ...contents.judge(slice.written)], `seed ${r.seed}`).toEqual([]);
    expect(contents.judge(new Set([5]))).toEqual([expect.stringContaining('the log')]);
    vm.ramAccess.write(GMEM.first * PAGE, new Uint8Array(8).fill(0x77));
    const found = contents.judge(new Set());
    expect(found[0]).toContain('the VMM reads 0x7777777777777777');
  });
});
