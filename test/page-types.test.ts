// The summary of page-types: exact texts of small machines of every backing, and of a host. The tool itself, run over
// kpageflags and pagemap of such machines, prints the same. Reference: linux 6.18 tools/mm/page-types.c.
import { describe, expect, it } from 'vitest';
import { type BackingKind, createHost, createSandbox, type Hva, type Vm } from '../src/index.ts';
import { GIB, hvaAt, letters, MIB, machine, PAGE } from './support/machines.ts';

const BUILD = { core: 'release', wasmMemory: 'plain' } as const;
const HEAD = '             flags\tpage-count       MB  symbolic-flags\t\t\tlong-symbolic-flags';

const page = (vm: Vm, n: number): Hva => hvaAt(vm, n * PAGE);
const write = (vm: Vm, n: number): void => void vm.vmm.fillPage(page(vm, n), 7);

/** Pages 0 and 4 written, 1 read, 2 written and swapped, 3 locked. */
function small(vm: Vm): void {
  write(vm, 0);
  vm.vmm.load(page(vm, 1));
  write(vm, 2);
  vm.vmm.madvise(page(vm, 2), 4096n, 'pageout');
  vm.vmm.mlock(page(vm, 3), 4096n);
  write(vm, 4);
}
/** A huge page, the huge zero page, and a huge page without its second page. */
function huge(vm: Vm): void {
  write(vm, 0);
  vm.vmm.load(page(vm, 512));
  write(vm, 1024);
  vm.vmm.madvise(page(vm, 1025), 4096n, 'dontneed');
}

// In the order of the tool's hash table: by the flags' lowest 13 bits, and where these are equal as they were met.
const ROWS: readonly (readonly [BackingKind, number, (vm: Vm) => void, string, readonly string[]])[] = [
  [
    'anon',
    2,
    (vm) => {
      small(vm);
      vm.vmm.madvise(page(vm, 4), 4096n, 'free');
    },
    'azsal',
    [
      '0x0000000000000000\t         1        0  ____________________________________________\t',
      '0x0000000001000000\t         1        0  ________________________z___________________\tzero_page',
      '0x0000000000005828\t         1        0  ___U_l_____Ma_b_____________________________\tuptodate,lru,mmap,anonymous,swapbacked',
      '0x0000000000045828\t         1        0  ___U_l_____Ma_b___u_________________________\tuptodate,lru,mmap,anonymous,swapbacked,unevictable',
      '0x0000000000001828\t         1        0  ___U_l_____Ma_______________________________\tuptodate,lru,mmap,anonymous',
      '             total\t         5        0',
    ],
  ],
  [
    'memfd',
    2,
    small,
    'ffsff',
    [
      '0x0000000000004828\t         1        0  ___U_l_____M__b_____________________________\tuptodate,lru,mmap,swapbacked',
      '0x0000000000044828\t         1        0  ___U_l_____M__b___u_________________________\tuptodate,lru,mmap,swapbacked,unevictable',
      '0x0000000000004838\t         2        0  ___UDl_____M__b_____________________________\tuptodate,dirty,lru,mmap,swapbacked',
      '             total\t         4        0',
    ],
  ],
  [
    'memfd_priv',
    2,
    small,
    'afsaa',
    [
      '0x0000000000000000\t         1        0  ____________________________________________\t',
      '0x0000000000004828\t         1        0  ___U_l_____M__b_____________________________\tuptodate,lru,mmap,swapbacked',
      '0x0000000000005828\t         2        0  ___U_l_____Ma_b_____________________________\tuptodate,lru,mmap,anonymous,swapbacked',
      '0x0000000000045828\t         1        0  ___U_l_____Ma_b___u_________________________\tuptodate,lru,mmap,anonymous,swapbacked,unevictable',
      '             total\t         5        0',
    ],
  ],
  [
    'thp',
    6,
    huge,
    'HHHHH',
    [
      '0x0000000001400000\t       512        2  ______________________t_z___________________\tthp,zero_page',
      '0x0000000000405828\t       512        2  ___U_l_____Ma_b_______t_____________________\tuptodate,lru,mmap,anonymous,swapbacked,thp',
      '0x0000000000405838\t       511        1  ___UDl_____Ma_b_______t_____________________\tuptodate,dirty,lru,mmap,anonymous,swapbacked,thp',
      '             total\t      1535        5',
    ],
  ],
  [
    'hugetlb',
    6,
    (vm) => write(vm, 0),
    'GGGGG',
    [
      '0x0000000000029808\t         1        0  ___U_______Ma__H_G__________________________\tuptodate,mmap,anonymous,compound_head,huge',
      '0x0000000000031808\t       511        1  ___U_______Ma___TG__________________________\tuptodate,mmap,anonymous,compound_tail,huge',
      '             total\t       512        2',
    ],
  ],
  [
    'hugetlb_shared',
    6,
    (vm) => vm.vmm.load(page(vm, 0)),
    'GGGGG',
    [
      '0x0000000000028818\t         1        0  ___UD______M___H_G__________________________\tuptodate,dirty,mmap,compound_head,huge',
      '0x0000000000030818\t       511        1  ___UD______M____TG__________________________\tuptodate,dirty,mmap,compound_tail,huge',
      '             total\t       512        2',
    ],
  ],
];

describe('page-types', () => {
  it.each(ROWS)('%s', async (backing, mib, run, state, lines) => {
    const vm = await machine(BUILD, { ram: [{ gpa: 0, size: mib * MIB }], pool: 16 * MIB, backing });
    run(vm);
    expect(letters(vm, 0, 5)).toBe(state);
    expect(vm.observe.pageTypesText()).toBe(`${[HEAD, ...lines].join('\n')}\n`);
  });

  it('raw: compound pages, exclusive ones, flags of pagemap', async () => {
    const vm = await machine(BUILD, { ram: [{ gpa: 0, size: 6 * MIB }], pool: 16 * MIB, backing: 'thp' });
    huge(vm);
    expect(vm.observe.pageTypesText({ raw: true })).toBe(
      `${[
        HEAD,
        '0x2000000001408000\t         1        0  _______________H______t_z________________F__\tcompound_head,thp,zero_page,file',
        '0x2000000001410000\t       511        1  ________________T_____t_z________________F__\tcompound_tail,thp,zero_page,file',
        '0x800080000040d828\t         1        0  ___U_l_____Ma_bH______t______________d_____1\tuptodate,lru,mmap,anonymous,swapbacked,compound_head,thp,anon_exclusive,mmap_exclusive',
        '0x8000800000415828\t       511        1  ___U_l_____Ma_b_T_____t______________d_____1\tuptodate,lru,mmap,anonymous,swapbacked,compound_tail,thp,anon_exclusive,mmap_exclusive',
        '0x800080000040d838\t         1        0  ___UDl_____Ma_bH______t______________d_____1\tuptodate,dirty,lru,mmap,anonymous,swapbacked,compound_head,thp,anon_exclusive,mmap_exclusive',
        '0x8000800000415838\t       510        1  ___UDl_____Ma_b_T_____t______________d_____1\tuptodate,dirty,lru,mmap,anonymous,swapbacked,compound_tail,thp,anon_exclusive,mmap_exclusive',
        '             total\t      1535        5',
      ].join('\n')}\n`,
    );
    vm.vmm.madvise(page(vm, 0), BigInt(2 * MIB), 'dontneed');
    vm.vmm.fillPage(page(vm, 0), 1);
    expect(vm.observe.pageTypes({ raw: true }).types.map(({ names }) => names.at(-1))).toContain(
      'mmap_exclusive',
    );
  });

  it('of a host: every frame once, and the zero page; what KSM shares counts for each VM', async () => {
    const host = await createHost({ ...BUILD, memory: 4 * MIB });
    const [a, b] = [0, 1].map(() => host.createVm({ memory: MIB })) as [Vm, Vm];
    for (const vm of [a, b]) {
      write(vm, 0);
      vm.vmm.madvise(page(vm, 0), BigInt(MIB), 'mergeable');
    }
    host.ksm.scan(3);
    a.vmm.fillPage(page(a, 1), 1);
    const file = host.createVm({ memory: MIB, backing: 'memfd' });
    write(file, 0);
    file.vmm.madvise(page(file, 0), 4096n, 'dontneed');
    const ksm =
      '0x0000000000205838\t         1        0  ___UDl_____Ma_b______x______________________\tuptodate,dirty,lru,mmap,anonymous,swapbacked,ksm';
    const anon =
      '0x0000000000005828\t         1        0  ___U_l_____Ma_b_____________________________\tuptodate,lru,mmap,anonymous,swapbacked';
    expect(host.pageTypesText().split('\n')).toEqual([
      HEAD,
      '0x0000000001000000\t         1        0  ________________________z___________________\tzero_page',
      '0x0000000000004038\t         1        0  ___UDl________b_____________________________\tuptodate,dirty,lru,swapbacked',
      '0x0000000000000400\t      1021        3  __________B_________________________________\tbuddy',
      anon,
      ksm,
      '             total\t      1025        4',
      '',
    ]);
    expect(a.observe.pageTypesText().split('\n')).toEqual([
      HEAD,
      anon,
      ksm,
      '             total\t         2        0',
      '',
    ]);
    expect(b.observe.pageTypesText().split('\n')).toEqual([
      HEAD,
      ksm,
      '             total\t         1        0',
      '',
    ]);
    expect(file.observe.pageTypesText().split('\n')).toEqual([
      HEAD,
      '             total\t         0        0',
      '',
    ]);
  });

  it('what reclaim leaves of a page: a swapped one has no flags, with raw its swap bit', async () => {
    const vm = await machine(BUILD, { memory: 4 * MIB, pool: MIB, swap: 8 * MIB });
    for (let n = 0; n < 512; n++) write(vm, n);
    const { types, pages } = vm.observe.pageTypes({ raw: true });
    const swapped = vm.observe.status().vmSwap / PAGE;
    expect(swapped).toBeGreaterThanOrEqual(256);
    expect(pages).toBe(512);
    expect(types.map(({ names, pages: n }) => [names.join(), n])).toEqual([
      ['swap', swapped],
      ['uptodate,lru,mmap,anonymous,swapbacked,anon_exclusive,mmap_exclusive', 512 - swapped],
    ]);
  });

  it('after vCPU threads have run: what they kept for themselves is free again', async () => {
    const vm = await createSandbox({ memory: 8 * MIB, cpus: 2, threads: true });
    const program = (gpa: number) => [
      { touch: { gpa, len: MIB, write: true } },
      { dontneed: { gpa, len: MIB / 2 } },
    ];
    vm.guest.pvmemcontrol.info();
    await vm.run([program(MIB), program(4 * MIB)]);
    await vm.close();
    const { total, free } = vm.host.frames();
    const { types, pages } = vm.host.pageTypes();
    expect(pages).toBe(total + 1);
    expect(types.find(({ names }) => names.includes('buddy'))?.pages).toBe(free);
    expect(vm.observe.pageTypes().pages).toBe(vm.observe.rss() / PAGE);
  });

  it('a guest of 1 TiB costs what it touched', async () => {
    const vm = await machine(BUILD, { memory: '1T' });
    for (const gib of [0n, 500n, 1000n]) vm.guest.store(gib * BigInt(GIB), 1, 1);
    const started = process.cpuUsage();
    expect(vm.observe.pageTypes()).toMatchObject({ pages: 3, types: [{ pages: 3 }] });
    // 2^28 pages looked at one by one would be many seconds.
    expect(process.cpuUsage(started).user).toBeLessThan(1e6);
  });
});
