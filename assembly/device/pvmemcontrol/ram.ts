// How the device, a part of the VMM, reaches guest memory: gpa → region → the VMM's own page table.
// It may fault pages in; what the VMM's protection forbids it cannot reach.
import { BUF_SIZE } from '../../abi/pvmemcontrol';
import { PAGE_SIZE, VM_BUF_AT, VM_BUF_CONN, VM_BUF_VPN } from '../../base/layout';
import { chunkLock, chunkMissed, chunkUnlock } from '../../base/chunk-lock';
import { local, THREADS } from '../../base/thread';
import { ramOf, ramVpn } from '../../memslot/ram';
import { hostByte } from '../../mm/host-byte';

/** Whether [gpa, gpa+len) lies in RAM; it may run from one region into another that touches it. 0 < len ≤ 4096. */
export function inRam(vm: usize, gpa: u64, len: u64): bool {
  const last = gpa + len - 1;
  if (last < gpa) return false;
  return ramOf(vm, gpa >> 12) != 0 && ramOf(vm, last >> 12) != 0;
}

/**
 * Address of connection n's buffer, when it was the last one answered and nothing has happened to its page since
 * (then it is still backed, writable and dirty); else 0. KVM keeps such a gfn_to_hva_cache too.
 */
// @ts-ignore: decorator
@inline
export function knownBuffer(vm: usize, n: u32): usize {
  const l = local(vm);
  return knownConnection(l) == n ? <usize>load<u32>(l, VM_BUF_AT) : 0;
}

/** Others take it away (memslot/notify.ts), so threads read it with order, in a guest window. */
// @ts-ignore: decorator
@inline
function knownConnection(l: usize): u32 {
  if (THREADS) return atomic.load<u32>(l, VM_BUF_CONN);
  return load<u32>(l, VM_BUF_CONN);
}

/** Write connection n's answer, 32 bytes at `from`, to its buffer at gpa. What lies in one page is remembered. False as ramStore. */
export function bufferStore(vm: usize, n: u32, gpa: u64, from: usize): bool {
  if ((<u32>gpa & 4095) > 4096 - BUF_SIZE) return ramStore(vm, gpa, from, BUF_SIZE);
  return ramPart(vm, gpa, from, BUF_SIZE, true, n);
}

/** Connection n's buffer, in page vpn, is at p. The three fields go together, and before the chunk is given back. */
function rememberBuffer(vm: usize, n: u32, vpn: u64, p: usize): void {
  const l = local(vm);
  store<u32>(l, <u32>p, VM_BUF_AT);
  store<u64>(l, vpn, VM_BUF_VPN);
  store<u32>(l, n, VM_BUF_CONN);
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

/** No connection. */
const NOBODY: u32 = 0xffffffff;

/** n bytes at gpa, in one page, from or to `at`; remembered as the buffer of a connection, if one is given. */
function ramPart(vm: usize, gpa: u64, at: usize, n: u32, write: bool, connection: u32 = NOBODY): bool {
  const region = ramOf(vm, gpa >> 12);
  if (region == 0) return false;
  const vpn = ramVpn(region, gpa >> 12);
  let p: usize;
  let attempts: u32 = 0;
  do {
    chunkLock(vm, vpn);
    p = hostByte(vm, vpn, <u32>gpa & 4095, write);
    if (p != 0) {
      if (write) copyPart(p, at, n);
      else copyPart(at, p, n);
      if (connection != NOBODY) rememberBuffer(vm, connection, vpn, p);
    }
    chunkUnlock(vm, vpn);
  } while (p == 0 && chunkMissed(attempts++));
  return p != 0;
}

/** Copy len bytes at gpa to `to`. False when a page cannot be reached. */
export function ramLoad(vm: usize, gpa: u64, to: usize, len: u32): bool {
  const room = PAGE_SIZE - (<u32>gpa & 4095);
  const n = len < room ? len : room;
  if (!ramPart(vm, gpa, to, n, false)) return false;
  return n == len || ramLoad(vm, gpa + n, to + n, len - n);
}

/** Copy len bytes from `from` to gpa. False when a page cannot be reached; those before it are written. */
export function ramStore(vm: usize, gpa: u64, from: usize, len: u32): bool {
  const room = PAGE_SIZE - (<u32>gpa & 4095);
  const n = len < room ? len : room;
  if (!ramPart(vm, gpa, from, n, true)) return false;
  return n == len || ramStore(vm, gpa + n, from + n, len - n);
}
