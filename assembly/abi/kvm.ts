// Numbers of KVM's interface about guest memory. Reference: linux include/uapi/linux/kvm.h; postings of guest_memfd.

/** Flags of a memory region (struct kvm_userspace_memory_region2). */
export enum MemFlag {
  LogDirtyPages = 1,
  Readonly = 2,
  /** In the first posting KVM_MEM_PRIVATE. */
  GuestMemfd = 4,
  /** KVM's own: the file can be mapped, so all accesses are to it (KVM_MEMSLOT_GMEM_ONLY). */
  GmemOnly = 0x20000,
  /** Ours: the file says itself what of it is private. */
  FileAttributes = 0x40000,
}

/** Attributes of a gfn, and flags of a MEMORY_FAULT exit. */
export const KVM_MEMORY_ATTRIBUTE_PRIVATE = 8;
export const KVM_MEMORY_EXIT_FLAG_PRIVATE = 8;

/** Flag of KVM_CREATE_GUEST_MEMFD in the first posting; those of 6.18 are in abi/file.ts. */
export const GMEM_ALLOW_HUGEPAGE = 1;

/** The generations of guest_memfd: first posting, 6.8, 6.18, conversion on the file. */
export enum GmemProfile {
  A = 0,
  B = 1,
  C = 2,
  D = 3,
}

/** What becomes of contents when a file converts its pages: not said, zeros for both sides, the same for both sides. */
export enum GmemContent {
  Unspecified = 0,
  Zero = 1,
  Preserve = 2,
}

/** Types of a VM (KVM_CREATE_VM). */
export enum VmType {
  Default = 0,
  SwProtected = 1,
}

export enum Cap {
  UserMemory = 3,
  NrMemslots = 10,
  SyncMmu = 16,
  DestroyMemoryRegionWorks = 21,
  JoinMemoryRegionsWorks = 30,
  ReadonlyMem = 81,
  ManualDirtyLogProtect2 = 168,
  ExitHypercall = 201,
  UserMemory2 = 231,
  MemoryFaultInfo = 232,
  MemoryAttributes = 233,
  GuestMemfd = 234,
  VmTypes = 235,
  PreFaultMemory = 236,
  GuestMemfdFlags = 244,
}

export enum ManualProtect {
  Enable = 1,
  InitiallySet = 2,
}

/** KVM_MEM_MAX_NR_PAGES: a dirty bitmap of more could not be asked for. */
export const KVM_MEM_MAX_NR_PAGES = 0x7fffffff;
