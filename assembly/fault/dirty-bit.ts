// What a processor does by itself when it writes through a leaf whose dirty bit is clear: it sets the bit and, for
// page-modification logging, notes the page; a full log is an exit first.
// Reference: Intel SDM vol. 3, accessed and dirty flags for EPT, page-modification logging; linux arch/x86/kvm/vmx/vmx.c
// (handle_pml_full).
import { EventKind, KvmCounter } from '../abi/events';
import { RUN_CPU, RUN_PML, RUN_PML_INDEX, Status } from '../abi/status';
import { HERE_CPU } from '../base/layout';
import { here, runOf } from '../base/thread';
import { dirtyReserve, isLogging, PML_FULL, pmlFlush, pmlLog } from '../memslot/dirty';
import { EPT_D, EPT_W, EPT_WRITE, leafTable } from '../slat/entry';
import { publish } from '../slat/map';
import { slatMakeRoom } from '../mm/room';
import { countKvm, event } from '../trace/events';

/**
 * The acting vCPU writes to gfn of `slot`. Ok: its leaf was writable but for the dirty bit, and now is; the page is logged if
 * the slot is. Retry: it is not, KVM is to see to it. OutOfMemory: no room to log it, nothing changed.
 */
export function logWrite(vm: usize, gfn: u64, slot: usize): Status {
  const table = leafTable(vm, gfn);
  const p = table + (<usize>(gfn & 511) << 3);
  if (table == 0 || (load<u64>(p) & EPT_WRITE) != EPT_W) return Status.Retry;
  if (!isLogging(slot)) {
    publish(p, load<u64>(p) | EPT_D);
    return Status.Ok;
  }
  const run = runOf(vm, load<u32>(here(), HERE_CPU));
  // Room first, so that what is in the log is never lost.
  if (!dirtyReserve(vm, slot, gfn)) {
    slatMakeRoom();
    return dirtyReserve(vm, slot, gfn) ? Status.Retry : Status.OutOfMemory;
  }
  if (load<u32>(run, RUN_PML_INDEX) == PML_FULL) {
    countKvm(vm, KvmCounter.PmlFull);
    event(EventKind.PmlFull, vm, load<u32>(run, RUN_CPU), gfn, 0, 0);
    pmlFlush(vm, run);
  }
  publish(p, load<u64>(p) | EPT_D);
  pmlLog(run, gfn);
  countKvm(vm, KvmCounter.Dirty);
  return Status.Ok;
}
