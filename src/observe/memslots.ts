// The memslots of a VM with what there is of each: SLAT leaves by size, pages in its dirty log.
import { SCRATCH } from '../core/layout.ts';
import type { MemslotUse } from '../types.ts';
import type { Vm } from '../vm.ts';

/** By guest-physical address. Nothing changes: a dirty log is not read by it. */
export function readMemslots(vm: Vm): MemslotUse[] {
  const { core } = vm.host;
  return vm.kvm.memslots().map((slot) => {
    core.x.slotStats(vm.ptr, core.x.slotById(vm.ptr, slot.id));
    const [small = 0, huge = 0, gigantic = 0, dirty = 0] = Array.from({ length: 4 }, (_, i) =>
      core.readNumber(SCRATCH + i * 8),
    );
    return {
      ...slot,
      ...(slot.dirtyLog && { dirtyPages: dirty }),
      leaves: { '4k': small, '2m': huge, '1g': gigantic },
    };
  });
}
