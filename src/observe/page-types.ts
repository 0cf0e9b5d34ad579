// The summary of the tool page-types: how many pages have which flags, of one process or of the host.
// Reference: linux 6.18 tools/mm/page-types.c.
import { Kpf, Pm } from '../../assembly/abi/page-flags.ts';
import { PAGE_SIZE } from '../address.ts';
import type { Core } from '../core/core.ts';
import {
  HOST_FRAMES,
  HOST_GIGANTIC_BASE,
  HOST_GIGANTIC_TOTAL,
  HUGE_ZERO_PAGE,
  POOL_BASE,
} from '../core/layout.ts';
import type { Vm } from '../vm.ts';
import { readPageFlags } from './page-flags.ts';
import { pieces } from './pagemap.ts';
import type { PageType, PageTypes, PageTypesOptions } from './proc-types.ts';
import { readVmas } from './vmas.ts';

/** page_flag_names, by bit: a letter and a name. From 47 on the tool's own. */
const FLAG_NAMES: readonly (readonly [number, string])[] = [
  [Kpf.Locked, 'L:locked'],
  [Kpf.Error, 'E:error'],
  [Kpf.Referenced, 'R:referenced'],
  [Kpf.Uptodate, 'U:uptodate'],
  [Kpf.Dirty, 'D:dirty'],
  [Kpf.Lru, 'l:lru'],
  [Kpf.Active, 'A:active'],
  [Kpf.Slab, 'S:slab'],
  [Kpf.Writeback, 'W:writeback'],
  [Kpf.Reclaim, 'I:reclaim'],
  [Kpf.Buddy, 'B:buddy'],
  [Kpf.Mmap, 'M:mmap'],
  [Kpf.Anon, 'a:anonymous'],
  [Kpf.Swapcache, 's:swapcache'],
  [Kpf.Swapbacked, 'b:swapbacked'],
  [Kpf.CompoundHead, 'H:compound_head'],
  [Kpf.CompoundTail, 'T:compound_tail'],
  [Kpf.Huge, 'G:huge'],
  [Kpf.Unevictable, 'u:unevictable'],
  [Kpf.Hwpoison, 'X:hwpoison'],
  [Kpf.Nopage, 'n:nopage'],
  [Kpf.Ksm, 'x:ksm'],
  [Kpf.Thp, 't:thp'],
  [Kpf.Offline, 'o:offline'],
  [Kpf.ZeroPage, 'z:zero_page'],
  [Kpf.Idle, 'i:idle_page'],
  [Kpf.Pgtable, 'g:pgtable'],
  [Kpf.Reserved, 'r:reserved'],
  [Kpf.Mlocked, 'm:mlocked'],
  [Kpf.Owner2, 'd:owner_2'],
  [35, 'P:private'],
  [36, 'p:private_2'],
  [37, 'O:owner_private'],
  [38, 'h:arch'],
  [39, 'c:uncached'],
  [40, 'f:softdirty'],
  [41, 'H:arch_2'],
  [47, 'd:anon_exclusive'],
  [48, 'I:readahead'],
  [50, 'A:slub_frozen'],
  [51, 'E:slub_debug'],
  [61, 'F:file'],
  [62, 'w:swap'],
  [63, '1:mmap_exclusive'],
];

const BIT = (n: number): bigint => 1n << BigInt(n);
const HACKERS_BITS = 0xffffn << 32n;
const COMPOUND = BIT(Kpf.CompoundHead) | BIT(Kpf.CompoundTail);
const [ANON_EXCLUSIVE, FILE, SWAP, MMAP_EXCLUSIVE] = [BIT(47), BIT(61), BIT(62), BIT(63)];

/** Pages by what kpageflags and the upper half of their pagemap entry say, in the order in which these are first met. */
class Tally {
  readonly #counts = new Map<number, number>();
  // Neighbours are mostly alike.
  #last = -1;
  #pages = 0;

  /** `flags` of a frame are below 2^35. */
  add(flags: number, high: number, pages = 1): void {
    // The upper half without the frame number's bits.
    const key = flags * 512 + (high >>> 23);
    if (key !== this.#last) this.#close(key);
    this.#pages += pages;
  }

  #close(next: number): void {
    if (this.#pages > 0) this.#counts.set(this.#last, (this.#counts.get(this.#last) ?? 0) + this.#pages);
    this.#last = next;
    this.#pages = 0;
  }

  types(raw: boolean): PageTypes {
    this.#close(-1);
    const counts = new Map<bigint, number>();
    let pages = 0;
    for (const [key, n] of this.#counts) {
      const flags = BigInt(Math.floor(key / 512));
      const shown = raw ? expandOverloaded(flags, BigInt(key % 512) << 55n) : wellKnown(flags);
      counts.set(shown, (counts.get(shown) ?? 0) + n);
      pages += n;
    }
    const types = inSlots([...counts.keys()]).map((flags) => pageType(flags, counts.get(flags) as number));
    return { types, pages };
  }
}

/** well_known_flags: hides what is for kernel developers, and compound pages that are not of hugetlb. */
function wellKnown(flags: bigint): bigint {
  const known = flags & ~HACKERS_BITS;
  return (known & BIT(Kpf.Huge)) === 0n ? known & ~COMPOUND : known;
}

/** expand_overloaded_flags, as far as such flags are kept here. */
function expandOverloaded(flags: bigint, entry: bigint): bigint {
  let out = flags;
  if (out & BIT(Kpf.Anon) && out & BIT(Kpf.Owner2)) out ^= BIT(Kpf.Owner2) | ANON_EXCLUSIVE;
  if (entry & BIT(Pm.File)) out |= FILE;
  if (entry & BIT(Pm.Swap)) out |= SWAP;
  if (entry & BIT(Pm.MmapExclusive)) out |= MMAP_EXCLUSIVE;
  return out;
}

/** Frames of a page of 1 GiB. */
const GIGANTIC = 2 ** 18;
const HASH_SIZE = 1 << 13;

/** hash_slot: the tool prints its table from the first slot to the last; where two want the same, the earlier has it. */
function inSlots(met: readonly bigint[]): bigint[] {
  const slots = new Map<number, bigint>();
  for (const flags of met) {
    let k = Number(flags & BigInt(HASH_SIZE - 1));
    // Slot 0 is for no flags at all.
    if (flags !== 0n) while (k === 0 || slots.has(k)) k = (k + 1) % HASH_SIZE;
    slots.set(k, flags);
  }
  return [...slots].sort(([a], [b]) => a - b).map(([, flags]) => flags);
}

function pageType(flags: bigint, pages: number): PageType {
  const isSet = (n: number): boolean => (flags & BIT(n)) !== 0n;
  return {
    flags,
    pages,
    symbolic: FLAG_NAMES.map(([n, name]) => (isSet(n) ? name[0] : '_')).join(''),
    names: FLAG_NAMES.filter(([n]) => isSet(n)).map(([, name]) => name.slice(2)),
  };
}

/** kpageflags of the frames that were ever handed out, from the first of the pool on, as pairs of u32, low half first. */
function usedFrames(core: Core): Uint32Array {
  const base = core.readU32(HOST_FRAMES + POOL_BASE);
  return new Uint32Array(readPageFlags(core, base, core.x.poolBumped(HOST_FRAMES) >>> 0).buffer);
}
const flagsIn = (pairs: Uint32Array, n: number): number =>
  (pairs[2 * n] as number) + (pairs[2 * n + 1] as number) * 2 ** 32;

/** `page-types --pid`: pages in the mappings of guest RAM. A swapped one has no frame, so no flags. */
export function readPageTypes(vm: Vm, { raw = false }: PageTypesOptions): PageTypes {
  const { core } = vm.host;
  const base = core.readU32(HOST_FRAMES + POOL_BASE);
  const used = usedFrames(core);
  // What is no frame of the pool is a zero page, the small one below the huge one, or of a hugetlb page of 1 GiB. Pages of a
  // huge one are alike behind the first.
  const gigantic = core.readU32(HOST_GIGANTIC_BASE);
  const zeros = new Map<number, number>();
  const zeroFlags = (pfn: number): number => {
    const like =
      pfn < gigantic
        ? Math.min(pfn, (HUGE_ZERO_PAGE >>> 12) + 1)
        : pfn - (pfn % GIGANTIC) + Math.min(pfn % GIGANTIC, 1);
    const flags = zeros.get(like) ?? Number(readPageFlags(core, like, 1)[0]);
    zeros.set(like, flags);
    return flags;
  };
  const tally = new Tally();
  for (const { start, end } of readVmas(vm)) {
    for (const { halves } of pieces(vm, start, end)) {
      for (let i = 0; i < halves.length; i += 2) {
        const high = halves[i + 1] as number;
        if (high >>> (Pm.Present - 32)) {
          const pfn = halves[i] as number;
          const isFrame = pfn >= base && pfn - base < used.length / 2;
          tally.add(isFrame ? flagsIn(used, pfn - base) : zeroFlags(pfn), high);
        } else if (high !== 0) tally.add(0, high);
      }
    }
  }
  return tally.types(raw);
}

/** `page-types` of the host: the zero page, all frames of the pool, hugetlb pages of 1 GiB. */
export function readHostPageTypes(core: Core, { raw = false }: PageTypesOptions): PageTypes {
  const used = usedFrames(core);
  const tally = new Tally();
  tally.add(2 ** Kpf.ZeroPage + 2 ** Kpf.Reserved, 0);
  for (let n = 0; n < used.length / 2; n++) tally.add(flagsIn(used, n), 0);
  // Frames never handed out are free.
  const untouched = (core.x.poolTotal(HOST_FRAMES) >>> 0) - used.length / 2;
  if (untouched > 0) tally.add(2 ** Kpf.Buddy, 0, untouched);
  const gigantic = core.readU32(HOST_GIGANTIC_BASE);
  for (let n = 0, total = core.readU32(HOST_GIGANTIC_TOTAL); n < total; n++) {
    const [head, tail] = readPageFlags(core, gigantic + n * GIGANTIC, 2);
    tally.add(Number(head), 0);
    tally.add(Number(tail), 0, GIGANTIC - 1);
  }
  return tally.types(raw);
}

const HEAD = '             flags\tpage-count       MB  symbolic-flags\t\t\tlong-symbolic-flags\n';

/** show_summary */
export function pageTypesText({ types, pages }: PageTypes): string {
  const counts = (n: number): string =>
    `${String(n).padStart(10)} ${String(Math.floor((n * PAGE_SIZE) / 2 ** 20)).padStart(8)}`;
  const lines = types.map(
    (t) =>
      `0x${t.flags.toString(16).padStart(16, '0')}\t${counts(t.pages)}  ${t.symbolic}\t${t.names.join(',')}\n`,
  );
  return `${HEAD}${lines.join('')}             total\t${counts(pages)}\n`;
}
