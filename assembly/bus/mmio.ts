// The MMIO bus: which device claims an address. One window now: pvmemcontrol's BAR0.
// Accesses that begin in a window reach the device with their full size, even if they end behind it.
import { BAR0_SIZE, DOORBELL_BIT, TransportReg } from '../abi/pvmemcontrol';
import { VM_BAR0, VM_DEV_REQUEST } from '../base/layout';
import { local } from '../base/thread';
import { modeOnce } from '../base/window';
import { deviceRead, deviceWrite, doorbell } from '../device/pvmemcontrol/registers';

/** False when no window claims gpa; nothing happened then. */
export function mmioWrite(vm: usize, gpa: u64, len: u32, from: usize): bool {
  const offset = gpa - load<u64>(vm, VM_BAR0);
  if (offset >= <u64>BAR0_SIZE) return false;
  deviceWrite(vm, <u32>offset, len, from);
  modeOnce(0);
  return true;
}

export function mmioRead(vm: usize, gpa: u64, len: u32, to: usize): bool {
  const offset = gpa - load<u64>(vm, VM_BAR0);
  if (offset >= <u64>BAR0_SIZE) return false;
  deviceRead(vm, <u32>offset, len, to);
  return true;
}

/** Whether a 4-byte write of `value` at gpa rings a doorbell, that of connection value & 0x7fffffff. */
// @ts-ignore: decorator
@inline
export function isDoorbell(vm: usize, gpa: u64, value: u32): bool {
  return gpa - load<u64>(vm, VM_BAR0) == TransportReg.Command && (value & <u32>DOORBELL_BIT) != 0;
}

/** A 4-byte write with its value at hand: a doorbell, most of the time. */
export function mmioWrite32(vm: usize, low: u32, high: u32, value: u32): bool {
  if (isDoorbell(vm, <u64>low | ((<u64>high) << 32), value)) {
    doorbell(vm, value & 0x7fffffff);
    modeOnce(0);
    return true;
  }
  const at = local(vm) + VM_DEV_REQUEST;
  store<u32>(at, value);
  return mmioWrite(vm, <u64>low | ((<u64>high) << 32), 4, at);
}
