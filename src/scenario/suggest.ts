// "Did you mean …": the known word nearest to a misspelt one.

/** Edits (insert, delete, replace, swap of neighbours) between two short words. */
function distance(a: string, b: string): number {
  let before: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let best = Math.min(
        (previous[j] as number) + 1,
        (row[j - 1] as number) + 1,
        (previous[j - 1] as number) + (same ? 0 : 1),
      );
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        best = Math.min(best, (before[j - 2] as number) + 1);
      }
      row.push(best);
    }
    before = previous;
    previous = row;
  }
  return previous[b.length] as number;
}

/** The nearest of `known`, or nothing when none is near enough to be what was meant. */
export function nearest(word: string, known: Iterable<string>): string | undefined {
  if (word.length > 60) return undefined;
  const lower = word.toLowerCase();
  let best: string | undefined;
  let least = Math.max(1, Math.floor(word.length / 3)) + 1;
  for (const candidate of known) {
    const d = distance(lower, candidate.toLowerCase());
    if (d >= least) continue;
    least = d;
    best = candidate;
  }
  return best;
}

/** A hint for an unknown word: the nearest known one, else all of them when they are few. */
export function suggestion(word: string, known: Iterable<string>): string | undefined {
  const words = [...known];
  const near = nearest(word, words);
  if (near !== undefined) return `did you mean "${near}"?`;
  return words.length > 0 && words.length <= 40 ? `known here: ${words.join(', ')}` : undefined;
}
