// A slow, obvious model of guest RAM on Linux, with swap that never fills: one mapping of any of the kinds that the
// recordings have. The wasm engine is compared with it; where they differ, one of them misreads Linux.
// Here are the calls: their arguments, the order of their checks, and how they take a range VMA by VMA.
// Reference: linux 6.18 mm/madvise.c, mprotect.c, mlock.c, vma.c.
import { Errno } from '../../assembly/abi/errno.ts';
import type { MadviseAdvice, MmDoor, MmVma } from '../../src/conform/mm-door.ts';
import type { HostAccess } from '../../src/types.ts';
import { addressOf, aligned, lockRange, PAGE, pageAlign, pageOf, TASK_SIZE, u64 } from './mm-address.ts';
import { HUGE } from './mm-folio.ts';
import { HugetlbMemory } from './mm-hugetlb.ts';
import { isAnonymousMapping, ksmCompatible, MAPPINGS, type Mapping, type MmMode } from './mm-mapping.ts';
import type { Memory } from './mm-memory.ts';
import { PagedMemory } from './mm-paged.ts';
import { vmFlags, vmPerm } from './mm-smaps.ts';
import { isWritable } from './mm-space.ts';
import {
  type ModelVma,
  PROT_READ,
  PROT_WRITE,
  sameFlags,
  type VmaErrno,
  type VmaFlags,
  VmaList,
} from './mm-vmas.ts';

export interface MmModelOptions {
  readonly pages: number;
  readonly mode: MmMode;
  /** CONFIG_ANON_VMA_NAME. Default true. */
  readonly names?: boolean;
  /** vm.max_map_count. Default 65530. */
  readonly maxMapCount?: number;
  /** VMAs the process has besides. Default 30. */
  readonly otherMaps?: number;
  /** RLIMIT_MEMLOCK in bytes of a process without CAP_IPC_LOCK; left out: no limit. */
  readonly memlock?: number;
}

/** A guest's byte access: done, or KVM_RUN's bare EFAULT. */
export type GuestAccess =
  | { readonly ok: true; readonly value: number }
  | { readonly ok: false; readonly reason: 'EFAULT' };

const SEGV_MAPERR = { ok: false, signal: 'SIGSEGV', code: 'SEGV_MAPERR' } as const;
const SEGV_ACCERR = { ok: false, signal: 'SIGSEGV', code: 'SEGV_ACCERR' } as const;
const EFAULT = { ok: false, reason: 'EFAULT' } as const;
/** Scans that a recording lets KSM make at a time. */
const KSM_SCANS = 4;

export class MmModel implements MmDoor {
  readonly #options: MmModelOptions;
  readonly #mapping: Mapping;
  readonly #vmas: VmaList;
  readonly #memory: Memory;

  constructor(options: MmModelOptions) {
    this.#options = options;
    this.#mapping = MAPPINGS[options.mode];
    const flags: VmaFlags = {
      prot: PROT_READ | PROT_WRITE,
      locked: false,
      dontDump: false,
      mergeable: false,
      account: this.#mapping.accounted,
      name: undefined,
    };
    const { pages, maxMapCount = 65530, otherMaps = 30 } = options;
    const hugetlb = this.#mapping.huge === 'hugetlb';
    this.#vmas = new VmaList(pages, flags, { maxMapCount, otherMaps, pageSize: hugetlb ? HUGE : 1 });
    this.#memory = hugetlb
      ? new HugetlbMemory(this.#mapping)
      : new PagedMemory(this.#mapping, this.#vmas, pages);
  }

  // ── madvise and names: alignment, rounding, overflow, length 0, then VMA by VMA ──

  madvise(start: bigint, len: bigint, advice: MadviseAdvice): number {
    return this.#advise(start, len, (vma, from, to) => this.#adviseVma(vma, from, to, advice));
  }

  #adviseVma(vma: ModelVma, from: number, to: number, advice: MadviseAdvice): Errno {
    switch (advice) {
      case 'remove': {
        const { hasFile, shared } = this.#mapping;
        if (vma.flags.locked || !hasFile) return Errno.EINVAL;
        // The file is what counts, not the permissions of the moment.
        if (!shared) return Errno.EACCES;
        this.#memory.punch(from, to);
        return Errno.OK;
      }
      case 'dontneed':
      case 'free':
      case 'pageout':
        // The flag decides, not whether anything was locked in; permissions do not matter.
        return vma.flags.locked ? Errno.EINVAL : this.#memory.advise(from, to, advice);
      case 'dontdump':
        return this.#adviseFlags(vma, from, to, { dontDump: true });
      case 'mergeable':
        return this.#adviseFlags(vma, from, to, { mergeable: ksmCompatible(this.#mapping) });
      case 'unmergeable':
        // Sharing ends before there is room for the VMAs that the change of flags may need.
        if (vma.flags.mergeable) this.#memory.unmerge(from, to);
        return this.#adviseFlags(vma, from, to, { mergeable: false });
    }
  }

  /** madvise says EAGAIN where the kernel has no room. */
  #adviseFlags(vma: ModelVma, from: number, to: number, change: Partial<VmaFlags>): Errno {
    const errno = this.#setFlags(vma, from, to, change);
    return errno === Errno.ENOMEM ? Errno.EAGAIN : errno;
  }

  /** PR_SET_VMA_ANON_NAME; `undefined` takes the name away. */
  setAnonName(start: bigint, len: bigint, name: string | undefined): number {
    if (this.#options.names === false) return Errno.EINVAL;
    // Printable ASCII without [ ] \ $ and the backtick, 80 bytes with the NUL (kernel/sys.c, prctl_set_vma).
    if (name !== undefined && (name.length > 79 || !/^[ -~]*$/.test(name) || /[[\]\\$`]/.test(name))) {
      return Errno.EINVAL;
    }
    return this.#advise(start, len, (vma, from, to) =>
      isAnonymousMapping(this.#mapping) ? this.#adviseFlags(vma, from, to, { name }) : Errno.EBADF,
    );
  }

  /** madvise_walk_vmas(): a VMA's error ends it and wins over a hole; a hole only makes the result ENOMEM. */
  #advise(start: bigint, len: bigint, act: (vma: ModelVma, from: number, to: number) => Errno): Errno {
    const address = addressOf(start);
    const rounded = pageAlign(len);
    if (!aligned(address) || (len !== 0n && rounded === 0n)) return Errno.EINVAL;
    if (u64(address + rounded) < address) return Errno.EINVAL;
    const end = pageOf(address + rounded);
    let result = Errno.OK;
    for (let page = pageOf(address); page < end; ) {
      const vma = this.#vmas.find(page);
      if (!vma || vma.start >= end) return Errno.ENOMEM;
      if (page < vma.start) result = Errno.ENOMEM;
      const from = Math.max(page, vma.start);
      const to = Math.min(vma.end, end);
      const errno = act(vma, from, to);
      if (errno !== Errno.OK) return errno;
      page = to;
    }
    return result;
  }

  /** A piece that has these flags already is left as it is, uncut. */
  #setFlags(vma: ModelVma, from: number, to: number, change: Partial<VmaFlags>): VmaErrno {
    const flags = { ...vma.flags, ...change };
    if (sameFlags(flags, vma.flags)) return Errno.OK;
    const errno = this.#vmas.modify(vma, from, to, flags);
    this.#memory.bordersMoved();
    return errno;
  }

  // ── mprotect, mlock, munlock: these stop at the first hole ──

  mprotect(start: bigint, len: bigint, prot: number): number {
    const address = addressOf(start);
    if (!aligned(address)) return Errno.EINVAL;
    if (len === 0n) return Errno.OK;
    const end = u64(address + pageAlign(len));
    if (end <= address) return Errno.ENOMEM;
    return this.#upToHole(pageOf(address), pageOf(end), (vma, from, to) => {
      const { locked, prot: before, account } = vma.flags;
      if (prot === before) return Errno.OK;
      const change = { prot, account: this.#accountAfter(vma, prot, account) };
      const errno = this.#setFlags(vma, from, to, change);
      if (errno !== Errno.OK) return errno;
      this.#memory.protect(this.#vmas.at(from) as ModelVma, from, to);
      // A private locked VMA that becomes writable is populated, so that no write faults later.
      const becomesWritable = !(before & PROT_WRITE) && (prot & PROT_WRITE) !== 0;
      if (locked && !this.#mapping.shared && becomesWritable) this.#populate(from, to);
      return Errno.OK;
    });
  }

  /** Commit accounting can only be given back while no anonymous page was ever there (mprotect_fixup). */
  #accountAfter(vma: ModelVma, prot: number, account: boolean): boolean {
    if (!this.#mapping.accounted) return false;
    if (prot & PROT_WRITE) return account || !isWritable(vma);
    return account && (!isAnonymousMapping(this.#mapping) || vma.anonVma !== 0);
  }

  mlock(start: bigint, len: bigint): number {
    const { memlock } = this.#options;
    if (memlock === 0) return Errno.EPERM;
    const { address, length } = lockRange(start, len);
    if (memlock !== undefined && this.#exceeds(BigInt(memlock) / PAGE, address, length)) return Errno.ENOMEM;
    const errno = this.#lock(address, length, true);
    if (errno !== Errno.OK) return errno;
    // All VMAs are VM_LOCKED by now; PROT_NONE ends only the populating, with ENOMEM.
    return this.#populate(pageOf(address), pageOf(address + length)) ? Errno.OK : Errno.ENOMEM;
  }

  munlock(start: bigint, len: bigint): number {
    const { address, length } = lockRange(start, len);
    return this.#lock(address, length, false);
  }

  /** The limit is looked at before the range: locked pages plus those asked for that are not locked yet. */
  #exceeds(limit: bigint, address: bigint, length: bigint): boolean {
    const from = pageOf(address);
    const to = pageOf(address + length);
    let locked = length / PAGE;
    for (const { start, end, flags } of this.#vmas.list) {
      if (!flags.locked) continue;
      locked += BigInt(end - start - Math.max(0, Math.min(end, to) - Math.max(start, from)));
    }
    return locked > limit;
  }

  #lock(address: bigint, length: bigint, locked: boolean): number {
    const end = u64(address + length);
    if (end < address) return Errno.EINVAL;
    // Of hugetlb memory only the holes count: it never has VM_LOCKED.
    const lockable = this.#mapping.huge !== 'hugetlb';
    return this.#upToHole(pageOf(address), pageOf(end), (vma, from, to) =>
      lockable ? this.#setFlags(vma, from, to, { locked }) : Errno.OK,
    );
  }

  #upToHole(
    start: number,
    end: number,
    act: (vma: ModelVma, from: number, to: number) => VmaErrno,
  ): VmaErrno {
    for (let page = start; page < end; ) {
      const vma = this.#vmas.at(page);
      if (!vma) return Errno.ENOMEM;
      const to = Math.min(vma.end, end);
      const errno = act(vma, page, to);
      if (errno !== Errno.OK) return errno;
      page = to;
    }
    return Errno.OK;
  }

  /** Touches each page. False at PROT_NONE. */
  #populate(start: number, end: number): boolean {
    for (let page = start; page < end; page++) {
      const vma = this.#vmas.at(page) as ModelVma;
      if (vma.flags.prot === 0) return false;
      this.#memory.populate(vma, page);
    }
    return true;
  }

  munmap(start: bigint, len: bigint): number {
    const address = addressOf(start);
    if (!aligned(address) || address > TASK_SIZE || len > TASK_SIZE - address) return Errno.EINVAL;
    if (len === 0n) return Errno.EINVAL;
    const from = pageOf(address);
    const to = pageOf(address + pageAlign(len));
    const errno = this.#vmas.unmap(from, to);
    this.#memory.bordersMoved();
    if (errno === Errno.OK) this.#memory.unmap(Math.max(0, from), Math.min(this.#options.pages, to));
    return errno;
  }

  // ── accesses of the VMM process ──

  /** Write-only memory is readable: x86-64 page tables have no such permission. */
  hostRead(page: number): HostAccess {
    const vma = this.#vmas.at(page);
    if (!vma) return SEGV_MAPERR;
    if (vma.flags.prot === 0) return SEGV_ACCERR;
    return { ok: true, value: this.#memory.hostRead(vma, page) };
  }

  hostWrite(page: number, byte: number): HostAccess {
    const vma = this.#vmas.at(page);
    if (!vma) return SEGV_MAPERR;
    if (!isWritable(vma)) return SEGV_ACCERR;
    this.#memory.hostWrite(vma, page, byte);
    return { ok: true, value: byte };
  }

  // ── accesses of the guest, through KVM ──

  guestRead(page: number): GuestAccess {
    const vma = this.#vmas.at(page);
    const value = vma && this.#memory.guestRead(vma, page);
    return value === undefined ? EFAULT : { ok: true, value };
  }

  guestWrite(page: number, byte: number): GuestAccess {
    const vma = this.#vmas.at(page);
    return vma && this.#memory.guestWrite(vma, page, byte) ? { ok: true, value: byte } : EFAULT;
  }

  /** Four full scans of KSM, which never runs otherwise. */
  ksmSettle(): void {
    for (let i = 0; i < KSM_SCANS; i++) this.#memory.ksmScan();
  }

  // ── state ──

  vmas(): readonly (MmVma & { readonly name: string | undefined; readonly anonVma: number })[] {
    return this.#vmas.list.map((vma) => ({
      start: vma.start,
      end: vma.end,
      perm: vmPerm(vma, this.#mapping),
      flags: vmFlags(vma, this.#mapping),
      sizes: this.#memory.sizes(vma),
      name: vma.flags.name,
      anonVma: vma.anonVma,
    }));
  }

  /** One letter for each page, `x` where no VMA is. */
  letters(): string {
    const pages = Array.from({ length: this.#options.pages }, (_, page) => page);
    return pages.map((page) => (this.#vmas.at(page) ? this.#memory.letter(page) : 'x')).join('');
  }

  /** 4 KiB pages that the file holds, in memory or swapped. */
  blocks(): number {
    return this.#memory.blocks();
  }
}
