// Memory of hugetlb pages, 2 MiB each: nothing smaller is ever allocated, mapped or given back, there is no swap, and
// smaps counts them apart.
// Reference: linux 6.18 mm/hugetlb.c (hugetlb_fault, hugetlb_change_protection), fs/hugetlbfs/inode.c
// (hugetlbfs_punch_hole), mm/madvise.c (madvise_dontneed_free_valid_vma).
import { Errno } from '../../assembly/abi/errno.ts';
import type { MmSizes } from '../../src/conform/mm-door.ts';
import { HUGE } from './mm-folio.ts';
import type { Mapping } from './mm-mapping.ts';
import type { Memory, PageAdvice } from './mm-memory.ts';
import { NOTHING } from './mm-smaps.ts';
import { isWritable } from './mm-space.ts';
import { type ModelVma, PROT_READ, type VmaErrno } from './mm-vmas.ts';

const KB_PER_HUGE = 2048;

export class HugetlbMemory implements Memory {
  readonly #mapping: Mapping;
  /** Bytes of each page by the number of its huge page. Of a shared mapping they are the file's. */
  readonly #contents = new Map<number, number[]>();
  /** Entries of the page table, by the number of the huge page. */
  readonly #entries = new Map<number, { writable: boolean }>();

  constructor(mapping: Mapping) {
    this.#mapping = mapping;
  }

  /** The start must be that of a huge page; the end is rounded down, so that nothing is lost unasked. */
  advise(from: number, to: number, advice: PageAdvice): VmaErrno {
    if (advice !== 'dontneed' || from % HUGE !== 0) return Errno.EINVAL;
    this.#zap(from / HUGE, Math.floor(to / HUGE));
    return Errno.OK;
  }

  /** Whole huge pages are freed; of those at either end that are hit in part, the part is zeroed. */
  punch(from: number, to: number): void {
    const first = Math.ceil(from / HUGE);
    const end = Math.floor(to / HUGE);
    this.#zap(first, end);
    for (let huge = first; huge < end; huge++) this.#contents.delete(huge);
    for (let page = from; page < to; page++) {
      const bytes = this.#contents.get(Math.floor(page / HUGE));
      if (bytes) bytes[page % HUGE] = 0;
    }
  }

  unmerge(): void {}

  /** A private page is made writable by the next write, whatever the VMA permits. */
  protect(vma: ModelVma, from: number, to: number): void {
    for (let huge = from / HUGE; huge < to / HUGE; huge++) {
      const entry = this.#entries.get(huge);
      if (entry) entry.writable = this.#mapping.shared && isWritable(vma);
    }
  }

  populate(vma: ModelVma, page: number): void {
    this.#fault(vma, page, !this.#mapping.shared && isWritable(vma));
  }

  /** VMAs end at huge pages, so one that the range hits in part lies in a hole. */
  unmap(from: number, to: number): void {
    this.#zap(Math.floor(from / HUGE), Math.ceil(to / HUGE));
  }

  bordersMoved(): void {}

  hostRead(vma: ModelVma, page: number): number {
    return this.#fault(vma, page, false)[page % HUGE] as number;
  }

  hostWrite(vma: ModelVma, page: number, byte: number): void {
    this.#fault(vma, page, true)[page % HUGE] = byte;
  }

  /** As with other memory: without PROT_READ, only what is mapped writable. */
  guestRead(vma: ModelVma, page: number): number | undefined {
    const writable = this.#entries.get(Math.floor(page / HUGE))?.writable;
    return writable || vma.flags.prot & PROT_READ ? this.hostRead(vma, page) : undefined;
  }

  guestWrite(vma: ModelVma, page: number, byte: number): boolean {
    if (!isWritable(vma)) return false;
    this.hostWrite(vma, page, byte);
    return true;
  }

  ksmScan(): void {}

  sizes({ start, end }: ModelVma): MmSizes {
    const mapped = [...this.#entries.keys()].filter((huge) => huge >= start / HUGE && huge < end / HUGE);
    return { ...NOTHING, privateHugetlb: mapped.length * KB_PER_HUGE };
  }

  letter(page: number): string {
    if (this.#entries.has(Math.floor(page / HUGE))) return 'G';
    return this.#mapping.shared ? 'g' : '.';
  }

  blocks(): number {
    return this.#mapping.shared ? this.#contents.size * HUGE : 0;
  }

  /** A first read of private memory maps the page read-only; unlike small pages there is no zero page to map. */
  #fault(vma: ModelVma, page: number, write: boolean): number[] {
    const huge = Math.floor(page / HUGE);
    const bytes = this.#contents.get(huge) ?? new Array<number>(HUGE).fill(0);
    this.#contents.set(huge, bytes);
    const entry = this.#entries.get(huge) ?? { writable: this.#mapping.shared && isWritable(vma) };
    this.#entries.set(huge, entry);
    if (write) entry.writable = true;
    return bytes;
  }

  #zap(first: number, end: number): void {
    for (let huge = first; huge < end; huge++) {
      this.#entries.delete(huge);
      if (!this.#mapping.shared) this.#contents.delete(huge);
    }
  }
}
