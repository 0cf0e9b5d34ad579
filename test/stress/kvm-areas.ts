// Guest memory as the stress of KVM's calls divides it. Pages of the guest_memfd's slot have an owner, the only vCPU that
// converts them and stores there; it stores one word into a page while it is private and another one while it is shared. So
// whatever else happens to the page, its private memory holds the one or nothing, and its shared memory the other.
import type { Vm } from '../../src/machine.ts';

export const PAGE = 4096n;
/** Where the VMM maps guest RAM. */
export const HVA = 1n << 44n;

export interface Area {
  readonly slot: number;
  readonly first: bigint;
  readonly pages: bigint;
}

/** The driver's, and pages that nothing happens to: each vCPU has words of its own there. */
export const QUIET: Area = { slot: 0, first: 0n, pages: 512n };
/** Bound to the guest_memfd: four chunks of 2 MiB. */
export const GMEM: Area = { slot: 1, first: 1024n, pages: 2048n };
/** Always logging: the log is read at quiet points alone. */
export const LOGGED: Area = { slot: 2, first: 4096n, pages: 512n };
/** Comes, goes, moves, and logs now and then. */
export const MOVING: Area = { slot: 3, first: 5120n, pages: 64n };
/** Where it may be besides, all in one chunk. */
export const MOVES = [0x4_0000n, 0x4_0040n, 0x4_0020n] as const;

export const GMEM_FD = 3;
/** Pages that change hands together; owners take turns. */
export const BLOCK = 64n;
/** The last chunk has one owner at a time, so that all of it can become private. */
export const LAST_CHUNK = GMEM.first + GMEM.pages - 512n;

export const ownerOf = (gfn: bigint, cpus: number, slice: number): number =>
  Number(gfn >= LAST_CHUNK ? BigInt(slice) % BigInt(cpus) : ((gfn - GMEM.first) / BLOCK) % BigInt(cpus));

/** What an owner stores while the page is private, and while it is shared. No sum of a few of one kind is one of the other. */
export const privateWord = (gfn: bigint): bigint => (1n << 50n) + (gfn << 12n);
export const sharedWord = (gfn: bigint): bigint => (3n << 48n) + (gfn << 12n);
/** What anybody stores in the other areas. */
export const plainWord = (gfn: bigint): bigint => (1n << 40n) + gfn;

export interface Kind {
  /** 0: all accesses to the pages of GMEM are to the file, and the VMM maps it, too. */
  readonly vmType: 0 | 1;
}

/** The areas' slots, in the place of the one of a new VM of 64 MiB. */
export function divide(vm: Vm, { vmType }: Kind): void {
  const set = (area: Area, flags: number, more: { guestMemfd?: number } = {}): void => {
    const guestPhysAddr = area.first * PAGE;
    const memorySize = area.pages * PAGE;
    const userspaceAddr = HVA + guestPhysAddr;
    const region = { slot: area.slot, flags, guestPhysAddr, memorySize, userspaceAddr, ...more };
    const errno = vm.kvm.setUserMemoryRegion2(region);
    if (errno !== 0) throw new Error(`slot ${area.slot}: errno ${errno}`);
  };
  vm.kvm.setUserMemoryRegion({ slot: 0, flags: 0, guestPhysAddr: 0, memorySize: 0, userspaceAddr: 0 });
  const length = GMEM.pages * PAGE;
  const { errno, fd } = vm.kvm.createGuestMemfd({ size: length, flags: vmType === 0 ? 3 : 0 });
  if (errno !== 0 || fd !== GMEM_FD) throw new Error(`guest_memfd: errno ${errno}`);
  if (vmType === 0) {
    const mapped = vm.vmm.mmap({ addr: HVA + GMEM.first * PAGE, length, prot: 3, shared: true, fd });
    if (mapped !== 0) throw new Error(`mmap: errno ${mapped}`);
  }
  set(QUIET, 0);
  set(GMEM, 4, { guestMemfd: fd });
  set(LOGGED, 1);
  set(MOVING, 0);
}
