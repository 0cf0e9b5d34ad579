// Making hosts and VMs: the only place that knows all rooms. Called by the host language with checked numbers.
import {
  DYNAMIC, HOST, HOST_ARENA, HOST_END, HOST_EVENTS_ON, HOST_FILES, HOST_FRAMES, HOST_NEXT_ANON_VMA, HOST_SHARED, HOST_SWAP, HOST_TABLES,
  HOST_VM_COUNT, LOCK_COUNT, TABLE_SIZE, VCPU_MAX, VM_BAR0, VM_BASE, VM_CPUS, VM_DEV_ABI, VM_DIR, VM_DIR_LEN, VM_HUGETLB_PAGES, VM_ID,
  VM_LOCK_FIRST, VM_LOCK_MASK, VM_MAX, VM_MAX_MAPS, VM_MEMLOCK, VM_NAMES, VM_OTHER_MAPS, VM_RECORD_END, VM_ROOT, VM_SIZE,
  VM_SLOT_COUNT, VM_SLOTS, VM_TABLES_STAY, VPN_BASE,
} from './base/layout';
import { Errno } from './abi/errno';
import { FileKind } from './abi/file';
import { deviceInit } from './device/pvmemcontrol/state';
import { arenaGet, arenaGetContiguous, arenaPutContiguous } from './frames/arena';
import { SHARED_SIZE } from './frames/shared';
import { GIGANTIC, giganticInit } from './frames/gigantic';
import { GROUP, poolFresh, poolInit, poolStackBytes } from './frames/pool';
import { SLOT_END, SLOT_SIZE, slotAppend } from './memslot/table';
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

/** Bytes of linear memory that a host with these numbers of pages, and of hugetlb pages of 1 GiB, needs. */
export function hostBytes(frames: u32, arena: u32, swap: u32, gigantic: u32): f64 {
  const end = <f64>firstFrame(frames, arena, swap) + <f64>frames + <f64>swap;
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

function firstPage(frames: u32, arena: u32, swap: u32): u32 {
  const stacks = poolStackBytes(frames) + poolStackBytes(arena) + poolStackBytes(swap);
  return <u32>(pageUp(tablesAt(stacks) + <usize>arena * TABLE_SIZE + <usize>frames * SHARED_SIZE) >> 12);
}

/** Frames begin at a multiple of 2 MiB, so that a group of them is what a huge entry of the SLAT can map. */
function firstFrame(frames: u32, arena: u32, swap: u32): u32 {
  return (firstPage(frames, arena, swap) + arena + GROUP - 1) & ~(GROUP - 1);
}

/** Lay out an empty host. Linear memory is at least hostBytes long and fresh (all zero). */
export function hostInit(frames: u32, arena: u32, swap: u32, gigantic: u32, events: bool): void {
  memory.fill(HOST, 0, HOST_END - HOST);
  let at = DYNAMIC;
  const first = firstPage(frames, arena, swap);
  const frame = firstFrame(frames, arena, swap);
  poolInit(HOST_FRAMES, frame, frames, at);
  at += poolStackBytes(frames);
  poolInit(HOST_ARENA, first, arena, at);
  at += poolStackBytes(arena);
  poolInit(HOST_SWAP, frame + frames, swap, at);
  at += poolStackBytes(swap);
  giganticInit(gigantic == 0 ? u32.MAX_VALUE : (frame + frames + swap + GIGANTIC - 1) & ~(GIGANTIC - 1), gigantic);
  store<u32>(HOST_TABLES, <u32>tablesAt(at - DYNAMIC));
  store<u32>(HOST_SHARED, <u32>(tablesAt(at - DYNAMIC) + <usize>arena * TABLE_SIZE));
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
  store<u32>(vm, <u32>arenaGet(), VM_SLOTS);
  store<u32>(vm, cpus, VM_CPUS);
  store<u32>(vm, names ? 1 : 0, VM_NAMES);
  store<u32>(vm, maxMaps, VM_MAX_MAPS);
  store<u32>(vm, otherMaps, VM_OTHER_MAPS);
  store<u64>(vm, memlock, VM_MEMLOCK);
  store<u32>(vm, abi, VM_DEV_ABI);
  store<u64>(vm, bar0, VM_BAR0);
  chargeInit(vm);
  if (load<u32>(vm, VM_DIR) == 0 || load<u32>(vm, VM_SLOTS) == 0 || !vmaInit(vm) || !slatInit(vm)) {
    pagesPut(vm);
    return 0;
  }
  store<u32>(vm, (id & 3) << 9, VM_LOCK_FIRST);
  store<u32>(vm, LOCK_COUNT - 1, VM_LOCK_MASK);
  deviceInit(vm);
  for (let cpu: u32 = 0; cpu < cpus; cpu++) vcpuInit(vm, cpu);
  store<u32>(HOST_VM_COUNT, id + 1);
  return vm;
}

/**
 * Map a RAM region: `pages` at VPN_BASE + offset, and the slot for it at gfn. What it maps is told by its flags: with
 * VMA_FILE a new memfd (private hugetlb memory has none that counts), else anonymous memory.
 */
export function vmAddRam(vm: usize, gfn: u64, pages: u64, offset: u64, flags: u32): Errno {
  const vpn = VPN_BASE + offset;
  if (!slotAppend(vm, gfn, pages, vpn)) return Errno.EINVAL;
  // The slot before ends in the leaf table in which this one begins: chunks that share it share a lock.
  const n = load<u32>(vm, VM_SLOT_COUNT);
  const slot = <usize>load<u32>(vm, VM_SLOTS) + <usize>(n - 1) * SLOT_SIZE;
  if (n > 1 && load<u64>(slot - SLOT_SIZE, SLOT_END) > (gfn & ~(<u64>511))) store<u32>(vm, 511, VM_LOCK_MASK);
  if ((flags & VM_HUGEPAGE) != 0) store<u32>(vm, 1, VM_TABLES_STAY);
  if ((flags & VM_HUGETLB) != 0) store<u32>(vm, (flags & VMA_GIGANTIC) != 0 ? GIGANTIC : GROUP, VM_HUGETLB_PAGES);
  let file: usize = 0;
  if ((flags & VMA_FILE) != 0 && (flags & (VM_HUGETLB | VM_SHARED)) != VM_HUGETLB) {
    file = fileCreate(vm, (flags & VM_HUGETLB) != 0 ? FileKind.Hugetlb : FileKind.Memfd, 0, pages << 12, vpn);
    if (file == 0 || !fileRoom(file, fileEnd(file))) return Errno.ENOMEM;
  }
  return map(vm, vpn, pages, flags, file);
}

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
  arenaPutContiguous(load<u32>(vm, VM_SLOTS), 1);
  arenaPutContiguous(load<u32>(vm, VM_ROOT), 1);
  vmaExit(vm);
}

/** The register window moves. */
export function vmSetBar0(vm: usize, gpa: u64): void {
  store<u64>(vm, gpa, VM_BAR0);
}
