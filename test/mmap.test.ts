// Mappings that the VMM makes itself: mmap, mremap, munmap, protection, advice, mlock. Rules A of docs/linux-rules.md, and
// R2 to R6, R13 as far as they are about the host's side.
import { describe, expect, it } from 'vitest';
import { Errno } from '../assembly/abi/errno.ts';
import { createHost, type Vm } from '../src/index.ts';
import type { Advice, Mapping } from '../src/vmm/process.ts';
import { BUILDS, type Build, GIB } from './support/machines.ts';

const BASE = 1n << 44n;
const PAGE = 4096n;
const at = (page: number): bigint => BASE + BigInt(page) * PAGE;
const bytes = (pages: number): bigint => BigInt(pages) * PAGE;

/** A VM without RAM, and short names for what is done with it. Errno by name. */
async function vmm(build: Build, options: { swap?: string; maxMapCount?: number; memory?: string } = {}) {
  const { swap = '4M', memory = '16M', ...rest } = options;
  const host = await createHost({ memory, swap, ...build });
  const vm = host.createVm({ ram: [], ...rest });
  const name = (errno: Errno): string => Errno[errno] as string;
  const map = (page: number, pages: number, more: Partial<Mapping> = {}): string =>
    name(vm.vmm.mmap({ addr: at(page), length: bytes(pages), prot: 3, shared: false, ...more }));
  const advise = (page: number, pages: number, advice: Advice): string =>
    name(vm.vmm.madvise(at(page), bytes(pages), advice));
  const letters = (page: number, pages: number): string => vm.observe.pageLetters(at(page), pages);
  const write = (page: number, byte: number) => vm.vmm.store(at(page), byte);
  const read = (page: number): number | string => {
    const access = vm.vmm.load(at(page));
    return access.ok ? access.value : access.code;
  };
  return { host, vm, name, map, advise, letters, write, read };
}

/** Each VMA as `first+pages perm`. */
const vmas = (vm: Vm): string[] =>
  vm.observe.vmas().map(({ start, size, perm }) => `${(start - BASE) / PAGE}+${size / 4096} ${perm}`);

const rss = (vm: Vm): number => vm.observe.smapsRollup().rss / 4096;

describe.each(BUILDS)('mmap › %s', (_row, build) => {
  it('A VM without RAM has nothing mapped and no slot, and 1 TiB to map', async () => {
    const { vm, map, host } = await vmm(build);
    expect([vm.ram, vm.observe.vmas(), vm.guest.load(0, 1)]).toMatchObject([
      [],
      [],
      { exits: [{ reason: 'MMIO' }] },
    ]);
    const last = (GIB / 4096) * 1024 - 1;
    expect([map(last, 1), map(-1, 1)]).toEqual(['OK', 'ENOMEM']);
    expect(vm.vmm.store(at(last), 7)).toEqual({ ok: true, value: 7 });
    expect(host.check()).toEqual([]);
  });

  it.each<[string, Partial<Mapping>, string]>([
    ['no length', { length: 0n }, 'EINVAL'],
    ['a length that wraps', { length: 2n ** 64n - 1n }, 'ENOMEM'],
    ['beyond the end of user addresses', { addr: 2n ** 47n - 4096n }, 'ENOMEM'],
    ['an address inside a page', { addr: BASE + 1n }, 'EINVAL'],
    ['a descriptor that is not open', { fd: 9 }, 'EBADF'],
    ['an offset inside a page', { fd: 9, offset: 1n }, 'EINVAL'],
  ])('A1 %s', async (_what, mapping, errno) => {
    const { map, vm } = await vmm(build);
    expect(map(0, 1, mapping)).toBe(errno);
    expect(vm.observe.vmas()).toEqual([]);
  });

  it('R5.3 A mapping over another replaces it, what was there is gone, and neighbours merge', async () => {
    const { vm, host, map, write, read, letters } = await vmm(build);
    map(0, 8);
    for (const page of [1, 4, 5]) write(page, page);
    map(4, 2, { prot: 1 });
    expect(vmas(vm)).toEqual(['0+4 rw-p', '4+2 r--p', '6+2 rw-p']);
    expect([letters(0, 8), read(4), read(5)]).toEqual(['.a......', 0, 0]);
    map(4, 2);
    expect(vmas(vm)).toEqual(['0+8 rw-p']);
    expect([letters(0, 8), rss(vm)]).toEqual(['.a......', 1]);
    map(16, 4);
    map(8, 8);
    expect(vmas(vm)).toEqual(['0+20 rw-p']);
    expect(host.check()).toEqual([]);
  });

  it('A2 Two neighbours of different anon_vma do not become one through the mapping between them', async () => {
    const { vm, map, write } = await vmm(build);
    map(0, 1);
    map(2, 1);
    write(0, 1);
    write(2, 1);
    map(1, 1);
    expect(vmas(vm)).toEqual(['0+2 rw-p', '2+1 rw-p']);
  });

  it('A3 Parts of a file merge where they go on in it', async () => {
    const { vm, map } = await vmm(build);
    const fd = vm.vmm.memfdCreate(bytes(8));
    map(0, 2, { fd, shared: true });
    map(2, 2, { fd, shared: true, offset: bytes(2) });
    map(4, 2, { fd, shared: true, offset: bytes(5) });
    expect(vmas(vm)).toEqual(['0+4 rw-s', '4+2 rw-s']);
    expect(vm.observe.vmas().map(({ file }) => file?.offset)).toEqual([0, 5 * 4096]);
  });

  it('A4 max_map_count', async () => {
    const { map, vm } = await vmm(build, { maxMapCount: 32 });
    // 30 are the VMM's own.
    expect([0, 2, 4, 6].map((page) => map(page, 1))).toEqual(['OK', 'OK', 'OK', 'ENOMEM']);
    expect(vm.observe.vmas()).toHaveLength(3);
  });

  it('R2 What the first access brings, by kind', async () => {
    const { vm, map, write, read, letters } = await vmm(build);
    const fd = vm.vmm.memfdCreate(bytes(4));
    map(0, 4);
    map(4, 4, { shared: true });
    map(8, 4, { fd, shared: true });
    map(64, 4, { fd, shared: false });
    for (const page of [0, 4, 8]) read(page);
    for (const page of [1, 5, 9]) write(page, 1);
    expect([letters(0, 12), rss(vm), vm.vmm.fstat(fd).blocks]).toEqual(['za..ff..ff..', 5, 16]);
    // Private: a write copies, and leaves the file's page; a read maps what is cached around (R2.3).
    write(66, 7);
    expect([letters(64, 4), letters(8, 4), vm.observe.filePages(fd, 0, 4)]).toEqual(['cca.', 'ffc.', 'ccc.']);
    expect([read(67), read(64), letters(64, 4), read(10)]).toEqual([0, 0, 'ffaf', 0]);
  });

  it('R2.4 One file in two places, at any distance, is one memory', async () => {
    const { vm, host, map, write, read, letters } = await vmm(build);
    const fd = vm.vmm.memfdCreate(bytes(1024));
    map(0, 1024, { fd, shared: true });
    map(2000, 600, { fd, shared: true, offset: bytes(300) });
    write(2005, 42);
    expect([read(305), letters(305, 1), letters(2005, 1)]).toEqual([42, 'f', 'f']);
    vm.vmm.madvise(at(300), bytes(10), 'remove');
    expect([letters(2005, 1), letters(305, 1), read(2005)]).toEqual(['.', '.', 0]);
    expect(vm.observe.vmas()[0]?.pss).toBe(0);
    expect(host.check()).toEqual([]);
  });

  it('Reclaim takes a page of a file from all places that map it, unless one is locked', async () => {
    const { vm, host, map, write, read, letters } = await vmm(build, { memory: '2M', swap: '8M' });
    const fd = vm.vmm.memfdCreate(bytes(400));
    map(0, 400, { fd, shared: true });
    map(1001, 400, { fd, shared: true });
    for (let page = 0; page < 400; page++) {
      write(page, page & 255);
      read(1001 + page);
    }
    vm.vmm.mlock(at(1002), bytes(2));
    map(4096, 450);
    for (let page = 0; page < 450; page++) write(4096 + page, 1);
    expect([letters(0, 4), letters(1001, 4), host.check()]).toEqual(['sffs', 'sffs', []]);
    expect([read(0), read(1001 + 255)]).toEqual([0, 255]);
  });

  it('A5 The last mapping of a closed file takes its pages along, munmap by munmap', async () => {
    const { vm, host, map, write } = await vmm(build);
    const fd = vm.vmm.memfdCreate(bytes(8));
    map(0, 8, { fd, shared: true });
    for (let page = 0; page < 8; page++) write(page, 1);
    vm.vmm.close(fd);
    vm.vmm.munmap(at(2), bytes(3));
    expect([host.frames().used, host.check()]).toEqual([8, []]);
    vm.vmm.munmap(at(0), bytes(8));
    expect([host.frames().used, host.check()]).toEqual([0, []]);
  });

  describe('mremap', () => {
    it.each<[string, bigint, bigint, bigint, string]>([
      ['from inside a page', 1n, PAGE, at(8), 'EINVAL'],
      ['no length', 0n, 0n, at(8), 'EINVAL'],
      ['to inside a page', 0n, PAGE, at(8) + 1n, 'EINVAL'],
      ['to beyond the end', 0n, PAGE, 2n ** 47n - 4096n, 'EINVAL'],
      ['onto itself', 0n, 2n * PAGE, at(1), 'EINVAL'],
      ['nothing there', 4n * PAGE, PAGE, at(8), 'EFAULT'],
    ])('A6 %s', async (_what, from, length, to, errno) => {
      const { vm, map, name } = await vmm(build);
      map(0, 4);
      expect(name(vm.vmm.mremap(BASE + from, length, to))).toBe(errno);
    });

    it('R5.4 Pages of every kind move, across blocks, and the target is replaced', async () => {
      const { vm, host, map, write, read, letters, advise } = await vmm(build);
      map(0, 8);
      for (const page of [0, 1, 2, 3]) write(page, 10 + page);
      read(5);
      advise(1, 1, 'pageout');
      advise(2, 1, 'free');
      map(510, 8);
      write(512, 99);
      expect(vm.vmm.mremap(at(0), bytes(8), at(508))).toBe(0);
      expect([letters(508, 8), letters(0, 8), letters(516, 2)]).toEqual(['asla.z..', 'xxxxxxxx', '..']);
      expect([508, 509, 510, 511, 512, 513].map(read)).toEqual([10, 11, 12, 13, 0, 0]);
      expect([rss(vm), read(0), host.check()]).toEqual([4, 'SEGV_MAPERR', []]);
    });

    it('A7 A file goes on at the new place where it was; locked memory stays so', async () => {
      const { vm, host, map, write, read, letters } = await vmm(build);
      const fd = vm.vmm.memfdCreate(bytes(4));
      map(0, 4, { fd, shared: true });
      write(2, 5);
      vm.vmm.mlock(at(2), PAGE);
      expect(vm.vmm.mremap(at(2), PAGE, at(100))).toBe(0);
      expect([vmas(vm), read(100), letters(100, 1)]).toEqual([
        ['0+2 rw-s', '3+1 rw-s', '100+1 rw-s'],
        5,
        'f',
      ]);
      const moved = vm.observe.vmas().at(-1);
      expect([moved?.file?.offset, moved?.locked, vm.observe.status().vmLck]).toEqual([8192, 4096, 4096]);
      expect(host.check()).toEqual([]);
    });

    it('A8 Several mappings go in one call, holes between them stay', async () => {
      const { vm, map, write, read } = await vmm(build);
      map(0, 2);
      map(3, 2, { prot: 1 });
      map(11, 8);
      write(1, 4);
      write(13, 6);
      expect(vm.vmm.mremap(at(0), bytes(6), at(10))).toBe(0);
      expect(vmas(vm)).toEqual(['10+2 rw-p', '12+1 rw-p', '13+2 r--p', '15+4 rw-p']);
      expect([read(11), read(13)]).toEqual([4, 0]);
    });

    it('A9 Memory that was moved with pages joins no neighbour, untouched memory does', async () => {
      const { vm, map, write } = await vmm(build);
      map(0, 4);
      write(0, 1);
      map(20, 1);
      map(22, 1);
      vm.vmm.mremap(at(0), PAGE, at(21));
      expect(vmas(vm).slice(1)).toEqual(['20+1 rw-p', '21+1 rw-p', '22+1 rw-p']);
      map(600, 1);
      map(700, 1);
      vm.vmm.mremap(at(700), PAGE, at(601));
      expect(vmas(vm).at(-1)).toBe('600+2 rw-p');
    });

    it('A10 A huge page stays one if it moves as a block, else it becomes small ones, all its pages', async () => {
      const { vm, host, map, write, letters, advise, read } = await vmm(build);
      map(0, 1024);
      advise(0, 1024, 'hugepage');
      write(5, 5);
      write(517, 6);
      expect(letters(0, 1024)).toBe('H'.repeat(1024));
      vm.vmm.mremap(at(0), bytes(512), at(2048));
      vm.vmm.mremap(at(512), bytes(512), at(2999));
      expect([letters(2048, 512), letters(2999, 512)]).toEqual(['H'.repeat(512), 'a'.repeat(512)]);
      expect([read(2053), read(3004), rss(vm), host.check()]).toEqual([5, 6, 1024, []]);
    });
  });

  describe('protection', () => {
    it('R4 PROT_EXEC alone: the host reads; perm and VmFlags tell', async () => {
      const { vm, map, write, read, name } = await vmm(build);
      map(0, 2);
      write(0, 3);
      vm.vmm.mprotect(at(0), PAGE, 4);
      expect([read(0), vmas(vm)[0], vm.observe.vmas()[0]?.flags.slice(0, 2)]).toEqual([
        3,
        '0+1 --xp',
        ['ex', 'mr'],
      ]);
      expect(vm.vmm.store(at(0), 1)).toMatchObject({ code: 'SEGV_ACCERR' });
      expect(name(vm.vmm.mprotect(at(0), PAGE, 16))).toBe('EINVAL');
      expect(name(vm.vmm.mlock(at(0), PAGE))).toBe('OK');
    });

    it('A11 A guest_memfd is never executable', async () => {
      const { vm, map, name } = await vmm(build);
      const fd = vm.vmm.files.create('gmem', bytes(4), 3);
      expect([map(0, 4, { fd, shared: true, prot: 7 }), map(0, 4, { fd, shared: true })]).toEqual([
        'EPERM',
        'OK',
      ]);
      expect(name(vm.vmm.mprotect(at(0), PAGE, 5))).toBe('EACCES');
      expect(vm.observe.vmas()[0]?.flags).toEqual(['rd', 'wr', 'sh', 'mr', 'mw', 'ms']);
    });
  });

  describe('advice', () => {
    it.each<[Advice, string, string, string]>([
      // anonymous, shared file, private file
      ['dontneed', 'OK', 'OK', 'OK'],
      ['remove', 'EINVAL', 'OK', 'EACCES'],
      ['free', 'OK', 'EINVAL', 'EINVAL'],
      ['cold', 'OK', 'OK', 'OK'],
      ['willneed', 'OK', 'OK', 'OK'],
      ['populate_read', 'OK', 'OK', 'OK'],
      ['populate_write', 'OK', 'OK', 'OK'],
      ['wipeonfork', 'OK', 'EINVAL', 'EINVAL'],
      ['mergeable', 'OK', 'OK', 'OK'],
      ['collapse', 'EINVAL', 'EINVAL', 'EINVAL'],
      [5, 'EINVAL', 'EINVAL', 'EINVAL'],
      [26, 'EINVAL', 'EINVAL', 'EINVAL'],
      [-1, 'EINVAL', 'EINVAL', 'EINVAL'],
    ])('R3 %s', async (advice, ...wanted) => {
      const { vm, map, advise } = await vmm(build);
      const fd = vm.vmm.memfdCreate(bytes(4));
      map(0, 4);
      map(8, 4, { fd, shared: true });
      map(16, 4, { fd });
      expect([0, 8, 16].map((page) => advise(page, 4, advice))).toEqual(wanted);
    });

    it('R3 POPULATE_* stops at a hole and at what it may not do; other advice goes on', async () => {
      const { vm, map, advise, letters } = await vmm(build);
      map(0, 2);
      map(3, 2);
      map(5, 1, { prot: 1 });
      map(6, 1, { prot: 2 });
      expect([advise(0, 5, 'populate_write'), letters(0, 5)]).toEqual(['ENOMEM', 'aax..']);
      expect([advise(3, 3, 'populate_write'), advise(6, 1, 'populate_read')]).toEqual(['EINVAL', 'EINVAL']);
      expect([advise(0, 6, 'dontneed'), letters(0, 6)]).toEqual(['ENOMEM', '..x...']);
      const fd = vm.vmm.memfdCreate(PAGE);
      map(8, 2, { fd, shared: true });
      expect([advise(8, 2, 'populate_read'), letters(8, 2)]).toEqual(['EFAULT', 'f.']);
    });

    it('R6.2 A locked part: EINVAL after what lies before it; DONTNEED_LOCKED goes on', async () => {
      const { vm, map, advise, letters, write } = await vmm(build);
      map(0, 6);
      for (let page = 0; page < 6; page++) write(page, 1);
      vm.vmm.mlock(at(2), bytes(2));
      expect([advise(0, 6, 'dontneed'), letters(0, 6)]).toEqual(['EINVAL', '..aaaa']);
      for (const advice of ['free', 'pageout', 'cold'] as const) expect(advise(3, 1, advice)).toBe('EINVAL');
      expect([advise(1, 3, 'dontneed_locked'), letters(0, 6)]).toEqual(['OK', '....aa']);
    });

    it('R6.1 MLOCK_ONFAULT marks only; mlock over it populates; munlock ends both', async () => {
      const { vm, map, letters, read, write } = await vmm(build);
      const flags = () => vm.observe.vmas()[0]?.flags.filter((flag) => 'lo lf'.includes(flag));
      map(0, 3);
      read(0);
      vm.vmm.mlockOnfault(at(0), bytes(3));
      write(1, 1);
      expect([letters(0, 3), flags(), vm.observe.smapsRollup().locked]).toEqual(['za.', ['lo', 'lf'], 4096]);
      vm.vmm.mlock(at(0), bytes(3));
      expect([letters(0, 3), flags(), vm.observe.smapsRollup().locked]).toEqual(['aaa', ['lo'], 3 * 4096]);
      vm.vmm.mlockOnfault(at(0), bytes(3));
      vm.vmm.munlock(at(0), bytes(3));
      expect(flags()).toEqual([]);
    });

    it('A12 Advice that is a flag: what it clears and sets', async () => {
      const { vm, map, advise } = await vmm(build);
      map(0, 2, { prot: 1 });
      const flags = () => vm.observe.vmas()[0]?.flags.slice(4);
      const steps: [Advice, string[]][] = [
        ['random', ['rr']],
        ['sequential', ['sr']],
        ['normal', []],
        ['dontfork', ['dc']],
        ['dofork', []],
        ['wipeonfork', ['wf']],
        ['keeponfork', []],
        ['dontdump', ['dd']],
        ['dodump', []],
        ['hugepage', ['hg']],
        ['nohugepage', ['nh']],
      ];
      for (const [advice, wanted] of steps) {
        advise(0, 2, advice);
        expect([advice, flags()]).toEqual([advice, wanted]);
      }
    });
  });

  describe('huge pages', () => {
    it('R13.1 A block that holds a small page gets small ones, an empty one a huge one', async () => {
      const { map, advise, letters, write, read, vm } = await vmm(build);
      map(0, 1536);
      write(3, 1);
      advise(0, 1536, 'hugepage');
      write(5, 2);
      read(900);
      expect([letters(0, 6), letters(512, 512), rss(vm)]).toEqual(['...a.a', 'Z'.repeat(512), 2]);
      write(900, 3);
      expect([letters(512, 512), rss(vm)]).toEqual(['H'.repeat(512), 514]);
      // munmap takes the page table along.
      vm.vmm.munmap(at(0), bytes(512));
      map(0, 512);
      advise(0, 512, 'hugepage');
      write(5, 2);
      expect(letters(0, 512)).toBe('H'.repeat(512));
    });

    it('R13.4 COLLAPSE makes a block huge, from small, swapped, shared and zero pages', async () => {
      const { host, map, advise, letters, write, read, vm } = await vmm(build);
      map(0, 1024);
      for (const page of [1, 2, 3]) write(page, page);
      read(4);
      advise(2, 1, 'pageout');
      advise(3, 1, 'free');
      expect(letters(0, 6)).toBe('.aslz.');
      expect(advise(0, 512, 'collapse')).toBe('OK');
      expect([letters(0, 512), rss(vm)]).toEqual(['H'.repeat(512), 512]);
      expect([0, 1, 2, 3, 4].map(read)).toEqual([0, 1, 2, 3, 0]);
      expect(host.check()).toEqual([]);
      // Huge already, or less than a block; a block without a page table.
      expect([advise(0, 512, 'collapse'), advise(0, 513, 'collapse')]).toEqual(['OK', 'OK']);
      expect([advise(1, 500, 'collapse'), advise(0, 1024, 'collapse')]).toEqual(['EINVAL', 'EINVAL']);
      advise(0, 1024, 'nohugepage');
      expect(advise(0, 512, 'collapse')).toBe('EINVAL');
    });

    it('9.5 COLD of part of a huge page splits it, and its pages of zeros become the zero page', async () => {
      const { map, advise, letters, write } = await vmm(build);
      map(0, 512);
      advise(0, 512, 'hugepage');
      write(7, 1);
      advise(0, 512, 'cold');
      expect(letters(0, 512)).toBe('H'.repeat(512));
      advise(0, 8, 'cold');
      expect(letters(0, 10)).toBe('zzzzzzzazz');
    });
  });

  it('A checkpoint keeps mappings, files and descriptors', async () => {
    const { vm, host, map, write, read } = await vmm(build);
    const fd = vm.vmm.memfdCreate(bytes(4));
    map(0, 4, { fd, shared: true });
    write(1, 9);
    const digest = vm.observe.digest();
    const checkpoint = host.checkpoint();
    vm.vmm.close(fd);
    vm.vmm.munmap(at(0), bytes(4));
    expect(vm.observe.digest()).not.toBe(digest);
    host.restore(checkpoint);
    expect([vm.observe.digest(), read(1), vm.vmm.fstat(fd).size, host.check()]).toEqual([
      digest,
      9,
      16384,
      [],
    ]);
  });
});
