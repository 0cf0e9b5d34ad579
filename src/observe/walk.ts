// One SLAT walk, entry by entry. Reference: Intel SDM vol. 3, EPT paging structures.
import type { Gpa, Hpa, Hva } from '../address.ts';
import { SLOT_BASE, SLOT_END, SLOT_ID, SLOT_VPN, VM_ROOT } from '../core/layout.ts';
import type { Walk, WalkEntry } from '../types.ts';
import type { Vm } from '../vm.ts';

const ADDRESS = 0x000f_ffff_ffff_f000n;
/** Write-back tables, walk length 4, accessed and dirty flags. */
const EPTP_BITS = 0x5en;
const GPA_BITS = 48n;

/** Bytes that a leaf of this level maps. */
const pageSize = (level: number): bigint => 1n << BigInt(3 + level * 9);

export function readWalk(vm: Vm, gpa: Gpa): Walk {
  const { core } = vm.host;
  const gfn = gpa >> 12n;
  const entries: WalkEntry[] = [];
  const inWidth = gpa >> GPA_BITS === 0n;
  for (let level = 4; level >= 1 && inWidth; level--) {
    const at = core.x.walkEntry(vm.ptr, gfn, level) >>> 0;
    if (at === 0) break;
    entries.push(decode(core.readU64(at), level, gpa, at));
  }
  const leaf = entries.at(-1);
  const hpa =
    leaf?.leaf && leaf.present ? ((leaf.address + (gpa & (pageSize(leaf.level) - 1n))) as Hpa) : undefined;
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
  };
  return { ...base, slot };
}

/** An entry's bits. Entries of level 1 are leaves, and those of level 2 and 3 with bit 7 set. */
function decode(value: bigint, level: number, gpa: bigint, at: number): WalkEntry {
  const bit = (n: bigint): boolean => ((value >> n) & 1n) !== 0n;
  const leaf = level === 1 || (level < 4 && bit(7n) && (value & 7n) !== 0n);
  return {
    level,
    index: Number((gpa / pageSize(level)) & 511n),
    at: BigInt(at) as Hpa,
    value,
    present: (value & 7n) !== 0n,
    leaf,
    read: bit(0n),
    write: bit(1n),
    execute: bit(2n),
    memoryType: leaf ? Number((value >> 3n) & 7n) : 0,
    ignorePat: leaf && bit(6n),
    address: (value & ADDRESS) as Hpa,
  };
}
