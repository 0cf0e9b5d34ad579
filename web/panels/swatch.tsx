// A state of the map as it is drawn there: colour, pattern, letter.
import { css, PALETTES, type Theme } from '../draw/palette.ts';
import { PATTERNS, TILE } from '../draw/patterns.ts';
import type { PaintName } from '../model/lens.ts';

const SIDE = 20;

export interface SwatchProps {
  readonly id: PaintName;
  readonly letter: string;
  readonly theme: Theme;
}

export function Swatch({ id, letter, theme }: SwatchProps) {
  const { fill, second, ink, pattern } = PALETTES[theme][id];
  return (
    <svg className="swatch" width={SIDE} height={SIDE} aria-hidden="true">
      <rect width={SIDE} height={SIDE} fill={css(fill)} />
      <path d={patternPath(PATTERNS[pattern])} fill={css(second)} shapeRendering="crispEdges" />
      {letter !== '' && pattern !== 'solid' ? (
        <rect x={5} y={3} width={10} height={14} fill={css(fill)} />
      ) : null}
      <text x={SIDE / 2} y={SIDE / 2 + 4} fill={css(ink)} textAnchor="middle">
        {letter}
      </text>
    </svg>
  );
}

function patternPath(isSecond: (x: number, y: number) => boolean): string {
  let path = '';
  for (let y = 0; y < SIDE; y++)
    for (let x = 0; x < SIDE; x++) if (isSecond(x % TILE, y % TILE)) path += `M${x} ${y}h1v1h-1z`;
  return path;
}
