// Pvmemcontrol BAR 0: an 8-byte payload and the command register.
// Reference: cloud-hypervisor devices/src/pvmemcontrol.rs, linux uapi pvmemcontrol.h.
//
// ╒═ 0 payload u64 ═╤═ 8 command u32 ═╤═ 12 nothing (reads as zero) ═╕
// Writes: at 8 only 4 bytes count; elsewhere only 4 and 8 bytes, of which those on 0…7 are stored.
// Reads: any offset and size; bytes at 16 and above are left as the reader had them.
import { EventKind } from '../../abi/events';
import { BAR0_SIZE, DeviceState, DOORBELL_BIT, TransportReg } from '../../abi/pvmemcontrol';
import { SyncPoint } from '../../abi/sync';
import { VM_DEV_COMMAND, VM_DEV_CONNS, VM_DEV_LOCK, VM_DEV_PAYLOAD, VM_DEV_STATE } from '../../base/layout';
import { lock, unlock } from '../../base/lock';
import { sync, THREADS } from '../../base/thread';
import { MODE_BOTH, MODE_REQUEST, mode, modeOnce } from '../../base/window';
import { event } from '../../trace/events';
import { loadHalves } from '../../frames/bytes';
import { knownBuffer } from './ram';
import { infoRun, requestKnown, requestRun } from './request';
import { transport } from './state';

export function deviceWrite(vm: usize, offset: u32, len: u32, from: usize): void {
  if (offset == TransportReg.Command) {
    if (len == 4) command(vm, load<u32>(from));
    return;
  }
  if (len != 4 && len != 8) return;
  lock(vm + VM_DEV_LOCK);
  for (let i: u32 = 0; i < len && offset + i < <u32>TransportReg.Command; i++) {
    store<u8>(vm + VM_DEV_PAYLOAD + (offset + i), load<u8>(from + i));
  }
  unlock(vm + VM_DEV_LOCK);
}

/** The 4-byte write to the command register, doorbells included. */
export function command(vm: usize, value: u32): void {
  if ((value & <u32>DOORBELL_BIT) == 0) transport(vm, value);
  else doorbell(vm, value & 0x7fffffff);
}

/**
 * Connection n's request is in its buffer. A known buffer is one of a ready device: leaving that state forgets it.
 * A vCPU thread comes back in any mode: who called sees to the guest's next step (base/window.ts).
 */
// @ts-ignore: decorator
@inline
export function doorbell(vm: usize, n: u32): void {
  modeOnce(MODE_BOTH);
  const at = knownBuffer(vm, n);
  if (at == 0) unknown(vm, n);
  else if (loadHalves(at) == 0) infoRun(vm, n, at);
  else requestKnown(vm, n, at);
}

/** A reset waits for who is in request mode, and lets nobody in: the state is looked at inside. */
function unknown(vm: usize, n: u32): void {
  mode(MODE_REQUEST);
  if (stateOf(vm) == DeviceState.Ready && n < load<u32>(vm, VM_DEV_CONNS)) requestRun(vm, n);
  else event(EventKind.DoorbellIgnored, vm, n, load<u32>(vm, VM_DEV_STATE), 0, 0);
}

// @ts-ignore: decorator
@inline
function stateOf(vm: usize): u32 {
  sync(SyncPoint.Look, vm + VM_DEV_STATE);
  if (THREADS) return atomic.load<u32>(vm, VM_DEV_STATE);
  return load<u32>(vm, VM_DEV_STATE);
}

export function deviceRead(vm: usize, offset: u32, len: u32, to: usize): void {
  lock(vm + VM_DEV_LOCK);
  for (let i: u32 = 0; i < len && offset + i < <u32>BAR0_SIZE; i++) {
    const at = offset + i;
    let byte: u32 = 0;
    if (at < <u32>TransportReg.Command) byte = load<u8>(vm + VM_DEV_PAYLOAD + at);
    else if (at < 12) byte = load<u8>(vm + VM_DEV_COMMAND + (at - 8));
    store<u8>(to + i, <u8>byte);
  }
  unlock(vm + VM_DEV_LOCK);
}
