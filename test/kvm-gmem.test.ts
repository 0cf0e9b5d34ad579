// guest_memfd, memory attributes, private and shared accesses, through the library. Cases GM-P01 … GM-P24 of the guest_memfd
// reference, by their ids; rules R11 of docs/linux-rules.md.
import { beforeEach, describe, expect, it } from 'vitest';
import { Errno } from '../assembly/abi/errno.ts';
import {
  type BackingKind,
  createHost,
  type Exit,
  type GmemProfileName,
  type Vm,
  type VmOptions,
} from '../src/index.ts';
import { convertMemory, handleMemoryFault } from '../src/vmm/convert.ts';
import { BUILDS, hvaAt, MIB, machine, PAGE } from './support/machines.ts';

const { OK, EINVAL, EEXIST, EBADF, ENOTTY, EAGAIN, EOPNOTSUPP } = Errno;
const PS = 4096n;
const PRIVATE = 8;
const GMEM = 4;
const MMAP = 1;
const INIT_SHARED = 2;
const KEEP = 1;
const PUNCH = 3;
/** Where the VMM maps what it likes, behind its RAM. */
const MAP = 0x1000_4000_0000n;
const GPA = 0x1_0000_0000n;

const C: VmOptions = { gmemProfile: 'C' };
const SNP: VmOptions = { vmType: 1 };
const create = (vm: Vm, size: bigint | number, flags: bigint | number = 0): Errno => {
  const { errno, fd } = vm.kvm.createGuestMemfd({ size, flags });
  if (errno === OK) vm.vmm.close(fd);
  return errno;
};
const file = (vm: Vm, size: bigint | number, flags = 0): number => {
  const { errno, fd } = vm.kvm.createGuestMemfd({ size, flags });
  if (errno !== OK) throw new Error(Errno[errno]);
  return fd;
};
const map = (vm: Vm, fd: number, pages: number, at = MAP): Errno =>
  vm.vmm.mmap({ addr: at, length: BigInt(pages) * PS, prot: 3, shared: true, fd, offset: 0n });
const fault = (access: { readonly ok: boolean; readonly exit?: Exit }): Exit | undefined => access.exit;

describe.each(BUILDS)('guest_memfd, %s', (_name, build) => {
  const of = (options: VmOptions): Promise<Vm> =>
    machine(build, { memory: 4 * MIB, pool: 32 * MIB, ...options });

  describe('files', () => {
    it.each<[GmemProfileName, 0 | 1, number[]]>([
      ['B', 0, [0]],
      ['B', 1, [0]],
      ['C', 0, [0, 1, 2, 3]],
      ['C', 1, [0, 1]],
      ['D', 1, [0, 1, 2, 3]],
    ])('GM-P01, GM-P02: sizes and flags, profile %s, type %i', async (gmemProfile, vmType, legal) => {
      const vm = await of({ gmemProfile, vmType });
      for (const flags of legal) {
        for (const size of [1n, 2n, 1000n, 2048n, PS - 1n, PS + 1n, 0n, -PS])
          expect(create(vm, size, flags)).toBe(EINVAL);
        expect(create(vm, PS, flags)).toBe(OK);
        expect(create(vm, (1n << 63n) - PS, flags)).toBe(OK);
      }
      for (let bit = 0n; bit < 64n; bit++) {
        const ok = legal.includes(Number(1n << bit));
        expect(create(vm, PS, 1n << bit), `bit ${bit}`).toBe(ok ? OK : EINVAL);
      }
      expect(vm.host.check()).toEqual([]);
    });

    it('profile A: bit 0 asks for huge pages, and a size of whole ones', async () => {
      const vm = await of({ gmemProfile: 'A', vmType: 1 });
      expect([create(vm, PS, 1), create(vm, 2 * MIB, 1), create(vm, PS, 0), create(vm, PS, 2)]).toEqual([
        EINVAL,
        OK,
        OK,
        EINVAL,
      ]);
    });

    it('profile A: a fault of private memory brings a huge page and maps it as one; a punch inside splits it; no other does', async () => {
      const vm = await of({ gmemProfile: 'A', vmType: 1 });
      const fd = file(vm, 4 * MIB, 1);
      const small = file(vm, 4 * MIB, 0);
      for (const [slot, guestMemfd] of [
        [5, fd],
        [6, small],
      ] as const) {
        const region = {
          slot,
          flags: GMEM,
          guestPhysAddr: GPA * BigInt(slot),
          memorySize: 4 * MIB,
          userspaceAddr: hvaAt(vm, 0),
          guestMemfd,
        };
        expect(vm.kvm.setUserMemoryRegion2(region)).toBe(OK);
      }
      vm.kvm.setMemoryAttributes({ address: 5n * GPA, size: 2n * GPA, attributes: PRIVATE });
      const level = (gpa: bigint): number | undefined => {
        vm.guest.store(gpa, 1, 7);
        return vm.observe.walk(gpa).entries.at(-1)?.level;
      };
      expect([level(5n * GPA + 0x3000n), level(6n * GPA)]).toEqual([2, 1]);
      expect(vm.host.frames().used).toBe(513);
      expect(vm.host.check()).toEqual([]);
      vm.vmm.fallocate(fd, PUNCH, 0x5000n, PS);
      expect([level(5n * GPA + 0x3000n), vm.guest.load(5n * GPA + 0x3000n, 1)]).toMatchObject([
        1,
        { value: 7n },
      ]);
      expect(vm.vmm.fallocate(fd, KEEP, 2n << 20n, 2n << 20n)).toBe(OK);
      expect(vm.host.frames().used).toBe(512 + 511 + 1);
      expect(level(5n * GPA + (2n << 20n))).toBe(2);
      expect(vm.vmm.mmap({ addr: MAP, length: PS, prot: 3, shared: true, fd })).toBe(Errno.ENODEV);
      // Only here a slot with a file may be read-only, too: its private pages are read, and a write is an exit.
      const readonly = {
        slot: 7,
        flags: GMEM | 2,
        guestPhysAddr: 9n * GPA,
        memorySize: 2 * MIB,
        userspaceAddr: 0,
      };
      vm.kvm.setUserMemoryRegion2({ slot: 6, flags: 0, guestPhysAddr: 0, memorySize: 0, userspaceAddr: 0 });
      expect(vm.kvm.setUserMemoryRegion2({ ...readonly, guestMemfd: small })).toBe(OK);
      vm.kvm.setMemoryAttributes({ address: 9n * GPA, size: PS, attributes: PRIVATE });
      expect(vm.guest.load(9n * GPA, 1)).toMatchObject({ value: 7n, exits: [] });
      expect(vm.guest.store(9n * GPA, 1, 1)).toMatchObject({ exits: [{ reason: 'MMIO', isWrite: true }] });
      expect(vm.host.check()).toEqual([]);
      vm.vmm.close(fd);
      expect([vm.host.frames().used, vm.host.check()]).toEqual([1, []]);
    });

    it('GM-P03, GM-P04: stat; read and write are refused', async () => {
      const vm = await of(C);
      const [a, b] = [file(vm, PS), file(vm, 2n * PS)];
      expect([a, b, a].map((fd) => vm.vmm.fstat(fd).size)).toEqual([4096, 8192, 4096]);
      expect(vm.vmm.fstat(a)).toMatchObject({ errno: OK, blocks: 0, mode: 0o100600 });
      expect(vm.vmm.pread(a, 0n, 64).errno).toBe(Errno.ESPIPE);
      expect(vm.vmm.pwrite(a, 0n, new Uint8Array(64)).errno).toBe(Errno.ESPIPE);
      expect(vm.vmm.lseek(a, 0n, 'end').errno).toBe(Errno.ESPIPE);
      expect([vm.vmm.ftruncate(a, PS), vm.vmm.ftruncate(a, 0n)]).toEqual([EINVAL, EINVAL]);
    });

    it('GM-P05, GM-P09: what cannot be mapped', async () => {
      const vm = await of(C);
      const plain = file(vm, 4n * PS);
      expect([map(vm, plain, 1), map(vm, plain, 4)]).toEqual([Errno.ENODEV, Errno.ENODEV]);
      const mappable = file(vm, 4n * PS, MMAP | INIT_SHARED);
      expect(vm.vmm.mmap({ addr: MAP, length: PS, prot: 3, shared: false, fd: mappable })).toBe(EINVAL);
      expect(vm.vmm.mmap({ addr: MAP, length: PS, prot: 7, shared: true, fd: mappable })).toBe(Errno.EPERM);
      expect(map(vm, file(vm, PS, INIT_SHARED), 1)).toBe(Errno.ENODEV);
    });

    it('GM-P06, GM-P07: fallocate', async () => {
      const vm = await of({});
      const size = 4n * PS;
      const fd = file(vm, size);
      const allocate = (offset: bigint, length: bigint): Errno => vm.vmm.fallocate(fd, KEEP, offset, length);
      const punch = (offset: bigint, length: bigint): Errno => vm.vmm.fallocate(fd, PUNCH, offset, length);
      expect([
        allocate(0n, size),
        punch(PS - 1n, PS),
        allocate(size, PS),
        allocate(size + PS, PS),
        punch(size, PS),
        punch(size + PS, PS),
        punch(PS, PS - 1n),
        punch(PS, PS),
        allocate(PS, PS),
      ]).toEqual([OK, EINVAL, EINVAL, EINVAL, OK, OK, EINVAL, OK, OK]);
      for (const [offset, length] of [
        [0, 1],
        [0, 4095],
        [0, 4097],
        [1, 1],
        [1, 4095],
        [1, 4096],
        [1, 4097],
        [4096, 1],
        [4096, 4095],
        [4096, 4097],
      ] as const) {
        expect(punch(BigInt(offset), BigInt(length)), `${offset} ${length}`).toBe(EINVAL);
      }
      expect([
        vm.vmm.fallocate(fd, 0, 0n, PS),
        vm.vmm.fallocate(fd, 2, 0n, PS),
        vm.vmm.fallocate(fd, 0x11, 1n, PS),
      ]).toEqual(Array(3).fill(EOPNOTSUPP));
      expect([allocate(-PS, PS), allocate(0n, 0n), allocate((1n << 63n) - PS, 2n * PS)]).toEqual([
        EINVAL,
        EINVAL,
        Errno.EFBIG,
      ]);
      expect(vm.host.frames().used).toBe(4);
      vm.vmm.close(fd);
      expect([vm.host.frames().used, vm.host.check()]).toEqual([0, []]);
    });

    it('GM-P08, GM-P11: mapped and shared: fill, punch, refill, and SIGBUS behind the end', async () => {
      const vm = await of(C);
      const fd = file(vm, 4n * PS, MMAP | INIT_SHARED);
      expect(map(vm, fd, 16)).toBe(OK);
      const read = (page: bigint): number | string => {
        const access = vm.vmm.load(MAP + page * PS + 5n);
        return access.ok ? access.value : access.signal;
      };
      for (let page = 0n; page < 4n; page++)
        expect(vm.vmm.fillPage(MAP + page * PS, 0xaa)).toMatchObject({ ok: true });
      expect(vm.vmm.fillPage(MAP + 4n * PS, 0xaa)).toMatchObject({ ok: false, signal: 'SIGBUS' });
      expect(vm.vmm.fallocate(fd, PUNCH, 0n, PS)).toBe(OK);
      expect([read(0n), read(1n), read(3n), read(4n), read(15n)]).toEqual([
        0,
        0xaa,
        0xaa,
        'SIGBUS',
        'SIGBUS',
      ]);
      vm.vmm.fillPage(MAP, 0xaa);
      expect([read(0n), read(1n)]).toEqual([0xaa, 0xaa]);
      expect(vm.host.check()).toEqual([]);
    });

    it('GM-P10: mapped but not shared: every touch is SIGBUS, also after allocation', async () => {
      const vm = await of(C);
      const fd = file(vm, 4n * PS, MMAP);
      expect(map(vm, fd, 4)).toBe(OK);
      expect(vm.vmm.store(MAP, 1)).toMatchObject({ signal: 'SIGBUS' });
      vm.vmm.fallocate(fd, KEEP, 0n, PS);
      expect(vm.vmm.load(MAP)).toMatchObject({ signal: 'SIGBUS' });
    });
  });

  describe('binding', () => {
    const bind = (
      vm: Vm,
      slot: number,
      gpa: bigint,
      size: bigint,
      fd: number | undefined,
      offset = 0n,
    ): Errno =>
      vm.kvm.setUserMemoryRegion2({
        slot,
        flags: GMEM,
        guestPhysAddr: gpa,
        memorySize: size,
        userspaceAddr: hvaAt(vm, 0),
        ...(fd !== undefined && { guestMemfd: fd }),
        guestMemfdOffset: offset,
      });

    it('GM-P13: only a guest_memfd, and only one of this VM', async () => {
      const host = await createHost({ memory: 8 * MIB, swap: 0, ...build });
      const [vm, other] = [1, 2].map(() => host.createVm({ memory: MIB, vmType: 1 })) as [Vm, Vm];
      expect(bind(vm, 9, GPA, PS, undefined)).toBe(EBADF);
      expect(bind(vm, 9, GPA, PS, 77)).toBe(EBADF);
      expect(bind(vm, 9, GPA, PS, vm.vmm.memfdCreate(PS))).toBe(EINVAL);
      const theirs = file(other, PS);
      // A descriptor that was passed from one VMM to the other.
      const ptr = other.vmm.files.get(theirs)?.ptr ?? 0;
      expect(host.core.x.setMemoryRegion(vm.ptr, 0, 9, GMEM, GPA, PS, hvaAt(vm, 0), ptr, 0n)).toBe(EINVAL);
      expect(bind(other, 9, GPA, PS, theirs)).toBe(OK);
    });

    it('GM-P14: offsets; the range lies in the file; no page twice; what is bound is immutable', async () => {
      const vm = await of(SNP);
      const fd = file(vm, 8n * PS);
      for (const offset of [1n, 2n, 2048n, PS - 1n]) expect(bind(vm, 9, GPA, PS, fd, offset)).toBe(EINVAL);
      expect([
        bind(vm, 9, GPA, 2n * PS, fd, 7n * PS),
        bind(vm, 9, GPA, PS, fd, -PS),
        bind(vm, 9, GPA, PS, fd, 8n * PS),
      ]).toEqual(Array(3).fill(EINVAL));
      expect(bind(vm, 9, GPA, 4n * PS, fd)).toBe(OK);
      expect(bind(vm, 10, 2n * GPA, 4n * PS, fd, 3n * PS)).toBe(EINVAL);
      expect(bind(vm, 10, 2n * GPA, 4n * PS, fd, 4n * PS)).toBe(OK);
      expect(bind(vm, 9, GPA, 4n * PS, fd)).toBe(EINVAL);
      expect(vm.kvm.memslots().find(({ id }) => id === 10)).toMatchObject({
        fd,
        guestMemfd: 'open',
        guestMemfdOffset: 16384,
      });
      // Bad descriptor and overlap, or offset: which is told.
      expect([bind(vm, 11, GPA, PS, 77), bind(vm, 11, 3n * GPA, PS, 77, 1n)]).toEqual([EEXIST, EINVAL]);
    });

    it('GM-P15: no slot over another one', async () => {
      const vm = await of(SNP);
      const fd = file(vm, 8 * MIB);
      const [g3, g6, half] = [3n << 30n, 6n << 30n, 4n << 20n];
      expect([bind(vm, 10, g3, half, fd), bind(vm, 11, g6, half, fd, half)]).toEqual([OK, OK]);
      vm.kvm.setUserMemoryRegion2({
        slot: 10,
        flags: GMEM,
        guestPhysAddr: g3,
        memorySize: 0,
        userspaceAddr: 0,
        guestMemfd: fd,
      });
      expect([bind(vm, 10, g6 - (2n << 20n), half, fd), bind(vm, 10, g6 + (2n << 20n), half, fd)]).toEqual([
        EEXIST,
        EEXIST,
      ]);
    });
  });

  describe('private and shared', () => {
    /** 2 MiB and a page at 4 GiB, whose shared half is memory of the VMM's, and a file for the private one. */
    const PAGES = 513;
    let vm: Vm;
    let fd: number;
    let hva: bigint;
    const start = async (options: VmOptions, backing: BackingKind = 'anon'): Promise<void> => {
      vm = await of({ memory: 4 * MIB, backing, ...options });
      hva = hvaAt(vm, 0);
      const flags = options.gmemProfile === 'D' ? MMAP | INIT_SHARED : 0;
      fd = file(vm, PAGES * PAGE, flags);
      if (options.gmemProfile === 'D') {
        hva = MAP;
        expect(map(vm, fd, PAGES)).toBe(OK);
      }
      expect(
        vm.kvm.setUserMemoryRegion2({
          slot: 10,
          flags: GMEM,
          guestPhysAddr: GPA,
          memorySize: PAGES * PAGE,
          userspaceAddr: hva,
          guestMemfd: fd,
          guestMemfdOffset: 0,
        }),
      ).toBe(OK);
      vm.kvm.enableCap(201, 1 << 12);
    };
    beforeEach(() => start(SNP));
    const hostByte = (page: bigint): number | string => {
      const access = vm.vmm.load(hva + page * PS + 8n);
      return access.ok ? access.value : access.signal;
    };
    const guestByte = (page: bigint): bigint | string => {
      const access = vm.guest.load(GPA + page * PS + 8n, 1);
      return access.ok ? access.value : access.exit.reason;
    };
    const fill = (byte: number): void => {
      expect(vm.guest.fill({ gpa: GPA, len: PAGE, byte })).toEqual({ pages: 1 });
    };

    it.each([
      ['with', 'other'],
      ['without', 'none'],
    ] as const)('GM-P18: a page converted there and back, %s discards', (_row, discard) => {
      for (let page = 0n; page < BigInt(PAGES); page++) vm.vmm.fillPage(hva + page * PS, 0xcc);
      fill(0x11);
      vm.onHypercall = (exit) => {
        const [gpa, pages, attributes] = exit.args;
        return -BigInt(convertMemory(vm, { gpa, size: pages * PS, toPrivate: attributes !== 0n, discard }));
      };
      expect(vm.guest.mapGpaRange({ gpa: GPA, pages: 1, toPrivate: true })).toMatchObject({
        ret: 0n,
        exit: { nr: 12 },
      });
      fill(0x22);
      expect(hostByte(0n)).toBe(discard === 'none' ? 0x11 : 0);
      expect(guestByte(0n)).toBe(0x22n);
      expect([guestByte(1n), guestByte(512n)]).toEqual([0xccn, 0xccn]);
      expect(vm.guest.mapGpaRange({ gpa: GPA, pages: 1, toPrivate: false })).toMatchObject({ ret: 0n });
      fill(0x33);
      expect(hostByte(0n)).toBe(0x33);
      vm.vmm.fillPage(hva, 0x44);
      expect([guestByte(0n), guestByte(1n)]).toEqual([0x44n, 0xccn]);
      expect(vm.host.check()).toEqual([]);
    });

    it('double allocation: both halves of what was converted stay until one is given back', () => {
      vm.guest.touch({ gpa: GPA, len: 2 * MIB, write: true });
      const used = (): number => vm.host.frames().used;
      expect(used()).toBe(512);
      convertMemory(vm, { gpa: GPA, size: 2n << 20n, toPrivate: true, discard: 'none' });
      vm.guest.touch({ gpa: GPA, len: 2 * MIB, write: true });
      expect(used()).toBe(1024);
      vm.vmm.discard(hva, 2n << 20n);
      expect(used()).toBe(512);
      expect(vm.host.check()).toEqual([]);
    });

    it('GM-P19: a punch without a change of attributes: zeros, and no exit', () => {
      vm.kvm.setMemoryAttributes({ address: GPA, size: PAGES * PAGE, attributes: PRIVATE });
      vm.guest.fill({ gpa: GPA, len: PAGES * PAGE, byte: 0xcc });
      vm.vmm.fallocate(fd, PUNCH, 0n, PS);
      expect([guestByte(0n), guestByte(1n)]).toEqual([0n, 0xccn]);
      expect(vm.guest.verify({ gpa: GPA, len: PAGE, byte: 0 })).toEqual({ differs: undefined });
    });

    it('GM-P20: private, in a slot without a guest_memfd and in none: MEMORY_FAULT, never MMIO', () => {
      vm.kvm.setUserMemoryRegion({
        slot: 3,
        flags: 0,
        guestPhysAddr: 0xc000_0000,
        memorySize: 2 * PAGE,
        userspaceAddr: hva,
      });
      for (const gpa of [0xc000_0000n, 0xd000_0000n]) {
        vm.kvm.setMemoryAttributes({ address: gpa, size: PS, attributes: PRIVATE });
        const exit = { reason: 'MEMORY_FAULT', gpa, flags: 8n, size: 4096, isWrite: false };
        expect(vm.guest.load(gpa + 0x10n, 8)).toEqual({ ok: false, exit });
        expect(vm.guest.store(gpa, 1, 1)).toEqual({ ok: false, exit: { ...exit, isWrite: true } });
        expect(vm.guest.fetch(gpa)).toEqual({ ok: false, exit });
      }
      expect(vm.observe.counters()['exits.memory-fault']).toBe(6);
    });

    it('GM-P22: punch and allocate still work when nobody has the VM open', () => {
      expect([vm.kvm.close(), vm.kvm.close()]).toEqual([OK, EBADF]);
      expect([
        vm.vmm.fallocate(fd, PUNCH, 0n, BigInt(PAGES) * PS),
        vm.vmm.fallocate(fd, KEEP, 0n, BigInt(PAGES) * PS),
      ]).toEqual([OK, OK]);
      expect(vm.kvm.setMemoryAttributes({ address: GPA, size: PS, attributes: PRIVATE })).toBe(EBADF);
    });

    it('private address 0, before there is any slot: a store is a MEMORY_FAULT, too', async () => {
      const empty = await of({ ...SNP, ram: [] });
      empty.kvm.setMemoryAttributes({ address: 0n, size: PS, attributes: PRIVATE });
      expect(fault(empty.guest.store(0, 1, 1))).toMatchObject({ reason: 'MEMORY_FAULT', gpa: 0n, flags: 8n });
    });

    it('closed: MEMORY_FAULT, private, and the slot can be deleted', () => {
      vm.kvm.setMemoryAttributes({ address: GPA, size: PS, attributes: PRIVATE });
      fill(0x5a);
      vm.vmm.close(fd);
      expect(fault(vm.guest.load(GPA, 1))).toMatchObject({ reason: 'MEMORY_FAULT', flags: 8n });
      expect(guestByte(1n)).toBe(0n); // its shared half has nothing to do with the file
      expect(vm.kvm.memslots().find(({ id }) => id === 10)).toMatchObject({ guestMemfd: 'closed' });
      expect(
        vm.kvm.setUserMemoryRegion2({
          slot: 10,
          flags: 0,
          guestPhysAddr: 0,
          memorySize: 0,
          userspaceAddr: 0,
        }),
      ).toBe(OK);
      expect(vm.host.check()).toEqual([]);
    });

    it('an access of the other kind than the page: MEMORY_FAULT with the kind that the guest wants, and a repair', () => {
      expect(fault(vm.guest.store(GPA, 1, 7, { as: 'private' }))).toMatchObject({
        reason: 'MEMORY_FAULT',
        flags: 8n,
        gpa: GPA,
      });
      const exit = fault(vm.guest.load(GPA, 1, { as: 'private' }));
      if (exit?.reason !== 'MEMORY_FAULT') throw new Error(exit?.reason);
      expect(handleMemoryFault(vm, exit)).toBe(OK);
      expect(vm.guest.store(GPA, 1, 7, { as: 'private' })).toMatchObject({ ok: true });
      expect(fault(vm.guest.load(GPA, 1, { as: 'shared' }))).toMatchObject({
        reason: 'MEMORY_FAULT',
        flags: 0n,
      });
      // No slot, and shared: as ever.
      expect(vm.guest.load(0xd000_0000, 1, { as: 'shared' })).toMatchObject({ exits: [{ reason: 'MMIO' }] });
      expect(fault(vm.guest.load(0xd000_0000, 1, { as: 'private' }))).toMatchObject({
        reason: 'MEMORY_FAULT',
        flags: 8n,
      });
      // Over a border into a page of the other kind.
      expect(fault(vm.guest.load(GPA + PS - 2n, 4, { as: 'private' }))).toMatchObject({
        gpa: GPA + PS,
        flags: 8n,
      });
    });

    it.each<[string, Parameters<Vm['kvm']['setMemoryAttributes']>[0], Errno]>([
      ['flags', { address: GPA, size: PS, attributes: PRIVATE, flags: 1 }, EINVAL],
      ['another attribute', { address: GPA, size: PS, attributes: 1 }, EINVAL],
      ['size 0', { address: GPA, size: 0, attributes: PRIVATE }, EINVAL],
      ['wraps', { address: 0xffff_ffff_ffff_f000n, size: 2n * PS, attributes: PRIVATE }, EINVAL],
      ['address inside a page', { address: GPA + 1n, size: PS, attributes: PRIVATE }, EINVAL],
      ['size inside a page', { address: GPA, size: 100, attributes: PRIVATE }, EINVAL],
      ['no slot there', { address: 0x9000_0000n, size: PS, attributes: PRIVATE }, OK],
    ])('attributes: %s', (_row, o, errno) => {
      expect(vm.kvm.setMemoryAttributes(o)).toBe(errno);
      expect(vm.host.check()).toEqual([]);
    });

    it('attributes: what is so already zaps nothing; what is not zaps just the other kind; ENOTTY without private memory', async () => {
      vm.guest.touch({ gpa: GPA, len: 4 * PAGE, write: true });
      const zapped = (): number => vm.observe.counters()['slat.zapped'] ?? 0;
      const before = zapped();
      vm.kvm.setMemoryAttributes({ address: GPA, size: 4n * PS, attributes: 0 });
      expect(zapped()).toBe(before);
      vm.kvm.setMemoryAttributes({ address: GPA, size: 2n * PS, attributes: PRIVATE });
      expect(zapped()).toBe(before + 2);
      vm.guest.touch({ gpa: GPA, len: 2 * PAGE, write: true });
      vm.kvm.setMemoryAttributes({ address: GPA, size: 4n * PS, attributes: PRIVATE });
      expect(zapped()).toBe(before + 4);
      const plain = await of({});
      expect(plain.kvm.setMemoryAttributes({ address: GPA, size: PS, attributes: PRIVATE })).toBe(ENOTTY);
    });

    it.each([
      ['from user code', { gpa: GPA, pages: 1, toPrivate: true, cpl: 3 }, -1n],
      ['inside a page', { gpa: GPA + 1n, pages: 1, toPrivate: true }, -22n],
      ['no pages', { gpa: GPA, pages: 0, toPrivate: true }, -22n],
      ['wraps', { gpa: 0xffff_ffff_ffff_f000n, pages: 2, toPrivate: true }, -22n],
    ])('the hypercall %s: no exit', (_row, call, ret) => {
      expect(vm.guest.mapGpaRange(call)).toEqual({ ret });
      vm.kvm.enableCap(201, 0);
      expect(vm.guest.mapGpaRange({ gpa: GPA, pages: 1, toPrivate: true })).toEqual({ ret: -1000n });
    });

    it('GM-P24: mixed frames, as the example goes', async () => {
      const big = await machine(build, { memory: MIB, pool: 8 * MIB, ...SNP });
      const size = (1n << 30n) + (2n << 20n);
      const huge = file(big, size);
      const region = {
        slot: 9,
        flags: GMEM,
        guestPhysAddr: GPA,
        memorySize: size,
        userspaceAddr: GPA,
        guestMemfd: huge,
      };
      expect(big.kvm.setUserMemoryRegion2(region)).toBe(OK);
      const [k4, m2, m512, g1] = [PS, 2n << 20n, 512n << 20n, 1n << 30n];
      const mixed = (): boolean[] => [
        big.kvm.isMixed(GPA, 2 ** 21),
        big.kvm.isMixed(GPA + m512, 2 ** 21),
        big.kvm.isMixed(GPA, 2 ** 30),
      ];
      const set = (from: bigint, to: bigint, attributes: number): boolean[] => {
        expect(big.kvm.setMemoryAttributes({ address: GPA + from, size: to - from, attributes })).toBe(OK);
        return mixed();
      };
      expect(set(0n, k4, PRIVATE)).toEqual([true, false, true]);
      expect(set(k4, m2, PRIVATE)).toEqual([false, false, true]);
      expect(set(m2, g1, PRIVATE)).toEqual([false, false, false]);
      expect(set(m512, m512 + k4, 0)).toEqual([false, true, true]);
      expect(set(m512, m512 + k4, PRIVATE)).toEqual([false, false, false]);
      expect(big.host.check()).toEqual([]);
    });

    it('a huge leaf of shared memory does not reach over private pages', async () => {
      await start(SNP, 'thp');
      vm.vmm.fillPage(hva, 1);
      const level = (): number | undefined => {
        vm.guest.load(GPA + 0x1000n, 1);
        return vm.observe.walk(GPA + 0x1000n).entries.at(-1)?.level;
      };
      expect(level()).toBe(2);
      vm.kvm.setMemoryAttributes({ address: GPA + 0x5000n, size: PS, attributes: PRIVATE });
      expect(level()).toBe(1);
      expect(vm.host.check()).toEqual([]);
      vm.kvm.setMemoryAttributes({ address: GPA + 0x5000n, size: PS, attributes: 0 });
      vm.vmm.madvise(hva + 0x1000n, PS, 'cold');
      vm.kvm.setUserMemoryRegion2({
        slot: 10,
        flags: GMEM,
        guestPhysAddr: GPA,
        memorySize: 0,
        userspaceAddr: 0,
      });
      expect(vm.host.check()).toEqual([]);
    });

    describe('converted in place (profile D)', () => {
      beforeEach(() => start({ vmType: 1, gmemProfile: 'D' }));
      const convert = (
        page: bigint,
        pages: bigint,
        attributes: number,
        flags = 0,
      ): ReturnType<Vm['kvm']['setMemoryAttributes2']> =>
        vm.kvm.setMemoryAttributes2({ fd, offset: page * PS, size: pages * PS, attributes, flags });

      it('one page for both: the bytes stay, the VMM is shut out, and let in again', () => {
        vm.vmm.fillPage(hva, 0x5a);
        expect(guestByte(0n)).toBe(0x5an);
        const used = vm.host.frames().used;
        expect(convert(0n, 1n, PRIVATE, 2)).toEqual({ errno: OK, errorOffset: 0n });
        expect([guestByte(0n), hostByte(0n), hostByte(1n)]).toEqual([0x5an, 'SIGBUS', 0]);
        expect(vm.host.frames().used).toBe(used + 1); // page 1, just read
        expect(fault(vm.guest.load(GPA, 1, { as: 'shared' }))).toMatchObject({
          reason: 'MEMORY_FAULT',
          flags: 0n,
        });
        expect(convert(0n, 1n, 0, 2).errno).toBe(OK);
        expect([guestByte(0n), hostByte(0n)]).toEqual([0x5an, 0x5a]);
        expect(vm.host.check()).toEqual([]);
      });

      it('with zeros: nobody sees what was there', () => {
        vm.vmm.fillPage(hva, 0x5a);
        expect(convert(0n, 1n, PRIVATE, 1).errno).toBe(OK);
        expect(guestByte(0n)).toBe(0n);
        vm.guest.fill({ gpa: GPA, len: PAGE, byte: 0x77 });
        expect(convert(0n, 1n, 0, 1).errno).toBe(OK);
        expect([guestByte(0n), hostByte(0n)]).toEqual([0n, 0]);
      });

      it('an elevated reference count: EAGAIN, the first such page is told, nothing is converted; without it, it works', () => {
        for (let page = 0n; page < 8n; page++) vm.vmm.fillPage(hva + page * PS, 0x10 + Number(page));
        expect([vm.vmm.pin(hva + 3n * PS, 2n * PS), vm.vmm.pin(hva + 4n * PS, PS)]).toEqual([OK, OK]);
        expect(convert(0n, 8n, PRIVATE)).toEqual({ errno: EAGAIN, errorOffset: 3n * PS });
        expect([vm.kvm.isPrivate(GPA), hostByte(0n), guestByte(7n)]).toEqual([false, 0x10, 0x17n]);
        expect(vm.vmm.unpin(hva + 3n * PS, 2n * PS)).toBe(OK);
        expect(convert(0n, 8n, PRIVATE)).toEqual({ errno: EAGAIN, errorOffset: 4n * PS });
        expect([vm.vmm.unpin(hva + 4n * PS, PS), vm.vmm.unpin(hva + 4n * PS, PS)]).toEqual([OK, EINVAL]);
        expect(convert(0n, 8n, PRIVATE)).toEqual({ errno: OK, errorOffset: 0n });
        expect([vm.kvm.isPrivate(GPA), guestByte(7n)]).toEqual([true, 0x17n]);
        // To shared nobody's references matter, and pins of private pages cannot be had.
        expect(vm.vmm.pin(hva, PS)).toBe(Errno.EFAULT);
        expect(convert(0n, 8n, 0).errno).toBe(OK);
        expect(vm.host.check()).toEqual([]);
      });

      it.each([
        ['beyond the file', 510n, 4n, PRIVATE, 0],
        ['no pages', 0n, 0n, PRIVATE, 0],
        ['another attribute', 0n, 1n, 4, 0],
        ['another mode', 0n, 1n, PRIVATE, 3],
      ])('refused: %s', (_row, page, pages, attributes, flags) => {
        expect(convert(page, pages, attributes, flags)).toEqual({ errno: EINVAL, errorOffset: 0n });
        expect(vm.kvm.setMemoryAttributes({ address: GPA, size: PS, attributes: PRIVATE })).toBe(ENOTTY);
        expect(vm.kvm.setMemoryAttributes2({ fd: 99, offset: 0, size: PS, attributes: 0 }).errno).toBe(EBADF);
      });
    });
  });

  it('GM-P23: 64 MiB of private memory count in no mapping of the process', async () => {
    const vm = await machine(build, { memory: MIB, pool: 128 * MIB, ...SNP });
    const fd = file(vm, 64 * MIB);
    const sample = (): number[] => [
      vm.host.frames().used,
      vm.observe.counters()['host.rss'] ?? -1,
      vm.observe.counters()['memory.current'] ?? -1,
    ];
    const before = sample();
    expect(vm.vmm.fallocate(fd, KEEP, 0n, 64n << 20n)).toBe(OK);
    expect(sample()).toEqual([16384, 0, 64 * MIB]);
    expect(vm.vmm.fallocate(fd, PUNCH, 0n, 64n << 20n)).toBe(OK);
    expect(sample()).toEqual(before);
  });
});
