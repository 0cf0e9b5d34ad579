// MADV_FREE and MADV_PAGEOUT on 4 KiB and transparent huge pages, and what reclaim does with a folio.
// Reference: linux 6.18 mm/madvise.c (madvise_free_pte_range, madvise_cold_or_pageout_pte_range), mm/vmscan.c
// (shrink_folio_list), mm/rmap.c (try_to_unmap_one).
import { type Folio, HUGE, isWholeMapped } from './mm-folio.ts';
import { mappedInARow, splitFolio } from './mm-huge.ts';
import type { Space } from './mm-space.ts';

/**
 * Calls `act` for each folio mapped in [from, to), which is in one VMA, with its first page. A huge page that is not
 * wholly mapped in the range is split, and its small pages are taken one by one; the zero page is left alone.
 */
function eachFolio(space: Space, from: number, to: number, act: (folio: Folio, page: number) => void): void {
  const { table } = space;
  for (const { region, whole, ...part } of table.parts(from, to)) {
    if (region.huge?.kind === 'zero') continue;
    if (region.huge && whole) {
      act(region.huge.folio, region.start);
      continue;
    }
    if (region.huge) splitFolio(space, region);
    for (let page = part.from; page < part.to; ) {
      const large = table.pageEntry(page)?.folio.bytes.length === HUGE;
      const count = large ? mappedInARow(space, page, part.to) : 1;
      if (large && count < HUGE) splitFolio(space, region);
      const entry = table.pageEntry(page);
      if (entry) act(entry.folio, page);
      page += count === HUGE ? HUGE : 1;
    }
  }
}

/**
 * MADV_FREE. A swap slot is given up at once; a page in memory becomes clean and may be dropped by reclaim. A dirty page
 * of KSM that others map too is left alone: they did not free it.
 */
export function free(space: Space, from: number, to: number): void {
  const { table } = space;
  for (let page = from; page < to; page++) if (table.entry(page)?.kind === 'swap') table.clear(page);
  eachFolio(space, from, to, (folio, page) => {
    if (folio.dirty && !isWholeMapped(folio)) return;
    folio.dirty = false;
    for (const index of folio.bytes.keys()) {
      const mapped = table.mapped(page + index);
      if (mapped) mapped.bits.dirty = false;
    }
    folio.swapBacked = false;
  });
}

/** MADV_PAGEOUT: reclaims what is mapped here and nowhere else. All is found first, then reclaimed. */
export function pageOut(space: Space, from: number, to: number): void {
  const found: number[] = [];
  eachFolio(space, from, to, (folio, page) => {
    if (isWholeMapped(folio)) found.push(page);
  });
  for (const page of found) reclaim(space, page);
}

/** shrink_folio_list() of a folio that is mapped from `page` on and nowhere else. */
function reclaim({ table, file }: Space, page: number): void {
  // What is mapped as one is split first (TTU_SPLIT_HUGE_PMD), so the table of 4 KiB entries stays (rule 9.4).
  table.splitMapping(table.region(page));
  const folio = table.mapped(page)?.folio;
  if (!folio) return;
  const pages = Array.from(folio.bytes.keys(), (index) => page + index);
  // The dirty bits of all entries are gathered in the folio as they are taken away.
  if (pages.some((at) => table.pageEntry(at)?.dirty)) folio.dirty = true;

  if (folio.kind === 'file') {
    table.clear(page);
    file?.reclaim(page);
  } else if (folio.swapBacked) {
    for (const [index, at] of pages.entries()) {
      table.set(at, { kind: 'swap', byte: folio.bytes[index] as number });
    }
  } else if (folio.dirty) {
    // Lazily freed, but written since: it is only taken back into use. The next time it goes to swap.
    folio.swapBacked = true;
  } else {
    for (const at of pages) table.clear(at);
  }
}
