// The picture of docs/performance.md: panels of lines on logarithmic axes, as SVG text. It brings its own background
// and both colour schemes, because a page that shows it as an image lends it neither.
import { times } from './plot.mjs';

const WIDTH = 880;
const LEFT = 214;
const RIGHT = 164;
const ROW = 28;
const HEAD = 46;
const FOOT = 40;
const TOP = 54;

const STYLE = `
  .page { fill: #ffffff; } .band { fill: #f5f6f8; } .grid { stroke: #dfe2e7; } .one { stroke: #9aa3af; }
  text { font: 13px system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif; fill: #1f2630; }
  .title { font-weight: 600; } .faint { fill: #667080; font-size: 12px; } .short { fill: #b3261e; font-weight: 600; }
  .plain { fill: #1f5fd0; } .threads { fill: #c2660a; } .control { fill: none; stroke: #667080; stroke-width: 1.5; }
  .floor { stroke: #b3261e; } .goal { stroke: #1a7f4b; } .floor, .goal { stroke-width: 2.5; } .span { stroke: #c9ced6; }
  @media (prefers-color-scheme: dark) {
    .page { fill: #14181f; } .band { fill: #1b2029; } .grid { stroke: #2b323d; } .one { stroke: #6b7583; }
    text { fill: #e4e8ee; } .faint { fill: #98a2b0; } .short { fill: #ff8f85; }
    .plain { fill: #6ea8ff; } .threads { fill: #ffb454; } .control { stroke: #98a2b0; }
    .floor { stroke: #ff8f85; } .goal { stroke: #5fd39a; } .span { stroke: #3a4350; }
  }`;

const escaped = (/** @type {string} */ text) =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
const text = (
  /** @type {number} */ x,
  /** @type {number} */ y,
  /** @type {string} */ what,
  css = '',
  anchor = 'start',
) =>
  `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" class="${css}" text-anchor="${anchor}">${escaped(what)}</text>`;
const line = (/** @type {number} */ x1, y1, /** @type {number} */ x2, y2, /** @type {string} */ css) =>
  `<line x1="${x1.toFixed(1)}" y1="${y1.toFixed(1)}" x2="${x2.toFixed(1)}" y2="${y2.toFixed(1)}" class="${css}"/>`;

/** A mark: a disc for the plain build, a diamond for threads, a ring for the control. */
function mark(
  /** @type {'plain' | 'threads' | 'control'} */ kind,
  /** @type {number} */ x,
  /** @type {number} */ y,
) {
  if (kind !== 'threads') return `<circle cx="${x.toFixed(1)}" cy="${y.toFixed(1)}" r="5" class="${kind}"/>`;
  const d = 6;
  return `<path d="M${(x - d).toFixed(1)} ${y}l${d} ${-d}l${d} ${d}l${-d} ${d}z" class="threads"/>`;
}

/** 1, 2 and 5 of every decade that are inside; only the decades where those would be too many. */
function ticks(/** @type {number} */ low, /** @type {number} */ high) {
  const decades = Math.log10(high / low);
  const steps = decades > 4 ? [1] : decades > 1 ? [1, 2, 5] : [1, 1.2, 1.4, 1.6, 1.8, 2, 3, 4, 5, 7];
  const all = [];
  for (let e = Math.floor(Math.log10(low)); e <= Math.ceil(Math.log10(high)); e++)
    for (const step of steps) all.push(step * 10 ** e);
  return all.filter((at) => at >= low && at <= high);
}

/** @param {import('./plot.mjs').Panel} panel @param {number} top */
function draw({ title, lines }, top) {
  const values = lines.flatMap((one) => [one.floor, one.goal, ...one.marks.map(({ at }) => at)]);
  const low = Math.min(1, ...values) / 1.15;
  const high = Math.max(1, ...values) * 1.15;
  const width = WIDTH - LEFT - RIGHT;
  const x = (/** @type {number} */ at) => LEFT + (Math.log(at / low) / Math.log(high / low)) * width;
  const bottom = top + HEAD + lines.length * ROW;
  const out = [text(24, top + 24, title, 'title')];
  lines.forEach((_, i) => {
    if (i % 2 === 0)
      out.push(
        `<rect x="16" y="${top + HEAD + i * ROW}" width="${WIDTH - 32}" height="${ROW}" class="band"/>`,
      );
  });
  for (const at of ticks(low, high)) {
    out.push(line(x(at), top + HEAD, x(at), bottom, at === 1 ? 'one' : 'grid'));
    out.push(text(x(at), bottom + 17, String(Number(at.toPrecision(2))), 'faint', 'middle'));
  }
  lines.forEach((one, i) => {
    const y = top + HEAD + i * ROW + ROW / 2;
    out.push(text(LEFT - 16, y + 4.5, one.label, '', 'end'));
    const ends = [one.floor, one.goal, ...one.marks.map(({ at }) => at)].map(x);
    out.push(line(Math.min(...ends), y, Math.max(...ends), y, 'span'));
    out.push(line(x(one.floor), y - 9, x(one.floor), y + 9, 'floor'));
    out.push(line(x(one.goal), y - 9, x(one.goal), y + 9, 'goal'));
    // Two builds, one above the other, so that neither hides the other.
    const both = one.marks.some(({ kind }) => kind === 'plain') && one.marks.length > 1;
    for (const { kind, at } of one.marks)
      out.push(mark(kind, x(at), y + (both ? (kind === 'plain' ? -4 : 4) : 0)));
    if (one.note) out.push(text(WIDTH - 24, y + 4.5, one.note, 'faint', 'end'));
    for (const { kind, at, short } of one.marks)
      if (kind !== 'control')
        out.push(
          text(WIDTH - (kind === 'plain' ? 92 : 24), y + 4.5, times(at), short ? 'short' : kind, 'end'),
        );
  });
  return { svg: out.join('\n'), bottom: bottom + FOOT };
}

/** What the marks mean, in one line. */
function legend() {
  const y = 32;
  return [
    mark('plain', 30, y),
    text(42, y + 4.5, 'plain build'),
    mark('threads', 144, y),
    text(157, y + 4.5, 'threads build'),
    mark('control', 276, y),
    text(288, y + 4.5, 'native, two threads ÷ one'),
    line(476, y - 9, 476, y + 9, 'floor'),
    text(486, y + 4.5, 'floor: must hold'),
    line(612, y - 9, 612, y + 9, 'goal'),
    text(622, y + 4.5, 'goal'),
    text(WIDTH - 24, y + 4.5, 'right is better', 'faint', 'end'),
  ].join('\n');
}

/** @param {readonly import('./plot.mjs').Panel[]} panels @param {string} caption when and where it was measured */
export function picture(panels, caption) {
  let top = TOP;
  const drawn = panels.map((panel) => {
    const { svg, bottom } = draw(panel, top);
    top = bottom;
    return svg;
  });
  const height = top + 24;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img">`,
    '<title>slatbox benchmark: every row against its floor and its goal</title>',
    `<style>${STYLE}\n</style>`,
    `<rect width="${WIDTH}" height="${height}" class="page"/>`,
    legend(),
    ...drawn,
    text(24, height - 16, caption, 'faint'),
    '</svg>\n',
  ].join('\n');
}
