// The slot table: gfn range → host-virtual pages, sorted by gfn, no overlaps. Slots here are RAM
// regions and live as long as the VM; moving and deleting them is a later matter.
//
// ╒═ 0 base gfn u64 ═╤═ 8 end gfn u64 ═╤═ 16 first vpn u64 ═╤═ 24 id u32 ═╤═ 28 – ═╕
import { VM_MMIO_GFN, VM_SLOT_COUNT, VM_SLOTS } from '../base/layout';

export const SLOT_BASE: usize = 0;
export const SLOT_END: usize = 8;
export const SLOT_VPN: usize = 16;
export const SLOT_ID: usize = 24;
export const SLOT_SIZE: usize = 32;
/** One page of slots. */
export const SLOT_MAX: u32 = 128;

/** The slot that covers gfn, 0 for none. */
export function slotOf(vm: usize, gfn: u64): usize {
  let p: usize = load<u32>(vm, VM_SLOTS);
  for (let end = p + <usize>load<u32>(vm, VM_SLOT_COUNT) * SLOT_SIZE; p < end; p += SLOT_SIZE) {
    if (gfn < load<u64>(p, SLOT_END)) return gfn >= load<u64>(p, SLOT_BASE) ? p : 0;
  }
  return 0;
}

// @ts-ignore: decorator
@inline
export function slotVpn(slot: usize, gfn: u64): u64 {
  return gfn - load<u64>(slot, SLOT_BASE) + load<u64>(slot, SLOT_VPN);
}

/** Append a slot behind all others. False when the table is full or the slot is not behind the last. */
export function slotAppend(vm: usize, gfn: u64, pages: u64, vpn: u64): bool {
  const n = load<u32>(vm, VM_SLOT_COUNT);
  if (n == SLOT_MAX) return false;
  const p = <usize>load<u32>(vm, VM_SLOTS) + <usize>n * SLOT_SIZE;
  if (n != 0 && load<u64>(p - SLOT_SIZE, SLOT_END) > gfn) return false;
  store<u64>(p, gfn, SLOT_BASE);
  store<u64>(p, gfn + pages, SLOT_END);
  store<u64>(p, vpn, SLOT_VPN);
  store<u32>(p, n, SLOT_ID);
  store<u32>(vm, n + 1, VM_SLOT_COUNT);
  store<u64>(vm, u64.MAX_VALUE, VM_MMIO_GFN);
  return true;
}
