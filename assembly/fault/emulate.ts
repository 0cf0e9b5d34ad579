// Memory as KVM's instruction emulator reaches it: not by the guest's translations but through the VMM's own page table, at
// the host-virtual address of the slot, whatever else the slot has behind it. An instruction is emulated when it meets MMIO.
// Reference: linux arch/x86/kvm/x86.c (emulator_read_write_onepage, emulator_write_phys), virt/kvm/kvm_main.c
// (__kvm_read_guest_page, __kvm_write_guest_page); recorded rules R9.3, R9.6, R9.8.
import { MemFlag } from '../abi/kvm';
import { Access, Status } from '../abi/status';
import { chunkLock, chunkMissed, chunkUnlock, hasOneLock, oneLock, oneUnlock } from '../base/chunk-lock';
import { bytesCopy } from '../frames/bytes';
import { dirtyReserve, isLogging } from '../memslot/dirty';
import { SLOT_FLAGS, slotOf, slotVpn } from '../memslot/table';
import { hostByte } from '../mm/host-byte';
import { slatMakeRoom } from '../mm/room';
import { GFN_LIMIT } from '../slat/entry';
import { dirty } from './resolve';

/**
 * `len` bytes at gpa, in one page, from (a write) or to `data`. Mmio: no slot, a write to a read-only one, or the VMM itself
 * cannot get at its memory there; an exit has to do it then. OutOfMemory: no room to log it.
 */
export function emulate(vm: usize, gpa: u64, data: usize, len: u32, access: i32): Status {
  let attempts: u32 = 0;
  let status: Status;
  do {
    // As in a fault: where slots can change, they are looked up under the lock.
    oneLock(vm);
    status = lookUp(vm, gpa, data, len, access == Access.Write);
    oneUnlock(vm);
  } while (status == Status.Mmio && chunkMissed(attempts++));
  return status;
}

function lookUp(vm: usize, gpa: u64, data: usize, len: u32, write: bool): Status {
  const gfn = gpa >> 12;
  const slot = gfn < GFN_LIMIT ? slotOf(vm, gfn) : 0;
  if (slot == 0 || (write && (load<u32>(slot, SLOT_FLAGS) & MemFlag.Readonly) != 0)) return Status.Mmio;
  const vpn = slotVpn(slot, gfn);
  const locked = hasOneLock(vm);
  if (!locked) chunkLock(vm, vpn);
  const status = copy(vm, slot, gpa, vpn, data, len, write);
  if (!locked) chunkUnlock(vm, vpn);
  return status;
}

function copy(vm: usize, slot: usize, gpa: u64, vpn: u64, data: usize, len: u32, write: bool): Status {
  const gfn = gpa >> 12;
  const logs = write && isLogging(slot);
  // Room first, so that no write is missing in the log.
  if (logs && !dirtyReserve(vm, slot, gfn)) {
    slatMakeRoom();
    if (!dirtyReserve(vm, slot, gfn)) return Status.OutOfMemory;
  }
  const p = hostByte(vm, vpn, <u32>gpa & 4095, write);
  if (p == 0) return Status.Mmio;
  if (write) bytesCopy(p, data, len);
  else bytesCopy(data, p, len);
  if (logs) dirty(vm, slot, gfn);
  return Status.Ok;
}
