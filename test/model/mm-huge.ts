// Transparent huge pages: when one can come, when its mapping is split, and when the page itself is.
// Reference: linux 6.18 mm/huge_memory.c (do_huge_pmd_anonymous_page, vma_adjust_trans_huge, __folio_split), mm/migrate.c
// (try_to_map_unused_to_zeropage).
import { anonFolio, HUGE, hugeFolio, isLarge } from './mm-folio.ts';
import { isWritable, type Space } from './mm-space.ts';
import type { Region } from './mm-table.ts';
import type { ModelVma } from './mm-vmas.ts';

/** A fault in the region brings a huge page: it has no table of 4 KiB entries, and one VMA has all of it. */
export const takesHugePage = ({ mapping, vmas }: Space, region: Region): boolean =>
  mapping.huge === 'thp' && !region.huge && !region.table && vmas.inOne(region.start, region.start + HUGE);

/**
 * do_huge_pmd_anonymous_page(). Unlike with the small zero page, the VMA gets its anon_vma even for the huge one: it
 * is prepared before the kind of fault is looked at.
 */
export function hugeFault({ vmas, table }: Space, vma: ModelVma, region: Region, write: boolean): void {
  vmas.prepareAnonVma(vma);
  if (write) {
    table.setHuge(region, { kind: 'page', folio: hugeFolio(), dirty: true, writable: isWritable(vma) });
  } else {
    table.setHuge(region, { kind: 'zero' });
  }
}

/** vma_adjust_trans_huge(): where a border of a VMA lies inside a region, nothing is mapped as one any more. */
export function splitAtBorders({ vmas, table }: Space): void {
  for (const region of table.regions) {
    if (region.huge && !vmas.inOne(region.start, region.start + HUGE)) table.splitMapping(region);
  }
}

/**
 * split_folio(): the huge page of the region becomes small pages, wherever in the region they are mapped. A page of
 * zeros becomes the zero page, but in a locked VMA. The dirty bits of all its entries are gathered in the folio, and
 * each small page inherits that flag. Parts that nobody maps are freed.
 */
export function splitFolio({ vmas, table }: Space, region: Region): void {
  table.splitMapping(region);
  const parts = Array.from({ length: HUGE }, (_, index) => table.pageEntry(region.start + index)).filter(
    (entry) => entry && isLarge(entry.folio),
  );
  const dirty = parts.some((part) => part?.dirty || part?.folio.dirty);
  for (const part of parts) {
    if (!part) continue;
    const page = region.start + part.index;
    const byte = part.folio.bytes[part.index] as number;
    if (byte === 0 && !vmas.at(page)?.flags.locked) {
      table.set(page, { kind: 'zero' });
    } else {
      const folio = { ...anonFolio(byte), dirty, swapBacked: part.folio.swapBacked };
      table.set(page, { ...part, folio, index: 0 });
    }
  }
}

/**
 * folio_pte_batch(): how many parts of one huge page are mapped one after the other from `page` on, before `end`.
 * Advice acts on the huge page as a whole only if that is all of it.
 */
export function mappedInARow({ table }: Space, page: number, end: number): number {
  const first = table.pageEntry(page);
  let count = 0;
  while (first && page + count < end && table.pageEntry(page + count)?.folio === first.folio) count++;
  return count;
}
