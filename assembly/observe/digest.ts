// One number over a VM's state: VMAs, page states and contents, SLAT entries by permission, device
// registers. Frame numbers are left out, so it does not depend on which frame a page happened to get.
import {
  HOST_FILES, VM_DEV_COMMAND, VM_DEV_CONNS, VM_DEV_PAYLOAD, VM_DEV_STATE, VM_DIR_LEN, VPN_BASE, VM_ATTRIBUTES, VM_SLOT_COUNT, VM_TABLES_STAY,
} from '../base/layout';
import { VMA_FILE } from '../abi/vm-flags';
import { connectionGpa } from '../device/pvmemcontrol/connection';
import { bitGet } from '../base/bits';
import { frameHash } from '../frames/bytes';
import { dirtyDepth } from '../memslot/dirty';
import { nextPrivate, nextShared } from '../memslot/attributes';
import { setNext } from '../memslot/gfn-set';
import { SLOT_BASE, SLOT_DIRTY, SLOT_END, SLOT_FLAGS, SLOT_ID, SLOT_VPN, slotAt, slotPages } from '../memslot/table';
import { FILE_NEXT, fileFlags, fileKind, fileOwner, fileSize } from '../mm/file';
import { fileOf, filePage } from '../mm/file-place';
import {
  BACKED, CHUNK_HUGE, chunkAt, chunkIndex, nextChunk, nodeOf, pageSlot, PLANES_END, SWAPPED,
} from '../mm/page-state';
import { VMA_FLAGS, VMA_NAME, VMA_SIZE, VMA_START, vmaFind, vmaNext } from '../mm/vma';
import { EPT_HUGE, EPT_RWX, entryTable, level2Entry, nextLevel2 } from '../slat/entry';

const PRIME: u64 = 0x100000001b3;

// @ts-ignore: decorator
@inline
function mix(h: u64, n: u64): u64 {
  h = (h ^ n) * PRIME;
  return h ^ (h >> 29);
}

export function vmDigest(vm: usize): u64 {
  let h: u64 = 0xcbf29ce484222325;
  for (let v = vmaFind(vm, 0); v != 0; v = vmaNext(vm, v)) {
    // The name of a VMA with a file is the file's address, and where in it the VMA begins.
    const named = (load<u32>(v, VMA_FLAGS) & VMA_FILE) == 0;
    for (let i: usize = 0; i < VMA_SIZE; i += 8) if (named || i != VMA_NAME) h = mix(h, load<u64>(v + i));
    if (!named && fileOf(v) != 0) h = mix(mix(h, number(fileOf(v))), filePage(v, load<u64>(v, VMA_START)));
  }
  h = pagesDigest(vm, h);
  for (let file: usize = load<u32>(HOST_FILES); file != 0; file = load<u32>(file, FILE_NEXT)) {
    if (fileOwner(file) == vm) h = pagesDigest(file, mix(mix(h, fileSize(file)), ((<u64>fileKind(file)) << 32) | fileFlags(file)));
  }
  h = slatDigest(vm, slotsDigest(vm, h));
  h = mix(h, load<u32>(vm, VM_DEV_STATE));
  h = mix(h, load<u32>(vm, VM_DEV_COMMAND));
  h = mix(h, load<u64>(vm, VM_DEV_PAYLOAD));
  for (let i: u32 = 0, n = load<u32>(vm, VM_DEV_CONNS); i < n; i++) h = mix(h, connectionGpa(vm, i));
  return h;
}

/** How many files are newer: names a file whatever its address. */
function number(file: usize): u64 {
  let n: u64 = 0;
  for (let other: usize = load<u32>(HOST_FILES); other != 0 && other != file; other = load<u32>(other, FILE_NEXT)) {
    if (fileOwner(other) == fileOwner(file)) n++;
  }
  return n;
}

/** The pages of a VM or of a file. */
function pagesDigest(space: usize, h: u64): u64 {
  const end = VPN_BASE + ((<u64>load<u32>(space, VM_DIR_LEN)) << 18);
  for (let vpn = nextChunk(space, VPN_BASE, end); vpn < end; vpn = nextChunk(space, (vpn | 511) + 1, end)) {
    h = chunkDigest(space, vpn, h);
  }
  return h;
}

function chunkDigest(vm: usize, vpn: u64, h: u64): u64 {
  const chunk = chunkAt(nodeOf(vm, vpn), chunkIndex(vpn));
  let any: u64 = 0;
  for (let p: usize = BACKED; p < PLANES_END; p += 8) any |= load<u64>(chunk + p);
  // An empty chunk that reclaim left behind is the same state as none, but where it is a page table.
  if (any == 0 && load<u32>(vm, VM_TABLES_STAY) == 0) return h;
  h = mix(h, vpn >> 9);
  for (let p: usize = BACKED; p < PLANES_END; p += 8) h = mix(h, load<u64>(chunk + p));
  h = mix(h, load<u32>(chunk, CHUNK_HUGE));
  for (let i: u32 = 0; i < 512; i++) {
    if (bitGet(chunk + BACKED, i) || bitGet(chunk + SWAPPED, i)) h = mix(h, frameHash(load<u32>(pageSlot(chunk, i)), i));
  }
  return h;
}

/** Slots, with what their logs have, and private gfns. */
function slotsDigest(vm: usize, h: u64): u64 {
  for (let n: u32 = 0, slots = load<u32>(vm, VM_SLOT_COUNT); n < slots; n++) {
    const slot = slotAt(vm, n);
    h = mix(h, load<u64>(slot, SLOT_BASE));
    h = mix(h, load<u64>(slot, SLOT_END));
    h = mix(h, load<u64>(slot, SLOT_VPN));
    h = mix(h, (<u64>load<u32>(slot, SLOT_ID) << 32) | load<u32>(slot, SLOT_FLAGS));
    const end = slotPages(slot);
    for (let i: u64 = 0; i < end; i++) {
      i = setNext(slot + SLOT_DIRTY, dirtyDepth(slot), i, end, true);
      if (i < end) h = mix(h, i);
    }
  }
  if (load<u32>(vm, VM_ATTRIBUTES) == 0) return h;
  const end: u64 = 1 << 52;
  for (let gfn = nextPrivate(vm, 0, end); gfn < end; ) {
    h = mix(h, gfn);
    gfn = nextShared(vm, gfn, end);
    h = mix(h, gfn);
    gfn = nextPrivate(vm, gfn, end);
  }
  return h;
}

function slatDigest(vm: usize, h: u64): u64 {
  for (let n: u32 = 0, slots = load<u32>(vm, VM_SLOT_COUNT); n < slots; n++) {
    const p = slotAt(vm, n);
    const end = load<u64>(p, SLOT_END);
    for (let gfn = nextLevel2(vm, load<u64>(p, SLOT_BASE), end); gfn < end; gfn = nextLevel2(vm, ((gfn >> 9) + 1) << 9, end)) {
      const entry = load<u64>(level2Entry(vm, gfn));
      if ((entry & EPT_HUGE) != 0) {
        h = mix(h, gfn * 8 + (entry & (EPT_HUGE | EPT_RWX)));
        continue;
      }
      for (let i = gfn & 511; i < 512; i++) {
        const e = load<u64>(entryTable(entry) + (<usize>i << 3));
        if ((e & EPT_RWX) != 0) h = mix(h, (((gfn >> 9) << 9) + i) * 8 + (e & EPT_RWX));
      }
    }
  }
  return h;
}
