// Making hosts and VMs: the only place that knows all rooms. Called by the host language with checked numbers.
import {
  DYNAMIC, HOST, HOST_ARENA, HOST_END, HOST_EVENTS_ON, HOST_FILES, HOST_FRAMES, HOST_NEXT_ANON_VMA, HOST_SHARED, HOST_SWAP, HOST_TABLES,
  HOST_VM_COUNT, LOCK_COUNT, TABLE_SIZE, VCPU_MAX, VM_BAR0, VM_BASE, VM_CPUS, VM_DEV_ABI, VM_DIR, VM_DIR_LEN, VM_HUGETLB_PAGES, VM_ID,
  VM_LOCK_BITS, VM_LOCK_FIRST, VM_LOCK_MASK, VM_MAX, VM_MAX_MAPS, VM_MEMLOCK, VM_MMIO_GFN, VM_NAMES, VM_OTHER_MAPS, VM_RECORD_END, VM_ROOT, VM_SIZE,
  VM_GFN_MAX, VM_GMEM_PROFILE, VM_PML, VM_RAM, VM_SLOT_COUNT, VM_TABLES_STAY, VM_TYPE, VPN_BASE,
} from './base/layout';
import { Errno } from './abi/errno';
import { FileKind } from './abi/file';
import { deviceInit } from './device/pvmemcontrol/state';
import { arenaGet, arenaGetContiguous, arenaPutContiguous } from './frames/arena';
import { SHARED_SIZE } from './frames/shared';
import { GIGANTIC, giganticInit } from './frames/gigantic';
import { nodesInit } from './frames/node';
import { GROUP, poolFresh, poolInit, poolStackBytes } from './frames/pool';
import { setMemoryRegion } from './kvm/region';
import { min } from './base/math';
import { ramAppend } from './memslot/ram';
import { slotsExit, slotsInit } from './memslot/table';
import { VM_HUGEPAGE, VM_HUGETLB, VM_SHARED, VMA_FILE, VMA_GIGANTIC } from './abi/vm-flags';
import { chargeInit } from './mm/charge';
import { fileCreate, fileDelete, fileEnd, fileOwner, fileRoom } from './mm/file';
import { map } from './mm/mmap';
import { dirPages } from './mm/space';
import { vmaExit, vmaInit } from './mm/vma';
import { slatInit } from './slat/map';
import { vcpuInit } from './vcpu/run';

// @ts-ignore: decorator
@inline
function pageUp(n: usize): usize {
  return (n + 4095) & ~(<usize>4095);
}

/** Bytes of linear memory that a host with these numbers of pages, of hugetlb pages of 1 GiB, and of memory nodes, needs. */
export function hostBytes(frames: u32, arena: u32, swap: u32, gigantic: u32, nodes: u32): f64 {
  const end = <f64>firstFrame(frames, arena, swap, nodes) + <f64>frames + <f64>swap;
  if (gigantic == 0) return end * 4096;
  // One page more: the address behind the last page of 1 GiB is not that of 4 GiB, which would be 0.
  return ((Math.ceil(end / GIGANTIC) + gigantic) * GIGANTIC + 1) * 4096;
}

/** Metadata pages of a VM besides its directory, with some to live on. */
const FIRST_PAGES: u32 = 128;

/** Records of SLAT tables lie behind `stacks` bytes of free stacks, at the next cache line. */
// @ts-ignore: decorator
@inline
function tablesAt(stacks: usize): usize {
  return (DYNAMIC + stacks + TABLE_SIZE - 1) & ~(TABLE_SIZE - 1);
}

function firstPage(frames: u32, arena: u32, swap: u32, nodes: u32): u32 {
  const stacks = poolStackBytes(frames) + poolStackBytes(arena) + poolStackBytes(swap);
  return <u32>(pageUp(tablesAt(stacks) + <usize>arena * TABLE_SIZE + <usize>frames * (SHARED_SIZE + (nodes > 1 ? 1 : 0))) >> 12);
}

/** Frames begin at a multiple of 2 MiB, so that a group of them is what a huge entry of the SLAT can map. */
function firstFrame(frames: u32, arena: u32, swap: u32, nodes: u32): u32 {
  return (firstPage(frames, arena, swap, nodes) + arena + GROUP - 1) & ~(GROUP - 1);
}

/** Lay out an empty host. Linear memory is at least hostBytes long and fresh (all zero). */
export function hostInit(frames: u32, arena: u32, swap: u32, gigantic: u32, nodes: u32, events: bool): void {
  memory.fill(HOST, 0, HOST_END - HOST);
  let at = DYNAMIC;
  const first = firstPage(frames, arena, swap, nodes);
  const frame = firstFrame(frames, arena, swap, nodes);
  poolInit(HOST_FRAMES, frame, frames, at);
  at += poolStackBytes(frames);
  poolInit(HOST_ARENA, first, arena, at);
  at += poolStackBytes(arena);
  poolInit(HOST_SWAP, frame + frames, swap, at);
  at += poolStackBytes(swap);
  giganticInit(gigantic == 0 ? u32.MAX_VALUE : (frame + frames + swap + GIGANTIC - 1) & ~(GIGANTIC - 1), gigantic);
  store<u32>(HOST_TABLES, <u32>tablesAt(at - DYNAMIC));
  store<u32>(HOST_SHARED, <u32>(tablesAt(at - DYNAMIC) + <usize>arena * TABLE_SIZE));
  if (nodes > 1) nodesInit(<usize>load<u32>(HOST_SHARED) + <usize>frames * SHARED_SIZE, nodes);
  store<u32>(HOST_NEXT_ANON_VMA, 1);
  store<u32>(HOST_EVENTS_ON, events ? 1 : 0);
}

/**
 * A VM without RAM. Returns its record, 0 when there are too many VMs or the arena is empty.
 * `pages`: host-virtual pages its mappings will take up from VPN_BASE on.
 */
export function vmCreate(pages: u64, cpus: u32, names: bool, maxMaps: u32, otherMaps: u32, memlock: u64, abi: u32, bar0: u64): usize {
  const id = load<u32>(HOST_VM_COUNT);
  if (id >= VM_MAX || cpus == 0 || cpus > VCPU_MAX) return 0;
  const vm = VM_BASE + <usize>id * VM_SIZE;
  memory.fill(vm, 0, VM_RECORD_END);
  const gibs = <u32>((pages + ((1 << 18) - 1)) >> 18);
  // All or nothing: directory, slots, VMA index, SLAT root, and behind them enough for VMAs and tables to begin with.
  if (poolFresh(HOST_ARENA) < dirPages(gibs) + FIRST_PAGES) return 0;
  store<u32>(vm, id, VM_ID);
  store<u32>(vm, gibs, VM_DIR_LEN);
  store<u32>(vm, <u32>arenaGetContiguous(dirPages(gibs)), VM_DIR);
  store<u32>(vm, <u32>arenaGet(), VM_RAM);
  store<u32>(vm, cpus, VM_CPUS);
  store<u32>(vm, names ? 1 : 0, VM_NAMES);
  store<u32>(vm, maxMaps, VM_MAX_MAPS);
  store<u32>(vm, otherMaps, VM_OTHER_MAPS);
  store<u64>(vm, memlock, VM_MEMLOCK);
  store<u32>(vm, abi, VM_DEV_ABI);
  store<u64>(vm, bar0, VM_BAR0);
  store<u64>(vm, u64.MAX_VALUE, VM_MMIO_GFN);
  chargeInit(vm);
  if (load<u32>(vm, VM_DIR) == 0 || load<u32>(vm, VM_RAM) == 0 || !slotsInit(vm) || !vmaInit(vm) || !slatInit(vm)) {
    pagesPut(vm);
    return 0;
  }
  store<u32>(vm, (id & 3) << 9, VM_LOCK_FIRST);
  store<u32>(vm, LOCK_COUNT - 1, VM_LOCK_BITS);
  store<u32>(vm, LOCK_COUNT - 1, VM_LOCK_MASK);
  deviceInit(vm);
  for (let cpu: u32 = 0; cpu < cpus; cpu++) vcpuInit(vm, cpu);
  store<u32>(HOST_VM_COUNT, id + 1);
  return vm;
}

/**
 * Map a RAM region: `pages` at VPN_BASE + offset, and the slot for it at gfn, or slots, of a size that KVM takes. What it maps is told by its flags: with
 * VMA_FILE a new memfd (private hugetlb memory has none that counts), else anonymous memory.
 */
export function vmAddRam(vm: usize, gfn: u64, pages: u64, offset: u64, flags: u32): Errno {
  const vpn = VPN_BASE + offset;
  if (!ramAppend(vm, gfn, pages, vpn)) return Errno.EINVAL;
  for (let done: u64 = 0; done < pages; done += SLOT_PAGES) {
    const bytes = min(pages - done, SLOT_PAGES) << 12;
    const errno = setMemoryRegion(vm, false, load<u32>(vm, VM_SLOT_COUNT), 0, (gfn + done) << 12, bytes, (vpn + done) << 12, 0, 0);
    if (errno != Errno.OK) return errno;
  }
  if ((flags & VM_HUGEPAGE) != 0) store<u32>(vm, 1, VM_TABLES_STAY);
  if ((flags & VM_HUGETLB) != 0) store<u32>(vm, (flags & VMA_GIGANTIC) != 0 ? GIGANTIC : GROUP, VM_HUGETLB_PAGES);
  let file: usize = 0;
  if ((flags & VMA_FILE) != 0 && (flags & (VM_HUGETLB | VM_SHARED)) != VM_HUGETLB) {
    file = fileCreate(vm, (flags & VM_HUGETLB) != 0 ? FileKind.Hugetlb : FileKind.Memfd, 0, pages << 12, vpn);
    if (file == 0 || !fileRoom(file, fileEnd(file))) return Errno.ENOMEM;
  }
  return map(vm, vpn, pages, flags, file);
}

/** 4 TiB: a multiple of all page sizes below KVM_MEM_MAX_NR_PAGES. */
const SLOT_PAGES: u64 = 1 << 30;

/** Take back the VM made last, which nobody has used yet: there was no room for all of its RAM regions. */
export function vmUndo(vm: usize): void {
  // Its files are those made last.
  for (let file: usize = load<u32>(HOST_FILES); file != 0 && fileOwner(file) == vm; file = load<u32>(HOST_FILES)) fileDelete(file);
  pagesPut(vm);
  store<u32>(HOST_VM_COUNT, load<u32>(vm, VM_ID));
}

/** The metadata pages of a VM without page state, as far as it has them. */
function pagesPut(vm: usize): void {
  arenaPutContiguous(load<u32>(vm, VM_DIR), dirPages(load<u32>(vm, VM_DIR_LEN)));
  arenaPutContiguous(load<u32>(vm, VM_RAM), 1);
  slotsExit(vm);
  arenaPutContiguous(load<u32>(vm, VM_ROOT), 1);
  vmaExit(vm);
}

/** What KVM is asked for when it makes the VM: where guest-physical addresses end, abi/kvm.ts VmType and GmemProfile, and whether dirty logs use page-modification logging. */
export function vmSetKvm(vm: usize, gfns: u64, type: u32, profile: u32, pml: bool): void {
  store<u64>(vm, gfns, VM_GFN_MAX);
  store<u32>(vm, type, VM_TYPE);
  store<u32>(vm, profile, VM_GMEM_PROFILE);
  store<u32>(vm, pml ? 1 : 0, VM_PML);
}

/** The register window moves. */
export function vmSetBar0(vm: usize, gpa: u64): void {
  store<u64>(vm, gpa, VM_BAR0);
}
