// The places in which a file is mapped: each has its pages at another distance from the VMM's own. A VMA knows file and
// place by its name, which is the same for all VMAs of one place, however they are cut.
// Reference: linux mm/interval_tree.c, mm/rmap.c (rmap_walk_file), mm/vma.c (is_mergeable_vma, vm_pgoff).
//
// ╒═ VMA_NAME, u64 ═ upper 44 bits, signed: vpn of the page that is VPN_BASE in the file ═╤═ lower 20: file / 4096 ═╕
// ╞═ place, 16 bytes, in the file's page ═ 0 that vpn i64 ═╤═ 8 pages mapped there u64 ═══════════════════════════╡
import { HOST_FILES, RUN_VMA_ASIDE, VM_LOCK_BITS, VPN_BASE } from '../base/layout';
import { bitGet } from '../base/bits';
import { self } from '../base/thread';
import { FILE_HOME, FILE_NEXT, FILE_PLACES, fileAt, fileEnd, fileOwner } from './file';
import { vmaOf } from './look-up';
import { BACKED, chunkOf, DIRTY, FILE, pageSlot } from './page-state';
import { VMA_NAME } from './vma';

const PLACE: usize = 1024;
const PLACE_SIZE: usize = 16;
/** Places in which a file can be mapped. */
const PLACE_MAX: u32 = 192;
assert(PLACE + <usize>PLACE_MAX * PLACE_SIZE <= 4096);

/** VMA_NAME of a VMA that maps the file's page `at` at vpn. */
export function fileName(file: usize, vpn: u64, at: u64): u64 {
  return ((vpn - (at - VPN_BASE)) << 20) | (<u64>file >> 12);
}

/** The place where a VMA with this name has its file: vpn of the page that is VPN_BASE in the file. */
// @ts-ignore: decorator
@inline
function placeOf(name: u64): u64 {
  return <u64>(<i64>name >> 20);
}

// @ts-ignore: decorator
@inline
export function fileOf(vma: usize): usize {
  return fileNamed(load<u64>(vma, VMA_NAME));
}

// @ts-ignore: decorator
@inline
export function fileNamed(name: u64): usize {
  return <usize>(<u32>name & 0xfffff) << 12;
}

/** The file's page at vpn of a VMA that maps it. */
// @ts-ignore: decorator
@inline
export function filePage(vma: usize, vpn: u64): u64 {
  return vpn - placeOf(load<u64>(vma, VMA_NAME)) + VPN_BASE;
}

/** `pages` more are mapped by a VMA of this name. False: the file is mapped in too many places. */
export function fileMap(name: u64, pages: u64): bool {
  const file = fileNamed(name);
  const place = placeOf(name);
  const n = load<u32>(file, FILE_PLACES);
  let p = file + PLACE;
  for (const end = placesEnd(file); p < end && load<u64>(p) != place; p += PLACE_SIZE) {}
  if (p == placesEnd(file)) {
    if (n == PLACE_MAX) return false;
    store<u64>(p, place);
    store<u64>(p, 0, 8);
    store<u32>(file, n + 1, FILE_PLACES);
  }
  store<u64>(p, load<u64>(p, 8) + pages, 8);
  if (load<u64>(file, FILE_HOME) == 0) store<u64>(file, place, FILE_HOME);
  if (place != load<u64>(file, FILE_HOME) || (place & 511) != 0) store<u32>(fileOwner(file), 0, VM_LOCK_BITS);
  return true;
}

/** `pages` fewer. */
export function fileUnmap(name: u64, pages: u64): void {
  const file = fileNamed(name);
  let p = file + PLACE;
  while (load<u64>(p) != placeOf(name)) p += PLACE_SIZE;
  store<u64>(p, load<u64>(p, 8) - pages, 8);
  if (load<u64>(p, 8) != 0) return;
  // The last place takes the empty one's.
  const last = placesEnd(file) - PLACE_SIZE;
  store<u64>(p, load<u64>(last));
  store<u64>(p, load<u64>(last, 8), 8);
  store<u32>(file, load<u32>(file, FILE_PLACES) - 1, FILE_PLACES);
}

// @ts-ignore: decorator
@inline
function placesEnd(file: usize): usize {
  return file + PLACE + <usize>load<u32>(file, FILE_PLACES) * PLACE_SIZE;
}

export function filePlaces(file: usize): u32 {
  return load<u32>(file, FILE_PLACES);
}

/** VMA_NAME of the VMAs in place n. */
export function filePlaceName(file: usize, n: u32): u64 {
  return (load<u64>(file + PLACE + <usize>n * PLACE_SIZE) << 20) | (<u64>file >> 12);
}

/** How many pages are mapped there. */
export function filePlacePages(file: usize, n: u32): u64 {
  return load<u64>(file + PLACE + <usize>n * PLACE_SIZE, 8);
}

/** Where a VMA of this name would have the file's page `at`; below 0, as i64, where it cannot reach. */
export function fileVpn(name: u64, at: u64): i64 {
  return <i64>(at - VPN_BASE + placeOf(name));
}

/** vpn of the entry that maps the file's page `at` in place n, 0 for none: it has the page's frame. */
export function fileMappedAt(file: usize, n: u32, at: u64): u64 {
  const own = chunkOf(file, at);
  if (own == 0 || !bitGet(own + BACKED, <u32>at & 511)) return 0;
  const vpn = at - VPN_BASE + load<u64>(file + PLACE + <usize>n * PLACE_SIZE);
  const i = <u32>vpn & 511;
  const chunk = chunkOf(fileOwner(file), vpn);
  if (chunk == 0 || !bitGet(chunk + FILE, i)) return 0;
  return load<u32>(pageSlot(chunk, i)) == load<u32>(pageSlot(own, <u32>at & 511)) ? vpn : 0;
}

/** How many entries map the file's page `at`. */
export function fileMappings(file: usize, at: u64): u32 {
  let mappings: u32 = 0;
  for (let n: u32 = 0; n < filePlaces(file); n++) if (fileMappedAt(file, n, at) != 0) mappings++;
  return mappings;
}

/** Where home has the file's page `at`: the lock of that chunk is the page's, too. */
export function fileHome(file: usize, at: u64): u64 {
  return at - VPN_BASE + load<u64>(file, FILE_HOME);
}

/** Whether the file's page that is mapped at vpn was written, as far as the file knows. */
export function fileIsDirty(vm: usize, vpn: u64): bool {
  const vma = vmaOf(vm, vpn, 0, self + RUN_VMA_ASIDE);
  const at = filePage(vma, vpn);
  return bitGet(chunkOf(fileOf(vma), at) + DIRTY, <u32>at & 511);
}

/** The file whose home in `vm` has vpn, whether or not it is still mapped there; 0 for none. */
export function fileAround(vm: usize, vpn: u64): usize {
  for (let file: usize = load<u32>(HOST_FILES); file != 0; file = load<u32>(file, FILE_NEXT)) {
    const home = load<u64>(file, FILE_HOME);
    if (fileOwner(file) == vm && home != 0 && vpn - fileHome(file, fileAt(file, 0)) < fileEnd(file) - fileAt(file, 0)) return file;
  }
  return 0;
}
