// The state of a page as one letter.
// Reference: test/golden/mm/README.md, section "State".
import { isLarge } from './mm-folio.ts';
import type { Space } from './mm-space.ts';
import { isDirty, type Mapped } from './mm-table.ts';

/** Of a page that a VMA has. */
export function pageLetter({ table, file }: Space, page: number): string {
  const mapped = table.mapped(page);
  if (mapped) return table.region(page).huge ? hugeLetter(mapped) : smallLetter(mapped);
  if (table.region(page).huge) return 'Z';
  const entry = table.entry(page);
  if (entry) return entry.kind === 'swap' ? 's' : 'z';
  if (file?.isSwapped(page)) return 's';
  return file?.cached(page) ? 'c' : '.';
}

function hugeLetter(mapped: Mapped): string {
  if (mapped.folio.swapBacked) return 'H';
  return isDirty(mapped) ? 'D' : 'L';
}

function smallLetter(mapped: Mapped): string {
  const { kind, swapBacked } = mapped.folio;
  const lazy = !swapBacked && !isDirty(mapped);
  if (kind === 'file') return 'f';
  if (kind === 'ksm') return lazy ? 'K' : 'k';
  if (!swapBacked) return lazy ? 'l' : 'd';
  return isLarge(mapped.folio) ? 'h' : 'a';
}
