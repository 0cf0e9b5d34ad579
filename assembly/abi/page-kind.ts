// What is behind a page, as rasters show it: page letters (docs/linux-rules.md), the rare ones above the common ones. A
// cell of many pages has the highest kind of them, so that one page shows in a terabyte.
export enum PageKind {
  /** `.`, and `x`: no VMA. */
  None = 0,
  /** `z` */
  Zero = 1,
  /** `Z` */
  HugeZero = 2,
  /** `c`, `g`: the file has it, nobody maps it. */
  Cached = 3,
  /** `a`, `d`. Of a file that is mapped privately: the copy. */
  Anonymous = 4,
  /** `G` */
  Hugetlb = 5,
  /** `f` */
  File = 6,
  /** `H`, `D` */
  Huge = 7,
  /** `h` */
  HugePart = 8,
  /** Not mapped, but a part of a huge page that still has its frame (9.3). */
  Held = 9,
  /** `k`, `K` */
  Ksm = 10,
  /** `l`, `L`: reclaim may drop it. */
  Lazy = 11,
  /** `s` */
  Swapped = 12,
}
