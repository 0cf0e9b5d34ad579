// How far the VMM's page state reaches: the directory of a VM has an entry for each GiB from VPN_BASE on.
import { VM_DIR_LEN, VPN_BASE } from '../base/layout';

/** Arena pages of a directory of `len` entries. There is always room behind them, so that mmap may use what lies behind RAM. */
// @ts-ignore: decorator
@inline
export function dirPages(len: u32): u32 {
  return (len + 1024) >> 10;
}

/** Whether page state can be kept for [vpn, end), which it can from now on. */
export function dirRoom(vm: usize, vpn: u64, end: u64): bool {
  const len = load<u32>(vm, VM_DIR_LEN);
  if (vpn < VPN_BASE || (end - VPN_BASE + ((1 << 18) - 1)) >> 18 >= <u64>dirPages(len) << 10) return false;
  const gibs = <u32>((end - VPN_BASE + ((1 << 18) - 1)) >> 18);
  if (gibs > len) store<u32>(vm, gibs, VM_DIR_LEN);
  return true;
}
