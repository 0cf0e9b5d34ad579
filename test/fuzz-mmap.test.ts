// Random mappings of everything the VMM can map, at any distance, and random calls on them and on their files, against the
// plainest model of contents: what each page shows, and whether it is mapped. After each call all invariants hold.
// A failure prints the seed.
import { describe, expect, it } from 'vitest';
import { Errno } from '../assembly/abi/errno.ts';
import { createHost, type Vm } from '../src/index.ts';
import type { Advice } from '../src/vmm/process.ts';
import { Random } from './support/random.ts';

const PAGE = 4096n;
const BASE = 1n << 44n;
/** Where mappings lie: at the ends of two blocks of 2 MiB, so that ranges cross from one to the next. */
const PLACES = [0, 490, 1003] as const;
const REACH = 40;

interface File {
  readonly fd: number;
  open: boolean;
  /** In pages. */
  size: number;
  readonly bytes: Map<number, number>;
}

interface Mapped {
  readonly file: File | undefined;
  readonly index: number;
  readonly shared: boolean;
  readonly prot: number;
  /** What a private mapping has of its own. */
  readonly own: number | undefined;
}

/** Advice that changes no content. */
const HARMLESS: readonly Advice[] = [
  'cold',
  'pageout',
  'willneed',
  'populate_read',
  'mergeable',
  'unmergeable',
  'hugepage',
  'nohugepage',
  'dontdump',
];

class Machine {
  readonly #vm: Vm;
  readonly #random: Random;
  readonly #pages = new Map<number, Mapped>();
  readonly #files: File[] = [];

  constructor(vm: Vm, random: Random) {
    this.#vm = vm;
    this.#random = random;
  }

  step(): string {
    // Now and then a whole block.
    const block = this.#random.chance(12);
    const at = block ? 512 * this.#random.below(3) : this.#place();
    const n = block ? 512 : this.#random.below(12) + 1;
    switch (this.#random.below(22)) {
      case 0:
        return this.#map(at, n);
      case 1:
        return this.#unmap(at, n);
      case 2:
        return this.#move(at, n);
      case 3:
        return this.#protect(at, n);
      case 4:
        return this.#drop(at);
      case 5:
      case 17:
      case 18:
      case 19:
        return this.#random.chance(5) ? this.#advise(0, 1536) : this.#advise(at, n);
      case 6:
        return this.#file();
      case 7:
        this.#vm.host.ksm.scan();
        return 'scan';
      case 8:
        return this.#lock(at, n);
      case 9:
        return this.#populate(at, n);
      case 10:
        // Each answer is possible; contents stay.
        this.#vm.vmm.madvise(BASE, 1536n * PAGE, 'collapse');
        return 'collapse';
      case 11:
      case 12:
      case 13:
        return this.#write(at);
      default:
        return this.#read(at);
    }
  }

  readAll(): void {
    for (const page of this.#pages.keys()) this.#read(page);
  }

  /** Huge pages may come at once, until calls have cut their VMA to pieces. */
  begin(): void {
    this.#ok(this.#vm.vmm.mmap({ addr: BASE, length: 1536n * PAGE, prot: 3, shared: false }));
    this.#ok(this.#vm.vmm.madvise(BASE, 1536n * PAGE, 'hugepage'));
    const page = { file: undefined, index: 0, shared: false, prot: 3, own: undefined };
    for (let at = 0; at < 1536; at++) this.#pages.set(at, page);
  }

  /** All files are closed and all is unmapped. */
  end(): void {
    for (const { fd, open } of this.#files) if (open) this.#vm.vmm.close(fd);
    this.#ok(this.#vm.vmm.munmap(BASE, 4096n * PAGE));
  }

  #place(): number {
    return this.#random.pick(PLACES) + this.#random.below(REACH);
  }

  #ok(errno: Errno): void {
    expect(Errno[errno]).toBe('OK');
  }

  #map(at: number, n: number): string {
    const open = this.#files.filter((f) => f.open);
    const file = this.#random.chance(2) ? open[this.#random.below(open.length + 1)] : undefined;
    const shared = this.#random.chance(2);
    const index = this.#random.below(20);
    const prot = 3;
    const offset = file ? { fd: file.fd, offset: BigInt(index) * PAGE } : {};
    this.#ok(
      this.#vm.vmm.mmap({
        addr: BASE + BigInt(at) * PAGE,
        length: BigInt(n) * PAGE,
        prot,
        shared,
        ...offset,
      }),
    );
    // Shared anonymous memory is a file that nobody else has.
    const anonymous: File = { fd: -1, open: false, size: n, bytes: new Map() };
    const behind = file ?? (shared ? anonymous : undefined);
    for (let i = 0; i < n; i++) {
      this.#pages.set(at + i, { file: behind, index: (file ? index : 0) + i, shared, prot, own: undefined });
    }
    return `mmap ${at} ${n} ${file ? `fd ${file.fd} page ${index}` : 'anonymous'} ${shared ? 'shared' : 'private'}`;
  }

  #unmap(at: number, n: number): string {
    this.#ok(this.#vm.vmm.munmap(BASE + BigInt(at) * PAGE, BigInt(n) * PAGE));
    for (let i = 0; i < n; i++) this.#pages.delete(at + i);
    return `munmap ${at} ${n}`;
  }

  #move(at: number, n: number): string {
    const to = this.#random.chance(3) ? at + 512 : this.#place();
    const errno = this.#vm.vmm.mremap(BASE + BigInt(at) * PAGE, BigInt(n) * PAGE, BASE + BigInt(to) * PAGE);
    const overlaps = at < to + n && to < at + n;
    if (overlaps || !this.#pages.has(at)) {
      expect(Errno[errno]).toBe(overlaps ? 'EINVAL' : 'EFAULT');
      return `mremap ${at} ${n} ${to}: refused`;
    }
    this.#ok(errno);
    // Only what is mapped moves, and only its places are cleared.
    for (let i = 0; i < n; i++) {
      const page = this.#pages.get(at + i);
      if (!page) continue;
      this.#pages.set(to + i, page);
      this.#pages.delete(at + i);
    }
    return `mremap ${at} ${n} ${to}`;
  }

  #protect(at: number, n: number): string {
    const prot = this.#random.pick([0, 1, 3, 3, 3]);
    for (let i = at; i < at + n; i++) {
      const page = this.#pages.get(i);
      const errno = this.#vm.vmm.mprotect(BASE + BigInt(i) * PAGE, PAGE, prot);
      expect(Errno[errno]).toBe(page ? 'OK' : 'ENOMEM');
      if (page) this.#pages.set(i, { ...page, prot });
    }
    return `mprotect ${at} ${n} ${prot}`;
  }

  /** Advice that takes pages away. */
  #drop(at: number): string {
    const remove = this.#random.chance(2);
    const errno = this.#vm.vmm.madvise(BASE + BigInt(at) * PAGE, PAGE, remove ? 'remove' : 'dontneed');
    const page = this.#pages.get(at);
    if (errno === Errno.OK && page) {
      if (!remove) this.#pages.set(at, { ...page, own: undefined });
      else page.file?.bytes.delete(page.index);
    }
    return `${remove ? 'remove' : 'dontneed'} ${at}`;
  }

  #populate(at: number, n: number): string {
    for (let i = at; i < at + n; i++) {
      const page = this.#pages.get(i);
      const errno = this.#vm.vmm.madvise(BASE + BigInt(i) * PAGE, PAGE, 'populate_write');
      const signal = this.#signal(page, 2);
      const wanted = !page ? 'ENOMEM' : signal === 'SIGSEGV' ? 'EINVAL' : signal ? 'EFAULT' : 'OK';
      expect(Errno[errno]).toBe(wanted);
      if (page && wanted === 'OK' && !page.shared) this.#pages.set(i, { ...page, own: this.#value(page) });
    }
    return `populate_write ${at} ${n}`;
  }

  #advise(at: number, n: number): string {
    const advice = this.#random.pick(HARMLESS);
    this.#vm.vmm.madvise(BASE + BigInt(at) * PAGE, BigInt(n) * PAGE, advice);
    return `${advice} ${at} ${n}`;
  }

  #lock(at: number, n: number): string {
    const call = this.#random.pick(['mlock', 'mlockOnfault', 'munlock', 'munlock'] as const);
    for (let i = at; i < at + n; i++) {
      const page = this.#pages.get(i);
      // It would copy a private file's pages, now or when they become writable.
      if (call === 'mlock' && page?.file && !page.shared) continue;
      this.#vm.vmm[call](BASE + BigInt(i) * PAGE, PAGE);
    }
    return `${call} ${at} ${n}`;
  }

  #file(): string {
    const { vmm } = this.#vm;
    const open = this.#files.filter((f) => f.open);
    const file = open[this.#random.below(open.length)];
    const index = this.#random.below(30);
    if (!file || (open.length < 3 && this.#random.chance(4))) {
      const fd = vmm.memfdCreate(24n * PAGE);
      this.#files.push({ fd, open: true, size: 24, bytes: new Map() });
      return `memfd ${fd}`;
    }
    switch (this.#random.below(5)) {
      case 0:
        this.#ok(vmm.fallocate(file.fd, 3, BigInt(index) * PAGE, 3n * PAGE));
        for (let i = index; i < index + 3; i++) file.bytes.delete(i);
        return `punch ${file.fd} ${index}`;
      case 1:
        this.#ok(vmm.fallocate(file.fd, 1, BigInt(index) * PAGE, 3n * PAGE));
        return `falloc ${file.fd} ${index}`;
      case 2:
        this.#truncate(file, index);
        return `ftruncate ${file.fd} ${index}`;
      case 3: {
        const byte = this.#random.below(256);
        expect(vmm.pwrite(file.fd, BigInt(index) * PAGE, Uint8Array.of(byte))).toEqual({
          errno: 0,
          bytes: 1,
        });
        file.bytes.set(index, byte);
        // The size is now that of one byte in the page, which is as good as the page.
        file.size = Math.max(file.size, index + 1);
        return `pwrite ${file.fd} ${index}`;
      }
      default:
        if (this.#random.chance(3)) {
          file.open = false;
          this.#ok(vmm.close(file.fd));
          return `close ${file.fd}`;
        }
        expect(vmm.pread(file.fd, BigInt(index) * PAGE, 1).bytes).toEqual(
          index < file.size ? Uint8Array.of(file.bytes.get(index) ?? 0) : new Uint8Array(),
        );
        return `pread ${file.fd} ${index}`;
    }
  }

  #truncate(file: File, size: number): void {
    this.#ok(this.#vm.vmm.ftruncate(file.fd, BigInt(size) * PAGE));
    for (const i of [...file.bytes.keys()]) if (i >= size) file.bytes.delete(i);
    if (size < file.size) {
      for (const [at, page] of this.#pages) {
        if (page.file === file && page.index >= size) this.#pages.set(at, { ...page, own: undefined });
      }
    }
    file.size = size;
  }

  #signal(page: Mapped | undefined, needed: number): string | undefined {
    if (!page || (page.prot & needed) === 0) return 'SIGSEGV';
    return page.file && page.index >= page.file.size ? 'SIGBUS' : undefined;
  }

  #value(page: Mapped | undefined): number {
    return page?.own ?? page?.file?.bytes.get(page.index) ?? 0;
  }

  #read(at: number): string {
    const page = this.#pages.get(at);
    const access = this.#vm.vmm.load(BASE + BigInt(at) * PAGE);
    const signal = this.#signal(page, 3);
    expect(access.ok ? access.value : access.signal).toBe(signal ?? this.#value(page));
    return `read ${at}`;
  }

  #write(at: number): string {
    const page = this.#pages.get(at);
    const byte = this.#random.below(4);
    const access = this.#vm.vmm.store(BASE + BigInt(at) * PAGE, byte);
    const signal = this.#signal(page, 2);
    expect(access.ok ? undefined : access.signal).toBe(signal);
    if (page && !signal) {
      if (page.file && page.shared) page.file.bytes.set(page.index, byte);
      else this.#pages.set(at, { ...page, own: byte });
    }
    return `write ${at} ${byte}`;
  }
}

describe.each([
  ['memory enough', { memory: '32M', swap: '4M' }],
  // Two huge pages are all of it.
  ['little memory, much swap', { memory: '4M', swap: '16M' }],
])('fuzz › mappings › %s', (_row, options) => {
  it.each([1, 2, 3, 4, 5, 6])('seed %i', async (seed) => {
    const host = await createHost({ ...options, core: 'debug' });
    const vm = host.createVm({ ram: [] });
    const metadata = host.metadataBytes();
    const machine = new Machine(vm, new Random(seed));
    const done: string[] = [];
    machine.begin();
    for (let i = 0; i < 1000; i++) {
      try {
        done.push(machine.step());
        expect(host.check()).toEqual([]);
      } catch (error) {
        throw new Error(`seed ${seed}, after: ${done.slice(-12).join(' · ')}`, { cause: error });
      }
    }
    machine.readAll();
    machine.end();
    // Scans of KSM let go of what they remember of pages that are no more.
    host.ksm.scan();
    expect(host.check()).toEqual([]);
    expect(host.frames()).toMatchObject({ used: 0 });
    expect(host.metadataBytes()).toBeGreaterThanOrEqual(metadata);
  });
});
