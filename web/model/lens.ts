// The lenses of the map: what each byte of a raster means, in words.
// Reference: the raster of the core (assembly/observe), docs/events.md "Cells", docs/web.md "The map".
import { PageKind } from '../../assembly/abi/page-kind.ts';
import type { Lens } from '../../src/types.ts';

export interface CellClass {
  readonly id: PaintName;
  /** Drawn in cells that are big enough; the page letters of docs/linux-rules.md where there is one. */
  readonly letter: string;
  readonly name: string;
  readonly about: string;
}

/** Keys into the palette; the same idea has the same colour and pattern under every lens. */
export type PaintName =
  | 'outside'
  | 'empty'
  | 'zero'
  | 'huge-zero'
  | 'part'
  | 'anon'
  | 'file'
  | 'cached'
  | 'huge'
  | 'huge-part'
  | 'held'
  | 'hugetlb'
  | 'ksm'
  | 'lazy'
  | 'swap'
  | 'read'
  | 'read-2m'
  | 'write'
  | 'write-2m'
  | 'write-only'
  | 'none'
  | 'locked'
  | 'dontdump'
  | 'mergeable'
  | 'shared'
  | 'private'
  | 'both'
  | 'left'
  | 'mixed'
  | 'private-empty';

export interface LensInfo {
  readonly id: Lens;
  readonly name: string;
  readonly about: string;
  readonly classes: readonly CellClass[];
  /** Class of a raster byte, as an index into `classes`. */
  readonly classify: (byte: number) => number;
}

const cell = (id: PaintName, letter: string, name: string, about: string): CellClass => ({
  id,
  letter,
  name,
  about,
});
/** Bit 0 of every raster byte: some of the cell is in a memslot. */
const RAM = 1;
const OUTSIDE = cell('outside', '', 'no slot', 'no memslot: the device window, a hole, or beyond RAM');

/** `paintOf` is asked for bytes that have RAM; the legend lists `classes` in their order. */
function lens(
  id: Lens,
  name: string,
  about: string,
  classes: readonly CellClass[],
  paintOf: (byte: number) => PaintName,
): LensInfo {
  const all = [OUTSIDE, ...classes];
  const index = (paint: PaintName) => all.findIndex((c) => c.id === paint);
  const table = Uint8Array.from({ length: 256 }, (_, byte) => (byte & RAM ? index(paintOf(byte)) : 0));
  return { id, name, about, classes: all, classify: (byte) => table[byte] as number };
}

/** By the kind of page, bits 5…1. */
const KINDS: Readonly<Record<PageKind, PaintName>> = {
  [PageKind.None]: 'empty',
  [PageKind.Zero]: 'zero',
  [PageKind.HugeZero]: 'huge-zero',
  [PageKind.Cached]: 'cached',
  [PageKind.Anonymous]: 'anon',
  [PageKind.Hugetlb]: 'hugetlb',
  [PageKind.File]: 'file',
  [PageKind.Huge]: 'huge',
  [PageKind.HugePart]: 'huge-part',
  [PageKind.Held]: 'held',
  [PageKind.Ksm]: 'ksm',
  [PageKind.Lazy]: 'lazy',
  [PageKind.Swapped]: 'swap',
};

/** A cell of several pages has its highest kind; of plain pages it also says (bits 7…6) whether most are there. */
function backing(byte: number): PaintName {
  const paint = KINDS[((byte >> 1) & 31) as PageKind];
  return paint === 'anon' && byte >> 6 < 3 ? 'part' : paint;
}

function slat(byte: number): PaintName {
  if (byte & 4) return byte & 8 ? 'write-2m' : 'write';
  if (byte & 2) return byte & 8 ? 'read-2m' : 'read';
  return 'empty';
}

/** The rarest state of a cell wins, so that one page shows in a terabyte. */
function protection(byte: number): PaintName {
  const access = byte & 6;
  if (access === 0) return 'none';
  if (byte & 8) return 'locked';
  if (access === 2) return 'read';
  if (access === 4) return 'write-only';
  return byte & 16 ? 'dontdump' : byte & 32 ? 'mergeable' : 'empty';
}

/** Memory that is there twice is what one looks for; then what is there for nobody. */
function attributes(byte: number): PaintName {
  if (byte & 8) return 'both';
  if (byte & 16) return 'left';
  if (byte & 2) return byte & 4 ? 'mixed' : 'shared';
  if (byte & 4) return 'private';
  return byte & 32 ? 'private-empty' : 'empty';
}

export const LENSES: readonly LensInfo[] = [
  lens(
    'backing',
    'Backing',
    'What the host has behind each page (host view).',
    [
      cell('empty', '·', 'nothing', 'in a memslot, no host page yet, or none any more'),
      cell('zero', 'z', 'zero page', 'loaded before it was stored to: the zero page that all share'),
      cell('huge-zero', 'Z', 'huge zero page', 'the same for 2 MiB'),
      cell('anon', 'a', 'anonymous', 'a frame of its own, in RSS; of a private file mapping, the copy'),
      cell('part', 'p', 'partly anonymous', 'less than three quarters of the cell are mapped'),
      cell('file', 'f', 'file', 'a page of the memory file, mapped and in RSS'),
      cell(
        'cached',
        'c',
        'file, not mapped',
        'the file has the page in memory, but nobody maps it: not in RSS',
      ),
      cell('huge', 'H', 'huge page', 'part of a huge page of 2 MiB that one entry maps'),
      cell('huge-part', 'h', 'huge page, split mapping', 'part of a huge page that small entries map'),
      cell(
        'held',
        'u',
        'unmapped, still held',
        'part of a huge page that is not mapped any more: not in RSS, but its frame is given back only when the huge page is split or gone',
      ),
      cell('hugetlb', 'G', 'hugetlb', 'a hugetlb page of 2 MiB or 1 GiB: counted apart, not in RSS'),
      cell('ksm', 'k', 'shared by KSM', 'one read-only frame for all pages with these contents'),
      cell('lazy', 'l', 'lazily freed', 'after FREE: resident until the host needs frames'),
      cell('swap', 's', 'swapped', 'in the swap area of the host'),
    ],
    backing,
  ),
  lens(
    'slat',
    'SLAT',
    'What the second-level tables map (KVM view).',
    [
      cell('empty', '·', 'not present', 'the next access is a SLAT violation'),
      cell('read', 'm', 'mapped', 'read-only in a cell of one page; in larger cells some entry is present'),
      cell('write', 'w', 'mapped writable', 'a leaf entry with R and W'),
      cell(
        'read-2m',
        'M',
        'mapped, huge entry',
        'as mapped, by one entry of 2 MiB or 1 GiB, above page tables',
      ),
      cell('write-2m', 'W', 'mapped writable, huge entry', 'the same with R and W'),
    ],
    slat,
  ),
  lens(
    'protection',
    'Protection',
    'What the VMAs of the VMM allow (host view).',
    [
      cell('empty', '+', 'read, write', 'PROT_READ | PROT_WRITE'),
      cell('read', 'r', 'read', 'PROT_READ alone'),
      cell('write-only', 'w', 'write', 'PROT_WRITE alone'),
      cell('none', 'n', 'none', 'PROT_NONE, or no mapping: a guest access ends in EFAULT'),
      cell('locked', 'L', 'locked', 'mlocked: not reclaimed'),
      cell('dontdump', 'd', 'not dumped', 'read, write, and left out of core dumps'),
      cell('mergeable', 'k', 'mergeable', 'read, write, and KSM may merge it'),
    ],
    protection,
  ),
  lens(
    'attributes',
    'Attributes',
    'Private and shared memory: what the guest sees, and what there is (KVM and host view).',
    [
      cell('empty', '·', 'shared, nothing there', 'shared, and no memory of it yet'),
      cell('shared', 'S', 'shared', 'the guest sees the VMM’s memory, and there is some'),
      cell('private', 'P', 'private', 'the guest sees the guest_memfd, and there is memory in it'),
      cell(
        'both',
        '2',
        'both: memory twice',
        'shared and private memory of one page: one of them is for nobody',
      ),
      cell('left', 'o', 'left from before', 'only memory of the other kind: the next access allocates more'),
      cell(
        'mixed',
        'm',
        'of both kinds',
        'some pages of the cell are shared, some private, none is there twice',
      ),
      cell(
        'private-empty',
        'p',
        'private, nothing there',
        'private, and no memory of it yet, or no guest_memfd at all',
      ),
    ],
    attributes,
  ),
];

export function lensInfo(id: Lens): LensInfo {
  return LENSES.find((l) => l.id === id) ?? (LENSES[0] as LensInfo);
}

export const classOf = (lens: LensInfo, byte: number): CellClass =>
  lens.classes[lens.classify(byte)] ?? OUTSIDE;

/** The classes that a picture has. */
export function classesIn(lens: LensInfo, cells: Uint8Array): ReadonlySet<CellClass> {
  const seen = new Uint8Array(256);
  for (let i = 0; i < cells.length; i++) seen[cells[i] as number] = 1;
  const out = new Set<CellClass>();
  for (let byte = 0; byte < 256; byte++) if (seen[byte]) out.add(classOf(lens, byte));
  return out;
}

export interface Run {
  readonly gpa: bigint;
  readonly len: bigint;
  readonly state: CellClass;
}

/** Run-length list of a raster: the text twin of the picture. Stops after `limit` runs. */
export function runs(
  lens: LensInfo,
  cells: Uint8Array,
  start: bigint,
  cellShift: number,
  limit: number,
): { runs: Run[]; more: boolean } {
  const out: Run[] = [];
  const at = (n: number) => BigInt(n) << BigInt(cellShift);
  let from = 0;
  let state = lens.classify(cells[0] ?? 0);
  for (let i = 1; i <= cells.length; i++) {
    const next = i < cells.length ? lens.classify(cells[i] as number) : -1;
    if (next === state) continue;
    if (out.length === limit) return { runs: out, more: true };
    out.push({ gpa: start + at(from), len: at(i - from), state: lens.classes[state] as CellClass });
    from = i;
    state = next;
  }
  return { runs: out, more: false };
}
