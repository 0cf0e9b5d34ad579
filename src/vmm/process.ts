// The VMM process: accesses through its own page table, and its system calls on guest RAM's mappings.
// Errno numbers are Linux's; what the VMM does wrong is an errno or a signal, as for any process.
import { Errno } from '../../assembly/abi/errno.ts';
import { Madv, Status } from '../../assembly/abi/status.ts';
import type { Gpa, Hva } from '../address.ts';
import { gpa as gpaOf, hva as hvaOfLike } from '../address.ts';
import { isHugetlb, isSharedFile } from '../backing.ts';
import { SLOT_BASE, SLOT_VPN } from '../core/layout.ts';
import type { AddressLike, HostAccess } from '../types.ts';
import type { Vm } from '../vm.ts';

export type Advice = 'dontneed' | 'free' | 'pageout' | 'remove' | 'dontdump' | 'mergeable' | 'unmergeable';

const ADVICE: Readonly<Record<Advice, Madv>> = {
  dontneed: Madv.Dontneed,
  free: Madv.Free,
  pageout: Madv.Pageout,
  remove: Madv.Remove,
  dontdump: Madv.Dontdump,
  mergeable: Madv.Mergeable,
  unmergeable: Madv.Unmergeable,
};

const u64 = (value: bigint): bigint => BigInt.asUintN(64, value);

export class Process {
  readonly #vm: Vm;

  constructor(vm: Vm) {
    this.#vm = vm;
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
    if (isSharedFile(this.#vm.backing)) {
      const errno = this.madvise(hva, len, 'remove');
      if (errno !== Errno.OK) return errno;
    }
    return this.madvise(hva, len, 'dontneed');
  }

  madvise(hva: bigint, len: bigint, advice: Advice): Errno {
    return this.#vm.host.core.x.madvise(this.#vm.ptr, u64(hva), u64(len), ADVICE[advice]);
  }

  /** `prot`: 1 read, 2 write, 3 both, 0 none. */
  mprotect(hva: bigint, len: bigint, prot: number): Errno {
    return this.#vm.host.core.x.mprotect(this.#vm.ptr, u64(hva), u64(len), prot);
  }

  mlock(hva: bigint, len: bigint): Errno {
    return this.#vm.host.core.x.mlock(this.#vm.ptr, u64(hva), u64(len));
  }

  munlock(hva: bigint, len: bigint): Errno {
    return this.#vm.host.core.x.munlock(this.#vm.ptr, u64(hva), u64(len));
  }

  munmap(hva: bigint, len: bigint): Errno {
    return this.#vm.host.core.x.munmap(this.#vm.ptr, u64(hva), u64(len));
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
