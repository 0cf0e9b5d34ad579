// Kinds of allocations that can be made to fail (frames/fail.ts), as bits. Read by the core and by tests.

export enum Fail {
  /** A frame for a page of 4 KiB, before reclaim is tried. */
  Frame = 1,
  /** A group of 512 frames. */
  Group = 2,
  /** A metadata page, or several in a row. */
  Metadata = 4,
  /** A swap slot. */
  Slot = 8,
}
