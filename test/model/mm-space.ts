// What the rules of the model work on: the VMAs, the page table, and the file behind it if there is one.
import type { PageCache } from './mm-file.ts';
import type { Mapping } from './mm-mapping.ts';
import type { PageTable } from './mm-table.ts';
import { type ModelVma, PROT_WRITE, type VmaList } from './mm-vmas.ts';

export interface Space {
  readonly mapping: Mapping;
  readonly vmas: VmaList;
  readonly table: PageTable;
  /** Of a memfd. */
  readonly file: PageCache | undefined;
}

export const isWritable = (vma: ModelVma): boolean => (vma.flags.prot & PROT_WRITE) !== 0;
