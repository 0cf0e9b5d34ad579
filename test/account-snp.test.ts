// The 40 GiB guest of the discussion of guest_memfd's first posting, at its real size, by the ledger: every number that was
// posted, and the identities between them. Inputs are named in src/account/snp-guest.ts.
import { describe, expect, it } from 'vitest';
import { type FleetRow, fleet } from '../src/account/snp-fleet.ts';
import { bootSnpGuest, SNP_40G } from '../src/account/snp-guest.ts';
import {
  compareRules,
  memcgStat,
  memTotal,
  numaMaps,
  numastat,
  numastatTexts,
  processSizes,
} from '../src/account/snp-report.ts';
import { memoryStatText, numaMapsText, numaStatText, topText } from '../src/account/views.ts';
import { GIB, MIB } from './support/machines.ts';

const guest = bootSnpGuest(SNP_40G);
const stat = memcgStat(guest);
const total = (name: string): number => stat[name]?.bytes ?? -1;
const nodes = (name: string): readonly number[] => stat[name]?.nodes ?? [];
const sum = (of: readonly number[]): number => of.reduce((a, b) => a + b, 0);

describe('account › the SNP guest with 40 GiB', () => {
  it('top: RES has none of the 40 GiB', () => {
    const sizes = processSizes(guest, 'as-is');
    expect(sizes.res).toBe(99580 * 1024);
    expect(sizes.shr).toBe(51676 * 1024);
    expect(topText(sizes, memTotal(SNP_40G))).toBe(
      '   VIRT    RES    SHR  %MEM\n  40.4g  99580  51676   0.0\n',
    );
  });

  it('top with the experimental patch', () => {
    const sizes = processSizes(guest, 'first-allocation');
    expect(topText(sizes, memTotal(SNP_40G))).toBe(
      '   VIRT    RES    SHR  %MEM\n  40.4g  40.1g  40.1g  16.0\n',
    );
  });

  it('memory.stat', () => {
    expect(memoryStatText(stat).split('\n')).toEqual(
      expect.arrayContaining(['file 42978775040', 'file_thp 42949672960', 'unevictable 42953588736']),
    );
  });

  it('memory.numa_stat', () => {
    expect(numaStatText(stat)).toBe(
      'file N0=0 N1=20480 N2=21489377280 N3=21489377280\n' +
        'file_thp N0=0 N1=0 N2=21472739328 N3=21476933632\n' +
        'unevictable N0=0 N1=0 N2=21474697216 N3=21478891520\n',
    );
  });

  it('numa_maps', () => {
    expect(numaMapsText(numaMaps(guest))).toBe(
      [
        '7f528be00000 interleave:2-3 file=/memfd:memory-backend-memfd-shared\\040(deleted) anon=1070 dirty=1070 mapped=1987 mapmax=256 active=1956 N2=582 N3=1405 kernelpagesize_kB=4',
        '7f5c90200000 interleave:2-3 file=/memfd:rom-backend-memfd-shared\\040(deleted)',
        '7f5c90400000 interleave:2-3 file=/memfd:rom-backend-memfd-shared\\040(deleted) dirty=32 active=0 N2=32 kernelpagesize_kB=4',
        '7f5c90800000 interleave:2-3 file=/memfd:rom-backend-memfd-shared\\040(deleted) dirty=892 active=0 N2=512 N3=380 kernelpagesize_kB=4',
        '',
      ].join('\n'),
    );
  });

  it('numastat', () => {
    const mb = (of: readonly number[]): string[] => [...of, sum(of)].map((b) => (b / MIB).toFixed(2));
    const { process, filePages } = numastat(guest);
    expect(mb(process)).toEqual(['21.14', '1.61', '39.44', '39.38', '101.57']);
    expect(mb(filePages)).toEqual(['2475.63', '2395.83', '23999.46', '23373.22', '52244.14']);
    expect(numastatTexts(guest)).toMatch(
      /^Per-node process memory usage \(in MBs\):\n {25} +Node 0 +Node 1 +Node 2 +Node 3 +Total\n\(qemu-system-x86\) +21\.14 /,
    );
  });

  it('file_thp is exactly 40 GiB: 20480 folios, one more on node 3 than half', () => {
    expect(total('file_thp')).toBe(40 * GIB);
    expect(nodes('file_thp').map((b) => b / (2 * MIB))).toEqual([0, 0, 10239, 10241]);
  });

  it('the sums of the nodes are the totals', () => {
    for (const name of ['file', 'file_thp', 'unevictable']) expect(sum(nodes(name)), name).toBe(total(name));
  });

  it('the rest are small pages: 7105 of files, 956 of which are the ROMs’ private halves', () => {
    const small = (name: string): number[] =>
      nodes(name).map((b, n) => (b - (nodes('file_thp')[n] ?? 0)) / 4096);
    expect(small('file')).toEqual([0, 5, 4062, 3038]);
    expect(small('unevictable')).toEqual([0, 0, 478, 478]);
    expect(sum(SNP_40G.roms.map(({ pages }) => pages))).toBe(956);
  });

  it('KVM has all of it in leaves', () => {
    const { pages2m, pages4k } = guest.ledger.counters();
    expect([pages2m * 4096, pages4k]).toEqual([40 * GIB, 956]);
  });

  it('the shared half is what VIRT is of, and 0xA00000000 bytes', () => {
    expect((guest.ledger.mappings[0]?.pages ?? 0) * 4096).toBe(0xa00000000);
  });

  it('turns that others take skew the halves; without them they are equal', () => {
    const even = bootSnpGuest({ ...SNP_40G, turns: [] });
    expect(memcgStat(even).file_thp?.nodes).toEqual([0, 0, 20 * GIB, 20 * GIB]);
  });
});

describe('account › ten guests with 10 GiB each', () => {
  const rows = fleet(SNP_40G, 10, (10 * GIB) / 4096);
  const gib = (key: keyof FleetRow): number => Math.round(rows.reduce((n, row) => n + row[key], 0) / GIB);

  it('who says that they use 100 GiB: cgroups and a query, not RES', () => {
    expect(rows).toHaveLength(10);
    expect([gib('res'), gib('file'), gib('unevictable'), gib('asked')]).toEqual([1, 100, 100, 100]);
    expect(rows[0]?.asked).toBe(10 * GIB + 956 * 4096);
    expect(rows[0]?.res).toBe(processSizes(guest, 'as-is').res);
  });
});

describe('account › rules for RSS compared on it', () => {
  const results = compareRules(SNP_40G, (10 * GIB) / 4096);
  const of = (rule: string) => results.find((r) => r.rule === rule);
  const gib = (bytes = 0): string => (bytes / GIB).toFixed(1);

  it.each([
    // rule, VIRT, RES after boot, after 10 GiB were punched, after they were touched again
    ['as-is', '40.4', '0.1', '0.1', '0.1'],
    ['first-allocation', '40.4', '40.1', '40.1', '50.1'],
    ['first-allocation-undone', '40.4', '40.1', '30.1', '40.1'],
    ['prot-none', '80.4', '40.1', '30.1', '40.1'],
    ['query', '40.4', '0.1', '0.1', '0.1'],
  ])('%s', (rule, virt, boot, punched, touched) => {
    const r = of(rule);
    expect([gib(r?.boot.virt), gib(r?.boot.res), gib(r?.punched), gib(r?.touched)]).toEqual([
      virt,
      boot,
      punched,
      touched,
    ]);
  });

  it('only what is never undone is a bad counter in the end: all pages that were ever allocated', () => {
    expect(results.filter(({ exit }) => exit).map(({ rule }) => rule)).toEqual(['first-allocation']);
    expect(of('first-allocation')?.exit).toBe(
      `BUG: Bad rss-counter state mm:(ptrval) type:MM_FILEPAGES val:${(50 * GIB) / 4096 + 956}`,
    );
  });

  it('without undoing RES ends above VIRT, with page tables never', () => {
    for (const { rule, boot, touched } of results)
      expect(touched > boot.virt, rule).toBe(rule === 'first-allocation');
  });

  it('who says on which node it is: page tables and a query', () => {
    expect(results.filter(({ byNode }) => byNode).map(({ rule }) => rule)).toEqual(['prot-none', 'query']);
    expect(of('query')?.byNode).toEqual(nodes('unevictable'));
  });

  it('page tables cost a table for each GiB of folios of 2 MiB', () => {
    // 40 for RAM; each ROM has one for its GiB, and one for each 2 MiB of small pages.
    expect((of('prot-none')?.pageTables ?? 0) / 4096).toBe(40 + 3 + 1 + 1 + 2);
  });
});
