// A file of the ledger: its pages by place, each with its node, in folios of 4 KiB or, in a guest_memfd of the first posting
// with ALLOW_HUGEPAGE, of 2 MiB where a whole one is free.
import type { Nodes, Task } from './policy.ts';

const HUGE = 512;

export interface FileState {
  readonly name: string;
  readonly kind: 'memfd' | 'gmem';
  readonly pages: number;
  /** ALLOW_HUGEPAGE. */
  readonly huge?: boolean;
  /** Shmem begins to interleave with its inode number, so that small files do not all begin on the same node. */
  readonly inode?: number;
  /** Pages, as a power of two, that shmem interleaves in one piece: 9 where it asks for folios of 2 MiB. Default 0. */
  readonly order?: number;
}

interface Folio {
  readonly node: number;
  readonly pages: number;
}

export class LedgerFile {
  readonly name: string;
  readonly kind: 'memfd' | 'gmem';
  readonly size: number;
  readonly inode: number;
  readonly #huge: boolean;
  readonly #order: number;
  readonly #task: Task;
  readonly #nodes: Nodes;
  /** By first page. */
  readonly #folios = new Map<number, Folio>();
  /** Small pages in the 2 MiB that begin with a page. */
  readonly #small = new Map<number, number>();
  /** First pages of folios that the SLAT maps. */
  readonly #mapped = new Set<number>();
  /** Pages that were ever allocated: those given up count as often as they came. */
  allocated = 0;

  constructor({ name, kind, pages, huge, inode, order }: FileState, task: Task, nodes: Nodes) {
    this.name = name;
    this.kind = kind;
    this.size = pages;
    this.inode = inode ?? 0;
    this.#huge = huge ?? false;
    this.#order = order ?? 0;
    this.#task = task;
    this.#nodes = nodes;
  }

  /** The first page of the folio that has the page, undefined for a hole. */
  #first(page: number): number | undefined {
    if (this.#folios.has(page)) return page;
    const first = page - (page % HUGE);
    return this.#folios.get(first)?.pages === HUGE ? first : undefined;
  }

  /** The node of a page that is there. */
  cached(page: number): number | undefined {
    const first = this.#first(page);
    return first === undefined ? undefined : this.#folios.get(first)?.node;
  }

  /** The node of the page, which is allocated if it is a hole; -1: no memory. */
  obtain(page: number): number {
    return this.cached(page) ?? (this.kind === 'gmem' ? this.#allocateGmem(page) : this.#allocateShmem(page));
  }

  /** shmem_alloc_folio: by its place in the file, in whole pieces (shmem_alloc_hugefolio rounds it down). */
  #allocateShmem(page: number): number {
    return this.#add(page, 1, this.#task.take(1, (this.inode >> this.#order) + (page >> this.#order)));
  }

  /** kvm_gmem_get_folio: by the task's turn; a folio of 2 MiB first. */
  #allocateGmem(page: number): number {
    const first = page - (page % HUGE);
    if (this.#huge && this.#isFree(first)) {
      const node = this.#task.take(HUGE);
      if (node >= 0) return this.#add(first, HUGE, node);
    }
    return this.#add(page, 1, this.#task.take(1));
  }

  /** No page there: one in a folio of 2 MiB would not have been asked for. */
  #isFree(first: number): boolean {
    return first + HUGE <= this.size && (this.#small.get(first) ?? 0) === 0;
  }

  #add(first: number, pages: number, node: number): number {
    if (node < 0) return node;
    this.#folios.set(first, { node, pages });
    if (pages === 1) this.#countSmall(first, 1);
    this.allocated += pages;
    return node;
  }

  #countSmall(page: number, by: number): void {
    const first = page - (page % HUGE);
    this.#small.set(first, (this.#small.get(first) ?? 0) + by);
  }

  /** The guest accesses the page as private memory: pages of the leaf that maps it, of the folio's size. 0: no memory. */
  guestFault(page: number): number {
    if (this.obtain(page) < 0) return 0;
    const first = this.#first(page) as number;
    this.#mapped.add(first);
    return (this.#folios.get(first) as Folio).pages;
  }

  /** fallocate: pages without a leaf. */
  allocate(first: number, count: number): boolean {
    for (let page = first; page < first + count; page++) if (this.obtain(page) < 0) return false;
    return true;
  }

  /** Holes. A folio of 2 MiB that is hit in part is split. */
  drop(first: number, count: number): void {
    const end = first + count;
    for (const [at, { node, pages }] of [...this.#folios]) {
      if (at >= end || at + pages <= first) continue;
      this.#folios.delete(at);
      this.#mapped.delete(at);
      if (pages === 1) this.#countSmall(at, -1);
      for (let page = at; page < at + pages; page++) {
        if (page >= first && page < end) {
          this.#nodes.give(1, node);
          continue;
        }
        this.#folios.set(page, { node, pages: 1 });
        this.#countSmall(page, 1);
      }
    }
  }

  /** Folios by their first page. */
  entries(): Iterable<readonly [number, Folio]> {
    return this.#folios;
  }

  folios(): Iterable<Folio> {
    return this.#folios.values();
  }

  /** Pages that the SLAT maps by leaves of `pages` pages. */
  leaves(pages: number): number {
    let sum = 0;
    for (const first of this.#mapped) if (this.#folios.get(first)?.pages === pages) sum += pages;
    return sum;
  }
}
