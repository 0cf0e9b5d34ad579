// Pvmemcontrol: registers, transport commands, function codes of both generations.
// Reference: cloud-hypervisor devices/src/pvmemcontrol.rs, linux uapi pvmemcontrol.h (merged
// generation) and the LKML posting of memctl (first generation). All fields are little-endian.

/** BAR0 is 16 bytes: an 8-byte payload, the command register, four bytes of nothing. */
export enum TransportReg {
  Payload = 0x0,
  Command = 0x8,
}
export const BAR0_SIZE = 16;

export enum TransportCommand {
  Reset = 0x060fe6d2,
  Register = 0x0e359539,
  Ready = 0x0ca8d227,
  Disconnect = 0x030f5da0,
  Ack = 0x03cf5196,
  Error = 0x01fba249,
}

/** Connection ids count up from here; a command with this bit is a doorbell. (As i32: negative.) */
export const DOORBELL_BIT = 0x80000000;

export enum DeviceState {
  Broken = 0,
  Init = 1,
  Ready = 2,
}

export enum Abi {
  Pvmemcontrol = 0,
  Memctl = 1,
}

/** Function codes of the merged generation; they are also the engine's own names for the calls. */
export enum Func {
  Info = 0,
  Dontneed = 1,
  Remove = 2,
  Free = 3,
  Pageout = 4,
  Dontdump = 5,
  SetVmaAnonName = 6,
  Mlock = 7,
  Munlock = 8,
  MprotectNone = 9,
  MprotectR = 10,
  MprotectW = 11,
  MprotectRw = 12,
  Mergeable = 13,
  Unmergeable = 14,
}
export const FUNC_LAST = 14;
/** Where memctl numbers a function differently. */
export enum MemctlFunc {
  Unmergeable = 5,
  Dontdump = 6,
  SetVmaAnonName = 13,
}
/** memctl has no MERGEABLE and ends at SET_VMA_ANON_NAME = 13. */
export const MEMCTL_FUNC_LAST = 13;

/** Request: func_code, addr, length, arg (u64 each). Response: ret_errno u32, ret_code u32, ret_value, arg0, arg1. */
export const BUF_SIZE = 32;
