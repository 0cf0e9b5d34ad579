// Page letters in words, and how the map paints them. Reference: docs/linux-rules.md "Page letters".
import type { PaintName } from './lens.ts';

interface Letter {
  readonly paint: PaintName;
  readonly about: string;
}
const page = (paint: PaintName, about: string): Letter => ({ paint, about });

export const LETTERS: Readonly<Record<string, Letter>> = {
  '.': page('empty', 'nothing: never stored to or loaded from, or dropped'),
  z: page('zero', 'the zero page, which all share'),
  Z: page('huge-zero', 'the huge zero page, which all share'),
  a: page('anon', 'an anonymous page in a frame of its own'),
  l: page('lazy', 'lazily freed and clean: the host may drop it'),
  d: page('anon', 'lazily freed, then written again: kept'),
  s: page('swap', 'swapped out'),
  k: page('ksm', 'shared by KSM: read-only, a write copies it'),
  K: page('lazy', 'shared by KSM once, mapped once now, and lazily freed'),
  H: page('huge', 'part of a huge page that one entry maps'),
  h: page('huge-part', 'part of a huge page that small entries map'),
  L: page('lazy', 'part of a huge page, lazily freed and clean: the host may drop it'),
  D: page('huge', 'part of a huge page, lazily freed, then written again: kept'),
  f: page('file', 'a page of the memory file'),
  c: page('cached', 'not mapped; the memory file has the page'),
  G: page('hugetlb', 'a hugetlb page of 2 MiB or 1 GiB'),
  g: page('empty', 'not mapped; the hugetlb file may have the page'),
  x: page('empty', 'no mapping of the VMM here'),
  '-': page('outside', 'no memslot'),
};
