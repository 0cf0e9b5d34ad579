// smaps text: field by field as Linux prints it, compared with this machine's own /proc/self/smaps where it has one;
// names of anonymous mappings. Reference: linux 6.18 fs/proc/task_mmu.c, mm/madvise.c (is_valid_name_char).
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { createSandbox, type Vm } from '../src/index.ts';
import { BUILDS, hvaAt, KIB, letters, MIB, machine, PAGE } from './support/machines.ts';

const BUILD = { core: 'release', wasmMemory: 'plain' } as const;
const EINVAL = 22;
const ENOMEM = 12;

/** An untouched VMA of 64 MiB, as Linux 6.18 prints one: MAP_NORESERVE, no huge pages. */
const UNTOUCHED = `100000000000-100004000000 rw-p 00000000 00:00 0 
Size:              65536 kB
KernelPageSize:        4 kB
MMUPageSize:           4 kB
Rss:                   0 kB
Pss:                   0 kB
Pss_Dirty:             0 kB
Shared_Clean:          0 kB
Shared_Dirty:          0 kB
Private_Clean:         0 kB
Private_Dirty:         0 kB
Referenced:            0 kB
Anonymous:             0 kB
KSM:                   0 kB
LazyFree:              0 kB
AnonHugePages:         0 kB
ShmemPmdMapped:        0 kB
FilePmdMapped:         0 kB
Shared_Hugetlb:        0 kB
Private_Hugetlb:       0 kB
Swap:                  0 kB
SwapPss:               0 kB
Locked:                0 kB
THPeligible:           0
VmFlags: rd wr mr mw me nr nh 
`;

interface Entry {
  readonly header: string;
  /** Lines by field name. */
  readonly fields: ReadonlyMap<string, string>;
}
function entries(smaps: string): Entry[] {
  const out: { header: string; fields: Map<string, string> }[] = [];
  for (const line of smaps.split('\n')) {
    if (/^[0-9a-f]+-[0-9a-f]+ /.test(line)) out.push({ header: line, fields: new Map() });
    else if (line) out.at(-1)?.fields.set(line.slice(0, line.indexOf(':')), line);
  }
  return out;
}
/** A line without its numbers: what is left is names, columns and units. A number takes the blanks before it. */
const shape = (line: string): string =>
  line.replace(/ *\d+(?= kB$|$)/, (digits) => '#'.repeat(digits.length));

describe('smaps › text', () => {
  it('an untouched mapping', async () => {
    const vm = await machine(BUILD);
    expect(vm.observe.smapsText()).toBe(UNTOUCHED);
  });

  it.skipIf(!existsSync('/proc/self/smaps'))(
    'fields, their order, columns and units are those of this kernel',
    async () => {
      const vm = await machine(BUILD);
      vm.guest.touch({ gpa: 0, len: MIB, write: true });
      const [ours] = entries(vm.observe.smapsText());
      // A private mapping without a file and without a name.
      const real = entries(readFileSync('/proc/self/smaps', 'latin1')).find((e) =>
        /^\S+ \S{3}p 00000000 00:00 0 *$/.test(e.header),
      );
      if (!ours || !real) throw new Error('no anonymous mapping');
      const both = [...ours.fields.keys()].filter((name) => real.fields.has(name));
      expect(both).toEqual(
        expect.arrayContaining(['Size', 'Rss', 'Pss', 'Private_Dirty', 'Swap', 'Locked', 'VmFlags']),
      );
      expect([...real.fields.keys()].filter((name) => ours.fields.has(name))).toEqual(both);
      for (const name of both.filter((n) => n !== 'VmFlags')) {
        expect(shape(ours.fields.get(name) as string)).toBe(shape(real.fields.get(name) as string));
      }
      const flags = /^VmFlags: (?:[a-z]{2} )+$/;
      expect(ours.fields.get('VmFlags')).toMatch(flags);
      expect(real.fields.get('VmFlags')).toMatch(flags);
      const header = /^[0-9a-f]{8,}-[0-9a-f]{8,} [r-][w-][x-]p [0-9a-f]{8} 00:00 0 $/;
      expect(ours.header).toMatch(header);
      expect(real.header).toMatch(header);
    },
  );

  it.skipIf(!existsSync('/proc/self/smaps'))(
    'a name stands in the column where this kernel puts [heap] or [stack]',
    async () => {
      const vm = await machine(BUILD);
      vm.vmm.setAnonName(hvaAt(vm, 0), BigInt(PAGE), 'x');
      const ours = entries(vm.observe.smapsText())[0]?.header ?? '';
      const real =
        entries(readFileSync('/proc/self/smaps', 'latin1')).find((e) =>
          /\[(heap|stack|vvar)\]$/.test(e.header),
        )?.header ?? '';
      expect(ours.indexOf('[')).toBe(real.indexOf('['));
      expect(ours).toBe(`100000000000-100000001000 rw-p 00000000 00:00 0 ${' '.repeat(25)}[anon:x]`);
    },
  );

  it('numbers of a mapping with pages of every kind', async () => {
    const vm = await machine(BUILD);
    const call = (at: number, n: number, advice: 'free' | 'pageout'): void => {
      expect(vm.vmm.madvise(hvaAt(vm, at * PAGE), BigInt(n * PAGE), advice)).toBe(0);
    };
    vm.guest.touch({ gpa: 0, len: 12 * PAGE, write: true });
    vm.guest.touch({ gpa: 12 * PAGE, len: 4 * PAGE });
    call(0, 3, 'pageout');
    call(4, 4, 'free');
    vm.guest.store(4 * PAGE, 1, 1);
    vm.vmm.load(hvaAt(vm, 0));
    expect(letters(vm, 0, 17)).toBe('assadlllaaaazzzz.');
    const kb = new Map(
      Array.from(
        vm.observe.smapsText().matchAll(/^(\w+): +(\d+) kB$/gm),
        ([, name, n]) => [name, Number(n) / 4] as const,
      ),
    );
    const want = {
      Rss: 10,
      Pss: 10,
      Anonymous: 10,
      Private_Dirty: 6,
      Private_Clean: 4,
      Pss_Dirty: 6,
      LazyFree: 3,
      Swap: 2,
      SwapPss: 2,
    };
    expect(Object.fromEntries(Object.keys(want).map((name) => [name, kb.get(name)]))).toEqual(want);
  });

  it.each([
    ['backing anon_acct', { backing: 'anon_acct' }, () => 0, 'rd wr mr mw me ac nh'],
    ['mprotect NONE', {}, (vm: Vm, hva: bigint) => vm.vmm.mprotect(hva, 4096n, 0), 'mr mw me nr nh'],
    ['mprotect READ', {}, (vm: Vm, hva: bigint) => vm.vmm.mprotect(hva, 4096n, 1), 'rd mr mw me nr nh'],
    ['mprotect WRITE', {}, (vm: Vm, hva: bigint) => vm.vmm.mprotect(hva, 4096n, 2), 'wr mr mw me nr nh'],
    ['mlock', {}, (vm: Vm, hva: bigint) => vm.vmm.mlock(hva, 4096n), 'rd wr mr mw me lo nr nh'],
    [
      'dontdump',
      {},
      (vm: Vm, hva: bigint) => vm.vmm.madvise(hva, 4096n, 'dontdump'),
      'rd wr mr mw me nr dd nh',
    ],
    [
      'mergeable',
      {},
      (vm: Vm, hva: bigint) => vm.vmm.madvise(hva, 4096n, 'mergeable'),
      'rd wr mr mw me nr nh mg',
    ],
  ] as const)('flags: %s', async (_row, options, call, flags) => {
    const vm = await machine(BUILD, options);
    expect(call(vm, hvaAt(vm, 0))).toBe(0);
    const first = vm.observe.vmas()[0];
    expect(first?.flags.join(' ')).toBe(flags);
    expect(entries(vm.observe.smapsText())[0]?.fields.get('VmFlags')).toBe(`VmFlags: ${flags} `);
    const perm = `${flags.includes('rd') ? 'r' : '-'}${flags.includes('wr') ? 'w' : '-'}-p`;
    expect(first?.perm).toBe(perm);
  });
});

describe.each(BUILDS)('smaps › names (7.10) › %s', (_name, build) => {
  const names = (vm: Vm): (string | undefined)[] => vm.observe.vmas().map((vma) => vma.name);

  it.each([
    ['a word', 'ram', 0],
    ['nothing', '', 0],
    ['blanks and punctuation', 'guest ram {0} "x" ~', 0],
    ['79 bytes', 'n'.repeat(79), 0],
    ['80 bytes', 'n'.repeat(80), EINVAL],
    ['opening bracket', 'a[b', EINVAL],
    ['closing bracket', 'a]b', EINVAL],
    ['backslash', 'a\\b', EINVAL],
    ['dollar', 'a$b', EINVAL],
    ['backtick', 'a`b', EINVAL],
    ['newline', 'a\nb', EINVAL],
    ['0x7f', 'a\x7fb', EINVAL],
    ['not ASCII', 'straße', EINVAL],
    ['what the device would give', 'pvmemcontrol-18446744073709551615', 0],
    ['one more than the device can give', 'pvmemcontrol-18446744073709551616', 0],
    ['a number with a leading zero', 'pvmemcontrol-07', 0],
  ])('%s: %j → %i', async (_row, name, errno) => {
    const vm = await machine(build);
    expect(vm.vmm.setAnonName(hvaAt(vm, 0), BigInt(PAGE), name)).toBe(errno);
    expect(names(vm)).toEqual(errno === 0 ? [name, undefined] : [undefined]);
    if (errno === 0) expect(vm.observe.smapsText()).toContain(`[anon:${name}]\n`);
  });

  it.each([
    ['inside a page', 1n, 4096n, EINVAL, 1],
    ['length 0', 0n, 0n, 0, 1],
    ['length 1 is a page', 0n, 1n, 0, 2],
    ['length that wraps when rounded up', 0n, (1n << 64n) - 1n, EINVAL, 1],
    ['end wraps', 4096n, (1n << 64n) - 4096n, EINVAL, 1],
    ['all of it', 0n, BigInt(64 * MIB), 0, 1],
    ['beyond the end: named, then ENOMEM', BigInt(32 * MIB), BigInt(64 * MIB), ENOMEM, 2],
  ])('%s', async (_row, offset, len, errno, vmas) => {
    const vm = await machine(build);
    expect(vm.vmm.setAnonName(hvaAt(vm, 0) + offset, len, 'n')).toBe(errno);
    expect(vm.observe.vmas()).toHaveLength(vmas);
  });

  it('goes on past holes, then ENOMEM; locked and PROT_NONE memory take names', async () => {
    const vm = await machine(build);
    const hva = hvaAt(vm, 0);
    vm.vmm.munmap(hva + 4096n, 4096n);
    vm.vmm.mlock(hva + 8192n, 4096n);
    vm.vmm.mprotect(hva + 12288n, 4096n, 0);
    expect(vm.vmm.setAnonName(hva, 16384n, 'n')).toBe(ENOMEM);
    expect(names(vm)).toEqual(['n', 'n', 'n', undefined]);
  });

  it('equal names merge, different ones do not, no name is not a name', async () => {
    const vm = await machine(build);
    const hva = hvaAt(vm, 0);
    const name = (page: bigint, text: string | undefined): void => {
      expect(vm.vmm.setAnonName(hva + page * 4096n, 4096n, text)).toBe(0);
    };
    name(0n, 'a');
    name(1n, 'b');
    expect(names(vm)).toEqual(['a', 'b', undefined]);
    name(1n, 'a');
    expect(names(vm)).toEqual(['a', undefined]);
    expect(vm.observe.vmas()[0]?.size).toBe(8 * KIB);
    name(0n, undefined);
    expect(names(vm)).toEqual([undefined, 'a', undefined]);
    name(1n, undefined);
    expect(names(vm)).toEqual([undefined]);
  });

  it('a request of the guest gives pvmemcontrol-N, and 0 takes it away', async () => {
    const vm = await machine(build);
    const { pvmemcontrol } = vm.guest;
    const N = (1n << 64n) - 1n;
    const range = { gpa: MIB, len: PAGE };
    expect(pvmemcontrol.setVmaAnonName({ ...range, arg: N })).toMatchObject({ errno: 0, code: 0 });
    expect(names(vm)).toEqual([undefined, `pvmemcontrol-${N}`, undefined]);
    expect(vm.vmm.setAnonName(hvaAt(vm, MIB + PAGE), 4096n, `pvmemcontrol-${N}`)).toBe(0);
    expect(vm.observe.vmas()).toHaveLength(3);
    expect(pvmemcontrol.setVmaAnonName({ ...range, len: 2 * PAGE, arg: 0 })).toMatchObject({ errno: 0 });
    expect(names(vm)).toEqual([undefined]);
  });

  it('a kernel without CONFIG_ANON_VMA_NAME', async () => {
    const vm = await machine(build, { vmaNames: false });
    expect(vm.vmm.setAnonName(hvaAt(vm, 0), 4096n, 'n')).toBe(EINVAL);
    expect(vm.guest.pvmemcontrol.setVmaAnonName({ gpa: 0, len: PAGE, arg: 1 })).toMatchObject({
      errno: EINVAL,
    });
    expect(names(vm)).toEqual([undefined]);
  });
});

// What if a page of a memfd is in swap, and a private mapping of it has a copy in its place, or may never write one?
describe('smaps › swapped pages of a memfd', () => {
  const HVA = 1n << 44n;
  const AT = 4096n;
  /** Two pages of a memfd in swap, seen through another mapping; of the first the private one has a copy. */
  const swapped = async () => {
    const vm = await createSandbox({ ram: [] });
    const { vmm } = vm;
    const fd = vmm.memfdCreate(2 * PAGE);
    const elsewhere = HVA + (1n << 30n);
    vmm.mmap({ addr: HVA, length: 2n * AT, prot: 3, shared: false, fd });
    vmm.mmap({ addr: elsewhere, length: 2n * AT, prot: 3, shared: true, fd });
    vmm.store(HVA, 1);
    vmm.fillPage(elsewhere, 2);
    vmm.fillPage(elsewhere + AT, 2);
    expect(vmm.madvise(elsewhere, 2n * AT, 'pageout')).toBe(0);
    expect(vm.observe.filePages(fd, 0, 2)).toBe('ww');
    const swapOf = (index: number) => {
      const { swap, swapPss } = vm.observe.vmas()[index] ?? {};
      return { swap, swapPss };
    };
    return { vmm, swapOf };
  };

  it('shared: all of them', async () => {
    expect((await swapped()).swapOf(1)).toEqual({ swap: 2 * PAGE, swapPss: 0 });
  });
  it('private, writable: those without a copy', async () => {
    expect((await swapped()).swapOf(0)).toEqual({ swap: PAGE, swapPss: 0 });
  });
  it('private, the copy in swap too: both, but the copy alone has a share', async () => {
    const { vmm, swapOf } = await swapped();
    expect(vmm.madvise(HVA, AT, 'pageout')).toBe(0);
    expect(swapOf(0)).toEqual({ swap: 2 * PAGE, swapPss: PAGE });
  });
  it('private, not writable: all of them', async () => {
    const { vmm, swapOf } = await swapped();
    expect(vmm.mprotect(HVA, 2n * AT, 1)).toBe(0);
    expect(swapOf(0)).toEqual({ swap: 2 * PAGE, swapPss: 0 });
  });
});
