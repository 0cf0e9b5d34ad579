// KVM as a VMM sees it: the ioctls of a VM that are about guest memory, by the kernel's names. What the VMM does wrong is
// an errno, as for any caller. Reference: linux Documentation/virt/kvm/api.rst; assembly/kvm/.
import { Errno } from '../../assembly/abi/errno.ts';
import { GMEM_ATTRIBUTES, GMEM_HUGEPAGES, GmemFlag } from '../../assembly/abi/file.ts';
import {
  Cap,
  GMEM_ALLOW_HUGEPAGE,
  GmemProfile,
  KVM_MEMORY_ATTRIBUTE_PRIVATE,
  MemFlag,
  VmType,
} from '../../assembly/abi/kvm.ts';
import type { Core } from '../core/core.ts';
import type { Ptr } from '../core/exports.ts';
import {
  SCRATCH,
  SCRATCH_SIZE,
  SLOT_BASE,
  SLOT_END,
  SLOT_FILE,
  SLOT_FILE_PAGE,
  SLOT_FLAGS,
  SLOT_ID,
  SLOT_VPN,
  VM_GMEM_PROFILE,
  VM_INVALIDATING,
  VM_MANUAL_PROTECT,
  VM_SLOT_COUNT,
  VM_TYPE,
} from '../core/layout.ts';
import { parseInteger } from '../size.ts';
import type { AddressLike } from '../types.ts';
import type { Files } from './files.ts';

/** struct kvm_userspace_memory_region. */
export interface MemoryRegion {
  /** Id, with the address space in its upper half. */
  readonly slot: number;
  /** 1 KVM_MEM_LOG_DIRTY_PAGES, 2 KVM_MEM_READONLY, 4 KVM_MEM_GUEST_MEMFD. */
  readonly flags: number;
  readonly guestPhysAddr: AddressLike;
  /** Bytes; 0 deletes the slot. */
  readonly memorySize: AddressLike;
  readonly userspaceAddr: AddressLike;
}
/** struct kvm_userspace_memory_region2. */
export interface MemoryRegion2 extends MemoryRegion {
  readonly guestMemfd?: number;
  readonly guestMemfdOffset?: AddressLike;
}
export interface MemoryAttributes {
  readonly address: AddressLike;
  readonly size: AddressLike;
  /** 8 KVM_MEMORY_ATTRIBUTE_PRIVATE, or 0. */
  readonly attributes: bigint | number;
  readonly flags?: bigint | number;
}

/** A memslot as KVM has it. */
export interface Memslot {
  readonly id: number;
  readonly gpa: bigint;
  readonly size: number;
  readonly hva: bigint;
  readonly readonly: boolean;
  readonly dirtyLog: boolean;
  /** It was made with a guest_memfd, which is `closed` when all its descriptors and mappings are. */
  readonly guestMemfd?: 'open' | 'closed';
  /** Bytes into the file at which the slot begins; left out when it is closed. */
  readonly guestMemfdOffset?: number;
  /** A descriptor of the file, while there is one. */
  readonly fd?: number;
}

/** What KVM_CHECK_EXTENSION answers for KVM_CAP_NR_MEMSLOTS. */
const NR_MEMSLOTS = 32764;
/** KVM_HC_MAP_GPA_RANGE. */
const HYPERCALLS = 1 << 12;
const PAGE = 4096;

/** An argument as the kernel takes it: 64 bits, whatever sign it had. */
const u64 = (value: AddressLike): bigint => BigInt.asUintN(64, parseInteger(value, 'argument'));

export class Kvm {
  readonly #core: Core;
  readonly #vm: Ptr;
  readonly #files: Files;

  constructor(core: Core, vm: Ptr, files: Files) {
    this.#core = core;
    this.#vm = vm;
    this.#files = files;
  }

  /** KVM_CHECK_EXTENSION; 0 for what it does not know. */
  checkExtension(cap: number): number {
    switch (cap) {
      case Cap.NrMemslots:
        return NR_MEMSLOTS;
      case Cap.UserMemory:
      case Cap.SyncMmu:
      case Cap.DestroyMemoryRegionWorks:
      case Cap.JoinMemoryRegionsWorks:
      case Cap.ReadonlyMem:
      case Cap.UserMemory2:
      case Cap.MemoryFaultInfo:
      case Cap.GuestMemfd:
        return 1;
      case Cap.ManualDirtyLogProtect2:
        return 3;
      case Cap.ExitHypercall:
        return HYPERCALLS;
      case Cap.MemoryAttributes:
        return this.#hasPrivate && !this.fileAttributes ? KVM_MEMORY_ATTRIBUTE_PRIVATE : 0;
      case Cap.VmTypes:
        return (1 << VmType.Default) | (1 << VmType.SwProtected);
      case Cap.GuestMemfdFlags:
        return this.#profile >= GmemProfile.C ? this.#gmemFlags : 0;
      default:
        return 0;
    }
  }

  /** KVM_ENABLE_CAP. EINVAL for what it does not know, and for values it does not take. */
  enableCap(cap: number, arg0: bigint | number): Errno {
    if (this.#closed) return Errno.EBADF;
    const value = BigInt(arg0);
    if (cap === Cap.ManualDirtyLogProtect2) {
      // To begin with all set means nothing without manual protection.
      if (value > 3n || value === 2n) return Errno.EINVAL;
      this.#core.u32[(this.#vm + VM_MANUAL_PROTECT) >>> 2] = Number(value);
      return Errno.OK;
    }
    if (cap === Cap.ExitHypercall) {
      if ((value & ~BigInt(HYPERCALLS)) !== 0n) return Errno.EINVAL;
      this.hypercalls = Number(value);
      return Errno.OK;
    }
    return Errno.EINVAL;
  }

  /** Hypercalls that leave the guest, as enabled. */
  hypercalls = 0;

  /** KVM_SET_USER_MEMORY_REGION: it knows no guest_memfd. */
  setUserMemoryRegion(region: MemoryRegion): Errno {
    return this.#set(1, region, 0, 0n);
  }

  setUserMemoryRegion2(region: MemoryRegion2): Errno {
    const file = region.guestMemfd === undefined ? undefined : this.#files.get(region.guestMemfd);
    return this.#set(0, region, file ? file.ptr : 0, u64(region.guestMemfdOffset ?? 0));
  }

  #set(legacy: number, region: MemoryRegion, file: Ptr, offset: bigint): Errno {
    if (this.#closed) return Errno.EBADF;
    return this.#core.x.setMemoryRegion(
      this.#vm,
      legacy,
      region.slot >>> 0,
      region.flags >>> 0,
      u64(region.guestPhysAddr),
      u64(region.memorySize),
      u64(region.userspaceAddr),
      file,
      offset,
    );
  }

  /** KVM_CREATE_GUEST_MEMFD: a file of `size` bytes, of which nothing is there yet. */
  createGuestMemfd(o: { readonly size: AddressLike; readonly flags?: bigint | number }): {
    readonly errno: Errno;
    readonly fd: number;
  } {
    if (this.#closed) return { errno: Errno.EBADF, fd: -1 };
    const size = BigInt.asIntN(64, u64(o.size));
    const flags = u64(o.flags ?? 0);
    if ((flags & ~BigInt(this.#gmemFlags)) !== 0n) return { errno: Errno.EINVAL, fd: -1 };
    const huge = this.#profile === GmemProfile.A && (Number(flags) & GMEM_ALLOW_HUGEPAGE) !== 0;
    if (size <= 0n || size % (huge ? 1n << 21n : BigInt(PAGE)) !== 0n) return { errno: Errno.EINVAL, fd: -1 };
    const own = this.fileAttributes ? GMEM_ATTRIBUTES : 0;
    const fd = this.#files.create('gmem', size, huge ? GMEM_HUGEPAGES : Number(flags) | own);
    if (fd < 0) return { errno: -fd, fd: -1 };
    const file = this.#files.get(fd)?.ptr ?? 0;
    if (own && (Number(flags) & GmemFlag.InitShared) === 0) this.#core.x.fileAllPrivate(file);
    return { errno: Errno.OK, fd };
  }

  /** Whether guest_memfds keep attributes themselves, and the VM has none. */
  get fileAttributes(): boolean {
    return this.#profile === GmemProfile.D && this.#hasPrivate;
  }

  /**
   * KVM_SET_MEMORY_ATTRIBUTES2 on a guest_memfd: its pages become private or shared where they are. `flags`: 0 contents are
   * not said, 1 zeros, 2 the same for both sides. EAGAIN: a page that is to be private is pinned, `errorOffset` is the
   * first. ENOTTY on a file that keeps no attributes.
   */
  setMemoryAttributes2(o: {
    readonly fd: number;
    readonly offset: AddressLike;
    readonly size: AddressLike;
    readonly attributes: bigint | number;
    readonly flags?: bigint | number;
  }): { readonly errno: Errno; readonly errorOffset: bigint } {
    const file = this.#files.get(o.fd);
    if (!file) return { errno: Errno.EBADF, errorOffset: 0n };
    if (file.kind !== 'gmem') return { errno: Errno.ENOTTY, errorOffset: 0n };
    const { x } = this.#core;
    const errno: Errno = x.gmemSetAttributes(
      file.ptr,
      u64(o.offset),
      u64(o.size),
      u64(o.attributes),
      u64(o.flags ?? 0),
    );
    return { errno, errorOffset: errno === Errno.EAGAIN ? this.#core.readU64(SCRATCH) : 0n };
  }

  /** KVM_SET_MEMORY_ATTRIBUTES. ENOTTY on a VM without private memory. */
  setMemoryAttributes(o: MemoryAttributes): Errno {
    if (this.#closed) return Errno.EBADF;
    const { address, size, attributes, flags } = o;
    return this.#core.x.setMemoryAttributes(
      this.#vm,
      u64(address),
      u64(size),
      u64(attributes),
      u64(flags ?? 0),
    );
  }

  /** KVM_GET_DIRTY_LOG: numbers of the pages, from the slot's first on, that may have been written. */
  getDirtyLog(slot: number): { readonly errno: Errno; readonly pages: Uint32Array } {
    const { x, u32 } = this.#core;
    const errno: Errno = this.#closed ? Errno.EBADF : x.dirtyGet(this.#vm, slot >>> 0);
    if (errno !== Errno.OK) return { errno, pages: new Uint32Array(0) };
    const parts: Uint32Array[] = [];
    let from = 0;
    for (;;) {
      const n = x.dirtyPages(this.#vm, slot, from) >>> 0;
      const part = u32.slice(SCRATCH >>> 2, (SCRATCH >>> 2) + n);
      parts.push(part);
      if (n < SCRATCH_SIZE / 4) break;
      from = (part[n - 1] as number) + 1;
    }
    x.dirtyTaken(this.#vm, slot);
    return { errno, pages: parts.length === 1 ? (parts[0] as Uint32Array) : joined(parts) };
  }

  /** KVM_CLEAR_DIRTY_LOG of `numPages` pages from `firstPage` on; `pages`, from there on, are the bits that are set. */
  clearDirtyLog(o: {
    readonly slot: number;
    readonly firstPage: number | bigint;
    readonly numPages: number;
    readonly pages: Iterable<number>;
  }): Errno {
    const { x, u32 } = this.#core;
    const first = u64(o.firstPage);
    const errno: Errno = this.#closed
      ? Errno.EBADF
      : x.dirtyClearable(this.#vm, o.slot >>> 0, first, o.numPages >>> 0);
    if (errno !== Errno.OK) return errno;
    const pages = Uint32Array.from(o.pages)
      .filter((page) => page < o.numPages)
      .sort();
    const most = SCRATCH_SIZE * 8;
    for (let begin = 0, i = 0; begin < o.numPages; begin += most) {
      const words = Math.ceil(Math.min(most, o.numPages - begin) / 64);
      u32.subarray(SCRATCH >>> 2, (SCRATCH >>> 2) + words * 2).fill(0);
      for (; i < pages.length && (pages[i] as number) < begin + most; i++) {
        const bit = (pages[i] as number) - begin;
        const at = (SCRATCH >>> 2) + (bit >>> 5);
        u32[at] = (u32[at] as number) | (1 << (bit & 31));
      }
      const done: Errno = x.dirtyClear(this.#vm, o.slot, first + BigInt(begin), words);
      if (done !== Errno.OK) return done;
    }
    return Errno.OK;
  }

  /** The slots, by guest-physical address. */
  memslots(): Memslot[] {
    const core = this.#core;
    core.assertAllowed();
    return Array.from({ length: core.readU32(this.#vm + VM_SLOT_COUNT) }, (_, n) =>
      this.#memslot(core.x.slotAt(this.#vm, n) >>> 0),
    );
  }

  #memslot(at: Ptr): Memslot {
    const core = this.#core;
    const base = core.readU64(at + SLOT_BASE);
    const flags = core.readU32(at + SLOT_FLAGS);
    return {
      id: core.readU32(at + SLOT_ID),
      gpa: base << 12n,
      size: Number(core.readU64(at + SLOT_END) - base) * PAGE,
      hva: core.readU64(at + SLOT_VPN) << 12n,
      readonly: (flags & MemFlag.Readonly) !== 0,
      dirtyLog: (flags & MemFlag.LogDirtyPages) !== 0,
      ...((flags & MemFlag.GuestMemfd) !== 0 && this.#gmem(at)),
    };
  }

  #gmem(at: Ptr): Pick<Memslot, 'guestMemfd' | 'guestMemfdOffset' | 'fd'> {
    const core = this.#core;
    const file = core.readU32(at + SLOT_FILE);
    if (file === 0) return { guestMemfd: 'closed' };
    const first = core.readU64(at + SLOT_FILE_PAGE) - BigInt.asUintN(64, core.x.fileAt(file, 0n));
    const fd = this.#files.find(file);
    return {
      guestMemfd: 'open',
      guestMemfdOffset: Number(first) * PAGE,
      ...(fd !== undefined && { fd }),
    };
  }

  /**
   * An invalidation as the MMU notifier makes it, in two halves: gfns of [gpa, gpa + size) are zapped, and accesses to them are
   * RETRY until as many ends as begins have been. Ranges that are open at the same time grow to one.
   */
  invalidateBegin(gpa: AddressLike, size: AddressLike): void {
    this.#core.x.invalidateBegin(this.#vm, u64(gpa) >> 12n, (u64(gpa) + u64(size)) >> 12n);
  }

  /** RangeError without a begin. */
  invalidateEnd(): void {
    if (this.#core.readU32(this.#vm + VM_INVALIDATING) === 0)
      throw new RangeError('no invalidation has begun');
    this.#core.x.invalidateEnd(this.#vm);
  }

  /** Whether the page at gpa is private, by the VM's attributes or those of its guest_memfd. */
  isPrivate(gpa: AddressLike): boolean {
    return this.#core.x.gmemIsPrivate(this.#vm, this.#slot(gpa), u64(gpa) >> 12n) !== 0;
  }

  /** Whether the frame of `size` bytes, 2 MiB or 1 GiB, around gpa has both private and shared pages (KVM_LPAGE_MIXED_FLAG). */
  isMixed(gpa: AddressLike, size: number): boolean {
    const shift = BigInt(Math.log2(size) - 12);
    return this.#core.x.gmemIsMixed(this.#vm, this.#slot(gpa), u64(gpa) >> 12n, shift) !== 0;
  }

  #slot(gpa: AddressLike): Ptr {
    return this.#core.x.slotOf(this.#vm, u64(gpa) >> 12n) >>> 0;
  }

  /**
   * The VM's descriptor is closed: its ioctls are EBADF. The VM itself lives on as long as a vCPU or a guest_memfd is open,
   * so guests go on running and files can be punched and mapped.
   */
  close(): Errno {
    if (this.#closed) return Errno.EBADF;
    this.#closed = true;
    return Errno.OK;
  }

  #closed = false;

  /** For a checkpoint; the rest is in linear memory. */
  save(): { readonly closed: boolean; readonly hypercalls: number } {
    return { closed: this.#closed, hypercalls: this.hypercalls };
  }

  load({ closed, hypercalls }: ReturnType<Kvm['save']>): void {
    this.#closed = closed;
    this.hypercalls = hypercalls;
  }

  get #profile(): GmemProfile {
    return this.#core.readU32(this.#vm + VM_GMEM_PROFILE);
  }

  /** Whether a VM of this type has private memory. */
  get #hasPrivate(): boolean {
    return this.#core.readU32(this.#vm + VM_TYPE) !== VmType.Default;
  }

  /** What KVM_CREATE_GUEST_MEMFD takes: INIT_SHARED not where attributes are kept per VM. */
  get #gmemFlags(): number {
    switch (this.#profile) {
      case GmemProfile.A:
        return GMEM_ALLOW_HUGEPAGE;
      case GmemProfile.B:
        return 0;
      case GmemProfile.C:
        return this.#hasPrivate ? GmemFlag.Mmap : GmemFlag.Mmap | GmemFlag.InitShared;
      default:
        return GmemFlag.Mmap | GmemFlag.InitShared;
    }
  }
}

function joined(parts: readonly Uint32Array[]): Uint32Array {
  const out = new Uint32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
