// The raster's lens `attributes`: of each page which kind the guest sees, and which kinds there is memory of.
// Reference: linux Documentation/virt/kvm/api.rst (KVM_SET_MEMORY_ATTRIBUTES); raster.ts (the cells).
import { MemFlag } from '../abi/kvm';
import { PageKind } from '../abi/page-kind';
import { VMA_FILE } from '../abi/vm-flags';
import { VM_ATTRIBUTES } from '../base/layout';
import { bitGet } from '../base/bits';
import { max, min } from '../base/math';
import { gmemIsPrivate } from '../gmem/bind';
import { nextPrivate, nextShared } from '../memslot/attributes';
import { SLOT_BASE, SLOT_FILE, SLOT_FILE_PAGE, SLOT_FLAGS, SLOT_VPN, slotFilePage, slotVpn } from '../memslot/table';
import { fileCached } from '../mm/file';
import { fileOf, filePage } from '../mm/file-place';
import { BACKED, chunkAt, chunkIndex, chunkOf, nextChunk, NODE_BACKED, nodeOf } from '../mm/page-state';
import { VMA_END, VMA_FLAGS, VMA_START, vmaFind, vmaNext } from '../mm/vma';
import { mark } from './cell';
import { pageKind } from './page-kind';

/** Bits of a cell: some page of it is … */
enum Kind {
  /** shared, and in memory as that alone. */
  Shared = 2,
  /** The same of private. */
  Private = 4,
  /** in memory twice: shared and private. */
  Both = 8,
  /** in memory as what it is not, alone. */
  Left = 16,
  /** private by its attribute, in memory or not. */
  Attribute = 32,
}

/** Cells of 2^shift pages from gfn `origin` on, for [from, to) of a slot. */
export function kinds(vm: usize, slot: usize, origin: u64, from: u64, to: u64, shift: u64): void {
  const file: usize = load<u32>(slot, SLOT_FILE);
  const flags = load<u32>(slot, SLOT_FLAGS);
  if ((flags & MemFlag.GmemOnly) != 0) {
    // One memory for both kinds.
    if (file != 0) ofFile(vm, slot, file, origin, from, to, shift);
  } else {
    const delta = load<u64>(slot, SLOT_VPN) - load<u64>(slot, SLOT_BASE);
    // Where nothing can be private, a chunk with a page says enough.
    const plain = file == 0 && load<u32>(vm, VM_ATTRIBUTES) == 0;
    mapped(vm, slot, origin, from, to, delta, shift, plain);
    inFiles(vm, slot, origin, from, to, delta, shift);
    if (file != 0) ofFile(vm, slot, file, origin, from, to, shift);
  }
  if (load<u32>(vm, VM_ATTRIBUTES) == 0) return;
  for (let gfn = nextPrivate(vm, from, to); gfn < to; ) {
    const end = nextShared(vm, gfn, to);
    for (let cell = (gfn - origin) >> shift, last = (end - 1 - origin) >> shift; cell <= last; cell++) mark(<usize>cell, Kind.Attribute);
    gfn = nextPrivate(vm, end, to);
  }
}

/** Pages that the VMM maps. */
function mapped(vm: usize, slot: usize, origin: u64, from: u64, to: u64, delta: u64, shift: u64, plain: bool): void {
  for (let vpn = nextChunk(vm, from + delta, to + delta); vpn < to + delta; vpn = nextChunk(vm, vpn, to + delta)) {
    const stop = min(to + delta, ((vpn >> 9) + 1) << 9);
    const node = nodeOf(vm, vpn);
    const chunk = chunkAt(node, chunkIndex(vpn));
    if (plain && shift >= 9) {
      if (load<u16>(node + (<usize>chunkIndex(vpn) << 1), NODE_BACKED) != 0) mark(<usize>((vpn - delta - origin) >> shift), Kind.Shared);
      vpn = stop;
      continue;
    }
    for (; vpn < stop; vpn++) {
      if (isThere(chunk, <u32>vpn & 511)) markShared(vm, slot, vpn - delta, origin, shift, plain);
    }
  }
}

/** Whether the page is memory of its own, here or in swap: the zero page is none. */
function isThere(chunk: usize, i: u32): bool {
  const kind = pageKind(chunk, i);
  return kind != PageKind.None && kind != PageKind.Zero && kind != PageKind.HugeZero && kind != PageKind.Held;
}

/** Pages of files that the VMM maps the files of, and not the pages. */
function inFiles(vm: usize, slot: usize, origin: u64, from: u64, to: u64, delta: u64, shift: u64): void {
  for (let v = vmaFind(vm, from + delta); v != 0; v = vmaNext(vm, v)) {
    const a = max(load<u64>(v, VMA_START), from + delta);
    const b = min(load<u64>(v, VMA_END), to + delta);
    if (a >= b) break;
    if ((load<u32>(v, VMA_FLAGS) & VMA_FILE) == 0 || fileOf(v) == 0) continue;
    const file = fileOf(v);
    const shifted = filePage(v, a) - a;
    for (let at = nextChunk(file, a + shifted, b + shifted); at < b + shifted; at = nextChunk(file, at, b + shifted)) {
      const stop = min(b + shifted, ((at >> 9) + 1) << 9);
      for (; at < stop; at++) {
        const vpn = at - shifted;
        const chunk = chunkOf(vm, vpn);
        if (fileCached(file, at) == 0 || (chunk != 0 && isThere(chunk, <u32>vpn & 511))) continue;
        markShared(vm, slot, vpn - delta, origin, shift, false);
      }
    }
  }
}

/** There is shared memory of gfn. */
function markShared(vm: usize, slot: usize, gfn: u64, origin: u64, shift: u64, plain: bool): void {
  let kind = Kind.Shared;
  if (!plain) {
    const file: usize = load<u32>(slot, SLOT_FILE);
    if (file != 0 && isAllocated(file, slotFilePage(slot, gfn))) kind = Kind.Both;
    else if (gmemIsPrivate(vm, slot, gfn)) kind = Kind.Left;
  }
  mark(<usize>((gfn - origin) >> shift), kind);
}

/** Pages of the slot's guest_memfd. */
function ofFile(vm: usize, slot: usize, file: usize, origin: u64, from: u64, to: u64, shift: u64): void {
  const only = (load<u32>(slot, SLOT_FLAGS) & MemFlag.GmemOnly) != 0;
  const shifted = load<u64>(slot, SLOT_FILE_PAGE) - load<u64>(slot, SLOT_BASE);
  for (let at = nextChunk(file, from + shifted, to + shifted); at < to + shifted; at = nextChunk(file, at, to + shifted)) {
    const stop = min(to + shifted, ((at >> 9) + 1) << 9);
    const chunk = chunkOf(file, at);
    for (; at < stop; at++) {
      if (!bitGet(chunk + BACKED, <u32>at & 511)) continue;
      const gfn = at - shifted;
      const isPrivate = gmemIsPrivate(vm, slot, gfn);
      let kind = isPrivate ? Kind.Private : only ? Kind.Shared : Kind.Left;
      if (!only && hasShared(vm, slotVpn(slot, gfn))) kind = Kind.Both;
      mark(<usize>((gfn - origin) >> shift), kind);
    }
  }
}

/** Whether the file has memory for page `at`, used or only allocated. */
function isAllocated(file: usize, at: u64): bool {
  const chunk = chunkOf(file, at);
  return chunk != 0 && bitGet(chunk + BACKED, <u32>at & 511);
}

/** Whether the VMM has memory at vpn, mapped or in a file. */
function hasShared(vm: usize, vpn: u64): bool {
  const chunk = chunkOf(vm, vpn);
  if (chunk != 0 && isThere(chunk, <u32>vpn & 511)) return true;
  const vma = vmaFind(vm, vpn);
  if (vma == 0 || load<u64>(vma, VMA_START) > vpn || (load<u32>(vma, VMA_FLAGS) & VMA_FILE) == 0) return false;
  const file = fileOf(vma);
  return file != 0 && fileCached(file, filePage(vma, vpn)) != 0;
}
