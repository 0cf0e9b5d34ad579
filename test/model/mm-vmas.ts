// The VMAs of the model: an array in address order, cut and merged as Linux does.
// Reference: linux 6.18 mm/vma.c (vma_modify, vma_merge_existing_range, split_vma), mm/rmap.c (reusable_anon_vma).
import { Errno } from '../../assembly/abi/errno.ts';

export const PROT_READ = 1;
export const PROT_WRITE = 2;

/** All that must be equal for two neighbours to become one VMA, besides their anon_vma. */
export interface VmaFlags {
  readonly prot: number;
  readonly locked: boolean;
  readonly dontDump: boolean;
  readonly mergeable: boolean;
  /** VM_ACCOUNT: counted against overcommit. */
  readonly account: boolean;
  /** Anonymous VMA name. */
  readonly name: string | undefined;
}

/** `start` and `end` are pages from the start of the mapping. */
export interface ModelVma {
  start: number;
  end: number;
  flags: VmaFlags;
  /** 0: none yet. Equal numbers: the same anon_vma. */
  anonVma: number;
}

export const sameFlags = (a: VmaFlags, b: VmaFlags): boolean =>
  a.prot === b.prot && a.name === b.name && sameButProtAndName(a, b);
const sameButProtAndName = (a: VmaFlags, b: VmaFlags): boolean =>
  a.locked === b.locked &&
  a.dontDump === b.dontDump &&
  a.mergeable === b.mergeable &&
  a.account === b.account;

/** is_mergeable_anon_vma(): at least one has none, or both have the same. */
const compatible = (a: ModelVma, b: ModelVma): boolean =>
  a.anonVma === 0 || b.anonVma === 0 || a.anonVma === b.anonVma;

export interface VmaListOptions {
  /** vm.max_map_count, for the whole process. */
  readonly maxMapCount: number;
  /** VMAs the process has besides. */
  readonly otherMaps: number;
  /** Pages of the kind of page that makes up the mapping: a cut inside one is refused. 1 or 512. */
  readonly pageSize: number;
}

export type VmaErrno = Errno.OK | Errno.ENOMEM | Errno.EINVAL;

export class VmaList {
  readonly list: ModelVma[];
  readonly #options: VmaListOptions;
  #lastAnonVma = 0;

  /** One VMA [0, pages). */
  constructor(pages: number, flags: VmaFlags, options: VmaListOptions) {
    this.list = [{ start: 0, end: pages, flags, anonVma: 0 }];
    this.#options = options;
  }

  /** The VMA that has the page. */
  at(page: number): ModelVma | undefined {
    return this.list.find((v) => v.start <= page && page < v.end);
  }

  /** find_vma(): the first VMA that ends after the page, whether it has the page or lies behind a hole. */
  find(page: number): ModelVma | undefined {
    return this.list.find((v) => page < v.end);
  }

  /** The pages [start, end) are all in one VMA. */
  inOne(start: number, end: number): boolean {
    const vma = this.at(start);
    return vma !== undefined && end <= vma.end;
  }

  /**
   * vma_modify(): gives [start, end), which lies in `vma`, the flags; merges where it can, else cuts. When a cut is
   * refused, a cut at the start that was made before stays.
   */
  modify(vma: ModelVma, start: number, end: number, flags: VmaFlags): VmaErrno {
    if (this.#merge(vma, start, end, flags)) return Errno.OK;
    let piece = vma;
    if (piece.start < start) {
      const refused = this.#refuses(start);
      if (refused !== Errno.OK) return refused;
      piece = this.#cut(piece, start);
    }
    if (end < piece.end) {
      const refused = this.#refuses(end);
      if (refused !== Errno.OK) return refused;
      this.#cut(piece, end);
    }
    piece.flags = flags;
    return Errno.OK;
  }

  get #room(): boolean {
    const { maxMapCount, otherMaps } = this.#options;
    return this.list.length + otherMaps < maxMapCount;
  }

  /** hugetlb_vm_op_split() */
  #splits(page: number): boolean {
    return page % this.#options.pageSize !== 0;
  }

  /** split_vma() looks at the number of VMAs first. */
  #refuses(page: number): VmaErrno {
    if (!this.#room) return Errno.ENOMEM;
    return this.#splits(page) ? Errno.EINVAL : Errno.OK;
  }

  /** vma_merge_existing_range(): one or both neighbours take the piece, if they have just these flags. */
  #merge(vma: ModelVma, start: number, end: number, flags: VmaFlags): boolean {
    // VM_DONTEXPAND, which every hugetlb VMA has, forbids all merging.
    if (this.#options.pageSize > 1) return false;
    const index = this.list.indexOf(vma);
    const fits = (v: ModelVma | undefined, touches: boolean): v is ModelVma =>
      v !== undefined && touches && sameFlags(v.flags, flags) && compatible(v, vma);
    const prev = this.list[index - 1];
    const next = this.list[index + 1];
    const left = fits(prev, start === vma.start && prev?.end === start) ? prev : undefined;
    let right = fits(next, end === vma.end && next?.start === end) ? next : undefined;
    // Each may fit the piece and still not the other; then the left one wins.
    if (left && right && !compatible(left, right)) right = undefined;
    if (!left && !right) return false;

    // Who grows takes over an anon_vma of what it swallows (dup_anon_vma).
    const grows = (left ?? right) as ModelVma;
    if (grows.anonVma === 0) grows.anonVma = (left && right?.anonVma) || vma.anonVma;
    if (left) left.end = right ? right.end : end;
    else grows.start = start;

    if (left && right) this.#drop(right);
    if (start === vma.start && end === vma.end) this.#drop(vma);
    else if (left) vma.start = end;
    else vma.end = start;
    return true;
  }

  /** __split_vma(): cuts at `page`; both parts keep flags and anon_vma. Returns the upper part. */
  #cut(vma: ModelVma, page: number): ModelVma {
    const upper = { ...vma, start: page };
    vma.end = page;
    this.list.splice(this.list.indexOf(vma) + 1, 0, upper);
    return upper;
  }

  #drop(vma: ModelVma): void {
    this.list.splice(this.list.indexOf(vma), 1);
  }

  /**
   * vms_gather_munmap_vmas(): takes [start, end) out. Only a hole in the middle of one VMA needs room. A cut at the
   * start stays when the one at the end is refused, for that would go through a hugetlb page.
   */
  unmap(start: number, end: number): VmaErrno {
    const first = this.list.find((v) => v.end > start && v.start < end);
    if (first && first.start < start) {
      if (end < first.end && !this.#room) return Errno.ENOMEM;
      if (this.#splits(start)) return Errno.EINVAL;
      this.#cut(first, start);
    }
    const last = this.list.findLast((v) => v.end > start && v.start < end);
    if (last && end < last.end) {
      if (this.#splits(end)) return Errno.EINVAL;
      this.#cut(last, end);
    }
    for (const vma of this.list.filter((v) => v.start >= start && v.end <= end)) this.#drop(vma);
    return Errno.OK;
  }

  /**
   * anon_vma_prepare() at the first anonymous page: the anon_vma of the next VMA, else of the one before, if it is
   * adjacent and differs at most in r/w/x; else a new one. Names are no flags here, unlike in merging.
   */
  prepareAnonVma(vma: ModelVma): void {
    if (vma.anonVma !== 0) return;
    const index = this.list.indexOf(vma);
    const next = this.list[index + 1];
    const prev = this.list[index - 1];
    const usable = (v: ModelVma | undefined, touches: boolean): number =>
      v && touches && sameButProtAndName(v.flags, vma.flags) ? v.anonVma : 0;
    vma.anonVma =
      usable(next, next?.start === vma.end) || usable(prev, prev?.end === vma.start) || ++this.#lastAnonVma;
  }
}
