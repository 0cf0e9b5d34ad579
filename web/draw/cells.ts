// Raster bytes to pixels: one table look-up per cell, so that 1024 × 512 cells take about 2 ms.
// Reference: docs/web.md "The map".
import { classOf, type LensInfo } from '../model/lens.ts';
import { PALETTES, type Rgb, type Theme } from './palette.ts';

/** Two colours a byte: even and odd diagonal bands, the same for everything but hatched classes. */
export interface Lut {
  readonly even: Uint32Array;
  readonly odd: Uint32Array;
}

const abgr = ([r, g, b]: Rgb): number => ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
const littleEndian = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1;
/** ImageData is bytes R, G, B, A; a u32 store has to match the machine's byte order. */
const pixel = (c: Rgb): number =>
  littleEndian ? abgr(c) : ((c[0] << 24) | (c[1] << 16) | (c[2] << 8) | 255) >>> 0;

export function lutOf(lens: LensInfo, theme: Theme): Lut {
  const paints = Array.from({ length: 256 }, (_, byte) => PALETTES[theme][classOf(lens, byte).paint]);
  return {
    even: Uint32Array.from(paints, ({ fill }) => pixel(fill)),
    odd: Uint32Array.from(paints, ({ fill, hatch }) => pixel(hatch ?? fill)),
  };
}

/** Bands are 3 of 6 cells wide: visible at one pixel a cell, and gone (drawn on the overlay) when cells are big. */
const BAND = 6;

export function paintCells(
  pixels: Uint32Array,
  cells: Uint8Array,
  width: number,
  lut: Lut,
  hatch: boolean,
): void {
  const { even, odd } = lut;
  const n = Math.min(pixels.length, cells.length);
  if (!hatch) {
    for (let i = 0; i < n; i++) pixels[i] = even[cells[i] as number] as number;
    return;
  }
  let i = 0;
  for (let row = 0; i < n; row++) {
    let phase = row % BAND;
    for (const end = Math.min(n, i + width); i < end; i++) {
      pixels[i] = (phase < BAND / 2 ? even : odd)[cells[i] as number] as number;
      phase = phase === BAND - 1 ? 0 : phase + 1;
    }
  }
}
