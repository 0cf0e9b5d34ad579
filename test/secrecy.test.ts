// Two guests on one host with few frames: what one wrote, the other never reads, whatever way a frame, a swap slot or a
// metadata page went from one to the other. Reference: docs/threat-model.md (the guest is hostile).
import { beforeEach, describe, expect, it } from 'vitest';
import type { Host, Vm } from '../src/index.ts';
import { createHost } from '../src/index.ts';
import { BUILDS, hvaAt, letters, MIB, PAGE } from './support/machines.ts';

const FRAMES = 64;
const SECRET = 0xa5;
/** Behind the pages of the driver. */
const AREA = 0x10_0000;
const LEN = BigInt(FRAMES * PAGE);

/** All of a range as the guest, the VMM and a debugger see it; each must say the same. */
function throughAllDoors(vm: Vm, gpa: number, len: number): Uint8Array {
  const bytes = vm.ramAccess.read(gpa, len);
  const guest = vm.guest.read(gpa, len);
  const vmm = new Uint8Array(len);
  for (let i = 0, hva = hvaAt(vm, gpa) as bigint; i < len; i++, hva++) {
    const byte = vm.vmm.load(hva);
    if (!byte.ok) throw new Error(`the VMM cannot read ${gpa + i}`);
    vmm[i] = byte.value;
  }
  // expect() on a page of bytes is slow; these are many.
  expect(guest instanceof Uint8Array && Buffer.compare(guest, bytes) === 0).toBe(true);
  expect(Buffer.compare(vmm, bytes)).toBe(0);
  return bytes;
}
const secretsIn = (bytes: Uint8Array): number => bytes.filter((byte) => byte === SECRET).length;

/** The other guest takes every frame it can get, with one byte each, and looks at all the others. */
function lookEverywhere(vm: Vm, pages: number): void {
  for (let i = 0; i < pages; i++) {
    const gpa = AREA + i * PAGE;
    // In turn: first touched by a store, by the VMM, by the debugger, by a load and then a store.
    if (i % 4 === 0) expect(vm.guest.store(gpa + (i % PAGE), 1, 1).ok).toBe(true);
    else if (i % 4 === 1) expect(vm.vmm.store(hvaAt(vm, gpa), 1).ok).toBe(true);
    else if (i % 4 === 2) vm.ramAccess.write(gpa + 9, Uint8Array.of(1));
    else {
      vm.guest.load(gpa, 8);
      expect(vm.guest.store(gpa + 4088, 8, 1).ok).toBe(true);
    }
    const bytes = throughAllDoors(vm, gpa, PAGE);
    expect(
      bytes.reduce((sum, byte) => sum + byte, 0),
      `page ${i}`,
    ).toBe(1);
  }
}

describe.each(BUILDS)('secrecy › %s', (_name, build) => {
  let host: Host;
  let a: Vm;
  let b: Vm;

  beforeEach(async () => {
    host = await createHost({ memory: FRAMES * PAGE, swap: 2 * FRAMES * PAGE, ...build });
    a = host.createVm({ memory: 4 * MIB });
    b = host.createVm({ memory: 4 * MIB });
    expect(a.guest.fill({ gpa: AREA, len: FRAMES * PAGE, byte: SECRET })).toEqual({ pages: FRAMES });
    expect(host.frames().free).toBe(0);
  });

  it.each([
    ['DONTNEED', () => a.vmm.madvise(hvaAt(a, AREA), LEN, 'dontneed')],
    ['munmap', () => a.vmm.munmap(hvaAt(a, AREA), LEN)],
    ['PAGEOUT', () => a.vmm.madvise(hvaAt(a, AREA), LEN, 'pageout')],
    ['FREE, taken by reclaim', () => a.vmm.madvise(hvaAt(a, AREA), LEN, 'free')],
    ['nothing: reclaim swaps them out', () => 0],
    [
      'DONTNEED one by one, odd pages first',
      () => {
        for (const odd of [1, 0])
          for (let i = odd; i < FRAMES; i += 2) a.vmm.madvise(hvaAt(a, AREA + i * PAGE), 4096n, 'dontneed');
        return 0;
      },
    ],
  ])('frames given up by %s', (_row, release) => {
    expect(release()).toBe(0);
    lookEverywhere(b, FRAMES - 1);
    expect(host.check()).toEqual([]);
  });

  it('frames given up by DONTNEED requests of the guest itself', () => {
    // The driver's buffer needs a frame too.
    a.vmm.madvise(hvaAt(a, AREA), 8n * 4096n, 'dontneed');
    expect(a.guest.pvmemcontrol.dontneed({ gpa: AREA, len: FRAMES * PAGE })).toMatchObject({ errno: 0 });
    lookEverywhere(b, FRAMES - 4);
    expect(host.check()).toEqual([]);
  });

  it('to the same guest: what it dropped is gone for itself as well', () => {
    a.vmm.madvise(hvaAt(a, AREA), LEN, 'dontneed');
    expect(secretsIn(throughAllDoors(a, AREA, 4 * PAGE))).toBe(0);
    expect(a.guest.touch({ gpa: AREA, len: FRAMES * PAGE, write: true, byte: 0 }).pages).toBe(FRAMES);
    expect(a.guest.verify({ gpa: AREA, len: FRAMES * PAGE, byte: 0 })).toEqual({ differs: undefined });
  });

  it('swap slots: used by one, given up, used by the other', () => {
    expect(a.vmm.madvise(hvaAt(a, AREA), LEN, 'pageout')).toBe(0);
    expect(host.swap().used).toBe(FRAMES);
    expect(a.vmm.munmap(hvaAt(a, AREA), LEN)).toBe(0);
    expect(host.swap().used).toBe(0);
    lookEverywhere(b, 48);
    expect(b.vmm.madvise(hvaAt(b, AREA), 48n * 4096n, 'pageout')).toBe(0);
    expect(letters(b, AREA, 48)).toBe('s'.repeat(48));
    // From the slots, without moving them.
    expect(secretsIn(b.ramAccess.read(AREA, 48 * PAGE))).toBe(0);
    expect(letters(b, AREA, 48)).toBe('s'.repeat(48));
    expect(secretsIn(throughAllDoors(b, AREA, 48 * PAGE))).toBe(0);
    expect(letters(b, AREA, 48)).toBe('a'.repeat(48));
  });

  it('a frame that had its first use as a page of a file from swap', async () => {
    host = await createHost({ memory: FRAMES * PAGE, swap: FRAMES * PAGE, ...build });
    const file = host.createVm({ memory: 4 * MIB, backing: 'memfd' });
    const other = host.createVm({ memory: 4 * MIB });
    file.guest.fill({ gpa: AREA, len: PAGE, byte: SECRET });
    expect(file.vmm.madvise(hvaAt(file, AREA), 4096n, 'pageout')).toBe(0);
    // Takes the frame that the file had: the page comes back into one that was never used.
    file.guest.touch({ gpa: AREA + PAGE, len: PAGE, write: true });
    expect(file.guest.load(AREA, 1)).toMatchObject({ value: BigInt(SECRET) });
    expect(host.check()).toEqual([]);
    expect(file.vmm.madvise(hvaAt(file, AREA), 4096n, 'remove')).toBe(0);
    other.guest.store(AREA, 1, 1);
    expect(secretsIn(throughAllDoors(other, AREA, PAGE))).toBe(0);
    expect(host.check()).toEqual([]);
  });

  it('frames freed by swapping out and in again, over and over', () => {
    for (let round = 0; round < 4; round++) {
      expect(b.guest.fill({ gpa: AREA, len: FRAMES * PAGE, byte: 0x11 + round })).toEqual({ pages: FRAMES });
      expect(a.guest.verify({ gpa: AREA, len: FRAMES * PAGE, byte: SECRET })).toEqual({ differs: undefined });
      expect(b.guest.verify({ gpa: AREA, len: FRAMES * PAGE, byte: 0x11 + round })).toEqual({
        differs: undefined,
      });
    }
    expect(host.check()).toEqual([]);
  });

  it('metadata pages: the buffers that one registered are not tables or page state of the other', () => {
    a.vmm.madvise(hvaAt(a, AREA), LEN, 'dontneed');
    const bar = a.device.snapshot().barBase;
    const command = (code: number): void => {
      a.guest.store(bar + 8n, 4, code);
    };
    const metadata = host.metadataBytes();
    command(0x060fe6d2);
    // Addresses that would be present SLAT entries, and set bits of page state.
    const gpa = 0x3f_ffc7n;
    for (let i = 0; i < 2048; i++) {
      a.guest.store(bar, 8, gpa);
      command(0x0e359539);
    }
    expect(a.device.snapshot().connectionCount).toBe(2048);
    expect(host.metadataBytes() - metadata).toBe(5 * PAGE);
    command(0x060fe6d2);
    expect(host.metadataBytes()).toBe(metadata);
    expect(a.device.snapshot()).toMatchObject({ state: 'init', connectionCount: 0, payload: 0n });
    b.guest.touch({ gpa: AREA, len: PAGE });
    b.guest.touch({ gpa: AREA + 2 * MIB, len: PAGE });
    expect(letters(b, 0, 1024).replaceAll('.', '')).toBe('zz');
    const mapped = Array.from({ length: 1024 }, (_, i) => b.observe.walk(i * PAGE).hpa).filter(
      (hpa) => hpa !== undefined,
    );
    expect(mapped).toHaveLength(2);
    expect(host.check()).toEqual([]);
  });

  it('registers and answers hold nothing but what the protocol says', () => {
    a.vmm.madvise(hvaAt(a, AREA), LEN, 'dontneed');
    const bar = a.device.snapshot().barBase;
    a.guest.store(bar, 8, 0xa5a5_a5a5_a5a5_a5a5n);
    a.guest.store(bar + 8n, 4, 0x060fe6d2);
    expect(a.guest.load(bar, 8)).toMatchObject({ value: 0n });
    expect(a.guest.load(bar + 12n, 4)).toMatchObject({ value: 0n });
    expect(a.guest.pvmemcontrol.info()).toEqual({ errno: 0, code: 0, value: 4096n, arg0: 1n, arg1: 0n });
    const refused = a.guest.pvmemcontrol.dontneed({ gpa: 1n << 40n, len: PAGE, arg: 0xa5a5n });
    expect(refused).toEqual({ errno: 22, code: 1, value: 0n, arg0: 0n, arg1: 0n });
    // The other guest's device has seen nothing of it.
    expect(b.device.snapshot()).toMatchObject({ state: 'broken', payload: 0n, connectionCount: 0 });
  });
});
