// Bits of /proc/PID/pagemap and of /proc/kpageflags, by number. Read by the core and by the host language.
// Reference: linux 6.18 Documentation/admin-guide/mm/pagemap.rst, fs/proc/task_mmu.c, include/uapi/linux/kernel-page-flags.h,
// include/linux/kernel-page-flags.h.

/** Of a pagemap entry. Bits 54…0: page frame number; of a swapped page 4…0 swap type and 54…5 offset in the swap area. */
export enum Pm {
  SoftDirty = 55,
  MmapExclusive = 56,
  UffdWp = 57,
  GuardRegion = 58,
  File = 61,
  Swap = 62,
  Present = 63,
}
/** MAX_SWAPFILES_SHIFT */
export const PM_SWAP_TYPE_BITS = 5;

/** Of a kpageflags entry. */
export enum Kpf {
  Locked = 0,
  Error = 1,
  Referenced = 2,
  Uptodate = 3,
  Dirty = 4,
  Lru = 5,
  Active = 6,
  Slab = 7,
  Writeback = 8,
  Reclaim = 9,
  Buddy = 10,
  Mmap = 11,
  Anon = 12,
  Swapcache = 13,
  Swapbacked = 14,
  CompoundHead = 15,
  CompoundTail = 16,
  Huge = 17,
  Unevictable = 18,
  Hwpoison = 19,
  Nopage = 20,
  Ksm = 21,
  Thp = 22,
  Offline = 23,
  ZeroPage = 24,
  Idle = 25,
  Pgtable = 26,
  // "Kernel hacking assistances".
  Reserved = 32,
  Mlocked = 33,
  /** Of an anonymous page PG_anon_exclusive. */
  Owner2 = 34,
}
