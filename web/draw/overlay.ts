// What is drawn over the cells at screen resolution: patterns and letters in big cells, the selection.
// Reference: docs/web.md "The map" (state is colour, pattern, and letter once cells are big enough).
import { type CellClass, classOf, type LensInfo } from '../model/lens.ts';
import { cellOf, gridOf, type Range, type View } from '../model/view.ts';
import { css, PALETTES, type Paint, type Theme } from './palette.ts';
import { PATTERNS, TILE } from './patterns.ts';

export interface Picture {
  readonly view: View;
  readonly lens: LensInfo;
  readonly cells: Uint8Array;
}

/** Cells at least this wide and high, in CSS pixels, carry their letter. */
const LETTER_CELL = 11;
/** Cells at least this big have room for a pattern of their own; smaller ones get it across cells (cells.ts). */
export const PATTERN_CELL = 3;
/** Lone cells are drawn at least this big: one page in a terabyte is a thousandth of a pixel. */
const MARK = 3;
const MARK_RUN = 2;
/** Enough for any picture in which a mark still means something. */
const MARK_LIMIT = 4000;
/** A smaller selection is ringed, or nobody would find one page in a terabyte. */
const RING = 9;

export function drawOverlay(
  context: CanvasRenderingContext2D,
  picture: Picture,
  selection: Range,
  theme: Theme,
  width: number,
  height: number,
): void {
  context.clearRect(0, 0, width, height);
  const grid = gridOf(picture.view.span);
  const cellWidth = width / grid.width;
  const cellHeight = height / grid.height;
  const side = Math.min(cellWidth, cellHeight);
  if (side >= PATTERN_CELL) drawPatterns(context, picture, theme, cellWidth, cellHeight);
  if (side >= LETTER_CELL) drawLetters(context, picture, theme, cellWidth, cellHeight);
  else if (side < MARK) drawMarks(context, picture, theme, cellWidth, cellHeight);
  drawSelection(context, picture.view, selection, theme, width, height);
}

/** A tile with the second colour where the pattern has it, and nothing elsewhere. */
function tileOf({ pattern, second }: Paint): OffscreenCanvas {
  const tile = new OffscreenCanvas(TILE, TILE);
  const context = tile.getContext('2d');
  if (!context) return tile;
  context.fillStyle = css(second);
  for (let at = 0; at < TILE * TILE; at++) {
    const x = at % TILE;
    const y = Math.floor(at / TILE);
    if (PATTERNS[pattern](x, y)) context.fillRect(x, y, 1, 1);
  }
  return tile;
}

/** Runs of one class in a row at once: the pattern goes on from cell to cell. */
function drawPatterns(
  context: CanvasRenderingContext2D,
  { view, lens, cells }: Picture,
  theme: Theme,
  cellWidth: number,
  cellHeight: number,
): void {
  const { width } = gridOf(view.span);
  const fills = new Map<CellClass, CanvasPattern | null>();
  context.imageSmoothingEnabled = false;
  for (let i = 0; i < cells.length; ) {
    const from = i;
    const state = lens.classify(cells[i] as number);
    const end = from - (from % width) + width;
    do i++;
    while (i < end && i < cells.length && lens.classify(cells[i] as number) === state);
    const what = lens.classes[state] as CellClass;
    const paint = PALETTES[theme][what.id];
    if (paint.pattern === 'solid') continue;
    let fill = fills.get(what);
    if (fill === undefined) {
      fill = context.createPattern(tileOf(paint), 'repeat');
      fills.set(what, fill);
    }
    if (fill === null) continue;
    context.fillStyle = fill;
    context.fillRect(
      (from % width) * cellWidth,
      Math.floor(from / width) * cellHeight,
      (i - from) * cellWidth,
      cellHeight,
    );
  }
}

function drawLetters(
  context: CanvasRenderingContext2D,
  { view, lens, cells }: Picture,
  theme: Theme,
  cellWidth: number,
  cellHeight: number,
): void {
  const { width } = gridOf(view.span);
  const palette = PALETTES[theme];
  const size = Math.round(Math.min(cellWidth, cellHeight, 20) * 0.62);
  context.font = `600 ${size}px ui-monospace, monospace`;
  context.textAlign = 'center';
  context.textBaseline = 'middle';
  context.lineWidth = 1;
  cells.forEach((value, i) => {
    const { id, letter } = classOf(lens, value);
    const { fill, ink, pattern } = palette[id];
    const x = (i % width) * cellWidth;
    const y = Math.floor(i / width) * cellHeight;
    context.globalAlpha = 0.25;
    context.strokeStyle = css(ink);
    context.strokeRect(x + 0.5, y + 0.5, cellWidth - 1, cellHeight - 1);
    context.globalAlpha = 1;
    if (letter === '') return;
    const middle = { x: x + cellWidth / 2, y: y + cellHeight / 2 };
    if (pattern !== 'solid') {
      // A ground for the letter: it must be readable on the pattern.
      context.fillStyle = css(fill);
      context.fillRect(middle.x - size * 0.45, middle.y - size * 0.6, size * 0.9, size * 1.2);
    }
    context.fillStyle = css(ink);
    context.fillText(letter, middle.x, middle.y + 0.5);
  });
}

/** Short runs of cells that are neither outside nor empty, blown up. */
function drawMarks(
  context: CanvasRenderingContext2D,
  { view, lens, cells }: Picture,
  theme: Theme,
  cellWidth: number,
  cellHeight: number,
): void {
  const { width } = gridOf(view.span);
  const plain = Array.from({ length: 256 }, (_, byte) => {
    const { id } = classOf(lens, byte);
    return id === 'outside' || id === 'empty';
  });
  let marks = 0;
  for (let i = 0; i < cells.length && marks < MARK_LIMIT; i++) {
    const value = cells[i] as number;
    if (plain[value]) continue;
    const from = i;
    while (i + 1 < cells.length && !plain[cells[i + 1] as number]) i++;
    if (i - from >= MARK_RUN) continue;
    context.fillStyle = css(PALETTES[theme][classOf(lens, value).id].fill);
    const x = ((from % width) + 0.5) * cellWidth;
    const y = (Math.floor(from / width) + 0.5) * cellHeight;
    context.fillRect(Math.round(x - MARK / 2), Math.round(y - MARK / 2), MARK, MARK);
    marks++;
  }
}

/** The rows of a range as up to three rectangles: tail of the first row, whole rows, head of the last. */
function rectangles(view: View, range: Range): { x: number; y: number; w: number; h: number }[] {
  const { width, height } = gridOf(view.span);
  const last = range.gpa + (range.len > 0n ? range.len - 1n : 0n);
  const from = Math.max(0, cellOf(view, range.gpa));
  const to = Math.min(width * height - 1, cellOf(view, last));
  if (from > to) return [];
  const top = Math.floor(from / width);
  const bottom = Math.floor(to / width);
  const left = from % width;
  const right = to % width;
  if (top === bottom) return [{ x: left, y: top, w: right - left + 1, h: 1 }];
  const whole = [];
  if (left > 0) whole.push({ x: left, y: top, w: width - left, h: 1 });
  const firstWhole = left > 0 ? top + 1 : top;
  const lastWhole = right < width - 1 ? bottom - 1 : bottom;
  if (lastWhole >= firstWhole) whole.push({ x: 0, y: firstWhole, w: width, h: lastWhole - firstWhole + 1 });
  if (right < width - 1) whole.push({ x: 0, y: bottom, w: right + 1, h: 1 });
  return whole;
}

/** A side of a box, grown to RING when it is small, and kept inside the surface. */
function ring(start: number, length: number, limit: number): readonly [start: number, length: number] {
  const grown = Math.max(RING, length);
  const low = Math.min(limit - grown - 1, Math.max(1, start - (grown - length) / 2));
  return [low, grown];
}

function drawSelection(
  context: CanvasRenderingContext2D,
  view: View,
  selection: Range,
  theme: Theme,
  width: number,
  height: number,
): void {
  const grid = gridOf(view.span);
  const cellWidth = width / grid.width;
  const cellHeight = height / grid.height;
  const [outer, inner] = theme === 'light' ? ['#ffffff', '#101418'] : ['#101418', '#ffffff'];
  for (const { x, y, w, h } of rectangles(view, selection)) {
    const [left, boxWidth] = ring(x * cellWidth, w * cellWidth, width);
    const [top, boxHeight] = ring(y * cellHeight, h * cellHeight, height);
    // Two strokes of opposite lightness are seen on every cell colour.
    for (const [colour, lineWidth] of [
      [outer, 4],
      [inner, 2],
    ] as const) {
      context.strokeStyle = colour;
      context.lineWidth = lineWidth;
      context.strokeRect(left, top, boxWidth, boxHeight);
    }
  }
}
