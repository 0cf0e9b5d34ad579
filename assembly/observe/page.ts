// What backs one page, for those who point at it: its frame or swap slot, the huge page it is part of, the page of the file,
// and who else maps the frame. Reference: linux Documentation/admin-guide/mm/pagemap.rst says as much of a page to root.
import { HOST_VM_COUNT, SCRATCH, VM_BASE, VM_DIR_LEN, VM_ID, VM_SIZE, VPN_BASE } from '../base/layout';
import { bitGet } from '../base/bits';
import { VMA_FILE } from '../abi/vm-flags';
import { GIGANTIC, isGigantic } from '../frames/gigantic';
import { frameMappings } from '../frames/shared';
import { fileMappings, fileOf, filePage } from '../mm/file-place';
import { folioOf, isAsOne, isHugetlb } from '../mm/huge';
import { vmaOf } from '../mm/look-up';
import {
  BACKED, CHUNK_PARTS, chunkAt, chunkIndex, chunkOf, FILE, HINT_SPECIAL, KSM, nextChunk, NODE_HINTS, nodeOf, pageSlot, planeEmpty,
  SWAPPED,
} from '../mm/page-state';
import { VMA_FLAGS } from '../mm/vma';

// What pageBacking leaves at SCRATCH, u32 each, 0 for none; src/core/layout.ts has the same numbers.
/** The frame that the VMM's page table maps. */
export const PAGE_FRAME: usize = 0;
export const PAGE_SLOT: usize = 4;
/** First frame of the huge page that the page is part of or was; a hugetlb page as well. */
export const PAGE_HUGE: usize = 8;
/** How many of its pages, 512 or 2^18, are mapped. */
export const PAGE_PARTS: usize = 12;
/** Whether one entry maps it. */
export const PAGE_AS_ONE: usize = 16;
/** Entries that map the frame. */
export const PAGE_MAPPINGS: usize = 20;
/** The file's own frame or slot for the page, mapped or not. */
export const PAGE_FILE_FRAME: usize = 24;
export const PAGE_FILE_SLOT: usize = 28;
const PAGE_END: usize = 32;

// @ts-ignore: decorator
@inline
function put(field: usize, value: u32): void {
  store<u32>(SCRATCH + field, value);
}

export function pageBacking(vm: usize, vpn: u64): void {
  memory.fill(SCRATCH, 0, PAGE_END);
  const vma = vmaOf(vm, vpn);
  const chunk = chunkOf(vm, vpn);
  const i = <u32>vpn & 511;
  const hasFile = vma != 0 && (load<u32>(vma, VMA_FLAGS) & VMA_FILE) != 0;
  if (chunk != 0) {
    if (folioOf(chunk) != 0) {
      const gigantic = isGigantic(folioOf(chunk));
      put(PAGE_HUGE, gigantic ? folioOf(chunk) & ~(GIGANTIC - 1) : folioOf(chunk));
      put(PAGE_PARTS, gigantic ? GIGANTIC : isHugetlb(chunk) ? 512 : load<u32>(chunk, CHUNK_PARTS));
      put(PAGE_AS_ONE, <u32>isAsOne(chunk));
    }
    const page = load<u32>(pageSlot(chunk, i));
    if (bitGet(chunk + SWAPPED, i)) put(PAGE_SLOT, page);
    if (bitGet(chunk + BACKED, i)) {
      put(PAGE_FRAME, page);
      const isFile = hasFile && bitGet(chunk + FILE, i);
      put(PAGE_MAPPINGS, bitGet(chunk + KSM, i) ? frameMappings(page) : isFile ? fileMappings(fileOf(vma), filePage(vma, vpn)) : 1);
    }
  }
  if (!hasFile) return;
  const at = filePage(vma, vpn);
  const j = <u32>at & 511;
  const cache = chunkOf(fileOf(vma), at);
  if (cache == 0) return;
  const page = load<u32>(pageSlot(cache, j));
  if (bitGet(cache + BACKED, j)) put(PAGE_FILE_FRAME, page);
  else if (bitGet(cache + SWAPPED, j)) put(PAGE_FILE_SLOT, page);
}

/**
 * Pages that KSM maps to `frame`: SCRATCH ← (VM u32, –, vpn u64) each, in order, the first `limit`. Returns how many there
 * are. Cost follows the chunks with pages of KSM.
 */
export function ksmSharers(frame: u32, limit: u32): u32 {
  let n: u32 = 0;
  for (let v: u32 = 0, vms = load<u32>(HOST_VM_COUNT); v < vms; v++) {
    const vm = VM_BASE + <usize>v * VM_SIZE;
    const end = VPN_BASE + ((<u64>load<u32>(vm, VM_DIR_LEN)) << 18);
    for (let vpn = nextChunk(vm, VPN_BASE, end); vpn < end; vpn = nextChunk(vm, vpn, end)) {
      const base = vpn & ~(<u64>511);
      vpn = base + 512;
      const node = nodeOf(vm, base);
      const chunk = chunkAt(node, chunkIndex(base));
      if ((load<u8>(node + chunkIndex(base), NODE_HINTS) & HINT_SPECIAL) == 0 || planeEmpty(chunk + KSM)) continue;
      for (let i: u32 = 0; i < 512; i++) {
        if (!bitGet(chunk + KSM, i) || load<u32>(pageSlot(chunk, i)) != frame) continue;
        if (n < limit) {
          const at = SCRATCH + (<usize>n << 4);
          store<u32>(at, load<u32>(vm, VM_ID));
          store<u64>(at, base + i, 8);
        }
        n++;
      }
    }
  }
  return n;
}
