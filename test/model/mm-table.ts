// The process's page table: an entry for each page, and above them one for each aligned 2 MiB region, which maps
// a huge page as one, or has a table of 512 entries below it, or is empty.
// Reference: linux 6.18 arch/x86/include/asm/pgtable.h, mm/huge_memory.c (__split_huge_pmd_locked).
import { type Folio, HUGE } from './mm-folio.ts';

/** The bits of an entry that the processor and the kernel look at. */
export interface EntryBits {
  dirty: boolean;
  writable: boolean;
}

export interface PageEntry extends EntryBits {
  readonly kind: 'page';
  readonly folio: Folio;
  /** Which page of the folio. */
  readonly index: number;
}

/** The shared zero page; a page of memory; or what was swapped out, with its byte. */
export type Entry = { readonly kind: 'zero' } | { readonly kind: 'swap'; readonly byte: number } | PageEntry;

/** A huge page mapped as one, or the huge zero page. */
export type HugeEntry =
  | { readonly kind: 'zero' }
  | ({ readonly kind: 'page'; readonly folio: Folio } & EntryBits);

export interface Region {
  /** First page, a multiple of 512. */
  readonly start: number;
  /** There is a table for 4 KiB entries, even if it is empty: no huge page can come any more (rule 9.1). */
  table: boolean;
  huge: HugeEntry | undefined;
}

/** A page of memory as it is mapped at one address. `bits` are shared by 512 pages where the mapping is huge. */
export interface Mapped {
  readonly folio: Folio;
  readonly index: number;
  readonly bits: EntryBits;
}

/** Dirty to smaps and to reclaim: by the entry, or by the folio as a whole. */
export const isDirty = ({ folio, bits }: Mapped): boolean => bits.dirty || folio.dirty;

export class PageTable {
  readonly pages: number;
  readonly regions: readonly Region[];
  readonly #entries: (Entry | undefined)[];

  constructor(pages: number) {
    this.pages = pages;
    this.#entries = new Array(pages).fill(undefined);
    this.regions = Array.from({ length: Math.ceil(pages / HUGE) }, (_, i) => ({
      start: i * HUGE,
      table: false,
      huge: undefined,
    }));
  }

  region(page: number): Region {
    return this.regions[Math.floor(page / HUGE)] as Region;
  }

  /** The regions that [from, to) touches, each with its part of the range. */
  parts(from: number, to: number): { region: Region; from: number; to: number; whole: boolean }[] {
    return this.regions
      .map((region) => ({
        region,
        from: Math.max(from, region.start),
        to: Math.min(to, region.start + HUGE, this.pages),
      }))
      .filter((part) => part.from < part.to)
      .map((part) => ({ ...part, whole: part.to - part.from === HUGE }));
  }

  /** The 4 KiB entry; undefined where nothing is, or where a huge page is mapped as one. */
  entry(page: number): Entry | undefined {
    return this.#entries[page];
  }

  /** The 4 KiB entry if it maps a page of memory. */
  pageEntry(page: number): PageEntry | undefined {
    const entry = this.#entries[page];
    return entry?.kind === 'page' ? entry : undefined;
  }

  /** The page of memory that is mapped there, however it is mapped; not zero pages. */
  mapped(page: number): Mapped | undefined {
    const { huge } = this.region(page);
    if (huge) return huge.kind === 'page' ? { folio: huge.folio, index: page % HUGE, bits: huge } : undefined;
    const entry = this.pageEntry(page);
    return entry && { folio: entry.folio, index: entry.index, bits: entry };
  }

  set(page: number, entry: Entry): void {
    this.clear(page);
    this.region(page).table = true;
    this.#entries[page] = entry;
    if (entry.kind === 'page') entry.folio.mapcount++;
  }

  /** The table itself stays. */
  clear(page: number): void {
    const entry = this.pageEntry(page);
    if (entry) entry.folio.mapcount--;
    this.#entries[page] = undefined;
  }

  setHuge(region: Region, huge: HugeEntry | undefined): void {
    if (region.huge?.kind === 'page') region.huge.folio.mapcount -= HUGE;
    region.huge = huge;
    if (huge?.kind === 'page') huge.folio.mapcount += HUGE;
  }

  /**
   * __split_huge_pmd(): what was mapped as one is mapped by 512 entries; the huge page itself stays one. A dirty
   * mapping makes the folio dirty on the way.
   */
  splitMapping(region: Region): void {
    const { huge, start } = region;
    if (!huge) return;
    if (huge.kind === 'page' && huge.dirty) huge.folio.dirty = true;
    this.setHuge(region, undefined);
    for (let index = 0; index < HUGE; index++) {
      this.set(start + index, huge.kind === 'page' ? { ...huge, index } : { kind: 'zero' });
    }
  }
}
