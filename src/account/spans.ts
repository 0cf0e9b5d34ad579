// Sets of bytes: what several slots or mappings show of the same memory counts once.
import type { Span } from '../observe/usage.ts';

/** The same bytes as spans that neither overlap nor touch, ascending. */
export function union(spans: readonly Span[]): Span[] {
  const out: { from: bigint; to: bigint }[] = [];
  for (const { from, to } of [...spans].sort((a, b) => (a.from < b.from ? -1 : a.from > b.from ? 1 : 0))) {
    const last = out.at(-1);
    if (from >= to) continue;
    if (last && from <= last.to) last.to = to > last.to ? to : last.to;
    else out.push({ from, to });
  }
  return out;
}

/** What two spans have in common; undefined when that is nothing. */
export function common(a: Span, b: Span): Span | undefined {
  const from = a.from > b.from ? a.from : b.from;
  const to = a.to < b.to ? a.to : b.to;
  return from < to ? { from, to } : undefined;
}

export const sizeOf = (spans: readonly Span[]): number =>
  spans.reduce((sum, { from, to }) => sum + Number(to - from), 0);
