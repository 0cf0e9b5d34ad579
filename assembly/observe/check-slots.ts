// check() of KVM's slots, dirty logs and attributes: orders sorted and complete, no overlaps, pages owned once.
import { RUN_PML, RUN_PML_INDEX } from '../abi/status';
import {
  VM_ATTRIBUTES, VM_CPUS, VM_DIRTY_SLOTS, VM_SLOT_COUNT, VM_SLOT_IDS, VM_SLOT_ORDER, VM_SLOT_ROOM,
} from '../base/layout';
import { max } from '../base/math';
import { runOf } from '../base/thread';
import { ATTRIBUTES_DEPTH } from '../memslot/attributes';
import { dirtyDepth, isLogging, PML_ENTRIES, PML_FULL } from '../memslot/dirty';
import {
  orderPages, SLOT_BASE, SLOT_DIRTY, SLOT_END, SLOT_ID, SLOT_REACH, SLOT_VPN, slotAt, slotById, slotByVpn, slotOf, slotVpnEnd,
} from '../memslot/table';
import { at, Broken, ownRun } from './check-owner';

export function checkSlots(vm: usize, arena: usize): Broken {
  let e = ownRun(arena, load<u32>(vm, VM_SLOT_ORDER), orderPages(load<u32>(vm, VM_SLOT_ROOM)));
  const ids: usize = load<u32>(vm, VM_SLOT_IDS);
  if (e == Broken.Nothing) e = ownRun(arena, ids, 1);
  for (let o: usize = 0; o < 4096 && e == Broken.Nothing; o += 4) if (load<u32>(ids + o) != 0) e = ownRun(arena, load<u32>(ids + o), 1);
  if (e == Broken.Nothing) e = checkOrders(vm);
  if (e == Broken.Nothing) e = checkLogs(vm, arena);
  return e == Broken.Nothing ? ownSet(arena, vm + VM_ATTRIBUTES, ATTRIBUTES_DEPTH) : e;
}

function checkOrders(vm: usize): Broken {
  let end: u64 = 0;
  let vpn: u64 = 0;
  let reach: u64 = 0;
  for (let n: u32 = 0, slots = load<u32>(vm, VM_SLOT_COUNT); n < slots; n++) {
    const slot = slotAt(vm, n);
    const base = load<u64>(slot, SLOT_BASE);
    if (base < end || load<u64>(slot, SLOT_END) <= base) return at(base, Broken.SlotOrder);
    if (slotById(vm, load<u32>(slot, SLOT_ID)) != slot || slotOf(vm, base) != slot) return at(base, Broken.SlotOrder);
    end = load<u64>(slot, SLOT_END);
    const other = slotByVpn(vm, n);
    reach = max(reach, slotVpnEnd(other));
    if (load<u64>(other, SLOT_VPN) < vpn || load<u64>(other, SLOT_REACH) != reach) return at(load<u64>(other, SLOT_BASE), Broken.SlotOrder);
    vpn = load<u64>(other, SLOT_VPN);
  }
  return Broken.Nothing;
}

function checkLogs(vm: usize, arena: usize): Broken {
  let logs: u32 = 0;
  for (let n: u32 = 0, slots = load<u32>(vm, VM_SLOT_COUNT); n < slots; n++) {
    const slot = slotAt(vm, n);
    if (isLogging(slot)) logs++;
    else if (load<u32>(slot, SLOT_DIRTY) != 0) return at(load<u64>(slot, SLOT_BASE), Broken.StateContradicts);
    const e = ownSet(arena, slot + SLOT_DIRTY, dirtyDepth(slot));
    if (e != Broken.Nothing) return e;
  }
  if (logs != load<u32>(vm, VM_DIRTY_SLOTS)) return at(logs, Broken.CountDiffers);
  for (let cpu: u32 = 0, cpus = load<u32>(vm, VM_CPUS); cpu < cpus; cpu++) {
    const run = runOf(vm, cpu);
    const log = load<u32>(run, RUN_PML);
    if (log == 0) continue;
    const e = ownRun(arena, log, 1);
    if (e != Broken.Nothing) return e;
    const index = load<u32>(run, RUN_PML_INDEX);
    if (index >= PML_ENTRIES && index != PML_FULL) return at(cpu, Broken.StateContradicts);
  }
  return Broken.Nothing;
}

/** The pages of a set. */
export function ownSet(arena: usize, root: usize, depth: u32): Broken {
  const branch: usize = load<u32>(root);
  if (branch <= 1) return Broken.Nothing;
  let e = ownRun(arena, branch, 1);
  if (depth != 0) for (let o: usize = 0; o < 4096 && e == Broken.Nothing; o += 4) e = ownSet(arena, branch + o, depth - 1);
  return e;
}
