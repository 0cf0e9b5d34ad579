// Files of the VMM. Reference: linux include/uapi/linux/kvm.h (GUEST_MEMFD_FLAG_MMAP, GUEST_MEMFD_FLAG_INIT_SHARED).

export enum FileKind {
  /** memfd_create, and what MAP_SHARED | MAP_ANONYMOUS has inside: shmem. */
  Memfd = 0,
  Hugetlb = 1,
  GuestMemfd = 2,
}

/** Flags of a memfd. */
export enum ShmemFlag {
  /** MAP_SHARED | MAP_ANONYMOUS has made it: /dev/zero. */
  Zero = 1,
}

/** Flags of a guest_memfd. */
export enum GmemFlag {
  /** It can be mapped by the VMM. */
  Mmap = 1,
  /** The VMM may touch its pages there. */
  InitShared = 2,
}

// Ours, besides the caller's flags.
/** The file keeps attributes of its pages itself. */
export const GMEM_ATTRIBUTES = 0x100;
/** Huge pages of 2 MiB are tried first (KVM_GUEST_MEMFD_ALLOW_HUGEPAGE of the first posting). */
export const GMEM_HUGEPAGES = 0x200;

/** Modes of fallocate(2), linux include/uapi/linux/falloc.h. */
export const FALLOC_KEEP_SIZE = 1;
export const FALLOC_PUNCH_HOLE = 2;
