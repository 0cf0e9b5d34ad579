// Colours of the map for light and dark, derived from Okabe and Ito's set for all kinds of colour vision.
// Each theme has its own: a palette with near-black dies in the dark. Reference: docs/web.md "Colour".
import type { PaintName } from '../model/lens.ts';

export type Theme = 'light' | 'dark';
export type Rgb = readonly [number, number, number];
/** `hatch` is the second colour of places that are no RAM: they differ by pattern, not by hue alone. */
export interface Paint {
  readonly fill: Rgb;
  readonly ink: Rgb;
  readonly hatch?: Rgb;
}

const DARK_INK: Rgb = [20, 24, 30];
const LIGHT_INK: Rgb = [255, 255, 255];

const LIGHT: Readonly<Record<PaintName, Paint>> = {
  outside: { fill: [236, 238, 241], ink: [120, 128, 138], hatch: [208, 212, 218] },
  empty: { fill: [250, 250, 247], ink: [130, 136, 144] },
  zero: { fill: [240, 228, 66], ink: DARK_INK },
  part: { fill: [86, 150, 200], ink: DARK_INK },
  anon: { fill: [0, 114, 178], ink: LIGHT_INK },
  lazy: { fill: [120, 220, 220], ink: DARK_INK },
  swap: { fill: [213, 94, 0], ink: LIGHT_INK },
  read: { fill: [230, 159, 0], ink: DARK_INK },
  write: { fill: [0, 128, 96], ink: LIGHT_INK },
  none: { fill: [70, 74, 82], ink: LIGHT_INK },
  locked: { fill: [178, 88, 140], ink: LIGHT_INK },
  mark: { fill: [204, 121, 167], ink: DARK_INK },
};

const DARK: Readonly<Record<PaintName, Paint>> = {
  outside: { fill: [24, 28, 34], ink: [130, 138, 150], hatch: [44, 50, 60] },
  empty: { fill: [52, 60, 72], ink: [160, 168, 178] },
  zero: { fill: [240, 228, 66], ink: DARK_INK },
  part: { fill: [52, 108, 160], ink: LIGHT_INK },
  anon: { fill: [64, 150, 220], ink: DARK_INK },
  lazy: { fill: [140, 226, 226], ink: DARK_INK },
  swap: { fill: [235, 120, 40], ink: DARK_INK },
  read: { fill: [235, 172, 40], ink: DARK_INK },
  write: { fill: [20, 170, 128], ink: DARK_INK },
  none: { fill: [150, 156, 166], ink: DARK_INK },
  locked: { fill: [214, 130, 178], ink: DARK_INK },
  mark: { fill: [204, 121, 167], ink: DARK_INK },
};

export const PALETTES: Readonly<Record<Theme, Readonly<Record<PaintName, Paint>>>> = {
  light: LIGHT,
  dark: DARK,
};
export const css = ([r, g, b]: Rgb): string => `rgb(${r} ${g} ${b})`;
