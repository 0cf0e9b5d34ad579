// PCI configuration space of the pvmemcontrol function, and the bus around it. Register offsets are spelled out.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { pciCases } from '../src/conform/pci.ts';
import { parsePci } from '../src/conform/pci-trace.ts';
import { formatResult, runCases } from '../src/conform/report.ts';
import { bdfOf, formatBdf, PciBus, PVMEMCONTROL_BDF } from '../src/vmm/pci-bus.ts';
import type { BarMove } from '../src/vmm/pci-config.ts';
import { PciConfig } from '../src/vmm/pci-config.ts';
import { openModelVm } from './model/model-vm.ts';

const FILE = 'pci-config.json';
const golden = readFileSync(new URL(`golden/pvmemcontrol/${FILE}`, import.meta.url), 'utf8');

const START = 0xdffffff0;
const move = (from: number, to: number): BarMove => ({ from, to, len: 16 });

describe('pci › recorded cases', () => {
  it.each(pciCases(golden, FILE, openModelVm).map((c) => [c.name, c] as const))('%s', async (_name, one) => {
    const [result] = await runCases([one]);
    expect(result && formatResult(result)).toMatch(/^ok /);
  });
});

// What if you read where nothing is?
describe('pci › reads', () => {
  it.each([
    ['1 byte', 0x00, 1, 0xe0],
    ['2 bytes', 0x02, 2, 0x0087],
    ['3 bytes in one register', 0x01, 3, 0x00_871a],
    ['4 bytes', 0x00, 4, 0x0087_1ae0],
    ['beyond the header', 0x100, 4, 0],
    ['last register', 0xffc, 4, 0],
    ['past the end', 0x1000, 4, 0xffff_ffff],
    ['negative offset', -4, 4, 0xffff_ffff],
    ['fractional offset', 0.5, 1, 0xff],
    ['not a number', Number.NaN, 2, 0xffff],
    ['across a register', 0x03, 2, 0xffff],
    ['no bytes', 0, 0, 0xffff_ffff],
    ['8 bytes', 0, 8, 0xffff_ffff],
  ])('%s', (_name, offset, size, value) => {
    expect(new PciConfig().read(offset, size)).toBe(value);
  });
});

// What if you write there?
describe('pci › writes that are dropped', () => {
  it.each([
    ['3 bytes', 0x04, 3],
    ['2 bytes at an odd offset', 0x05, 2],
    ['4 bytes at offset 2', 0x0e, 4],
    ['8 bytes', 0x10, 8],
    ['no bytes', 0x10, 0],
    ['beyond the header', 0x110, 4],
    ['past the end', 0x1010, 4],
    ['negative offset', -0xff0, 4],
    ['fractional offset', 16.5, 4],
    ['not a number', Number.NaN, 4],
  ])('%s', (_name, offset, size) => {
    const config = new PciConfig();
    const before = config.save();
    expect(config.write(offset, size, 0xd0000000)).toEqual([]);
    expect(config.save()).toEqual(before);
  });
});

describe('pci › moves of the window', () => {
  it('size probe and back: none', () => {
    const config = new PciConfig();
    expect(config.write(0x10, 4, 0xffff_ffff)).toEqual([]);
    expect(config.write(0x10, 4, START)).toEqual([]);
    expect(config.window).toBe(START);
  });

  it('partial writes: none, and a full write afterwards moves from where the window is', () => {
    const config = new PciConfig();
    expect(config.write(0x12, 2, 0xd200)).toEqual([]);
    expect(config.bar0).toBe(0xd200fff0);
    expect(config.write(0x10, 4, 0xd0000000)).toEqual([move(START, 0xd0000000)]);
  });

  it('memory space off: kept back until it is on; the window stays', () => {
    const config = new PciConfig();
    config.write(0x04, 2, 0);
    expect(config.write(0x10, 4, 0xd0000000)).toEqual([]);
    expect(config.window).toBe(START);
    expect(config.write(0x04, 1, 0x02)).toEqual([move(START, 0xd0000000)]);
    expect(config.window).toBe(0xd0000000);
  });

  it('turning memory space off: none', () => {
    const config = new PciConfig();
    expect(config.write(0x04, 2, 0)).toEqual([]);
    expect(config.window).toBe(START);
  });

  it('a million writes with memory space off: bounded, in a chain that ends at the last address', () => {
    const config = new PciConfig();
    config.write(0x04, 2, 0);
    for (let i = 1; i <= 1_000_000; i++) config.write(0x10, 4, 16 * i);
    const moves = config.write(0x04, 2, 2);
    expect(moves).toHaveLength(64);
    expect(moves[0]?.from).toBe(START);
    expect(moves.at(-1)?.to).toBe(16_000_000);
    for (const [i, { from }] of moves.entries()) if (i > 0) expect(from).toBe(moves[i - 1]?.to);
  });
});

describe('pci › save and load', () => {
  it('brings back registers, the window and the pending moves, whatever happened since', () => {
    const config = new PciConfig();
    config.write(0x04, 2, 0);
    config.write(0x10, 4, 0xd0000000);
    const state = structuredClone(config.save());
    config.write(0x04, 2, 2);
    config.write(0x3c, 1, 0x55);
    config.load(state);
    expect(config.save()).toEqual(state);
    expect(config.window).toBe(START);
    expect(config.write(0x04, 2, 2)).toEqual([move(START, 0xd0000000)]);
  });
});

describe('pci › bus', () => {
  it.each([
    ['00:01.0', bdfOf(0, 1, 0), 0x0087_1ae0],
    ['00:00.0', bdfOf(0, 0, 0), 0xffff_ffff],
    ['00:01.1', bdfOf(0, 1, 1), 0xffff_ffff],
    ['01:01.0', bdfOf(1, 1, 0), 0xffff_ffff],
  ])('%s', (name, bdf, id) => {
    expect(formatBdf(bdf)).toBe(name);
    expect(new PciBus().configRead(bdf, 0, 4)).toBe(id);
  });

  it('absent function: all ones of the size asked for, writes dropped', () => {
    const bus = new PciBus();
    expect(bus.configRead(0x10, 0, 2)).toBe(0xffff);
    expect(bus.configRead(-1, 0, 1)).toBe(0xff);
    expect(bus.configWrite(0x10, 0x10, 4, 0xd0000000)).toEqual([]);
    expect(bus.window).toBe(START);
  });

  it('moves are told in order', () => {
    const seen: BarMove[] = [];
    const bus = new PciBus({ onBarMove: (m) => seen.push(m) });
    bus.configWrite(PVMEMCONTROL_BDF, 0x04, 2, 0);
    bus.configWrite(PVMEMCONTROL_BDF, 0x10, 4, 0xd0001000);
    bus.configWrite(PVMEMCONTROL_BDF, 0x10, 4, 0xd0002000);
    const returned = bus.configWrite(PVMEMCONTROL_BDF, 0x04, 2, 2);
    expect(seen).toEqual([move(START, 0xd0001000), move(0xd0001000, 0xd0002000)]);
    expect(returned).toEqual(seen);
  });
});

describe('pci › malformed recordings', () => {
  const good = JSON.parse(golden) as Record<string, unknown>;
  const withSteps = (...steps: unknown[]): object => ({ ...good, cases: [{ name: 'x', steps }] });
  it.each([
    ['an array', []],
    ['no content', { ...good, config_space_256_bytes: undefined }],
    ['content of another size', { ...good, config_space_256_bytes: 'e01a' }],
    ['rest not zero', { ...good, bytes_256_to_4095: 'some' }],
    ['writable bits not a number', { ...good, writable_bits: { '0x04': 'many' } }],
    ['unknown op', withSteps({ op: 'mmio_read', offset: 0, size: 4 })],
    ['value as a JSON number', withSteps({ op: 'config_write', offset: 0, size: 4, value: 1 })],
    ['value of 33 bits', withSteps({ op: 'config_write', offset: 0, size: 4, value: '0x100000000' })],
    [
      'move without target',
      withSteps({ op: 'config_write', offset: 0, size: 4, value: '0', moves: [{ from: '0', len: 16 }] }),
    ],
  ])('%s', (_name, value) => {
    expect(() => parsePci(JSON.stringify(value), FILE)).toThrowError(
      expect.objectContaining({ code: 'SLB-031' }),
    );
  });
});

describe('pci › a replay sees differences', () => {
  const good = JSON.parse(golden) as {
    config_space_256_bytes: string;
    writable_bits: Record<string, string>;
  };
  const failed = async (recording: object): Promise<string[]> =>
    (await runCases(pciCases(JSON.stringify(recording), FILE, openModelVm)))
      .filter(({ status }) => status === 'FAIL')
      .map(({ name }) => name);
  const write = { op: 'config_write', offset: 16, size: 4, value: '0xd0001000' };
  it.each([
    [
      'content',
      { ...good, cases: [], config_space_256_bytes: good.config_space_256_bytes.replace('0301', '0701') },
      'reset-content',
    ],
    [
      'writable bits',
      { ...good, cases: [], writable_bits: { ...good.writable_bits, '0x3c': '0xffff' } },
      'reset-content',
    ],
    ['a move that is missing', { ...good, cases: [{ name: 'x', steps: [write] }] }, 'x'],
    [
      'a move elsewhere',
      {
        ...good,
        cases: [
          { name: 'x', steps: [{ ...write, moves: [{ from: '0xdffffff0', to: '0xd0002000', len: 16 }] }] },
        ],
      },
      'x',
    ],
  ])('%s', async (_name, recording, name) => {
    expect(await failed(recording)).toEqual([name]);
  });
});
