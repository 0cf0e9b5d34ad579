// The guest driver against the device model: recorded accesses, probe errors, kernel and user API, both generations.
import { readFileSync } from 'node:fs';
import { beforeEach, describe, expect, it } from 'vitest';
import { Func } from '../assembly/abi/pvmemcontrol.ts';
import { driverCases } from '../src/conform/driver.ts';
import { parseDriver } from '../src/conform/driver-trace.ts';
import { formatResult, runCases, selectCases } from '../src/conform/report.ts';
import { OpenFile, UserBytes, type UserMemory } from '../src/guest/chardev.ts';
import { Driver, type DriverOptions } from '../src/guest/driver.ts';
import { _IOWR, decodeResponse, encodeRequest, FUNC_NAMES, funcCode } from '../src/guest/uapi.ts';
import { ModelVm, modelPort, openModelVm } from './model/model-vm.ts';

const EBADF = 9;
const ENOMEM = 12;
const EACCES = 13;
const EFAULT = 14;
const EEXIST = 17;
const ENODEV = 19;
const EINVAL = 22;
const O_EXCL = 0o200;
const IOCTL = 0xc020da00;
const ROOT = { capSysAdmin: true };

const FILE = 'driver-trace.json';
const golden = readFileSync(new URL(`golden/pvmemcontrol/${FILE}`, import.meta.url), 'utf8');

const BUFFERS = [0x8000n, 0x9000n, 0xa000n, 0xb000n];
const RAM = [{ gpa: 0n, size: 0x40_0000 }];

let vm: ModelVm;
let port: ReturnType<typeof modelPort>;
/** Register writes, as `offset:size:value` in hex. */
let writes: string[];

function makeDriver(options: DriverOptions = {}, buffers = BUFFERS): Driver {
  port = modelPort(vm, buffers);
  return new Driver(port, options);
}

/** A driver whose probe was successful. */
function boundDriver(options: DriverOptions = {}): Driver {
  const driver = makeDriver(options);
  expect(driver.probe()).toBe(0);
  writes.length = 0;
  return driver;
}

function openFile(driver: Driver): OpenFile {
  const file = driver.open(0, ROOT);
  if (!(file instanceof OpenFile)) throw new Error(`open answered ${file}`);
  return file;
}

beforeEach(() => {
  vm = new ModelVm({ ram: RAM });
  writes = [];
  const write = vm.device.write.bind(vm.device);
  vm.device.write = (offset, bytes) => {
    const value = [...bytes].reverse().map((byte) => byte.toString(16).padStart(2, '0'));
    writes.push(`${offset}:${bytes.length}:${value.join('')}`);
    write(offset, bytes);
  };
});

describe('driver › recorded accesses', () => {
  const cases = driverCases(golden, FILE, openModelVm);
  it.each(cases.map((c) => [c.name, c] as const))('%s', async (_name, one) => {
    const [result] = await runCases([one]);
    expect(result && formatResult(result)).toMatch(/^ok /);
  });

  it('a member that is selected alone runs the ones in front of it first', async () => {
    const selected = selectCases(driverCases(golden, FILE, openModelVm), {
      only: ['member=probe_again'],
      without: [],
    });
    const results = await runCases(selected);
    expect(results.map(({ status }) => status)).toEqual(['ok', 'ok']);
  });
});

describe('driver › probe', () => {
  it('registers one buffer per cpu, then asks for INFO on the calling cpu', () => {
    const driver = makeDriver();
    port.cpu = 2;
    expect(driver.probe()).toBe(0);
    expect([...vm.device.connections.values()]).toEqual(BUFFERS);
    expect(writes.at(-1)).toBe('8:4:80000002');
    expect(driver.info).toEqual({
      errno: 0,
      code: 0,
      pageSize: 4096n,
      majorVersion: 1n,
      minorVersion: 0n,
      bigEndian: false,
    });
  });

  it.each([
    [true, ['0:8:0000000000008000']],
    [false, ['0:4:00008000', '4:4:00000000']],
  ])('write64 %s: the payload is written as %j', (write64, payload) => {
    makeDriver({ write64 }, BUFFERS.slice(0, 1)).probe();
    expect(writes).toEqual(['8:4:060fe6d2', ...payload, '8:4:0e359539', '8:4:0ca8d227', '8:4:80000000']);
  });

  it('turns memory space on and uses the window where BAR0 has it', () => {
    vm.pci.configWrite(0x08, 0x04, 2, 0x0100);
    vm.pci.configWrite(0x08, 0x10, 4, 0xd0000000);
    expect(makeDriver().probe()).toBe(0);
    expect(vm.pci.configRead(0x08, 0x04, 2)).toBe(0x0102);
    expect(vm.pci.window).toBe(0xd0000000);
  });

  it('twice: -EEXIST, and nothing is written', () => {
    const driver = boundDriver();
    expect(driver.probe()).toBe(-EEXIST);
    expect(writes).toEqual([]);
  });

  it.each([
    ['no memory for buffers', { allocPercpu: () => undefined }, -ENOMEM],
    ['no such device', { configRead: () => 0xffff_ffff }, -ENODEV],
    [
      'BAR0 without an address',
      { configRead: (_: number, offset: number) => (offset === 0 ? 0x0087_1ae0 : 0) },
      -EINVAL,
    ],
    [
      'I/O BAR',
      { configRead: (_: number, offset: number) => (offset === 0 ? 0x0087_1ae0 : 0xe001) },
      -EINVAL,
    ],
  ])('%s: %o', (_name, change, errno) => {
    const driver = makeDriver();
    Object.assign(port, change);
    expect(driver.probe()).toBe(errno);
    expect(writes).toEqual([]);
    expect(driver.bound).toBe(false);
  });

  // What if the device does not play along? (the driver's recorded answers)
  it.each([
    ['RESET', 1],
    ['REGISTER', 3],
    ['READY', 4],
  ])('%s not answered with ACK: -EINVAL, nothing further is sent', (_name, sent) => {
    const driver = makeDriver({}, BUFFERS.slice(0, 1));
    const read = vm.device.read.bind(vm.device);
    vm.device.read = (offset, buffer) =>
      writes.length >= sent && offset === 8 ? void buffer.fill(0) : read(offset, buffer);
    expect(driver.probe()).toBe(-EINVAL);
    expect(writes).toHaveLength(sent);
    expect(driver.open(0, ROOT)).toBe(-ENODEV);
  });

  it('doorbells not executed: page size and version 0, and a DONTNEED seems to fail with errno 1', () => {
    const write = vm.device.write.bind(vm.device);
    vm.device.write = (offset, bytes) =>
      offset === 8 && (bytes[3] ?? 0) >= 0x80 ? undefined : write(offset, bytes);
    const driver = makeDriver();
    expect(driver.probe()).toBe(0);
    expect(driver.info).toMatchObject({ pageSize: 0n, majorVersion: 0n });
    expect(driver.vmmCall(1, 0x40000n, 0x1000n)).toMatchObject({ errno: 1, code: 0, value: 0x40000n });
  });

  it.each([
    ['ret_code 7', 7, 7, false],
    ['ret_errno alone', 0, 0, true],
  ])('INFO answered with %s', (_name, code, result, bound) => {
    const driver = makeDriver();
    const copy = port.copyFromBuffer.bind(port);
    port.copyFromBuffer = (gpa, out, cpu) => {
      copy(gpa, out, cpu);
      out.set([95, 0, 0, 0, code]);
      return true;
    };
    expect(driver.probe()).toBe(result);
    expect(driver.bound).toBe(bound);
  });
});

describe('driver › vmmCall', () => {
  it('before probe and after remove: -EINVAL', () => {
    expect(makeDriver().vmmCall(1, 0n, 0x1000n)).toBe(-EINVAL);
    const driver = boundDriver();
    expect(driver.remove()).toBe(0);
    expect(driver.vmmCall(1, 0n, 0x1000n)).toBe(-EINVAL);
  });

  it('INFO: answered from the copy', () => {
    const driver = boundDriver();
    expect(driver.vmmCall(0, 1n, 2n, 3n)).toEqual({ errno: 0, code: 0, value: 4096n, arg0: 1n, arg1: 0n });
    expect(writes).toEqual([]);
  });

  it.each([
    ['cpu 0', 0, '8:4:80000000'],
    ['cpu 3', 3, '8:4:80000003'],
  ])('%s: one doorbell write on its connection', (_name, cpu, write) => {
    const driver = boundDriver();
    expect(driver.vmmCall(1, 0x40000n, 0x1000n, 0n, cpu)).toMatchObject({ errno: 0, code: 0 });
    expect(writes).toEqual([write]);
  });

  it.each([
    ['outside RAM', 1n, 0x40_0000n, 0x1000n, 22, 1],
    ['end wraps past 2^64', 1n, 0x1000n, 0xffff_ffff_ffff_ffffn, 22, 1],
    ['code of 64 bits', 0x1_0000_0001n, 0n, 0n, 95, 1],
  ])('%s: the errno is in the response', (_name, func, addr, length, errno, code) => {
    expect(boundDriver().vmmCall(func, addr, length)).toMatchObject({ errno, code });
  });

  it.each([
    ['a cpu that is not there', 4],
    ['a negative cpu', -1],
  ])('%s: -EINVAL', (_name, cpu) => {
    expect(boundDriver().vmmCall(1, 0n, 0x1000n, 0n, cpu)).toBe(-EINVAL);
    expect(writes).toEqual([]);
  });

  it('a buffer that the guest cannot reach: -EFAULT, and no doorbell for a request that is not there', () => {
    const driver = boundDriver();
    port.copyToBuffer = () => false;
    expect(driver.vmmCall(1, 0x40000n, 0x1000n)).toBe(-EFAULT);
    expect(writes).toEqual([]);
  });
});

describe('driver › open', () => {
  it.each([
    ['root', 0, true, 'an open file'],
    ['without CAP_SYS_ADMIN', 0, false, -EACCES],
    ['O_EXCL', O_EXCL, true, -EINVAL],
    ['O_EXCL without CAP_SYS_ADMIN', O_EXCL, false, -EACCES],
  ])('%s', (_name, flags, capSysAdmin, result) => {
    const opened = boundDriver().open(flags, { capSysAdmin });
    expect(opened instanceof OpenFile ? 'an open file' : opened).toBe(result);
  });

  it('before probe and after remove: -ENODEV, the node is gone', () => {
    expect(makeDriver().open(0, ROOT)).toBe(-ENODEV);
    const driver = boundDriver();
    driver.remove();
    expect(driver.open(0, ROOT)).toBe(-ENODEV);
  });
});

describe('driver › ioctl', () => {
  const faultsIn: UserMemory = { copyFrom: () => false, copyTo: () => true };
  const faultsOut: UserMemory = {
    copyFrom: (into) => {
      into.set(encodeRequest(1n, 0x40000n, 0x1000n));
      return true;
    },
    copyTo: () => false,
  };

  it('the number is _IOWR(0xDA, 0, 32 bytes)', () => {
    expect(_IOWR(0xda, 0, 32)).toBe(IOCTL);
  });

  it('brings back the response; the result of the request is only in there', () => {
    const user = new UserBytes(encodeRequest(1n, 0x40_0000n, 0x1000n));
    expect(openFile(boundDriver()).ioctl(IOCTL, user, 3)).toBe(0);
    expect(decodeResponse(user.bytes)).toMatchObject({ errno: 22, code: 1 });
    expect(writes).toEqual(['8:4:80000003']);
  });

  it.each([
    ['another number', IOCTL + 1, new UserBytes(new Uint8Array(32)), -EINVAL, 0],
    ['another number and a bad pointer', 0, faultsIn, -EINVAL, 0],
    ['bad pointer', IOCTL, faultsIn, -EFAULT, 0],
    ['31 bytes', IOCTL, new UserBytes(new Uint8Array(31)), -EFAULT, 0],
    ['memory that cannot be written: executed all the same', IOCTL, faultsOut, -EFAULT, 1],
  ])('%s', (_name, cmd, user, result, doorbells) => {
    expect(openFile(boundDriver()).ioctl(cmd, user)).toBe(result);
    expect(writes).toHaveLength(doorbells);
  });

  it('on a file whose driver is gone: -EINVAL', () => {
    const driver = boundDriver();
    const file = openFile(driver);
    driver.remove();
    expect(file.ioctl(IOCTL, new UserBytes(encodeRequest(0n, 0n, 0n)))).toBe(-EINVAL);
  });

  it('after release: -EBADF, as a second release', () => {
    const file = openFile(boundDriver());
    expect(file.release()).toBe(0);
    expect(file.ioctl(IOCTL, new UserBytes(new Uint8Array(32)))).toBe(-EBADF);
    expect(file.release()).toBe(-EBADF);
  });
});

describe('driver › remove', () => {
  it('disconnects and expects ERROR', () => {
    const driver = boundDriver();
    expect(driver.remove()).toBe(0);
    expect(writes).toEqual(['8:4:030f5da0']);
    expect(vm.device.state).toBe('broken');
  });
  it('answered otherwise: -EINVAL, unbound all the same', () => {
    const driver = boundDriver();
    vm.device.read = (_offset, buffer) => void buffer.fill(0);
    expect(driver.remove()).toBe(-EINVAL);
    expect(driver.bound).toBe(false);
  });
  it('not bound: -EINVAL', () => {
    expect(makeDriver().remove()).toBe(-EINVAL);
  });
});

describe('driver › save and load', () => {
  it('a plain value that brings back the connections', () => {
    const driver = boundDriver();
    const state = structuredClone(driver.save());
    driver.load({ device: undefined });
    expect(driver.vmmCall(1, 0x40000n, 0x1000n)).toBe(-EINVAL);
    driver.load(state);
    expect(driver.vmmCall(1, 0x40000n, 0x1000n, 0n, 1)).toMatchObject({ errno: 0 });
    expect(driver.save()).toEqual(state);
  });
});

describe('driver › generations', () => {
  it.each([
    [Func.Info, 0, 0],
    [Func.Dontneed, 1, 1],
    [Func.Remove, 2, 2],
    [Func.Free, 3, 3],
    [Func.Pageout, 4, 4],
    [Func.Dontdump, 5, 6],
    [Func.SetVmaAnonName, 6, 13],
    [Func.Mlock, 7, 7],
    [Func.Munlock, 8, 8],
    [Func.MprotectNone, 9, 9],
    [Func.MprotectR, 10, 10],
    [Func.MprotectW, 11, 11],
    [Func.MprotectRw, 12, 12],
    [Func.Mergeable, 13, undefined],
    [Func.Unmergeable, 14, 5],
  ])('function %i is %o in pvmemcontrol and %o in memctl', (func, pvmemcontrol, memctl) => {
    expect(funcCode('pvmemcontrol', func)).toBe(pvmemcontrol);
    expect(funcCode('memctl', func)).toBe(memctl);
  });

  it('each function has a name of its own', () => {
    expect(new Set(Object.values(FUNC_NAMES)).size).toBe(15);
  });

  it('memctl: INFO has big_endian, two versions of 32 bits and the page size', () => {
    const driver = makeDriver({ abi: 'memctl' });
    port.copyFromBuffer = (_gpa, out) => {
      const view = new DataView(out.buffer);
      view.setBigUint64(8, 1n, true);
      view.setUint32(16, 2, true);
      view.setUint32(20, 3, true);
      view.setBigUint64(24, 16384n, true);
      return true;
    };
    expect(driver.probe()).toBe(0);
    expect(driver.info).toEqual({
      errno: 0,
      code: 0,
      pageSize: 16384n,
      majorVersion: 2n,
      minorVersion: 3n,
      bigEndian: true,
    });
  });
});

describe('driver › malformed recordings', () => {
  const good = JSON.parse(golden) as { config: object };
  const withMember = (name: string, member: unknown): object => ({
    ...good,
    variants: { x: { [name]: member } },
  });
  const access = { op: 'read', offset: 8, size: 4, value: '0x0' };
  it.each([
    ['an array', []],
    ['no variants', { config: good.config }],
    ['fewer buffers than cpus', { ...good, config: { ...good.config, cpus: 5 } }],
    ['unknown member', withMember('suspend', { accesses: [] })],
    ['null member', withMember('open', null)],
    ['no accesses', withMember('open', {})],
    ['unknown op', withMember('open', { accesses: [{ ...access, op: 'jump' }] })],
    ['value too wide', withMember('open', { accesses: [{ ...access, value: '0x10000000000000000' }] })],
    ['request of 31 bytes', withMember('open', { accesses: [{ ...access, request: '00'.repeat(31) }] })],
    ['probe without a result', withMember('probe', { accesses: [] })],
    ['ioctl without a result', withMember('ioctl_info', { accesses: [] })],
  ])('%s', (_name, value) => {
    expect(() => parseDriver(JSON.stringify(value), FILE)).toThrowError(
      expect.objectContaining({ code: 'SLB-031' }),
    );
  });
});

describe('driver › a replay sees differences', () => {
  it.each([
    ['another value', '"0x0ca8d227"', '"0x0ca8d228"'],
    [
      'another offset',
      '"offset": 8, "size": 4, "value": "0x0ca8d227"',
      '"offset": 12, "size": 4, "value": "0x0ca8d227"',
    ],
    ['another request', '"request": "0100', '"request": "0200'],
    ['another response', '"response": "1600', '"response": "1700'],
    ['another result', '"ret_errno": 95', '"ret_errno": 22'],
    ['node still there', '"open_after": -19', '"open_after": 0'],
  ])('%s', async (_name, from, to) => {
    expect(golden).toContain(from);
    const results = await runCases(driverCases(golden.replace(from, to), FILE, openModelVm));
    expect(results.filter(({ status }) => status === 'FAIL')).toHaveLength(1);
  });
});
