// Memory of 4 KiB pages and transparent huge pages: anonymous, or a memfd's, shared or private.
import { Errno } from '../../assembly/abi/errno.ts';
import { free, pageOut } from './mm-advice.ts';
import { populate, protect, readFault, unshare, writeFault, zap } from './mm-fault.ts';
import { PageCache } from './mm-file.ts';
import { guestMayRead, guestMayWrite } from './mm-guest.ts';
import { splitAtBorders } from './mm-huge.ts';
import { KsmScanner } from './mm-ksm.ts';
import { pageLetter } from './mm-letters.ts';
import { isAnonymousMapping, type Mapping } from './mm-mapping.ts';
import type { Memory, PageAdvice } from './mm-memory.ts';
import { pageSizes } from './mm-smaps.ts';
import type { Space } from './mm-space.ts';
import { type Mapped, PageTable } from './mm-table.ts';
import type { ModelVma, VmaErrno, VmaList } from './mm-vmas.ts';

export class PagedMemory implements Memory {
  readonly #space: Space;
  readonly #ksm: KsmScanner;

  constructor(mapping: Mapping, vmas: VmaList, pages: number) {
    const file = mapping.hasFile ? new PageCache() : undefined;
    this.#space = { mapping, vmas, table: new PageTable(pages), file };
    this.#ksm = new KsmScanner(this.#space);
  }

  advise(from: number, to: number, advice: PageAdvice): VmaErrno {
    if (advice === 'free' && !isAnonymousMapping(this.#space.mapping)) return Errno.EINVAL;
    const act = { dontneed: zap, free, pageout: pageOut }[advice];
    act(this.#space, from, to);
    return Errno.OK;
  }

  punch(from: number, to: number): void {
    zap(this.#space, from, to);
    for (let page = from; page < to; page++) this.#space.file?.punch(page);
  }

  unmerge(from: number, to: number): void {
    for (let page = from; page < to; page++) unshare(this.#space, page);
  }

  protect(vma: ModelVma, from: number, to: number): void {
    protect(this.#space, vma, from, to);
  }

  populate(vma: ModelVma, page: number): void {
    populate(this.#space, vma, page);
  }

  unmap(from: number, to: number): void {
    zap(this.#space, from, to);
  }

  bordersMoved(): void {
    splitAtBorders(this.#space);
  }

  hostRead(vma: ModelVma, page: number): number {
    readFault(this.#space, vma, page);
    return this.#byte(page);
  }

  hostWrite(vma: ModelVma, page: number, byte: number): void {
    writeFault(this.#space, vma, page);
    const { folio, index, bits } = this.#mapped(page);
    bits.dirty = true;
    folio.bytes[index] = byte;
  }

  guestRead(vma: ModelVma, page: number): number | undefined {
    return guestMayRead(this.#space, vma, page) ? this.#byte(page) : undefined;
  }

  guestWrite(vma: ModelVma, page: number, byte: number): boolean {
    if (!guestMayWrite(this.#space, vma, page)) return false;
    const { folio, index } = this.#mapped(page);
    folio.bytes[index] = byte;
    return true;
  }

  ksmScan(): void {
    this.#ksm.scan();
  }

  sizes(vma: ModelVma) {
    return pageSizes(this.#space, vma);
  }

  letter(page: number): string {
    return pageLetter(this.#space, page);
  }

  blocks(): number {
    return this.#space.file?.blocks ?? 0;
  }

  /** Zero pages read as zero. */
  #byte(page: number): number {
    const mapped = this.#space.table.mapped(page);
    return mapped?.folio.bytes[mapped.index] ?? 0;
  }

  #mapped(page: number): Mapped {
    const mapped = this.#space.table.mapped(page);
    if (!mapped) throw new Error(`page ${page} is not mapped after its write fault`);
    return mapped;
  }
}
