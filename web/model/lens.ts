// The lenses of the map: what each byte of a raster means, in words.
// Reference: the raster of the core (assembly/observe), docs/web.md "The map".
import type { Lens } from '../../src/types.ts';

export interface CellClass {
  readonly id: string;
  /** Drawn in cells that are big enough; the page letters of docs/scenarios.md where there is one. */
  readonly letter: string;
  readonly name: string;
  readonly about: string;
  /** Key into the palette; the same idea has the same colour under every lens. */
  readonly paint: PaintName;
}

export type PaintName =
  | 'outside'
  | 'empty'
  | 'zero'
  | 'part'
  | 'anon'
  | 'lazy'
  | 'swap'
  | 'read'
  | 'write'
  | 'none'
  | 'locked'
  | 'mark';

export interface LensInfo {
  readonly id: Lens;
  readonly name: string;
  readonly about: string;
  readonly classes: readonly CellClass[];
  /** Class of a raster byte, as an index into `classes`. */
  readonly classify: (byte: number) => number;
}

const cell = (
  id: PaintName,
  letter: string,
  name: string,
  about: string,
  paint: PaintName = id,
): CellClass => ({
  id,
  letter,
  name,
  about,
  paint,
});
/** Bit 0 of every raster byte: some of the cell is in a memslot. */
const RAM = 1;
const OUTSIDE = cell('outside', '', 'no slot', 'no memslot: the device window, a hole, or beyond RAM');

/** The rarest state of a cell wins, so that one page shows in a terabyte. */
function lens(
  id: Lens,
  name: string,
  about: string,
  rules: readonly (readonly [(byte: number) => boolean, CellClass])[],
): LensInfo {
  const all = [[(byte: number) => (byte & RAM) === 0, OUTSIDE] as const, ...rules];
  const table = Uint8Array.from({ length: 256 }, (_, byte) => all.findIndex(([holds]) => holds(byte)));
  return { id, name, about, classes: all.map(([, c]) => c), classify: (byte) => table[byte] as number };
}

const always = () => true;
/** Bits 7…6 of a backing cell: how much of it is backed, 3 for three quarters or more. */
const FULL = 3 << 6;

export const LENSES: readonly LensInfo[] = [
  lens('backing', 'Backing', 'What the VMM process holds behind each page (host view).', [
    [(b) => (b & 16) !== 0, cell('swap', 's', 'swapped', 'a page of it is in the swap area of the host')],
    [
      (b) => (b & 8) !== 0,
      cell('lazy', 'l', 'lazily freed', 'after FREE: resident until the host needs frames'),
    ],
    [
      (b) => (b & 4) !== 0 && (b & FULL) === FULL,
      cell('anon', 'a', 'backed', 'host frames of its own, counted in RSS'),
    ],
    [
      (b) => (b & 4) !== 0,
      cell('part', 'p', 'partly backed', 'less than three quarters of the cell has frames'),
    ],
    [
      (b) => (b & 2) !== 0,
      cell('zero', 'z', 'zero page', 'loaded before it was stored to: the shared zero page'),
    ],
    [always, cell('empty', '·', 'unbacked', 'in a memslot, no host page yet')],
  ]),
  lens('slat', 'SLAT', 'What the second-level tables map (KVM view).', [
    [(b) => (b & 4) !== 0, cell('write', 'w', 'mapped writable', 'a leaf entry with R and W')],
    [
      (b) => (b & 2) !== 0,
      cell('read', 'm', 'mapped', 'read-only in a cell of one page; in larger cells some entry is present'),
    ],
    [always, cell('empty', '·', 'not present', 'the next access is a SLAT violation')],
  ]),
  lens('protection', 'Protection', 'What the VMAs of the VMM allow (host view).', [
    [(b) => (b & 6) === 0, cell('none', 'n', 'none', 'PROT_NONE: a guest access ends in EFAULT')],
    [(b) => (b & 8) !== 0, cell('locked', 'L', 'locked', 'mlocked: not reclaimed')],
    [(b) => (b & 6) === 2, cell('read', 'r', 'read', 'PROT_READ alone')],
    [(b) => (b & 6) === 4, cell('swap', 'w', 'write', 'PROT_WRITE alone')],
    [(b) => (b & 16) !== 0, cell('mark', 'd', 'not dumped', 'read, write, and left out of core dumps')],
    [(b) => (b & 32) !== 0, cell('lazy', 'k', 'mergeable', 'read, write, and KSM may merge it')],
    [always, cell('empty', '+', 'read, write', 'PROT_READ | PROT_WRITE')],
  ]),
];

export function lensInfo(id: Lens): LensInfo {
  return LENSES.find((l) => l.id === id) ?? (LENSES[0] as LensInfo);
}

export const classOf = (lens: LensInfo, byte: number): CellClass =>
  lens.classes[lens.classify(byte)] ?? OUTSIDE;

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
