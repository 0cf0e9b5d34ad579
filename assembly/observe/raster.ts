// A picture of guest-physical memory: one byte a cell of 2^shift bytes, row by row into the scratch area.
// From 2 MiB a cell up it reads the summaries of page-state nodes or table counts, and the chunks with something special;
// so 1 TiB in 2 MiB cells costs what its touched GiBs cost.
//
// Cell, all lenses: bit 0 = RAM (in a slot). Then by lens:
//   backing     5…1 the highest PageKind in it · 7…6 how full of mapped pages: 0 < ¼ … 3 ≥ ¾
//   slat        1 mapped read-only · 2 mapped writable (cells of one page), 1 = some entry present (larger cells);
//               3 by a leaf of 2 MiB
//   protection  1 readable · 2 writable · 3 locked · 4 dontdump · 5 mergeable, of any VMA in the cell
//   attributes  of any page in the cell: 1 shared, and in memory · 2 private, and in memory · 3 in memory twice ·
//               4 in memory as the other kind alone · 5 private by its attribute (kinds.ts)
import { PageKind } from '../abi/page-kind';
import { VM_DONTDUMP, VM_LOCKED, VM_MERGEABLE, VM_READ, VM_WRITE, VMA_FILE } from '../abi/vm-flags';
import { SCRATCH, SCRATCH_SIZE, VM_SLOT_COUNT } from '../base/layout';
import { bitGet } from '../base/bits';
import { max, min } from '../base/math';
import { SLOT_BASE, SLOT_END, SLOT_VPN, slotAt } from '../memslot/table';
import { fileOf, filePage } from '../mm/file-place';
import { BACKED, chunkAt, chunkIndex, chunkOf, HINT_SWAPPED, nextChunk, NODE_BACKED, NODE_HINTS, nodeOf, planeEmpty, SWAPPED, ZERO } from '../mm/page-state';
import { VMA_END, VMA_FLAGS, VMA_START, vmaFind, vmaNext } from '../mm/vma';
import { EPT_HUGE, EPT_RWX, EPT_W, entryTable, level2Entry, nextLevel2, tableCount } from '../slat/entry';
import { mark } from './cell';
import { kinds } from './kinds';
import { chunkKind, pageKind } from './page-kind';

export enum Lens {
  Backing = 0,
  Slat = 1,
  Protection = 2,
  Attributes = 3,
}

/** Cells from gfn on, each 2^(shift-12) frames; shift ≥ 12. Returns cells drawn: min(cells, scratch size). */
export function raster(vm: usize, lens: i32, gfn: u64, shift: u32, cells: u32): u32 {
  const n = cells < <u32>SCRATCH_SIZE ? cells : <u32>SCRATCH_SIZE;
  memory.fill(SCRATCH, 0, n);
  const span: u64 = (<u64>1) << (shift - 12);
  const end = gfn + span * n;
  for (let i: u32 = 0, slots = load<u32>(vm, VM_SLOT_COUNT); i < slots; i++) {
    const p = slotAt(vm, i);
    const from = max(gfn, load<u64>(p, SLOT_BASE));
    const to = min(end, load<u64>(p, SLOT_END));
    if (from >= to) continue;
    const first = <usize>((from - gfn) >> (shift - 12));
    memory.fill(SCRATCH + first, 1, <usize>((to - 1 - gfn) >> (shift - 12)) + 1 - first);
    const delta = load<u64>(p, SLOT_VPN) - load<u64>(p, SLOT_BASE);
    if (lens == Lens.Backing) backing(vm, gfn, from, to, delta, shift - 12);
    else if (lens == Lens.Slat) slat(vm, gfn, from, to, shift - 12);
    else if (lens == Lens.Attributes) kinds(vm, p, gfn, from, to, shift - 12);
    else protection(vm, gfn, from, to, delta, shift - 12);
  }
  return n;
}

/** Bits 7…6 of a cell of 2^shift pages, `backed` of them known to be backed. A cell over two slots shows the fuller one. */
// @ts-ignore: decorator
@inline
function fullness(cell: usize, backed: u64, shift: u64): void {
  const before: u32 = load<u8>(SCRATCH + cell);
  store<u8>(SCRATCH + cell, (before & 0x3f) | <u32>max(before & 0xc0, min((backed << 2) >> shift, 3) << 6));
}

// @ts-ignore: decorator
@inline
function markKind(cell: usize, kind: u32): void {
  const before: u32 = load<u8>(SCRATCH + cell);
  if ((before & 0x3e) < kind << 1) store<u8>(SCRATCH + cell, (before & ~0x3e) | (kind << 1));
}

function backing(vm: usize, origin: u64, from: u64, to: u64, delta: u64, shift: u64): void {
  const whole = shift >= 9;
  // The cell being drawn and its pages that are mapped: a cell may span many chunks.
  let cell: usize = usize.MAX_VALUE;
  let backed: u64 = 0;
  let gfn = from;
  while (gfn < to) {
    const vpn = nextChunk(vm, gfn + delta, to + delta);
    gfn = vpn - delta;
    if (gfn >= to) break;
    const node = nodeOf(vm, vpn);
    const index = chunkIndex(vpn);
    const stop = min(to, (((vpn >> 9) + 1) << 9) - delta);
    if (whole) {
      const here = <usize>((gfn - origin) >> shift);
      if (here != cell) {
        cell = here;
        backed = 0;
      }
      backed += load<u16>(node + (<usize>index << 1), NODE_BACKED);
      markKind(cell, chunkKind(node, index));
      fullness(cell, backed, shift);
      gfn = stop;
      continue;
    }
    // Within one chunk: page by page.
    const chunk = chunkAt(node, index);
    for (; gfn < stop; gfn++) {
      const here = <usize>((gfn - origin) >> shift);
      if (here != cell) {
        cell = here;
        backed = 0;
      }
      const i = <u32>(gfn + delta) & 511;
      const kind = pageKind(chunk, i);
      if (kind == PageKind.None) continue;
      markKind(cell, kind);
      if (!bitGet(chunk + BACKED, i)) continue;
      backed++;
      fullness(cell, backed, shift);
    }
  }
  for (let v = vmaFind(vm, from + delta); v != 0; v = vmaNext(vm, v)) {
    const a = max(load<u64>(v, VMA_START), from + delta);
    const b = min(load<u64>(v, VMA_END), to + delta);
    if (a >= b) break;
    if ((load<u32>(v, VMA_FLAGS) & VMA_FILE) != 0) cached(vm, v, a, b, origin + delta, shift);
  }
}

/** What the file of a VMA has of [vpn, end) and the VMA does not map. `origin` is the vpn of the first cell. */
function cached(vm: usize, vma: usize, vpn: u64, end: u64, origin: u64, shift: u64): void {
  const file = fileOf(vma);
  // The file's page of vpn is vpn + shifted.
  const shifted = filePage(vma, vpn) - vpn;
  const last = end + shifted;
  for (let at = nextChunk(file, vpn + shifted, last); at < last; at = nextChunk(file, at, last)) {
    const node = nodeOf(file, at);
    const index = chunkIndex(at);
    const stop = min(((at >> 9) + 1) << 9, last);
    const chunk = chunkAt(node, index);
    if (shift >= 9) {
      const cell = <usize>((at - shifted - origin) >> shift);
      if (load<u16>(node + (<usize>index << 1), NODE_BACKED) != 0) markKind(cell, PageKind.Cached);
      if ((load<u8>(node + index, NODE_HINTS) & HINT_SWAPPED) != 0 && !planeEmpty(chunk + SWAPPED)) markKind(cell, PageKind.Swapped);
      at = stop;
      continue;
    }
    for (; at < stop; at++) {
      const i = <u32>at & 511;
      const mapping = chunkOf(vm, at - shifted);
      if (mapping != 0 && bitGet(mapping + BACKED, <u32>(at - shifted) & 511)) continue;
      const cached = bitGet(chunk + BACKED, i) && !bitGet(chunk + ZERO, i);
      const kind = bitGet(chunk + SWAPPED, i) ? PageKind.Swapped : cached ? PageKind.Cached : PageKind.None;
      if (kind != PageKind.None) markKind(<usize>((at - shifted - origin) >> shift), kind);
    }
  }
}

function slat(vm: usize, origin: u64, from: u64, to: u64, shift: u64): void {
  for (let gfn = nextLevel2(vm, from, to); gfn < to; gfn = nextLevel2(vm, gfn, to)) {
    const stop = min(to, ((gfn >> 9) + 1) << 9);
    const entry = load<u64>(level2Entry(vm, gfn));
    const table = entryTable(entry);
    if ((entry & EPT_HUGE) != 0) {
      const bits: u32 = shift < 9 && (entry & EPT_W) != 0 ? 8 | 4 : 8 | 2;
      for (let cell = <usize>((gfn - origin) >> shift), last = <usize>((stop - 1 - origin) >> shift); cell <= last; cell++) mark(cell, bits);
    } else if (load<u16>(tableCount(table)) != 0) {
      if (shift >= 9) mark(<usize>((gfn - origin) >> shift), 2);
      else {
        for (let g = gfn; g < stop; g++) {
          const e = load<u64>(table + (<usize>(g & 511) << 3));
          if ((e & EPT_RWX) != 0) mark(<usize>((g - origin) >> shift), (e & EPT_W) != 0 ? 4 : 2);
        }
      }
    }
    gfn = stop;
  }
}

function protection(vm: usize, origin: u64, from: u64, to: u64, delta: u64, shift: u64): void {
  for (let v = vmaFind(vm, from + delta); v != 0; v = vmaNext(vm, v)) {
    const a = max(load<u64>(v, VMA_START), from + delta) - delta;
    const b = min(load<u64>(v, VMA_END), to + delta) - delta;
    if (a >= b) break;
    const flags = load<u32>(v, VMA_FLAGS);
    let bits: u32 = 0;
    if ((flags & VM_READ) != 0) bits |= 2;
    if ((flags & VM_WRITE) != 0) bits |= 4;
    if ((flags & VM_LOCKED) != 0) bits |= 8;
    if ((flags & VM_DONTDUMP) != 0) bits |= 16;
    if ((flags & <u32>VM_MERGEABLE) != 0) bits |= 32;
    for (let cell = <usize>((a - origin) >> shift), last = <usize>((b - 1 - origin) >> shift); cell <= last; cell++) {
      mark(cell, bits);
    }
  }
}
