// The door that `kvm` recordings came through: a VMM that maps regions of memory, gives parts of them to a guest as slots,
// and runs the guest's one vCPU. Reference: test/golden/kvm/README.md.
import type { HostAccess } from '../types.ts';

/** What a region is a mapping of; `gmem` is a guest_memfd, the two `memfd` a shared and a private mapping of one. */
export type RegionKind = 'anon' | 'anonsh' | 'memfd' | 'memfdpriv' | 'gmem';

export interface RegionSetup {
  readonly name: string;
  readonly kind: RegionKind;
  readonly pages: number;
  /** Flags of KVM_CREATE_GUEST_MEMFD; 0 for other kinds. */
  readonly gmemFlags: number;
  /** Without it the mapping gets MADV_NOHUGEPAGE. */
  readonly thp: boolean;
}

/** What the host tells of a region: pages from smaps, blocks of its memfd in pages, and a letter for each page. */
export interface RegionState {
  readonly rss: number;
  readonly swap: number;
  readonly lck: number;
  /** Undefined where there is no memfd. */
  readonly blk: number | undefined;
  readonly pg: string;
}

/** One guest access; `execute` runs the code at gpa, whose bytes come back with it. */
export type GuestAccess =
  | { readonly kind: 'read'; readonly gpa: bigint; readonly len: AccessLen }
  | { readonly kind: 'write' | 'xadd'; readonly gpa: bigint; readonly len: AccessLen; readonly value: bigint }
  | { readonly kind: 'execute'; readonly gpa: bigint };
export type AccessLen = 1 | 2 | 4 | 8;

/** An exit of the vCPU to the VMM; `DONE` is none: the access completed. */
export type KvmExit =
  | { readonly x: 'DONE' }
  | {
      readonly x: 'MMIO';
      readonly gpa: bigint;
      readonly len: number;
      readonly wr: boolean;
      /** Hex in address order, of writes. */
      readonly data: string | undefined;
    }
  | { readonly x: 'UNKNOWN'; readonly err: string }
  | {
      readonly x: 'MEMORY_FAULT';
      readonly err: string;
      readonly flags: number;
      readonly gpa: bigint;
      readonly size: number;
    }
  | { readonly x: 'INTERNAL_ERROR'; readonly sub: number }
  /** What no recording has, such as a host without free frames. */
  | { readonly x: 'OTHER'; readonly reason: string };

/** How a guest access ended: its exits in order, `DONE` last if it completed, and then what it read. */
export interface AccessEnd {
  readonly exits: readonly KvmExit[];
  /** Of `read`; of `xadd` the old value. */
  readonly value?: bigint;
  /** Of `execute`: the bytes that were fetched. */
  readonly code?: Uint8Array;
}

/** What a call answered: an errno, 0 for success, and then its value. */
export interface CallEnd {
  readonly errno: number;
  /** 0 where the call only succeeds. */
  readonly value?: number;
}

export type RangeCall =
  | { readonly call: 'madvise'; readonly advice: string }
  /** `prot`: 1 read, 2 write, 4 execute. */
  | { readonly call: 'mprotect'; readonly prot: number }
  | { readonly call: 'mlock' | 'mlockOnfault' | 'munlock' | 'munmap' }
  /** New anonymous memory, or the region's own file at the same offset, mapped over that part, readable and writable. */
  | { readonly call: 'mapAnonymous' | 'mapFile' };

/** Part of a region, in pages from its start; it may go past the end. */
export interface RegionPart {
  readonly region: string;
  readonly page: number;
  readonly pages: number;
}

export type FileCall =
  | { readonly call: 'fallocate'; readonly mode: number; readonly offset: bigint; readonly length: bigint }
  | { readonly call: 'ftruncate'; readonly size: bigint }
  | { readonly call: 'pread' | 'pwrite'; readonly offset: bigint; readonly length: number }
  | { readonly call: 'lseek'; readonly offset: bigint; readonly whence: 'data' | 'hole' | 'end' }
  /** Mapped and unmapped again. */
  | {
      readonly call: 'mmap';
      readonly page: number;
      readonly pages: number;
      readonly shared: boolean;
      readonly prot: number;
    }
  | { readonly call: 'close' };

export interface FileStat extends CallEnd {
  readonly size: number;
  readonly blocks: number;
  readonly mode: number;
}

/** KVM_SET_USER_MEMORY_REGION, or with `two` KVM_SET_USER_MEMORY_REGION2. */
export interface SlotCall {
  readonly two: boolean;
  readonly id: number;
  readonly flags: number;
  readonly gpa: bigint;
  readonly size: bigint;
  /** The host address: bytes from the start of a region, or from 0. */
  readonly region: string | undefined;
  readonly offset: bigint;
  /** The guest_memfd: a region's file, or, without a region, no open file. */
  readonly file: { readonly region: string | undefined; readonly offset: bigint } | undefined;
}

export interface KvmDoor {
  /** Makes and maps a region. `mmap`: the errno of the mapping, where only the file could be made. */
  openRegion(setup: RegionSetup): { readonly errno: number; readonly mmap: number };
  regionState(region: string): RegionState;

  guestAccess(access: GuestAccess): AccessEnd;
  /** The VMM's own accesses, to a byte of a region. */
  hostLoad(region: string, offset: bigint): HostAccess;
  hostStore(region: string, offset: bigint, byte: number): HostAccess;
  hostFill(region: string, page: number, byte: number): HostAccess;

  rangeCall(part: RegionPart, call: RangeCall): number;
  mremap(part: RegionPart, to: string, toPage: number): number;
  fileCall(region: string, call: FileCall): CallEnd;
  fstat(region: string): FileStat;

  setSlot(call: SlotCall): number;
  deleteSlot(id: number): number;
  /** Creates a guest_memfd and closes it. */
  createGuestMemfd(size: bigint, flags: bigint): number;
  checkExtension(cap: number): number;
  /** KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2. */
  manualProtect(value: bigint): number;
  dirtyLog(slot: number): { readonly errno: number; readonly pages: readonly number[] };
  /** `pages` count from `first`. */
  clearDirtyLog(slot: number, first: number, count: number, pages: readonly number[]): number;
  /** Full scans of KSM. */
  ksmScan(times: number): void;
}
