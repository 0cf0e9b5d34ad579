// The kind of a page, or the highest kind in a chunk, from the planes.
import { PageKind } from '../abi/page-kind';
import { bitGet } from '../base/bits';
import { folioIsDirty, folioOf, isAsOne, isHugetlb, isWhole } from '../mm/huge';
import { ksmIsLazy } from '../mm/ksm-page';
import {
  BACKED, chunkAt, DIRTY, FILE, HINT_LAZY, HINT_SPECIAL, HINT_SWAPPED, HINT_ZERO, KSM, LAZY, NODE_BACKED, NODE_HINTS, pageSlot, PART,
  planeEmpty, SWAPPED, ZERO,
} from '../mm/page-state';

/** Page i of a chunk of the VMM's page state; files are not looked at. */
export function pageKind(chunk: usize, i: u32): PageKind {
  if (bitGet(chunk + BACKED, i)) return backedKind(chunk, i);
  if (bitGet(chunk + SWAPPED, i)) return PageKind.Swapped;
  // A small page may have taken the place of the part; then both have a frame, and the one that is mapped shows.
  if (folioOf(chunk) != 0 && !bitGet(chunk + PART, i)) return PageKind.Held;
  if (!bitGet(chunk + ZERO, i)) return PageKind.None;
  return isAsOne(chunk) ? PageKind.HugeZero : PageKind.Zero;
}

function backedKind(chunk: usize, i: u32): PageKind {
  if (isHugetlb(chunk)) return PageKind.Hugetlb;
  if (bitGet(chunk + FILE, i)) return PageKind.File;
  if (bitGet(chunk + KSM, i)) return ksmIsLazy(load<u32>(pageSlot(chunk, i))) ? PageKind.Lazy : PageKind.Ksm;
  const part = bitGet(chunk + PART, i);
  if (bitGet(chunk + LAZY, i) && !bitGet(chunk + DIRTY, i) && !(part && folioIsDirty(chunk))) return PageKind.Lazy;
  if (!part) return PageKind.Anonymous;
  return isAsOne(chunk) ? PageKind.Huge : PageKind.HugePart;
}

/** The highest kind in chunk `index` of `node`. Looks into the chunk only where a hint says that there may be something. */
export function chunkKind(node: usize, index: u32): PageKind {
  const hints: u32 = load<u8>(node + index, NODE_HINTS);
  const backed = load<u16>(node + (<usize>index << 1), NODE_BACKED) != 0;
  if (hints == 0) return backed ? PageKind.Anonymous : PageKind.None;
  const chunk = chunkAt(node, index);
  if ((hints & HINT_SWAPPED) != 0 && !planeEmpty(chunk + SWAPPED)) return PageKind.Swapped;
  if ((hints & HINT_LAZY) != 0 && anyLazy(chunk)) return PageKind.Lazy;
  if ((hints & HINT_SPECIAL) != 0) {
    const kind = specialKind(chunk);
    if (kind != PageKind.None) return kind;
  }
  if (backed) return PageKind.Anonymous;
  return (hints & HINT_ZERO) != 0 && !planeEmpty(chunk + ZERO) ? PageKind.Zero : PageKind.None;
}

function anyLazy(chunk: usize): bool {
  for (let o: usize = 0; o < 64; o += 8) {
    const lazy = load<u64>(chunk + o, LAZY) & ~load<u64>(chunk + o, DIRTY);
    if ((folioIsDirty(chunk) ? lazy & ~load<u64>(chunk + o, PART) : lazy) != 0) return true;
  }
  return false;
}

/** What only chunks with HINT_SPECIAL have; None when nothing of it is there. */
function specialKind(chunk: usize): PageKind {
  if (isHugetlb(chunk)) return PageKind.Hugetlb;
  if (!planeEmpty(chunk + KSM)) return PageKind.Ksm;
  if (folioOf(chunk) != 0) return isAsOne(chunk) ? PageKind.Huge : isWhole(chunk) ? PageKind.HugePart : PageKind.Held;
  if (isAsOne(chunk)) return PageKind.HugeZero;
  return planeEmpty(chunk + FILE) ? PageKind.None : PageKind.File;
}
