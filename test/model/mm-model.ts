// A slow, obvious model of guest RAM on Linux, with swap that never fills: one mapping of any of the kinds that the
// recordings have. The wasm engine is compared with it; where they differ, one of them misreads Linux.
// Reference: test/golden/mm/README.md.
import { Errno } from '../../assembly/abi/errno.ts';
import type { MadviseAdvice, MmDoor, MmVma } from '../../src/conform/mm-door.ts';
import type { HostAccess } from '../../src/types.ts';
import { HUGE } from './mm-folio.ts';
import { HugetlbMemory } from './mm-hugetlb.ts';
import { madvise, setAnonName } from './mm-madvise.ts';
import { MAPPINGS, type MmMode } from './mm-mapping.ts';
import { mlock, munlock } from './mm-mlock.ts';
import { PagedMemory } from './mm-paged.ts';
import type { Process } from './mm-process.ts';
import { mprotect, munmap } from './mm-protect.ts';
import { vmFlags, vmPerm } from './mm-smaps.ts';
import { isWritable } from './mm-space.ts';
import { PROT_READ, PROT_WRITE, type VmaFlags, VmaList } from './mm-vmas.ts';

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
  readonly #process: Process;

  constructor(options: MmModelOptions) {
    const { pages, mode, maxMapCount = 65530, otherMaps = 30, memlock } = options;
    const mapping = MAPPINGS[mode];
    const flags: VmaFlags = {
      prot: PROT_READ | PROT_WRITE,
      locked: false,
      dontDump: false,
      mergeable: false,
      account: mapping.accounted,
      name: undefined,
    };
    const hugetlb = mapping.huge === 'hugetlb';
    if (hugetlb && pages % HUGE !== 0)
      throw new RangeError(`${pages} pages are no whole number of huge pages`);
    const vmas = new VmaList(pages, flags, { maxMapCount, otherMaps, pageSize: hugetlb ? HUGE : 1 });
    const memory = hugetlb ? new HugetlbMemory(mapping) : new PagedMemory(mapping, vmas, pages);
    this.#options = options;
    this.#process = { mapping, vmas, memory, memlock };
  }

  // ── system calls of the VMM process ──

  madvise(start: bigint, len: bigint, advice: MadviseAdvice): Errno {
    return madvise(this.#process, start, len, advice);
  }

  /** PR_SET_VMA_ANON_NAME; `undefined` takes the name away. */
  setAnonName(start: bigint, len: bigint, name: string | undefined): Errno {
    return this.#options.names === false ? Errno.EINVAL : setAnonName(this.#process, start, len, name);
  }

  mprotect(start: bigint, len: bigint, prot: number): Errno {
    return mprotect(this.#process, start, len, prot);
  }

  mlock(start: bigint, len: bigint): Errno {
    return mlock(this.#process, start, len);
  }

  munlock(start: bigint, len: bigint): Errno {
    return munlock(this.#process, start, len);
  }

  munmap(start: bigint, len: bigint): Errno {
    return munmap(this.#process, this.#options.pages, start, len);
  }

  // ── accesses of the VMM process ──

  /** Write-only memory is readable: x86-64 page tables have no such permission. */
  hostRead(page: number): HostAccess {
    const vma = this.#process.vmas.at(page);
    if (!vma) return SEGV_MAPERR;
    if (vma.flags.prot === 0) return SEGV_ACCERR;
    return { ok: true, value: this.#process.memory.hostRead(vma, page) };
  }

  hostWrite(page: number, byte: number): HostAccess {
    const vma = this.#process.vmas.at(page);
    if (!vma) return SEGV_MAPERR;
    if (!isWritable(vma)) return SEGV_ACCERR;
    this.#process.memory.hostWrite(vma, page, byte);
    return { ok: true, value: byte };
  }

  // ── accesses of the guest, through KVM ──

  guestRead(page: number): GuestAccess {
    const vma = this.#process.vmas.at(page);
    const value = vma && this.#process.memory.guestRead(vma, page);
    return value === undefined ? EFAULT : { ok: true, value };
  }

  guestWrite(page: number, byte: number): GuestAccess {
    const vma = this.#process.vmas.at(page);
    return vma && this.#process.memory.guestWrite(vma, page, byte) ? { ok: true, value: byte } : EFAULT;
  }

  /** Four full scans of KSM, which never runs otherwise. */
  ksmSettle(): void {
    for (let i = 0; i < KSM_SCANS; i++) this.#process.memory.ksmScan();
  }

  // ── state ──

  vmas(): readonly (MmVma & { readonly name: string | undefined; readonly anonVma: number })[] {
    const { mapping, vmas, memory } = this.#process;
    return vmas.list.map((vma) => ({
      start: vma.start,
      end: vma.end,
      perm: vmPerm(vma, mapping),
      flags: vmFlags(vma, mapping),
      sizes: memory.sizes(vma),
      name: vma.flags.name,
      anonVma: vma.anonVma,
    }));
  }

  /** One letter for each page, `x` where no VMA is. */
  letters(): string {
    const { vmas, memory } = this.#process;
    const pages = Array.from({ length: this.#options.pages }, (_, page) => page);
    return pages.map((page) => (vmas.at(page) ? memory.letter(page) : 'x')).join('');
  }

  /** 4 KiB pages that the file holds, in memory or swapped. */
  blocks(): number {
    return this.#process.memory.blocks();
  }
}
