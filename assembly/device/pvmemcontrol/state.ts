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
import { VM_BUF_CONN, VM_DEV_COMMAND, VM_DEV_PAYLOAD, VM_DEV_STATE } from '../../base/layout';
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
  store<u32>(vm, state, VM_DEV_STATE);
  store<u32>(vm, command, VM_DEV_COMMAND);
  store<u64>(vm, payload, VM_DEV_PAYLOAD);
}

export function broken(vm: usize): void {
  connectionsForget(vm);
  answer(vm, DeviceState.Broken, TransportCommand.Error, 0);
}

/** A command without bit 31. */
export function transport(vm: usize, command: u32): void {
  const state = load<u32>(vm, VM_DEV_STATE);
  const payload = load<u64>(vm, VM_DEV_PAYLOAD);
  switch (command) {
    case TransportCommand.Reset:
      connectionsForget(vm);
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
