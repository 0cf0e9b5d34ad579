// RAM itself, whatever its protection: what a debugger of the machine sees and writes (ptrace's access to
// a VMM, FOLL_FORCE). No guest and no device comes this way.
import { Status } from '../abi/status';
import { VM_WRITE, VMA_FILE } from '../abi/vm-flags';
import { bitClear, bitGet } from '../base/bits';
import { ZERO_PAGE } from '../base/layout';
import { frameAddress } from '../frames/bytes';
import { slotOf, slotVpn } from '../memslot/table';
import { faultIn, frameOf } from '../mm/fault';
import { fileOf, filePage } from '../mm/file-place';
import { BACKED, chunkOf, pageSlot, SWAPPED, WRITABLE } from '../mm/page-state';
import { vmaOf } from '../mm/look-up';
import { VMA_FLAGS } from '../mm/vma';

/**
 * Address of the byte at gpa for reading, without changing any state: a swapped page is read in its slot,
 * an absent one in the zero page. 0 outside RAM and where nothing is mapped.
 */
export function ramPeek(vm: usize, gpa: u64): usize {
  const slot = slotOf(vm, gpa >> 12);
  const page = slot == 0 ? <usize>0 : pagePeek(vm, slotVpn(slot, gpa >> 12));
  return page == 0 ? 0 : page + <usize>(gpa & 4095);
}

/** The same for the VMM's page vpn, mapped to the guest or not. */
export function pagePeek(vm: usize, vpn: u64): usize {
  const vma = vmaOf(vm, vpn);
  if (vma == 0) return 0;
  const page = kept(vm, vpn);
  if (page != 0) return frameAddress(page);
  // What the mapping has nothing for is the file's, if there is one (private hugetlb memory has none that counts).
  const file = (load<u32>(vma, VMA_FLAGS) & VMA_FILE) != 0 ? fileOf(vma) : 0;
  const cached = file != 0 ? kept(file, filePage(vma, vpn)) : 0;
  return cached != 0 ? frameAddress(cached) : ZERO_PAGE;
}

/** The frame or the swap slot of a page of a VM or a file, 0 when there is neither. */
function kept(space: usize, vpn: u64): u32 {
  const chunk = chunkOf(space, vpn);
  const i = <u32>vpn & 511;
  return chunk != 0 && (bitGet(chunk + BACKED, i) || bitGet(chunk + SWAPPED, i)) ? load<u32>(pageSlot(chunk, i)) : 0;
}

/** Address of the byte at gpa for writing: the page is faulted in as by a write. 0 as above, or without a frame. */
export function ramPoke(vm: usize, gpa: u64): usize {
  const slot = slotOf(vm, gpa >> 12);
  if (slot == 0) return 0;
  const vpn = slotVpn(slot, gpa >> 12);
  const vma = vmaOf(vm, vpn);
  if (vma == 0 || faultIn(vm, vpn, true, vma, chunkOf(vm, vpn)) != Status.Ok) return 0;
  // Forced: the page is there and dirty now, but no more writable than its mapping (linux: FOLL_FORCE).
  if ((load<u32>(vma, VMA_FLAGS) & VM_WRITE) == 0) bitClear(chunkOf(vm, vpn) + WRITABLE, <u32>vpn & 511);
  return frameAddress(frameOf(vm, vpn)) + <usize>(gpa & 4095);
}
