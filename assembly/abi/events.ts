// Kinds of events and the record of one. docs/events.md says what a, b and c mean for each kind.

export enum EventKind {
  None = 0,
  /** A transport command. a command, b payload before, n state after. */
  Transport = 1,
  /** A doorbell that runs a request. a function code, b address, c length, n connection. */
  Request = 2,
  /** The response is in the buffer. n errno, a ret_code. */
  Response = 3,
  /** A doorbell that nobody answers. n connection, a state. */
  DoorbellIgnored = 4,
  /** A system call of the VMM on the backing. n call, a hva, b length, c errno. */
  HostCall = 5,
  /** MMU notifier → SLAT entries dropped. n entries, a gfn start, b gfn end. */
  Zap = 6,
  /** SLAT violation resolved. n access, a gfn, b entry. */
  Violation = 7,
  /** KVM_RUN returned. n status, a gpa, b length. */
  Exit = 8,
  /** Host page fault. n 1 = major, a vpn, b letter after. */
  Fault = 9,
  /** A VMA was cut. a at vpn. */
  VmaSplit = 10,
  /** A VMA took in a neighbour or a piece of it. a start vpn, b end vpn. */
  VmaMerge = 11,
  /** Lazily freed pages dropped by reclaim. n pages. */
  ReclaimLazy = 12,
  /** A page went to swap. a vpn, b slot. */
  SwapOut = 13,
  /** A page came back. a vpn, b slot. */
  SwapIn = 14,
  /** No frame could be had. n 0 the host has none, 1 the VM is at its limit; a frames in the pool, or pages of the limit. */
  Oom = 15,
  /** The device's own access to a request buffer failed: the device is broken. a gpa, n status. */
  BufferFault = 16,
  /** KSM made two pages one. a vpn, b the other's vpn. */
  KsmMerge = 17,
  /** A memslot was set. n SlotChange, a gfn start, b gfn end, c id. */
  Memslot = 18,
  /** Memory attributes were set. n attributes, a gfn start, b gfn end; with c 1 pages of a guest_memfd. */
  Attributes = 19,
  /** A dirty log was read, or a part of it cleared. n pages, a id, b 1 = cleared. */
  DirtyLog = 20,
  /** A page-modification log was full: exit 62. n vCPU. */
  PmlFull = 21,
  /** Pages of a guest_memfd were dropped. n pages, a offset, b length. */
  Punch = 22,
  /** The guest asked for a conversion. a gpa, b pages, c attributes. */
  Hypercall = 23,
}

export enum SlotChange {
  Create = 0,
  Delete = 1,
  Move = 2,
  Flags = 3,
}

// ╒═ 0 seq u32 ═╤═ 4 kind u8 │ cpu u8 │ vm u8 │ – ═╤═ 8 cause u32 ═╤═ 12 n u32 ═╤═ 16 a u64 ═╤═ 24 b u64 ═╤═ 32 c u64 ═╕
export const EVENT_SIZE = 40;
export const EVENT_CAPACITY = 65536;
/** Records of the ring of one vCPU thread. What is left of it at the end of a run goes into the host's ring. */
export const THREAD_EVENTS = 4096;

/** Counters of one VM, u64 each, by index. */
export enum Counter {
  FaultsMinor = 0,
  FaultsMajor = 1,
  SlatViolations = 2,
  SlatZapped = 3,
  SlatFlushes = 4,
  ExitsMmio = 5,
  ExitsEfault = 6,
  ExitsOom = 7,
  NotifierCalls = 8,
  RequestsTotal = 9,
  RequestsFailed = 10,
  VmaSplits = 11,
  VmaMerges = 12,
  ReclaimLazy = 13,
  ReclaimSwapout = 14,
  SwapIns = 15,
  /** HostCallBase + Func: calls by function. */
  HostCallBase = 16,
  /** Pages that KSM mapped to a frame that was there already. */
  KsmMerged = 31,
  /** memory.events: how often a charge met the limit, and how often nothing could be reclaimed for it. */
  MemoryMax = 32,
  MemoryOom = 33,
  /** memory.swap.events: slots refused by the limit; slots that could not be had, for that or another reason. */
  SwapMax = 34,
  SwapFail = 35,
  Count = 36,
}

/** Counters that are only kept in the VM's record, u64 each. */
export enum KvmCounter {
  /** KVM_EXIT_MEMORY_FAULT. */
  MemoryFault = 0,
  /** KVM_EXIT_HYPERCALL. */
  Hypercall = 1,
  /** Exits because a page-modification log was full. */
  PmlFull = 2,
  /** Pages put in dirty logs. */
  Dirty = 3,
  /** Faults that were to be taken again: the gfn was being invalidated, or slots had changed. */
  Retry = 4,
  /** Calls that changed attributes. */
  Attributes = 5,
  /** Processors that had to be interrupted for a flush, while several ran. */
  RemoteFlush = 6,
}
