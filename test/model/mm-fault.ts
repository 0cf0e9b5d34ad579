// Page faults: how a page comes to be mapped, and mapped writable.
// Reference: linux 6.18 mm/memory.c (handle_pte_fault, do_anonymous_page, do_swap_page, do_wp_page, do_fault).
import { fileReadFault } from './mm-file.ts';
import { anonFolio, type Folio } from './mm-folio.ts';
import { hugeFault, takesHugePage } from './mm-huge.ts';
import { isWritable, type Space } from './mm-space.ts';
import type { ModelVma } from './mm-vmas.ts';

/** handle_mm_fault() for a read; nothing to do where something is mapped. */
export function readFault(space: Space, vma: ModelVma, page: number): void {
  const { table, file } = space;
  const region = table.region(page);
  const entry = table.entry(page);
  if (takesHugePage(space, region)) hugeFault(space, vma, region, false);
  else if (entry?.kind === 'swap') swapIn(space, vma, page, entry.byte, false);
  else if (region.huge || entry) return;
  else if (file) fileReadFault(space, file, vma, page);
  else table.set(page, { kind: 'zero' });
}

/** handle_mm_fault() for a write, unless the entry is writable already. It leaves a dirty, writable entry. */
export function writeFault(space: Space, vma: ModelVma, page: number): void {
  const { table, file, mapping } = space;
  const region = table.region(page);
  const entry = table.entry(page);
  const mapped = table.mapped(page);
  if (mapped?.bits.writable) return;

  if (region.huge?.kind === 'zero' || takesHugePage(space, region)) {
    // do_huge_zero_wp_pmd(): the huge zero page, too, gives way to a huge page of its own.
    hugeFault(space, vma, region, true);
  } else if (entry?.kind === 'swap') {
    swapIn(space, vma, page, entry.byte, true);
  } else if (mapped && (mapped.folio.kind === 'anon' || mapping.shared)) {
    // wp_page_reuse(): the page has no other owner, or the owners are meant to share it.
    Object.assign(mapped.bits, { dirty: true, writable: true });
  } else if (file && mapping.shared) {
    table.set(page, { kind: 'page', folio: file.obtain(page), index: 0, dirty: true, writable: true });
  } else {
    // do_cow_fault(): where nothing is mapped, the file's page is read in, but only to be copied.
    copy(space, vma, page, entry ? mapped?.folio : file?.obtain(page));
  }
}

/** wp_page_copy() of a file's or KSM's page; a page of zeros where nothing or the zero page was. */
function copy({ vmas, table }: Space, vma: ModelVma, page: number, from: Folio | undefined): void {
  vmas.prepareAnonVma(vma);
  table.set(page, { kind: 'page', folio: anonFolio(from?.bytes[0]), index: 0, dirty: true, writable: true });
}

/**
 * do_swap_page(): the slot is given up at once. The page is clean unless it was to be written, but the entry may be
 * written from now on if the VMA may: the page has no other owner.
 */
function swapIn({ table }: Space, vma: ModelVma, page: number, byte: number, write: boolean): void {
  const writable = isWritable(vma);
  table.set(page, { kind: 'page', folio: anonFolio(byte), index: 0, dirty: write, writable });
}

/** FAULT_FLAG_UNSHARE on KSM's page: a copy that is clean and not writable yet, whatever the permissions. */
export function unshare({ table }: Space, page: number): void {
  const mapped = table.mapped(page);
  if (mapped?.folio.kind !== 'ksm') return;
  const folio = anonFolio(mapped.folio.bytes[0]);
  table.set(page, { kind: 'page', folio, index: 0, dirty: false, writable: false });
}

/**
 * populate_vma_page_range() of one page, for mlock: a write that changes nothing where the VMA is private and
 * writable, else a read. A page that was writable already gets its dirty flag from the one who looks it up: huge
 * mappings in the entry (touch_pmd), others in the folio (follow_page_pte) and so for all of it.
 */
export function populate(space: Space, vma: ModelVma, page: number): void {
  const { table, mapping } = space;
  if (mapping.shared || !isWritable(vma)) {
    readFault(space, vma, page);
    return;
  }
  writeFault(space, vma, page);
  const mapped = table.mapped(page);
  if (!mapped) return;
  if (table.region(page).huge) mapped.bits.dirty = true;
  else if (!mapped.bits.dirty) mapped.folio.dirty = true;
}

/**
 * change_protection() of [from, to), whose VMA has its new permissions: an entry becomes writable at once if a write
 * to it would need no copy (can_change_pte_writable).
 */
export function protect({ table, mapping }: Space, vma: ModelVma, from: number, to: number): void {
  for (let page = from; page < to; page++) {
    const mapped = table.mapped(page);
    if (mapped) mapped.bits.writable = isWritable(vma) && (mapping.shared || mapped.folio.kind === 'anon');
  }
}

/** Drops [from, to) from the page table: MADV_DONTNEED, munmap (zap_page_range_single, unmap_vmas). */
export function zap({ table }: Space, from: number, to: number): void {
  for (const part of table.parts(from, to)) {
    const { region } = part;
    if (region.huge && part.whole) {
      table.setHuge(region, undefined);
      continue;
    }
    table.splitMapping(region);
    for (let page = part.from; page < part.to; page++) {
      const entry = table.pageEntry(page);
      // What the file keeps stays dirty.
      if (entry?.folio.kind === 'file' && entry.dirty) entry.folio.dirty = true;
      table.clear(page);
    }
    // try_to_free_pte(), CONFIG_PT_RECLAIM: a table that one call emptied whole is freed (rule 9.4). munmap leaves a
    // hole in the region, so there it does not matter.
    if (part.whole) region.table = false;
  }
}
