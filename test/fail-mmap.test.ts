// "What if there is no memory just now?" for the VMM's own mappings and files: every allocation of a call fails, one at a
// time and from one on. The call says ENOMEM, or does it with less, all invariants hold, and no data is lost.
// Reference: linux Documentation/fault-injection; test/fail-nth.test.ts does the same for what guests can ask for.
import { describe, expect, it } from 'vitest';
import { Errno } from '../assembly/abi/errno.ts';
import { createHost, type Host, type Vm } from '../src/index.ts';
import { ANY, FOREVER, failing } from './support/fail.ts';

const BASE = 1n << 44n;
const PAGE = 4096n;
const at = (page: number): bigint => BASE + BigInt(page) * PAGE;
const bytes = (pages: number): bigint => BigInt(pages) * PAGE;

/** Small pages of all kinds on both sides of a border of 2 MiB, at 508; a memfd of 16 pages, descriptor 3, at 600; a full block of VMAs. */
function setup(vm: Vm): void {
  const { vmm } = vm;
  vmm.mmap({ addr: at(0), length: bytes(1024), prot: 3, shared: false });
  for (let page = 508; page < 516; page++) vmm.fillPage(at(page), page & 255);
  vmm.madvise(at(509), bytes(2), 'pageout');
  vmm.mmap({ addr: at(600), length: bytes(16), prot: 3, shared: true, fd: vmm.memfdCreate(bytes(16)) });
  vmm.fillPage(at(603), 3);
  vmm.fillPage(at(604), 4);
  vmm.madvise(at(604), PAGE, 'pageout');
  for (let page = 2000; vm.observe.vmas().length < BLOCK; page += 2) {
    vmm.mmap({ addr: at(page), length: PAGE, prot: 1, shared: false });
  }
}
/** VMAs that fill a block (assembly/mm/vma.ts): the next one needs another. */
const BLOCK = 126;

/** The anonymous pages, wherever they are now, and those of the file. */
function data(vm: Vm, first: number): (number | string)[] {
  const pages = Array.from({ length: 8 }, (_, i) => first + i).concat(603, 604);
  return pages.map((page) => {
    const access = vm.vmm.load(at(page));
    return access.ok ? access.value : access.code;
  });
}
const WHOLE = [252, 253, 254, 255, 0, 1, 2, 3, 3, 4];

interface Row {
  readonly name: string;
  readonly run: (vm: Vm) => Errno;
  /** Where the anonymous pages are afterwards. */
  readonly moved?: number;
  readonly failures?: readonly string[];
}

const ROWS: readonly Row[] = [
  {
    name: 'mmap of anonymous memory',
    run: ({ vmm }) => vmm.mmap({ addr: at(5000), length: PAGE, prot: 1, shared: false }),
  },
  {
    name: 'mmap of shared anonymous memory',
    run: ({ vmm }) => vmm.mmap({ addr: at(700), length: bytes(9), prot: 3, shared: true }),
  },
  {
    name: 'mmap of a file in a second place',
    run: ({ vmm }) => vmm.mmap({ addr: at(700), length: bytes(9), prot: 3, shared: false, fd: 3 }),
  },
  {
    name: 'mremap',
    run: ({ vmm }) => vmm.mremap(at(500), bytes(20), at(1_000_500)),
    moved: 1_000_508,
  },
  {
    name: 'memfd_create',
    run: ({ vmm }) => Math.max(0, -vmm.memfdCreate(bytes(9))),
  },
  {
    name: 'fallocate',
    run: ({ vmm }) => vmm.fallocate(3, 1, 0n, bytes(16)),
  },
  {
    name: 'fallocate beyond the directory',
    run: ({ vmm }) => vmm.fallocate(3, 1, 2n ** 41n, bytes(2)),
  },
  {
    name: 'PUNCH_HOLE inside a swapped page',
    run: ({ vmm }) => vmm.fallocate(3, 3, bytes(4) + 9n, 9n),
  },
  {
    name: 'pwrite',
    run: ({ vmm }) => vmm.pwrite(3, bytes(9), Uint8Array.of(1)).errno,
  },
  {
    name: 'pread of a swapped page',
    run: ({ vmm }) => vmm.pread(3, bytes(4), 1).errno,
  },
  {
    name: 'POPULATE_WRITE',
    run: ({ vmm }) => vmm.madvise(at(500), bytes(30), 'populate_write'),
  },
  {
    name: 'COLLAPSE',
    run: ({ vmm }) => vmm.madvise(at(0), bytes(512), 'collapse'),
  },
  {
    name: 'HUGEPAGE',
    run: ({ vmm }) => vmm.madvise(at(100), bytes(20), 'hugepage'),
    failures: ['EAGAIN'],
  },
];

describe('every allocation fails › mappings and files', () => {
  it.each(ROWS)('$name', async ({ run, moved = 508, failures = [] }) => {
    const host: Host = await createHost({ memory: '8M', swap: '1M', core: 'debug' });
    const vm = host.createVm({ ram: [] });
    setup(vm);
    const start = host.checkpoint();
    const { tried, result } = failing(host, { kinds: ANY }, () => run(vm));
    expect([Errno[result], data(vm, moved), host.check()]).toEqual(['OK', WHOLE, []]);
    for (let first = 1; first <= tried; first++) {
      for (const times of [1, FOREVER]) {
        const where = `allocation ${first}, ${times} fail`;
        host.restore(start);
        const end = Errno[failing(host, { first, times }, () => run(vm)).result] as string;
        expect(['OK', 'ENOMEM', ...failures], where).toContain(end);
        expect(host.check(), where).toEqual([]);
        expect(data(vm, end === 'OK' ? moved : 508), where).toEqual(WHOLE);
      }
    }
    // It has something to fail, or the row says nothing.
    expect(tried).toBeGreaterThan(0);
  });
});
