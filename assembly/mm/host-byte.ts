// A byte of the VMM's memory as code of the host reaches it: devices of the VMM, and KVM where it copies from and to the
// VMM's memory itself. Reference: linux virt/kvm/kvm_main.c (__kvm_read_guest_page, __kvm_write_guest_page).
import { Status } from '../abi/status';
import { ZERO_PAGE } from '../base/layout';
import { bitGet } from '../base/bits';
import { frameAddress } from '../frames/bytes';
import { hostAccess } from './fault';
import { entryDirtied } from './huge';
import { BACKED, chunkOf, pageSlot, WRITABLE } from './page-state';

/**
 * Address of the byte at `offset` of page vpn, which is faulted in for it; 0 when it cannot be reached. The chunk is locked
 * by the caller, and the address holds until it unlocks.
 */
export function hostByte(vm: usize, vpn: u64, offset: u32, write: bool): usize {
  const i = <u32>vpn & 511;
  let chunk = chunkOf(vm, vpn);
  // A page that is there and writable is readable too: no look at the VMA.
  if (chunk == 0 || !bitGet(chunk + WRITABLE, i)) {
    if (hostAccess(vm, vpn, write) != Status.Ok) return 0;
    chunk = chunkOf(vm, vpn);
    if (!bitGet(chunk + BACKED, i)) return ZERO_PAGE + offset;
  }
  if (write) entryDirtied(chunk, i);
  return frameAddress(load<u32>(pageSlot(chunk, i))) + offset;
}
