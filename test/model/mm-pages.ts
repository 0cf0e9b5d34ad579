// One page of private anonymous memory in the model, and what each access and advice does to it.
// Reference: test/golden/mm/README.md (page letters); linux 6.18 mm/memory.c, madvise.c, vmscan.c.

/**
 * `.` nothing, `z` the shared zero page, `a` anonymous, `l` freed lazily, `d` freed lazily and written since,
 * `s` swapped out.
 */
export type PageLetter = '.' | 'z' | 'a' | 'l' | 'd' | 's';

export interface ModelPage {
  letter: PageLetter;
  /** Private_Dirty rather than Private_Clean in smaps. */
  dirty: boolean;
  /** All bytes of the page are this one. */
  byte: number;
}

export const untouched = (): ModelPage => ({ letter: '.', dirty: false, byte: 0 });

/** In the resident set, and the host page table's entry is writable if the VMA is. */
export const isAnonymous = ({ letter }: ModelPage): boolean =>
  letter === 'a' || letter === 'l' || letter === 'd';

/** A read fault: nothing becomes the zero page, a swapped page comes back clean. */
export function readFault(page: ModelPage): void {
  if (page.letter === '.') page.letter = 'z';
  if (page.letter === 's') Object.assign(page, { letter: 'a', dirty: false });
}

/** A write that leaves the contents alone, as mlock's populating does: a page of its own, and dirty. */
export function writeFault(page: ModelPage): void {
  page.letter = page.letter === 'l' || page.letter === 'd' ? 'd' : 'a';
  page.dirty = true;
}

/** MADV_DONTNEED, and munmap. */
export function drop(page: ModelPage): void {
  Object.assign(page, untouched());
}

/** MADV_FREE: a page becomes lazily free, a swapped one is lost at once. */
export function free(page: ModelPage): void {
  if (page.letter === 's') drop(page);
  else if (isAnonymous(page)) Object.assign(page, { letter: 'l', dirty: false });
}

/** MADV_PAGEOUT: what reclaim does with the page. A page written after FREE is only taken back into use. */
export function pageOut(page: ModelPage): void {
  if (page.letter === 'a') Object.assign(page, { letter: 's', dirty: false });
  else if (page.letter === 'l') drop(page);
  else if (page.letter === 'd') page.letter = 'a';
}
