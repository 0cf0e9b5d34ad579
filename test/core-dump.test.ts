// Core files of the VMM, byte by byte; test/core-dump-recorded.test.ts has what Linux takes of which mapping.
// Reference: linux 6.18 fs/coredump.c (vma_dump_size), fs/binfmt_elf.c (elf_core_dump); docs/linux-rules.md C.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { CoreDump, Vm } from '../src/index.ts';
import { createHost, createSandbox } from '../src/index.ts';
import {
  assemble,
  hasReadelf,
  notesOf,
  readelf,
  type Segment,
  save,
  segmentsOf,
} from './support/core-file.ts';
import { BUILDS, changes, GIB, hvaAt, letters, MIB, machine, PAGE } from './support/machines.ts';

const BUILD = { core: 'release', wasmMemory: 'plain' } as const;
const BASE = 2 ** 44;
const SECRET = Buffer.from('the secret of the guest');
const NEIGHBOUR = Buffer.from('what lies beside it');

/** Where the file has the byte at a host-virtual address; undefined where it has none. */
function placeOf(dump: CoreDump, hva: bigint): number | undefined {
  const inside = dump.segments.find(
    (s) => s.type === 'LOAD' && hva >= s.vaddr && hva < s.vaddr + BigInt(s.filesz),
  );
  return inside && inside.offset + Number(hva - inside.vaddr);
}
const pageRange = (vm: Vm, gpa: number, pages = 1) => [hvaAt(vm, gpa), BigInt(pages * PAGE)] as const;

describe.each(BUILDS)('core dump › %s', (_name, build) => {
  /** Two regions; pages in frames and in swap, zero pages, a page that is not dumped, one that nobody may read. */
  async function guest(): Promise<Vm> {
    const vm = await createSandbox({
      ...{
        ram: [
          { gpa: 0, size: 4 * MIB },
          { gpa: 5 * GIB, size: 4 * MIB },
        ],
      },
      ...{ pool: 8 * MIB, swap: MIB, ...build },
    });
    vm.guest.touch({ gpa: 16 * PAGE, len: 4 * PAGE });
    vm.guest.fill({ gpa: 32 * PAGE, len: 8 * PAGE, byte: 0x5a });
    vm.ramAccess.write(34 * PAGE + 100, SECRET);
    vm.ramAccess.write(35 * PAGE - 1, NEIGHBOUR);
    vm.ramAccess.write(33 * PAGE + 200, NEIGHBOUR);
    vm.guest.store(5 * GIB + 3 * PAGE, 8, 0x0102030405060708n);
    expect(vm.vmm.madvise(...pageRange(vm, 34 * PAGE), 'dontdump')).toBe(0);
    expect(vm.vmm.madvise(...pageRange(vm, 36 * PAGE, 2), 'pageout')).toBe(0);
    expect(vm.vmm.mprotect(...pageRange(vm, 38 * PAGE), 0)).toBe(0);
    expect(letters(vm, 32 * PAGE, 8)).toBe('aaaassaa');
    return vm;
  }
  const row = (page: number, pages: number, filesz: number, flags = 'RW') => ({
    ...{
      type: 'LOAD',
      vaddr: BASE + page * PAGE,
      filesz: filesz * PAGE,
      memsz: pages * PAGE,
      flags,
      align: PAGE,
    },
  });
  const HIGH = (GIB + GIB) / PAGE;
  const EXPECTED = [
    row(0, 34, 34),
    row(34, 1, 0),
    row(35, 3, 3),
    row(38, 1, 1, ''),
    row(39, 1024 - 39, 1024 - 39),
    row(HIGH, 1024, 1024),
  ];

  it(`is a core file${hasReadelf ? ' to readelf too' : ' (no readelf on this machine: read by the test’s own reader)'}`, async () => {
    const vm = await guest();
    const dump = vm.observe.coreDump();
    const file = assemble(dump);
    const segments = segmentsOf(file);
    const [note, ...loads] = segments;
    let offset = PAGE;
    const placed = EXPECTED.map((want) => {
      const at = offset;
      offset += want.filesz;
      return { ...want, offset: at };
    });
    expect(loads).toEqual(placed);
    expect(note).toEqual({
      ...{ type: 'NOTE', offset: 64 + 7 * 56, vaddr: 0, filesz: 512, memsz: 0, flags: '', align: 4 },
    });
    expect(file.length).toBe(offset);
    if (!hasReadelf) return;
    const said = readelf(save(dump));
    expect(said.segments).toEqual(segments);
    expect(said.notes).toEqual(['NT_PRSTATUS 336', 'NT_PRPSINFO 136']);
    expect(said.header).toMatch(
      /Class: +ELF64[\s\S]*Type: +CORE[\s\S]*Machine: +Advanced Micro Devices X86-64/,
    );
  });

  it('notes: one thread without registers, called slatbox', async () => {
    const file = assemble((await guest()).observe.coreDump());
    const { offset, filesz } = segmentsOf(file)[0] as Segment;
    const [status, info, ...more] = notesOf(file.subarray(offset, offset + filesz));
    expect(more).toEqual([]);
    expect([status?.owner, status?.type, info?.owner, info?.type]).toEqual(['CORE', 1, 'CORE', 3]);
    expect(status?.desc.subarray(112).every((byte) => byte === 0)).toBe(true);
    expect(info?.desc.toString('latin1', 40, 56).replaceAll('\0', '')).toBe('slatbox');
    expect(status?.desc.readInt32LE(32)).toBe(info?.desc.readInt32LE(24));
  });

  it('has the bytes of the neighbours of a DONTDUMP page, not its own; those in swap; zeros for the rest', async () => {
    const vm = await guest();
    const dump = vm.observe.coreDump();
    const file = assemble(dump);
    const at = (gpa: number): number => placeOf(dump, hvaAt(vm, gpa)) as number;
    expect(file.includes(SECRET)).toBe(false);
    expect(placeOf(dump, hvaAt(vm, 34 * PAGE))).toBeUndefined();
    expect(file.indexOf(NEIGHBOUR)).toBe(at(33 * PAGE + 200));
    expect(file.subarray(at(35 * PAGE), at(35 * PAGE) + 18)).toEqual(NEIGHBOUR.subarray(1));
    for (const page of [36, 37, 38]) {
      expect(file.subarray(at(page * PAGE), at(page * PAGE) + PAGE).every((byte) => byte === 0x5a)).toBe(
        true,
      );
    }
    expect(file.readBigUInt64LE(at(5 * GIB + 3 * PAGE))).toBe(0x0102030405060708n);
    expect(file.subarray(at(16 * PAGE), at(20 * PAGE)).every((byte) => byte === 0)).toBe(true);
    // Only headers and seven pages are written, the rest are holes.
    const written = [...dump.chunks()].reduce((sum, chunk) => sum + chunk.bytes.length, 0);
    expect(written).toBe(dump.listing.stored);
    expect(Math.floor(written / PAGE)).toBe(8);
  });

  it('lists each mapping, and why one is left out', async () => {
    const vm = await guest();
    const { listing } = vm.observe.coreDump();
    expect(listing.vmas.map((v) => [v.dumped / PAGE, v.reason, v.resident, v.swapped])).toEqual([
      [34, undefined, 2, 0],
      [0, 'dontdump', 1, 0],
      [3, undefined, 1, 2],
      [1, undefined, 1, 0],
      [1024 - 39, undefined, 1, 0],
      [1024, undefined, 1, 0],
    ]);
    expect(listing.dumped).toEqual({ bytes: 2047 * PAGE, resident: 6, swapped: 2 });
    expect(listing.leftOut).toEqual({ bytes: PAGE, resident: 1, swapped: 0 });
    expect(listing.vmas[1]).toMatchObject({
      start: BigInt(BASE + 34 * PAGE),
      perm: 'rw-p',
      flags: expect.arrayContaining(['dd']),
    });
    const shared = vm.observe.coreDump({ filter: 0x02 }).listing;
    expect(shared.vmas.map((v) => v.reason)).toEqual([
      'filter',
      'dontdump',
      'filter',
      'filter',
      'filter',
      'filter',
    ]);
  });

  it('changes nothing in the machine', async () => {
    const vm = await guest();
    const before = [vm.observe.digest(), letters(vm, 0, 64), vm.host.events.next];
    expect(changes(vm, () => void assemble(vm.observe.coreDump()))).toEqual({});
    expect([vm.observe.digest(), letters(vm, 0, 64), vm.host.events.next]).toEqual(before);
    expect(vm.host.check()).toEqual([]);
  });

  it('takes the guest’s own word: a DONTDUMP request leaves its range out', async () => {
    const vm = await guest();
    vm.ramAccess.write(200 * PAGE, SECRET);
    expect(assemble(vm.observe.coreDump()).includes(SECRET)).toBe(true);
    expect(vm.guest.pvmemcontrol.dontdump({ gpa: 200 * PAGE, len: PAGE })).toMatchObject({ errno: 0 });
    expect(assemble(vm.observe.coreDump()).includes(SECRET)).toBe(false);
  });
});

describe('core dump › in extremes', () => {
  it('a VMM without guest RAM left: headers and notes', async () => {
    const vm = await machine(BUILD);
    vm.vmm.munmap(hvaAt(vm, 0), BigInt(64 * MIB));
    const dump = vm.observe.coreDump();
    expect(dump.segments).toHaveLength(1);
    expect(segmentsOf(assemble(dump))).toHaveLength(1);
  });

  it('more segments than e_phnum can say: their number is in a section header', async () => {
    const pages = 65_540;
    const vm = await machine(BUILD, { memory: pages * PAGE, pool: 64 * MIB, maxMapCount: 100_000 });
    for (let i = 0; i < pages; i += 2) vm.vmm.madvise(...pageRange(vm, i * PAGE), 'dontdump');
    vm.guest.store(7 * PAGE, 8, 77);
    const dump = vm.observe.coreDump();
    const file = assemble(dump);
    expect(dump.segments).toHaveLength(pages + 1);
    expect(file.readUInt16LE(56)).toBe(0xffff);
    expect(
      segmentsOf(file)
        .slice(1)
        .map((s) => s.vaddr),
    ).toEqual(Array.from({ length: pages }, (_, i) => BASE + i * PAGE));
    if (hasReadelf) expect(readelf(save(dump)).header).toMatch(/program headers: +65535 \(65541\)/);
  }, 60_000);

  it('costs what is there: a guest of a terabyte with three pages', async () => {
    const vm = await machine(BUILD, { memory: '1T' });
    for (const gpa of [0x1000, 0x2000, '900G']) vm.guest.store(gpa, 1, 1);
    const dump = vm.observe.coreDump();
    const chunks = [...dump.chunks()];
    expect(dump.size).toBeGreaterThan(2 ** 40);
    expect(chunks.map((chunk) => chunk.bytes.length).slice(1)).toEqual([2 * PAGE, PAGE]);
    expect(dump.listing.stored).toBe(chunks.reduce((sum, chunk) => sum + chunk.bytes.length, 0));
  });

  it('VMs of a host are processes of their own', async () => {
    const host = await createHost({ memory: MIB, swap: 0 });
    const pids = [host.createVm({ memory: MIB }), host.createVm({ memory: MIB })].map((vm) => {
      const file = assemble(vm.observe.coreDump());
      return notesOf(file.subarray(64 + 2 * 56, 64 + 2 * 56 + 512))[1]?.desc.readInt32LE(24);
    });
    expect(pids).toEqual([1, 2]);
  });
});

describe('core dump › any guest', () => {
  const PAGES = 48;
  const op = fc.record({
    what: fc.constantFrom(
      'write',
      'write',
      'read',
      'dontdump',
      'pageout',
      'free',
      'dontneed',
      'none',
      'munmap',
      'mlock',
    ),
    page: fc.integer({ min: 0, max: PAGES - 1 }),
    pages: fc.integer({ min: 1, max: 6 }),
  });

  it('every byte of the file is what ramPeek sees, and every page is in it or left out for a reason', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(op, { maxLength: 30 }),
        fc.constantFrom(0x33, 0x32, 0xff),
        async (ops, filter) => {
          const vm = await machine(BUILD, {
            ram: [
              { gpa: 0, size: 16 * PAGE },
              { gpa: '4G', size: 32 * PAGE },
            ],
            ...{ pool: 24 * PAGE, swap: 40 * PAGE },
          });
          const gpaOf = (page: number): number => (page < 16 ? page * PAGE : 4 * GIB + (page - 16) * PAGE);
          ops.forEach(({ what, page, pages }, i) => {
            const count = Math.min(pages, (page < 16 ? 16 : PAGES) - page);
            const [hva, len] = pageRange(vm, gpaOf(page), count);
            if (what === 'write') vm.guest.fill({ gpa: gpaOf(page), len: count * PAGE, byte: i + 1 });
            else if (what === 'read') vm.guest.touch({ gpa: gpaOf(page), len: count * PAGE });
            else if (what === 'none') vm.vmm.mprotect(hva, len, 0);
            else if (what === 'munmap') vm.vmm.munmap(hva, len);
            else if (what === 'mlock') vm.vmm.mlock(hva, len);
            else vm.vmm.madvise(hva, len, what as 'free');
          });
          const before = vm.observe.digest();
          const dump = vm.observe.coreDump({ filter });
          const file = assemble(dump);
          const left = new Map(dump.listing.vmas.map((v) => [v.start as bigint, v]));
          for (let page = 0; page < PAGES; page++) {
            const hva = hvaAt(vm, gpaOf(page));
            const letter = letters(vm, gpaOf(page));
            const at = placeOf(dump, hva);
            if (at !== undefined) {
              const seen = vm.ramAccess.read(gpaOf(page), PAGE);
              expect(Buffer.compare(file.subarray(at, at + PAGE), seen), `page ${page} ${letter}`).toBe(0);
            } else if (letter !== 'x') {
              const vma = [...left.values()].find((v) => hva >= v.start && hva < v.end);
              expect(vma?.reason, `page ${page}`).toBeDefined();
              expect(vma?.reason === 'no anonymous page' && 'alds'.includes(letter)).toBe(false);
            }
          }
          expect(vm.observe.digest()).toBe(before);
          const written = [...dump.chunks()].reduce((sum, chunk) => sum + chunk.bytes.length, 0);
          expect(written).toBe(dump.listing.stored);
        },
      ),
      { numRuns: 120 },
    );
  }, 60_000);
});
