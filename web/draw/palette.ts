// Colours and patterns of the map for light and dark, derived from Okabe and Ito's set for all kinds of colour vision.
// Each theme has its own: a palette with near-black dies in the dark. Reference: docs/web.md "Colour".
import type { PaintName } from '../model/lens.ts';
import type { PatternName } from './patterns.ts';

export type Theme = 'light' | 'dark';
export type Rgb = readonly [number, number, number];
export interface Paint {
  readonly fill: Rgb;
  /** Of the letter. */
  readonly ink: Rgb;
  readonly pattern: PatternName;
  /** The second colour, of the pattern. */
  readonly second: Rgb;
}

/** What a paint's pattern is, in both themes; within a lens no two are alike, or one is light and the other dark. */
const PATTERN: Readonly<Record<PaintName, PatternName>> = {
  outside: 'slash',
  empty: 'solid',
  zero: 'dots',
  'huge-zero': 'dashes',
  part: 'checks',
  anon: 'solid',
  file: 'columns',
  cached: 'posts',
  huge: 'rows',
  'huge-part': 'bricks',
  held: 'cross',
  hugetlb: 'grid',
  ksm: 'plus',
  lazy: 'backslash',
  swap: 'waves',
  read: 'dots',
  'read-2m': 'rows',
  write: 'solid',
  'write-2m': 'grid',
  'write-only': 'waves',
  none: 'cross',
  locked: 'grid',
  dontdump: 'bricks',
  mergeable: 'plus',
  shared: 'columns',
  private: 'solid',
  both: 'checks',
  left: 'cross',
  mixed: 'bricks',
  'private-empty': 'dots',
};

const DARK_INK: Rgb = [20, 24, 30];
const LIGHT_INK: Rgb = [255, 255, 255];
type Fill = readonly [fill: Rgb, ink: Rgb, second?: Rgb];

const LIGHT: Readonly<Record<PaintName, Fill>> = {
  outside: [
    [236, 238, 241],
    [120, 128, 138],
    [208, 212, 218],
  ],
  empty: [
    [250, 250, 247],
    [130, 136, 144],
  ],
  zero: [[240, 228, 66], DARK_INK],
  'huge-zero': [[226, 200, 40], DARK_INK],
  part: [[122, 176, 216], DARK_INK],
  anon: [[0, 114, 178], LIGHT_INK],
  file: [[0, 128, 96], LIGHT_INK],
  cached: [[168, 222, 200], DARK_INK],
  huge: [[28, 60, 140], LIGHT_INK],
  'huge-part': [[112, 132, 204], DARK_INK],
  held: [[230, 160, 200], DARK_INK],
  hugetlb: [[122, 84, 30], LIGHT_INK],
  ksm: [[128, 72, 156], LIGHT_INK],
  lazy: [[120, 220, 220], DARK_INK],
  swap: [[213, 94, 0], LIGHT_INK],
  read: [[230, 159, 0], DARK_INK],
  'read-2m': [[180, 110, 0], DARK_INK],
  write: [[0, 110, 84], LIGHT_INK],
  'write-2m': [[20, 70, 120], LIGHT_INK],
  'write-only': [[213, 94, 0], LIGHT_INK],
  none: [[70, 74, 82], LIGHT_INK],
  locked: [[178, 88, 140], LIGHT_INK],
  dontdump: [[204, 150, 184], DARK_INK],
  mergeable: [[128, 72, 156], LIGHT_INK],
  shared: [[0, 128, 96], LIGHT_INK],
  private: [[0, 84, 150], LIGHT_INK],
  both: [[213, 94, 0], LIGHT_INK],
  left: [[240, 200, 90], DARK_INK],
  mixed: [[110, 160, 200], DARK_INK],
  'private-empty': [[214, 226, 242], DARK_INK],
};

const DARK: Readonly<Record<PaintName, Fill>> = {
  outside: [
    [24, 28, 34],
    [130, 138, 150],
    [44, 50, 60],
  ],
  empty: [
    [52, 60, 72],
    [160, 168, 178],
  ],
  zero: [[240, 228, 66], DARK_INK],
  'huge-zero': [[206, 184, 60], DARK_INK],
  part: [[52, 108, 160], LIGHT_INK],
  anon: [[86, 180, 240], DARK_INK],
  file: [[30, 180, 136], DARK_INK],
  cached: [[28, 96, 78], LIGHT_INK],
  huge: [[130, 160, 250], DARK_INK],
  'huge-part': [[74, 92, 176], LIGHT_INK],
  held: [[222, 130, 184], DARK_INK],
  hugetlb: [[196, 152, 92], DARK_INK],
  ksm: [[190, 140, 226], DARK_INK],
  lazy: [[140, 226, 226], DARK_INK],
  swap: [[235, 120, 40], DARK_INK],
  read: [[235, 172, 40], DARK_INK],
  'read-2m': [[200, 130, 30], DARK_INK],
  write: [[30, 190, 146], DARK_INK],
  'write-2m': [[110, 170, 250], DARK_INK],
  'write-only': [[235, 120, 40], DARK_INK],
  none: [[150, 156, 166], DARK_INK],
  locked: [[214, 130, 178], DARK_INK],
  dontdump: [[180, 110, 150], DARK_INK],
  mergeable: [[190, 140, 226], DARK_INK],
  shared: [[30, 180, 136], DARK_INK],
  private: [[96, 170, 250], DARK_INK],
  both: [[245, 130, 50], DARK_INK],
  left: [[214, 178, 72], DARK_INK],
  mixed: [[70, 118, 160], LIGHT_INK],
  'private-empty': [[44, 66, 100], LIGHT_INK],
};

/** How far the second colour is from the fill to the ink. */
const MIX = 0.45;

function paint(name: PaintName, [fill, ink, second]: Fill): Paint {
  const mixed = fill.map((c, i) => Math.round(c + ((ink[i] as number) - c) * MIX));
  return { fill, ink, pattern: PATTERN[name], second: second ?? (mixed as unknown as Rgb) };
}
const palette = (fills: Readonly<Record<PaintName, Fill>>) =>
  Object.fromEntries(
    Object.entries(fills).map(([name, fill]) => [name, paint(name as PaintName, fill)]),
  ) as Readonly<Record<PaintName, Paint>>;

export const PALETTES: Readonly<Record<Theme, Readonly<Record<PaintName, Paint>>>> = {
  light: palette(LIGHT),
  dark: palette(DARK),
};
export const css = ([r, g, b]: Rgb): string => `rgb(${r} ${g} ${b})`;
