// One access of a vCPU: sizes, page borders, faults, and the first touch of a page.
// Reference: recorded KVM rules R1, R2; addresses are spelled out again here.
import { describe, expect, it } from 'vitest';
import type { Access, Vm } from '../src/index.ts';
import { bytes, done, efault, mmio, ones, protect } from './support/accesses.ts';
import { BUILDS, GIB, hvaAt, letters, machine, PAGE } from './support/machines.ts';

const MMIO = BigInt(3 * GIB);
const SIZES = [1, 2, 4, 8] as const;

describe.each(BUILDS)('vcpu › %s', (_name, build) => {
  it.each(SIZES)('a store of %i bytes changes these and no others, at any alignment', async (size) => {
    const vm = await machine(build);
    for (let offset = 0; offset < 9; offset++) {
      vm.ramAccess.fill(0x5000n, 32, 0xee);
      expect(vm.guest.store(0x5008n + BigInt(offset), size, 0x8877665544332211n)).toEqual(done());
      const want = new Uint8Array(32).fill(0xee);
      want.set(bytes(0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88).subarray(0, size), 8 + offset);
      expect(vm.ramAccess.read(0x5000n, 32)).toEqual(want);
      const mask = (1n << BigInt(8 * size)) - 1n;
      expect(vm.guest.load(0x5008n + BigInt(offset), size)).toEqual(done(0x8877665544332211n & mask));
    }
  });

  it.each([
    [8, 1],
    [8, 2],
    [8, 3],
    [8, 4],
    [8, 5],
    [8, 6],
    [8, 7],
    [4, 1],
    [4, 2],
    [4, 3],
    [2, 1],
  ] as const)('%i bytes over a page border, %i before it: one access, two pages', async (size, before) => {
    const vm = await machine(build);
    const gpa = 0x6000n - BigInt(before);
    const value = 0x8877665544332211n & ((1n << BigInt(8 * size)) - 1n);
    expect(vm.guest.load(gpa, size)).toEqual(done(0n));
    expect(letters(vm, 0x5000n, 2)).toBe('zz');
    expect(vm.guest.store(gpa, size, value)).toEqual(done());
    expect(letters(vm, 0x5000n, 2)).toBe('aa');
    expect(vm.guest.load(gpa, size)).toEqual(done(value));
    expect(vm.observe.rss()).toBe(2 * PAGE);
    expect(vm.ramAccess.read(gpa - 1n, 1)).toEqual(bytes(0));
    expect(vm.ramAccess.read(gpa + BigInt(size), 1)).toEqual(bytes(0));
  });

  it.each([[0], [1], [31]])('vCPU %i has a run record of its own', async (cpu) => {
    const vm = await machine(build, { cpus: 32 });
    vm.guest.store(MMIO, 4, 1, { cpu: 7 });
    expect(vm.guest.store(0x1000n, 8, cpu + 1, { cpu })).toEqual(done());
    expect(vm.guest.load(0x1000n, 8, { cpu: 31 - cpu })).toEqual(done(BigInt(cpu + 1)));
    expect(vm.guest.load(MMIO, 1, { cpu })).toEqual({
      ok: true,
      value: 0xffn,
      exits: [mmio(MMIO, 1, ones(1), false)],
    });
  });

  describe('EFAULT (R1)', () => {
    it('R1.2: the same again until the repair, then the access completes; nothing of it before', async () => {
      const vm = await machine(build);
      vm.guest.store(0x3000n, 8, 1);
      protect(vm, 0x3000n, 1);
      for (let i = 0; i < 3; i++) expect(vm.guest.store(0x3000n, 8, 2)).toEqual(efault(0x3000n, true));
      expect(vm.guest.load(0x3000n, 8)).toEqual(done(1n));
      protect(vm, 0x3000n, 3);
      expect(vm.guest.store(0x3000n, 8, 2)).toEqual(done());
      expect(vm.guest.load(0x3000n, 8)).toEqual(done(2n));
    });

    it.each([
      ['second page', 0x4000n, 0x3ffcn, 0x4000n],
      ['first page', 0x3000n, 0x3ffcn, 0x3ffcn],
    ])('R1.3: a store over a border whose %s is broken stores nothing', async (_row, broken, gpa, fault) => {
      const vm = await machine(build);
      vm.ramAccess.fill(0x3000n, 2 * PAGE, 0x77);
      protect(vm, broken, 1);
      expect(vm.guest.store(gpa, 8, 0n)).toEqual(efault(fault, true));
      expect(vm.ramAccess.read(gpa, 8)).toEqual(new Uint8Array(8).fill(0x77));
    });

    it('R1.4: what the host does is seen by the next access', async () => {
      const vm = await machine(build);
      const hva = hvaAt(vm, 0x8000n);
      const load = (): Access => vm.guest.load(0x8000n, 1);
      vm.guest.store(0x8000n, 1, 1);
      expect(vm.vmm.store(hva, 2)).toEqual({ ok: true, value: 2 });
      expect(load()).toEqual(done(2n));
      expect(vm.vmm.madvise(hva, 4096n, 'dontneed')).toBe(0);
      expect(load()).toEqual(done(0n));
      vm.vmm.store(hva, 3);
      expect(load()).toEqual(done(3n));
      protect(vm, 0x8000n, 0);
      expect(load()).toEqual(efault(0x8000n, false));
      protect(vm, 0x8000n, 3);
      expect(vm.vmm.madvise(hva, 4096n, 'pageout')).toBe(0);
      expect(letters(vm, 0x8000n)).toBe('s');
      expect(load()).toEqual(done(3n));
      expect(vm.vmm.munmap(hva, 4096n)).toBe(0);
      expect(load()).toEqual(efault(0x8000n, false));
    });

    it.each([
      ['load', (vm: Vm) => vm.guest.load(0x3000n, 4)],
      ['store', (vm: Vm) => vm.guest.store(0x3000n, 4, 0)],
      ['fetch', (vm: Vm) => vm.guest.fetch(0x3000n)],
      ['loop', (vm: Vm) => vm.guest.touch({ gpa: 0x3000n, len: PAGE })],
    ])('one failing %s is one violation, one exit and two events', async (_row, access) => {
      const vm = await machine(build);
      protect(vm, 0x3000n, 0);
      const before = vm.observe.counters();
      const first = vm.host.events.next;
      access(vm);
      const after = vm.observe.counters();
      expect(Number(after['slat.violations']) - Number(before['slat.violations'])).toBe(1);
      expect(Number(after['exits.efault']) - Number(before['exits.efault'])).toBe(1);
      expect(vm.host.events.records(first).map((e) => e.kind)).toEqual(['violation', 'exit']);
    });
  });

  describe('first touch of anonymous memory (R2)', () => {
    it.each([
      ['read', (vm: Vm) => vm.guest.load(0x9000n, 8), 'z', 0],
      ['execute', (vm: Vm) => vm.guest.fetch(0x9000n), 'z', 0],
      ['write', (vm: Vm) => vm.guest.store(0x9000n, 1, 0), 'a', PAGE],
      [
        'write after a read',
        (vm: Vm) => {
          vm.guest.load(0x9000n, 1);
          return vm.guest.store(0x9000n, 1, 0);
        },
        'a',
        PAGE,
      ],
      [
        'read after a write',
        (vm: Vm) => {
          vm.guest.store(0x9000n, 1, 0);
          return vm.guest.load(0x9000n, 1);
        },
        'a',
        PAGE,
      ],
    ])('%s', async (_row, touch, letter, rss) => {
      const vm = await machine(build);
      expect(touch(vm)).toEqual(done(0n));
      expect(letters(vm, 0x8000n, 3)).toBe(`.${letter}.`);
      expect(vm.observe.rss()).toBe(rss);
      expect(vm.host.frames().used).toBe(rss / PAGE);
    });

    it('R2.5: guest and VMM touch the same page', async () => {
      const vm = await machine(build);
      const hva = hvaAt(vm, 0x9000n);
      expect(vm.vmm.load(hva)).toEqual({ ok: true, value: 0 });
      expect(letters(vm, 0x9000n)).toBe('z');
      vm.guest.store(0x9000n, 1, 0x42);
      expect(vm.vmm.load(hva)).toEqual({ ok: true, value: 0x42 });
      vm.vmm.fillPage(hva, 0x43);
      expect(vm.guest.verify({ gpa: 0x9000n, len: PAGE, byte: 0x43 })).toEqual({ differs: undefined });
      expect(vm.observe.rss()).toBe(PAGE);
    });
  });
});
