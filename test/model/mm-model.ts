// A slow, obvious model of guest RAM on Linux: private anonymous memory in 4 KiB pages, swap that never fills, no
// KSM scanner. The wasm engine is compared with it; where they differ, one of them misreads Linux.
// Reference: linux 6.18 mm/madvise.c, mprotect.c, mlock.c, vma.c; for the guest side virt/kvm/kvm_main.c
// (hva_to_pfn).
import { Errno } from '../../assembly/abi/errno.ts';
import type { MadviseAdvice, MmDoor, MmVma } from '../../src/conform/mm-door.ts';
import type { HostAccess } from '../../src/types.ts';
import { addressOf, aligned, lockRange, PAGE, pageAlign, pageOf, TASK_SIZE, u64 } from './mm-address.ts';
import {
  drop,
  free,
  isAnonymous,
  type ModelPage,
  pageOut,
  readFault,
  untouched,
  writeFault,
} from './mm-pages.ts';
import { describeVma } from './mm-smaps.ts';
import { type ModelVma, PROT_READ, PROT_WRITE, sameFlags, type VmaFlags, VmaList } from './mm-vmas.ts';

export interface MmModelOptions {
  readonly pages: number;
  /** `anon` maps with MAP_NORESERVE, `anon_acct` without. */
  readonly mode: 'anon' | 'anon_acct';
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

export class MmModel implements MmDoor {
  readonly #pages: ModelPage[];
  readonly #vmas: VmaList;
  readonly #options: MmModelOptions;

  constructor(options: MmModelOptions) {
    this.#options = options;
    this.#pages = Array.from({ length: options.pages }, untouched);
    const flags: VmaFlags = {
      prot: PROT_READ | PROT_WRITE,
      locked: false,
      dontDump: false,
      mergeable: false,
      account: options.mode === 'anon_acct',
      name: undefined,
    };
    const { maxMapCount = 65530, otherMaps = 30 } = options;
    this.#vmas = new VmaList(options.pages, flags, maxMapCount, otherMaps);
  }

  // ── madvise and names: alignment, rounding, overflow, length 0, then VMA by VMA ──

  madvise(start: bigint, len: bigint, advice: MadviseAdvice): number {
    return this.#advise(start, len, (vma, from, to) => this.#adviseVma(vma, from, to, advice));
  }

  #adviseVma(vma: ModelVma, from: number, to: number, advice: MadviseAdvice): number {
    switch (advice) {
      // Anonymous memory has no file to punch a hole into. A locked VMA would give the same EINVAL.
      case 'remove':
        return Errno.EINVAL;
      case 'dontneed':
      case 'free':
      case 'pageout': {
        // The flag decides, not whether anything was locked in; permissions do not matter.
        if (vma.flags.locked) return Errno.EINVAL;
        const act = { dontneed: drop, free, pageout: pageOut }[advice];
        this.#pages.slice(from, to).forEach(act);
        return Errno.OK;
      }
      case 'dontdump':
        return this.#setFlags(vma, from, to, { dontDump: true }) ? Errno.OK : Errno.EAGAIN;
      case 'mergeable':
      case 'unmergeable':
        return this.#setFlags(vma, from, to, { mergeable: advice === 'mergeable' }) ? Errno.OK : Errno.EAGAIN;
    }
  }

  /** PR_SET_VMA_ANON_NAME; `undefined` takes the name away. */
  setAnonName(start: bigint, len: bigint, name: string | undefined): number {
    if (this.#options.names === false) return Errno.EINVAL;
    // Printable ASCII without [ ] \ $ and the backtick, 80 bytes with the NUL (kernel/sys.c, prctl_set_vma).
    if (name !== undefined && (name.length > 79 || !/^[ -~]*$/.test(name) || /[[\]\\$`]/.test(name))) {
      return Errno.EINVAL;
    }
    return this.#advise(start, len, (vma, from, to) =>
      this.#setFlags(vma, from, to, { name }) ? Errno.OK : Errno.EAGAIN,
    );
  }

  /** madvise_walk_vmas(): a VMA's error ends it and wins over a hole; a hole only makes the result ENOMEM. */
  #advise(start: bigint, len: bigint, act: (vma: ModelVma, from: number, to: number) => number): number {
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

  /** False: no room under max_map_count. A piece that has these flags already is left as it is, uncut. */
  #setFlags(vma: ModelVma, from: number, to: number, change: Partial<VmaFlags>): boolean {
    const flags = { ...vma.flags, ...change };
    return sameFlags(flags, vma.flags) || this.#vmas.modify(vma, from, to, flags);
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
      if (prot === before) return true;
      if (!this.#setFlags(vma, from, to, { prot, account: this.#accountAfter(vma, prot, account) })) {
        return false;
      }
      // A locked VMA that becomes writable is populated, so that no write faults later.
      if (locked && !(before & PROT_WRITE) && prot & PROT_WRITE) this.#populate(from, to);
      return true;
    });
  }

  /** Commit accounting can only be given back while no anonymous page was ever there (mprotect_fixup). */
  #accountAfter(vma: ModelVma, prot: number, account: boolean): boolean {
    if (this.#options.mode === 'anon') return false;
    if (prot & PROT_WRITE) return account || !(vma.flags.prot & PROT_WRITE);
    return account && vma.anonVma !== 0;
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
    return this.#upToHole(pageOf(address), pageOf(end), (vma, from, to) =>
      this.#setFlags(vma, from, to, { locked }),
    );
  }

  #upToHole(
    start: number,
    end: number,
    act: (vma: ModelVma, from: number, to: number) => boolean,
  ): Errno.OK | Errno.ENOMEM {
    for (let page = start; page < end; ) {
      const vma = this.#vmas.at(page);
      if (!vma) return Errno.ENOMEM;
      const to = Math.min(vma.end, end);
      if (!act(vma, page, to)) return Errno.ENOMEM;
      page = to;
    }
    return Errno.OK;
  }

  /** Touches each page: a write where the VMA is writable (contents kept), else a read. False at PROT_NONE. */
  #populate(start: number, end: number): boolean {
    for (let page = start; page < end; page++) {
      const vma = this.#vmas.at(page) as ModelVma;
      if (vma.flags.prot === 0) return false;
      if (vma.flags.prot & PROT_WRITE) this.#write(vma, page);
      else readFault(this.#page(page));
    }
    return true;
  }

  munmap(start: bigint, len: bigint): number {
    const address = addressOf(start);
    if (!aligned(address) || address > TASK_SIZE || len > TASK_SIZE - address) return Errno.EINVAL;
    if (len === 0n) return Errno.EINVAL;
    const from = pageOf(address);
    const to = pageOf(address + pageAlign(len));
    if (!this.#vmas.unmap(from, to)) return Errno.ENOMEM;
    this.#pages.slice(Math.max(0, from), Math.max(0, to)).forEach(drop);
    return Errno.OK;
  }

  // ── accesses of the VMM process ──

  /** Write-only memory is readable: x86-64 page tables have no such permission. */
  hostRead(page: number): HostAccess {
    const vma = this.#vmas.at(page);
    if (!vma) return SEGV_MAPERR;
    if (vma.flags.prot === 0) return SEGV_ACCERR;
    readFault(this.#page(page));
    return { ok: true, value: this.#page(page).byte };
  }

  hostWrite(page: number, byte: number): HostAccess {
    const vma = this.#vmas.at(page);
    if (!vma) return SEGV_MAPERR;
    if (!(vma.flags.prot & PROT_WRITE)) return SEGV_ACCERR;
    this.#write(vma, page);
    this.#page(page).byte = byte;
    return { ok: true, value: byte };
  }

  // ── accesses of the guest, through KVM ──

  /**
   * KVM takes a present page of a writable VMA writable even for a read, and so marks it dirty: a lazily freed page
   * is saved, one that the read swaps in is dirty. Without PROT_READ the read has only such pages.
   */
  guestRead(page: number): GuestAccess {
    const prot = this.#vmas.at(page)?.flags.prot ?? 0;
    if (prot === 0) return EFAULT;
    const target = this.#page(page);
    if (!(prot & PROT_READ) && !isAnonymous(target)) return EFAULT;
    readFault(target);
    if (prot & PROT_WRITE && isAnonymous(target)) writeFault(target);
    return { ok: true, value: target.byte };
  }

  guestWrite(page: number, byte: number): GuestAccess {
    return this.hostWrite(page, byte).ok ? { ok: true, value: byte } : EFAULT;
  }

  #write(vma: ModelVma, page: number): void {
    this.#vmas.prepareAnonVma(vma);
    writeFault(this.#page(page));
  }

  #page(page: number): ModelPage {
    return this.#pages[page] as ModelPage;
  }

  // ── state ──

  vmas(): readonly (MmVma & { readonly name: string | undefined; readonly anonVma: number })[] {
    const { mode } = this.#options;
    return this.#vmas.list.map((vma) => describeVma(vma, this.#pages.slice(vma.start, vma.end), mode));
  }

  /** One letter for each page, `x` where no VMA is. */
  letters(): string {
    return this.#pages.map((page, i) => (this.#vmas.at(i) ? page.letter : 'x')).join('');
  }
}
