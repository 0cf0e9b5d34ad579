// Attributes that a guest_memfd keeps itself, for its pages: which are private to the guest, and which are held by somebody
// who may access them at any time (a long-term pin). Reference: the series "guest_memfd: in-place conversion support"
// (kvm_gmem_get_attributes, kvm_gmem_set_attributes), linux Documentation/core-api/pin_user_pages.rst.
//
// Both are sets of page numbers from the file's first page on (memslot/gfn-set.ts).
import { GMEM_ATTRIBUTES } from '../abi/file';
import { FILE_PINS, FILE_PRIVATE, fileAt, fileFlags } from './file';
import { setAdd, setFill, setFree, setHas, setNext, setTakeWord } from '../memslot/gfn-set';

/** A file has up to 2^51 pages. */
export const FILE_SET_DEPTH: u32 = 4;

/** Whether the file says itself what of it is private. */
// @ts-ignore: decorator
@inline
export function fileHasAttributes(file: usize): bool {
  return (fileFlags(file) & GMEM_ATTRIBUTES) != 0;
}

/** The number of page `at` in the sets. */
// @ts-ignore: decorator
@inline
export function pageOf(file: usize, at: u64): u64 {
  return at - fileAt(file, 0);
}

/** Whether page `at` of a file with attributes is private. */
export function fileIsPrivate(file: usize, at: u64): bool {
  return setHas(file + FILE_PRIVATE, FILE_SET_DEPTH, pageOf(file, at));
}

/** All of a new file is private. */
export function fileAllPrivate(file: usize): void {
  setFill(file + FILE_PRIVATE);
}

/** The first of pages [at, end) that is, or is not, private; `end` when there is none. */
export function fileNextKind(file: usize, at: u64, end: u64, isPrivate: bool): u64 {
  return fileAt(file, 0) + setNext(file + FILE_PRIVATE, FILE_SET_DEPTH, pageOf(file, at), pageOf(file, end), isPrivate);
}

/** The first of pages [at, end) that is pinned; `end` when none is. */
export function fileNextPinned(file: usize, at: u64, end: u64): u64 {
  return fileAt(file, 0) + setNext(file + FILE_PINS, FILE_SET_DEPTH, pageOf(file, at), pageOf(file, end), true);
}

/** Page number `page` is pinned from now on, or no more. False without metadata. */
export function filePin(vm: usize, file: usize, page: u64, pinned: bool): bool {
  if (pinned) return setAdd(vm, file + FILE_PINS, FILE_SET_DEPTH, page);
  return setTakeWord(file + FILE_PINS, FILE_SET_DEPTH, page & ~(<u64>63), (<u64>1) << (page & 63));
}

/** The file goes. */
export function fileSetsFree(file: usize): void {
  setFree(file + FILE_PRIVATE, FILE_SET_DEPTH);
  setFree(file + FILE_PINS, FILE_SET_DEPTH);
}
