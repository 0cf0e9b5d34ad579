// Metadata pages: SLAT tables, page state, VMA blocks, connection tables. Zeroed when handed out.
import { Fail } from '../abi/fail';
import { HOST_ARENA } from '../base/layout';
import { frameAddress, frameZero } from './bytes';
import { pageGet, pagePut, pageTakeFresh } from './cache';
import { fails } from './fail';
import { poolBump } from './pool';

/** Address of a zeroed 4 KiB page, 0 when the arena is empty. */
export function arenaGet(): usize {
  if (fails(Fail.Metadata)) return 0;
  const page = pageGet(HOST_ARENA);
  if (page == 0) return 0;
  if (!pageTakeFresh(HOST_ARENA, page)) frameZero(page);
  return frameAddress(page);
}

/** Address of `pages` zeroed contiguous pages, 0 when there are not as many. For tables that live as long as the VM. */
export function arenaGetContiguous(pages: u32): usize {
  if (fails(Fail.Metadata)) return 0;
  const first = poolBump(HOST_ARENA, pages);
  if (first == 0) return 0;
  for (let i: u32 = 0; i < pages; i++) if (!pageTakeFresh(HOST_ARENA, first + i)) frameZero(first + i);
  return frameAddress(first);
}

/** What arenaGetContiguous gave; `address` 0: nothing. */
export function arenaPutContiguous(address: usize, pages: u32): void {
  if (address == 0) return;
  for (let i: u32 = pages; i != 0; i--) arenaPut(address + (<usize>(i - 1) << 12));
}

// @ts-ignore: decorator
@inline
export function arenaPut(address: usize): void {
  pagePut(HOST_ARENA, <u32>(address >> 12));
}
