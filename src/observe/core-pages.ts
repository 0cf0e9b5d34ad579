// The pages of a VMA that a core file gets, and their bytes. Reference: linux 6.18 fs/coredump.c, dump_user_range;
// mm/gup.c, get_dump_page. Nothing is faulted in: a swapped page is read in its slot, where Linux would bring it back.
import { PAGE_SIZE } from '../address.ts';
import { SCRATCH } from '../core/layout.ts';
import type { Vma } from '../types.ts';
import type { Vm } from '../vm.ts';
import type { CoreChunk } from './core-types.ts';

const GIB_PAGES = 1n << 18n;
const CHUNK_PAGES = 512n;
/** Nothing, or a page of zeros that all share: get_dump_page finds none, and the file gets a hole. */
const HOLES = '.zZx';
/** Pages that are handed out in one piece, at most. */
const PIECE = 64;

/** The first `bytes` of the VMA as pieces of the file, with `offset` where the VMA begins there. Copies: none changes later. */
export function* dumpPages(vm: Vm, vma: Vma, bytes: number, offset: number): Generator<CoreChunk> {
  const { core } = vm.host;
  const first = vma.start >> 12n;
  const end = first + BigInt(bytes / PAGE_SIZE);
  const piece = new Uint8Array(PIECE * PAGE_SIZE);
  let pages = 0;
  let next = -1n;
  const whole = (): CoreChunk => {
    const at = offset + Number(next - first - BigInt(pages)) * PAGE_SIZE;
    const copy = piece.slice(0, pages * PAGE_SIZE);
    pages = 0;
    return { offset: at, bytes: copy };
  };
  for (const vpn of presentPages(vm, vma, end)) {
    if (pages > 0 && (vpn !== next || pages === PIECE)) yield whole();
    const at = core.x.pagePeek(vm.ptr, vpn) >>> 0;
    piece.set(core.u8.subarray(at, at + PAGE_SIZE), pages * PAGE_SIZE);
    pages++;
    next = vpn + 1n;
  }
  if (pages > 0) yield whole();
}

/** Whether memory starts as an ELF file does. */
export function startsAsElf(vm: Vm, vma: Vma): boolean {
  const { core } = vm.host;
  const at = core.x.pagePeek(vm.ptr, vma.start >> 12n) >>> 0;
  return at !== 0 && [0x7f, 0x45, 0x4c, 0x46].every((byte, i) => core.u8[at + i] === byte);
}

/** vpns of the VMA below `end` that are no hole, ascending. Cost follows what is there. */
function* presentPages(vm: Vm, vma: Vma, end: bigint): Generator<bigint> {
  const { core } = vm.host;
  // Pages of a file can be in memory without being mapped, so of those each is asked for.
  const counts = vma.file === undefined && !vma.flags.includes('sh') && !vma.flags.includes('ht');
  const present = (from: bigint, to: bigint): bigint => {
    if (!counts) return -1n;
    core.x.rangeStats(vm.ptr, from, to);
    return core.readU64(SCRATCH) + core.readU64(SCRATCH + 24);
  };
  for (const [from, to] of parts(vma.start >> 12n, end, GIB_PAGES)) {
    if (present(from, to) === 0n) continue;
    for (const [a, b] of parts(from, to, CHUNK_PAGES)) {
      const n = present(a, b);
      if (n === 0n) continue;
      for (let vpn = a; vpn < b; vpn++) {
        if (n === b - a || !isHole(core.x.pageLetter(vm.ptr, vpn))) yield vpn;
      }
    }
  }
}

const isHole = (letter: number): boolean => HOLES.includes(String.fromCharCode(letter));

/** [from, end) cut at multiples of `size`. */
function* parts(from: bigint, end: bigint, size: bigint): Generator<readonly [bigint, bigint]> {
  for (let at = from; at < end; ) {
    const border = (at / size + 1n) * size;
    const to = border < end ? border : end;
    yield [at, to];
    at = to;
  }
}
