// The picture of guest-physical memory: what a cell says, at every size of a cell. Reference: assembly/observe/raster.ts.
import { describe, expect, it } from 'vitest';
import { PageKind } from '../assembly/abi/page-kind.ts';
import type { Vm } from '../src/index.ts';
import { BUILDS, GIB, hvaAt, letters, MIB, machine, PAGE } from './support/machines.ts';

const RAM = 1;
const kindOf = (cell: number | undefined): number => ((cell ?? 0) >> 1) & 31;
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
    expect((cell ?? 0) & 0x3f).toBe(RAM | (PageKind.Anonymous << 1));
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
    const { None, Zero, Anonymous, Lazy, Swapped } = PageKind;
    const kinds = [Anonymous, Lazy, Swapped, Anonymous, Zero, None, None, None, None, None];
    expect(Array.from(cells, kindOf)).toEqual(kinds);
    expect(Array.from(cells, (cell) => cell & RAM)).toEqual([1, 1, 1, 1, 1, 1, 1, 1, 0, 0]);
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
    expect(cells.findIndex((cell) => kindOf(cell) === PageKind.Anonymous)).toBe(700);
    expect(Array.from(cells.subarray(0, 6))).toEqual([1, 1, 1, 0, 1, 1]);
    expect([...cells.subarray(1024, 1028)]).toEqual([1, 0, 0, 0]);
  });

  /** Kind of each page letter, written out again. Where nothing is mapped a part of a huge page may be held; `g` leaves open whether the file has the page. */
  const KINDS: Readonly<Record<string, PageKind>> = {
    '.': PageKind.None,
    x: PageKind.None,
    z: PageKind.Zero,
    Z: PageKind.HugeZero,
    c: PageKind.Cached,
    g: PageKind.Cached,
    a: PageKind.Anonymous,
    d: PageKind.Anonymous,
    G: PageKind.Hugetlb,
    f: PageKind.File,
    H: PageKind.Huge,
    D: PageKind.Huge,
    h: PageKind.HugePart,
    k: PageKind.Ksm,
    K: PageKind.Lazy,
    l: PageKind.Lazy,
    L: PageKind.Lazy,
    s: PageKind.Swapped,
  };
  const CELLS = 5 * 512;
  /** What a few calls leave in the first 10 MiB: as many kinds of pages as the backing can have. */
  const scenes = {
    anon: (vm) => {
      vm.guest.touch({ gpa: 0, len: MIB, write: true });
      vm.guest.touch({ gpa: MIB, len: MIB });
      vm.vmm.madvise(hvaAt(vm, 64 * PAGE), 65536n, 'free');
      vm.guest.store(70 * PAGE, 1, 1);
      vm.vmm.madvise(hvaAt(vm, 5 * PAGE), 4096n, 'pageout');
      vm.guest.fill({ gpa: 4 * MIB, len: 8 * PAGE, byte: 7 });
      vm.vmm.madvise(hvaAt(vm, 4 * MIB), 16384n, 'mergeable');
      vm.host.ksm.scan(3);
      vm.vmm.munmap(hvaAt(vm, 6 * MIB), 4096n);
    },
    thp: (vm) => {
      for (const gpa of [0, 2 * MIB, 6 * MIB]) vm.guest.fill({ gpa, len: 2 * MIB, byte: 9 });
      vm.guest.load(4 * MIB, 1);
      vm.vmm.madvise(hvaAt(vm, 2 * MIB), BigInt(MIB), 'dontneed');
      vm.guest.store(2 * MIB, 1, 1);
      vm.vmm.madvise(hvaAt(vm, 6 * MIB), BigInt(2 * MIB), 'free');
      vm.guest.fill({ gpa: 8 * MIB, len: 2 * MIB, byte: 9 });
      vm.vmm.mprotect(hvaAt(vm, 8 * MIB), 4096n, 1);
    },
    memfd: (vm) => {
      vm.guest.fill({ gpa: 0, len: 4 * MIB, byte: 3 });
      vm.vmm.madvise(hvaAt(vm, 2 * MIB), BigInt(2 * MIB), 'dontneed');
      vm.vmm.madvise(hvaAt(vm, 0), 16384n, 'dontneed');
      vm.vmm.madvise(hvaAt(vm, MIB), 65536n, 'pageout');
    },
    memfd_priv: (vm) => {
      vm.guest.touch({ gpa: 0, len: MIB, write: true });
      vm.guest.touch({ gpa: MIB, len: MIB });
      vm.vmm.madvise(hvaAt(vm, 0), 16384n, 'dontneed');
      vm.vmm.madvise(hvaAt(vm, MIB / 2), 16384n, 'pageout');
    },
    hugetlb: (vm) => {
      vm.guest.touch({ gpa: 2 * MIB, len: 2 * MIB });
    },
    hugetlb_shared: (vm) => {
      vm.guest.touch({ gpa: 0, len: 4 * MIB });
      vm.vmm.madvise(hvaAt(vm, 2 * MIB), BigInt(2 * MIB), 'dontneed');
    },
  } as const satisfies Record<string, (vm: Vm) => void>;

  it.each(
    Object.entries(scenes),
  )('%s: cells of a page are the page letters, larger ones the highest of them', async (backing, scene) => {
    const vm = await machine(build, { backing: backing as keyof typeof scenes, pool: '32M', swap: '4M' });
    scene(vm);
    const pages = Array.from(
      vm.observe.raster('backing', 0, 12, 1024, CELLS / 1024 + 1).subarray(0, CELLS),
      kindOf,
    );
    const given = letters(vm, 0, CELLS);
    const unmapped = (i: number) =>
      (pages[i] === PageKind.Held && (given[i] === '.' || given[i] === 'x')) ||
      (pages[i] === PageKind.None && given[i] === 'g');
    expect([...given].findIndex((letter, i) => pages[i] !== KINDS[letter] && !unmapped(i))).toBe(-1);
    for (const shift of [15, 20, 21, 23]) {
      const n = 1 << (shift - 12);
      const cells = Array.from(vm.observe.raster('backing', 0, shift, Math.floor(CELLS / n), 1), kindOf);
      const highest = cells.map((_, c) => Math.max(...pages.slice(c * n, (c + 1) * n)));
      expect([shift, cells]).toEqual([shift, highest]);
    }
  });

  it('thp: the part that DONTNEED unmapped is held until the huge page is split or gone', async () => {
    const vm = await machine(build, { backing: 'thp' });
    vm.guest.fill({ gpa: 2 * MIB, len: 2 * MIB, byte: 9 });
    vm.vmm.madvise(hvaAt(vm, 2 * MIB), BigInt(MIB), 'dontneed');
    const kinds = () => Array.from(vm.observe.raster('backing', 2 * MIB, 20, 2, 1), kindOf);
    expect(kinds()).toEqual([PageKind.Held, PageKind.HugePart]);
    expect([vm.observe.rss(), vm.host.frames().used]).toEqual([MIB, 512]);
    vm.vmm.madvise(hvaAt(vm, 3 * MIB), 4096n, 'pageout');
    expect(kinds()).toEqual([PageKind.None, PageKind.Swapped]);
    expect([vm.observe.rss(), vm.host.frames().used]).toEqual([MIB - PAGE, 255]);
  });
});
