// check() of the SLAT: every entry is backed by a present page with at least its permissions, huge ones by huge pages.
import {
  HUGE_ZERO_PAGE, SCRATCH, SCRATCH_SIZE, VM_DIR, VM_MAPPED, VM_MAPPED_HUGE, VM_ROOT, VPN_BASE, ZERO_PAGE,
} from '../base/layout';
import { VM_READ, VM_WRITE } from '../abi/vm-flags';
import { bitGet } from '../base/bits';
import { GROUP } from '../frames/pool';
import { GIGANTIC, isGigantic } from '../frames/gigantic';
import { MemFlag } from '../abi/kvm';
import { gmemIsPrivate } from '../gmem/bind';
import { SLOT_FILE, SLOT_FLAGS, slotFilePage, slotOf, slotVpn } from '../memslot/table';
import { BACKED, chunkAt, chunkOf, DIRTY, FILE, pageSlot, PART, WRITABLE, ZERO } from '../mm/page-state';
import { fileCached } from '../mm/file';
import { fileIsDirty } from '../mm/file-place';
import { fileIsHuge } from '../mm/file-huge';
import { folioIsDirty, isAsOne, isHugetlb } from '../mm/huge';
import { vmaOf } from '../mm/look-up';
import { VMA_FLAGS } from '../mm/vma';
import { EPT_1G, EPT_HUGE, EPT_RWX, EPT_W, entryPage, entryTable, tableCount } from '../slat/entry';
import { at, Broken, ownRun } from './check-owner';

const MAPPED: usize = SCRATCH + SCRATCH_SIZE - 24;
const MAPPED_HUGE: usize = SCRATCH + SCRATCH_SIZE - 32;

export function checkSlat(vm: usize, arena: usize): Broken {
  store<u64>(MAPPED, 0);
  store<u64>(MAPPED_HUGE, 0);
  const e = checkTable(vm, arena, load<u32>(vm, VM_ROOT), 27, 0);
  if (e != Broken.Nothing) return e;
  const huge = load<u64>(MAPPED_HUGE);
  if (huge != load<u64>(vm, VM_MAPPED_HUGE)) return at(huge, Broken.CountDiffers);
  const mapped = load<u64>(MAPPED) + huge;
  return mapped == load<u64>(vm, VM_MAPPED) ? Broken.Nothing : at(mapped, Broken.CountDiffers);
}

function checkTable(vm: usize, arena: usize, table: usize, shift: u64, gfn: u64): Broken {
  let e = ownRun(arena, table, 1);
  if (e != Broken.Nothing) return e;
  let n: u32 = 0;
  for (let i: u64 = 0; i < 512; i++) {
    const entry = load<u64>(table + (<usize>i << 3));
    if ((entry & EPT_RWX) == 0) continue;
    n++;
    const here = gfn + (i << shift);
    if (shift == 0) e = checkLeaf(vm, here, entry);
    else if ((entry & EPT_HUGE) != 0) e = shift < 27 ? checkHugeLeaf(vm, here, entry, 1 << <u32>shift) : at(here, Broken.SlatStale);
    else e = checkTable(vm, arena, entryTable(entry), shift - 9, here);
    if (e != Broken.Nothing) return e;
  }
  if (shift == 0) store<u64>(MAPPED, load<u64>(MAPPED) + n);
  return n == load<u16>(tableCount(table)) ? Broken.Nothing : at(gfn, Broken.CountDiffers);
}

/** A huge leaf maps all of a huge page, or a part of one of 1 GiB, which the VMM's page table has as one. */
function checkHugeLeaf(vm: usize, gfn: u64, entry: u64, pages: u32): Broken {
  const counter = pages == GROUP ? MAPPED_HUGE : MAPPED;
  store<u64>(counter, load<u64>(counter) + 1);
  const slot = slotOf(vm, gfn);
  if (slot == 0 || slotOf(vm, gfn + pages - 1) != slot) return at(gfn, Broken.SlatStale);
  if ((pages == <u32>GIGANTIC) != ((entry & EPT_1G) != 0) || (entryPage(entry) & (pages - 1)) != 0) return at(gfn, Broken.SlatStale);
  if (pages == <u32>GIGANTIC && !isGigantic(entryPage(entry))) return at(gfn, Broken.SlatStale);
  if ((load<u32>(slot, SLOT_FLAGS) & MemFlag.GmemOnly) != 0 || gmemIsPrivate(vm, slot, gfn)) {
    const file: usize = load<u32>(slot, SLOT_FILE);
    if (file == 0 || !fileIsHuge(file, slotFilePage(slot, gfn))) return at(gfn, Broken.SlatStale);
    return eachLeaf(vm, gfn, entry, pages);
  }
  for (let i: u32 = 0; i < pages; i += GROUP) {
    const chunk = chunkOf(vm, slotVpn(slot, gfn + i));
    if (chunk == 0 || !isAsOne(chunk)) return at(gfn + i, Broken.SlatStale);
  }
  return eachLeaf(vm, gfn, entry, pages);
}

function eachLeaf(vm: usize, gfn: u64, entry: u64, pages: u32): Broken {
  let e: Broken = Broken.Nothing;
  for (let i: u32 = 0; i < pages && e == Broken.Nothing; i++) e = checkLeaf(vm, gfn + i, entry + ((<u64>i) << 12));
  return e;
}

function checkLeaf(vm: usize, gfn: u64, entry: u64): Broken {
  const slot = slotOf(vm, gfn);
  if (slot == 0) return at(gfn, Broken.SlatStale);
  if ((load<u32>(slot, SLOT_FLAGS) & MemFlag.Readonly) != 0 && (entry & EPT_W) != 0) return at(gfn, Broken.SlatPermission);
  if ((load<u32>(slot, SLOT_FLAGS) & MemFlag.GmemOnly) != 0 || gmemIsPrivate(vm, slot, gfn)) {
    const file: usize = load<u32>(slot, SLOT_FILE);
    const good = file != 0 && fileCached(file, slotFilePage(slot, gfn)) == entryPage(entry);
    return good ? Broken.Nothing : at(gfn, Broken.SlatStale);
  }
  const vpn = slotVpn(slot, gfn);
  const v = vmaOf(vm, vpn);
  if (v == 0) return at(gfn, Broken.SlatStale);
  const flags = load<u32>(v, VMA_FLAGS);
  const node: usize = load<u32>(<usize>load<u32>(vm, VM_DIR) + (<usize>((vpn - VPN_BASE) >> 18) << 2));
  const chunk = node == 0 ? <usize>0 : chunkAt(node, <u32>(vpn >> 9) & 511);
  if (chunk == 0) return at(gfn, Broken.SlatStale);
  const i = <u32>vpn & 511;
  if (bitGet(chunk + BACKED, i)) {
    if (entryPage(entry) != load<u32>(pageSlot(chunk, i))) return at(gfn, Broken.SlatStale);
  } else if (!bitGet(chunk + ZERO, i) || entryPage(entry) != (isAsOne(chunk) ? <u32>(HUGE_ZERO_PAGE >> 12) + i : <u32>(ZERO_PAGE >> 12))) {
    return at(gfn, Broken.SlatStale);
  }
  if ((entry & EPT_W) != 0 && !bitGet(chunk + WRITABLE, i)) return at(gfn, Broken.SlatPermission);
  // Of a hugetlb page nobody asks whether it was written: it is never reclaimed.
  if ((entry & EPT_W) != 0 && !isHugetlb(chunk) && !bitGet(chunk + DIRTY, i) && !(bitGet(chunk + PART, i) && folioIsDirty(chunk))) {
    if (!bitGet(chunk + FILE, i) || !fileIsDirty(vm, vpn)) return at(gfn, Broken.SlatPermission);
  }
  return (flags & (VM_READ | VM_WRITE)) != 0 ? Broken.Nothing : at(gfn, Broken.SlatPermission);
}
