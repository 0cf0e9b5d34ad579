// SLAT entries in EPT format and the walk down to a leaf, of 4 KiB, 2 MiB or 1 GiB.
// Reference: Intel SDM vol. 3, EPT paging structures; linux arch/x86/kvm/mmu/spte.h (software bits).
//
// ╒═ table entry ═════════════════════════════════════════════════════════════════════╕
// │ 63…52 ign. │ 51…12 next table │ 11 MMU present (KVM) │ 8 A │ 7…3 zero │ 2 X │ 1 W │ 0 R │
// ╞═ leaf entry: 4 KiB at level 1; 2 MiB at level 2, 1 GiB at level 3, with bit 7 set ═╡
// │ 63 #VE │ 58 MMU-writable, 57 host-writable (KVM) │ 52 1 GiB (ours) │ 51…12 pfn │ 11 MMU present (KVM) │
// │ 9 D │ 8 A │ 7 huge │ 6 IPAT │ 5…3 MT │ 2 X │ 1 W │ 0 R │
// ╘═══════════════════════════════════════════════════════════════════════════════════╛
// An entry is absent when bits 2…0 are zero. hpa = address in linear memory, so every table lies below 4 GiB.
import { SyncPoint } from '../abi/sync';
import { HOST_ARENA, HOST_TABLES, TABLE_SIZE, VM_HUGE_AT, VM_HUGE_TAG, VM_PSC_TABLE, VM_PSC_TAG, VM_ROOT } from '../base/layout';
import { local, self, selfVm, sync, THREADS, threaded } from '../base/thread';
import { RUN_CPU } from '../abi/status';
import { GIGANTIC } from '../frames/gigantic';
import { GROUP, poolBase } from '../frames/pool';

export const EPT_R: u64 = 1;
export const EPT_W: u64 = 2;
export const EPT_X: u64 = 4;
export const EPT_RWX: u64 = 7;
/**
 * Accessed and dirty. KVM makes entries accessed, and leaves that may be written dirty, so a processor has nothing to set;
 * but D is taken away where page-modification logging is to see the next write.
 */
export const EPT_A: u64 = 1 << 8;
export const EPT_D: u64 = 1 << 9;
/** What a write needs, or it is a violation, or has to set D first. */
export const EPT_WRITE: u64 = EPT_W | EPT_D;
/** Memory type write-back and ignore-PAT, as KVM maps RAM without assigned devices. */
export const EPT_LEAF: u64 = (6 << 3) | (1 << 6) | (1 << 11) | EPT_A | EPT_R | EPT_X;
export const EPT_LEAF_W: u64 = EPT_LEAF | EPT_WRITE | (1 << 57) | (1 << 58);
/** A leaf above level 1. */
export const EPT_HUGE: u64 = 1 << 7;
/** It is of level 3. Ours, in a bit that processors ignore: who has only the entry knows how much it maps. */
export const EPT_1G: u64 = 1 << 52;
export const EPT_TABLE: u64 = EPT_RWX | EPT_A | (1 << 11);
/** EPTP: write-back tables, walk length 4, accessed and dirty flags. */
export const EPTP_BITS: u64 = 6 | (3 << 3) | (1 << 6);

// @ts-ignore: decorator
@inline
export function entryTable(entry: u64): usize {
  return <usize>(<u32>entry & 0xfffff000);
}

// @ts-ignore: decorator
@inline
export function entryPage(entry: u64): u32 {
  return <u32>entry >> 12;
}

// ╒═ record of a table, 64 bytes ═╕
// │ 0 users u32 │ 4 count u16     │
// ╘═══════════════════════════════╛

/** Whether the entry, found above level 1, leads to a table. */
// @ts-ignore: decorator
@inline
export function isTable(entry: u64): bool {
  return (entry & EPT_RWX) != 0 && (entry & EPT_HUGE) == 0;
}

/** Address of the mask of vCPU threads that may use leaf entries of a table: bit n, vCPU n. */
// @ts-ignore: decorator
@inline
export function tableUsers(table: usize): usize {
  return <usize>load<u32>(HOST_TABLES) + ((table >> 12) - poolBase(HOST_ARENA)) * TABLE_SIZE;
}

/** Address of the count (u16) of present entries of a table. */
// @ts-ignore: decorator
@inline
export function tableCount(table: usize): usize {
  return tableUsers(table) + 4;
}

/**
 * The leaf table that covers gfn, 0 when a level above it is absent or a huge leaf stands in its place.
 * gfn splits into level 4 (35…27), level 3 (26…18), level 2 (17…9), level 1 (8…0); gfn < 2^36.
 */
// @ts-ignore: decorator
@inline
export function leafTable(vm: usize, gfn: u64): usize {
  const l = local(vm);
  if (pscTag(l) == gfn >> 9) return load<u32>(l, VM_PSC_TABLE);
  return walkTables(vm, gfn);
}

/** What the paging-structure cache knows. Others take it away (tableForget), so threads read it with order. */
// @ts-ignore: decorator
@inline
function pscTag(l: usize): u64 {
  if (THREADS) return atomic.load<u64>(l, VM_PSC_TAG);
  return load<u64>(l, VM_PSC_TAG);
}

/** Address of the level-2 entry that covers gfn, or of the 1 GiB leaf above it; 0 when a level above it is absent. */
export function level2Entry(vm: usize, gfn: u64): usize {
  let e = load<u64>(<usize>load<u32>(vm, VM_ROOT) + (<usize>((gfn >> 27) & 511) << 3));
  if ((e & EPT_RWX) == 0) return 0;
  const p = entryTable(e) + (<usize>((gfn >> 18) & 511) << 3);
  e = load<u64>(p);
  if ((e & EPT_RWX) == 0) return 0;
  return (e & EPT_HUGE) != 0 ? p : entryTable(e) + (<usize>((gfn >> 9) & 511) << 3);
}

function walkTables(vm: usize, gfn: u64): usize {
  let e: u64;
  let p: usize;
  do {
    p = level2Entry(vm, gfn);
    if (p == 0) return 0;
    e = load<u64>(p);
    if (!isTable(e)) return 0;
  } while (!remember(vm, gfn, entryTable(e), p, e));
  return entryTable(e);
}

/**
 * The leaf table goes into the paging-structure cache. False: entry e at p, which led to it, has just changed.
 * A thread says first that it uses the table, then looks whether it is still there: who frees a table takes it out of
 * the tree first and looks at its users then (tableForget), so one of the two sees the other.
 */
// @ts-ignore: decorator
@inline
function remember(vm: usize, gfn: u64, table: usize, p: usize, e: u64): bool {
  if (threaded()) return rememberShared(vm, gfn, table, p, e);
  store<u64>(vm, gfn >> 9, VM_PSC_TAG);
  store<u32>(vm, <u32>table, VM_PSC_TABLE);
  return true;
}

function rememberShared(vm: usize, gfn: u64, table: usize, p: usize, e: u64): bool {
  if (THREADS) {
    // Reclaim at work on another VM: it holds the chunk's lock, and remembers nothing.
    if (vm != selfVm) return true;
    const l = local(vm);
    use(table);
    store<u32>(l, <u32>table, VM_PSC_TABLE);
    atomic.store<u64>(l, gfn >> 9, VM_PSC_TAG);
    sync(SyncPoint.Look, p);
    if (atomic.load<u64>(p) == e) return true;
    atomic.store<u64>(l, u64.MAX_VALUE, VM_PSC_TAG);
  }
  return false;
}

/** This thread's vCPU may use leaf entries of `table` from now on. */
function use(table: usize): void {
  if (THREADS) {
    const users = tableUsers(table);
    const bit: u32 = 1 << load<u32>(self, RUN_CPU);
    if ((atomic.load<u32>(users) & bit) == 0) atomic.or<u32>(users, bit);
  }
}

/** The same for the huge leaf e at p: what is remembered is where it stands, for 2 MiB around gfn, and it is looked at each time. */
// @ts-ignore: decorator
@inline
function rememberHuge(vm: usize, gfn: u64, p: usize, e: u64): bool {
  if (threaded()) return rememberHugeShared(vm, gfn, p, e);
  store<u64>(vm, gfn >> 9, VM_HUGE_TAG);
  store<u32>(vm, <u32>p, VM_HUGE_AT);
  return true;
}

function rememberHugeShared(vm: usize, gfn: u64, p: usize, e: u64): bool {
  if (THREADS) {
    if (vm != selfVm) return true;
    // Its table is of level 2 or 3, and those stay while threads run: nobody takes the tag away.
    use(p & ~(<usize>4095));
    store<u64>(local(vm), gfn >> 9, VM_HUGE_TAG);
    store<u32>(local(vm), <u32>p, VM_HUGE_AT);
    sync(SyncPoint.Look, p);
    return atomic.load<u64>(p) == e;
  }
  return false;
}

/**
 * The leaf entry of gfn, 0 when absent. Inside a huge leaf it is that leaf's, with the frame of gfn itself and EPT_HUGE.
 * The caller has checked gfn < 2^36.
 */
// @ts-ignore: decorator
@inline
export function leafEntry(vm: usize, gfn: u64): u64 {
  const l = local(vm);
  if (pscTag(l) == gfn >> 9) return load<u64>(<usize>load<u32>(l, VM_PSC_TABLE) + (<usize>(gfn & 511) << 3));
  return walkLeaf(vm, l, gfn);
}

function walkLeaf(vm: usize, l: usize, gfn: u64): u64 {
  if (load<u64>(l, VM_HUGE_TAG) == gfn >> 9) {
    const e = load<u64>(load<u32>(l, VM_HUGE_AT));
    if ((e & EPT_HUGE) != 0) return inHuge(e, gfn);
  }
  let e: u64;
  let p: usize;
  do {
    p = level2Entry(vm, gfn);
    if (p == 0) return 0;
    e = load<u64>(p);
    if ((e & EPT_RWX) == 0) return 0;
  } while ((e & EPT_HUGE) != 0 ? !rememberHuge(vm, gfn, p, e) : !remember(vm, gfn, entryTable(e), p, e));
  return (e & EPT_HUGE) != 0 ? inHuge(e, gfn) : load<u64>(entryTable(e) + (<usize>(gfn & 511) << 3));
}

/** The leaf of gfn's own page, of the huge leaf e around it. */
// @ts-ignore: decorator
@inline
function inHuge(e: u64, gfn: u64): u64 {
  return e + ((gfn & (((e & EPT_1G) != 0 ? GIGANTIC : GROUP) - 1)) << 12);
}

/** First gfn from `gfn` on whose level2Entry is present, at most `end`; absent tables above it are skipped whole. */
export function nextLevel2(vm: usize, gfn: u64, end: u64): u64 {
  while (gfn < end) {
    let e = load<u64>(<usize>load<u32>(vm, VM_ROOT) + (<usize>((gfn >> 27) & 511) << 3));
    if ((e & EPT_RWX) == 0) {
      gfn = ((gfn >> 27) + 1) << 27;
      continue;
    }
    e = load<u64>(entryTable(e) + (<usize>((gfn >> 18) & 511) << 3));
    if ((e & EPT_RWX) == 0) {
      gfn = ((gfn >> 18) + 1) << 18;
      continue;
    }
    if ((e & EPT_HUGE) != 0) break;
    const table = entryTable(e);
    let i = <usize>(gfn >> 9) & 511;
    while (i < 512 && (load<u64>(table + (i << 3)) & EPT_RWX) == 0) i++;
    const found = ((gfn >> 18) << 18) + ((<u64>i) << 9);
    if (found > gfn) gfn = found;
    if (i < 512) break;
  }
  return gfn < end ? gfn : end;
}

/** Guest-physical width of a 4-level walk: 48 bits. */
export const GFN_LIMIT: u64 = 1 << 36;
