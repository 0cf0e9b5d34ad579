// One SLAT walk, entry by entry. Reference: Intel SDM vol. 3, EPT paging structures.
import { MemFlag } from '../../assembly/abi/kvm.ts';
import type { Gpa, Hpa, Hva } from '../address.ts';
import { SLOT_BASE, SLOT_END, SLOT_FLAGS, SLOT_ID, SLOT_VPN, VM_ROOT } from '../core/layout.ts';
import { decodeEptEntry } from '../paging/ept-entry.ts';
import { levelIndex, levelSize } from '../paging/tables.ts';
import type { Walk, WalkEntry } from '../types.ts';
import type { Vm } from '../vm.ts';

/** Write-back tables, walk length 4, accessed and dirty flags. */
const EPTP_BITS = 0x5en;
const GPA_BITS = 48n;

export function readWalk(vm: Vm, gpa: Gpa): Walk {
  const { core } = vm.host;
  const gfn = gpa >> 12n;
  const entries: WalkEntry[] = [];
  const inWidth = gpa >> GPA_BITS === 0n;
  for (let level = 4; level >= 1 && inWidth; level--) {
    const at = core.x.walkEntry(vm.ptr, gfn, level) >>> 0;
    if (at === 0) break;
    entries.push(readEntry(core.readU64(at), level, gpa, at));
  }
  const leaf = entries.at(-1);
  const hpa =
    leaf?.leaf && leaf.present && leaf.misconfiguration === undefined
      ? ((leaf.address + (gpa & (levelSize(leaf.level) - 1n))) as Hpa)
      : undefined;
  const slotAt = core.x.slotOf(vm.ptr, gfn) >>> 0;
  const hva = vm.vmm.hvaOf(gpa);
  const eptp = BigInt(core.readU32(vm.ptr + VM_ROOT)) | EPTP_BITS;
  const base = { gpa, eptp, entries, hpa, hva, page: vm.observe.pageAt(gpa) };
  if (slotAt === 0) return { ...base, slot: undefined };
  const first = core.readU64(slotAt + SLOT_BASE);
  const slot = {
    id: core.readU32(slotAt + SLOT_ID),
    gpa: (first << 12n) as Gpa,
    size: Number((core.readU64(slotAt + SLOT_END) - first) << 12n),
    hva: (core.readU64(slotAt + SLOT_VPN) << 12n) as Hva,
    readonly: (core.readU32(slotAt + SLOT_FLAGS) & MemFlag.Readonly) !== 0,
  };
  return { ...base, slot };
}

/** The entry at `at`, which a walk of gpa uses. */
function readEntry(value: bigint, level: number, gpa: bigint, at: number): WalkEntry {
  const e = decodeEptEntry(value, level);
  return {
    level,
    index: Number(levelIndex(gpa, level)),
    at: BigInt(at) as Hpa,
    value,
    present: e.present,
    leaf: e.leaf,
    read: e.read,
    write: e.write,
    execute: e.execute,
    userExecute: e.userExecute,
    memoryType: e.memoryType,
    ignorePat: e.ignorePat,
    accessed: e.accessed,
    dirty: e.dirty,
    ...(e.misconfiguration === undefined ? {} : { misconfiguration: e.misconfiguration }),
    address: e.address as Hpa,
  };
}
