// The VMM's own map of guest RAM (its GuestMemoryMmap): gfn range → host-virtual pages, sorted by gfn, no overlaps. What
// the VMM's devices reach guest memory by. It is made with the VM and stays as it is, whatever becomes of KVM's slots.
//
// ╒═ 0 base gfn u64 ═╤═ 8 end gfn u64 ═╤═ 16 first vpn u64 ═╤═ 24 – ═╕
import { VM_RAM, VM_RAM_COUNT } from '../base/layout';

export const RAM_BASE: usize = 0;
export const RAM_END: usize = 8;
export const RAM_VPN: usize = 16;
export const RAM_SIZE: usize = 32;
/** One page of regions. */
export const RAM_MAX: u32 = 128;

/** The region that has gfn, 0 for none. */
export function ramOf(vm: usize, gfn: u64): usize {
  let p: usize = load<u32>(vm, VM_RAM);
  for (let end = p + <usize>load<u32>(vm, VM_RAM_COUNT) * RAM_SIZE; p < end; p += RAM_SIZE) {
    if (gfn < load<u64>(p, RAM_END)) return gfn >= load<u64>(p, RAM_BASE) ? p : 0;
  }
  return 0;
}

// @ts-ignore: decorator
@inline
export function ramVpn(region: usize, gfn: u64): u64 {
  return gfn - load<u64>(region, RAM_BASE) + load<u64>(region, RAM_VPN);
}

/** Append a region behind all others. False when the table is full or the region is not behind the last. */
export function ramAppend(vm: usize, gfn: u64, pages: u64, vpn: u64): bool {
  const n = load<u32>(vm, VM_RAM_COUNT);
  if (n == RAM_MAX) return false;
  const p = <usize>load<u32>(vm, VM_RAM) + <usize>n * RAM_SIZE;
  if (n != 0 && load<u64>(p - RAM_SIZE, RAM_END) > gfn) return false;
  store<u64>(p, gfn, RAM_BASE);
  store<u64>(p, gfn + pages, RAM_END);
  store<u64>(p, vpn, RAM_VPN);
  store<u32>(vm, n + 1, VM_RAM_COUNT);
  return true;
}
