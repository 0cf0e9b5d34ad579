// The core file that Linux would write of the VMM, if guest RAM were all it maps: which mappings are in it, why others
// are not, and its bytes. Reference: linux 6.18 fs/binfmt_elf.c, elf_core_dump; docs/linux-rules.md C.
import { PAGE_SIZE } from '../address.ts';
import type { Vma } from '../types.ts';
import type { Vm } from '../vm.ts';
import { EHDR_SIZE, elfHeaders, extendedNumbering, isExtended, notes, PHDR_SIZE } from './core-elf.ts';
import { assertFilter, DEFAULT_FILTER, dumpSize } from './core-filter.ts';
import { dumpPages, startsAsElf } from './core-pages.ts';
import type {
  CoreChunk,
  CoreDump,
  CoreDumpListing,
  CoreDumpOptions,
  CoreDumpTotals,
  CoreDumpVma,
  CoreSegment,
} from './core-types.ts';
import { readVmas } from './vmas.ts';

const NOTE_ALIGN = 4;
const PF: Readonly<Record<string, number>> = { r: 4, w: 2, x: 1 };

/** Headers are of now; the bytes of pages are read when `chunks` is iterated. */
export function coreDump(vm: Vm, options: CoreDumpOptions = {}): CoreDump {
  const filter = options.filter ?? DEFAULT_FILTER;
  assertFilter(filter);
  const vmas: readonly Vma[] = readVmas(vm);
  const listed = vmas.map((vma) =>
    list(
      vma,
      dumpSize(vma, filter, (v) => startsAsElf(vm, v)),
    ),
  );
  // No process ids here: VMs of a host are told apart by their number, and 0 is nobody's.
  const noteBytes = notes(vm.id + 1, vmas);
  const { segments, end } = layOut(listed, noteBytes.length);
  const extended = isExtended(segments.length);
  const head = concat(elfHeaders(segments, end), noteBytes);
  const tail = extended ? extendedNumbering(segments.length) : new Uint8Array(0);
  const loads = segments.slice(1);

  function* chunks(): Generator<CoreChunk> {
    yield { offset: 0, bytes: head.slice() };
    for (const [i, vma] of vmas.entries()) {
      const { filesz, offset } = loads[i] as CoreSegment;
      if (filesz > 0) yield* dumpPages(vm, vma, filesz, offset);
    }
    if (extended) yield { offset: end, bytes: tail.slice() };
  }
  return {
    size: end + tail.length,
    segments,
    listing: total(filter, listed, head.length + tail.length),
    chunks,
  };
}

function list(vma: Vma, { bytes, reason }: ReturnType<typeof dumpSize>): CoreDumpVma {
  const { start, end, perm, flags, name, size, rss, swap } = vma;
  const pages = { resident: rss / PAGE_SIZE, swapped: swap / PAGE_SIZE };
  return { start, end, perm, flags, name, size, dumped: bytes, reason, ...pages };
}

/** ELF header, program headers, notes; then, from the next page on, what is dumped of each VMA. */
function layOut(vmas: readonly CoreDumpVma[], noteSize: number): { segments: CoreSegment[]; end: number } {
  const notesAt = EHDR_SIZE + (1 + vmas.length) * PHDR_SIZE;
  const none = { vaddr: 0n, flags: 0, memsz: 0 } as const;
  const segments: CoreSegment[] = [
    { type: 'NOTE', offset: notesAt, filesz: noteSize, align: NOTE_ALIGN, ...none },
  ];
  let offset = Math.ceil((notesAt + noteSize) / PAGE_SIZE) * PAGE_SIZE;
  for (const { start, perm, size, dumped } of vmas) {
    const flags = [...perm].reduce((sum, letter) => sum + (PF[letter] ?? 0), 0);
    segments.push({
      type: 'LOAD',
      offset,
      vaddr: start,
      filesz: dumped,
      memsz: size,
      flags,
      align: PAGE_SIZE,
    });
    offset += dumped;
  }
  return { segments, end: offset };
}

function total(filter: number, vmas: readonly CoreDumpVma[], headers: number): CoreDumpListing {
  const sum = (of: readonly CoreDumpVma[], bytes: (vma: CoreDumpVma) => number): CoreDumpTotals => ({
    bytes: vmas.reduce((n, vma) => n + bytes(vma), 0),
    resident: of.reduce((n, vma) => n + vma.resident, 0),
    swapped: of.reduce((n, vma) => n + vma.swapped, 0),
  });
  const dumped = sum(
    vmas.filter((vma) => vma.dumped === vma.size),
    (vma) => vma.dumped,
  );
  const leftOut = sum(
    vmas.filter((vma) => vma.dumped !== vma.size),
    (vma) => vma.size - vma.dumped,
  );
  const stored = headers + (dumped.resident + dumped.swapped) * PAGE_SIZE;
  return { filter, vmas, dumped, leftOut, stored };
}

function concat(a: Uint8Array, b: Uint8Array): Uint8Array {
  const out = new Uint8Array(a.length + b.length);
  out.set(a);
  out.set(b, a.length);
  return out;
}
