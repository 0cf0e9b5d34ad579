// What the machine says of itself: plain values, never live references.
import type { Gpa, Hpa, Hva } from './address.ts';
import type { Memslot } from './vmm/kvm.ts';

/** A size in bytes, or text such as `4K`, `1G`, `1G+2M`, `0x1000`. */
export type Size = number | bigint | string;
/** An address as a caller may write it; `gpa()` and `hva()` make the branded kind. */
export type AddressLike = bigint | number | string;

export type CoreBuild = 'release' | 'debug';
export type WasmMemory = 'plain' | 'threads';

export interface HostOptions {
  /** Size of the frame pool (guest RAM that can be backed at the same time). Default: what the first VM's RAM needs, at most 2 GiB. */
  readonly memory?: Size;
  /** Size of the swap area, 0 for none. Default 256M. */
  readonly swap?: Size;
  /** hugetlb pages of 1 GiB that are set aside besides `memory` (hugepagesz=1G hugepages=N), for `hugetlb_1g`. Default 0; there is room for 2. */
  readonly hugepages1g?: number;
  /** Memory nodes (NUMA), which share the frames of `memory` evenly. Default 1, at most 8. */
  readonly numaNodes?: number;
  /** Which compilation of the core. Default `release`. */
  readonly core?: CoreBuild;
  /** `threads`: shared wasm memory (needs cross-origin isolation in a page). Default `plain`. */
  readonly wasmMemory?: WasmMemory;
  /** Record events from the start. Default true. */
  readonly events?: boolean;
}

/**
 * What the VMM maps as guest RAM. Private anonymous memory: `anon` with MAP_NORESERVE, `anon_acct` without, `thp` with
 * MADV_HUGEPAGE. `memfd`: a shared memory file; `memfd_priv`: the same, mapped privately. `hugetlb`, `hugetlb_shared`: huge
 * pages of 2 MiB, private and shared. `hugetlb_1g`, `hugetlb_1g_shared`: the same of 1 GiB, of those that the host set aside.
 */
export type BackingKind =
  | 'anon'
  | 'anon_acct'
  | 'memfd'
  | 'memfd_priv'
  | 'thp'
  | 'hugetlb'
  | 'hugetlb_shared'
  | 'hugetlb_1g'
  | 'hugetlb_1g_shared';
export type AbiName = 'pvmemcontrol' | 'memctl';
export type GmemProfileName = 'A' | 'B' | 'C' | 'D';

export interface RamRegion {
  readonly gpa: AddressLike;
  readonly size: Size;
}

export interface VmOptions {
  /** RAM as one size: [0, 3G) first, the rest from 4G up. Default 1G. */
  readonly memory?: Size;
  /** RAM as explicit regions; overrides `memory`. Empty: neither RAM nor slots, the VMM makes its mappings itself (`vm.vmm.mmap`). */
  readonly ram?: readonly RamRegion[];
  /** vCPUs. Default 1, at most 32. */
  readonly cpus?: number;
  /** `vm.run` runs each vCPU on a thread of its own. Needs a host with shared memory. Default false. */
  readonly threads?: boolean;
  /** What RAM is made of. Default `anon`. */
  readonly backing?: BackingKind;
  /** CONFIG_ANON_VMA_NAME. Default true. */
  readonly vmaNames?: boolean;
  /** vm.max_map_count. Default 65530. */
  readonly maxMapCount?: number;
  /** RLIMIT_MEMLOCK in bytes for a VMM without CAP_IPC_LOCK; omitted: privileged, no limit. */
  readonly memlock?: Size;
  /** memory.max of the VM's memory cgroup, rounded down to pages: frames of its RAM and its files. Omitted: no limit. */
  readonly memoryLimit?: Size;
  /** memory.swap.max: swap of its RAM and its files. Omitted: no limit. */
  readonly swapLimit?: Size;
  /** KVM_CREATE_VM: 0 an ordinary VM, 1 KVM_X86_SW_PROTECTED_VM, which has private memory. Default 0. */
  readonly vmType?: 0 | 1;
  /** Which generation of guest_memfd KVM has: first posting, Linux 6.8, Linux 6.18, conversion on the file. Default `B`. */
  readonly gmemProfile?: GmemProfileName;
  /** Width of guest-physical addresses (MAXPHYADDR), up to which slots may reach. Default 46, at most 52; a walk has 48. */
  readonly physBits?: number;
  /** Dirty logs by page-modification logging, as on processors that have it; else by write protection. Default true. */
  readonly pml?: boolean;
  /** pvmemcontrol generation. Default `pvmemcontrol`. */
  readonly abi?: AbiName;
}

/** Why KVM_RUN came back to the VMM without finishing the access. */
export type Exit =
  | {
      readonly reason: 'MMIO';
      readonly gpa: Gpa;
      readonly len: number;
      readonly isWrite: boolean;
      readonly data: Uint8Array;
    }
  /** KVM_RUN = -1/EFAULT with exit_reason 0: the host mapping forbids the access (docs/linux-rules.md R1.1). */
  | { readonly reason: 'EFAULT'; readonly gpa: Gpa; readonly isWrite: boolean }
  /**
   * KVM_RUN = -1/EFAULT with KVM_EXIT_MEMORY_FAULT: the page at gpa, of `size` bytes, is to be had in another kind, or not at
   * all (docs/linux-rules.md R1.1). `flags` 8: as private memory.
   */
  | {
      readonly reason: 'MEMORY_FAULT';
      readonly gpa: Gpa;
      readonly flags: bigint;
      readonly size: number;
      readonly isWrite: boolean;
    }
  /** The page is being invalidated (`kvm.invalidateBegin`): KVM would enter the guest again until that has ended. */
  | { readonly reason: 'RETRY'; readonly gpa: Gpa; readonly isWrite: boolean }
  /** No host frame could be had, not even by reclaim. The vCPU stands before the access and may be run again. */
  | { readonly reason: 'OUT_OF_MEMORY'; readonly gpa: Gpa; readonly isWrite: boolean }
  /** Instruction fetch where there is no slot: KVM_EXIT_INTERNAL_ERROR, suberror 1. */
  | { readonly reason: 'INTERNAL_ERROR'; readonly gpa: Gpa };

/** What the guest means by an access, where it says so itself: an encryption bit of its page tables. */
export type MemoryKind = 'private' | 'shared';

/** A guest access. `exits` has what went to the VMM and was not claimed by a device; `value` is 0 for stores. */
export type Access =
  | { readonly ok: true; readonly value: bigint; readonly exits: readonly Exit[] }
  | { readonly ok: false; readonly exit: Exit };

/** A loop over RAM ended: `pages` were done, and `exit` says why no more. */
export interface LoopEnd {
  readonly pages: number;
  readonly exit?: Exit;
}
/** A range was read and compared: `differs` is the first byte that is another one. */
export interface Verified {
  readonly differs: Gpa | undefined;
  readonly exit?: Exit;
}

/** The VMM process's own access through its page table. */
export type HostAccess =
  | { readonly ok: true; readonly value: number }
  | {
      readonly ok: false;
      readonly signal: 'SIGSEGV' | 'SIGBUS';
      readonly code: 'SEGV_MAPERR' | 'SEGV_ACCERR' | 'BUS_ADRERR';
    };

export type ErrnoName =
  | 'OK'
  | 'EPERM'
  | 'ENXIO'
  | 'EBADF'
  | 'EAGAIN'
  | 'ENOMEM'
  | 'EACCES'
  | 'EFAULT'
  | 'EEXIST'
  | 'ENODEV'
  | 'EINVAL'
  | 'EMFILE'
  | 'EFBIG'
  | 'ESPIPE'
  | 'EOVERFLOW'
  | 'EOPNOTSUPP';

/** A pvmemcontrol response, the 32 bytes of the per-CPU buffer read as fields. */
export interface Response {
  readonly errno: number;
  readonly code: number;
  readonly value: bigint;
  readonly arg0: bigint;
  readonly arg1: bigint;
}

/** vm_file of a VMA. */
export interface MappedFile {
  readonly name: string;
  /** Bytes into the file at which the VMA starts. */
  readonly offset: number;
  /** Names of the file in file systems: none for a memfd. */
  readonly links: number;
  /** Any of its x mode bits is set; a memfd has them unless it was made with MFD_NOEXEC_SEAL. */
  readonly executable: boolean;
  /** It is a guest_memfd: its pages are RssFile, not RssShmem. */
  readonly guestMemfd?: true;
  /** Left out: one of our own, since nobody can know it. */
  readonly inode?: number;
}

/** What smaps counts of a mapping. In bytes, where nothing else is said. */
export interface SmapsSizes {
  readonly rss: number;
  readonly pss: number;
  readonly pssDirty: number;
  readonly sharedClean: number;
  readonly sharedDirty: number;
  readonly privateClean: number;
  readonly privateDirty: number;
  readonly anonymous: number;
  readonly ksm: number;
  readonly lazyFree: number;
  readonly anonHugePages: number;
  readonly sharedHugetlb: number;
  readonly privateHugetlb: number;
  readonly swap: number;
  readonly swapPss: number;
  readonly locked: number;
}

/** One VMA of the VMM with its smaps numbers; sizes in bytes. */
export interface Vma extends SmapsSizes {
  readonly start: Hva;
  readonly end: Hva;
  /** As in smaps: `rw-p`. */
  readonly perm: string;
  /** smaps VmFlags, in Linux's order: `rd wr mr mw me nr nh`. */
  readonly flags: readonly string[];
  /** Anonymous VMA name, without `[anon:…]`. */
  readonly name: string | undefined;
  /** What it maps; left out for anonymous memory. */
  readonly file?: MappedFile;
  /** 0: none yet. */
  readonly anonVma: number;
  readonly size: number;
}

export interface WalkEntry {
  /** 4 … 1 */
  readonly level: number;
  readonly index: number;
  /** Host-physical address of the entry itself. */
  readonly at: Hpa;
  readonly value: bigint;
  readonly present: boolean;
  readonly leaf: boolean;
  readonly read: boolean;
  readonly write: boolean;
  readonly execute: boolean;
  /** Bit 10, which counts with mode-based execute only: KVM leaves it 0. */
  readonly userExecute: boolean;
  /** 0 UC, 1 WC, 4 WT, 5 WP, 6 WB; leaf entries only. */
  readonly memoryType: number;
  readonly ignorePat: boolean;
  /** Bit 8: some access went through this entry. */
  readonly accessed: boolean;
  /** Bit 9 of leaf entries: some write did. */
  readonly dirty: boolean;
  /** Why using the entry is an EPT misconfiguration, left out where it is none. */
  readonly misconfiguration?: string;
  /** Address bits 51…12: next table, or the frame. */
  readonly address: Hpa;
}
export interface Walk {
  readonly gpa: Gpa;
  readonly eptp: bigint;
  readonly entries: readonly WalkEntry[];
  /** Where the walk ended: the frame's address plus the offset, or nothing. */
  readonly hpa: Hpa | undefined;
  /** What is behind the gpa, whether the SLAT maps it or not. */
  readonly slot:
    | {
        readonly id: number;
        readonly gpa: Gpa;
        readonly size: number;
        readonly hva: Hva;
        /** KVM_MEM_READONLY: the guest reads it, and its stores are MMIO. */
        readonly readonly: boolean;
      }
    | undefined;
  readonly hva: Hva | undefined;
  /** Page letter (docs/linux-rules.md): `a` anonymous, `H` part of a huge page …, `-` no slot. */
  readonly page: string;
}

/** What backs one guest page, whether the SLAT maps it or not: the host's view. Frames are host-physical addresses. */
export interface PageBacking {
  readonly gpa: Gpa;
  /** As `Walk.page`. */
  readonly letter: string;
  /** What the VMM's page table maps; left out for the zero pages, which have no frame of the pool. */
  readonly frame?: Hpa;
  /** Slot as in swap-out events. */
  readonly swapSlot?: number;
  /** The huge page around it (2 MiB, or 1 GiB of `hugetlb_1g`), of which this page may be a part that is mapped no more. */
  readonly huge?: { readonly first: Hpa; readonly mappedPages: number; readonly asOne: boolean };
  /** The file that is mapped there, and what it has of the page itself, mapped or not. */
  readonly file?: {
    readonly name: string;
    /** Bytes into the file. */
    readonly offset: number;
    readonly frame?: Hpa;
    readonly swapSlot?: number;
  };
  /** Entries of VMMs' page tables that map the frame. */
  readonly mappings: number;
  /** The other pages that KSM maps to the frame. */
  readonly sharers: readonly { readonly vm: number; readonly gpa: Gpa }[];
}

/** One thing that happened. `cause` is the seq of the event that led to it, 0 for none. */
export interface EventRecord {
  readonly seq: number;
  readonly cause: number;
  readonly kind: string;
  readonly vm: number;
  readonly cpu: number;
  /** Kind-specific numbers, named in docs/events.md; addresses are hex text. */
  readonly detail: Readonly<Record<string, string | number>>;
  /** One sentence. */
  readonly text: string;
}

export interface DeviceSnapshot {
  readonly state: 'broken' | 'init' | 'ready';
  readonly abi: AbiName;
  readonly barBase: Gpa;
  readonly payload: bigint;
  readonly command: number;
  /** Registered per-CPU buffers by connection id: the first 256. */
  readonly connections: readonly { readonly id: number; readonly gpa: Gpa }[];
  readonly connectionCount: number;
}

/** A memslot, and what there is of it. */
export interface MemslotUse extends Memslot {
  /** Pages in its dirty log; left out where it has none. */
  readonly dirtyPages?: number;
  /** SLAT leaf entries by what one maps. */
  readonly leaves: { readonly '4k': number; readonly '2m': number; readonly '1g': number };
}

/** What a raster cell can be, by lens. The numbers are the bytes of the raster. */
export type Lens = 'backing' | 'slat' | 'protection' | 'attributes';

/** Flat, dotted keys, equal to the keys of `expect` in scenario files. */
export type Counters = Readonly<Record<string, number>>;
