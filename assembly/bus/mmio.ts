// The MMIO bus: which device claims an address. One window now: pvmemcontrol's BAR0.
// Accesses that begin in a window reach the device with their full size, even if they end behind it.
import { BAR0_SIZE } from '../abi/pvmemcontrol';
import { VM_BAR0 } from '../base/layout';
import { deviceRead, deviceWrite } from '../device/pvmemcontrol/registers';

/** False when no window claims gpa; nothing happened then. */
export function mmioWrite(vm: usize, gpa: u64, len: u32, from: usize): bool {
  const offset = gpa - load<u64>(vm, VM_BAR0);
  if (offset >= <u64>BAR0_SIZE) return false;
  deviceWrite(vm, <u32>offset, len, from);
  return true;
}

export function mmioRead(vm: usize, gpa: u64, len: u32, to: usize): bool {
  const offset = gpa - load<u64>(vm, VM_BAR0);
  if (offset >= <u64>BAR0_SIZE) return false;
  deviceRead(vm, <u32>offset, len, to);
  return true;
}
