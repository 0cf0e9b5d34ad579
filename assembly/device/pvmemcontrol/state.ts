// The transport state machine.
//
// │ command        │ broken   │ init                                │ ready                │
// │ RESET          │ init, ACK│ init, ACK (buffers forgotten)       │ init, ACK (forgotten)│
// │ REGISTER       │ ERROR    │ buffer in RAM: ACK, payload = id;   │ broken, ERROR        │
// │                │          │ otherwise broken, ERROR             │                      │
// │ READY          │ ERROR    │ ready, ACK                          │ broken, ERROR        │
// │ DISCONNECT     │ ERROR    │ broken, ERROR                       │ broken, ERROR        │
// │ ACK, ERROR     │ ERROR    │ broken, ERROR                       │ broken, ERROR        │
// │ other, bit 31 0│ ignored  │ ignored                             │ ignored              │
// │ bit 31 set     │ ignored  │ ignored                             │ known id: request    │
// Going to broken forgets all buffers. Reference: cloud-hypervisor devices/src/pvmemcontrol.rs.
import { BUF_SIZE, DeviceState, DOORBELL_BIT, TransportCommand } from '../../abi/pvmemcontrol';
import { EventKind } from '../../abi/events';
import { SyncPoint } from '../../abi/sync';
import { VM_BUF_CONN, VM_DEV_COMMAND, VM_DEV_EPOCH, VM_DEV_LOCK, VM_DEV_PAYLOAD, VM_DEV_STATE } from '../../base/layout';
import { lock, unlock } from '../../base/lock';
import { sync, THREADS, threaded } from '../../base/thread';
import { event } from '../../trace/events';
import { connectionAdd, connectionsForget } from './connection';
import { inRam } from './ram';

export function deviceInit(vm: usize): void {
  store<u32>(vm, DeviceState.Broken, VM_DEV_STATE);
  store<u32>(vm, TransportCommand.Error, VM_DEV_COMMAND);
  store<u64>(vm, 0, VM_DEV_PAYLOAD);
  store<u32>(vm, u32.MAX_VALUE, VM_BUF_CONN);
}

// The payload after a command is undefined on the real device (it may show stray memory of the VMM);
// here it is zero, but for the id that REGISTER gives.
function answer(vm: usize, state: DeviceState, command: u32, payload: u64): void {
  enter(vm, state);
  store<u32>(vm, command, VM_DEV_COMMAND);
  store<u64>(vm, payload, VM_DEV_PAYLOAD);
}

/** Who rings a doorbell reads the state without the lock. */
// @ts-ignore: decorator
@inline
function enter(vm: usize, state: DeviceState): void {
  if (THREADS) {
    if (threaded()) {
      sync(SyncPoint.Publish, vm + VM_DEV_STATE);
      atomic.store<u32>(vm, state, VM_DEV_STATE);
      return;
    }
  }
  store<u32>(vm, state, VM_DEV_STATE);
}

/** All buffers are forgotten on the way to `state`, before which no request begins. */
function forget(vm: usize, state: DeviceState): void {
  enter(vm, state);
  store<u32>(vm, load<u32>(vm, VM_DEV_EPOCH) + 1, VM_DEV_EPOCH);
  connectionsForget(vm);
}

/** RESETs and breakdowns so far: a request that began in another epoch speaks for a device that is gone. */
export function deviceEpoch(vm: usize): u32 {
  return load<u32>(vm, VM_DEV_EPOCH);
}

/** The request that began in `epoch`, and has left its request mode, could not reach its buffer. */
export function brokenSince(vm: usize, epoch: u32): void {
  lock(vm + VM_DEV_LOCK);
  if (load<u32>(vm, VM_DEV_EPOCH) == epoch) broken(vm);
  unlock(vm + VM_DEV_LOCK);
}

function broken(vm: usize): void {
  forget(vm, DeviceState.Broken);
  answer(vm, DeviceState.Broken, TransportCommand.Error, 0);
}

/** A command without bit 31. */
export function transport(vm: usize, command: u32): void {
  lock(vm + VM_DEV_LOCK);
  obey(vm, command);
  unlock(vm + VM_DEV_LOCK);
}

function obey(vm: usize, command: u32): void {
  const state = load<u32>(vm, VM_DEV_STATE);
  const payload = load<u64>(vm, VM_DEV_PAYLOAD);
  switch (command) {
    case TransportCommand.Reset:
      forget(vm, DeviceState.Init);
      answer(vm, DeviceState.Init, TransportCommand.Ack, 0);
      break;
    case TransportCommand.Register: {
      const n = state == DeviceState.Init && inRam(vm, payload, BUF_SIZE) ? connectionAdd(vm, payload) : -1;
      if (n >= 0) answer(vm, DeviceState.Init, TransportCommand.Ack, <u64>(<u32>DOORBELL_BIT + <u32>n));
      else broken(vm);
      break;
    }
    case TransportCommand.Ready:
      if (state == DeviceState.Init) answer(vm, DeviceState.Ready, TransportCommand.Ack, 0);
      else broken(vm);
      break;
    case TransportCommand.Disconnect:
    case TransportCommand.Ack:
    case TransportCommand.Error:
      broken(vm);
      break;
    default:
      return;
  }
  event(EventKind.Transport, vm, load<u32>(vm, VM_DEV_STATE), command, payload, 0);
}
