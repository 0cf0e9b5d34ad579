// One access of a vCPU: sizes, page borders, RAM and MMIO side by side, exits, and what the host's protection does.
// Reference: recorded KVM rules R1, R2, R4, R9 (docs/decisions, "KVM facts"); addresses are spelled out again here.
import { describe, expect, it } from 'vitest';
import type { Access, Exit, Vm } from '../src/index.ts';
import { BUILDS, GIB, hvaAt, letters, MIB, machine, PAGE } from './support/machines.ts';

const RAM_END = 64 * MIB;
const MMIO = BigInt(3 * GIB);
const SIZES = [1, 2, 4, 8] as const;

const bytes = (...list: number[]): Uint8Array => Uint8Array.from(list);
const ones = (len: number): Uint8Array => new Uint8Array(len).fill(0xff);
const mmio = (gpa: bigint, len: number, data: Uint8Array, isWrite: boolean): Exit =>
  ({ reason: 'MMIO', gpa, len, isWrite, data }) as Exit;
const efault = (gpa: bigint, isWrite: boolean): Access => ({
  ok: false,
  exit: { reason: 'EFAULT', gpa, isWrite } as Exit,
});
const done = (value = 0n): Access => ({ ok: true, value, exits: [] });
const oom = (gpa: bigint, isWrite: boolean): Access => ({
  ok: false,
  exit: { reason: 'OUT_OF_MEMORY', gpa, isWrite } as Exit,
});

/** mprotect(2) of one page by the VMM; 1 read, 2 write. */
function protect(vm: Vm, gpa: bigint, prot: number): void {
  expect(vm.vmm.mprotect(hvaAt(vm, gpa & ~0xfffn), BigInt(PAGE), prot)).toBe(0);
}

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

  describe('MMIO exits (R9.4, R9.5)', () => {
    it.each([
      ...SIZES.flatMap((size) => [0, 1, 7].map((at) => [size, BigInt(at)] as const)),
      [8, 0xff8n],
      [4, 0xffcn],
      [2, 0xffen],
      [1, 0xfffn],
    ] as const)('%i bytes at offset %i: one exit', async (size, offset) => {
      const vm = await machine(build);
      const gpa = MMIO + offset;
      const data = bytes(0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88).subarray(0, size);
      expect(vm.guest.store(gpa, size, 0x8877665544332211n)).toEqual({
        ok: true,
        value: 0n,
        exits: [mmio(gpa, size, data, true)],
      });
      const all = (1n << BigInt(8 * size)) - 1n;
      expect(vm.guest.load(gpa, size)).toEqual({
        ok: true,
        value: all,
        exits: [mmio(gpa, size, ones(size), false)],
      });
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
    ] as const)('%i bytes, %i before a page border: two exits in address order', async (size, before) => {
      const vm = await machine(build);
      const border = MMIO + 0x1000n;
      const gpa = border - BigInt(before);
      const data = bytes(0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88).subarray(0, size);
      expect(vm.guest.store(gpa, size, 0x8877665544332211n)).toEqual({
        ok: true,
        value: 0n,
        exits: [
          mmio(gpa, before, data.subarray(0, before), true),
          mmio(border, size - before, data.subarray(before), true),
        ],
      });
      const load = vm.guest.load(gpa, size);
      expect(load.ok && load.exits.map((e) => ('len' in e ? e.len : 0))).toEqual([before, size - before]);
      expect(vm.observe.counters()['exits.mmio']).toBe(4);
    });

    // "What if you pass ridiculous pointers?"
    it.each([
      ['end of RAM', BigInt(RAM_END)],
      ['behind the 2^46 bytes a guest may have', 1n << 46n],
      ['last page of a 4-level walk', (1n << 48n) - 8n],
      ['behind a 4-level walk', 1n << 48n],
      ['2^52', 1n << 52n],
      ['sign bit', 1n << 63n],
      ['last 8 bytes', (1n << 64n) - 8n],
    ])('%s: an exit with the whole address', async (_row, gpa) => {
      const vm = await machine(build);
      expect(vm.guest.load(gpa, 8)).toEqual({
        ok: true,
        value: (1n << 64n) - 1n,
        exits: [mmio(gpa, 8, ones(8), false)],
      });
      expect(vm.guest.store(gpa, 1, 5)).toEqual({
        ok: true,
        value: 0n,
        exits: [mmio(gpa, 1, bytes(5), true)],
      });
      expect(vm.guest.fetch(gpa)).toEqual({ ok: false, exit: { reason: 'INTERNAL_ERROR', gpa } });
      expect(vm.host.check()).toEqual([]);
    });

    it('an access over the end of the address space is one exit, and touches nothing at gpa 0', async () => {
      const vm = await machine(build);
      const gpa = (1n << 64n) - 4n;
      expect(vm.guest.store(gpa, 8, 0x8877665544332211n)).toEqual({
        ok: true,
        value: 0n,
        exits: [mmio(gpa, 8, bytes(0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88), true)],
      });
      expect(vm.observe.walk(0n).page).toBe('.');
    });
  });

  describe('the border of RAM and MMIO (R9.6, R9.8)', () => {
    const START = BigInt(GIB);
    const twoRegions = {
      ram: [
        { gpa: 0, size: RAM_END },
        { gpa: GIB, size: RAM_END },
      ],
    };

    it('RAM first: its bytes are stored, the rest exits', async () => {
      const vm = await machine(build, twoRegions);
      const gpa = BigInt(RAM_END) - 3n;
      const exit = mmio(BigInt(RAM_END), 5, bytes(0x44, 0x55, 0x66, 0x77, 0x88), true);
      expect(vm.guest.store(gpa, 8, 0x8877665544332211n)).toEqual({ ok: true, value: 0n, exits: [exit] });
      expect(vm.ramAccess.read(gpa, 3)).toEqual(bytes(0x11, 0x22, 0x33));
      expect(letters(vm, RAM_END - PAGE)).toBe('a');
      expect(vm.guest.load(gpa, 8)).toEqual({
        ok: true,
        value: 0xffffffffff332211n,
        exits: [mmio(BigInt(RAM_END), 5, ones(5), false)],
      });
    });

    it('MMIO first: it exits, the bytes in RAM are stored', async () => {
      const vm = await machine(build, twoRegions);
      const gpa = START - 3n;
      expect(vm.guest.store(gpa, 8, 0x8877665544332211n)).toEqual({
        ok: true,
        value: 0n,
        exits: [mmio(gpa, 3, bytes(0x11, 0x22, 0x33), true)],
      });
      expect(vm.ramAccess.read(START, 5)).toEqual(bytes(0x44, 0x55, 0x66, 0x77, 0x88));
      expect(vm.guest.load(gpa, 8)).toEqual({
        ok: true,
        value: 0x8877665544ffffffn,
        exits: [mmio(gpa, 3, ones(3), false)],
      });
    });

    it('broken RAM first: EFAULT; after the repair its part is done and the rest exits', async () => {
      const vm = await machine(build, twoRegions);
      const gpa = BigInt(RAM_END) - 3n;
      protect(vm, gpa, 0);
      expect(vm.guest.store(gpa, 8, -1n)).toEqual(efault(gpa, true));
      protect(vm, gpa, 3);
      expect(vm.ramAccess.read(gpa, 3)).toEqual(bytes(0, 0, 0));
      expect(vm.guest.store(gpa, 8, -1n)).toEqual({
        ok: true,
        value: 0n,
        exits: [mmio(BigInt(RAM_END), 5, ones(5), true)],
      });
    });

    it('MMIO first, broken RAM second: both parts are MMIO exits', async () => {
      const vm = await machine(build, twoRegions);
      protect(vm, START, 0);
      const gpa = START - 3n;
      expect(vm.guest.store(gpa, 8, -1n)).toEqual({
        ok: true,
        value: 0n,
        exits: [mmio(gpa, 3, ones(3), true), mmio(START, 5, ones(5), true)],
      });
      protect(vm, START, 3);
      expect(vm.ramAccess.read(START, 5)).toEqual(new Uint8Array(5));
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
      ['second page', 0x4000n, 0x3ffcn],
      ['first page', 0x3000n, 0x3ffcn],
    ])('R1.3: a store over a border whose %s is broken stores nothing', async (_row, broken, gpa) => {
      const vm = await machine(build);
      vm.ramAccess.fill(0x3000n, 2 * PAGE, 0x77);
      protect(vm, broken, 1);
      const fault = broken > gpa ? broken : gpa;
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
        (vm: Vm) => (vm.guest.load(0x9000n, 1), vm.guest.store(0x9000n, 1, 0)),
        'a',
        PAGE,
      ],
      [
        'read after a write',
        (vm: Vm) => (vm.guest.store(0x9000n, 1, 0), vm.guest.load(0x9000n, 1)),
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
