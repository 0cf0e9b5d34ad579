// How the device, a part of the VMM, reaches guest memory: gpa → region → the VMM's own page table.
// It may fault pages in; what the VMM's protection forbids it cannot reach.
import { Status } from '../../abi/status';
import { BUF_SIZE } from '../../abi/pvmemcontrol';
import { PAGE_SIZE, VM_BUF_AT, VM_BUF_CONN, VM_BUF_VPN, ZERO_PAGE } from '../../base/layout';
import { bitGet, bitSet } from '../../base/bits';
import { frameAddress } from '../../frames/bytes';
import { slotOf, slotVpn } from '../../memslot/table';
import { hostAccess } from '../../mm/fault';
import { BACKED, chunkOf, DIRTY, pageSlot, WRITABLE } from '../../mm/page-state';

/** Whether [gpa, gpa+len) lies in RAM; it may run from one region into another that touches it. 0 < len ≤ 4096. */
export function inRam(vm: usize, gpa: u64, len: u64): bool {
  const last = gpa + len - 1;
  if (last < gpa) return false;
  return slotOf(vm, gpa >> 12) != 0 && slotOf(vm, last >> 12) != 0;
}

/** Address of the byte at gpa for the VMM, 0 when it cannot be reached. */
function ramByte(vm: usize, gpa: u64, write: bool): usize {
  const slot = slotOf(vm, gpa >> 12);
  if (slot == 0) return 0;
  const vpn = slotVpn(slot, gpa >> 12);
  const i = <u32>vpn & 511;
  let chunk = chunkOf(vm, vpn);
  // A page that is there and writable is readable too: no look at the VMA.
  if (chunk == 0 || !bitGet(chunk + WRITABLE, i)) {
    if (hostAccess(vm, vpn, write) != Status.Ok) return 0;
    chunk = chunkOf(vm, vpn);
    if (!bitGet(chunk + BACKED, i)) return ZERO_PAGE + <usize>(gpa & 4095);
  }
  if (write) bitSet(chunk + DIRTY, i);
  return frameAddress(load<u32>(pageSlot(chunk, i))) + <usize>(gpa & 4095);
}

/**
 * Address of connection n's buffer, when it was the last one answered and nothing has happened to its page since
 * (then it is still backed, writable and dirty); else 0. KVM keeps such a gfn_to_hva_cache too.
 */
// @ts-ignore: decorator
@inline
export function knownBuffer(vm: usize, n: u32): usize {
  return load<u32>(vm, VM_BUF_CONN) == n ? <usize>load<u32>(vm, VM_BUF_AT) : 0;
}

/** Connection n's buffer at gpa has just been written; remember where, if it lies in one page. The three fields go together. */
export function rememberBuffer(vm: usize, n: u32, gpa: u64): void {
  if ((<u32>gpa & 4095) > 4096 - BUF_SIZE) return;
  const vpn = slotVpn(slotOf(vm, gpa >> 12), gpa >> 12);
  const frame = load<u32>(pageSlot(chunkOf(vm, vpn), <u32>vpn & 511));
  store<u32>(vm, n, VM_BUF_CONN);
  store<u64>(vm, vpn, VM_BUF_VPN);
  store<u32>(vm, <u32>frameAddress(frame) + (<u32>gpa & 4095), VM_BUF_AT);
}

/** A request buffer is 32 bytes and nearly always in one page: two vectors, not a call to the copying routine. */
// @ts-ignore: decorator
@inline
function copyPart(to: usize, from: usize, n: u32): void {
  if (n == 32) {
    v128.store(to, v128.load(from, 0), 0);
    v128.store(to, v128.load(from, 16), 16);
  } else memory.copy(to, from, n);
}

/** Copy len bytes at gpa to `to`. False when a page cannot be reached. */
export function ramLoad(vm: usize, gpa: u64, to: usize, len: u32): bool {
  const room = PAGE_SIZE - (<u32>gpa & 4095);
  const n = len < room ? len : room;
  const p = ramByte(vm, gpa, false);
  if (p == 0) return false;
  copyPart(to, p, n);
  return n == len || ramLoad(vm, gpa + n, to + n, len - n);
}

/** Copy len bytes from `from` to gpa. False when a page cannot be reached; those before it are written. */
export function ramStore(vm: usize, gpa: u64, from: usize, len: u32): bool {
  const room = PAGE_SIZE - (<u32>gpa & 4095);
  const n = len < room ? len : room;
  const p = ramByte(vm, gpa, true);
  if (p == 0) return false;
  copyPart(p, from, n);
  return n == len || ramStore(vm, gpa + n, from + n, len - n);
}
