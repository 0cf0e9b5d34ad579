// Memory itself: a folio is one page, or the 512 pages of a huge page, wherever it is mapped.
// Reference: linux 6.18 include/linux/mm_types.h, page-flags.h.

/** 4 KiB pages of a 2 MiB huge page. */
export const HUGE = 512;

export interface Folio {
  /** `file`: in the page cache of a memfd. A page that KSM shares turns from `anon` to `ksm` and never back. */
  kind: 'anon' | 'ksm' | 'file';
  /** Each page holds one byte 4096 times. */
  readonly bytes: number[];
  /** PG_dirty: one flag for the whole folio, besides those of the entries that map it. */
  dirty: boolean;
  /** PG_swapbacked. MADV_FREE takes it away: reclaim may drop the folio unless it is dirty again. */
  swapBacked: boolean;
  /** Entries of 4 KiB that map it; a huge page mapped as one counts 512. */
  mapcount: number;
}

const folio = (kind: Folio['kind'], bytes: number[], dirty = false): Folio => ({
  kind,
  bytes,
  dirty,
  swapBacked: true,
  mapcount: 0,
});

export const anonFolio = (byte = 0): Folio => folio('anon', [byte]);
export const hugeFolio = (): Folio => folio('anon', new Array<number>(HUGE).fill(0));
export const fileFolio = (byte: number, dirty: boolean): Folio => folio('file', [byte], dirty);

export const isLarge = ({ bytes }: Folio): boolean => bytes.length > 1;
export const isWholeMapped = ({ bytes, mapcount }: Folio): boolean => mapcount === bytes.length;
