// The VMM process: accesses through its own page table, its system calls on mappings, and on files (files.ts).
// Errno numbers are Linux's; what the VMM does wrong is an errno or a signal, as for any process.
import { Errno } from '../../assembly/abi/errno.ts';
import type { Mpol } from '../../assembly/abi/mempolicy.ts';
import { Madv, Status } from '../../assembly/abi/status.ts';
import {
  VM_ACCOUNT,
  VM_EXEC,
  VM_MAY,
  VM_MAYSHARE,
  VM_NORESERVE,
  VM_READ,
  VM_SHARED,
  VM_WRITE,
} from '../../assembly/abi/vm-flags.ts';
import type { Gpa, Hva } from '../address.ts';
import { gpa as gpaOf, hva as hvaOfLike } from '../address.ts';
import { isHugetlb } from '../backing.ts';
import { SLOT_BASE, SLOT_VPN } from '../core/layout.ts';
import type { AddressLike, HostAccess } from '../types.ts';
import type { Vm } from '../vm.ts';
import { Files, type Whence } from './files.ts';
import { getMempolicy, type MemoryPolicy, nodeBits } from './mempolicy.ts';
import { Pins } from './pins.ts';

export const ADVICE = {
  normal: Madv.Normal,
  random: Madv.Random,
  sequential: Madv.Sequential,
  willneed: Madv.Willneed,
  dontneed: Madv.Dontneed,
  free: Madv.Free,
  remove: Madv.Remove,
  dontfork: Madv.Dontfork,
  dofork: Madv.Dofork,
  mergeable: Madv.Mergeable,
  unmergeable: Madv.Unmergeable,
  hugepage: Madv.Hugepage,
  nohugepage: Madv.Nohugepage,
  dontdump: Madv.Dontdump,
  dodump: Madv.Dodump,
  wipeonfork: Madv.Wipeonfork,
  keeponfork: Madv.Keeponfork,
  cold: Madv.Cold,
  pageout: Madv.Pageout,
  populate_read: Madv.PopulateRead,
  populate_write: Madv.PopulateWrite,
  dontneed_locked: Madv.DontneedLocked,
  collapse: Madv.Collapse,
} as const;
/** madvise(2) without MADV_, or a number of it, known or not. */
export type Advice = keyof typeof ADVICE | number;

/** mmap(2) with MAP_FIXED. */
export interface Mapping {
  readonly addr: bigint;
  readonly length: bigint;
  /** 1 read, 2 write, 4 execute. */
  readonly prot: number;
  /** MAP_SHARED; else MAP_PRIVATE. */
  readonly shared: boolean;
  /** Of this file; left out: anonymous memory. */
  readonly fd?: number;
  /** In bytes. */
  readonly offset?: bigint;
  /** MAP_NORESERVE. */
  readonly noreserve?: boolean;
}

const u64 = (value: bigint): bigint => BigInt.asUintN(64, value);

export class Process {
  /** Its descriptors. */
  readonly files: Files;
  readonly #vm: Vm;
  readonly pins: Pins;

  constructor(vm: Vm) {
    this.#vm = vm;
    this.pins = new Pins(vm);
    this.files = new Files(vm.host.core, vm.ptr);
  }

  /** Reads one byte. */
  load(hva: AddressLike): HostAccess {
    const at = this.#access(hva, 0);
    return typeof at === 'number' ? { ok: true, value: this.#vm.host.core.u8[at] as number } : at;
  }

  /** Writes one byte. */
  store(hva: AddressLike, byte: number): HostAccess {
    const at = this.#access(hva, 1);
    if (typeof at !== 'number') return at;
    this.#vm.host.core.u8[at] = byte;
    return { ok: true, value: byte };
  }

  /** A copy of the page that contains hva, or the signal. */
  readPage(hva: AddressLike): Uint8Array | Extract<HostAccess, { ok: false }> {
    const at = this.#access(hvaOfLike(hva) & ~4095n, 0);
    return typeof at === 'number' ? this.#vm.host.core.u8.slice(at, at + 4096) : at;
  }

  /** Writes the 4096 bytes of the page that contains hva. */
  writePage(hva: AddressLike, bytes: Uint8Array): HostAccess {
    const at = this.#access(hvaOfLike(hva) & ~4095n, 1);
    if (typeof at !== 'number') return at;
    this.#vm.host.core.u8.set(bytes, at);
    return { ok: true, value: bytes[0] as number };
  }

  /** Writes all 4096 bytes of the page that contains hva. */
  fillPage(hva: AddressLike, byte: number): HostAccess {
    const at = this.#access(hvaOfLike(hva) & ~4095n, 1);
    if (typeof at !== 'number') return at;
    this.#vm.host.core.u8.fill(byte, at, at + 4096);
    return { ok: true, value: byte };
  }

  /**
   * write(2) of one value to the bytes of the memory file that [hva, hva + len) maps, or would map: the mappings are not
   * used. `bytes` were written: less than len with ENODEV, where there is no memory file, EINVAL, where it has no write
   * (hugetlbfs), ENOMEM, without a frame, EFAULT, outside RAM.
   */
  fileWrite(hva: bigint, len: bigint, byte: number): { readonly errno: Errno; readonly bytes: number } {
    const { core } = this.#vm.host;
    let bytes = 0;
    for (let at = hva; at < hva + len; ) {
      const inPage = Number(at & 4095n);
      const n = Math.min(4096 - inPage, Number(hva + len - at));
      const page = core.x.fileWrite(this.#vm.ptr, at >> 12n) >>> 0;
      if (page === 0) {
        return { errno: this.#unwritten(at), bytes };
      }
      core.u8.fill(byte, page + inPage, page + inPage + n);
      bytes += n;
      at += BigInt(n);
    }
    return { errno: Errno.OK, bytes };
  }

  #unwritten(at: bigint): Errno {
    const { host, ptr, ram, backing } = this.#vm;
    if (!ram.some(({ hva, size }) => at >= hva && at < hva + BigInt(size))) return Errno.EFAULT;
    if (host.core.x.fileBlocks(ptr, at >> 12n) < 0) return Errno.ENODEV;
    return isHugetlb(backing) ? Errno.EINVAL : Errno.ENOMEM;
  }

  /**
   * What a VMM does with guest memory that the guest reports as free: nobody may need it, so the pages go, and those of a
   * shared memory file with them. Reference: cloud-hypervisor virtio-devices/src/balloon.rs (release_memory_range).
   */
  discard(hva: bigint, len: bigint): Errno {
    // Of anonymous memory that is EINVAL, of a private mapping EACCES: the next call is for them.
    const errno = this.madvise(hva, len, 'remove');
    if (errno === Errno.ENOMEM) return errno;
    return this.madvise(hva, len, 'dontneed');
  }

  madvise(hva: bigint, len: bigint, advice: Advice): Errno {
    const number = typeof advice === 'number' ? advice : ADVICE[advice];
    return this.#vm.host.core.x.madvise(this.#vm.ptr, u64(hva), u64(len), number);
  }

  /** `prot`: 1 read, 2 write, 4 execute, 0 none. */
  mprotect(hva: bigint, len: bigint, prot: number): Errno {
    return this.#vm.host.core.x.mprotect(this.#vm.ptr, u64(hva), u64(len), prot);
  }

  mlock(hva: bigint, len: bigint): Errno {
    return this.#vm.host.core.x.mlock(this.#vm.ptr, u64(hva), u64(len), 0);
  }

  /** mlock2 with MLOCK_ONFAULT. */
  mlockOnfault(hva: bigint, len: bigint): Errno {
    return this.#vm.host.core.x.mlock(this.#vm.ptr, u64(hva), u64(len), 1);
  }

  munlock(hva: bigint, len: bigint): Errno {
    return this.#vm.host.core.x.munlock(this.#vm.ptr, u64(hva), u64(len));
  }

  /**
   * What was mapped there is replaced. Between 2^44 and the end of what this VM has page state for (docs/memory-map.md);
   * elsewhere ENOMEM.
   */
  mmap({ addr, length, prot, shared, fd, offset = 0n, noreserve = false }: Mapping): Errno {
    if (offset % 4096n) return Errno.EINVAL;
    const file = fd === undefined ? undefined : this.files.get(fd);
    if (fd !== undefined && !file) return Errno.EBADF;
    let flags = (prot & (VM_READ | VM_WRITE | VM_EXEC)) | VM_MAY;
    if (shared) flags |= VM_SHARED | VM_MAYSHARE;
    if (noreserve) flags |= VM_NORESERVE;
    // accountable_mapping
    if (!shared && !noreserve && prot & VM_WRITE) flags |= VM_ACCOUNT;
    return this.#vm.host.core.x.mmap(
      this.#vm.ptr,
      u64(addr),
      u64(length),
      flags,
      file?.ptr ?? 0,
      u64(offset),
    );
  }

  /** mremap(from, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, to). */
  mremap(from: bigint, len: bigint, to: bigint): Errno {
    return this.#vm.host.core.x.mremap(this.#vm.ptr, u64(from), u64(len), u64(to));
  }

  munmap(hva: bigint, len: bigint): Errno {
    return this.#vm.host.core.x.munmap(this.#vm.ptr, u64(hva), u64(len));
  }

  /** mbind: `nodes` are numbers of nodes, `flags` MPOL_MF_*. */
  mbind(hva: bigint, len: bigint, mode: Mpol, nodes: readonly number[] = [], flags = 0): Errno {
    return this.#vm.host.core.x.mbind(this.#vm.ptr, u64(hva), u64(len), mode, nodeBits(nodes), flags);
  }

  /** set_mempolicy: the policy of all that has none of its own, as under numactl. */
  setMempolicy(mode: Mpol, nodes: readonly number[] = []): Errno {
    return this.#vm.host.core.x.setMempolicy(this.#vm.ptr, mode, nodeBits(nodes));
  }

  /**
   * get_mempolicy: of the task, or with MPOL_F_ADDR of the mapping at `hva`, Default if it has none of its own. With
   * MPOL_F_NODE, `mode` is a node: that of the page at `hva`, or without MPOL_F_ADDR the next one to be interleaved on.
   */
  getMempolicy(hva = 0n, flags = 0): MemoryPolicy {
    return getMempolicy(this.#vm, hva, flags);
  }

  /** memfd_create and ftruncate: a descriptor, or minus an errno. */
  memfdCreate(size: bigint | number): number {
    return this.files.create('memfd', BigInt(size), 0);
  }

  /** `mode`: 1 KEEP_SIZE, 2 PUNCH_HOLE. */
  fallocate(fd: number, mode: number, offset: bigint, length: bigint): Errno {
    return this.files.fallocate(fd, mode, offset, length);
  }

  ftruncate(fd: number, size: bigint): Errno {
    return this.files.ftruncate(fd, size);
  }

  pread(fd: number, offset: bigint, length: number): ReturnType<Files['pread']> {
    return this.files.pread(fd, offset, length);
  }

  pwrite(fd: number, offset: bigint, bytes: Uint8Array): ReturnType<Files['pwrite']> {
    return this.files.pwrite(fd, offset, bytes);
  }

  lseek(fd: number, offset: bigint, whence: Whence): ReturnType<Files['lseek']> {
    return this.files.lseek(fd, offset, whence);
  }

  fstat(fd: number): ReturnType<Files['fstat']> {
    return this.files.fstat(fd);
  }

  /**
   * A long-term pin of pages of guest_memfds in [hva, hva + len) (pin_user_pages, FOLL_LONGTERM): they are faulted in, and
   * cannot be converted until `unpin`. EFAULT where the VMM may not write, EINVAL for pages of anything else, of which a pin
   * is not modelled; then none is pinned.
   */
  pin(hva: bigint, len: bigint): Errno {
    return this.pins.pin(hva, len);
  }

  /** Takes back one pin of each page; EINVAL for pages that have none. */
  unpin(hva: bigint, len: bigint): Errno {
    return this.pins.unpin(hva, len);
  }

  close(fd: number): Errno {
    return this.files.close(fd);
  }

  /** prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME); undefined removes the name. */
  setAnonName(hva: bigint, len: bigint, name: string | undefined): Errno {
    const { host, ptr } = this.#vm;
    const encoded = name === undefined ? { kind: 0, value: 0n } : host.names.encode(name);
    if (!encoded) return Errno.EINVAL;
    return host.core.x.setAnonName(ptr, u64(hva), u64(len), encoded.kind, encoded.value);
  }

  /** Where the VMM maps a guest-physical address; undefined where there is no RAM. */
  hvaOf(gpa: AddressLike): Hva | undefined {
    const { core } = this.#vm.host;
    const address: Gpa = gpaOf(gpa);
    const slot = core.x.slotOf(this.#vm.ptr, address >> 12n) >>> 0;
    if (slot === 0) return undefined;
    return (((core.readU64(slot + SLOT_VPN) - core.readU64(slot + SLOT_BASE)) << 12n) + address) as Hva;
  }

  /** Linear-memory address of the byte at hva after the access, or the signal. */
  #access(hva: AddressLike, write: number): number | Extract<HostAccess, { ok: false }> {
    const { core } = this.#vm.host;
    const address = hvaOfLike(hva);
    const status: Status = core.x.hostAccess(this.#vm.ptr, address >> 12n, write);
    if (status === Status.SegvMaperr) return { ok: false, signal: 'SIGSEGV', code: 'SEGV_MAPERR' };
    if (status === Status.SegvAccerr) return { ok: false, signal: 'SIGSEGV', code: 'SEGV_ACCERR' };
    // The kernel's out-of-memory killer would end the VMM; here the access just did not happen.
    if (status === Status.OutOfMemory || status === Status.Sigbus)
      return { ok: false, signal: 'SIGBUS', code: 'BUS_ADRERR' };
    const frame = core.x.frameOf(this.#vm.ptr, address >> 12n) >>> 0;
    return (frame === 0 ? ZERO_PAGE : frame * 4096) + Number(address & 4095n);
  }
}

/** assembly/base/layout.ts */
const ZERO_PAGE = 0x60000;
