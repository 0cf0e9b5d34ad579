// The map of guest-physical memory: a canvas of cells, an overlay, and keys and pointer on top of them.
// It knows the view and the picture, not the engine. Reference: docs/web.md "The map".
import {
  type KeyboardEvent,
  type PointerEvent,
  useEffect,
  useLayoutEffect,
  useMemo,
  useRef,
  useState,
} from 'react';
import { type Lut, lutOf, paintCells } from '../draw/cells.ts';
import { drawOverlay, PATTERN_CELL } from '../draw/overlay.ts';
import type { Theme } from '../draw/palette.ts';
import { bytesText, formatAddress } from '../format.ts';
import { actionOf, type KeyAction } from '../keys.ts';
import { classOf, lensInfo } from '../model/lens.ts';
import { cellOf, gpaAt, gridOf, panRows, type Range, spanning, type View, zoom } from '../model/view.ts';
import type { Raster } from '../state.ts';

export interface MemoryMapProps {
  readonly view: View;
  readonly raster: Raster | undefined;
  readonly selection: Range;
  readonly theme: Theme;
  readonly topSpan: number;
  readonly onView: (view: View) => void;
  readonly onSelect: (range: Range) => void;
  readonly onKey: (action: KeyAction) => void;
}

/** Below this many CSS pixels a press is a click, not a drag. */
const DRAG_START = 4;
/** Wheel ticks come in pieces on touch pads; this much is one step of zoom. */
const WHEEL_STEP = 60;

export function MemoryMap(props: MemoryMapProps) {
  const { view, raster, selection, theme, topSpan, onView, onSelect, onKey } = props;
  const surface = useRef<HTMLDivElement>(null);
  const cells = useRef<HTMLCanvasElement>(null);
  const overlay = useRef<HTMLCanvasElement>(null);
  const size = useSize(surface);

  const lut = useMemo(
    () => ({
      small: lutOf(lensInfo(raster?.lens ?? 'backing'), theme),
      big: lutOf(lensInfo(raster?.lens ?? 'backing'), theme, true),
    }),
    [raster?.lens, theme],
  );
  useLayoutEffect(() => paint(cells.current, raster, lut, size.width), [raster, lut, size.width]);
  useLayoutEffect(() => {
    const context = prepare(overlay.current, size);
    if (!context || !raster) return;
    const picture = { view: raster.view, lens: lensInfo(raster.lens), cells: raster.cells };
    drawOverlay(context, picture, selection, theme, size.width, size.height);
  }, [raster, selection, theme, size]);

  // React's own wheel listener is passive; zooming must keep the page from scrolling.
  const latest = useRef(props);
  latest.current = props;
  useEffect(() => {
    const element = surface.current;
    if (!element) return;
    let travelled = 0;
    // What the pointer was on when it last moved: turning the wheel there zooms to that and back, without drift.
    let anchor: { x: number; y: number; gpa: bigint } | undefined;
    const onWheel = (event: WheelEvent) => {
      event.preventDefault();
      travelled += event.deltaMode === WheelEvent.DOM_DELTA_LINE ? event.deltaY * 20 : event.deltaY;
      if (Math.abs(travelled) < WHEEL_STEP) return;
      const delta = travelled > 0 ? 1 : -1;
      travelled = 0;
      const { view: now, topSpan: top } = latest.current;
      const { x, y } = fractions(element, event);
      if (anchor?.x !== x || anchor.y !== y) anchor = { x, y, gpa: gpaAt(now, x, y) };
      latest.current.onView(zoom(now, delta, anchor.gpa, y, top));
    };
    element.addEventListener('wheel', onWheel, { passive: false });
    return () => element.removeEventListener('wheel', onWheel);
  }, []);

  const drag = useRef<{ y: number; view: View; moved: boolean } | undefined>(undefined);
  const onPointerDown = (event: PointerEvent<HTMLDivElement>) => {
    if (event.button !== 0) return;
    event.currentTarget.setPointerCapture(event.pointerId);
    drag.current = { y: event.clientY, view, moved: false };
  };
  const onPointerMove = (event: PointerEvent<HTMLDivElement>) => {
    const from = drag.current;
    if (!from) return;
    const dy = event.clientY - from.y;
    if (!from.moved && Math.abs(dy) < DRAG_START) return;
    from.moved = true;
    const rows = Math.round((-dy / Math.max(1, size.height)) * gridOf(from.view.span).height);
    onView(panRows(from.view, rows, topSpan));
  };
  const onPointerUp = (event: PointerEvent<HTMLDivElement>) => {
    const from = drag.current;
    drag.current = undefined;
    if (!from || from.moved) return;
    const { x, y } = fractions(event.currentTarget, event);
    const gpa = gpaAt(view, x, y);
    const cell = { gpa, len: 1n << BigInt(gridOf(view.span).cellShift) };
    onSelect(event.shiftKey ? spanning(selection, cell) : cell);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const action = actionOf('map', event);
    if (!action) return;
    event.preventDefault();
    event.stopPropagation();
    onKey(action);
  };

  const description = useMemo(() => describe(raster, selection), [raster, selection]);
  return (
    <div className="map-frame">
      <RowLabels view={view} />
      {/* An application: arrow keys mean the map's own moves, and its state is read out by the live region. */}
      <div
        ref={surface}
        id="memory-map"
        className="map-surface"
        role="application"
        aria-roledescription="memory map"
        aria-label={`Guest physical memory. ${description}`}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: an application region is interactive
        tabIndex={0}
        onPointerDown={onPointerDown}
        onPointerMove={onPointerMove}
        onPointerUp={onPointerUp}
        onKeyDown={onKeyDown}
      >
        <canvas ref={cells} className="map-cells" />
        <canvas ref={overlay} className="map-overlay" />
      </div>
    </div>
  );
}

/** Addresses of the first row of each quarter. */
function RowLabels({ view }: { view: View }) {
  const quarters = [0n, 1n, 2n, 3n].map((q) => view.start + ((1n << BigInt(view.span)) / 4n) * q);
  return (
    <ol className="map-labels" aria-hidden="true">
      {quarters.map((gpa) => (
        <li key={String(gpa)}>{formatAddress(gpa)}</li>
      ))}
    </ol>
  );
}

function fractions(element: Element, { clientX, clientY }: { clientX: number; clientY: number }) {
  const box = element.getBoundingClientRect();
  return { x: (clientX - box.left) / box.width, y: (clientY - box.top) / box.height };
}

/** The selection in words: what the picture shows to those who see it. */
function describe(raster: Raster | undefined, selection: Range): string {
  const where = `${formatAddress(selection.gpa)}, ${bytesText(selection.len)}`;
  if (!raster) return `Selected ${where}.`;
  const lens = lensInfo(raster.lens);
  const cell = cellOf(raster.view, selection.gpa);
  const value = raster.cells[cell];
  return value === undefined
    ? `Selected ${where}, outside of the view.`
    : `Selected ${where}: ${classOf(lens, value).name}.`;
}

interface Size {
  readonly width: number;
  readonly height: number;
}

function useSize(ref: { readonly current: HTMLElement | null }): Size {
  const [size, setSize] = useState<Size>({ width: 0, height: 0 });
  useLayoutEffect(() => {
    const element = ref.current;
    if (!element) return;
    const observer = new ResizeObserver(() =>
      setSize({ width: element.clientWidth, height: element.clientHeight }),
    );
    observer.observe(element);
    setSize({ width: element.clientWidth, height: element.clientHeight });
    return () => observer.disconnect();
  }, [ref]);
  return size;
}

/** A canvas with as many pixels as the screen has, drawn in CSS pixels. */
function prepare(
  canvas: HTMLCanvasElement | null,
  { width, height }: Size,
): CanvasRenderingContext2D | undefined {
  if (!canvas || width === 0) return undefined;
  const ratio = window.devicePixelRatio || 1;
  const pixels = { width: Math.round(width * ratio), height: Math.round(height * ratio) };
  if (canvas.width !== pixels.width || canvas.height !== pixels.height) Object.assign(canvas, pixels);
  const context = canvas.getContext('2d') ?? undefined;
  context?.setTransform(ratio, 0, 0, ratio, 0, 0);
  return context;
}

/** One pixel a cell; CSS stretches it. Sharp when cells are bigger than pixels, averaged when they are smaller. */
function paint(
  canvas: HTMLCanvasElement | null,
  raster: Raster | undefined,
  lut: { readonly small: Lut; readonly big: Lut },
  cssWidth: number,
): void {
  if (!canvas || !raster) return;
  const { width, height } = gridOf(raster.view.span);
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const context = canvas.getContext('2d');
  if (!context) return;
  const image = context.createImageData(width, height);
  // Patterns of big cells are drawn on the overlay, at the resolution of the screen.
  const big = Math.min(cssWidth / width, cssWidth / 2 / height) >= PATTERN_CELL;
  const pixels = new Uint32Array(image.data.buffer);
  paintCells(pixels, raster.cells, width, big ? lut.big : lut.small, width > cssWidth ? 1 : 0);
  context.putImageData(image, 0, 0);
  canvas.style.imageRendering = width > cssWidth ? 'auto' : 'pixelated';
}
