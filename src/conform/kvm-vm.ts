// The library's Vm behind a KvmDoor: the VMM maps regions and sets slots itself, from a VM without RAM.
// Reference: test/golden/kvm/README.md.
import { Errno } from '../../assembly/abi/errno.ts';
import { type Hva, hva } from '../address.ts';
import { createSandbox } from '../index.ts';
import type { Vm } from '../machine.ts';
import type { Access, Exit, HostAccess, HostOptions } from '../types.ts';
import { ADVICE, type Advice } from '../vmm/process.ts';
import type { OpenKvmDoor } from './kvm.ts';
import type {
  AccessEnd,
  CallEnd,
  FileCall,
  FileStat,
  GuestAccess,
  KvmDoor,
  KvmExit,
  RangeCall,
  RegionPart,
  RegionSetup,
  RegionState,
  SlotCall,
} from './kvm-door.ts';
import { isMemfd, type MappedRegion, readRegionState } from './kvm-region.ts';
import { toHex } from './transport-trace.ts';

const PAGE = 4096n;
const GIB = 1n << 30n;
const READ_WRITE = 3;
/** Regions are a GiB apart, so that none has a neighbour. */
const FIRST_HVA = 1n << 44n;
const NO_FD = -1;
const UNKNOWN_ADVICE = 999;
const CAP_MANUAL_DIRTY_LOG_PROTECT2 = 168;
/** Frames of the host for each page of a region, and besides: for copies of files, and for huge pages. */
const SPARE = 4;
const SPARE_POOL = 16 * 2 ** 20;

function exitOf(exit: Exit): KvmExit {
  switch (exit.reason) {
    case 'MMIO': {
      const { gpa, len, isWrite } = exit;
      return { x: 'MMIO', gpa, len, wr: isWrite, data: isWrite ? toHex(exit.data) : undefined };
    }
    case 'EFAULT':
      return { x: 'UNKNOWN', err: 'EFAULT' };
    case 'MEMORY_FAULT':
      return {
        x: 'MEMORY_FAULT',
        err: 'EFAULT',
        flags: Number(exit.flags),
        gpa: exit.gpa,
        size: exit.size,
      };
    case 'INTERNAL_ERROR':
      return { x: 'INTERNAL_ERROR', sub: 1 };
    default:
      return { x: 'OTHER', reason: exit.reason };
  }
}

const endOf = (access: Access): AccessEnd =>
  access.ok
    ? { exits: [...access.exits.map(exitOf), { x: 'DONE' }], value: access.value }
    : { exits: [exitOf(access.exit)] };

/** What recordings answer an MMIO read with. */
const mmioAnswer = (gpa: bigint, len: number): Uint8Array =>
  Uint8Array.from({ length: len }, (_, i) => 0xa0 + Number((gpa + BigInt(i)) & 15n));

const CODE_LEN = 5;

/** Advice by its name without MADV_. What the library does not know is a number that no kernel knows. */
function adviceOf(name: string): Advice {
  const advice = name.toLowerCase();
  return Object.hasOwn(ADVICE, advice) ? (advice as keyof typeof ADVICE) : UNKNOWN_ADVICE;
}

class VmKvmDoor implements KvmDoor {
  readonly #vm: Vm;
  readonly #regions = new Map<string, MappedRegion>();
  #next = FIRST_HVA;

  constructor(vm: Vm) {
    this.#vm = vm;
    vm.guest.onMmioRead(mmioAnswer);
  }

  openRegion(setup: RegionSetup): { errno: number; mmap: number } {
    const length = BigInt(setup.pages) * PAGE;
    const start = hva(this.#next);
    this.#next += (length / GIB + 2n) * GIB;
    const { errno, fd } = this.#openFile(setup);
    if (errno !== Errno.OK) return { errno, mmap: Errno.OK };
    this.#regions.set(setup.name, { setup, start, fd });
    const { vmm } = this.#vm;
    const shared = setup.kind !== 'anon' && setup.kind !== 'memfdpriv';
    const mmap = vmm.mmap({ addr: start, length, prot: READ_WRITE, shared, ...(fd !== NO_FD && { fd }) });
    if (mmap !== Errno.OK || setup.thp) return { errno: Errno.OK, mmap };
    return { errno: vmm.madvise(start, length, 'nohugepage'), mmap };
  }

  #openFile({ kind, pages, gmemFlags }: RegionSetup): { errno: number; fd: number } {
    const size = BigInt(pages) * PAGE;
    if (kind === 'gmem') return this.#vm.kvm.createGuestMemfd({ size, flags: BigInt(gmemFlags) });
    if (!isMemfd(kind)) return { errno: Errno.OK, fd: NO_FD };
    const fd = this.#vm.vmm.memfdCreate(size);
    return fd < 0 ? { errno: -fd, fd: NO_FD } : { errno: Errno.OK, fd };
  }

  #region(name: string): MappedRegion {
    const region = this.#regions.get(name);
    if (!region) throw new RangeError(`there is no region ${name}`);
    return region;
  }

  #address(region: string, page: number): Hva {
    return hva(this.#region(region).start + BigInt(page) * PAGE);
  }

  regionState(name: string): RegionState {
    return readRegionState(this.#vm, this.#region(name));
  }

  guestAccess(access: GuestAccess): AccessEnd {
    const { guest } = this.#vm;
    switch (access.kind) {
      case 'read':
        return endOf(guest.load(access.gpa, access.len));
      case 'write':
        return { exits: endOf(guest.store(access.gpa, access.len, access.value)).exits };
      case 'xadd':
        return endOf(guest.fetchAdd(access.gpa, access.len, access.value));
      case 'execute':
        return this.#execute(access.gpa);
    }
  }

  /**
   * The bytes of the code one by one; it lies in one page, so what one fetch gives all give. The store that reports is
   * MMIO: KVM emulates it, and reads the instruction for that through the slot's host-virtual address.
   */
  #execute(gpa: bigint): AccessEnd {
    const code: number[] = [];
    let end: AccessEnd = { exits: [] };
    for (let i = 0n; i < CODE_LEN; i++) {
      end = endOf(this.#vm.guest.fetch(gpa + i));
      if (end.value === undefined) return end;
      code.push(Number(end.value));
    }
    const { vmm } = this.#vm;
    const at = vmm.hvaOf(gpa);
    if (at === undefined || !vmm.load(at).ok) return { exits: [{ x: 'INTERNAL_ERROR', sub: 1 }] };
    return { exits: end.exits, code: Uint8Array.from(code) };
  }

  hostLoad(region: string, offset: bigint): HostAccess {
    return this.#vm.vmm.load(this.#region(region).start + offset);
  }
  hostStore(region: string, offset: bigint, byte: number): HostAccess {
    return this.#vm.vmm.store(this.#region(region).start + offset, byte);
  }
  hostFill(region: string, page: number, byte: number): HostAccess {
    return this.#vm.vmm.fillPage(this.#address(region, page), byte);
  }

  rangeCall({ region, page, pages }: RegionPart, call: RangeCall): number {
    const { vmm } = this.#vm;
    const addr = this.#address(region, page);
    const length = BigInt(pages) * PAGE;
    switch (call.call) {
      case 'madvise':
        return vmm.madvise(addr, length, adviceOf(call.advice));
      case 'mprotect':
        return vmm.mprotect(addr, length, call.prot);
      case 'mapAnonymous':
        return vmm.mmap({ addr, length, prot: READ_WRITE, shared: false });
      case 'mapFile': {
        const { fd, setup } = this.#region(region);
        const shared = setup.kind !== 'memfdpriv';
        return vmm.mmap({ addr, length, prot: READ_WRITE, shared, fd, offset: BigInt(page) * PAGE });
      }
      default:
        return vmm[call.call](addr, length);
    }
  }

  mremap({ region, page, pages }: RegionPart, to: string, toPage: number): number {
    const length = BigInt(pages) * PAGE;
    return this.#vm.vmm.mremap(this.#address(region, page), length, this.#address(to, toPage));
  }

  fileCall(region: string, call: FileCall): CallEnd {
    const { vmm } = this.#vm;
    const { fd } = this.#region(region);
    switch (call.call) {
      case 'fallocate':
        return { errno: vmm.fallocate(fd, call.mode, call.offset, call.length) };
      case 'ftruncate':
        return { errno: vmm.ftruncate(fd, call.size) };
      case 'pread': {
        const { errno, bytes } = vmm.pread(fd, call.offset, call.length);
        return { errno, value: bytes.length };
      }
      case 'pwrite': {
        const { errno, bytes } = vmm.pwrite(fd, call.offset, new Uint8Array(call.length));
        return { errno, value: bytes };
      }
      case 'lseek': {
        const { errno, offset } = vmm.lseek(fd, call.offset, call.whence);
        return { errno, value: Number(offset) };
      }
      case 'mmap':
        return { errno: this.#tryMmap(fd, call) };
      case 'close':
        return { errno: this.#close(region) };
    }
  }

  /** The region has no descriptor then: the next file may get its number. */
  #close(name: string): number {
    const region = this.#region(name);
    const errno = this.#vm.vmm.close(region.fd);
    if (errno === Errno.OK) this.#regions.set(name, { ...region, fd: NO_FD });
    return errno;
  }

  /** Where no region is. */
  #tryMmap(fd: number, call: Extract<FileCall, { call: 'mmap' }>): number {
    const { vmm } = this.#vm;
    const [addr, length] = [hva(this.#next), BigInt(call.pages) * PAGE];
    const { prot, shared } = call;
    const errno = vmm.mmap({ addr, length, prot, shared, fd, offset: BigInt(call.page) * PAGE });
    return errno === Errno.OK ? vmm.munmap(addr, length) : errno;
  }

  fstat(region: string): FileStat {
    const { errno, size, blocks, mode } = this.#vm.vmm.fstat(this.#region(region).fd);
    return { errno, size: Number(size), blocks, mode };
  }

  setSlot({ two, id, flags, gpa, size, region, offset, file }: SlotCall): number {
    const { kvm } = this.#vm;
    const start = region === undefined ? 0n : this.#region(region).start;
    const userspaceAddr = BigInt.asUintN(64, start + offset);
    const slot = { slot: id, flags, guestPhysAddr: gpa, memorySize: size, userspaceAddr };
    if (!two) return kvm.setUserMemoryRegion(slot);
    if (!file) return kvm.setUserMemoryRegion2(slot);
    const guestMemfd = file.region === undefined ? NO_FD : this.#region(file.region).fd;
    return kvm.setUserMemoryRegion2({ ...slot, guestMemfd, guestMemfdOffset: file.offset });
  }
  deleteSlot(id: number): number {
    const { kvm } = this.#vm;
    return kvm.setUserMemoryRegion2({
      ...{ slot: id, flags: 0, guestPhysAddr: 0n, memorySize: 0n, userspaceAddr: 0n },
    });
  }

  createGuestMemfd(size: bigint, flags: bigint): number {
    const { errno, fd } = this.#vm.kvm.createGuestMemfd({ size, flags });
    return errno === Errno.OK ? this.#vm.vmm.close(fd) : errno;
  }
  checkExtension(cap: number): number {
    return this.#vm.kvm.checkExtension(cap);
  }
  manualProtect(value: bigint): number {
    return this.#vm.kvm.enableCap(CAP_MANUAL_DIRTY_LOG_PROTECT2, value);
  }
  dirtyLog(slot: number): { errno: number; pages: readonly number[] } {
    const { errno, pages } = this.#vm.kvm.getDirtyLog(slot);
    return { errno, pages: [...pages] };
  }
  clearDirtyLog(slot: number, first: number, count: number, pages: readonly number[]): number {
    return this.#vm.kvm.clearDirtyLog({ slot, firstPage: first, numPages: count, pages });
  }
  ksmScan(times: number): void {
    this.#vm.host.ksm.scan(times);
  }
}

/** A fresh VM for each trace. The recording host's physical addresses have 52 bits, its KVM the guest_memfd of 6.18. */
export const openVmKvmDoor =
  (options: HostOptions = {}): OpenKvmDoor =>
  async ({ swap, pages }) => {
    const { memory, ...host } = options;
    const pool = memory ?? SPARE_POOL + SPARE * pages * Number(PAGE);
    const setup = { ram: [], physBits: 52, gmemProfile: 'C', vmType: 0 } as const;
    const vm = await createSandbox({ ...host, pool, ...(!swap && { swap: 0 }), ...setup });
    return new VmKvmDoor(vm);
  };
