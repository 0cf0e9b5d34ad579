// The engine, both compilations of its core, against the recordings of the real device and against the model.
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { driverCases } from '../src/conform/driver.ts';
import { hostcallsCases } from '../src/conform/hostcalls.ts';
import { parseHostcalls } from '../src/conform/hostcalls-trace.ts';
import { pciCases } from '../src/conform/pci.ts';
import { formatResult, type ReplayCase, runCases } from '../src/conform/report.ts';
import { transportCases } from '../src/conform/transport.ts';
import { openTransportDoor, type TransportDoor } from '../src/conform/transport-door.ts';
import { toHex } from '../src/conform/transport-trace.ts';
import { openSandboxVm } from '../src/conform/transport-vm.ts';
import { OpenFile, UserBytes } from '../src/guest/chardev.ts';
import { decodeResponse, encodeRequest } from '../src/guest/uapi.ts';
import { createSandbox } from '../src/index.ts';
import { DeviceModel, type HostCall, privateMemory } from './model/device-model.ts';

const golden = (file: string): string =>
  readFileSync(new URL(`golden/pvmemcontrol/${file}`, import.meta.url), 'utf8');

const TRANSPORT = 'pvmemcontrol-transport.json';
const HOSTCALLS = 'pvmemcontrol-hostcalls.json';
const PCI = 'pci-config.json';
const DRIVER = 'driver-trace.json';

/** One line per case that is not ok, so that a failure names all of them. */
async function notOk(cases: readonly ReplayCase[]): Promise<string[]> {
  const results = await runCases(cases);
  return results.filter(({ status }) => status !== 'ok').map(formatResult);
}

describe.each(['release', 'debug'] as const)('engine › %s core › recordings', (core) => {
  const open = openSandboxVm({ core });

  it('transport', async () => {
    const cases = transportCases(golden(TRANSPORT), TRANSPORT, openTransportDoor(open));
    expect(cases).toHaveLength(52);
    expect(await notOk(cases)).toEqual([]);
  });

  it('hostcalls, on private and on shared RAM', async () => {
    const cases = hostcallsCases(golden(HOSTCALLS), HOSTCALLS, open);
    expect(cases).toHaveLength(420);
    expect(await notOk(cases)).toEqual([]);
  }, 60_000);

  it('pci', async () => {
    const cases = pciCases(golden(PCI), PCI, open);
    expect(cases.map(({ name }) => name).slice(0, 2)).toEqual(['reset-content', 'identity']);
    expect(cases).toHaveLength(14);
    expect(await notOk(cases)).toEqual([]);
  });

  it('driver', async () => {
    const cases = driverCases(golden(DRIVER), DRIVER, open);
    expect(cases).toHaveLength(21);
    expect(await notOk(cases)).toEqual([]);
  });
});

describe.each(['release', 'debug'] as const)("engine › %s core › the Vm's own driver", (core) => {
  it.each([
    ['pvmemcontrol', { pageSize: 4096n, majorVersion: 1n, minorVersion: 0n, bigEndian: false }],
    ['memctl', { pageSize: 4096n, majorVersion: 1n, minorVersion: 0n, bigEndian: false }],
  ] as const)('%s: probe, INFO, remove', async (abi, info) => {
    const vm = await createSandbox({ memory: '1M', cpus: 3, abi, core });
    const { driver } = vm.guest;
    expect(driver.probe()).toBe(0);
    expect(driver.info).toEqual({ errno: 0, code: 0, ...info });
    expect(vm.device.snapshot()).toMatchObject({ state: 'ready', abi });
    expect(vm.device.snapshot().connections.map(({ id }) => id)).toEqual([
      0x80000000, 0x80000001, 0x80000002,
    ]);
    expect(driver.remove()).toBe(0);
    expect(vm.device.snapshot()).toMatchObject({ state: 'broken', connections: [] });
  });

  // What each generation's number does to the VMM's mapping.
  it.each([
    ['pvmemcontrol', 5, 'dd'],
    ['pvmemcontrol', 13, 'mg'],
    ['pvmemcontrol', 14, ''],
    ['memctl', 6, 'dd'],
    ['memctl', 5, ''],
    ['memctl', 13, 'name'],
    ['memctl', 14, 'EOPNOTSUPP'],
  ] as const)('%s: function %i', async (abi, func, effect) => {
    const vm = await createSandbox({ memory: '1M', abi, core });
    expect(vm.guest.driver.probe()).toBe(0);
    const before = vm.observe.vmas()[0]?.flags ?? [];
    const response = vm.guest.driver.vmmCall(func, 0n, 0x10_0000n, 7n);
    expect(response).toMatchObject(
      effect === 'EOPNOTSUPP' ? { errno: 95, code: func } : { errno: 0, code: 0 },
    );
    const [vma] = vm.observe.vmas();
    const added = (vma?.flags ?? []).filter((flag) => !before.includes(flag));
    expect(added).toEqual(effect === 'dd' || effect === 'mg' ? [effect] : []);
    expect(vma?.name).toBe(effect === 'name' ? 'pvmemcontrol-7' : undefined);
  });

  it('an ioctl through the device node drops a page that the guest has written', async () => {
    const vm = await createSandbox({ memory: '1M', cpus: 2, core });
    vm.guest.driver.probe();
    const file = vm.guest.driver.open(0, { capSysAdmin: true });
    if (!(file instanceof OpenFile)) throw new Error(`open answered ${file}`);
    vm.guest.store(0x4_0000n, 8, 1n);
    const user = new UserBytes(encodeRequest(1n, 0x4_0000n, 0x1000n));
    expect(file.ioctl(0xc020da00, user, 1)).toBe(0);
    expect(decodeResponse(user.bytes)).toEqual({ errno: 0, code: 0, value: 0n, arg0: 0n, arg1: 0n });
    expect(vm.guest.load(0x4_0000n, 8)).toMatchObject({ ok: true, value: 0n });
  });

  // What if the guest takes its own buffer away? The real VMM dies; ours calls the device broken.
  it('request buffer made inaccessible: the device is broken, the VM goes on', async () => {
    const vm = await createSandbox({ memory: '1M', core });
    vm.guest.driver.probe();
    const buffer = vm.device.snapshot().connections[0]?.gpa ?? 0n;
    const page = buffer - (buffer % 0x1000n);
    expect(vm.guest.driver.vmmCall(9, page, 0x1000n)).toBe(-14);
    expect(vm.device.snapshot().state).toBe('broken');
    expect(vm.guest.driver.vmmCall(1, 0x4_0000n, 0x1000n)).toBe(-14);
    expect(vm.guest.load(0x4_0000n, 8)).toMatchObject({ ok: true, value: 0n });
  });
});

describe('hostcalls › malformed recordings', () => {
  const good = JSON.parse(golden(HOSTCALLS)) as { layout: object; results: object[] };
  const row = good.results[0] as { pages_after: object[] };
  const withRow = (change: object): object => ({ ...good, results: [{ ...row, ...change }] });
  const withPage = (change: object): object =>
    withRow({ pages_after: [{ ...row.pages_after[0], ...change }] });
  it.each([
    ['an array', []],
    ['no layout', { results: [] }],
    [
      'filled part of a page',
      { ...good, layout: { ...good.layout, filled: { gpa: 0, len: 5, byte: '5a' } } },
    ],
    ['unknown backing', withRow({ backing: 'tape' })],
    ['unknown function', withRow({ func: 15 })],
    ['no requests before', withRow({ before: undefined })],
    ['negative errno', withRow({ errno: -1 })],
    ['unknown protection', withPage({ prot: 'rwx' })],
    ['unknown content', withPage({ content: 'constructor' })],
    ['resident as a number', withPage({ resident: 1 })],
  ])('%s', (_name, value) => {
    expect(() => parseHostcalls(JSON.stringify(value), HOSTCALLS)).toThrowError(
      expect.objectContaining({ code: 'SLB-031' }),
    );
  });
});

describe('hostcalls › a replay sees differences', () => {
  const good = JSON.parse(golden(HOSTCALLS)) as { results: { pages_after: object[] }[] };
  const [row] = good.results;
  it.each([
    ['errno', { errno: 22 }],
    ['ret_code', { ret_code: 1 }],
    ['ret_value', { ret_value: 1 }],
    ...[
      { prot: 'r-' },
      { resident: true },
      { locked: true },
      { dontdump: true },
      { mergeable: true },
      { content: 'kept' },
    ].map(
      (change) =>
        [`page ${Object.keys(change)[0]}`, { pages_after: [{ ...row?.pages_after[0], ...change }] }] as const,
    ),
  ] as const)('%s', async (_name, change) => {
    const text = JSON.stringify({ ...good, results: [{ ...row, ...change }] });
    expect(await notOk(hostcallsCases(text, HOSTCALLS, openSandboxVm()))).toHaveLength(1);
  });
});

// What if a guest writes anything anywhere? Model and engine must agree after every step.
const RAM = [
  { gpa: 0n, size: 0x4000 },
  { gpa: 0x4000n, size: 0x4000 },
  { gpa: 0x10_0000n, size: 0x2000 },
];
const REGISTER = 0x0e359539;
const COMMANDS = [0x060fe6d2, 0x0ca8d227, 0x030f5da0, 0x03cf5196, 0x01fba249, 0x1234];
const BUFFERS = [0n, 0x1003n, 0x3ff0n, 0x7fe0n, 0x7fe1n, 0x10_0000n, 0x8000n, 0xffff_ffff_ffff_fff0n];
const ADDRS = [
  0n,
  0x1000n,
  0x1008n,
  0x3000n,
  0x7000n,
  0x8000n,
  0x10_1000n,
  0x10_2000n,
  0xffff_ffff_ffff_f000n,
];
const LENGTHS = [0n, 1n, 0x1000n, 0x1001n, 0x2000n, 0x4000n, 0xffff_ffff_ffff_ffffn];
/**
 * Left out are functions whose outcome the model does not know: FREE (contents undefined until rewritten), MLOCK (changes
 * the answer of others), MPROTECT_NONE and _R (over the own buffer they are fatal to the real VMM).
 */
const FUNCS = [
  0n,
  1n,
  1n,
  1n,
  2n,
  4n,
  5n,
  6n,
  8n,
  11n,
  12n,
  13n,
  14n,
  15n,
  0x1_0000_0001n,
  0xffff_ffff_ffff_ffffn,
];

type Op =
  | { readonly op: 'write'; readonly offset: number; readonly bytes: Uint8Array }
  | { readonly op: 'read'; readonly offset: number; readonly size: number }
  | { readonly op: 'command'; readonly value: number }
  | { readonly op: 'register'; readonly gpa: bigint }
  | { readonly op: 'request'; readonly id: number; readonly words: readonly bigint[] };

const op = <T extends Op['op'], F extends object>(name: T, fields: { [K in keyof F]: fc.Arbitrary<F[K]> }) =>
  fc.record({ op: fc.constant(name), ...fields });
const opArbitrary = fc.oneof(
  op('write', { offset: fc.nat(20), bytes: fc.uint8Array({ maxLength: 12 }) }),
  op('read', { offset: fc.nat(20), size: fc.nat(20) }),
  op('command', { value: fc.constantFrom(...COMMANDS) }),
  { weight: 2, arbitrary: op('register', { gpa: fc.constantFrom(...BUFFERS) }) },
  {
    weight: 4,
    arbitrary: op('request', {
      id: fc.integer({ min: 0, max: 4 }),
      words: fc.tuple(
        fc.constantFrom(...FUNCS),
        fc.constantFrom(...ADDRS),
        fc.constantFrom(...LENGTHS),
        fc.constant(0n),
      ),
    }),
  },
) as fc.Arbitrary<Op>;

/** Half of the sequences begin with a connected device: a random walk gets there too seldom. */
const CONNECT: readonly Op[] = [
  { op: 'command', value: 0x060fe6d2 },
  { op: 'register', gpa: 0x1003n },
  { op: 'register', gpa: 0x3ff0n },
  { op: 'command', value: 0x0ca8d227 },
];

const u32 = (value: number): Uint8Array => Uint8Array.from([0, 8, 16, 24], (shift) => value >>> shift);
const u64 = (value: bigint): Uint8Array => new Uint8Array(new BigUint64Array([value]).buffer);

/** As the recording's host: names for anonymous memory are not built in. */
const hostCall: HostCall = (func, ...rest) => (func === 6n ? 22 : privateMemory(func, ...rest));

function doOp(step: Op, model: DeviceModel, door: TransportDoor): void {
  const write = (offset: number, bytes: Uint8Array): void => {
    model.write(offset, bytes);
    door.mmioWrite(offset, bytes);
  };
  switch (step.op) {
    case 'write':
      write(step.offset, step.bytes);
      break;
    case 'read':
      compareRead(step.offset, step.size, model, door);
      break;
    case 'command':
      write(8, u32(step.value));
      break;
    case 'register':
      write(0, u64(step.gpa));
      write(8, u32(REGISTER));
      break;
    case 'request': {
      const id = 0x80000000 + step.id;
      const buffer = model.connections.get(id);
      const bytes = Uint8Array.from(step.words.flatMap((word) => [...u64(word)]));
      if (buffer !== undefined) {
        model.ram.write(buffer, bytes);
        door.memWrite(buffer, bytes);
      }
      write(8, u32(id));
    }
  }
}

function compareRead(offset: number, size: number, model: DeviceModel, door: TransportDoor): void {
  const [wanted, found] = [new Uint8Array(size).fill(0xa5), new Uint8Array(size).fill(0xa5)];
  const defined = model.defined(offset, size);
  model.read(offset, wanted);
  door.mmioRead(offset, found);
  const shown = (bytes: Uint8Array): string => toHex(bytes.map((byte, i) => (defined[i] ? byte : 0)));
  expect(shown(found), `read of ${size} at offset ${offset}`).toBe(shown(wanted));
}

function compareRam(model: DeviceModel, door: TransportDoor): void {
  for (const { gpa, size } of RAM) {
    for (let at = gpa; at < gpa + BigInt(size); at += 0x1000n) {
      expect(toHex(door.memRead(at, 0x1000)), `page 0x${at.toString(16)}`).toBe(
        toHex(model.ram.read(at, 0x1000)),
      );
    }
  }
}

describe.each(['release', 'debug'] as const)('engine › %s core › fuzz against the model', (core) => {
  const open = openTransportDoor(openSandboxVm({ core }));
  it('same registers after every step, same RAM at the end', async () => {
    await fc.assert(
      fc.asyncProperty(fc.boolean(), fc.array(opArbitrary, { maxLength: 40 }), async (connected, ops) => {
        const model = new DeviceModel({ ram: RAM, hostCall });
        const door = await open({ backing: 'private', ram: RAM });
        for (const step of connected ? [...CONNECT, ...ops] : ops) {
          doOp(step, model, door);
          compareRead(0, 16, model, door);
        }
        compareRam(model, door);
      }),
      { seed: 20_240_513, numRuns: 100 },
    );
  }, 60_000);
});
