// The files that a VMM has open: memfds and guest_memfds. Rules F of docs/linux-rules.md, R2.3, R3, R7 and R11 as far as they
// are about files.
import { beforeEach, describe, expect, it } from 'vitest';
import { Errno } from '../assembly/abi/errno.ts';
import { createHost, type Host, type Vm } from '../src/index.ts';
import { BUILDS } from './support/machines.ts';

const BASE = 1n << 44n;
const PAGE = 4096n;
const at = (page: number): bigint => BASE + BigInt(page) * PAGE;
const bytes = (pages: number): bigint => BigInt(pages) * PAGE;
const name = (errno: Errno): string => Errno[errno] as string;

describe.each(BUILDS)('files › %s', (_row, build) => {
  let host: Host;
  let vm: Vm;
  /** A memfd of 8 pages, mapped shared at page 0. */
  let fd: number;

  beforeEach(async () => {
    host = await createHost({ memory: '8M', swap: '1M', ...build });
    vm = host.createVm({ ram: [] });
    fd = vm.vmm.memfdCreate(bytes(8));
    vm.vmm.mmap({ addr: at(0), length: bytes(8), prot: 3, shared: true, fd });
  });

  const map = (page: number, file: number, pages = 8, shared = true): string =>
    name(vm.vmm.mmap({ addr: at(page), length: bytes(pages), prot: 3, shared, fd: file }));
  const fallocate = (mode: number, offset: bigint, length: bigint, file = fd): string =>
    name(vm.vmm.fallocate(file, mode, offset, length));
  const letters = (page = 0, pages = 8): string => vm.observe.pageLetters(at(page), pages);
  const cached = (file = fd): string => vm.observe.filePages(file, 0, 8);
  const blocks = (): number => vm.vmm.fstat(fd).blocks / 8;
  const read = (address: bigint): number | string => {
    const access = vm.vmm.load(address);
    return access.ok ? access.value : access.signal;
  };

  it('F1 Descriptors: the lowest that is free, 1021 at most, EBADF for one that is not open', () => {
    expect(fd).toBe(3);
    const more = Array.from({ length: 1020 }, () => vm.vmm.memfdCreate(4096));
    expect([more[0], more.at(-1), vm.vmm.memfdCreate(4096)]).toEqual([4, 1023, -Errno.EMFILE]);
    expect([name(vm.vmm.close(10)), vm.vmm.memfdCreate(4096)]).toEqual(['OK', 10]);
    expect(host.check()).toEqual([]);
    const { vmm } = vm;
    const calls = [
      vmm.close(2000),
      vmm.fallocate(2000, 1, 0n, PAGE),
      vmm.ftruncate(2000, 0n),
      vmm.pread(2000, 0n, 1).errno,
      vmm.pwrite(2000, 0n, Uint8Array.of(1)).errno,
      vmm.lseek(2000, 0n, 'set').errno,
      vmm.fstat(2000).errno,
    ];
    expect(new Set(calls.map(name))).toEqual(new Set(['EBADF']));
  });

  it('A5 A closed file is gone with its pages, unless a mapping has it', () => {
    const other = vm.vmm.memfdCreate(bytes(2));
    vm.vmm.pwrite(other, 0n, new Uint8Array(8192).fill(1));
    vm.vmm.pwrite(fd, 0n, Uint8Array.of(7));
    expect(host.frames().used).toBe(3);
    vm.vmm.close(other);
    vm.vmm.close(fd);
    expect([host.frames().used, read(at(0)), host.check()]).toEqual([1, 7, []]);
    vm.vmm.munmap(at(0), bytes(8));
    expect([host.frames().used, host.check()]).toEqual([0, []]);
  });

  it('Making and closing files for ever takes no metadata away', () => {
    const before = host.metadataBytes();
    for (let i = 0; i < 20000; i++) vm.vmm.close(vm.vmm.memfdCreate(2n ** 62n));
    expect(host.metadataBytes()).toBe(before);
  });

  it('R3.1 PUNCH_HOLE is exact to the byte; private copies survive', () => {
    map(16, fd, 8, false);
    for (let page = 0; page < 4; page++) vm.vmm.fillPage(at(page), 0xff);
    vm.vmm.store(at(17), 0xee);
    read(at(18));
    expect([letters(), letters(16)]).toEqual(['ffff....', 'fafc....'.replace('fafc', 'faff')]);
    expect(fallocate(3, 100n, 2n * PAGE + 100n)).toBe('OK');
    expect([letters(), cached(), blocks(), letters(16)]).toEqual(['f.ff....', 'c.cc....', 3, 'faff....']);
    expect([99n, 100n, 4095n, 4096n, 8192n, 8391n, 8392n].map((o) => read(BASE + o))).toEqual([
      255, 0, 0, 0, 0, 0, 255,
    ]);
    expect([read(at(17)), fallocate(3, 5n, 10n), read(BASE + 5n), read(BASE + 15n)]).toEqual([
      0xee,
      'OK',
      0,
      255,
    ]);
    expect(host.check()).toEqual([]);
  });

  it('R2.3 Allocated pages are not seen until they are used; a second fallocate makes them ordinary', () => {
    expect(fallocate(1, PAGE, 3n * PAGE)).toBe('OK');
    expect([letters(), cached(), blocks()]).toEqual(['........', '........', 3]);
    expect(fallocate(1, 2n * PAGE, PAGE)).toBe('OK');
    expect([letters(), blocks()]).toEqual(['..c.....', 3]);
    // A read maps what is cached around, and uses its own page alone.
    expect([read(at(1)), letters()]).toEqual([0, '.ff.....']);
    expect([vm.vmm.pread(fd, 3n * PAGE, 1).bytes, cached()]).toEqual([Uint8Array.of(0), '.cc.....']);
    vm.vmm.pwrite(fd, 3n * PAGE + 9n, Uint8Array.of(1));
    expect([cached(), host.check()]).toEqual(['.ccc....', []]);
  });

  it('F4 fallocate: which check comes first', () => {
    expect(fallocate(1, -1n, PAGE)).toBe('EINVAL');
    expect(fallocate(1, 0n, 0n)).toBe('EINVAL');
    for (const mode of [2, 4, 8, 16, 17, 32, 64, 128]) expect(fallocate(mode, 0n, PAGE)).toBe('EOPNOTSUPP');
    expect(fallocate(1, 2n ** 63n - 4096n, PAGE)).toBe('EFBIG');
    // Not KEEP_SIZE: the file grows.
    expect([fallocate(0, bytes(9), 10n), vm.vmm.fstat(fd).size, blocks()]).toEqual(['OK', 9 * 4096 + 10, 1]);
    expect([fallocate(1, bytes(20), PAGE), vm.vmm.fstat(fd).size, blocks()]).toEqual([
      'OK',
      9 * 4096 + 10,
      2,
    ]);
  });

  it('F5 fallocate that runs out of memory gives back what it added', () => {
    vm.vmm.pwrite(fd, 0n, Uint8Array.of(1));
    expect([fallocate(1, 0n, 2n ** 30n), blocks(), host.check()]).toEqual(['ENOMEM', 1, []]);
    expect(read(at(0))).toBe(1);
  });

  it('R3.4 ftruncate: SIGBUS behind the end, for private copies, too; growing repairs, and reads zeros', () => {
    map(16, fd, 8, false);
    for (let page = 0; page < 4; page++) vm.vmm.fillPage(at(page), 1);
    vm.vmm.store(at(19), 2);
    expect(name(vm.vmm.ftruncate(fd, PAGE + 10n))).toBe('OK');
    expect([letters(), letters(16), blocks(), vm.vmm.fstat(fd).size]).toEqual([
      'ff......',
      'cc......',
      2,
      4106,
    ]);
    expect([read(at(1)), read(at(1) + 10n), read(at(2)), read(at(19))]).toEqual([1, 0, 'SIGBUS', 'SIGBUS']);
    expect(vm.vmm.store(at(2), 1)).toEqual({ ok: false, signal: 'SIGBUS', code: 'BUS_ADRERR' });
    vm.vmm.ftruncate(fd, bytes(8));
    expect([read(at(3)), read(at(19)), name(vm.vmm.ftruncate(fd, -1n))]).toEqual([0, 0, 'EINVAL']);
    expect(host.check()).toEqual([]);
  });

  it('R3.5 write(2) is seen through a shared mapping, not where a copy is; it grows the file', () => {
    map(16, fd, 8, false);
    vm.vmm.store(at(16), 3);
    read(at(17));
    expect(vm.vmm.pwrite(fd, 4090n, new Uint8Array(12).fill(9))).toEqual({ errno: 0, bytes: 12 });
    expect([read(at(0) + 4095n), read(at(1)), read(at(16) + 4095n), read(at(17) + 5n)]).toEqual([9, 9, 0, 9]);
    vm.vmm.pwrite(fd, bytes(10), Uint8Array.of(1));
    expect([vm.vmm.fstat(fd).size, blocks()]).toEqual([10 * 4096 + 1, 3]);
    expect(name(vm.vmm.pwrite(fd, 2n ** 63n - 1n, Uint8Array.of(1)).errno)).toBe('EFBIG');
  });

  it('F6 read(2) ends at the end, costs a hole nothing, and brings a swapped page back', () => {
    vm.vmm.fillPage(at(2), 5);
    vm.vmm.madvise(at(2), PAGE, 'pageout');
    expect([letters(), cached(), blocks()]).toEqual(['..s.....', '..w.....', 1]);
    expect([...vm.vmm.pread(fd, bytes(2) - 1n, 3).bytes]).toEqual([0, 5, 5]);
    expect([letters(), blocks(), vm.vmm.pread(fd, bytes(8) - 2n, 100).bytes.length]).toEqual([
      '..c.....',
      1,
      2,
    ]);
    expect(vm.vmm.pread(fd, bytes(9), 1)).toEqual({ errno: 0, bytes: new Uint8Array() });
    expect(name(vm.vmm.pread(fd, -1n, 1).errno)).toBe('EINVAL');
  });

  it('R7.5 Swapped pages of a file keep their block; punching takes them', () => {
    vm.vmm.fillPage(at(2), 5);
    vm.vmm.fillPage(at(3), 6);
    vm.vmm.madvise(at(0), bytes(8), 'pageout');
    expect([cached(), blocks(), host.swap().used]).toEqual(['..ww....', 2, 2]);
    expect([fallocate(3, bytes(3), PAGE), cached(), host.swap().used, read(at(2))]).toEqual([
      'OK',
      '..w.....',
      1,
      5,
    ]);
  });

  it('F7 lseek finds data and holes by pages; what was only allocated is a hole', () => {
    const seek = (offset: bigint, whence: 'data' | 'hole' | 'set' | 'end') => {
      const { errno, offset: found } = vm.vmm.lseek(fd, offset, whence);
      return errno === Errno.OK ? found : name(errno);
    };
    vm.vmm.store(at(2), 1);
    vm.vmm.store(at(3), 1);
    fallocate(1, bytes(5), PAGE);
    expect([seek(0n, 'data'), seek(bytes(2) + 7n, 'data'), seek(bytes(4), 'data')]).toEqual([
      bytes(2),
      bytes(2) + 7n,
      'ENXIO',
    ]);
    expect([seek(0n, 'hole'), seek(bytes(2), 'hole'), seek(bytes(5) + 1n, 'hole')]).toEqual([
      0n,
      bytes(4),
      bytes(5) + 1n,
    ]);
    expect([seek(bytes(8), 'hole'), seek(-1n, 'data')]).toEqual(['ENXIO', 'ENXIO']);
    expect([seek(0n, 'end'), seek(-1n, 'set'), seek(2n ** 63n, 'set')]).toEqual([
      bytes(8),
      'EINVAL',
      'EINVAL',
    ]);
    vm.vmm.ftruncate(fd, 2n ** 62n);
    vm.vmm.pwrite(fd, 2n ** 45n, Uint8Array.of(1));
    expect([seek(bytes(8), 'data'), seek(2n ** 45n, 'hole')]).toEqual([2n ** 45n, 2n ** 45n + PAGE]);
  });

  it('F8 fstat', () => {
    vm.vmm.store(at(2), 1);
    expect(vm.vmm.fstat(fd)).toEqual({ errno: 0, size: 32768, blocks: 8, mode: 0o100777 });
  });

  it('F9 Shared anonymous memory is a file that goes with its mapping', () => {
    vm.vmm.mmap({ addr: at(100), length: bytes(3), prot: 3, shared: true });
    vm.vmm.store(at(101), 4);
    vm.vmm.madvise(at(100), bytes(3), 'dontneed');
    expect([letters(100, 3), read(at(101))]).toEqual(['.c.', 4]);
    expect(vm.observe.vmas().at(-1)?.file?.name).toBe('/dev/zero (deleted)');
    vm.vmm.madvise(at(100), bytes(3), 'remove');
    expect(letters(100, 3)).toBe('...');
    vm.vmm.store(at(102), 4);
    vm.vmm.munmap(at(100), bytes(3));
    expect([host.frames().used, host.check()]).toEqual([0, []]);
  });

  it('5.5 A file mapped twice: Pss is halved, and PAGEOUT leaves alone what others map', () => {
    map(16, fd);
    vm.vmm.store(at(2), 1);
    read(at(18));
    expect(vm.observe.vmas().map(({ rss, pss, sharedDirty }) => [rss, pss, sharedDirty])).toEqual([
      [4096, 2048, 4096],
      [4096, 2048, 4096],
    ]);
    vm.vmm.madvise(at(2), PAGE, 'pageout');
    expect(letters()).toBe('..f.....');
  });

  describe('guest_memfd', () => {
    const create = (flags: number, pages = 8): number => vm.vmm.files.create('gmem', bytes(pages), flags);

    it.each<[number, string, string]>([
      [0, 'ENODEV', 'ENODEV'],
      [1, 'OK', 'EINVAL'],
      [2, 'ENODEV', 'ENODEV'],
      [3, 'OK', 'EINVAL'],
    ])('R11.4 flags %i: mmap shared %s, private %s', (flags, shared, isPrivate) => {
      const gmem = create(flags);
      expect([map(100, gmem), map(200, gmem, 8, false)]).toEqual([shared, isPrivate]);
    });

    it('R11.4 Without INIT_SHARED every touch is SIGBUS, allocated or not; behind the end always', () => {
      const gmem = create(1);
      map(100, gmem);
      fallocate(1, 0n, PAGE, gmem);
      expect([read(at(100)), vm.vmm.store(at(101), 1).ok]).toEqual(['SIGBUS', false]);
      const other = create(3);
      map(200, other, 10);
      expect([read(at(207)), read(at(208))]).toEqual([0, 'SIGBUS']);
      expect(name(vm.vmm.madvise(at(200), bytes(10), 'populate_write'))).toBe('EFAULT');
      expect(letters(200, 10)).toBe('ffffffff..');
    });

    it('R11.2 File calls', () => {
      const gmem = create(3);
      map(100, gmem);
      vm.vmm.store(at(101), 1);
      const { vmm } = vm;
      expect(vmm.fstat(gmem)).toEqual({ errno: 0, size: 32768, blocks: 0, mode: 0o100600 });
      expect(name(vmm.pread(gmem, 0n, 1).errno)).toBe('ESPIPE');
      expect(name(vmm.pwrite(gmem, 0n, Uint8Array.of(1)).errno)).toBe('ESPIPE');
      expect(name(vmm.lseek(gmem, 0n, 'end').errno)).toBe('ESPIPE');
      expect(name(vmm.ftruncate(gmem, bytes(8)))).toBe('EINVAL');
    });

    it.each<[number, bigint, bigint, string]>([
      [1, -4096n, PAGE, 'EINVAL'],
      [3, 0n, 0n, 'EINVAL'],
      [0, 1n, PAGE, 'EOPNOTSUPP'],
      [2, 1n, PAGE, 'EOPNOTSUPP'],
      [17, 0n, PAGE, 'EOPNOTSUPP'],
      [3, 2n ** 63n - 4096n, PAGE, 'EFBIG'],
      [1, 1n, PAGE, 'EINVAL'],
      [3, 0n, 1n, 'EINVAL'],
      [1, bytes(7), bytes(2), 'EINVAL'],
      [1, bytes(7), PAGE, 'OK'],
      [3, bytes(100), PAGE, 'OK'],
    ])('R11.3 fallocate mode %i, offset %i, length %i: %s', (mode, offset, length, errno) => {
      expect(fallocate(mode, offset, length, create(0))).toBe(errno);
    });

    it('R11.7 The host touches page by page; reads map nothing around; allocated pages are not seen', () => {
      const gmem = create(3);
      map(100, gmem);
      fallocate(1, 0n, bytes(4), gmem);
      fallocate(1, 0n, bytes(4), gmem);
      vm.vmm.store(at(102), 7);
      vm.vmm.madvise(at(100), bytes(8), 'dontneed');
      expect([cached(gmem), letters(100)]).toEqual(['..c.....', '..c.....']);
      expect([read(at(101)), letters(100), read(at(102)), letters(100)]).toEqual([
        0,
        '.fc.....',
        7,
        '.ff.....',
      ]);
    });

    it('R11.8 PUNCH_HOLE and MADV_REMOVE take pages from all mappings', () => {
      const gmem = create(3);
      map(100, gmem);
      map(200, gmem);
      for (const page of [100, 101, 200, 201]) vm.vmm.store(at(page), 1);
      fallocate(3, 0n, PAGE, gmem);
      vm.vmm.madvise(at(201), PAGE, 'remove');
      expect([letters(100), letters(200), cached(gmem)]).toEqual(['........', '........', '........']);
      expect([read(at(100)), host.check()]).toEqual([0, []]);
    });

    it('R11.9 Advice on the mapping', () => {
      const gmem = create(3);
      map(100, gmem);
      vm.vmm.store(at(100), 1);
      for (const advice of ['cold', 'pageout', 'mergeable', 'hugepage'] as const) {
        expect([advice, name(vm.vmm.madvise(at(100), PAGE, advice))]).toEqual([advice, 'OK']);
      }
      host.ksm.scan(3);
      expect(letters(100)).toBe('f.......');
      for (const advice of ['free', 'collapse', 'wipeonfork'] as const) {
        expect([advice, name(vm.vmm.madvise(at(100), PAGE, advice))]).toEqual([advice, 'EINVAL']);
      }
      expect([name(vm.vmm.mlock(at(100), bytes(4))), letters(100)]).toEqual(['OK', 'ffff....']);
    });

    it('R11.1 Its memory is never reclaimed', () => {
      const gmem = create(3, 1024);
      map(100, gmem, 1024);
      for (let page = 0; page < 1024; page++) vm.vmm.store(at(100 + page), 1);
      vm.vmm.mmap({ addr: at(4096), length: bytes(1200), prot: 3, shared: false });
      for (let page = 0; page < 1200; page++) vm.vmm.store(at(4096 + page), 1);
      expect([vm.observe.filePages(gmem, 0, 1024), host.check()]).toEqual(['c'.repeat(1024), []]);
      expect(host.swap().used).toBeGreaterThan(100);
    });

    it('R11.11 A closed file lives as long as its mapping', () => {
      const gmem = create(3);
      map(100, gmem);
      vm.vmm.store(at(100), 1);
      vm.vmm.close(gmem);
      expect([read(at(100)), host.frames().used]).toEqual([1, 1]);
      vm.vmm.munmap(at(100), bytes(8));
      expect([host.frames().used, host.check()]).toEqual([0, []]);
    });
  });
});
