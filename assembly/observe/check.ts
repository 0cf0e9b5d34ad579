// The invariants, counted anew from scratch. Slow by intent: cost follows the pool, for tests and fuzzing.
// Each frame, metadata page and swap slot is owned exactly once or free; counts equal recounts; every SLAT
// entry is backed by a present page with at least its permissions.
import {
  HOST_ARENA, HOST_FILES, HOST_FRAMES, HOST_GIGANTIC_FREE, HOST_GIGANTIC_TOTAL, HOST_GIGANTIC_USED, HOST_KSM_PAGES,
  HOST_KSM_STABLE, HOST_SWAP, HOST_VM_COUNT, SCRATCH, SCRATCH_SIZE, VM_BASE, VM_DIR, VM_DIR_LEN, VM_HUGETLB, VM_ID,
  VM_LAZY, VM_LOCKED_VM, VM_MAX, VM_MEMORY, VM_MEMORY_SWAP, VM_RSS, VM_SIZE, VM_RAM, VM_SWAP, VM_VMA_COUNT,
  VM_VMA_HOME, VM_VMA_REGION_MAX, VM_VMA_REGIONS, VPN_BASE,
} from '../base/layout';
import { VM_LOCKED, VM_WRITE, VMA_FILE } from '../abi/vm-flags';
import { bitGet, bitsAll, bitsCount } from '../base/bits';
import {
  GROUP, groupFirst, poolBase, poolBumped, poolGroup, poolGroups, poolRunEnd, poolRunNext, poolStacked, poolStackedPage,
  poolUsed,
} from '../frames/pool';
import { GIGANTIC, giganticOf, isGigantic } from '../frames/gigantic';
import {
  BACKED, CHUNK_HUGE, CHUNK_KSM, CHUNK_PARTS, chunkAt, DIRTY, FILE, HINT_LAZY, HINT_SPECIAL, HINT_SWAPPED, HINT_ZERO,
  hugeTag, KSM, LAZY, NODE_BACKED, NODE_CHUNKS, NODE_HINTS, pageSlot, PART, SWAPPED, WRITABLE, ZERO,
} from '../mm/page-state';
import { FILE_NEXT, FILE_POLICIES, fileCached, fileDirPages, fileIsUnused, fileOwner } from '../mm/file';
import { fileOf, filePage, filePlaceName, filePlacePages, filePlaces } from '../mm/file-place';
import { folioOf, isAsOne, isHugetlb } from '../mm/huge';
import { ksmChargedTo, NODE_FRAME } from '../mm/ksm-page';
import { frameMappings, frameNode } from '../frames/shared';
import { vmaOf } from '../mm/look-up';
import { dirPages } from '../mm/space';
import { blockAt, LIST_BLOCKS, LIST_PAGES, VMA_END, VMA_FLAGS, VMA_NAME, VMA_START, vmaFind, vmaNext } from '../mm/vma';
import { checkDevice, checkThreads } from './check-device';
import { at, bitmapOf, Broken, own, ownFrames, ownRun } from './check-owner';
import { checkSlat } from './check-slat';
import { checkSlots, ownSet } from './check-slots';
import { FILE_PINS, FILE_PRIVATE } from '../mm/file';
import { FILE_SET_DEPTH } from '../mm/file-attributes';

/** First broken invariant, 0 for none. Where: SCRATCH + SCRATCH_SIZE - 8 (u64). */
export function check(): Broken {
  const frames = bitmapOf(HOST_FRAMES, SCRATCH);
  const arena = bitmapOf(HOST_ARENA, frames);
  const swap = bitmapOf(HOST_SWAP, arena);
  if (swap > CHARGES) return Broken.PoolTooLarge;
  memory.fill(SCRATCH, 0, swap - SCRATCH);
  memory.fill(CHARGES, 0, SCRATCH + SCRATCH_SIZE - CHARGES);
  for (let i: u32 = 0, n = load<u32>(HOST_VM_COUNT); i < n; i++) {
    const vm = VM_BASE + <usize>i * VM_SIZE;
    let e = checkVmas(vm, frames);
    if (e == Broken.Nothing) e = checkSlots(vm, frames);
    if (e != Broken.Nothing) return e;
    e = checkPages(vm, SCRATCH, frames, arena);
    if (e != Broken.Nothing) return e;
    e = checkSlat(vm, frames);
    if (e != Broken.Nothing) return e;
    e = checkDevice(vm, frames);
    if (e == Broken.Nothing) e = checkThreads(vm, frames);
    if (e != Broken.Nothing) return e;
  }
  let e = checkFiles(SCRATCH, frames, arena);
  if (e == Broken.Nothing) e = checkKsm(frames);
  if (e == Broken.Nothing) e = checkGigantic();
  if (e == Broken.Nothing) e = checkCharges();
  if (e == Broken.Nothing) e = checkUsed(HOST_FRAMES);
  if (e == Broken.Nothing) e = checkUsed(HOST_ARENA);
  if (e == Broken.Nothing) e = checkPool(HOST_FRAMES, SCRATCH);
  if (e == Broken.Nothing) e = checkPool(HOST_ARENA, frames);
  if (e == Broken.Nothing) e = checkPool(HOST_SWAP, arena);
  return e;
}

/** What each VM is to be charged for: pages of memory u64 and slots u64. */
const CHARGES: usize = SCRATCH + SCRATCH_SIZE - 64 - <usize>VM_MAX * 16;

function charged(vm: usize, swap: usize, pages: u64): void {
  const p = CHARGES + <usize>load<u32>(vm, VM_ID) * 16 + swap;
  store<u64>(p, load<u64>(p) + pages);
}

function checkCharges(): Broken {
  for (let i: u32 = 0, n = load<u32>(HOST_VM_COUNT); i < n; i++) {
    const vm = VM_BASE + <usize>i * VM_SIZE;
    const p = CHARGES + <usize>i * 16;
    if (load<u64>(p) != load<u64>(vm, VM_MEMORY)) return at(load<u64>(p), Broken.ChargeDiffers);
    if (load<u64>(p, 8) != load<u64>(vm, VM_MEMORY_SWAP)) return at(load<u64>(p, 8), Broken.ChargeDiffers);
  }
  return Broken.Nothing;
}

/** Free pages are owned by the stack, groups included; then every page handed out must be owned. */
function checkPool(pool: usize, bitmap: usize): Broken {
  let e: Broken = Broken.Nothing;
  for (let i: u32 = 0, n = poolStacked(pool); i < n && e == Broken.Nothing; i++) e = own(pool, bitmap, poolStackedPage(pool, i));
  for (let i: u32 = 0, n = poolGroups(pool); i < n && e == Broken.Nothing; i++) e = ownFrames(pool, bitmap, poolGroup(pool, i), GROUP);
  if (e == Broken.Nothing) e = ownFrames(pool, bitmap, poolRunNext(pool), poolRunEnd(pool) - poolRunNext(pool));
  if (e != Broken.Nothing) return e;
  for (let i: u32 = 0, n = poolBumped(pool); i < n; i++) if (!bitGet(bitmap, i)) return at(poolBase(pool) + i, Broken.Leaked);
  return Broken.Nothing;
}

/** What was ever handed out counts as used: else it would be handed out again, unzeroed, with what its last owner left. */
function checkUsed(pool: usize): Broken {
  return poolUsed(pool) >= poolBumped(pool) ? Broken.Nothing : at(poolBase(pool) + poolUsed(pool), Broken.CountsAsFresh);
}

function checkVmas(vm: usize, arena: usize): Broken {
  const list: usize = load<u32>(vm, VM_VMA_HOME);
  let e = ownRun(arena, list, LIST_PAGES);
  if (e == Broken.Nothing) e = ownRun(arena, load<u32>(vm, VM_VMA_REGIONS), load<u32>(vm, VM_VMA_REGION_MAX) * LIST_PAGES);
  if (e == Broken.Nothing) e = ownRun(arena, load<u32>(vm, VM_RAM), 1);
  if (e == Broken.Nothing) e = ownRun(arena, load<u32>(vm, VM_DIR), dirPages(load<u32>(vm, VM_DIR_LEN)));
  for (let b: u32 = 0; b < load<u32>(list, LIST_BLOCKS) && e == Broken.Nothing; b++) e = ownRun(arena, blockAt(list, b), 1);
  if (e != Broken.Nothing) return e;
  let n: u32 = 0;
  let before: u64 = 0;
  let locked: u64 = 0;
  for (let v = vmaFind(vm, 0); v != 0; v = vmaNext(vm, v)) {
    const start = load<u64>(v, VMA_START);
    if (start < before || load<u64>(v, VMA_END) <= start) return at(start, Broken.VmaOrder);
    before = load<u64>(v, VMA_END);
    if ((load<u32>(v, VMA_FLAGS) & VM_LOCKED) != 0) locked += before - start;
    n++;
  }
  if (n != load<u32>(vm, VM_VMA_COUNT)) return at(n, Broken.CountDiffers);
  return locked == load<u64>(vm, VM_LOCKED_VM) ? Broken.Nothing : at(locked, Broken.CountDiffers);
}

/** Pages of KSM that entries map, and mappings that their frames count, of the whole host. */
const KSM_ENTRIES: usize = SCRATCH + SCRATCH_SIZE - 40;
const KSM_COUNTED: usize = SCRATCH + SCRATCH_SIZE - 48;

function checkPages(vm: usize, frames: usize, arena: usize, swap: usize): Broken {
  let rss: u64 = 0;
  let swapped: u64 = 0;
  let lazy: u64 = 0;
  let hugetlb: u64 = 0;
  for (let g: u32 = 0; g < load<u32>(vm, VM_DIR_LEN); g++) {
    const node: usize = load<u32>(<usize>load<u32>(vm, VM_DIR) + (<usize>g << 2));
    if (node == 0) continue;
    let e = ownRun(arena, node, 1);
    if (e != Broken.Nothing) return e;
    let chunks: u32 = 0;
    for (let index: u32 = 0; index < 512; index++) {
      const chunk = chunkAt(node, index);
      const counted = load<u16>(node + (<usize>index << 1), NODE_BACKED);
      if (chunk == 0) {
        if (counted != 0) return at(index, Broken.CountDiffers);
        continue;
      }
      chunks++;
      e = ownRun(arena, chunk, 1);
      if (e == Broken.Nothing && load<u32>(chunk, CHUNK_KSM) != 0) e = ownRun(arena, load<u32>(chunk, CHUNK_KSM), 1);
      if (e == Broken.Nothing) e = checkHuge(chunk, hugeTag(node, index), frames);
      if (e == Broken.Nothing && isGigantic(folioOf(chunk))) e = checkPart(node, index, !bitGet(chunk + FILE, 0));
      if (folioOf(chunk) != 0 && !isHugetlb(chunk)) charged(vm, 0, GROUP);
      if (e != Broken.Nothing) return e;
      let backed: u32 = 0;
      let hints: u32 = 0;
      for (let i: u32 = 0; i < 512; i++) {
        const vpn = VPN_BASE + ((<u64>g) << 18) + (index << 9) + i;
        const b = bitGet(chunk + BACKED, i);
        const s = bitGet(chunk + SWAPPED, i);
        const z = bitGet(chunk + ZERO, i);
        const l = bitGet(chunk + LAZY, i);
        if (<i32>b + <i32>s + <i32>z > 1) return at(vpn, Broken.StateContradicts);
        if (!b && (l || bitGet(chunk + DIRTY, i) || bitGet(chunk + WRITABLE, i))) return at(vpn, Broken.StateContradicts);
        if (!b && (bitGet(chunk + FILE, i) || bitGet(chunk + KSM, i) || bitGet(chunk + PART, i))) return at(vpn, Broken.StateContradicts);
        if (!b && !s && !z) continue;
        const v = vmaOf(vm, vpn);
        if (v == 0) return at(vpn, Broken.PageWithoutVma);
        if (b) {
          if (bitGet(chunk + WRITABLE, i) && (load<u32>(v, VMA_FLAGS) & VM_WRITE) == 0) return at(vpn, Broken.StateContradicts);
          e = checkBacked(vpn, chunk, i, v, frames);
          if (isSimple(chunk, i) && !isHugetlb(chunk)) charged(vm, 0, 1);
          backed++;
          if (!isSimple(chunk, i)) hints |= HINT_SPECIAL;
        } else if (s) {
          e = own(HOST_SWAP, swap, load<u32>(pageSlot(chunk, i)));
          swapped++;
          hints |= HINT_SWAPPED;
        } else hints |= HINT_ZERO;
        if (l) {
          lazy++;
          hints |= HINT_LAZY;
        }
        if (e != Broken.Nothing) return e;
      }
      if (backed != counted) return at(index, Broken.CountDiffers);
      if (load<u32>(chunk, CHUNK_HUGE) != 0 || load<u32>(chunk, CHUNK_KSM) != 0) hints |= HINT_SPECIAL;
      if ((hints & ~(<u32>load<u8>(node + index, NODE_HINTS))) != 0) return at(index, Broken.CountDiffers);
      if (isHugetlb(chunk)) hugetlb++;
      else rss += backed;
    }
    if (chunks != load<u32>(node, NODE_CHUNKS)) return at(g, Broken.CountDiffers);
  }
  if (lazy != load<u64>(vm, VM_LAZY)) return at(lazy, Broken.CountDiffers);
  if (hugetlb != load<u64>(vm, VM_HUGETLB)) return at(hugetlb, Broken.CountDiffers);
  if (rss != load<u64>(vm, VM_RSS)) return at(rss, Broken.CountDiffers);
  charged(vm, 8, swapped);
  return swapped == load<u64>(vm, VM_SWAP) ? Broken.Nothing : at(swapped, Broken.CountDiffers);
}

/** Anonymous, small, with one owner. */
function isSimple(chunk: usize, i: u32): bool {
  return !bitGet(chunk + FILE, i) && !bitGet(chunk + KSM, i) && !bitGet(chunk + PART, i);
}

/** The chunk's huge page owns its frames, however many of them are mapped. */
function checkHuge(chunk: usize, tag: u32, frames: usize): Broken {
  const folio = folioOf(chunk);
  const parts = bitsCount(chunk + PART, 0, 512);
  if (tag != 0 && (parts != GROUP || folio != groupFirst(tag - 1) || load<u32>(chunk, CHUNK_KSM) != 0)) return at(folio, Broken.StateContradicts);
  if (isHugetlb(chunk)) {
    if (folio == 0 || !bitsAll(chunk + BACKED, 0, 512)) return at(folio, Broken.StateContradicts);
    return bitGet(chunk + FILE, 0) || isGigantic(folio) ? Broken.Nothing : ownFrames(HOST_FRAMES, frames, folio, GROUP);
  }
  if (parts != load<u32>(chunk, CHUNK_PARTS) || (folio == 0) != (parts == 0)) return at(parts, Broken.CountDiffers);
  if (isAsOne(chunk) && parts != (folio == 0 ? 0 : GROUP)) return at(parts, Broken.StateContradicts);
  if (isAsOne(chunk) && folio == 0 && !bitsAll(chunk + ZERO, 0, 512)) return at(0, Broken.StateContradicts);
  return folio == 0 ? Broken.Nothing : ownFrames(HOST_FRAMES, frames, folio, GROUP);
}

/** Page i of a chunk, which is there: its frame is owned once, by what it is. */
function checkBacked(vpn: u64, chunk: usize, i: u32, vma: usize, frames: usize): Broken {
  const frame = load<u32>(pageSlot(chunk, i));
  if (isHugetlb(chunk)) return frame == folioOf(chunk) + i ? Broken.Nothing : at(vpn, Broken.StateContradicts);
  if (bitGet(chunk + PART, i)) return frame == folioOf(chunk) + i ? Broken.Nothing : at(vpn, Broken.StateContradicts);
  if (bitGet(chunk + FILE, i)) {
    return frame == fileCached(fileOf(vma), filePage(vma, vpn)) ? Broken.Nothing : at(vpn, Broken.StateContradicts);
  }
  if (!bitGet(chunk + KSM, i)) return own(HOST_FRAMES, frames, frame);
  if (load<u32>(frameNode(frame), NODE_FRAME) != frame || bitGet(chunk + WRITABLE, i)) return at(vpn, Broken.StateContradicts);
  store<u64>(KSM_ENTRIES, load<u64>(KSM_ENTRIES) + 1);
  if (bitGet(frames, frame - poolBase(HOST_FRAMES))) return Broken.Nothing;
  store<u64>(KSM_COUNTED, load<u64>(KSM_COUNTED) + frameMappings(frame));
  charged(ksmChargedTo(frame), 0, 1);
  return own(HOST_FRAMES, frames, frame);
}

/** Files own their pages in memory and their slots, whoever maps them. */
function checkFiles(frames: usize, arena: usize, swap: usize): Broken {
  for (let file: usize = load<u32>(HOST_FILES); file != 0; file = load<u32>(file, FILE_NEXT)) {
    let e = ownRun(arena, file, 1);
    if (e == Broken.Nothing) e = ownRun(arena, load<u32>(file, VM_DIR), fileDirPages(file));
    if (e == Broken.Nothing && load<u32>(file, FILE_POLICIES) != 0) e = ownRun(arena, load<u32>(file, FILE_POLICIES), 1);
    if (e == Broken.Nothing) e = checkPlaces(file);
    if (e == Broken.Nothing) e = ownSet(arena, file + FILE_PRIVATE, FILE_SET_DEPTH);
    if (e == Broken.Nothing) e = ownSet(arena, file + FILE_PINS, FILE_SET_DEPTH);
    if (e != Broken.Nothing) return e;
    let cached: u64 = 0;
    let swapped: u64 = 0;
    for (let g: u32 = 0; g < load<u32>(file, VM_DIR_LEN); g++) {
      const node: usize = load<u32>(<usize>load<u32>(file, VM_DIR) + (<usize>g << 2));
      if (node == 0) continue;
      e = ownRun(arena, node, 1);
      for (let index: u32 = 0; index < 512 && e == Broken.Nothing; index++) {
        const chunk = chunkAt(node, index);
        if (chunk == 0) continue;
        e = ownRun(arena, chunk, 1);
        if (e == Broken.Nothing && isGigantic(folioOf(chunk))) e = checkPart(node, index, true);
        for (let i: u32 = 0; i < 512 && e == Broken.Nothing; i++) {
          if (bitGet(chunk + BACKED, i)) {
            const frame = load<u32>(pageSlot(chunk, i));
            if (!isGigantic(frame)) e = own(HOST_FRAMES, frames, frame);
            else if (frame != folioOf(chunk) + i) e = at(i, Broken.StateContradicts);
            cached++;
            if (!isHugetlb(chunk)) charged(fileOwner(file), 0, 1);
          } else if (bitGet(chunk + SWAPPED, i)) {
            e = own(HOST_SWAP, swap, load<u32>(pageSlot(chunk, i)));
            swapped++;
          } else if (bitGet(chunk + DIRTY, i) || bitGet(chunk + ZERO, i)) e = at(i, Broken.StateContradicts);
        }
      }
      if (e != Broken.Nothing) return e;
    }
    charged(fileOwner(file), 8, swapped);
    if (cached != load<u64>(file, VM_RSS)) return at(cached, Broken.CountDiffers);
    if (swapped != load<u64>(file, VM_SWAP)) return at(swapped, Broken.CountDiffers);
  }
  return Broken.Nothing;
}

/** Somebody has the file open or maps it, and it knows how many pages are mapped in each place. */
function checkPlaces(file: usize): Broken {
  if (fileIsUnused(file)) return at(file, Broken.Leaked);
  const vm = fileOwner(file);
  let places: u32 = 0;
  for (let v = vmaFind(vm, 0); v != 0; v = vmaNext(vm, v)) if (isOf(v, file)) places++;
  for (let n: u32 = 0; n < filePlaces(file); n++) {
    let pages: u64 = 0;
    for (let v = vmaFind(vm, 0); v != 0; v = vmaNext(vm, v)) {
      if (!isOf(v, file) || load<u64>(v, VMA_NAME) != filePlaceName(file, n)) continue;
      pages += load<u64>(v, VMA_END) - load<u64>(v, VMA_START);
      places--;
    }
    if (pages == 0 || pages != filePlacePages(file, n)) return at(pages, Broken.CountDiffers);
  }
  return places == 0 ? Broken.Nothing : at(file, Broken.CountDiffers);
}

function isOf(vma: usize, file: usize): bool {
  return (load<u32>(vma, VMA_FLAGS) & VMA_FILE) != 0 && fileOf(vma) == file;
}

/** Hugetlb pages of 1 GiB that somebody owns, a bit for each. */
const OWNED: usize = SCRATCH + SCRATCH_SIZE - 56;

/** Chunk `index` of a node is the part with that number of a page of 1 GiB; all are there. `owns`: it is nobody else's. */
function checkPart(node: usize, index: u32, owns: bool): Broken {
  const folio = folioOf(chunkAt(node, index));
  const first = chunkAt(node, 0);
  if (first == 0 || folio != folioOf(first) + (index << 9) || (folioOf(first) & (GIGANTIC - 1)) != 0) return at(folio, Broken.StateContradicts);
  if (index != 0) return Broken.Nothing;
  for (let i: u32 = 1; i < 512; i++) if (chunkAt(node, i) == 0 || folioOf(chunkAt(node, i)) != folio + (i << 9)) return at(folio, Broken.StateContradicts);
  if (!owns) return Broken.Nothing;
  const bit: u32 = 1 << giganticOf(folio);
  if ((load<u32>(OWNED) & bit) != 0) return at(folio, Broken.OwnedTwice);
  store<u32>(OWNED, load<u32>(OWNED) | bit);
  return Broken.Nothing;
}

/** Each page of 1 GiB is owned or free, and counts as used when it is owned. */
function checkGigantic(): Broken {
  const owned = load<u32>(OWNED);
  const free = load<u32>(HOST_GIGANTIC_FREE);
  if ((owned & free) != 0) return at(owned & free, Broken.OwnedTwice);
  if ((owned | free) != (1 << load<u32>(HOST_GIGANTIC_TOTAL)) - 1) return at(owned | free, Broken.Leaked);
  return (owned & ~load<u32>(HOST_GIGANTIC_USED)) == 0 ? Broken.Nothing : at(owned, Broken.CountsAsFresh);
}

/** What KSM keeps besides items: pages of records and the buckets of the stable tree. */
function checkKsm(arena: usize): Broken {
  if (load<u64>(KSM_ENTRIES) != load<u64>(KSM_COUNTED)) return at(load<u64>(KSM_ENTRIES), Broken.CountDiffers);
  let e: Broken = Broken.Nothing;
  for (let page: usize = load<u32>(HOST_KSM_PAGES); page != 0 && e == Broken.Nothing; page = load<u32>(page)) e = ownRun(arena, page, 1);
  const table: usize = load<u32>(HOST_KSM_STABLE);
  if (table == 0 || e != Broken.Nothing) return e;
  e = ownRun(arena, table, 1);
  for (let p = table; p < table + 4096 && e == Broken.Nothing; p += 4) if (load<u32>(p) != 0) e = ownRun(arena, load<u32>(p), 1);
  return e;
}
