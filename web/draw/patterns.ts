// Patterns of the map and its legend: with them every state can be told without its colour. Bits of a tile of 8 × 8 pixels.
// Reference: docs/web.md "Colour".

export type PatternName =
  | 'solid'
  | 'slash'
  | 'backslash'
  | 'rows'
  | 'columns'
  | 'grid'
  | 'bricks'
  | 'posts'
  | 'dots'
  | 'dashes'
  | 'checks'
  | 'cross'
  | 'plus'
  | 'waves';

export const TILE = 8;

/** Whether pixel (x, y) of the tile has the second colour. */
export const PATTERNS: Readonly<Record<PatternName, (x: number, y: number) => boolean>> = {
  solid: () => false,
  slash: (x, y) => (x + y) % 8 < 2,
  backslash: (x, y) => (x - y + 8) % 8 < 3,
  rows: (_, y) => y % 4 === 0,
  columns: (x) => x % 4 === 0,
  grid: (x, y) => x % 4 === 0 || y % 4 === 0,
  bricks: (x, y) => y % 4 === 0 || x === (y < 4 ? 2 : 6),
  posts: (x, y) => x % 4 === 0 && (y + x) % 8 < 5,
  dots: (x, y) => (x + (y < 4 ? 0 : 4)) % 8 < 2 && y % 4 < 2,
  dashes: (x, y) => y % 4 === 1 && x < 5,
  checks: (x, y) => ((x >> 1) + (y >> 1)) % 2 === 0,
  cross: (x, y) => (x + y) % 8 === 0 || (x - y + 8) % 8 === 0,
  plus: (x, y) => (x === 4 && y > 0 && y < 7) || (y === 4 && x > 0 && x < 7),
  waves: (x, y) => (y + Math.abs(x - 4)) % 4 === 0,
};
