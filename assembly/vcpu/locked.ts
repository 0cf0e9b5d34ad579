// A locked read-modify-write of a vCPU: `lock xadd`. To memory it is a write, even when it changes nothing.
// Reference: linux arch/x86/kvm/emulate.c, emulator_cmpxchg_emulated; recorded rules R2, R9.3, R10.1.
import { Access, RUN_EXITS, RUN_STATUS, RUN_VALUE, RUN_VM, Status } from '../abi/status';
import { emulate } from '../fault/emulate';
import { inWindow, MODE_GUEST, mode } from '../base/window';
import { THREADS, threaded } from '../base/thread';
import { entryTable } from '../slat/entry';
import { exitFailed, exitMmio, oneByOne, translate } from './access';

/** Add `value` to the `size` bytes (1, 2, 4, 8) at gpa, which lie in one page. What they were is in RUN_VALUE. */
export function vcpuAdd(run: usize, gpa: u64, size: u32, value: u64): Status {
  store<u32>(run, 0, RUN_EXITS);
  const vm: usize = load<u32>(run, RUN_VM);
  mode(MODE_GUEST);
  const entry = translate(run, vm, gpa, Access.Write);
  if (entry != 0) {
    inWindow();
    store<u64>(run, add(entryTable(entry) + (<u32>gpa & 4095), size, value), RUN_VALUE);
    mode(0);
    return Status.Ok;
  }
  if (load<u32>(run, RUN_STATUS) != Status.Mmio) return exitFailed(run, vm, gpa, Access.Write);
  return emulated(run, vm, gpa, size, value);
}

/**
 * KVM's emulator does it then, as a read and a write. What it can read it reads from memory, as under a read-only slot; all
 * else are exits, also where the VMM itself cannot read the memory behind such a slot (R9.8).
 */
function emulated(run: usize, vm: usize, gpa: u64, size: u32, value: u64): Status {
  store<u64>(run, 0, RUN_VALUE);
  if (emulate(vm, gpa, run + RUN_VALUE, size, Access.Read) != Status.Ok) exitMmio(run, vm, gpa, size, false, run + RUN_VALUE);
  const old = load<u64>(run, RUN_VALUE);
  store<u64>(run, old + value, RUN_VALUE);
  exitMmio(run, vm, gpa, size, true, run + RUN_VALUE);
  store<u64>(run, old, RUN_VALUE);
  return Status.Ok;
}

/** At p, which no other vCPU changes meanwhile; aligned, as atomic instructions ask for. Returns what was there. */
function add(p: usize, size: u32, value: u64): u64 {
  if (THREADS) {
    if (threaded() && (p & (size - 1)) == 0) {
      if (size == 8) return atomic.add<u64>(p, value);
      if (size == 4) return atomic.add<u32>(p, <u32>value);
      if (size == 2) return atomic.add<u16>(p, <u16>value);
      return atomic.add<u8>(p, <u8>value);
    }
  }
  const old = oneByOne(p, size);
  if (size == 8) store<u64>(p, old + value);
  else if (size == 4) store<u32>(p, <u32>(old + value));
  else if (size == 2) store<u16>(p, <u16>(old + value));
  else store<u8>(p, <u8>(old + value));
  return old;
}
