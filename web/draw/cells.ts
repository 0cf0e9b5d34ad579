// Raster bytes to pixels: one table look-up per cell, so that 1024 × 512 cells take about 2 ms.
// Reference: docs/web.md "The map".
import { classOf, type LensInfo } from '../model/lens.ts';
import { PALETTES, type Rgb, type Theme } from './palette.ts';
import { PATTERNS, TILE } from './patterns.ts';

const littleEndian = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1;
/** ImageData is bytes R, G, B, A; a u32 store has to match the machine's byte order. */
const pixel = ([r, g, b]: Rgb): number =>
  (littleEndian ? (255 << 24) | (b << 16) | (g << 8) | r : (r << 24) | (g << 16) | (b << 8) | 255) >>> 0;

/** The colour of a byte at each pixel of the pattern's tile: index byte × 64 + y × 8 + x. */
export type Lut = Uint32Array;

/** With `plain` every pixel of a tile is the fill: patterns are drawn elsewhere then. */
export function lutOf(lens: LensInfo, theme: Theme, plain = false): Lut {
  const lut = new Uint32Array(256 * TILE * TILE);
  for (let byte = 0; byte < 256; byte++) {
    const { fill, second, pattern } = PALETTES[theme][classOf(lens, byte).id];
    for (let at = 0; at < TILE * TILE; at++) {
      const isSecond = !plain && PATTERNS[pattern](at % TILE, Math.floor(at / TILE));
      lut[byte * TILE * TILE + at] = pixel(isSecond ? second : fill);
    }
  }
  return lut;
}

/** A pixel of the pattern is 2^grow cells wide and high: more where the screen shows several cells a pixel. */
export function paintCells(
  pixels: Uint32Array,
  cells: Uint8Array,
  width: number,
  lut: Lut,
  grow: number,
): void {
  const n = Math.min(pixels.length, cells.length);
  let i = 0;
  for (let row = 0; i < n; row++) {
    const y = ((row >> grow) & (TILE - 1)) << 3;
    for (let x = 0, end = Math.min(n, i + width); i < end; i++, x++) {
      pixels[i] = lut[((cells[i] as number) << 6) | y | ((x >> grow) & (TILE - 1))] as number;
    }
  }
}
