// What there is of one memslot: SLAT leaves by their size, and pages in its dirty log. Nothing changes: what vCPUs have in
// their page-modification logs stays there, and is counted.
import { RUN_PML, RUN_PML_INDEX } from '../abi/status';
import { SCRATCH, VM_CPUS } from '../base/layout';
import { min } from '../base/math';
import { runOf } from '../base/thread';
import { dirtyDepth, isLogging, PML_ENTRIES, PML_FULL } from '../memslot/dirty';
import { setCount, setHas } from '../memslot/gfn-set';
import { SLOT_BASE, SLOT_DIRTY, SLOT_END, slotPages } from '../memslot/table';
import { EPT_1G, EPT_HUGE, EPT_RWX, entryTable, level2Entry, nextLevel2, tableCount } from '../slat/entry';

/** At SCRATCH, u64 each: leaves of 4 KiB, of 2 MiB, of 1 GiB, dirty pages. */
export function slotStats(vm: usize, slot: usize): void {
  memory.fill(SCRATCH, 0, 32);
  const from = load<u64>(slot, SLOT_BASE);
  const end = load<u64>(slot, SLOT_END);
  for (let gfn = nextLevel2(vm, from, end); gfn < end; ) {
    const entry = load<u64>(level2Entry(vm, gfn));
    let next = ((gfn >> 9) + 1) << 9;
    if ((entry & EPT_HUGE) == 0) add(0, small(entryTable(entry), gfn, min(next, end)));
    else if ((entry & EPT_1G) == 0) add(8, 1);
    else {
      add(16, 1);
      next = ((gfn >> 18) + 1) << 18;
    }
    gfn = nextLevel2(vm, min(next, end), end);
  }
  if (isLogging(slot)) store<u64>(SCRATCH, dirtyPages(vm, slot), 24);
}

// @ts-ignore: decorator
@inline
function add(at: usize, n: u64): void {
  store<u64>(SCRATCH + at, load<u64>(SCRATCH + at) + n);
}

/** Present entries of a leaf table for [gfn, end). */
function small(table: usize, gfn: u64, end: u64): u64 {
  if (end - gfn == 512) return load<u16>(tableCount(table));
  let n: u64 = 0;
  for (; gfn < end; gfn++) if ((load<u64>(table + (<usize>(gfn & 511) << 3)) & EPT_RWX) != 0) n++;
  return n;
}

function dirtyPages(vm: usize, slot: usize): u64 {
  const depth = dirtyDepth(slot);
  let n = setCount(slot + SLOT_DIRTY, depth, 0, slotPages(slot));
  for (let cpu: u32 = 0, cpus = load<u32>(vm, VM_CPUS); cpu < cpus; cpu++) n += logged(runOf(vm, cpu), slot, depth);
  return n;
}

/** Pages of the slot that the vCPU has logged, and the slot's own log has not. */
function logged(run: usize, slot: usize, depth: u32): u64 {
  const log: usize = load<u32>(run, RUN_PML);
  if (log == 0) return 0;
  const index = load<u32>(run, RUN_PML_INDEX);
  let n: u64 = 0;
  for (let i: u32 = index == PML_FULL ? 0 : index + 1; i < PML_ENTRIES; i++) {
    const gfn = load<u64>(log + (<usize>i << 3)) >> 12;
    if (gfn < load<u64>(slot, SLOT_BASE) || gfn >= load<u64>(slot, SLOT_END)) continue;
    if (!setHas(slot + SLOT_DIRTY, depth, gfn - load<u64>(slot, SLOT_BASE))) n++;
  }
  return n;
}
