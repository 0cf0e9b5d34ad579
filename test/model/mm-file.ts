// The file behind a memfd: its page cache, and fault-around. Page N of the file is page N of the mapping.
// Reference: linux 6.18 mm/shmem.c (shmem_get_folio_gfp, shmem_swapin_folio), mm/memory.c (do_fault_around),
// mm/filemap.c (filemap_map_pages).
import { type Folio, fileFolio, HUGE } from './mm-folio.ts';
import { isWritable, type Space } from './mm-space.ts';
import type { ModelVma } from './mm-vmas.ts';

/** fault_around_bytes, 64 KiB, in pages. */
const FAULT_AROUND = 16;

/** A page is a hole, in memory (clean or dirty), or swapped out. What is not a hole is a block of the file. */
export class PageCache {
  readonly #pages = new Map<number, Folio | { readonly swapped: number }>();

  cached(page: number): Folio | undefined {
    const found = this.#pages.get(page);
    return found && 'bytes' in found ? found : undefined;
  }

  isSwapped(page: number): boolean {
    const found = this.#pages.get(page);
    return found !== undefined && 'swapped' in found;
  }

  get blocks(): number {
    return this.#pages.size;
  }

  /** shmem_get_folio(): a hole is filled with a clean zero page; what comes back from swap is dirty. */
  obtain(page: number): Folio {
    const found = this.#pages.get(page);
    if (found && 'bytes' in found) return found;
    const folio = found ? fileFolio(found.swapped, true) : fileFolio(0, false);
    this.#pages.set(page, folio);
    return folio;
  }

  /** What reclaim does with an unmapped page: a dirty one goes to swap, a clean one was never written: a hole again. */
  reclaim(page: number): void {
    const folio = this.cached(page);
    if (folio?.dirty) this.#pages.set(page, { swapped: folio.bytes[0] as number });
    else this.#pages.delete(page);
  }

  punch(page: number): void {
    this.#pages.delete(page);
  }
}

/**
 * A read fault where nothing is mapped: first all neighbours in the window that are in memory are mapped, this page
 * too if it is; else it is read in. Only a shared mapping gives the right to write at once, dirty it is not.
 */
export function fileReadFault({ mapping, table }: Space, file: PageCache, vma: ModelVma, page: number): void {
  const map = (at: number, folio: Folio): void =>
    table.set(at, {
      kind: 'page',
      folio,
      index: 0,
      dirty: false,
      writable: mapping.shared && isWritable(vma),
    });
  const [first, end] = faultAround(vma, page);
  for (let at = first; at < end; at++) {
    const folio = file.cached(at);
    if (folio && !table.entry(at)) map(at, folio);
  }
  if (!table.entry(page)) map(page, file.obtain(page));
}

/**
 * The window [first, end): 16 pages, aligned, within the VMA and the table. Where the VMA starts inside the aligned
 * window, it begins there but is as long as ever (rule 5.6).
 */
function faultAround(vma: ModelVma, page: number): [number, number] {
  const tableStart = page - (page % HUGE);
  const first = Math.max(page - (page % FAULT_AROUND), vma.start);
  return [first, Math.min(first + FAULT_AROUND, vma.end, tableStart + HUGE)];
}
