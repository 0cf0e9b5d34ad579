// The map's arithmetic, and the link codec and palettes that go with it.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PageKind } from '../../assembly/abi/page-kind.ts';
import { lutOf, paintCells } from '../../web/draw/cells.ts';
import { PALETTES, type Rgb } from '../../web/draw/palette.ts';
import { PATTERNS, TILE } from '../../web/draw/patterns.ts';
import { fromHash, toHash } from '../../web/link.ts';
import { classesIn, classOf, LENSES, lensInfo, runs } from '../../web/model/lens.ts';
import {
  cellOf,
  fitRange,
  fitView,
  gpaAt,
  gridOf,
  level,
  MAX_SPAN,
  MIN_SPAN,
  panRows,
  spanning,
  spanOf,
  viewEnd,
  zoom,
} from '../../web/model/view.ts';

const G = 1n << 30n;

describe('grid', () => {
  it.each([
    ['2 MiB: one page table, 32 × 16 pages', 21, 32, 16, 12],
    ['1 GiB: pages', 30, 512, 512, 12],
    ['2 GiB: 1024 × 512 pages', 31, 1024, 512, 12],
    ['1 TiB: 1024 × 512 cells of 2 MiB', 40, 1024, 512, 21],
    ['64 TiB', 46, 1024, 512, 27],
  ])('%s', (_name, span, width, height, cellShift) => {
    expect(gridOf(span)).toMatchObject({ width, height, cellShift });
  });

  it('covers the span exactly at every zoom', () => {
    for (let span = MIN_SPAN; span <= MAX_SPAN; span++) {
      const { width, height, cellShift, rowBytes } = gridOf(span);
      expect(BigInt(width * height) << BigInt(cellShift) === 1n << BigInt(span)).toBe(true);
      expect(rowBytes * BigInt(height)).toBe(1n << BigInt(span));
    }
  });
});

describe('view', () => {
  const view = fc.record({
    start: fc.bigInt({ min: 0n, max: 1n << 40n }),
    span: fc.integer({ min: MIN_SPAN, max: 40 }),
  });

  it('stays inside the guest and on a row, whatever is asked for', () => {
    fc.assert(
      fc.property(
        view,
        fc.integer({ min: -50, max: 50 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (v, delta, y) => {
          const from = fitView(v.start, v.span, 40);
          for (const next of [
            zoom(from, delta, v.start, y, 40),
            panRows(from, delta, 40),
            level(from, delta < 0 ? 'up' : 'down', v.start, 40),
          ]) {
            expect(next.start % gridOf(next.span).rowBytes).toBe(0n);
            expect(next.start >= 0n && viewEnd(next) <= 1n << 40n).toBe(true);
          }
        },
      ),
    );
  });

  it('zooming keeps the row of the anchor where it is', () => {
    const before = fitView(0n, 40, 40);
    const anchor = gpaAt(before, 0.4, 0.5);
    const after = zoom(before, -1, anchor, 0.5, 40);
    const row = Math.floor(cellOf(after, anchor) / gridOf(after.span).width);
    expect(row).toBe(256);
  });

  it('finds the cell of an address that it names', () => {
    const v = fitView(5n * G, 30, 40);
    expect(cellOf(v, gpaAt(v, 0.25, 0.75))).toBe(384 * 512 + 128);
  });

  it('fits a range with the smallest aligned view', () => {
    expect(fitRange({ gpa: 5n * G + 0x3000n, len: 4096n }, 40)).toEqual({ start: 5n * G, span: 21 });
    expect(fitRange({ gpa: G - 4096n, len: 8192n }, 40)).toEqual({ start: 0n, span: 31 });
  });

  it('goes up and down by what one table reaches', () => {
    const down = level({ start: 0n, span: 40 }, 'down', 5n * G, 40);
    expect(down).toEqual({ start: 0n, span: 39 });
    expect(level(down, 'down', 5n * G, 40)).toEqual({ start: 5n * G, span: 30 });
    expect(level({ start: 5n * G, span: 30 }, 'up', 5n * G, 40)).toEqual({ start: 0n, span: 39 });
  });

  it('spans two ranges in either order', () => {
    const a = { gpa: 0x1000n, len: 0x1000n };
    const b = { gpa: 0x5000n, len: 0x2000n };
    expect(spanning(a, b)).toEqual({ gpa: 0x1000n, len: 0x6000n });
    expect(spanning(b, a)).toEqual({ gpa: 0x1000n, len: 0x6000n });
    expect(spanning({ gpa: 0n, len: 0x9000n }, b)).toEqual({ gpa: 0n, len: 0x9000n });
  });

  it.each([
    ['1 GiB', G, 30],
    ['a guest that ends at 5 GiB', 5n * G, 33],
    ['one page', 4096n, MIN_SPAN],
    ['more than there can be', 1n << 60n, MAX_SPAN],
  ])('span of %s', (_name, end, span) => {
    expect(spanOf(end)).toBe(span);
  });
});

describe('lens', () => {
  // Bits as in docs/events.md "Cells", written out again: RAM, kind in 5…1, fullness in 7…6.
  const backed = (kind: number, quarters = 3) => 1 | (kind << 1) | (quarters << 6);
  it.each([
    ['backing', 0, 'no slot'],
    ['backing', 1, 'nothing'],
    ['backing', backed(1, 0), 'zero page'],
    ['backing', backed(2, 0), 'huge zero page'],
    ['backing', backed(3, 0), 'file, not mapped'],
    ['backing', backed(4), 'anonymous'],
    ['backing', backed(4, 2), 'partly anonymous'],
    ['backing', backed(5), 'hugetlb'],
    ['backing', backed(6), 'file'],
    ['backing', backed(7), 'huge page'],
    ['backing', backed(8), 'huge page, split mapping'],
    ['backing', backed(9, 1), 'unmapped, still held'],
    ['backing', backed(10), 'shared by KSM'],
    ['backing', backed(11), 'lazily freed'],
    ['backing', backed(12, 0), 'swapped'],
    ['slat', 0b1, 'not present'],
    ['slat', 0b11, 'mapped'],
    ['slat', 0b101, 'mapped writable'],
    ['slat', 0b1011, 'mapped, huge entry'],
    ['slat', 0b1101, 'mapped writable, huge entry'],
    ['protection', 0b1, 'none'],
    ['protection', 0b11, 'read'],
    ['protection', 0b101, 'write'],
    ['protection', 0b111, 'read, write'],
    ['protection', 0b1111, 'locked'],
    ['protection', 0b10111, 'not dumped'],
    ['protection', 0b100111, 'mergeable'],
    ['attributes', 0b1, 'shared, nothing there'],
    ['attributes', 0b11, 'shared'],
    ['attributes', 0b100101, 'private'],
    ['attributes', 0b100001, 'private, nothing there'],
    ['attributes', 0b110001, 'left from before'],
    ['attributes', 0b10001, 'left from before'],
    ['attributes', 0b100111, 'of both kinds'],
    ['attributes', 0b111111, 'both: memory twice'],
    ['attributes', 0, 'no slot'],
  ] as const)('%s %i is %s', (id, byte, name) => {
    const lens = lensInfo(id);
    expect(lens.classes[lens.classify(byte)]?.name).toBe(name);
  });

  it('has a class for every kind of page that the engine names, each another', () => {
    const lens = lensInfo('backing');
    const kinds = Object.values(PageKind).filter((kind): kind is PageKind => typeof kind === 'number');
    expect(new Set(kinds.map((kind) => classOf(lens, backed(kind)))).size).toBe(kinds.length);
    expect(lens.classes.length).toBe(kinds.length + 2); // no slot, partly anonymous
  });

  it('says which classes a picture has', () => {
    const lens = lensInfo('backing');
    const seen = classesIn(lens, Uint8Array.from([0, 1, 1, backed(7), backed(7, 2)]));
    expect([...seen].map((c) => c.name).sort()).toEqual(['huge page', 'no slot', 'nothing']);
  });

  it('runs join cells of one class and say when there are more', () => {
    const lens = lensInfo('backing');
    const cells = Uint8Array.from([0, 0, 1, 1, 1, backed(4), backed(12, 0), 0]);
    const list = runs(lens, cells, 0x10000n, 12, 10);
    expect(list.runs.map((r) => [r.gpa, r.len, r.state.name])).toEqual([
      [0x10000n, 0x2000n, 'no slot'],
      [0x12000n, 0x3000n, 'nothing'],
      [0x15000n, 0x1000n, 'anonymous'],
      [0x16000n, 0x1000n, 'swapped'],
      [0x17000n, 0x1000n, 'no slot'],
    ]);
    expect(runs(lens, cells, 0n, 12, 2)).toMatchObject({ more: true, runs: { length: 2 } });
  });

  const luminance = (c: Rgb) => {
    const [r, g, b] = c.map((v) =>
      v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4,
    );
    return 0.2126 * (r as number) + 0.7152 * (g as number) + 0.0722 * (b as number);
  };
  const contrast = (a: Rgb, b: Rgb) => {
    const [hi, lo] = [luminance(a), luminance(b)].sort((x, y) => y - x) as [number, number];
    return (hi + 0.05) / (lo + 0.05);
  };
  const inAllThemes = LENSES.flatMap((lens) =>
    Object.values(PALETTES).map((palette) => ({
      lens,
      paints: lens.classes.map((c) => ({ ...c, ...palette[c.id] })),
    })),
  );

  it('classes of one lens never share a colour or a letter, and the letter is readable on it', () => {
    for (const { lens, paints } of inAllThemes) {
      expect(new Set(paints.map((p) => p.fill.join())).size).toBe(paints.length);
      expect(new Set(paints.map((p) => p.letter)).size).toBe(paints.length);
      for (const p of paints)
        expect([lens.id, p.name, contrast(p.fill, p.ink) >= 3]).toEqual([lens.id, p.name, true]);
    }
  });

  it('without its colour each class is still told: another pattern, or light and dark', () => {
    for (const { lens, paints } of inAllThemes) {
      for (const [i, a] of paints.entries())
        for (const b of paints.slice(0, i)) {
          const told = a.pattern !== b.pattern || contrast(a.fill, b.fill) >= 3;
          expect([lens.id, a.name, b.name, told]).toEqual([lens.id, a.name, b.name, true]);
        }
      // And the pattern is seen on its ground.
      for (const p of paints)
        if (p.pattern !== 'solid')
          expect([p.name, contrast(p.fill, p.second) >= 1.2]).toEqual([p.name, true]);
    }
  });

  it('patterns are tiles of 8 × 8, none like another', () => {
    const tiles = Object.values(PATTERNS).map((isSecond) =>
      Array.from({ length: TILE * TILE }, (_, at) =>
        isSecond(at % TILE, Math.floor(at / TILE)) ? '#' : '.',
      ).join(''),
    );
    expect(new Set(tiles).size).toBe(tiles.length);
  });

  it('pixels of a picture: the fill, and the second colour where the pattern has it', () => {
    const lens = lensInfo('backing');
    const pixels = new Uint32Array(16);
    paintCells(pixels, new Uint8Array(16).fill(backed(7)), 4, lutOf(lens, 'light'), 0);
    const { fill, second } = PALETTES.light.huge;
    const rgb = [...new Uint8Array(pixels.buffer)].filter((_, i) => i % 4 < 3);
    expect(rgb).toEqual([...Array(4).fill(second).flat(), ...Array(12).fill(fill).flat()]);
    paintCells(pixels, new Uint8Array(16).fill(backed(7)), 4, lutOf(lens, 'light', true), 0);
    expect([...new Uint8Array(pixels.buffer)].filter((_, i) => i % 4 < 3)).toEqual(
      Array(16).fill(fill).flat(),
    );
  });
});

describe('link', () => {
  it('survives the way through the address bar', () => {
    const place = {
      scenario: 'sample-dontneed',
      step: 17,
      vm: 'db_1',
      selection: { gpa: 0x140203000n, len: 4096n },
      lens: 'slat' as const,
      insertions: [
        { at: 3, line: 'dontneed 1G 4K --cpu 1' },
        { at: 5, line: 'read 5G+2M --vm db_1' },
      ],
    };
    const hash = toHash(place);
    expect(hash).toBe(
      '#s=sample-dontneed&t=17&vm=db_1&sel=0x140203000+0x1000&lens=slat&do=3:dontneed_1G_4K_--cpu_1,5:read_5G+2M_--vm_db~1',
    );
    expect(fromHash(hash)).toEqual({ place, dropped: [] });
  });

  it('has only what is not the default', () => {
    const place = {
      scenario: 'a',
      step: 0,
      vm: undefined,
      selection: undefined,
      lens: 'backing' as const,
      insertions: [],
    };
    expect(toHash(place)).toBe('#s=a');
    expect(fromHash('').place).toEqual({ ...place, scenario: undefined });
  });

  it('keeps what it understands and names the rest', () => {
    const { place, dropped } = fromHash('#s=builtin:x&t=-1&lens=rainbow&sel=here&new=1&t=4');
    expect(place).toMatchObject({ scenario: 'x', step: 4, lens: 'backing', selection: undefined });
    expect(dropped).toEqual(['t=-1', 'lens=rainbow', 'sel=here', 'new=1']);
  });
});
