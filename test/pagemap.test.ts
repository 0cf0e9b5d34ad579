// pagemap, kpageflags and kpagecount: entries worked out by hand, the letters of recordings read back from their bits, and
// what holds of any state. Bit numbers are spelled out again. Reference: linux 6.18 Documentation/admin-guide/mm/pagemap.rst,
// include/uapi/linux/kernel-page-flags.h; the bits of anonymous memory, memfds and huge pages were compared with a 6.18 kernel.
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { replayMm } from '../src/conform/mm.ts';
import { parseMmTrace } from '../src/conform/mm-trace.ts';
import { vmMmDoor } from '../src/conform/mm-vm.ts';
import { formatResult, runCases } from '../src/conform/report.ts';
import { type BackingKind, createHost, createSandbox, type Host, type Hva, type Vm } from '../src/index.ts';
import { BUILDS, GIB, hvaAt, letters, MIB, machine, PAGE } from './support/machines.ts';
import { Random } from './support/random.ts';

const BUILD = { core: 'release', wasmMemory: 'plain' } as const;

const PRESENT = 1n << 63n;
const SWAP = 1n << 62n;
const FILE = 1n << 61n;
const EXCLUSIVE = 1n << 56n;
const FRAME = (1n << 55n) - 1n;

const DIRTY = 1n << 4n;
const BUDDY = 1n << 10n;
const MMAP = 1n << 11n;
const ANON = 1n << 12n;
const SWAPBACKED = 1n << 14n;
const HUGE = 1n << 17n;
const NOPAGE = 1n << 20n;
const KSM = 1n << 21n;
const THP = 1n << 22n;
const ZERO = 1n << 24n;

const ZERO_PFN = 0x60n;
const HUGE_ZERO_PFN = 0x600n;

const hvaOf = (vm: Vm, n: number): Hva => hvaAt(vm, n * PAGE);
const entries = (vm: Vm, n: number, pages: number): bigint[] => {
  const from = vm.ram[0]?.hva as Hva;
  return [...vm.observe.pagemap(from + BigInt(n * PAGE), from + BigInt((n + pages) * PAGE))];
};
/** Flags and count of a frame. */
const frame = (host: Host, pfn: bigint): [string, bigint] => [
  (host.kpageflags(Number(pfn), 1)[0] as bigint).toString(16),
  host.kpagecount(Number(pfn), 1)[0] as bigint,
];
const kinds = (list: readonly bigint[]): string[] => list.map((e) => (e & ~FRAME).toString(16));

describe('pagemap', () => {
  it.each(
    BUILDS,
  )('anonymous memory: nothing, zero page, page, swapped, lazily freed, locked › %s', async (_n, build) => {
    const vm = await machine(build);
    for (const n of [2, 3, 4, 5]) vm.vmm.fillPage(hvaOf(vm, n), 1);
    vm.vmm.load(hvaOf(vm, 1));
    vm.vmm.madvise(hvaOf(vm, 3), 4096n, 'pageout');
    vm.vmm.madvise(hvaOf(vm, 4), 4096n, 'free');
    vm.vmm.mlock(hvaOf(vm, 5), 4096n);
    expect(letters(vm, 0, 6)).toBe('.zasla');
    const [none, zero, page, swapped, freed, locked] = entries(vm, 0, 6) as [
      bigint,
      bigint,
      bigint,
      bigint,
      bigint,
      bigint,
    ];
    expect(none).toBe(0n);
    expect(zero).toBe(PRESENT | ZERO_PFN);
    // Swap type 0, offset 1: the header of the area is offset 0.
    expect(swapped).toBe(SWAP | (1n << 5n));
    expect(kinds([page, freed, locked])).toEqual(Array(3).fill('8100000000000000'));
    // The same frame as the SLAT will have.
    vm.guest.load(2 * PAGE, 1);
    expect((page & FRAME) << 12n).toBe(vm.observe.walk(2 * PAGE).hpa);
    // uptodate lru mmap anon, and swapbacked, mlocked unevictable, anon_exclusive; of the zero page: zero_page reserved.
    expect(frame(vm.host, page & FRAME)).toEqual(['400005828', 1n]);
    expect(frame(vm.host, freed & FRAME)).toEqual(['400001828', 1n]);
    expect(frame(vm.host, locked & FRAME)).toEqual(['600045828', 1n]);
    expect(frame(vm.host, ZERO_PFN)).toEqual(['101000000', 0n]);
  });

  it('what is no frame is NOPAGE, a free frame is BUDDY', async () => {
    const vm = await machine(BUILD);
    vm.vmm.fillPage(hvaOf(vm, 0), 1);
    const pfn = (entries(vm, 0, 1)[0] as bigint) & FRAME;
    expect(frame(vm.host, 0n)).toEqual([NOPAGE.toString(16), 0n]);
    expect(frame(vm.host, pfn + 1n)).toEqual([BUDDY.toString(16), 0n]);
    vm.vmm.madvise(hvaOf(vm, 0), 4096n, 'dontneed');
    expect(frame(vm.host, pfn)).toEqual([BUDDY.toString(16), 0n]);
  });

  it('memfd: pages of the file; a swapped one leaves no entry, one that is only cached no mapping', async () => {
    const vm = await machine(BUILD, { backing: 'memfd' });
    for (const n of [0, 1, 2]) vm.vmm.fillPage(hvaOf(vm, n), 1);
    vm.vmm.load(hvaOf(vm, 20));
    const [written, , cached] = entries(vm, 0, 3) as [bigint, bigint, bigint];
    const [read] = entries(vm, 20, 1) as [bigint];
    vm.vmm.madvise(hvaOf(vm, 1), 4096n, 'pageout');
    vm.vmm.madvise(hvaOf(vm, 2), 4096n, 'dontneed');
    expect(letters(vm, 0, 4)).toBe('fsc.');
    expect(kinds(entries(vm, 0, 4))).toEqual(['a100000000000000', '0', '0', '0']);
    // uptodate lru swapbacked; dirty of what a write brought, mmap of what is mapped.
    expect(frame(vm.host, written & FRAME)).toEqual(['4838', 1n]);
    expect(frame(vm.host, cached & FRAME)).toEqual(['4038', 0n]);
    // What a read brought is writable at once; a write is in its entry alone until that goes.
    expect(frame(vm.host, read & FRAME)).toEqual(['4828', 1n]);
    vm.vmm.fillPage(hvaOf(vm, 20), 1);
    expect(frame(vm.host, read & FRAME)).toEqual(['4828', 1n]);
    vm.vmm.madvise(hvaOf(vm, 20), 4096n, 'dontneed');
    expect(frame(vm.host, read & FRAME)).toEqual(['4038', 0n]);
  });

  it('private memfd: the file’s page, and a copy of it', async () => {
    const vm = await machine(BUILD, { backing: 'memfd_priv' });
    vm.vmm.load(hvaOf(vm, 0));
    vm.vmm.load(hvaOf(vm, 1));
    const [, original] = entries(vm, 0, 2) as [bigint, bigint];
    vm.vmm.fillPage(hvaOf(vm, 1), 1);
    const [read, copy] = entries(vm, 0, 2) as [bigint, bigint];
    expect(kinds([read, copy])).toEqual(['a100000000000000', '8100000000000000']);
    expect(frame(vm.host, copy & FRAME)).toEqual(['400005828', 1n]);
    expect(frame(vm.host, original & FRAME)).toEqual(['4028', 0n]);
  });

  it('huge pages: mapped as one, by parts, in part; the huge zero page', async () => {
    const vm = await machine(BUILD, { backing: 'thp', pool: 16 * MIB });
    vm.vmm.load(hvaOf(vm, 0));
    expect(entries(vm, 0, 2)).toEqual([
      PRESENT | FILE | HUGE_ZERO_PFN,
      PRESENT | FILE | (HUGE_ZERO_PFN + 1n),
    ]);
    expect(entries(vm, 511, 1)).toEqual([PRESENT | FILE | (HUGE_ZERO_PFN + 511n)]);
    // head or tail, thp, zero_page.
    expect(frame(vm.host, HUGE_ZERO_PFN)).toEqual(['1408000', 0n]);
    expect(frame(vm.host, HUGE_ZERO_PFN + 1n)).toEqual(['1410000', 0n]);

    vm.vmm.fillPage(hvaOf(vm, 512), 1);
    const [head, tail] = entries(vm, 512, 2) as [bigint, bigint];
    expect(kinds([head, tail])).toEqual(Array(2).fill('8100000000000000'));
    expect(tail - head).toBe(1n);
    expect((head & FRAME) % 512n).toBe(0n);
    expect(frame(vm.host, head & FRAME)).toEqual(['40040d828', 1n]);
    expect(frame(vm.host, tail & FRAME)).toEqual(['400415828', 1n]);
    // Split into parts the page is dirty itself; one that is unmapped stays with it, and in use.
    vm.vmm.madvise(hvaOf(vm, 513), 4096n, 'dontneed');
    expect(kinds(entries(vm, 512, 3))).toEqual(['8100000000000000', '0', '8100000000000000']);
    expect(frame(vm.host, head & FRAME)).toEqual(['40040d838', 1n]);
    expect(frame(vm.host, tail & FRAME)).toEqual(['400415838', 0n]);

    vm.vmm.mlock(hvaOf(vm, 1024), BigInt(2 * MIB));
    expect(frame(vm.host, (entries(vm, 1024, 1)[0] as bigint) & FRAME)).toEqual(['60044d828', 1n]);
    vm.vmm.fillPage(hvaOf(vm, 1536), 1);
    vm.vmm.madvise(hvaOf(vm, 1536), BigInt(2 * MIB), 'free');
    expect(frame(vm.host, (entries(vm, 1536, 1)[0] as bigint) & FRAME)).toEqual(['400409828', 1n]);
  });

  it.each([
    ['hugetlb', '8100000000000000', '400029808', '400031808'],
    // hugetlbfs has its pages dirty from the beginning.
    ['hugetlb_shared', 'a100000000000000', '28818', '30818'],
  ] as const)('%s: 512 frames that follow each other, on no LRU list', async (backing, kind, head, tail) => {
    const vm = await machine(BUILD, { backing });
    vm.vmm.load(hvaOf(vm, 3));
    const all = entries(vm, 0, 513);
    expect(kinds(all)).toEqual([...Array(512).fill(kind), '0']);
    const first = (all[0] as bigint) & FRAME;
    expect(all.slice(0, 512).map((e) => (e & FRAME) - first)).toEqual(
      Array.from({ length: 512 }, (_, i) => BigInt(i)),
    );
    expect(frame(vm.host, first)).toEqual([head, 1n]);
    expect(frame(vm.host, first + 511n)).toEqual([tail, 1n]);
  });

  it('KSM: exclusive when it is mapped once, locked for all when one locks it', async () => {
    const host = await createHost({ ...BUILD, memory: 4 * MIB });
    const [a, b] = [0, 1].map(() => host.createVm({ memory: MIB })) as [Vm, Vm];
    for (const [vm, n] of [
      [a, 0],
      [a, 1],
      [b, 0],
    ] as const)
      vm.vmm.fillPage(hvaOf(vm, n), 9);
    for (const vm of [a, b]) vm.vmm.madvise(hvaOf(vm, 0), BigInt(MIB), 'mergeable');
    host.ksm.scan(3);
    const [first, second] = entries(a, 0, 2) as [bigint, bigint];
    expect([second, entries(b, 0, 1)[0]]).toEqual([first, first]);
    expect(kinds([first])).toEqual(['8000000000000000']);
    // uptodate dirty lru mmap anon swapbacked ksm: nobody’s own.
    expect(frame(host, first & FRAME)).toEqual(['205838', 3n]);
    a.vmm.mprotect(hvaOf(a, 0), 4096n, 1);
    a.vmm.mlock(hvaOf(a, 0), 4096n);
    expect(frame(host, first & FRAME)).toEqual(['200245838', 3n]);
    a.vmm.madvise(hvaOf(a, 1), 4096n, 'dontneed');
    b.vmm.madvise(hvaOf(b, 0), 4096n, 'dontneed');
    expect(entries(a, 0, 1)).toEqual([first | EXCLUSIVE]);
    a.vmm.munlock(hvaOf(a, 0), 4096n);
    a.vmm.madvise(hvaOf(a, 0), 4096n, 'free');
    expect(letters(a, 0)).toBe('K');
    expect(frame(host, first & FRAME)).toEqual(['201828', 1n]);
  });

  it('runs: frames that follow each other, one that is the same, and the nothing between', async () => {
    const vm = await machine(BUILD, { memory: '1T' });
    const at = 700n * BigInt(GIB);
    for (let n = 0n; n < 4n; n++) vm.guest.store(at + n * 4096n, 1, 1);
    for (let n = 4n; n < 6n; n++) vm.guest.load(at + n * 4096n, 1);
    const high = vm.ram[1]?.hva as bigint;
    const end = high + BigInt(vm.ram[1]?.size ?? 0);
    const start = high + at - 4n * BigInt(GIB);
    const runs = [...vm.observe.pagemapRuns(high, end)];
    expect(
      runs.map(({ start: s, pages, present, exclusive, step }) => [s, pages, present, exclusive, step]),
    ).toEqual([
      [high, Number((start - high) / 4096n), false, false, 0],
      [start, 4, true, true, 1],
      [start + 16384n, 2, true, false, 0],
      [start + 24576n, Number((end - start) / 4096n) - 6, false, false, 0],
    ]);
    expect(runs[2]?.pfn).toBe(Number(ZERO_PFN));
    expect(vm.observe.pageTypes().pages).toBe(6);
  });

  it.each([
    ['a page that is not whole', 1n, 4096n],
    ['an end inside a page', 0n, 1n],
    ['backwards', 8192n, 4096n],
    ['more than 2^24 pages', 0n, (1n << 36n) + 4096n],
  ])('%s: SLB-022', async (_row, from, to) => {
    const vm = await machine(BUILD);
    expect(() => vm.observe.pagemap(from, to)).toThrow(expect.objectContaining({ code: 'SLB-022' }));
  });

  it('where nothing can be mapped there is nothing: below, between and above all mappings, up to the last address', async () => {
    const vm = await machine(BUILD);
    const [region] = vm.ram;
    vm.vmm.fillPage(hvaOf(vm, 0), 1);
    const top = (1n << 64n) - 8192n;
    for (const at of [0n, (region?.hva as bigint) + BigInt(region?.size ?? 0), 1n << 47n, top]) {
      expect([...vm.observe.pagemap(at, at + 4096n)]).toEqual([0n]);
      expect([...vm.observe.pagemapRuns(at, at + 4096n)]).toMatchObject([{ pages: 1, entry: 0n }]);
    }
    const around = (region?.hva as bigint) - 4096n;
    expect(kinds([...vm.observe.pagemap(around, around + 12288n)])).toEqual(['0', '8100000000000000', '0']);
    expect([...vm.observe.pagemap(around, around)]).toEqual([]);
  });

  it.each([
    [-1, 1],
    [0, -1],
    [0.5, 1],
    [0, 2 ** 24 + 1],
  ])('%d, %d: no frames (SLB-022)', async (pfn, count) => {
    const { host } = await machine(BUILD);
    expect(() => host.kpageflags(pfn, count)).toThrow(expect.objectContaining({ code: 'SLB-022' }));
    expect(() => host.kpagecount(pfn, count)).toThrow(expect.objectContaining({ code: 'SLB-022' }));
  });
});

/** Letters that a page with these bits may have: neither file tells how it is mapped, nor whether the entry is dirty. */
function lettersOf(entry: bigint, flags: bigint): string {
  if (entry & SWAP) return 's';
  // A page of a file that is swapped or only cached leaves no entry.
  if (!(entry & PRESENT)) return '.xcsg';
  if (flags & ZERO) return flags & THP ? 'Z' : 'z';
  if (flags & HUGE) return 'G';
  if (flags & KSM) return flags & (SWAPBACKED | DIRTY) ? 'k' : 'K';
  if (entry & FILE) return 'f';
  if (!(flags & ANON)) return '';
  if (flags & THP) return flags & SWAPBACKED ? 'Hh' : 'LDld';
  return flags & SWAPBACKED ? 'a' : 'ld';
}

/** Frames that pages of the host can have, by number. */
function flagsOf(host: Host): (pfn: bigint) => bigint {
  const base = Number(host.core.readU32(0x10000));
  const pool = host.kpageflags(base, host.frames().total);
  const zero = host.kpageflags(Number(ZERO_PFN), 1)[0] as bigint;
  const huge = host.kpageflags(Number(HUGE_ZERO_PFN), 512);
  return (pfn) => {
    if (pfn === ZERO_PFN) return zero;
    return (pfn < base ? huge[Number(pfn - HUGE_ZERO_PFN)] : pool[Number(pfn) - base]) as bigint;
  };
}

/** The letters of the engine, `?` where the bits say otherwise. */
function readBack(vm: Vm): string {
  const { hva, size } = vm.ram[0] as (typeof vm.ram)[number];
  const flags = flagsOf(vm.host);
  const said = vm.observe.pageLetters(hva, size / PAGE);
  return [...vm.observe.pagemap(hva, hva + BigInt(size))]
    .map((e, i) => {
      const letter = said[i] as string;
      return lettersOf(e, e & PRESENT ? flags(e & FRAME) : 0n).includes(letter) ? letter : '?';
    })
    .join('');
}

describe('pagemap › recordings: the letters are in the bits', () => {
  const golden = new URL('./golden/mm/', import.meta.url);
  const files = readdirSync(golden).filter((f) => /^directed-.*\.json$|^random-.*-\d+[0369]\.json$/.test(f));
  it.each(files)('%s', async (file) => {
    const trace = parseMmTrace(readFileSync(new URL(file, golden), 'utf8'), file);
    const open = async () => {
      const vm = await createSandbox({
        ram: [{ gpa: 0, size: trace.pages * PAGE }],
        pool: 4 * trace.pages * PAGE,
        backing: trace.mode as BackingKind,
        vmaNames: false,
      });
      return { ...vmMmDoor(vm), letters: () => readBack(vm) };
    };
    const run = () => replayMm(trace, open);
    const [result] = await runCases([{ file, name: trace.name, tags: trace.tags, properties: {}, run }]);
    expect(result?.status, result && formatResult(result)).toBe('ok');
  });
});

const BACKINGS: readonly BackingKind[] = [
  ...(['anon', 'anon_acct', 'memfd', 'memfd_priv', 'thp', 'hugetlb', 'hugetlb_shared'] as const),
];

/** A host with a VM of each backing in some state, from the debug core, whose assertions hold as well. */
async function anyHost(random: Random): Promise<Host> {
  const host = await createHost({ core: 'debug', memory: 24 * MIB, swap: MIB });
  const vms = BACKINGS.map((backing) => host.createVm({ memory: 4 * MIB, backing }));
  // Some pages are equal and mergeable, in some VMs.
  for (const vm of vms) if (random.below(2)) vm.vmm.madvise(hvaOf(vm, 0), BigInt(2 * MIB), 'mergeable');
  const LENGTHS = [1, 1, 3, 16, 512];
  for (let i = 0; i < 400; i++) {
    const vm = vms[random.below(vms.length)] as Vm;
    const at = hvaOf(vm, random.below(1024) & (random.below(2) ? 1023 : 512));
    const len = BigInt((LENGTHS[random.below(5)] as number) * PAGE);
    const what = random.below(16);
    if (what < 5) vm.vmm.fillPage(at, random.below(4));
    else if (what < 7) vm.vmm.load(at);
    else if (what < 9) vm.guest.store(BigInt(random.below(1024)) * 4096n, 1, 1);
    else if (what === 9) host.ksm.scan(2);
    else if (what === 10) vm.vmm.mlock(at, 4096n);
    else if (what === 11) vm.vmm.munlock(at, len);
    else if (what === 12) vm.vmm.mprotect(at, len, random.below(4));
    else vm.vmm.madvise(at, len, (['free', 'pageout', 'dontneed'] as const)[what - 13] as 'free');
  }
  return host;
}

describe('pagemap › what holds of any state', () => {
  const first = Random.fresh().seed;
  it.each(Array.from({ length: 12 }, (_, i) => (first + i) >>> 0))('seed %i', async (seed) => {
    const host = await anyHost(new Random(seed));
    const why = `FUZZ_SEED=${seed}`;
    expect(host.check(), why).toEqual([]);
    const base = host.core.readU32(0x10000);
    const { total, free } = host.frames();
    const counts = host.kpagecount(base, total);
    const flags = flagsOf(host);
    const mapped = new Map<bigint, number>();
    const exclusive = new Set<bigint>();
    let anonymous = 0n;

    for (const vm of host.vms) {
      const { hva, size } = vm.ram[0] as (typeof vm.ram)[number];
      expect(readBack(vm), `${why} ${vm.backing}`).toBe(vm.observe.pageLetters(hva, size / PAGE));
      const list = [...vm.observe.pagemap(hva, hva + BigInt(size))];
      const present = list.filter((e) => e & PRESENT);
      const frames = present.map((e) => e & FRAME).filter((pfn) => !(flags(pfn) & ZERO));
      for (const pfn of frames) mapped.set(pfn, (mapped.get(pfn) ?? 0) + 1);
      for (const e of present.filter((e) => e & EXCLUSIVE)) {
        // Frames of pages that are mapped once are different ones.
        expect(exclusive.has(e & FRAME), why).toBe(false);
        exclusive.add(e & FRAME);
      }
      // Runs are the same entries.
      const back = [...vm.observe.pagemapRuns(hva, hva + BigInt(size))].flatMap((run) =>
        Array.from(
          { length: run.pages },
          (_, i) => run.entry + (BigInt(i * run.step) << (run.swapped ? 5n : 0n)),
        ),
      );
      expect(back, why).toEqual(list);

      // status, smaps, pagemap and page-types count the same pages.
      const status = vm.observe.status();
      const vmas = vm.observe.vmas();
      const sum = (of: (vma: (typeof vmas)[number]) => number): number =>
        vmas.reduce((n, vma) => n + of(vma), 0);
      const swapped = list.filter((e) => e & SWAP).length;
      expect(status.vmRss + status.hugetlbPages, why).toBe(frames.length * PAGE);
      expect(status.rssAnon + status.rssFile + status.rssShmem, why).toBe(status.vmRss);
      expect(status, why).toMatchObject({
        vmRss: sum(({ rss }) => rss),
        rssAnon: sum((vma) => vma.anonymous),
        vmLck: sum((vma) => (vma.flags.includes('lo') ? vma.size : 0)),
        hugetlbPages: sum((vma) => vma.privateHugetlb + vma.sharedHugetlb),
        vmSwap: swapped * PAGE,
      });
      expect(vm.observe.pageTypes().pages, why).toBe(present.length + swapped);
      const rollup = vm.observe.smapsRollup();
      expect(rollup, why).toMatchObject({
        rss: status.vmRss,
        anonymous: status.rssAnon,
        swap: sum(({ swap }) => swap),
      });
      expect(Math.abs(rollup.pssAnon + rollup.pssShmem - rollup.pss), why).toBeLessThanOrEqual(1024);
      expect(rollup.pss, why).toBeLessThan(sum(({ pss }) => pss) + vmas.length * 1024 + 1);
      anonymous += BigInt(rollup.pss);
    }

    // Each frame is counted as often as it is mapped, and an entry is exclusive where that is once.
    expect(
      Array.from(counts, (n, i) => [i, n] as const).filter(([, n]) => n > 0n),
      why,
    ).toEqual(
      [...mapped].map(([pfn, n]) => [Number(pfn) - base, BigInt(n)] as const).sort(([a], [b]) => a - b),
    );
    expect([...exclusive].sort(), why).toEqual(
      [...mapped].flatMap(([pfn, n]) => (n === 1 ? [pfn] : [])).sort(),
    );
    // Shares of all processes come to the frames that they map: 1 kB at most is lost in rounding in each.
    const small = [...mapped.keys()].filter((pfn) => !(flags(pfn) & HUGE)).length;
    const lost = BigInt(small * PAGE) - anonymous;
    expect(lost >= 0n && lost <= BigInt(host.vms.length * 1024), `${why}: ${lost}`).toBe(true);

    // All frames are there, mapped ones have MMAP, free ones are BUDDY and nothing else is.
    const types = host.pageTypes({ raw: true });
    const pages = (mask: bigint): number =>
      types.types.reduce((n, t) => n + ((t.flags & mask) !== 0n ? t.pages : 0), 0);
    expect(types.pages, why).toBe(total + 1);
    expect(pages(BUDDY), why).toBe(free);
    expect(pages(NOPAGE), why).toBe(0);
    for (const pfn of mapped.keys()) expect(flags(pfn) & MMAP, why).toBe(MMAP);
  }, 60_000);
});
