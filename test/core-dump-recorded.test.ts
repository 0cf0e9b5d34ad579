// What a core file has of mappings of every kind, as recorded (test/golden/core) and here; the notes about files.
// Reference: linux 6.18 fs/coredump.c (vma_dump_size), fs/binfmt_elf.c (fill_files_note).
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Hva } from '../src/index.ts';
import { notes } from '../src/observe/core-elf.ts';
import { dumpSize } from '../src/observe/core-filter.ts';
import { dumpPages } from '../src/observe/core-pages.ts';
import type { Vma } from '../src/types.ts';
import { assemble, notesOf } from './support/core-file.ts';
import { hvaAt, MIB, machine, PAGE } from './support/machines.ts';

const BUILD = { core: 'release', wasmMemory: 'plain' } as const;

interface Case {
  readonly name: string;
  readonly file?: { readonly links: number; readonly executable: boolean; readonly elf: boolean };
  readonly size: number;
  readonly perm: string;
  readonly flags: string;
  readonly anonVma: boolean;
  readonly ops?: readonly string[];
  readonly filesz: Readonly<Record<string, number>>;
  readonly data?: string;
}
const golden = JSON.parse(readFileSync('test/golden/core/mappings.json', 'utf8')) as {
  readonly pages: number;
  readonly cases: readonly Case[];
};
const EMPTY: Vma = {
  ...{ start: 0n as Hva, end: 0n as Hva, perm: '', flags: [], name: undefined, anonVma: 0, size: 0, rss: 0 },
  ...{ pss: 0, sharedClean: 0, sharedDirty: 0, privateClean: 0, privateDirty: 0, anonymous: 0, ksm: 0 },
  pssDirty: 0,
  ...{ lazyFree: 0, anonHugePages: 0, swap: 0, swapPss: 0, sharedHugetlb: 0, privateHugetlb: 0, locked: 0 },
};

describe('core dump › what Linux takes of a mapping', () => {
  it.each(golden.cases.map((c) => [c.name, c] as const))('%s', (_name, c) => {
    const file = c.file && { name: '/memfd:ram (deleted)', offset: 0, ...c.file };
    const vma: Vma = {
      ...EMPTY,
      ...{ perm: c.perm, flags: c.flags.split(' '), anonVma: c.anonVma ? 1 : 0, size: c.size },
      ...(file && { file }),
    };
    const sizes = Object.keys(c.filesz).map((filter) => [
      filter,
      dumpSize(vma, Number(filter), () => c.file?.elf === true).bytes,
    ]);
    expect(Object.fromEntries(sizes)).toEqual(c.filesz);
  });

  it('only the start of a file can be that of a program', () => {
    const file = { name: 'x', offset: PAGE, links: 0, executable: true };
    const vma = { ...EMPTY, flags: ['rd'], size: 2 * PAGE, file };
    expect(dumpSize(vma, 0x33, () => true)).toEqual({ bytes: 0, reason: 'filter' });
    expect(dumpSize({ ...vma, file: { ...file, offset: 0 } }, 0x33, () => false).bytes).toBe(PAGE);
  });

  it.each(
    golden.cases.filter((c) => c.ops).map((c) => [c.name, c] as const),
  )('here: %s', async (_name, c) => {
    const size = golden.pages * PAGE;
    const vm = await machine(BUILD, { memory: size });
    for (const op of c.ops ?? []) {
      const [what, first, pages] = op.split(' ').map((word, i) => (i ? Number(word) : word)) as [
        string,
        number,
        number,
      ];
      const [hva, len] = [hvaAt(vm, 0), BigInt(size)];
      if (what === 'read' || what === 'write')
        vm.guest.touch({ gpa: first * PAGE, len: pages * PAGE, write: what === 'write', byte: 1 });
      else if (what === 'mprotect') vm.vmm.mprotect(hva, len, first);
      else if (what === 'mlock') vm.vmm.mlock(hva, len);
      else vm.vmm.madvise(hva, len, what as 'dontneed');
    }
    const [vma] = vm.observe.vmas();
    expect([vma?.perm, vma?.flags.join(' '), vma?.anonVma !== 0]).toEqual([c.perm, c.flags, c.anonVma]);
    for (const [filter, filesz] of Object.entries(c.filesz)) {
      const dump = vm.observe.coreDump({ filter: Number(filter) });
      expect([filter, dump.segments[1]?.filesz]).toEqual([filter, filesz]);
      if (filter !== '0x33' || filesz === 0) continue;
      const at = dump.segments[1]?.offset as number;
      const data = new Set(
        [...dump.chunks()].flatMap((k) =>
          Array.from({ length: Math.ceil(k.bytes.length / PAGE) }, (_, i) => k.offset + i * PAGE),
        ),
      );
      expect(
        Array.from({ length: golden.pages }, (_, i) => (data.has(at + i * PAGE) ? '#' : '.')).join(''),
      ).toBe(c.data);
    }
  });

  it.each([-1, 1.5, 2 ** 32, Number.NaN])('filter %d: SLB-010', async (filter) => {
    const vm = await machine(BUILD);
    expect(() => vm.observe.coreDump({ filter })).toThrow(expect.objectContaining({ code: 'SLB-010' }));
  });

  it('bits without a meaning are ignored', async () => {
    const vm = await machine(BUILD);
    vm.guest.store(0, 1, 1);
    expect(vm.observe.coreDump({ filter: 0xffff_ff80 }).listing.vmas[0]?.reason).toBe('filter');
  });
});

describe('core dump › pages', () => {
  it('long rows of them, over the borders of chunks, in frames and, whole chunks of them, in swap', async () => {
    const vm = await machine(BUILD, { swap: 4 * MIB });
    for (let page = 400; page < 700; page++)
      vm.guest.fill({ gpa: page * PAGE, len: PAGE, byte: page & 0xff });
    const tail = [512 * PAGE, 188 * PAGE] as const;
    expect(vm.vmm.madvise(hvaAt(vm, tail[0]), BigInt(tail[1]), 'pageout')).toBe(0);
    const dump = vm.observe.coreDump();
    const file = assemble(dump);
    const at = dump.segments[1]?.offset ?? 0;
    const ram = file.subarray(at + 400 * PAGE, at + 700 * PAGE);
    expect(Buffer.compare(ram, vm.ramAccess.read(400 * PAGE, 300 * PAGE))).toBe(0);
    expect(Array.from({ length: 300 }, (_, i) => ram[i * PAGE])).toEqual(
      Array.from({ length: 300 }, (_, i) => (i + 400) & 0xff),
    );
    expect(dump.listing.dumped).toMatchObject({ resident: 112, swapped: 188 });
  });
});

describe('core dump › files', () => {
  it('of a mapping of a file each page is looked at: what is in its cache need not be mapped', async () => {
    const vm = await machine(BUILD);
    for (const page of [0, 3, 511, 512, 5000]) vm.guest.store(page * PAGE, 1, page + 1);
    const [vma] = vm.observe.vmas();
    if (!vma) throw new Error('no mapping');
    const file = { name: 'ram', offset: 0, links: 0, executable: false };
    const [plain, mapped] = [vma, { ...vma, file }].map((v) => [...dumpPages(vm, v, v.size, PAGE)]);
    expect(plain?.map((chunk) => chunk.offset / PAGE - 1)).toEqual([0, 3, 511, 5000]);
    expect(mapped).toEqual(plain);
  });

  it('NT_FILE has each mapping of a file: range, page offset, name', () => {
    const file = { name: '/memfd:ram (deleted)', offset: 3 * PAGE, links: 0, executable: true };
    const vmas = [
      { ...EMPTY, start: 0x1000n as Hva, end: 0x3000n as Hva, file },
      { ...EMPTY, start: 0x3000n as Hva, end: 0x4000n as Hva },
      { ...EMPTY, start: 0x5000n as Hva, end: 0x9000n as Hva, file: { ...file, name: 'b', offset: 0 } },
    ];
    const all = notesOf(Buffer.from(notes(1, vmas)));
    expect(all.map((n) => n.type)).toEqual([1, 3, 0x46494c45]);
    const desc = all[2]?.desc as Buffer;
    const words = Array.from({ length: 8 }, (_, i) => Number(desc.readBigUInt64LE(i * 8)));
    expect(words).toEqual([2, PAGE, 0x1000, 0x3000, 3, 0x5000, 0x9000, 0]);
    expect(desc.toString('latin1', 64)).toBe('/memfd:ram (deleted)\0b\0');
    expect(notesOf(Buffer.from(notes(1, vmas.slice(1, 2))))).toHaveLength(2);
  });
});
