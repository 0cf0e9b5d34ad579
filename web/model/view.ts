// The window of the memory map: a power-of-two span of guest-physical space as rows of cells.
// Pure arithmetic, no DOM. Reference: docs/web.md "The map".
//
// A cell is a page or a power of two of pages. From 2 GiB up the surface has 1024 × 512 cells and the cell grows
// with the span; below, a cell stays one page and there are fewer of them, so that each gets room for a letter.

/** log2 of the bytes shown: 2 MiB (one page table's reach) … 64 TiB (a 46-bit guest). */
export const MIN_SPAN = 21;
export const MAX_SPAN = 46;
const PAGE_SHIFT = 12;
const MAX_COLUMNS = 10;
const MAX_ROWS = 9;

/** `start` is a multiple of the bytes of one row, so columns keep their meaning while rows scroll. */
export interface View {
  readonly start: bigint;
  readonly span: number;
}

export interface Grid {
  readonly width: number;
  readonly height: number;
  /** log2 of the bytes of one cell. */
  readonly cellShift: number;
  readonly rowBytes: bigint;
}

export interface Range {
  readonly gpa: bigint;
  readonly len: bigint;
}

export function gridOf(span: number): Grid {
  const cellShift = Math.max(PAGE_SHIFT, span - MAX_COLUMNS - MAX_ROWS);
  const cells = span - cellShift;
  // Cells are shared out so that the surface stays 2:1 or 1:1 in cells; the picture is 2:1 in any case.
  const rows = Math.min(MAX_ROWS, Math.floor(cells / 2));
  const columns = cells - rows;
  return { width: 1 << columns, height: 1 << rows, cellShift, rowBytes: 1n << BigInt(columns + cellShift) };
}

/** The smallest span that shows [0, end). */
export function spanOf(end: bigint): number {
  let span = MIN_SPAN;
  while (span < MAX_SPAN && 1n << BigInt(span) < end) span++;
  return span;
}

const floorTo = (n: bigint, unit: bigint): bigint => n - (n % unit);
const clamp = (n: number, low: number, high: number): number => Math.min(high, Math.max(low, n));

/** Keeps a view inside [0, 2^top) and on a row boundary. */
export function fitView(start: bigint, span: number, top: number): View {
  const s = clamp(span, MIN_SPAN, top);
  const { rowBytes } = gridOf(s);
  const last = (1n << BigInt(top)) - (1n << BigInt(s));
  const low = start < 0n ? 0n : start > last ? last : start;
  return { start: floorTo(low, rowBytes), span: s };
}

/** Zoom by `delta` powers of two; the row of `anchor` stays at the height it had (0 top … 1 bottom). */
export function zoom(view: View, delta: number, anchor: bigint, height: number, top: number): View {
  const span = clamp(view.span + delta, MIN_SPAN, top);
  const grid = gridOf(span);
  const above = BigInt(clamp(Math.floor(height * grid.height), 0, grid.height - 1));
  return fitView(floorTo(anchor, grid.rowBytes) - above * grid.rowBytes, span, top);
}

export function panRows(view: View, rows: number, top: number): View {
  return fitView(view.start + BigInt(rows) * gridOf(view.span).rowBytes, view.span, top);
}

/** Moves by a quarter of what is shown. */
export function panQuarter(view: View, direction: 1 | -1, top: number): View {
  const quarter = Math.max(1, gridOf(view.span).height >> 2);
  return panRows(view, direction * quarter, top);
}

/** Reach of one table by level, as spans: a page table, a page directory, a PDPT, the PML4 (clipped by `top`). */
const TABLE_SPANS = [21, 30, 39, 48];

/** One table level up or down; the natural range of that size around `anchor` becomes the view. */
export function level(view: View, direction: 'up' | 'down', anchor: bigint, top: number): View {
  const spans = TABLE_SPANS.map((s) => Math.min(s, top));
  const span =
    direction === 'up'
      ? (spans.find((s) => s > view.span) ?? top)
      : Math.max(MIN_SPAN, ...spans.filter((s) => s < view.span));
  return fitView(floorTo(anchor, 1n << BigInt(span)), span, top);
}

/** The smallest naturally aligned view that shows all of `range`. */
export function fitRange(range: Range, top: number): View {
  let span = MIN_SPAN;
  const last = range.gpa + (range.len > 0n ? range.len - 1n : 0n);
  while (span < top && range.gpa >> BigInt(span) !== last >> BigInt(span)) span++;
  return fitView(floorTo(range.gpa, 1n << BigInt(span)), span, top);
}

/** Address of the cell at fractions x, y of the surface. */
export function gpaAt(view: View, x: number, y: number): bigint {
  const { width, height, cellShift } = gridOf(view.span);
  const column = clamp(Math.floor(x * width), 0, width - 1);
  const row = clamp(Math.floor(y * height), 0, height - 1);
  return view.start + (BigInt(row * width + column) << BigInt(cellShift));
}

/** Cell number of a gpa in the view; negative or past the last cell when it is outside. */
export function cellOf(view: View, gpa: bigint): number {
  return Number((gpa - view.start) >> BigInt(gridOf(view.span).cellShift));
}

export const viewEnd = (view: View): bigint => view.start + (1n << BigInt(view.span));

/** The smallest range that contains both. */
export function spanning(a: Range, b: Range): Range {
  const [first, second] = a.gpa <= b.gpa ? [a, b] : [b, a];
  const reach = second.gpa + second.len - first.gpa;
  return reach >= first.len ? { gpa: first.gpa, len: reach } : first;
}
