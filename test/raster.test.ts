// The picture of guest-physical memory: what a cell says, at every size of a cell. Reference: assembly/observe/raster.ts.
import { describe, expect, it } from 'vitest';
import { BUILDS, GIB, hvaAt, MIB, machine, PAGE } from './support/machines.ts';

const RAM = 1;
const fullness = (cell: number | undefined): number => (cell ?? 0) >> 6;

describe.each(BUILDS)('raster › %s', (_name, build) => {
  // Of a cell of 2^shift bytes the first `pages` pages are backed: 0 < ¼, 1 < ½, 2 < ¾, 3.
  it.each([
    [14, 1, 1],
    [14, 2, 2],
    [14, 3, 3],
    [14, 4, 3],
    [20, 63, 0],
    [20, 64, 1],
    [20, 127, 1],
    [20, 128, 2],
    [20, 192, 3],
    [21, 127, 0],
    [21, 128, 1],
    [21, 256, 2],
    [21, 512, 3],
    [23, 511, 0],
    [23, 512, 1],
    [23, 1024, 2],
    [23, 1535, 2],
    [23, 1536, 3],
  ])('cells of 2^%i bytes, %i pages backed: quarter %i', async (shift, pages, quarter) => {
    const vm = await machine(build);
    vm.guest.touch({ gpa: 16 * MIB, len: pages * PAGE, write: true });
    const [cell, next] = vm.observe.raster('backing', 16 * MIB, shift, 2, 1);
    expect(fullness(cell)).toBe(quarter);
    expect((cell ?? 0) & 0x3f).toBe(RAM | 4);
    expect(next).toBe(RAM);
  });

  it('one cell a page: every state of a page, and no RAM', async () => {
    const vm = await machine(build, {
      ram: [
        { gpa: 0, size: 8 * PAGE },
        { gpa: MIB, size: PAGE },
      ],
    });
    vm.guest.touch({ gpa: 0, len: 4 * PAGE, write: true });
    vm.guest.load(4 * PAGE, 1);
    vm.vmm.madvise(hvaAt(vm, PAGE), 4096n, 'free');
    vm.vmm.madvise(hvaAt(vm, 2 * PAGE), 4096n, 'pageout');
    const cells = vm.observe.raster('backing', 0, 12, 10, 1);
    expect(Array.from(cells, (cell) => cell & 0x3f)).toEqual([5, 13, 17, 5, 3, 1, 1, 1, 0, 0]);
    const slat = vm.observe.raster('slat', 0, 12, 10, 1);
    expect([...slat]).toEqual([5, 1, 1, 5, 3, 1, 1, 1, 0, 0]);
  });

  it('protection: of any mapping in the cell', async () => {
    const vm = await machine(build);
    vm.vmm.mprotect(hvaAt(vm, 0), 4096n, 0);
    vm.vmm.mprotect(hvaAt(vm, PAGE), 4096n, 1);
    vm.vmm.mlock(hvaAt(vm, 2 * PAGE), 4096n);
    vm.vmm.madvise(hvaAt(vm, 3 * PAGE), 4096n, 'dontdump');
    vm.vmm.madvise(hvaAt(vm, 4 * PAGE), 4096n, 'mergeable');
    expect([...vm.observe.raster('protection', 0, 12, 6, 1)]).toEqual([1, 3, 15, 23, 39, 7]);
    expect([...vm.observe.raster('protection', 0, 14, 2, 1)]).toEqual([31, 39]);
  });

  it('1 TiB in one picture: a touched page is seen, and the hole before 4 GiB', async () => {
    const vm = await machine(build, { memory: '1T' });
    vm.guest.store(700n * BigInt(GIB), 1, 1);
    const cells = vm.observe.raster('backing', 0, 30, 1028, 1);
    expect(cells.findIndex((cell) => (cell & 4) !== 0)).toBe(700);
    expect(Array.from(cells.subarray(0, 6))).toEqual([1, 1, 1, 0, 1, 1]);
    expect([...cells.subarray(1024, 1028)]).toEqual([1, 0, 0, 0]);
  });
});
