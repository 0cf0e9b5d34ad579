// How an access ends and what an exit record says. Read by the core and by the host language.
// Reference: linux include/uapi/linux/kvm.h (exit reasons), signal codes of sigaction(2).

/** End of a guest access. */
export enum Status {
  Ok = 0,
  /** KVM_EXIT_MMIO: no slot there. */
  Mmio = 1,
  /** KVM_RUN = -1/EFAULT with exit_reason 0: the host mapping forbids the access. */
  Efault = 2,
  /** No frame, even after reclaim. */
  OutOfMemory = 3,
  /** Instruction fetch where there is no slot: KVM_EXIT_INTERNAL_ERROR, suberror 1. */
  InternalError = 4,
  /** Host access: no VMA. */
  SegvMaperr = 5,
  /** Host access: the VMA forbids it. */
  SegvAccerr = 6,
  /** No huge page for hugetlb memory, or no page of the file to be had there: SIGBUS, for the guest EFAULT. */
  Sigbus = 7,
  /** KVM_RUN = -1/EFAULT with KVM_EXIT_MEMORY_FAULT: flags in RUN_FAULT_FLAGS, the page at RUN_FAULT_GPA. */
  MemoryFault = 8,
  /** The gfn is being invalidated: the guest is entered again, and would fault again, until that is over. */
  Retry = 9,
}

export enum Access {
  Read = 0,
  Write = 1,
  Fetch = 2,
}

// vCPU run record (the part of struct kvm_run that is modelled), one per vCPU:
// ╒═ 0 vm ═╤═ 4 cpu ═╤═ 8 status ═╤═ 12 exits ═╤═ 16 value (8) ═╤═ 24 buffer (32) ═╤═ 56 … ═╕
// then up to two MMIO exit records of 24 bytes: gpa u64, data u64, len u32, isWrite u32.
export const RUN_VM = 0;
export const RUN_CPU = 4;
export const RUN_STATUS = 8;
export const RUN_EXITS = 12;
export const RUN_VALUE = 16;
export const RUN_BUFFER = 24;
export const RUN_EXIT = 56;
export const RUN_EXIT_SIZE = 24;
export const RUN_EXIT_MAX = 2;
/** gpa at which a failed access stands, and whether it was a write. */
export const RUN_FAULT_GPA = 104;
export const RUN_FAULT_WRITE = 112;
/** Flags of a MEMORY_FAULT exit. */
export const RUN_FAULT_FLAGS = 116;
/** Where and how a request of a program goes (vcpu/program.ts): per-CPU buffer and command register, u64 gpa; connection id, u32. */
export const RUN_DRIVER_BUFFER = 384;
export const RUN_DRIVER_REGISTER = 392;
export const RUN_DRIVER_DOORBELL = 400;
/** Address of the page that a program is put in, u32; 0 before the first run of vCPU threads. */
export const RUN_PROGRAM = 404;
/** Page-modification log: its page u32, 0 = none, and the index of the next entry u32 (memslot/dirty.ts). */
export const RUN_PML = 408;
export const RUN_PML_INDEX = 412;
export const RUN_SIZE = 2048;

/** Kinds of steps of a program (vcpu/program.ts). */
export enum Step {
  Load = 0,
  Store = 1,
  Fetch = 2,
  /** One byte of each page loaded. */
  TouchRead = 3,
  /** One byte of each page stored. */
  TouchWrite = 4,
  Fill = 5,
  Verify = 6,
  /** A request of the guest's driver; `size` is the function code. */
  Request = 7,
  /** The VMM's own system call on its mapping of gpa; `size` is the function code. */
  HostCall = 8,
  /** A locked addition of `arg`; the sum is of what was there. */
  Add = 9,
  /** KVM_SET_USER_MEMORY_REGION2: slot `size` at gpa, of len bytes at hva `arg`. An Operands step comes behind it. */
  SetRegion = 10,
  /** KVM_GET_DIRTY_LOG of slot `size`; the sum is of its pages. */
  GetDirtyLog = 11,
  /** KVM_CLEAR_DIRTY_LOG of slot `size`: all bits of `len` pages from page `arg` on. */
  ClearDirtyLog = 12,
  /** KVM_SET_MEMORY_ATTRIBUTES of len bytes at gpa to `arg`; `size`: flags. */
  SetAttributes = 13,
  /** fallocate(2) of file `arg` in mode `size`, bytes from `gpa` on. */
  Fallocate = 14,
  /** Nothing by itself: flags `size`, file `len` and offset `gpa` of the SetRegion before it. */
  Operands = 15,
}
export const STEP_SIZE = 64;

/** Advice numbers of madvise(2), linux mman-common.h. */
export enum Madv {
  Normal = 0,
  Random = 1,
  Sequential = 2,
  Willneed = 3,
  Dontneed = 4,
  Free = 8,
  Remove = 9,
  Dontfork = 10,
  Dofork = 11,
  Mergeable = 12,
  Unmergeable = 13,
  Hugepage = 14,
  Nohugepage = 15,
  Dontdump = 16,
  Dodump = 17,
  Wipeonfork = 18,
  Keeponfork = 19,
  Cold = 20,
  Pageout = 21,
  PopulateRead = 22,
  PopulateWrite = 23,
  DontneedLocked = 24,
  Collapse = 25,
}

/** mmap(2) protection bits. */
export enum Prot {
  None = 0,
  Read = 1,
  Write = 2,
  Exec = 4,
  /** For futexes on machines that are not coherent; says nothing here. */
  Sem = 8,
}
