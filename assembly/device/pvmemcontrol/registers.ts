// Pvmemcontrol BAR 0: an 8-byte payload and the command register.
// Reference: cloud-hypervisor devices/src/pvmemcontrol.rs, linux uapi pvmemcontrol.h.
//
// ╒═ 0 payload u64 ═╤═ 8 command u32 ═╤═ 12 nothing (reads as zero) ═╕
// Writes: at 8 only 4 bytes count; elsewhere only 4 and 8 bytes, of which those on 0…7 are stored.
// Reads: any offset and size; bytes at 16 and above are left as the reader had them.
import { EventKind } from '../../abi/events';
import { BAR0_SIZE, DeviceState, DOORBELL_BIT, TransportReg } from '../../abi/pvmemcontrol';
import { VM_DEV_COMMAND, VM_DEV_CONNS, VM_DEV_PAYLOAD, VM_DEV_STATE } from '../../base/layout';
import { event } from '../../trace/events';
import { loadHalves } from '../../frames/bytes';
import { knownBuffer } from './ram';
import { infoRun, requestRun } from './request';
import { transport } from './state';

export function deviceWrite(vm: usize, offset: u32, len: u32, from: usize): void {
  if (offset == TransportReg.Command) {
    if (len == 4) command(vm, load<u32>(from));
    return;
  }
  if (len != 4 && len != 8) return;
  for (let i: u32 = 0; i < len && offset + i < <u32>TransportReg.Command; i++) {
    store<u8>(vm + VM_DEV_PAYLOAD + (offset + i), load<u8>(from + i));
  }
}

/** The 4-byte write to the command register, doorbells included. */
export function command(vm: usize, value: u32): void {
  if ((value & <u32>DOORBELL_BIT) == 0) transport(vm, value);
  else doorbell(vm, value & 0x7fffffff);
}

/** Connection n's request is in its buffer. A known buffer is one of a ready device: leaving that state forgets it. */
// @ts-ignore: decorator
@inline
export function doorbell(vm: usize, n: u32): void {
  const at = knownBuffer(vm, n);
  if (at != 0 && loadHalves(at) == 0) infoRun(vm, n, at);
  else if (load<u32>(vm, VM_DEV_STATE) == DeviceState.Ready && n < load<u32>(vm, VM_DEV_CONNS)) requestRun(vm, n);
  else event(EventKind.DoorbellIgnored, vm, n, load<u32>(vm, VM_DEV_STATE), 0, 0);
}

export function deviceRead(vm: usize, offset: u32, len: u32, to: usize): void {
  for (let i: u32 = 0; i < len && offset + i < <u32>BAR0_SIZE; i++) {
    const at = offset + i;
    let byte: u32 = 0;
    if (at < <u32>TransportReg.Command) byte = load<u8>(vm + VM_DEV_PAYLOAD + at);
    else if (at < 12) byte = load<u8>(vm + VM_DEV_COMMAND + (at - 8));
    store<u8>(to + i, <u8>byte);
  }
}
