// Accesses that leave RAM: MMIO exits, and the border between RAM and MMIO.
// Reference: recorded KVM rules R9.4–R9.8; what no device claims reads as ones.
import { describe, expect, it } from 'vitest';
import type { Vm } from '../src/index.ts';
import { bytes, efault, mmio, ones, protect } from './support/accesses.ts';
import { BUILDS, changes, GIB, letters, MIB, machine, PAGE } from './support/machines.ts';

const RAM_END = 64 * MIB;
const MMIO = BigInt(3 * GIB);
const SIZES = [1, 2, 4, 8] as const;

describe.each(BUILDS)('vcpu › %s', (_name, build) => {
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

  // Loops are guest code over RAM; what they do at a device is not modelled, so they stop in front of it.
  it.each([
    ['touch', (vm: Vm) => vm.guest.touch({ gpa: RAM_END - PAGE, len: 2 * PAGE }), { pages: 1 }, false],
    [
      'touch, writing',
      (vm: Vm) => vm.guest.touch({ gpa: RAM_END - PAGE, len: 2 * PAGE, write: true }),
      { pages: 1 },
      true,
    ],
    ['fill', (vm: Vm) => vm.guest.fill({ gpa: RAM_END - PAGE, len: 2 * PAGE, byte: 3 }), { pages: 1 }, true],
    [
      'verify',
      (vm: Vm) => vm.guest.verify({ gpa: RAM_END - PAGE, len: 2 * PAGE, byte: 0 }),
      { differs: undefined },
      false,
    ],
  ])('a loop that comes to MMIO, %s: one exit that moves no bytes', async (_row, loop, end, isWrite) => {
    const vm = await machine(build);
    const change = changes(vm, () => {
      expect(loop(vm)).toEqual({ ...end, exit: mmio(BigInt(RAM_END), 0, bytes(), isWrite) });
    });
    expect(change['exits.mmio']).toBe(1);
    expect(change['exits.efault']).toBeUndefined();
    const event = vm.host.events.records().at(-1);
    expect(event).toMatchObject({
      kind: 'exit',
      detail: { reason: 'MMIO', len: 0, access: isWrite ? 'write' : 'read' },
    });
  });

  it('a fetch from MMIO is neither an MMIO exit nor EFAULT', async () => {
    const vm = await machine(build);
    const change = changes(vm, () => {
      expect(vm.guest.fetch(0xdffffff8n)).toEqual({
        ok: false,
        exit: { reason: 'INTERNAL_ERROR', gpa: 0xdffffff8n },
      });
    });
    expect(change).toEqual({ 'events.total': 1 });
  });

  it('what a device claims is no exit to the VMM, but counts as one', async () => {
    const vm = await machine(build);
    expect(
      changes(vm, () =>
        expect(vm.guest.load(0xdffffff8n, 4)).toEqual({ ok: true, value: 0x01fba249n, exits: [] }),
      ),
    ).toEqual({
      'events.total': 1,
      'exits.mmio': 1,
    });
    // Over the end of the window: the device has its part, nobody the rest.
    expect(vm.guest.load(0xdffffffcn, 8)).toEqual({
      ok: true,
      value: 0xffff_ffff_0000_0000n,
      exits: [mmio(0xe000_0000n, 4, ones(4), false)],
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
});
