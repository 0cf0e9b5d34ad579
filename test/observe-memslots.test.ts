// vm.observe.memslots, and the raster's lens of private and shared memory: what they say, and that they change nothing.
// Reference: assembly/observe/memslot.ts, assembly/observe/kinds.ts; docs/events.md "Cells".
import { describe, expect, it } from 'vitest';
import { Errno } from '../assembly/abi/errno.ts';
import type { Vm, VmOptions } from '../src/index.ts';
import { BUILDS, type Build, GIB, hvaAt, MIB, machine, PAGE } from './support/machines.ts';

const SHARED = 2;
const PRIVATE = 4;
const BOTH = 8;
const LEFT = 16;
const ATTRIBUTE = 32;
const GPA = 64n << 20n;
const HVA = (1n << 44n) + (512n << 30n);

/** A slot of 8 pages at GPA with a guest_memfd; its mapping is anonymous, or the file itself. */
async function withFile(build: Build, options: VmOptions, flags = 0, mapped = false): Promise<[Vm, number]> {
  const vm = await machine(build, { memory: 4 * MIB, ...options });
  const { fd } = vm.kvm.createGuestMemfd({ size: 8 * PAGE, flags });
  const mapping = { addr: HVA, length: 8n * 4096n, prot: 3 };
  expect(vm.vmm.mmap(mapped ? { ...mapping, shared: true, fd } : { ...mapping, shared: false })).toBe(
    Errno.OK,
  );
  expect(
    vm.kvm.setUserMemoryRegion2({
      slot: 5,
      flags: 4,
      guestPhysAddr: GPA,
      memorySize: 8 * PAGE,
      userspaceAddr: HVA,
      guestMemfd: fd,
    }),
  ).toBe(Errno.OK);
  return [vm, fd];
}
/** Cells of a page each, without bit 0. */
const kinds = (vm: Vm, pages = 8): number[] =>
  [...vm.observe.raster('attributes', GPA, 12, pages, 1)].map((cell) => cell & ~1);
const set = (vm: Vm, page: number, pages: number, attributes: number): Errno =>
  vm.kvm.setMemoryAttributes({ address: GPA + BigInt(page * PAGE), size: pages * PAGE, attributes });

describe.each(BUILDS)('observe › attributes, %s', (_name, build) => {
  it('each state of a page', async () => {
    const [vm] = await withFile(build, { vmType: 1 });
    vm.guest.touch({ gpa: GPA, len: 4 * PAGE, write: true });
    vm.guest.load(GPA + 4n * 4096n, 1);
    set(vm, 1, 6, 8);
    vm.guest.touch({ gpa: GPA + 4096n, len: PAGE, write: true });
    vm.guest.touch({ gpa: GPA + 5n * 4096n, len: PAGE, write: true });
    const now = [
      SHARED,
      BOTH | ATTRIBUTE,
      LEFT | ATTRIBUTE,
      LEFT | ATTRIBUTE,
      // The zero page is no memory.
      ATTRIBUTE,
      PRIVATE | ATTRIBUTE,
      ATTRIBUTE,
      0,
    ];
    const before = vm.host.digest();
    expect(kinds(vm)).toEqual(now);
    // Larger cells have the bits of all their pages.
    const two = [0, 2, 4, 6].map((i) => (now[i] as number) | (now[i + 1] as number));
    expect([...vm.observe.raster('attributes', GPA, 13, 4, 1)].map((cell) => cell & ~1)).toEqual(two);
    expect(vm.host.digest()).toBe(before);
    // Back to shared: what is in the file is left there.
    set(vm, 5, 1, 0);
    expect(kinds(vm)[5]).toBe(LEFT);
  });

  it('a page in swap is memory; one dropped is not; a hole in the file takes its half', async () => {
    const [vm, fd] = await withFile(build, { vmType: 1 });
    vm.guest.touch({ gpa: GPA, len: 3 * PAGE, write: true });
    set(vm, 0, 3, 8);
    vm.guest.touch({ gpa: GPA, len: 3 * PAGE, write: true });
    vm.vmm.madvise(HVA, 4096n, 'pageout');
    vm.vmm.madvise(HVA + 4096n, 4096n, 'dontneed');
    vm.vmm.fallocate(fd, 3, 8192n, 4096n);
    expect(kinds(vm, 3)).toEqual([BOTH | ATTRIBUTE, PRIVATE | ATTRIBUTE, LEFT | ATTRIBUTE]);
    vm.vmm.fallocate(fd, 1, 8192n, 4096n);
    expect(kinds(vm, 3)[2]).toBe(BOTH | ATTRIBUTE);
  });

  it('a file that the VMM maps is one memory', async () => {
    const [vm] = await withFile(build, { gmemProfile: 'C' }, 3, true);
    vm.guest.touch({ gpa: GPA, len: 2 * PAGE, write: true });
    vm.vmm.store(HVA + 4096n, 1);
    vm.vmm.store(HVA + 3n * 4096n, 1);
    expect(kinds(vm, 4)).toEqual([SHARED, SHARED, 0, SHARED]);
  });

  it('RAM without private memory: shared where there is some, of any kind, in cells of any size', async () => {
    for (const backing of ['anon', 'memfd', 'thp'] as const) {
      const vm = await machine(build, { memory: GIB, backing });
      vm.guest.store(512 * MIB, 8, 1);
      vm.vmm.madvise(hvaAt(vm, 512 * MIB), 4096n, backing === 'memfd' ? 'dontneed' : 'willneed');
      for (const shift of [12, 21, 23]) {
        const cells = vm.observe.raster('attributes', 512 * MIB, shift, 2, 1);
        const isWhole = backing === 'thp' && shift === 12;
        expect([backing, shift, cells[0], cells[1]]).toEqual([backing, shift, 3, isWhole ? 3 : 1]);
      }
    }
  });
});

describe.each(BUILDS)('observe › memslots, %s', (_name, build) => {
  it('leaves by size, also of two slots in one table', async () => {
    const vm = await machine(build, { memory: 8 * MIB, backing: 'thp', pool: 16 * MIB });
    vm.guest.touch({ gpa: 0, len: 4 * MIB, write: true });
    vm.guest.touch({ gpa: 6 * MIB, len: 3 * PAGE });
    const at = { flags: 0, memorySize: 4 * PAGE };
    vm.kvm.setUserMemoryRegion({ ...at, slot: 5, guestPhysAddr: GPA, userspaceAddr: hvaAt(vm, 0) });
    vm.kvm.setUserMemoryRegion({ ...at, slot: 6, guestPhysAddr: GPA + 16384n, userspaceAddr: hvaAt(vm, 0) });
    vm.guest.touch({ gpa: GPA, len: 3 * PAGE });
    vm.guest.load(GPA + 16384n, 1);
    expect(vm.observe.memslots().map(({ id, leaves }) => [id, leaves])).toEqual([
      [0, { '4k': 0, '2m': 3, '1g': 0 }],
      [5, { '4k': 3, '2m': 0, '1g': 0 }],
      [6, { '4k': 1, '2m': 0, '1g': 0 }],
    ]);
    const counters = vm.observe.counters();
    expect([counters['slat.mapped'], counters['slat.mapped2m']]).toEqual([7, 3]);
  });

  it('leaves of 1 GiB', async () => {
    const vm = await machine(build, { memory: 2 * GIB, backing: 'hugetlb_1g', hugepages1g: 2, pool: MIB });
    vm.guest.store(0, 8, 1);
    vm.guest.store(GIB + MIB, 8, 1);
    expect(vm.observe.memslots().map(({ leaves }) => leaves)).toEqual([{ '4k': 0, '2m': 0, '1g': 2 }]);
  });

  it.each([true, false])('dirty pages, without reading the log; pml %s', async (pml) => {
    const vm = await machine(build, { memory: 8 * MIB, cpus: 2, pml });
    const slot = { slot: 0, guestPhysAddr: 0, memorySize: 8 * MIB, userspaceAddr: hvaAt(vm, 0) };
    const dirty = () => vm.observe.memslots()[0]?.dirtyPages;
    expect(dirty()).toBeUndefined();
    vm.kvm.setUserMemoryRegion({ ...slot, flags: 1 });
    expect(dirty()).toBe(0);
    vm.guest.touch({ gpa: 0, len: 700 * PAGE, write: true });
    vm.guest.store(1023 * PAGE, 8, 1, { cpu: 1 });
    vm.guest.store(5 * PAGE, 8, 1, { cpu: 1 });
    const before = vm.host.digest();
    expect(dirty()).toBe(701);
    expect(vm.host.digest()).toBe(before);
    expect(vm.kvm.getDirtyLog(0).pages.length).toBe(701);
    expect(dirty()).toBe(0);
  });
});
