// A ledger of a VMM's memory: the rules by which pages come, go and are counted, applied to counts and not to frames, so
// that a guest may be larger than any pool. test/account-ledger.test.ts holds it equal to the engine.
// Reference: linux mm/memory.c (do_fault), mm/shmem.c, mm/rmap.c, virt/kvm/guest_memfd.c; RFC v11, virt/kvm/guest_mem.c
// (kvm_gmem_get_huge_folio) for folios of 2 MiB.
import { type FileState, LedgerFile } from './ledger-file.ts';
import { Nodes, type Policy, Task } from './policy.ts';

/** Pages around a read fault that are mapped along (fault_around_bytes). */
const FAULT_AROUND = 16;

interface LedgerOptions {
  /** Pages of each memory node. */
  readonly nodes: readonly number[];
  readonly policy: Policy;
}

export interface LedgerMapping {
  readonly name: string;
  /** Left out: anonymous memory. */
  readonly file?: LedgerFile;
  readonly shared: boolean;
  readonly pages: number;
  /** The page that it begins with: of the address space for anonymous memory, else of the file. */
  readonly first: number;
  /** What the page table has, by page of the mapping. */
  readonly entries: Map<number, { readonly anon: boolean; readonly node: number; dirty: boolean }>;
}

/** In pages. */
interface LedgerCounters {
  readonly vmSize: number;
  readonly rssAnon: number;
  readonly rssFile: number;
  readonly rssShmem: number;
  readonly cached: number;
  readonly shmem: number;
  readonly unevictable: number;
  /** Of `cached`: what some page table maps, and what is in folios of 2 MiB. */
  readonly mapped: number;
  readonly fileThp: number;
  /** Leaves of the SLAT over private memory, in pages. */
  readonly pages4k: number;
  readonly pages2m: number;
  /** By node. */
  readonly anonNodes: readonly number[];
  readonly fileNodes: readonly number[];
  readonly fileThpNodes: readonly number[];
  readonly unevictableNodes: readonly number[];
  readonly mappedNodes: readonly number[];
  readonly freeNodes: readonly number[];
}

export class Ledger {
  readonly #nodes: Nodes;
  readonly #task: Task;
  readonly #count: number;
  readonly files: LedgerFile[] = [];
  readonly mappings: LedgerMapping[] = [];

  constructor({ nodes, policy }: LedgerOptions) {
    this.#nodes = new Nodes(nodes);
    this.#task = new Task(this.#nodes, policy);
    this.#count = nodes.length;
  }

  createFile(state: FileState): LedgerFile {
    const file = new LedgerFile(state, this.#task, this.#nodes);
    this.files.push(file);
    return file;
  }

  mmap(mapping: Omit<LedgerMapping, 'entries'>): LedgerMapping {
    const made = { ...mapping, entries: new Map() };
    this.mappings.push(made);
    return made;
  }

  munmap(mapping: LedgerMapping): void {
    this.dontneed(mapping, 0, mapping.pages);
    this.mappings.splice(this.mappings.indexOf(mapping), 1);
  }

  /** The VMM, or the guest through a shared page, touches a page of the mapping. False: no memory. */
  touch(mapping: LedgerMapping, page: number, write: boolean): boolean {
    const { file, shared, entries } = mapping;
    const entry = entries.get(page);
    if (entry && (!write || entry.anon || shared)) {
      entry.dirty ||= write;
      return true;
    }
    if (file === undefined && !write) return true; // the zero page, which nobody counts
    const cached = file?.obtain(mapping.first + page);
    if (cached === undefined ? file !== undefined : cached < 0) return false;
    if (write && !shared) return this.#copy(mapping, page);
    entries.set(page, { anon: false, node: cached as number, dirty: write });
    if (!write) this.#faultAround(mapping, page);
    return true;
  }

  /** An anonymous page, or a private copy of a file's. */
  #copy({ first, entries }: LedgerMapping, page: number): boolean {
    const node = this.#task.take(1, first + page);
    if (node < 0) return false;
    entries.set(page, { anon: true, node, dirty: true });
    return true;
  }

  #faultAround({ file, first, pages, entries }: LedgerMapping, page: number): void {
    if (file === undefined || file.kind === 'gmem') return;
    const start = page - (page % FAULT_AROUND);
    for (let near = start; near < Math.min(start + FAULT_AROUND, pages); near++) {
      const node = file.cached(first + near);
      if (!entries.has(near) && node !== undefined) entries.set(near, { anon: false, node, dirty: false });
    }
  }

  /** MADV_DONTNEED: entries go, and with them private pages. */
  dontneed({ entries }: LedgerMapping, page: number, count: number): void {
    for (const [at, { anon, node }] of entries) {
      if (at < page || at >= page + count) continue;
      if (anon) this.#nodes.give(1, node);
      entries.delete(at);
    }
  }

  /** Holes in pages [first, first + count) of the file: nobody maps them any more. */
  punch(file: LedgerFile, first: number, count: number): void {
    for (const mapping of this.mappings.filter((m) => m.file === file)) {
      for (const [page, { anon }] of mapping.entries) {
        const at = mapping.first + page;
        if (!anon && at >= first && at < first + count) mapping.entries.delete(page);
      }
    }
    file.drop(first, count);
  }

  /** Pages that the task allocates for itself and that none of these counters has: page tables, other files. */
  other(pages: number): void {
    for (let i = 0; i < pages; i++) this.#task.take(1);
  }

  counters(): LedgerCounters {
    const zeros = (): number[] => Array.from({ length: this.#count }, () => 0);
    const [anonNodes, fileNodes, fileThpNodes, unevictableNodes, mappedNodes] = [
      zeros(),
      zeros(),
      zeros(),
      zeros(),
      zeros(),
    ];
    const add = (to: number[], node: number, pages: number): void => {
      to[node] = (to[node] as number) + pages;
    };
    const rss = { anon: 0, gmem: 0, memfd: 0 };
    const mapped = new Map<LedgerFile, Set<number>>();
    for (const { file, first, entries } of this.mappings) {
      for (const [page, { anon, node }] of entries) {
        add(mappedNodes, node, 1);
        if (anon || file === undefined) {
          rss.anon++;
          add(anonNodes, node, 1);
          continue;
        }
        rss[file.kind]++;
        mapped.set(file, (mapped.get(file) ?? new Set()).add(first + page));
      }
    }
    const pages = { memfd: 0, gmem: 0 };
    let [pages4k, pages2m] = [0, 0];
    for (const file of this.files) {
      for (const { node, pages: size } of file.folios()) {
        pages[file.kind] += size;
        add(fileNodes, node, size);
        if (size > 1) add(fileThpNodes, node, size);
        if (file.kind === 'gmem') add(unevictableNodes, node, size);
      }
      pages4k += file.leaves(1);
      pages2m += file.leaves(512);
    }
    return {
      vmSize: this.mappings.reduce((sum, m) => sum + m.pages, 0),
      rssAnon: rss.anon,
      rssFile: rss.gmem,
      rssShmem: rss.memfd,
      cached: pages.memfd + pages.gmem,
      shmem: pages.memfd,
      unevictable: pages.gmem,
      mapped: [...mapped.values()].reduce((sum, { size }) => sum + size, 0),
      fileThp: fileThpNodes.reduce((a, b) => a + b),
      pages4k,
      pages2m,
      anonNodes,
      fileNodes,
      fileThpNodes,
      unevictableNodes,
      mappedNodes,
      freeNodes: this.#nodes.free,
    };
  }
}
