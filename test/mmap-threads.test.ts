// vCPUs on threads of their own over mappings that the VMM made itself: one file behind two slots, at distances that no
// chunk lock but the one for all can hold apart.
import { describe, expect, it } from 'vitest';
import { createHost } from '../src/index.ts';
import { MIB } from './support/machines.ts';

const BASE = 1n << 44n;
const PAGE = 4096n;
const PAGES = 700n;
const LEN = PAGES * PAGE;
/** Where the second mapping and its slot begin: neither is congruent to the first. */
const SECOND = BASE + 3001n * PAGE;
const SECOND_GPA = 0x4000_3000n;

describe.each(['release', 'debug'] as const)('mmap › threads › %s', (core) => {
  it('Two vCPUs write one file through two slots, drop and punch it, and both see the same', async () => {
    // Less than twice the file: reclaim takes what both map.
    const host = await createHost({ memory: 3 * MIB, swap: 16 * MIB, core, wasmMemory: 'threads' });
    await using vm = host.createVm({ ram: [], cpus: 2, threads: true });
    const fd = vm.vmm.memfdCreate(LEN);
    const [a, b] = [
      { addr: BASE, gpa: 0n },
      { addr: SECOND, gpa: SECOND_GPA },
    ];
    [a, b].forEach(({ addr, gpa }, slot) => {
      expect(vm.vmm.mmap({ addr, length: LEN, prot: 3, shared: true, fd })).toBe(0);
      const region = { slot, flags: 0, guestPhysAddr: gpa, memorySize: LEN, userspaceAddr: addr };
      expect(vm.kvm.setUserMemoryRegion2(region)).toBe(0);
    });
    const half = LEN / 2n;
    const program = (gpa: bigint, byte: number) =>
      [
        {
          repeat: {
            times: 40,
            steps: [
              { fill: { gpa: gpa + (byte === 1 ? 0n : half), len: half, byte } },
              { touch: { gpa, len: LEN } },
              { vmm: { call: 'dontneed', gpa, len: LEN } },
              { vmm: { call: 'pageout', gpa, len: LEN } },
              { vmm: { call: 'remove', gpa: gpa + (byte === 1 ? 0n : half), len: PAGE } },
            ],
          },
        },
        { fill: { gpa: gpa + (byte === 1 ? 0n : half), len: half, byte } },
      ] as const;
    await vm.run([program(a.gpa, 1), program(b.gpa, 2)]);
    expect(host.check()).toEqual([]);
    for (const { gpa } of [a, b]) {
      expect(vm.guest.verify({ gpa, len: half, byte: 1 })).toEqual({ differs: undefined });
      expect(vm.guest.verify({ gpa: gpa + half, len: half, byte: 2 })).toEqual({ differs: undefined });
    }
    expect(vm.vmm.fstat(fd).blocks).toBe(Number(PAGES) * 8);
    expect(host.check()).toEqual([]);
  });
});
