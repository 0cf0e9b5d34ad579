// Secrecy where VMs share pages through KSM, and in what the device says. That two VMs had equal pages can be told from how
// long a store takes on a real machine; this channel is KSM's own and not modelled (docs/threat-model.md). What a page holds
// cannot be told, and not be changed, by another VM.
import { beforeEach, describe, expect, it } from 'vitest';
import { Func } from '../assembly/abi/pvmemcontrol.ts';
import type { Host, Vm } from '../src/index.ts';
import { createHost } from '../src/index.ts';
import { throughDoors } from './support/doors.ts';
import { BUILDS, hvaAt, letters, MIB, PAGE } from './support/machines.ts';
import { Random } from './support/random.ts';

const AREA = 0x10_0000;
const LEN = 64n * 4096n;
const BYTE = 0x3c;

describe.each(BUILDS)('secrecy › shared pages › %s', (_name, build) => {
  let host: Host;
  let a: Vm;
  let b: Vm;

  /** Both VMs get 64 equal pages and say that these may be merged; two scans share what is equal. */
  const share = (): void => {
    for (const vm of [a, b]) {
      expect(vm.guest.fill({ gpa: AREA, len: 64 * PAGE, byte: BYTE })).toEqual({ pages: 64 });
      expect(vm.vmm.madvise(hvaAt(vm, AREA), LEN, 'mergeable')).toBe(0);
    }
    host.ksm.scan(3);
  };
  const pagesAreOne = (): void => {
    expect(letters(a, AREA, 64) + letters(b, AREA, 64)).toBe('k'.repeat(128));
    expect(host.frames().used).toBe(1);
  };
  const all = (vm: Vm, byte: number): boolean => throughDoors(vm, AREA, 64).every((is) => is === byte);

  beforeEach(async () => {
    host = await createHost({ memory: 512 * PAGE, swap: 512 * PAGE, events: false, ...build });
    a = host.createVm({ memory: 4 * MIB });
    b = host.createVm({ memory: 4 * MIB });
  });

  it.each<[string, (vm: Vm) => void]>([
    ['a store of the guest', (vm) => void vm.guest.store(AREA + 5 * PAGE + 8, 8, 0n)],
    ['a store over the border of two', (vm) => void vm.guest.store(AREA + 6 * PAGE - 4, 8, 0n)],
    ['a store of the VMM', (vm) => void vm.vmm.store(hvaAt(vm, AREA + 5 * PAGE), 0)],
    ['a write of a debugger', (vm) => vm.ramAccess.write(AREA + 5 * PAGE + 9, Uint8Array.of(0, 0))],
    ['mlock, which makes copies', (vm) => void vm.vmm.mlock(hvaAt(vm, AREA), LEN)],
    [
      'UNMERGEABLE, then a store',
      (vm) => {
        expect(vm.vmm.madvise(hvaAt(vm, AREA), LEN, 'unmergeable')).toBe(0);
        vm.guest.fill({ gpa: AREA, len: 64 * PAGE, byte: 0 });
      },
    ],
    [
      'mprotect to read and back, then a store',
      (vm) => {
        for (const prot of [1, 3]) vm.vmm.mprotect(hvaAt(vm, AREA), LEN, prot);
        vm.guest.fill({ gpa: AREA, len: 64 * PAGE, byte: 0 });
      },
    ],
    ['DONTNEED', (vm) => void vm.vmm.madvise(hvaAt(vm, AREA), LEN, 'dontneed')],
    [
      'FREE, PAGEOUT',
      (vm) => {
        for (const advice of ['free', 'pageout'] as const) vm.vmm.madvise(hvaAt(vm, AREA), LEN, advice);
      },
    ],
    ['munmap', (vm) => void vm.vmm.munmap(hvaAt(vm, AREA), LEN)],
  ])('%s by one: the other sees nothing of it', (_row, change) => {
    share();
    pagesAreOne();
    change(a);
    expect(all(b, BYTE)).toBe(true);
    expect(host.check()).toEqual([]);
    change(b);
    host.ksm.scan(2);
    expect(host.check()).toEqual([]);
  });

  it('the frame of a shared page is zeroed for the next owner', () => {
    share();
    for (const vm of [a, b]) vm.vmm.madvise(hvaAt(vm, AREA), LEN, 'dontneed');
    expect(host.frames().used).toBe(0);
    const c = host.createVm({ memory: 4 * MIB });
    for (let i = 0; i < 4; i++) c.guest.store(AREA + i * PAGE, 1, 1);
    const bytes = throughDoors(c, AREA, 4);
    expect(bytes.filter((byte) => byte !== 0).length).toBe(4);
  });

  it('a response goes into the own copy of a shared request buffer', () => {
    // Both drivers' buffers are equal: the same request in the same place.
    for (const vm of [a, b]) {
      vm.guest.pvmemcontrol.info();
      vm.vmm.madvise(hvaAt(vm, 0), 0x10000n, 'mergeable');
    }
    host.ksm.scan(3);
    expect(letters(a, 0x8000) + letters(b, 0x8000)).toBe('kk');
    const before = b.ramAccess.read(0x8000, PAGE);
    expect(a.guest.pvmemcontrol.dontneed({ gpa: 1n << 40n, len: PAGE })).toMatchObject({ errno: 22 });
    expect(b.ramAccess.read(0x8000, PAGE)).toEqual(before);
    expect(letters(a, 0x8000) + letters(b, 0x8000)).toBe('ak');
    expect(host.check()).toEqual([]);
  });

  it.each<[string, () => void]>([
    ['never said MERGEABLE', () => {}],
    [
      'said UNMERGEABLE again',
      () => {
        expect(a.vmm.madvise(hvaAt(a, AREA), LEN, 'mergeable')).toBe(0);
        expect(a.vmm.madvise(hvaAt(a, AREA), LEN, 'unmergeable')).toBe(0);
      },
    ],
    [
      'said UNMERGEABLE when it was shared',
      () => {
        share();
        pagesAreOne();
        expect(a.vmm.madvise(hvaAt(a, AREA), LEN, 'unmergeable')).toBe(0);
      },
    ],
  ])('a VM that %s shares nothing', (_row, prepare) => {
    for (const vm of [a, b]) vm.guest.fill({ gpa: AREA, len: 64 * PAGE, byte: BYTE });
    b.vmm.madvise(hvaAt(b, AREA), LEN, 'mergeable');
    prepare();
    host.ksm.scan(4);
    expect(letters(a, AREA, 64)).toBe('a'.repeat(64));
    expect(letters(b, AREA, 64)).toBe('k'.repeat(64));
    expect(a.observe.vmas().every(({ ksm }) => ksm === 0)).toBe(true);
    // Nor does the other's page become one that is written through.
    a.guest.fill({ gpa: AREA, len: 64 * PAGE, byte: 0x77 });
    expect(all(b, BYTE)).toBe(true);
    expect(host.check()).toEqual([]);
  });

  it('no SLAT lets a guest write to a page that KSM shares, whatever is done', () => {
    const r = Random.fresh();
    share();
    let shared = 0;
    for (let round = 0; round < 60; round++) {
      const vm = r.pick([a, b]);
      const page = r.below(64);
      const gpa = AREA + page * PAGE;
      const len = BigInt(1 + r.below(64 - page)) * 4096n;
      const hva = hvaAt(vm, gpa);
      r.pick<() => unknown>([
        () => vm.guest.load(gpa, 8),
        () => vm.guest.store(gpa, 8, r.below(2)),
        () => vm.guest.touch({ gpa, len: Number(len) }),
        () => vm.guest.fill({ gpa, len: Number(len), byte: BYTE }),
        () => vm.vmm.madvise(hva, len, r.pick(['free', 'pageout', 'dontneed', 'mergeable', 'unmergeable'])),
        () => [1, 3].map((prot) => vm.vmm.mprotect(hva, len, prot)),
        () => host.ksm.scan(1 + r.below(3)),
      ])();
      for (const each of [a, b]) {
        for (let i = 0; i < 64; i++) {
          const { page: letter, entries } = each.observe.walk(AREA + i * PAGE);
          if (letter !== 'k' && letter !== 'K') continue;
          shared++;
          expect(entries.at(-1)?.leaf && entries.at(-1)?.write, `seed ${r.seed}, round ${round}`).toBeFalsy();
        }
      }
      expect(host.check(), `seed ${r.seed}, round ${round}`).toEqual([]);
    }
    expect(shared).toBeGreaterThan(0);
  });
});

describe.each(BUILDS)('secrecy › the device › %s', (_name, build) => {
  it('a response is what the protocol says, in all 32 bytes and for every function', async () => {
    const host = await createHost({ memory: 512 * PAGE, swap: 0, ...build });
    const vm = host.createVm({ memory: 4 * MIB });
    expect(vm.guest.driver.probe()).toBe(0);
    const buffer = 0x8000;
    const doorbell = vm.device.snapshot().barBase + 8n;
    const codes = [...Object.values(Func).filter((code) => typeof code === 'number'), 15, 16, 99, 0xa5a5a5a5];
    for (const code of codes) {
      for (const gpa of [AREA, 0xa5a5a5a5a5a5a000n]) {
        vm.ramAccess.fill(buffer, PAGE, 0xa5);
        vm.guest.store(buffer, 8, code);
        vm.guest.store(buffer + 8, 8, gpa);
        vm.guest.store(buffer + 16, 8, PAGE);
        vm.guest.store(doorbell, 4, 0x80000000);
        const bytes = vm.ramAccess.read(buffer, PAGE);
        expect(
          bytes.subarray(32).every((byte) => byte === 0xa5),
          `function ${code}`,
        ).toBe(true);
        const [answer = 0n, ...values] = new BigUint64Array(bytes.buffer, 0, 4);
        expect(values, `function ${code}`).toEqual(code === Func.Info ? [4096n, 1n, 0n] : [0n, 0n, 0n]);
        const errno = Number(answer & 0xffff_ffffn);
        expect([0, 1, 22, 95, 9], `function ${code}`).toContain(errno);
        // ret_code tells which function it was where the request itself was refused.
        expect([0n, BigInt(code)], `function ${code}`).toContain(answer >> 32n);
      }
    }
  });

  it('reads of the registers, of every size and place, have nothing but them', async () => {
    const host = await createHost({ memory: 64 * PAGE, swap: 0, ...build });
    const vm = host.createVm({ memory: 4 * MIB });
    vm.guest.fill({ gpa: AREA, len: 32 * PAGE, byte: 0xa5 });
    const { barBase } = vm.device.snapshot();
    for (const size of [1, 2, 4, 8] as const) {
      for (let offset = 0n; offset < 64n; offset++) {
        const access = vm.guest.load(barBase + offset, size);
        if (!access.ok) throw new Error(`a load of ${size} at ${offset} failed`);
        const hex = access.value.toString(16).padStart(size * 2, '0');
        expect(hex, `${size} at ${offset}`).not.toContain('a5');
        // No register is that large, and what is behind them reads as ones.
        if (offset >= 16n) expect(hex).toBe('f'.repeat(size * 2));
      }
    }
  });
});
