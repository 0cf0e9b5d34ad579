// The dirty log of a slot: the set of its pages that may have been written since it was last read, and the page-modification
// logs that fill it. Reference: linux virt/kvm/kvm_main.c (mark_page_dirty_in_slot), arch/x86/kvm/vmx/vmx.c
// (vmx_flush_pml_buffer); Intel SDM vol. 3, page-modification logging.
//
// ╒═ page-modification log of a vCPU, a page ═ gpa u64 × 512, from the last one down ═╕
import { MemFlag } from '../abi/kvm';
import { RUN_PML, RUN_PML_INDEX } from '../abi/status';
import { VM_CPUS } from '../base/layout';
import { runOf } from '../base/thread';
import { setAdd, setDepth, setMake } from './gfn-set';
import { SLOT_BASE, SLOT_DIRTY, SLOT_FLAGS, slotOf, slotPages } from './table';

export const PML_ENTRIES: u32 = 512;
/** VM_PML once there has been a log: from then on leaves may lack their dirty bit. */
export const PML_USED: u32 = 2;
/** Of a log with no entry left (the index has gone below 0). */
export const PML_FULL: u32 = 0xffff;

// @ts-ignore: decorator
@inline
export function isLogging(slot: usize): bool {
  return (load<u32>(slot, SLOT_FLAGS) & MemFlag.LogDirtyPages) != 0;
}

// @ts-ignore: decorator
@inline
export function dirtyDepth(slot: usize): u32 {
  return setDepth(slotPages(slot));
}

/** gfn of a logging slot may have been written. False without metadata; the write must not happen then. */
export function dirtyMark(vm: usize, slot: usize, gfn: u64): bool {
  return setAdd(vm, slot + SLOT_DIRTY, dirtyDepth(slot), gfn - load<u64>(slot, SLOT_BASE));
}

/** There is room for gfn in the log, so that dirtyMark cannot fail. False without metadata. */
export function dirtyReserve(vm: usize, slot: usize, gfn: u64): bool {
  return setMake(vm, slot + SLOT_DIRTY, dirtyDepth(slot), gfn - load<u64>(slot, SLOT_BASE));
}

/** An entry of the vCPU's log, which is not full. */
export function pmlLog(run: usize, gfn: u64): void {
  const index = load<u32>(run, RUN_PML_INDEX);
  assert(index < PML_ENTRIES);
  store<u64>(<usize>load<u32>(run, RUN_PML) + (<usize>index << 3), gfn << 12);
  store<u32>(run, (index - 1) & 0xffff, RUN_PML_INDEX);
}

/** What all vCPUs have logged goes to the slots' dirty sets, which have had room made for it. */
export function pmlFlushAll(vm: usize): void {
  for (let cpu: u32 = 0, cpus = load<u32>(vm, VM_CPUS); cpu < cpus; cpu++) pmlFlush(vm, runOf(vm, cpu));
}

export function pmlFlush(vm: usize, run: usize): void {
  const log: usize = load<u32>(run, RUN_PML);
  if (log == 0) return;
  const index = load<u32>(run, RUN_PML_INDEX);
  for (let i: u32 = index == PML_FULL ? 0 : index + 1; i < PML_ENTRIES; i++) {
    const gfn = load<u64>(log + (<usize>i << 3)) >> 12;
    const slot = slotOf(vm, gfn);
    if (slot != 0 && isLogging(slot)) dirtyMark(vm, slot, gfn);
  }
  store<u32>(run, PML_ENTRIES - 1, RUN_PML_INDEX);
}
