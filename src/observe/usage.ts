// What the kernel's counters count, read from the engine: by pieces of the VMM's page table, of files, of the SLAT. In bytes.
// assembly/observe/usage.ts counts; src/account says whose each number is.
import type { FileKind } from '../../assembly/abi/file.ts';
import { Kpf } from '../../assembly/abi/page-flags.ts';
import { VM_SHARED, VMA_FILE } from '../../assembly/abi/vm-flags.ts';
import type { Hva } from '../address.ts';
import { PAGE_SIZE } from '../address.ts';
import type { Ptr } from '../core/exports.ts';
import {
  FILE_FIRST,
  FILE_KIND,
  FILE_NEXT,
  FILE_OWNER,
  FILE_SIZE,
  HOST_FILES,
  SCRATCH,
  SLOT_BASE,
  SLOT_END,
  SLOT_FILE,
  SLOT_FILE_PAGE,
  SLOT_VPN,
  USE_ANON,
  USE_ANON_HUGE,
  USE_CACHED,
  USE_ENTRIES,
  USE_HELD,
  USE_HUGETLB,
  USE_KSM,
  USE_KSM_SHARE,
  USE_LEAVES,
  USE_LOCKED,
  USE_MAPPED,
  USE_NODES,
  USE_NODES_HUGE,
  USE_NODES_MAPPED,
  USE_NODES_UNEVICTABLE,
  USE_SWAPPED,
  USE_UNEVICTABLE,
  VM_SLOT_COUNT,
  VMA_END,
  VMA_FLAGS,
  VMA_NAME,
  VMA_START,
} from '../core/layout.ts';
import type { Vm } from '../vm.ts';
import { readPageFlags } from './page-flags.ts';
import { readRuns } from './pagemap.ts';
import { fileName, recordOf } from './vmas.ts';

/** Page 0 of a file, and the first page that a VMM maps, have this number (VPN_BASE). */
const VPN_BASE = 1n << 32n;

/** [from, to), in bytes of an address space or of a file. */
export interface Span {
  readonly from: bigint;
  readonly to: bigint;
}
/** A piece of guest-physical memory with its slot: what is behind it in the VMM, and in the slot's guest_memfd. */
export interface SlotPiece {
  readonly gpa: bigint;
  readonly length: number;
  readonly hva: bigint;
  readonly file?: { readonly ptr: Ptr; readonly offset: number };
}
/** A VMA and the file that it maps, from byte `offset` on. */
export interface Mapping extends Span {
  readonly shared: boolean;
  readonly file?: { readonly ptr: Ptr; readonly offset: number };
}
interface UsedFile {
  readonly ptr: Ptr;
  readonly kind: FileKind;
  readonly name: string;
  readonly size: number;
}

/** Of a page table, besides pages of files. */
interface PageUsage {
  /** Mapped anonymous pages with one owner, and entries for pages of KSM. */
  readonly anon: number;
  readonly ksm: number;
  /** What those entries have as their share of the frames. */
  readonly ksmShare: number;
  readonly anonHuge: number;
  /** Frames of huge pages that nobody maps any more. */
  readonly held: number;
  /** hugetlb pages, of a file or not. */
  readonly hugetlb: number;
  readonly swapped: number;
  readonly locked: number;
  /** Of `anon`, and of that the locked pages, by node. */
  readonly nodes: readonly number[];
  readonly nodesUnevictable: readonly number[];
  /** All that is mapped, by node: pages of files and hugetlb pages too. */
  readonly nodesMapped: readonly number[];
}
/** Of a file. */
interface FileUsage {
  readonly cached: number;
  /** Of the cached pages, those that are mapped; and the entries that map them. */
  readonly mapped: number;
  readonly entries: number;
  readonly locked: number;
  readonly unevictable: number;
  readonly hugetlb: number;
  readonly swapped: number;
  /** Of `cached`, of that the pages of huge pages, and of `unevictable`, by node. */
  readonly nodes: readonly number[];
  readonly nodesHuge: readonly number[];
  readonly nodesUnevictable: readonly number[];
}

/** Of each node that the host has. */
const byNode = (vm: Vm, field: number): number[] => vm.host.nodes().map((_, n) => bytes(vm, field + 8 * n));
const bytes = (vm: Vm, field: number): number => vm.host.core.readNumber(SCRATCH + field) * PAGE_SIZE;

export function pageUsage(vm: Vm, { from, to }: Span): PageUsage {
  vm.host.core.x.pagesUsage(vm.ptr, from >> 12n, to >> 12n);
  return {
    anon: bytes(vm, USE_ANON),
    ksm: bytes(vm, USE_KSM),
    ksmShare: vm.host.core.readNumber(SCRATCH + USE_KSM_SHARE),
    anonHuge: bytes(vm, USE_ANON_HUGE),
    held: bytes(vm, USE_HELD),
    hugetlb: bytes(vm, USE_HUGETLB),
    swapped: bytes(vm, USE_SWAPPED),
    locked: bytes(vm, USE_LOCKED),
    nodes: byNode(vm, USE_NODES),
    nodesUnevictable: byNode(vm, USE_NODES_UNEVICTABLE),
    nodesMapped: byNode(vm, USE_NODES_MAPPED),
  };
}

/** Of the file's bytes of `span`. */
export function fileUsage(vm: Vm, file: Ptr, { from, to }: Span): FileUsage {
  const { core } = vm.host;
  const first = VPN_BASE + BigInt(core.readU32(file + FILE_FIRST));
  core.x.fileUsage(vm.ptr, file, first + (from >> 12n), first + ((to + 4095n) >> 12n));
  return {
    cached: bytes(vm, USE_CACHED),
    mapped: bytes(vm, USE_MAPPED),
    entries: bytes(vm, USE_ENTRIES),
    locked: bytes(vm, USE_LOCKED),
    unevictable: bytes(vm, USE_UNEVICTABLE),
    hugetlb: bytes(vm, USE_HUGETLB),
    swapped: bytes(vm, USE_SWAPPED),
    nodes: byNode(vm, USE_NODES),
    nodesHuge: byNode(vm, USE_NODES_HUGE),
    nodesUnevictable: byNode(vm, USE_NODES_UNEVICTABLE),
  };
}

/** What the SLAT maps of guest-physical memory, by size of leaf: `pages_4k`, `pages_2m`, `pages_1g` of KVM's statistics. */
export function leafUsage(vm: Vm, { from, to }: Span): readonly [number, number, number] {
  vm.host.core.x.leavesUsage(vm.ptr, from >> 12n, (to + 4095n) >> 12n);
  return [bytes(vm, USE_LEAVES), bytes(vm, USE_LEAVES + 8), bytes(vm, USE_LEAVES + 16)];
}

/** How much of the span is private by its memory attribute. */
export function privateUsage(vm: Vm, { from, to }: Span): number {
  const { x } = vm.host.core;
  const end = to >> 12n;
  let pages = 0n;
  for (let gfn = x.nextPrivate(vm.ptr, from >> 12n, end); gfn < end; ) {
    const next = x.nextShared(vm.ptr, gfn, end);
    pages += next - gfn;
    gfn = x.nextPrivate(vm.ptr, next, end);
  }
  return Number(pages) * PAGE_SIZE;
}

/** Distinct frames that KSM maps in the span, those that this VM is charged for, and these by node. */
export function ksmFrames(
  vm: Vm,
  { from, to }: Span,
): { readonly all: number; readonly charged: number; readonly nodes: readonly number[] } {
  const { core } = vm.host;
  const frames = new Set<number>();
  for (const run of readRuns(vm, from as Hva, to as Hva)) {
    if (!run.present || run.file || run.pfn === undefined) continue;
    const flags = readPageFlags(core, run.pfn, run.step === 0 ? 1 : run.pages);
    flags.forEach((word, i) => {
      if ((word >> BigInt(Kpf.Ksm)) & 1n) frames.add((run.pfn as number) + i);
    });
  }
  const charged = [...frames].filter((frame) => core.x.ksmChargedTo(frame) >>> 0 === vm.ptr);
  const on = charged.map((frame) => core.x.nodeOfFrame(frame) >>> 0);
  return {
    all: frames.size * PAGE_SIZE,
    charged: charged.length * PAGE_SIZE,
    nodes: vm.host.nodes().map((_, n) => on.filter((node) => node === n).length * PAGE_SIZE),
  };
}

/** The slots of [from, to), by address. */
export function slotPieces(vm: Vm, { from, to }: Span): SlotPiece[] {
  const { core } = vm.host;
  const out: SlotPiece[] = [];
  for (let n = 0; n < core.readU32(vm.ptr + VM_SLOT_COUNT); n++) {
    const slot = core.x.slotAt(vm.ptr, n) >>> 0;
    const base = core.readU64(slot + SLOT_BASE) << 12n;
    const start = base > from ? base : from;
    const end = core.readU64(slot + SLOT_END) << 12n;
    const stop = end < to ? end : to;
    if (start >= stop) continue;
    const ptr = core.readU32(slot + SLOT_FILE);
    const first = VPN_BASE + BigInt(ptr === 0 ? 0 : core.readU32(ptr + FILE_FIRST));
    out.push({
      gpa: start,
      length: Number(stop - start),
      hva: (core.readU64(slot + SLOT_VPN) << 12n) + start - base,
      ...(ptr !== 0 && {
        file: {
          ptr,
          offset: Number(core.readU64(slot + SLOT_FILE_PAGE) - first) * PAGE_SIZE + Number(start - base),
        },
      }),
    });
  }
  return out;
}

/** The VMM's mappings, by address. */
export function mappings(vm: Vm): Mapping[] {
  const { core } = vm.host;
  const out: Mapping[] = [];
  for (let at = core.x.vmaFind(vm.ptr, 0n) >>> 0; at !== 0; at = core.x.vmaNext(vm.ptr, at) >>> 0) {
    const from = core.readU64(at + VMA_START) << 12n;
    const flags = core.readU32(at + VMA_FLAGS);
    const file = flags & VMA_FILE ? recordOf(vm, core.readU64(at + VMA_NAME), from) : undefined;
    const to = core.readU64(at + VMA_END) << 12n;
    out.push({ from, to, shared: (flags & VM_SHARED) !== 0, ...(file && { file }) });
  }
  return out;
}

/** The files that the VMM made and that are still there, the last one first. */
export function files(vm: Vm): UsedFile[] {
  const { core } = vm.host;
  const out: UsedFile[] = [];
  for (let ptr = core.readU32(HOST_FILES); ptr !== 0; ptr = core.readU32(ptr + FILE_NEXT)) {
    if (core.readU32(ptr + FILE_OWNER) === vm.ptr) out.push(usedFile(vm, ptr));
  }
  return out;
}

export function usedFile(vm: Vm, ptr: Ptr): UsedFile {
  const { core } = vm.host;
  const kind: FileKind = core.readU32(ptr + FILE_KIND);
  return { ptr, kind, name: fileName(vm, ptr).name, size: core.readNumber(ptr + FILE_SIZE) };
}
