// status and smaps_rollup: exact texts of small machines of every backing, worked out by hand; shares to the kB; the
// form compared with this machine's own /proc where it has one. Reference: linux 6.18 fs/proc/task_mmu.c.
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { type BackingKind, createHost, type Hva, type Vm } from '../src/index.ts';
import { hvaAt, letters, MIB, machine, PAGE } from './support/machines.ts';

const BUILD = { core: 'release', wasmMemory: 'plain' } as const;

const page = (vm: Vm, n: number): Hva => hvaAt(vm, n * PAGE);
function write(vm: Vm, n: number): void {
  expect(vm.vmm.fillPage(page(vm, n), 7).ok).toBe(true);
}
function advise(vm: Vm, n: number, count: number, advice: 'free' | 'pageout' | 'dontneed'): void {
  expect(vm.vmm.madvise(page(vm, n), BigInt(count * PAGE), advice)).toBe(0);
}

/** Pages 0 and 4 written, 1 read, 2 written and swapped, 3 locked. */
function small(vm: Vm): void {
  write(vm, 0);
  vm.vmm.load(page(vm, 1));
  write(vm, 2);
  advise(vm, 2, 1, 'pageout');
  expect(vm.vmm.mlock(page(vm, 3), 4096n)).toBe(0);
  write(vm, 4);
}

interface Row {
  readonly mib: number;
  readonly run: (vm: Vm) => void;
  readonly letters: string;
  /** Numbers that are not 0, in kB. */
  readonly status: Record<string, number>;
  readonly rollup: Record<string, number>;
}

const ROWS: Record<BackingKind, Row> = {
  anon: {
    mib: 2,
    run: (vm) => {
      small(vm);
      advise(vm, 4, 1, 'free');
    },
    letters: 'azsal',
    status: { VmPeak: 2048, VmSize: 2048, VmLck: 4, VmRSS: 12, RssAnon: 12, VmData: 2048, VmSwap: 4 },
    rollup: {
      Rss: 12,
      Pss: 12,
      Pss_Dirty: 8,
      Pss_Anon: 12,
      Private_Clean: 4,
      Private_Dirty: 8,
      Referenced: 12,
      Anonymous: 12,
      LazyFree: 4,
      Swap: 4,
      SwapPss: 4,
      Locked: 4,
    },
  },
  anon_acct: {
    mib: 2,
    run: (vm) => {
      write(vm, 0);
      // What may not be written is no data.
      expect(vm.vmm.mprotect(page(vm, 256), BigInt(MIB), 1)).toBe(0);
      expect(vm.vmm.munmap(page(vm, 511), 4096n)).toBe(0);
    },
    letters: 'a....',
    status: { VmPeak: 2048, VmSize: 2044, VmRSS: 4, RssAnon: 4, VmData: 1024 },
    rollup: {
      Rss: 4,
      Pss: 4,
      Pss_Dirty: 4,
      Pss_Anon: 4,
      Private_Dirty: 4,
      Referenced: 4,
      Anonymous: 4,
    },
  },
  // Swap of a memfd is the file's: in smaps, but not in status.
  memfd: {
    mib: 2,
    run: small,
    letters: 'ffsff',
    status: { VmPeak: 2048, VmSize: 2048, VmLck: 4, VmRSS: 16, RssShmem: 16 },
    rollup: {
      Rss: 16,
      Pss: 16,
      Pss_Dirty: 8,
      Pss_Shmem: 16,
      Private_Clean: 8,
      Private_Dirty: 8,
      Referenced: 16,
      Swap: 4,
      Locked: 4,
    },
  },
  // Private copies are anonymous, what was only read is the file's.
  memfd_priv: {
    mib: 2,
    run: small,
    letters: 'afsaa',
    status: {
      VmPeak: 2048,
      VmSize: 2048,
      VmLck: 4,
      VmRSS: 16,
      RssAnon: 12,
      RssShmem: 4,
      VmData: 2048,
      VmSwap: 4,
    },
    rollup: {
      Rss: 16,
      Pss: 16,
      Pss_Dirty: 12,
      Pss_Anon: 12,
      Pss_Shmem: 4,
      Private_Clean: 4,
      Private_Dirty: 12,
      Referenced: 16,
      Anonymous: 12,
      Swap: 4,
      SwapPss: 4,
      Locked: 4,
    },
  },
  // A huge page, the huge zero page, and a huge page without its second page.
  thp: {
    mib: 6,
    run: (vm) => {
      write(vm, 0);
      vm.vmm.load(page(vm, 512));
      write(vm, 1024);
      advise(vm, 1025, 1, 'dontneed');
    },
    letters: 'HHHHH',
    status: { VmPeak: 6144, VmSize: 6144, VmRSS: 4092, RssAnon: 4092, VmData: 6144 },
    rollup: {
      Rss: 4092,
      Pss: 4092,
      Pss_Dirty: 4092,
      Pss_Anon: 4092,
      Private_Dirty: 4092,
      Referenced: 4092,
      Anonymous: 4092,
      AnonHugePages: 2048,
    },
  },
  hugetlb: {
    mib: 6,
    run: (vm) => {
      write(vm, 0);
      vm.vmm.load(page(vm, 512));
    },
    letters: 'GGGGG',
    status: { VmPeak: 6144, VmSize: 6144, VmData: 6144, HugetlbPages: 4096 },
    rollup: { Private_Hugetlb: 4096 },
  },
  hugetlb_shared: {
    mib: 6,
    run: (vm) => {
      write(vm, 0);
      write(vm, 512);
      advise(vm, 512, 512, 'dontneed');
    },
    letters: 'GGGGG',
    status: { VmPeak: 6144, VmSize: 6144, HugetlbPages: 2048 },
    rollup: { Private_Hugetlb: 2048 },
  },
  hugetlb_1g: {
    mib: 2048,
    run: (vm) => write(vm, 0),
    letters: 'GGGGG',
    status: { VmPeak: 2097152, VmSize: 2097152, VmData: 2097152, HugetlbPages: 1048576 },
    rollup: { Private_Hugetlb: 1048576 },
  },
  hugetlb_1g_shared: {
    mib: 2048,
    run: (vm) => write(vm, 0),
    letters: 'GGGGG',
    status: { VmPeak: 2097152, VmSize: 2097152, HugetlbPages: 1048576 },
    rollup: { Private_Hugetlb: 1048576 },
  },
};

const STATUS = 'VmPeak VmSize VmLck VmPin VmRSS RssAnon RssFile RssShmem VmData VmSwap HugetlbPages'.split(
  ' ',
);
const ROLLUP = [
  ...'Rss Pss Pss_Dirty Pss_Anon Pss_File Pss_Shmem Shared_Clean Shared_Dirty Private_Clean'.split(' '),
  ...'Private_Dirty Referenced Anonymous KSM LazyFree AnonHugePages ShmemPmdMapped FilePmdMapped'.split(' '),
  ...'Shared_Hugetlb Private_Hugetlb Swap SwapPss Locked'.split(' '),
];

describe.each(Object.entries(ROWS))('status and smaps_rollup › %s', (backing, row) => {
  it('the texts', async () => {
    const { mib, run } = row;
    const ram = [{ gpa: 0, size: mib * MIB }];
    const vm = await machine(BUILD, {
      ram,
      pool: 16 * MIB,
      hugepages1g: mib >= 1024 ? 1 : 0,
      backing: backing as BackingKind,
    });
    run(vm);
    expect(letters(vm, 0, 5)).toBe(row.letters);
    const status = STATUS.map((name) => `${name}:\t${String(row.status[name] ?? 0).padStart(8)} kB\n`);
    expect(vm.observe.statusText()).toBe(status.join(''));
    const end = (0x1000_0000_0000 + (row.status.VmSize as number) * 1024).toString(16);
    const rollup = [
      `100000000000-${end} ---p 00000000 00:00 0${' '.repeat(26)}[rollup]\n`,
      ...ROLLUP.map((name) => `${`${name}:`.padEnd(16)}${String(row.rollup[name] ?? 0).padStart(8)} kB\n`),
    ];
    expect(vm.observe.smapsRollupText()).toBe(rollup.join(''));
  });
});

describe('status and smaps_rollup', () => {
  it('with nothing mapped any more', async () => {
    const vm = await machine(BUILD, { memory: MIB });
    expect(vm.vmm.munmap(hvaAt(vm, 0), BigInt(MIB))).toBe(0);
    expect(vm.observe.status()).toMatchObject({ vmPeak: MIB, vmSize: 0, vmData: 0 });
    expect(vm.observe.smapsRollupText()).toMatch(
      /^00000000-00000000 ---p 00000000 00:00 0 +\[rollup\]\nRss: +0 kB\n/,
    );
  });

  it('shares of a page that KSM shares: to the kB in each VMA, summed up before they are rounded', async () => {
    const host = await createHost({ ...BUILD, memory: 4 * MIB });
    const vms = [0, 1].map(() => host.createVm({ memory: MIB }));
    // Three mappings of one page: two in VMAs of their own in the first VM, one in the second.
    for (const [i, n] of [
      [0, 0],
      [0, 2],
      [1, 0],
    ] as const) {
      const vm = vms[i] as Vm;
      write(vm, n);
      expect(vm.vmm.madvise(page(vm, n), 4096n, 'mergeable')).toBe(0);
    }
    host.ksm.scan(3);
    const [a, b] = vms as [Vm, Vm];
    expect([letters(a, 0, 3), letters(b, 0, 3)]).toEqual(['k.k', 'k..']);
    // A third of 4 kB is 1.33 kB; two of them are 2.67 kB.
    const shares = a.observe.vmas().filter((vma) => vma.ksm > 0);
    expect(shares.map(({ pss, pssDirty, sharedDirty }) => [pss, pssDirty, sharedDirty])).toEqual([
      [1024, 1024, 4096],
      [1024, 1024, 4096],
    ]);
    expect(a.observe.smapsText().match(/^Pss_Dirty: +1 kB$/gm)).toHaveLength(2);
    expect(a.observe.smapsRollup()).toMatchObject({ rss: 8192, pss: 2048, pssDirty: 2048, pssAnon: 2048 });
    expect(b.observe.smapsRollup()).toMatchObject({ rss: 4096, pss: 1024, sharedDirty: 4096, ksm: 4096 });
    expect(a.observe.status()).toMatchObject({ vmRss: 8192, rssAnon: 8192, rssShmem: 0 });
    // Locked is a share, too: mlock of memory that cannot be written leaves the page shared.
    a.vmm.mprotect(page(a, 0), BigInt(MIB), 1);
    expect(a.vmm.mlock(page(a, 0), BigInt(3 * PAGE))).toBe(0);
    expect(
      a.observe
        .vmas()
        .map(({ locked }) => locked)
        .filter((n) => n > 0),
    ).toEqual([1024, 1024]);
    expect(a.observe.smapsRollup().locked).toBe(2048);
    expect(a.observe.status().vmLck).toBe(3 * PAGE);
  });

  /** A line without its number and the blanks before it. */
  const shape = (line: string): string =>
    line.replace(/ *\d+(?= kB$)/, (digits) => '#'.repeat(digits.length));
  const lines = (text: string): string[] => text.split('\n').filter((line) => / kB$/.test(line));

  it.skipIf(!existsSync('/proc/self/status'))('status: lines, order and columns of this kernel', async () => {
    const vm = await machine(BUILD);
    // Of this process some numbers are wider than their column.
    const line = /^(\w+):\t( {0,7}\d{1,8}|\d{9,}) kB$/;
    const names = (text: string): string[] =>
      lines(text).map((l) => {
        expect(l).toMatch(line);
        return l.replace(/:.*/, '');
      });
    const ours = names(vm.observe.statusText());
    const real = names(readFileSync('/proc/self/status', 'latin1'));
    expect(real.filter((name) => ours.includes(name))).toEqual(ours);
    expect(real.filter((name) => !ours.includes(name))).toEqual(
      expect.arrayContaining(['VmHWM', 'VmStk', 'VmExe', 'VmLib', 'VmPTE']),
    );
  });

  it.skipIf(!existsSync('/proc/self/smaps_rollup'))(
    'smaps_rollup: lines, order and columns of this kernel',
    async () => {
      const vm = await machine(BUILD);
      const ours = vm.observe.smapsRollupText().split('\n');
      const real = readFileSync('/proc/self/smaps_rollup', 'latin1').split('\n');
      const both = ours.slice(1).map(shape);
      expect(
        real
          .slice(1)
          .map(shape)
          .filter((line) => both.includes(line)),
      ).toEqual(both.filter((line) => real.map(shape).includes(line)));
      expect(both.length - real.length + 1).toBeLessThan(4);
      const header = /^[0-9a-f]+-[0-9a-f]+ ---p 00000000 00:00 0 +\[rollup\]$/;
      expect(ours[0]).toMatch(header);
      expect(real[0]).toMatch(header);
      expect(ours[0]?.indexOf('[')).toBe(real[0]?.indexOf('['));
    },
  );
});
