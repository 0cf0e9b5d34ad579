// The device's protocol on the model: the transition table again as a test, the recorded transport cases, and the
// rules that the recording has no case for. The engine is compared with the model in conform-device.test.ts.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parseDriver } from '../src/conform/driver-trace.ts';
import { parseHostcalls } from '../src/conform/hostcalls-trace.ts';
import { parsePci } from '../src/conform/pci-trace.ts';
import { formatResult, runCases } from '../src/conform/report.ts';
import { transportCases } from '../src/conform/transport.ts';
import { openTransportDoor } from '../src/conform/transport-door.ts';
import { parseTransport } from '../src/conform/transport-trace.ts';
import { SlatboxError } from '../src/errors.ts';
import { DeviceModel } from './model/device-model.ts';
import { openModelVm } from './model/model-vm.ts';

const RESET = 0x060fe6d2;
const REGISTER = 0x0e359539;
const READY = 0x0ca8d227;
const DISCONNECT = 0x030f5da0;
const ACK = 0x03cf5196;
const ERROR = 0x01fba249;

const FILE = 'pvmemcontrol-transport.json';
const golden = readFileSync(new URL(`golden/pvmemcontrol/${FILE}`, import.meta.url), 'utf8');

/** The model behind the same door as the engine. */
const openModel = openTransportDoor(openModelVm);

const u32 = (value: number): Uint8Array => Uint8Array.from([0, 8, 16, 24], (s) => (value >>> s) & 0xff);
const u64 = (value: bigint): Uint8Array =>
  Uint8Array.from({ length: 8 }, (_, i) => Number((value >> BigInt(8 * i)) & 0xffn));

const RAM = [
  { gpa: 0n, size: 0x4000 },
  { gpa: 0x4000n, size: 0x4000 },
];

function device(state: 'broken' | 'init' | 'ready'): DeviceModel {
  const model = new DeviceModel({ ram: RAM });
  if (state === 'broken') return model;
  model.write(8, u32(RESET));
  model.write(0, u64(0x1000n));
  model.write(8, u32(REGISTER));
  if (state === 'ready') model.write(8, u32(READY));
  return model;
}

describe('model › transitions', () => {
  it.each([
    ['broken', 'RESET', RESET, 'init', ACK],
    ['broken', 'REGISTER', REGISTER, 'broken', ERROR],
    ['broken', 'READY', READY, 'broken', ERROR],
    ['broken', 'DISCONNECT', DISCONNECT, 'broken', ERROR],
    ['broken', 'unknown', 0x1234, 'broken', ERROR],
    ['init', 'RESET', RESET, 'init', ACK],
    ['init', 'REGISTER', REGISTER, 'init', ACK],
    ['init', 'READY', READY, 'ready', ACK],
    ['init', 'DISCONNECT', DISCONNECT, 'broken', ERROR],
    ['init', 'ACK', ACK, 'broken', ERROR],
    ['init', 'unknown', 0x1234, 'init', ACK],
    ['init', 'doorbell', 0x80000000, 'init', ACK],
    ['ready', 'RESET', RESET, 'init', ACK],
    ['ready', 'REGISTER', REGISTER, 'broken', ERROR],
    ['ready', 'READY', READY, 'broken', ERROR],
    ['ready', 'DISCONNECT', DISCONNECT, 'broken', ERROR],
    ['ready', 'ERROR', ERROR, 'broken', ERROR],
    ['ready', 'unknown', 0x1234, 'ready', ACK],
    ['ready', 'doorbell', 0x80000000, 'ready', ACK],
  ] as const)('%s · %s', (before, _name, command, after, answer) => {
    const model = device(before);
    model.write(0, u64(0x2000n));
    model.write(8, u32(command));
    expect({ state: model.state, command: model.command }).toEqual({ state: after, command: answer });
  });

  it.each([
    ['RESET', RESET, 0],
    ['DISCONNECT', DISCONNECT, 0],
    ['unknown', 0x1234, 1],
  ])('ready · %s leaves that many buffers', (_name, command, buffers) => {
    const model = device('ready');
    model.write(8, u32(command));
    expect(model.connections.size).toBe(buffers);
  });
});

// What if the buffer's address is ridiculous?
describe('model › register', () => {
  it.each([
    ['address 0', 0n, ACK],
    ['unaligned', 0x1003n, ACK],
    ['across two regions that touch', 0x3ff0n, ACK],
    ['last 32 bytes', 0x7fe0n, ACK],
    ['one byte past the end', 0x7fe1n, ERROR],
    ['outside', 0x8000n, ERROR],
    ['end wraps past 2^64', 0xffff_ffff_ffff_fff0n, ERROR],
  ])('%s', (_name, gpa, answer) => {
    const model = device('init');
    model.write(0, u64(gpa));
    model.write(8, u32(REGISTER));
    expect(model.command).toBe(answer);
  });
});

// What if the request is?
describe('model › request', () => {
  it.each([
    ['INFO, arguments not looked at', [0n, ~0n, ~0n, ~0n], [0, 0, 4096n]],
    ['inside one region', [1n, 0x2000n, 0x1000n, 0n], [0, 0, 0n]],
    ['to the end of a region', [1n, 0x3000n, 0x1000n, 0n], [0, 0, 0n]],
    ['across two regions that touch', [1n, 0x3000n, 0x2000n, 0n], [22, 1, 0n]],
    ['empty, inside', [1n, 0x7000n, 0n, 0n], [0, 0, 0n]],
    ['empty, at the end', [1n, 0x8000n, 0n, 0n], [22, 1, 0n]],
    ['addr + length past 2^64', [1n, 0x1000n, ~0n, 0n], [22, 1, 0n]],
    ['unknown code', [15n, 0n, 0n, 0n], [95, 15, 0n]],
    ['unknown code with the low half of a known one', [0x1_0000_0001n, 0n, 0n, 0n], [95, 1, 0n]],
  ] as const)('%s', (_name, request, [errno, code, value]) => {
    const model = device('ready');
    model.ram.write(0x1000n, Uint8Array.from(request.flatMap((word) => [...u64(BigInt.asUintN(64, word))])));
    model.write(8, u32(0x80000000));
    const response = new DataView(model.ram.read(0x1000n, 32).buffer);
    expect(response.getUint32(0, true)).toBe(errno);
    expect(response.getUint32(4, true)).toBe(code);
    expect(response.getBigUint64(8, true)).toBe(value);
  });
});

describe('model › recorded transport cases', () => {
  it.each(
    transportCases(golden, FILE, openModel).map((c) => [c.name, c] as const),
  )('%s', async (_name, one) => {
    const [result] = await runCases([one]);
    expect(result && formatResult(result)).toMatch(/^ok /);
  });
});

describe('transport › malformed recordings', () => {
  const read = { op: 'mmio_read', offset: 0, size: 4, expect: '00000000' };
  const recording = (step: object): object[] => [
    { name: 'x', tags: [], backing: 'private', ram: [], steps: [step] },
  ];
  it.each([
    ['not JSON', '{'],
    ['not an array', '{}'],
    ['null case', '[null]'],
    ['no steps', '[{"name":"x","tags":[],"backing":"private","ram":[]}]'],
    ['unknown op', JSON.stringify(recording({ op: 'jump' }))],
    ['unknown backing', JSON.stringify([{ name: 'x', backing: 'tape', ram: [], steps: [] }])],
    ['negative offset', JSON.stringify(recording({ ...read, offset: -1 }))],
    ['fractional size', JSON.stringify(recording({ ...read, size: 1.5 }))],
    ['expect of another size', JSON.stringify(recording({ ...read, expect: '00' }))],
    ['odd hex', JSON.stringify(recording({ ...read, expect: '0000000' }))],
    ['mask of another size', JSON.stringify(recording({ ...read, mask: 'ff' }))],
    ['fill of two bytes', JSON.stringify(recording({ ...read, fill: 'a5a5' }))],
  ])('%s', (_name, text) => {
    expect(() => parseTransport(text, 'x.json')).toThrowError(expect.objectContaining({ code: 'SLB-031' }));
  });
});

/** Every value of `value` once replaced by each of `others`, as JSON text. */
function* damaged(
  value: unknown,
  others: readonly unknown[],
  rebuild: (v: unknown) => unknown = (v) => v,
): Generator<string> {
  for (const other of others) yield JSON.stringify(rebuild(other) ?? null);
  if (typeof value !== 'object' || value === null) return;
  for (const [key, inner] of Object.entries(value)) {
    const replace = (v: unknown): unknown =>
      rebuild(
        Array.isArray(value) ? value.map((old, i) => (i === Number(key) ? v : old)) : { ...value, [key]: v },
      );
    yield* damaged(inner, others, replace);
  }
}

// What if any one value of a recording is something else?
describe('recordings › damaged anywhere', () => {
  const others = [undefined, null, true, -1, 0.5, 2 ** 53, '', 'x', '0x', 'ff', [], [null], {}, { a: null }];
  const read = (file: string): unknown =>
    JSON.parse(readFileSync(new URL(`golden/pvmemcontrol/${file}`, import.meta.url), 'utf8'));
  const some = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.slice(0, 4).map(some);
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, some(inner)]));
  };
  it.each([
    ['transport', parseTransport, read(FILE)],
    ['hostcalls', parseHostcalls, read('pvmemcontrol-hostcalls.json')],
    ['pci', parsePci, read('pci-config.json')],
    ['driver', parseDriver, read('driver-trace.json')],
  ] as const)('%s: understood, or SLB-031', (_kind, parse, recording) => {
    const codes = new Set<unknown>();
    for (const text of damaged(some(recording), others)) {
      try {
        parse(text, 'x.json');
      } catch (error) {
        codes.add(error instanceof SlatboxError ? error.code : error);
      }
    }
    expect([...codes]).toEqual(['SLB-031']);
  });
});

describe('transport › a replay sees differences', () => {
  const one = (step: object): string =>
    JSON.stringify([
      { name: 'x', tags: ['t'], backing: 'private', ram: [{ gpa: 0, size: 4096 }], steps: [step] },
    ]);
  it.each([
    ['right answer', { op: 'mmio_read', offset: 8, size: 4, expect: '49a2fb01' }, 'ok'],
    ['wrong answer', { op: 'mmio_read', offset: 8, size: 4, expect: '49a2fb02' }, 'FAIL'],
    [
      'wrong only where masked',
      { op: 'mmio_read', offset: 8, size: 4, expect: '49a2fb02', mask: 'ffffff00' },
      'ok',
    ],
    ['default fill is a5', { op: 'mmio_read', offset: 16, size: 1, expect: 'a5' }, 'ok'],
    ['RAM that is not there', { op: 'mem_read', gpa: 4096, len: 1, expect: '00' }, 'FAIL'],
  ])('%s', async (_name, step, status) => {
    const [result] = await runCases(transportCases(one(step), FILE, openModel));
    expect(result).toMatchObject({ status, steps: 1, tags: ['t'], properties: { backing: 'private' } });
  });
});
