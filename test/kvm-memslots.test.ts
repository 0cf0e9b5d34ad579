// KVM's memslots through the library: calls, errors and their order, what the guest sees after each. Facts: R8, R9, R10 of
// docs/linux-rules.md; cases GM-P12, P14 … P17 of the guest_memfd reference, SL-08 … SL-12, SL-17 of the SLAT reference.
import { beforeEach, describe, expect, it } from 'vitest';
import { Errno } from '../assembly/abi/errno.ts';
import type { MemoryRegion2, Vm } from '../src/index.ts';
import { BUILDS, hvaAt, MIB, machine, PAGE } from './support/machines.ts';

const { OK, EINVAL, EEXIST, ENOENT } = Errno;
const READONLY = 2;
const LOG = 1;
const GMEM = 4;
/** Free of RAM regions. */
const GPA = 0x4000_0000n;
const MMIO_READ = { ok: true, value: 0xffn, exits: [{ reason: 'MMIO', isWrite: false }] };

describe.each(BUILDS)('kvm › memslots, %s', (_name, build) => {
  let vm: Vm;
  let hva: bigint;
  beforeEach(async () => {
    vm = await machine(build, { memory: 4 * MIB, physBits: 52 });
    hva = hvaAt(vm, 0);
  });
  const set = (o: Partial<MemoryRegion2> & { slot: number }): Errno =>
    vm.kvm.setUserMemoryRegion2({
      flags: 0,
      guestPhysAddr: GPA,
      memorySize: 4 * PAGE,
      userspaceAddr: hva,
      ...o,
    });
  const drop = (slot: number): Errno => set({ slot, memorySize: 0, guestPhysAddr: 0, userspaceAddr: 0 });

  it.each<[string, Partial<MemoryRegion2>, Errno]>([
    ['gpa inside a page', { guestPhysAddr: GPA + 1n }, EINVAL],
    ['size inside a page', { memorySize: 4095 }, EINVAL],
    ['hva inside a page', { userspaceAddr: 0x1000_0000_0800n }, EINVAL],
    ['hva not canonical', { userspaceAddr: 0x8000_0000_0000n }, EINVAL],
    ['hva of the kernel', { userspaceAddr: 0xffff_8000_0000_0000n }, EINVAL],
    ['hva that ends behind user space', { userspaceAddr: 0x7fff_ffff_e000n }, EINVAL],
    ['hva 0', { userspaceAddr: 0 }, OK],
    ['id 32764', { slot: 32764 }, EINVAL],
    ['id 32763', { slot: 32763 }, OK],
    ['address space 1', { slot: 0x10001 }, EINVAL],
    ['gpa + size wraps', { guestPhysAddr: 0xffff_ffff_ffff_f000n, memorySize: 2 * PAGE }, EINVAL],
    ['the last page of 2^64', { guestPhysAddr: 0xffff_ffff_ffff_f000n, memorySize: PAGE }, EINVAL],
    ['behind the width of addresses', { guestPhysAddr: 1n << 52n }, EINVAL],
    ['up to the width of addresses', { guestPhysAddr: (1n << 52n) - 4n * 4096n }, OK],
    ['8 TiB', { memorySize: 8n << 40n, guestPhysAddr: 1n << 44n }, EINVAL],
    ['8 TiB less a page', { memorySize: (8n << 40n) - 4096n, guestPhysAddr: 1n << 44n }, OK],
    ['over RAM', { guestPhysAddr: 0 }, EEXIST],
    ['over the last page of RAM', { guestPhysAddr: 4 * MIB - PAGE }, EEXIST],
    ['behind RAM', { guestPhysAddr: 4 * MIB }, OK],
    ['size 0 of a slot that is not', { memorySize: 0 }, EINVAL],
    ['bad flags and overlap', { guestPhysAddr: 0, flags: 1 << 5 }, EINVAL],
  ])('create: %s', (_row, region, errno) => {
    const before = vm.host.digest();
    expect(set({ slot: 5, ...region })).toBe(errno);
    if (errno !== OK) expect(vm.host.digest()).toBe(before);
    expect(vm.host.check()).toEqual([]);
  });

  it.each(Array.from({ length: 32 }, (_, bit) => bit))('GM-P12: flag bit %i', (bit) => {
    const flags = (1 << bit) >>> 0;
    const region = { slot: 9, flags, guestPhysAddr: GPA, memorySize: PAGE, userspaceAddr: hva };
    expect(vm.kvm.setUserMemoryRegion(region)).toBe(bit < 2 ? OK : EINVAL);
    if (bit < 2) expect(drop(9)).toBe(OK);
    // Bit 2 asks for a guest_memfd, and there is no such descriptor.
    expect(vm.kvm.setUserMemoryRegion2(region)).toBe(bit < 2 ? OK : bit === 2 ? Errno.EBADF : EINVAL);
  });

  it.each<[string, Partial<MemoryRegion2>, Errno]>([
    ['the same again', {}, OK],
    ['another size', { memorySize: 5 * PAGE }, EINVAL],
    ['another size that overlaps', { memorySize: 2 * MIB, guestPhysAddr: 3 * MIB }, EINVAL],
    ['another hva', { userspaceAddr: 0x1000_0000_1000n }, EINVAL],
    ['read-only', { flags: READONLY }, EINVAL],
    ['logging', { flags: LOG }, OK],
    ['another gpa', { guestPhysAddr: GPA + 0x10000n }, OK],
    ['another gpa, over its own old range', { guestPhysAddr: GPA + 4096n }, OK],
    ['another gpa, and logging', { guestPhysAddr: GPA + 4096n, flags: LOG }, OK],
    ['another gpa, over RAM', { guestPhysAddr: 0 }, EEXIST],
    ['another gpa, behind the width', { guestPhysAddr: 1n << 52n }, EINVAL],
    ['as a guest_memfd', { flags: GMEM }, EINVAL],
  ])('a live slot: %s', (_row, region, errno) => {
    expect(set({ slot: 1 })).toBe(OK);
    expect(vm.guest.store(GPA + 4096n, 1, 7)).toMatchObject({ ok: true, exits: [] });
    expect(set({ slot: 1, ...region })).toBe(errno);
    const gpa = errno === OK ? BigInt(region.guestPhysAddr ?? GPA) : GPA;
    expect(vm.guest.load(gpa + 4096n, 1)).toEqual({ ok: true, value: 7n, exits: [] });
    expect(vm.host.check()).toEqual([]);
  });

  it('R8.1: after delete and after move the old range is MMIO at once, and the memory keeps its contents', () => {
    set({ slot: 1 });
    vm.guest.store(GPA, 8, 0x1122334455667788n);
    expect(set({ slot: 1, guestPhysAddr: GPA + 0x10_0000n })).toBe(OK);
    expect(vm.guest.load(GPA, 1)).toMatchObject(MMIO_READ);
    expect(vm.guest.load(GPA + 0x10_0000n, 8)).toMatchObject({ value: 0x1122334455667788n });
    expect([drop(1), drop(1)]).toEqual([OK, EINVAL]);
    expect(vm.guest.load(GPA + 0x10_0000n, 1)).toMatchObject(MMIO_READ);
    set({ slot: 2 });
    expect(vm.guest.load(GPA, 8)).toMatchObject({ value: 0x1122334455667788n, exits: [] });
  });

  it('R2.4: two slots on the same host range are one memory; a change of the backing is seen through both', () => {
    set({ slot: 1 });
    vm.guest.store(GPA, 1, 0x5a);
    expect(vm.guest.load(0, 1)).toMatchObject({ value: 0x5an });
    vm.vmm.madvise(hva, 4096n, 'dontneed');
    expect([vm.guest.load(GPA, 1), vm.guest.load(0, 1)]).toMatchObject([{ value: 0n }, { value: 0n }]);
    expect(vm.host.check()).toEqual([]);
  });

  it('SL-17: a slot over what was MMIO is RAM at the next access', () => {
    for (let i = 0; i < 3; i++) expect(vm.guest.load(GPA, 1)).toMatchObject(MMIO_READ);
    expect(vm.guest.store(GPA, 1, 1)).toMatchObject({ exits: [{ isWrite: true }] });
    set({ slot: 1 });
    expect(vm.guest.store(GPA, 1, 9)).toEqual({ ok: true, value: 0n, exits: [] });
    expect(vm.guest.load(0, 1)).toMatchObject({ value: 9n });
  });

  it('SL-09: a slot whose addresses do not agree modulo 2 MiB is mapped by 4 KiB only; SL-10: a frame that the slot cuts, too', async () => {
    const thp = await machine(build, { memory: 8 * MIB, pool: 32 * MIB, backing: 'thp' });
    const base = hvaAt(thp, 0);
    thp.guest.fill({ gpa: 0, len: 8 * MIB, byte: 1 });
    const region = (slot: number, guestPhysAddr: bigint, userspaceAddr: bigint, memorySize: number): Errno =>
      thp.kvm.setUserMemoryRegion({ slot, flags: 0, guestPhysAddr, memorySize, userspaceAddr });
    const level = (gpa: bigint): number | undefined => {
      thp.guest.load(gpa, 1);
      return thp.observe.walk(gpa).entries.at(-1)?.level;
    };
    region(1, GPA + 4096n, base, 4 * MIB);
    expect(level(GPA + 0x20_0000n)).toBe(1);
    // [2 MiB − 4 KiB, 6 MiB)
    region(2, 2n * GPA + 0x1f_f000n, base + 0x1f_f000n, 4 * MIB + PAGE);
    expect([level(2n * GPA + 0x30_0000n), level(2n * GPA + 0x1f_f000n)]).toEqual([2, 1]);
    expect(thp.host.check()).toEqual([]);
  });

  it('GM-P16: as many slots as there are ids, and one more', () => {
    // Of one page: what they map does not matter here.
    for (let id = 1; id < 32764; id++) {
      const guestPhysAddr = GPA + BigInt(id) * 8192n;
      expect(set({ slot: id, guestPhysAddr, memorySize: PAGE }), String(id)).toBe(OK);
    }
    expect(set({ slot: 32764, guestPhysAddr: GPA, memorySize: PAGE })).toBe(EINVAL);
    expect(vm.kvm.memslots()).toHaveLength(32764);
    vm.guest.store(GPA + 20000n * 8192n, 1, 3);
    expect(vm.guest.load(GPA + 30000n * 8192n, 1)).toMatchObject({ value: 3n, exits: [] });
    vm.vmm.madvise(hva, 4096n, 'dontneed');
    expect(vm.guest.load(GPA + 20000n * 8192n, 1)).toMatchObject({ value: 0n, exits: [] });
    expect(vm.host.check()).toEqual([]);
    for (let id = 1; id < 32764; id += 2) expect(drop(id)).toBe(OK);
    expect(vm.host.check()).toEqual([]);
  }, 60_000);

  it('GM-P17: a fetch with no slots is an internal error', async () => {
    const bare = await machine(build, { ram: [] });
    expect(bare.guest.fetch(0)).toEqual({ ok: false, exit: { reason: 'INTERNAL_ERROR', gpa: 0n } });
    expect(bare.guest.load(0, 8)).toMatchObject({ exits: [{ reason: 'MMIO', len: 8 }] });
  });
});

describe.each(BUILDS)('kvm › read-only slots, %s', (_name, build) => {
  let vm: Vm;
  let hva: bigint;
  beforeEach(async () => {
    vm = await machine(build, { memory: 4 * MIB });
    hva = hvaAt(vm, 0);
    vm.kvm.setUserMemoryRegion({
      slot: 1,
      flags: READONLY,
      guestPhysAddr: GPA,
      memorySize: 4 * PAGE,
      userspaceAddr: hva,
    });
  });

  it('R9.1: reads and fetches are RAM, each write is an exit, and the memory stays as it is', () => {
    vm.vmm.store(hva + 4n, 0x49);
    expect(vm.guest.load(GPA + 4n, 2)).toEqual({ ok: true, value: 0x49n, exits: [] });
    expect(vm.guest.fetch(GPA + 4n)).toEqual({ ok: true, value: 0x49n, exits: [] });
    const exits = [{ reason: 'MMIO', gpa: GPA + 4n, len: 2, isWrite: true, data: Uint8Array.of(0x1c, 0xb3) }];
    expect(vm.guest.store(GPA + 4n, 2, 0xb31c)).toEqual({ ok: true, value: 0n, exits });
    expect(vm.guest.load(GPA + 4n, 2)).toMatchObject({ value: 0x49n });
    expect(vm.host.check()).toEqual([]);
  });

  it('R9.2: a write does not look at the host mapping, a read does', () => {
    vm.vmm.mprotect(hva, 4096n, 0);
    expect(vm.guest.store(GPA, 1, 1)).toMatchObject({ ok: true, exits: [{ isWrite: true }] });
    expect(vm.guest.load(GPA, 1)).toMatchObject({ ok: false, exit: { reason: 'EFAULT' } });
    vm.vmm.munmap(hva, 4096n);
    expect(vm.guest.store(GPA, 1, 1)).toMatchObject({ ok: true, exits: [{ isWrite: true }] });
  });

  it('R9.3: a locked addition reads RAM and exits once; on MMIO it exits twice, and the VMM says what was there', () => {
    vm.vmm.store(hva + 4n, 0x49);
    expect(vm.guest.fetchAdd(GPA + 4n, 1, 2)).toMatchObject({
      value: 0x49n,
      exits: [{ isWrite: true, data: Uint8Array.of(0x4b) }],
    });
    vm.guest.onMmioRead((gpa, len) =>
      Uint8Array.from({ length: len }, (_, i) => 0xa0 + Number(gpa % 16n) + i),
    );
    expect(vm.guest.fetchAdd(0x9000_0505, 1, 3)).toMatchObject({
      value: 0xa5n,
      exits: [
        { isWrite: false, gpa: 0x9000_0505n },
        { isWrite: true, data: Uint8Array.of(0xa8) },
      ],
    });
    expect(vm.guest.fetchAdd(4, 1, 2)).toEqual({ ok: true, value: 0x49n, exits: [] });
    expect(vm.guest.load(4, 1)).toMatchObject({ value: 0x4bn });
  });
});

describe.each(
  BUILDS.flatMap(([name, build]) =>
    [true, false].map((pml) => [`${name}, ${pml ? 'PML' : 'write protection'}`, { ...build, pml }] as const),
  ),
)('kvm › dirty log, %s', (_name, options) => {
  let vm: Vm;
  beforeEach(async () => {
    vm = await machine(options, { memory: 4 * MIB, pml: options.pml });
  });
  const flags = (value: number): Errno => {
    const [slot] = vm.kvm.memslots();
    if (!slot) throw new Error('no slot');
    return vm.kvm.setUserMemoryRegion({
      slot: 0,
      flags: value,
      guestPhysAddr: 0,
      memorySize: slot.size,
      userspaceAddr: slot.hva,
    });
  };
  const dirty = (slot = 0): number[] | string => {
    const { errno, pages } = vm.kvm.getDirtyLog(slot);
    return errno === OK ? [...pages] : (Errno[errno] as string);
  };

  it('R10.1, R10.2: guest writes set bits, host writes none; reading clears, a page written again is there again', () => {
    flags(LOG);
    vm.guest.store(2 * PAGE, 1, 1);
    vm.guest.fetchAdd(7 * PAGE, 1, 0);
    vm.guest.store(4 * PAGE - 1, 2, 0x0101);
    vm.vmm.store(hvaAt(vm, 9 * PAGE), 1);
    expect(dirty()).toEqual([2, 3, 4, 7]);
    expect(dirty()).toEqual([]);
    vm.guest.store(2 * PAGE, 1, 2);
    vm.guest.load(7 * PAGE, 1);
    expect(dirty()).toEqual([2]);
    expect(vm.host.check()).toEqual([]);
  });

  it('R10.3: a read of what the host may write sets a bit when it makes the translation, and none when there is one', () => {
    vm.vmm.store(hvaAt(vm, PAGE), 1);
    flags(LOG);
    vm.guest.load(0, 1); // the zero page
    vm.guest.load(PAGE, 1);
    expect(dirty()).toEqual([1]);
    vm.guest.load(PAGE, 1);
    expect(dirty()).toEqual([]);
  });

  it('R10.5, R10.6: off drops it, on begins anew, a move keeps it, and who has none is ENOENT', () => {
    vm.guest.store(0, 1, 1);
    expect([dirty(), dirty(99), dirty(0x10000), dirty(32764)]).toEqual([
      'ENOENT',
      'ENOENT',
      'EINVAL',
      'EINVAL',
    ]);
    flags(LOG);
    vm.guest.store(0, 1, 2);
    flags(0);
    expect(dirty()).toBe('ENOENT');
    flags(LOG);
    expect(dirty()).toEqual([]);
    vm.guest.store(3 * PAGE, 1, 2);
    const [slot] = vm.kvm.memslots();
    vm.kvm.setUserMemoryRegion({
      slot: 0,
      flags: LOG,
      guestPhysAddr: GPA,
      memorySize: 4 * MIB,
      userspaceAddr: slot?.hva ?? 0n,
    });
    vm.guest.store(GPA + 4096n, 1, 2);
    expect(dirty()).toEqual([1, 3]);
    expect(vm.host.check()).toEqual([]);
  });

  it('R10.7, R10.8: manual protection', () => {
    for (const [value, errno] of [
      [2, EINVAL],
      [4, EINVAL],
      [8, EINVAL],
      [1, OK],
    ] as const) {
      expect(vm.kvm.enableCap(168, value), String(value)).toBe(errno);
    }
    flags(LOG);
    const pages = [26, 39, 75, 94, 112];
    for (const page of pages) vm.guest.store(page * PAGE, 1, 1);
    expect([dirty(), dirty()]).toEqual([pages, pages]);
    const clear = (firstPage: number, numPages: number, bits: number[]): Errno =>
      vm.kvm.clearDirtyLog({ slot: 0, firstPage, numPages, pages: bits });
    expect(clear(0, 64, [26, 39])).toBe(OK);
    expect(dirty()).toEqual([75, 94, 112]);
    vm.guest.store(26 * PAGE, 1, 1);
    expect(clear(64, 64, [11, 48, 30, 5])).toBe(OK);
    expect(dirty()).toEqual([26]);
    expect([clear(1, 63, [1]), clear(0, 63, [1]), clear(0, 1025, [1]), clear(1088, 64, [1])]).toEqual(
      Array(4).fill(EINVAL),
    );
    expect(vm.kvm.clearDirtyLog({ slot: 7, firstPage: 0, numPages: 64, pages: [] })).toBe(ENOENT);
    expect(clear(960, 64, [])).toBe(OK);
    // To begin with all set.
    flags(0);
    expect(vm.kvm.enableCap(168, 3)).toBe(OK);
    flags(LOG);
    expect(dirty()).toHaveLength(1024);
    expect(
      clear(
        0,
        1024,
        Array.from({ length: 1024 }, (_, i) => i),
      ),
    ).toBe(OK);
    vm.guest.store(26 * PAGE, 1, 5);
    expect(dirty()).toEqual([26]);
    expect(vm.host.check()).toEqual([]);
  });

  it('SL-12: a log over huge pages is one of 4 KiB pages, and huge leaves come back when it ends', async () => {
    vm = await machine(options, { memory: 4 * MIB, pool: 16 * MIB, backing: 'thp', pml: options.pml });
    vm.guest.fill({ gpa: 0, len: 4 * MIB, byte: 1 });
    const level = (): number | undefined => vm.observe.walk(0).entries.at(-1)?.level;
    expect(level()).toBe(2);
    const rss = vm.observe.counters()['host.rss'];
    flags(LOG);
    expect(level()).toBe(1);
    for (let page = 0; page < 5; page++) vm.guest.store(page * PAGE, 1, 2);
    expect([dirty(), dirty()]).toEqual([[0, 1, 2, 3, 4], []]);
    vm.guest.store(3 * PAGE, 1, 3);
    expect(dirty()).toEqual([3]);
    expect(vm.observe.counters()['host.rss']).toBe(rss);
    flags(0);
    vm.guest.load(0, 1);
    expect(level()).toBe(2);
    expect(vm.host.check()).toEqual([]);
  });
});

describe.each(BUILDS)('kvm › page-modification log, %s', (_name, build) => {
  it('SL-08: the 513th first write finds it full: exit 62, and no page is lost', async () => {
    const vm = await machine(build, { memory: 4 * MIB });
    vm.guest.touch({ gpa: 0, len: 4 * MIB, write: true });
    const [slot] = vm.kvm.memslots();
    vm.kvm.setUserMemoryRegion({
      slot: 0,
      flags: LOG,
      guestPhysAddr: 0,
      memorySize: 4 * MIB,
      userspaceAddr: slot?.hva ?? 0n,
    });
    vm.guest.touch({ gpa: 0, len: 512 * PAGE, write: true });
    expect(vm.observe.counters()['exits.pml-full']).toBe(0);
    vm.guest.touch({ gpa: 512 * PAGE, len: 88 * PAGE, write: true });
    expect(vm.observe.counters()).toMatchObject({ 'exits.pml-full': 1, 'dirty.pages': 600 });
    expect(vm.host.events.records().some(({ kind }) => kind === 'pml-full')).toBe(true);
    expect([...vm.kvm.getDirtyLog(0).pages]).toEqual(Array.from({ length: 600 }, (_, i) => i));
    // A page whose dirty bit is set is not logged again, and no violation either.
    const before = vm.observe.counters()['slat.violations'];
    vm.guest.touch({ gpa: 0, len: 600 * PAGE, write: true });
    vm.guest.touch({ gpa: 0, len: 600 * PAGE, write: true });
    expect(vm.observe.counters()['dirty.pages']).toBe(1200);
    expect(vm.observe.counters()['slat.violations']).toBe(before);
    // Nor where the log has ended meanwhile.
    vm.kvm.getDirtyLog(0);
    vm.kvm.setUserMemoryRegion({
      slot: 0,
      flags: 0,
      guestPhysAddr: 0,
      memorySize: 4 * MIB,
      userspaceAddr: slot?.hva ?? 0n,
    });
    vm.guest.touch({ gpa: 0, len: 600 * PAGE, write: true });
    expect(vm.observe.counters()).toMatchObject({ 'slat.violations': before, 'dirty.pages': 1200 });
    expect(vm.host.check()).toEqual([]);
  });
});
