// /proc/kpageflags and /proc/kpagecount: what is known of each frame, whoever has it. There is no way from a frame to who
// maps it, so the owners are walked: cost follows what is there.
// Reference: linux 6.18 fs/proc/page.c (stable_page_flags, kpagecount_read), mm/mlock.c; docs/model-limits.md says which
// flags are kept. Per-CPU lists are empty, as after lru_add_drain_all: what reclaim may look at is on an LRU list.
import { FileKind } from '../abi/file';
import { Kpf } from '../abi/page-flags';
import { VM_LOCKED } from '../abi/vm-flags';
import { HOST_FILES, HOST_FRAMES, HOST_GIGANTIC_TOTAL, HOST_VM_COUNT, HUGE_ZERO_PAGE, SCRATCH, VM_BASE, VM_DIR_LEN, VM_SIZE, VPN_BASE, ZERO_PAGE } from '../base/layout';
import { bitGet } from '../base/bits';
import { GIGANTIC, giganticOf, isGigantic } from '../frames/gigantic';
import { GROUP, poolBase, poolTotal } from '../frames/pool';
import { FILE_NEXT, fileKind } from '../mm/file';
import { folioIsDirty, folioOf, isAsOne, isHugetlb } from '../mm/huge';
import { ksmIsDirty, ksmIsSwapBacked } from '../mm/ksm-page';
import { vmaOf } from '../mm/look-up';
import { BACKED, chunkOf, DIRTY, FILE, KSM, LAZY, nextChunk, pageSlot, PART } from '../mm/page-state';
import { VMA_FLAGS } from '../mm/vma';

const UPTODATE: u64 = 1 << Kpf.Uptodate;
const IS_DIRTY: u64 = 1 << Kpf.Dirty;
const LRU: u64 = 1 << Kpf.Lru;
const BUDDY: u64 = 1 << Kpf.Buddy;
const MMAP: u64 = 1 << Kpf.Mmap;
const SWAPBACKED: u64 = 1 << Kpf.Swapbacked;
const HEAD: u64 = 1 << Kpf.CompoundHead;
const TAIL: u64 = 1 << Kpf.CompoundTail;
const HUGE: u64 = 1 << Kpf.Huge;
const NOPAGE: u64 = 1 << Kpf.Nopage;
const IS_KSM: u64 = 1 << Kpf.Ksm;
const THP: u64 = 1 << Kpf.Thp;
const ZERO: u64 = 1 << Kpf.ZeroPage;
const RESERVED: u64 = (<u64>1) << Kpf.Reserved;
const ANON: u64 = 1 << Kpf.Anon;
/** Of an anonymous page that has one owner. */
const EXCLUSIVE: u64 = (<u64>1) << Kpf.Owner2;
const UNEVICTABLE: u64 = 1 << Kpf.Unevictable;
const MLOCKED: u64 = ((<u64>1) << Kpf.Mlocked) | UNEVICTABLE;

/** Flags of `count` pages from pfn `first` on, u64 each at SCRATCH, which must have room for them. */
export function pageFlags(first: u32, count: u32): void {
  memory.fill(SCRATCH, 0, <usize>count << 3);
  for (let v: u32 = 0, vms = load<u32>(HOST_VM_COUNT); v < vms; v++) vmFlags(VM_BASE + <usize>v * VM_SIZE, first, count);
  for (let file: usize = load<u32>(HOST_FILES); file != 0; file = load<u32>(file, FILE_NEXT)) fileFlags(file, first, count);
  or(<u32>(ZERO_PAGE >> 12), ZERO | RESERVED, first, count);
  orHuge(<u32>(HUGE_ZERO_PAGE >> 12), ZERO | THP, first, count);
  const base = poolBase(HOST_FRAMES);
  for (let n: u32 = 0; n < count; n++) {
    const p = SCRATCH + (<usize>n << 3);
    if (load<u64>(p) == 0) store<u64>(p, first + n - base < poolTotal(HOST_FRAMES) ? BUDDY : unowned(first + n));
  }
}

/** A frame that nobody has and that is not of the pool: of a free hugetlb page of 1 GiB, or none at all. */
function unowned(frame: u32): u64 {
  if (!isGigantic(frame) || giganticOf(frame) >= load<u32>(HOST_GIGANTIC_TOTAL)) return NOPAGE;
  return HUGE | ((frame & (GIGANTIC - 1)) == 0 ? HEAD : TAIL);
}

/** How many page table entries map each, in the same places. */
export function pageCounts(first: u32, count: u32): void {
  memory.fill(SCRATCH, 0, <usize>count << 3);
  for (let v: u32 = 0, vms = load<u32>(HOST_VM_COUNT); v < vms; v++) {
    const vm = VM_BASE + <usize>v * VM_SIZE;
    const end = endOf(vm);
    for (let vpn = nextChunk(vm, VPN_BASE, end); vpn < end; vpn = nextChunk(vm, (vpn | 511) + 1, end)) {
      const chunk = chunkOf(vm, vpn);
      for (let i: u32 = 0; i < GROUP; i++) {
        const n = load<u32>(pageSlot(chunk, i)) - first;
        if (n >= count || !bitGet(chunk + BACKED, i)) continue;
        const p = SCRATCH + (<usize>n << 3);
        store<u64>(p, load<u64>(p) + 1);
      }
    }
  }
}

// @ts-ignore: decorator
@inline
function or(pfn: u32, flags: u64, first: u32, count: u32): void {
  const n = pfn - first;
  if (n >= count) return;
  const p = SCRATCH + (<usize>n << 3);
  store<u64>(p, load<u64>(p) | flags);
}

/** 512 pages of a huge page, which all show the flags of the first one. */
function orHuge(head: u32, flags: u64, first: u32, count: u32): void {
  const tails = isGigantic(head) && (head & (GIGANTIC - 1)) != 0;
  for (let i: u32 = 0; i < GROUP; i++) or(head + i, flags | (i == 0 && !tails ? HEAD : TAIL), first, count);
}

// @ts-ignore: decorator
@inline
function endOf(space: usize): u64 {
  return VPN_BASE + ((<u64>load<u32>(space, VM_DIR_LEN)) << 18);
}

function vmFlags(vm: usize, first: u32, count: u32): void {
  const end = endOf(vm);
  for (let vpn = nextChunk(vm, VPN_BASE, end); vpn < end; vpn = nextChunk(vm, vpn + GROUP, end)) {
    vpn &= ~(<u64>511);
    const chunk = chunkOf(vm, vpn);
    const folio = folioOf(chunk);
    if (isHugetlb(chunk)) {
      const own = bitGet(chunk + FILE, 0) ? 0 : HUGE | UPTODATE | ANON | EXCLUSIVE;
      orHuge(folio, MMAP | own, first, count);
      continue;
    }
    if (folio != 0) orHuge(folio, folioFlags(vm, vpn, chunk), first, count);
    for (let i: u32 = 0; i < GROUP; i++) {
      if (!bitGet(chunk + BACKED, i) || bitGet(chunk + PART, i)) continue;
      const frame = load<u32>(pageSlot(chunk, i));
      if (frame - first < count) or(frame, smallFlags(chunk, i, frame) | lockedFlags(vm, vpn + i), first, count);
    }
  }
}

/** Of all of a transparent huge page, of which at least one page is mapped. */
function folioFlags(vm: usize, base: u64, chunk: usize): u64 {
  let lazy: u64 = 0;
  for (let o: usize = 0; o < 64; o += 8) lazy |= load<u64>(chunk + PART + o) & load<u64>(chunk + LAZY + o);
  const flags = UPTODATE | LRU | MMAP | ANON | EXCLUSIVE | THP | (lazy == 0 ? SWAPBACKED : 0) | (folioIsDirty(chunk) ? IS_DIRTY : 0);
  // Mapped by parts it may have kept PG_mlocked, or not got it: not known here.
  return isAsOne(chunk) ? flags | lockedFlags(vm, base) : flags;
}

/** What the mapping of a small page says; of a file's page the file says the rest. */
function smallFlags(chunk: usize, i: u32, frame: u32): u64 {
  if (bitGet(chunk + FILE, i)) return MMAP;
  const flags = UPTODATE | LRU | MMAP | ANON;
  if (bitGet(chunk + KSM, i)) {
    return flags | IS_KSM | (ksmIsSwapBacked(frame) ? SWAPBACKED : 0) | (ksmIsDirty(frame) ? IS_DIRTY : 0);
  }
  // PG_dirty is not known: it is kept together with the entry's bit.
  return flags | EXCLUSIVE | (bitGet(chunk + LAZY, i) ? 0 : SWAPBACKED);
}

/** mlock_folio: any locked VMA that maps the page keeps it from reclaim. */
function lockedFlags(vm: usize, vpn: u64): u64 {
  const vma = vmaOf(vm, vpn);
  return vma != 0 && (load<u32>(vma, VMA_FLAGS) & VM_LOCKED) != 0 ? MLOCKED : 0;
}

/** Pages of a file, mapped or not. hugetlbfs marks them dirty from the beginning (hugetlb_add_to_page_cache). */
function fileFlags(file: usize, first: u32, count: u32): void {
  const end = endOf(file);
  // mapping_set_unevictable; nothing of it goes to swap.
  const kind = fileKind(file) == FileKind.GuestMemfd ? UNEVICTABLE : SWAPBACKED;
  for (let at = nextChunk(file, VPN_BASE, end); at < end; at = nextChunk(file, (at | 511) + 1, end)) {
    const chunk = chunkOf(file, at);
    if (isHugetlb(chunk)) {
      orHuge(folioOf(chunk), HUGE | UPTODATE | IS_DIRTY, first, count);
      continue;
    }
    for (let i: u32 = 0; i < GROUP; i++) {
      if (!bitGet(chunk + BACKED, i)) continue;
      const flags = UPTODATE | LRU | kind | (bitGet(chunk + DIRTY, i) ? IS_DIRTY : 0);
      or(load<u32>(pageSlot(chunk, i)), flags, first, count);
    }
  }
}
