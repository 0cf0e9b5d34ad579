// Numbers over the timeline with the time cursor: lines for the eye, and below them their values at the cursor. The table
// of counters has all of a VM's. Reference: https://github.com/leeoniya/uPlot
import { useEffect, useMemo, useRef } from 'react';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import type { Theme } from '../draw/palette.ts';
import { bytesText, count } from '../format.ts';
import type { Lane } from '../model/series.ts';

export interface PlotProps {
  /** What it is about, for those who do not see it. */
  readonly name: string;
  readonly unit: 'bytes' | 'count';
  readonly lanes: readonly Lane[];
  readonly step: number;
  readonly theme: Theme;
  readonly onSeek: (step: number) => void;
}

const STROKES: Readonly<Record<Theme, readonly string[]>> = {
  light: ['#0072b2', '#d55e00', '#009e73', '#b4558c', '#8a6d00', '#4a525c', '#6a3d9a'],
  dark: ['#56b4e9', '#ff9d4d', '#2fd0a0', '#e79ac8', '#f0e442', '#aab3bf', '#c0a0f0'],
};
/** Lines differ by dash as well as by colour. */
const DASHES: readonly number[][] = [[], [8, 4], [2, 3], [10, 3, 2, 3], [5, 5], [12, 6], [4, 2]];
const PLOT_HEIGHT = 150;
/** Wide enough at first for a scenario's beginning; grows with what has been executed. */
const FIRST_STEPS = 20;
/** Nothing is counted in halves. */
const DECIMAL = Array.from({ length: 30 }, (_, i) => ([1, 2, 5][i % 3] as number) * 10 ** Math.floor(i / 3));
/** Ticks at 1, 2, 4 … bytes: binary units want binary steps. */
const BINARY = Array.from({ length: 48 }, (_, i) => 2 ** i);

export function Plot({ name, unit, lanes, step, theme, onSeek }: PlotProps) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>(undefined);
  const live = useRef({ step, onSeek });
  live.current = { step, onSeek };
  const text = unit === 'bytes' ? bytesText : count;

  const data = useMemo((): uPlot.AlignedData => {
    const steps = lanes[0]?.values.length ?? 0;
    return [Array.from({ length: steps }, (_, i) => i), ...lanes.map((l) => l.values as number[])];
  }, [lanes]);

  const names = lanes.map((l) => l.name).join(', ');
  // biome-ignore lint/correctness/useExhaustiveDependencies: made anew only when its look changes; data comes below
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const made = new uPlot(optionsFor(lanes, unit, element.clientWidth, theme, live), data, element);
    plot.current = made;
    const observer = new ResizeObserver(() =>
      made.setSize({ width: element.clientWidth, height: PLOT_HEIGHT }),
    );
    observer.observe(element);
    return () => {
      observer.disconnect();
      made.destroy();
      plot.current = undefined;
    };
  }, [names, theme]);

  // The cursor too is drawn with the data.
  // biome-ignore lint/correctness/useExhaustiveDependencies: the step is where the cursor is
  useEffect(() => {
    plot.current?.setData(data);
  }, [data, step]);
  const strokes = STROKES[theme];
  return (
    <figure className="plot-figure" aria-label={name}>
      <div
        ref={box}
        className="plot"
        role="img"
        aria-label={`${names} by step; their values at the time cursor follow`}
      />
      <figcaption>
        {lanes.map((lane, i) => (
          <span key={lane.name}>
            <svg width="24" height="8" aria-hidden="true">
              <path
                d="M0 4h24"
                stroke={strokes[i % strokes.length]}
                strokeWidth="2.5"
                strokeDasharray={DASHES[i % DASHES.length]?.join(' ')}
              />
            </svg>{' '}
            {lane.name} <b>{text(lane.values[step] ?? 0)}</b>
          </span>
        ))}
      </figcaption>
    </figure>
  );
}

// A counter keeps its value until the step that changes it.
const stepped = uPlot.paths.stepped?.({ align: 1 });

type Live = { readonly current: { readonly step: number; readonly onSeek: (step: number) => void } };

function optionsFor(
  lanes: readonly Lane[],
  unit: PlotProps['unit'],
  width: number,
  theme: Theme,
  live: Live,
): uPlot.Options {
  const ink = theme === 'light' ? '#4a525c' : '#aab3bf';
  const grid = { stroke: theme === 'light' ? '#e3e6ea' : '#2d343e', width: 1 };

  const isBytes = unit === 'bytes';
  const text = isBytes ? bytesText : count;
  const axis: uPlot.Axis = { stroke: ink, grid, ticks: grid, font: '11px system-ui' };
  return {
    width,
    height: PLOT_HEIGHT,
    legend: { show: false },
    cursor: { drag: { x: false, y: false } },
    scales: {
      x: { time: false, range: (u) => [0, Math.max(FIRST_STEPS, u.data[0].at(-1) ?? 0)] },
      y: { range: (_, __, max) => [0, max > 0 ? max * 1.1 : 1] },
    },
    axes: [
      axis,
      {
        ...axis,
        size: 76,
        incrs: isBytes ? BINARY : DECIMAL,
        values: (_, ticks) => ticks.map((t) => text(t)),
      },
    ],
    series: [
      { label: 'step' },
      ...lanes.map((l, i) => ({
        label: l.name,
        stroke: STROKES[theme][i % STROKES[theme].length] as string,
        dash: DASHES[i % DASHES.length] as number[],
        width: 2,
        ...(stepped && { paths: stepped }),
        points: { show: false },
        value: (_: uPlot, v: number | null) => (v === null ? '' : text(v)),
      })),
    ],
    hooks: {
      draw: [(u) => drawTimeCursor(u, live.current.step, ink)],
      ready: [
        (u) => {
          u.over.addEventListener('click', () => {
            const at = u.cursor.idx;
            if (at !== null && at !== undefined) live.current.onSeek(at);
          });
        },
      ],
    },
  };
}

function drawTimeCursor(u: uPlot, step: number, colour: string): void {
  const x = u.valToPos(step, 'x', true);
  const { ctx, bbox } = u;
  ctx.save();
  ctx.setLineDash([]);
  ctx.strokeStyle = colour;
  ctx.lineWidth = 2;
  ctx.beginPath();
  ctx.moveTo(x, bbox.top);
  ctx.lineTo(x, bbox.top + bbox.height);
  ctx.stroke();
  ctx.restore();
}
