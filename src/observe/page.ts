// What backs one guest page: its frame or swap slot, the huge page and the file it belongs to, and who shares it.
import type { Gpa, Hpa } from '../address.ts';
import { PAGE_SIZE } from '../address.ts';
import {
  PAGE_AS_ONE,
  PAGE_FILE_FRAME,
  PAGE_FILE_SLOT,
  PAGE_FRAME,
  PAGE_HUGE,
  PAGE_MAPPINGS,
  PAGE_PARTS,
  PAGE_SLOT,
  SCRATCH,
} from '../core/layout.ts';
import type { PageBacking } from '../types.ts';
import type { Vm } from '../vm.ts';
import { fileAt } from './vmas.ts';

/** As many as may share one page (ksm/max_page_sharing). */
const SHARERS = 256;

const addressOf = (pfn: number): Hpa | undefined =>
  pfn === 0 ? undefined : ((BigInt(pfn) * BigInt(PAGE_SIZE)) as Hpa);

export function readPage(vm: Vm, gpa: Gpa): PageBacking {
  const { core } = vm.host;
  const page = (gpa - (gpa % BigInt(PAGE_SIZE))) as Gpa;
  const hva = vm.vmm.hvaOf(page);
  const letter = vm.observe.pageAt(page);
  if (hva === undefined) return { gpa: page, letter, mappings: 0, sharers: [] };
  core.x.pageBacking(vm.ptr, hva >> 12n);
  const field = (at: number): number => core.readU32(SCRATCH + at);
  const frame = addressOf(field(PAGE_FRAME));
  const swapSlot = field(PAGE_SLOT);
  const first = addressOf(field(PAGE_HUGE));
  const huge = first && {
    first,
    mappedPages: field(PAGE_PARTS),
    asOne: field(PAGE_AS_ONE) !== 0,
  };
  const cached = { frame: addressOf(field(PAGE_FILE_FRAME)), swapSlot: field(PAGE_FILE_SLOT) };
  const mapped = fileAt(vm, hva);
  const file = mapped && {
    name: mapped.name,
    offset: mapped.offset,
    ...(cached.frame !== undefined && { frame: cached.frame }),
    ...(cached.swapSlot !== 0 && { swapSlot: cached.swapSlot }),
  };
  return {
    gpa: page,
    letter,
    ...(frame !== undefined && { frame }),
    ...(swapSlot !== 0 && { swapSlot }),
    ...(huge && { huge }),
    ...(file && { file }),
    mappings: field(PAGE_MAPPINGS),
    // The last: it overwrites what the fields were read from.
    sharers: letter === 'k' || letter === 'K' ? sharersOf(vm, field(PAGE_FRAME), page) : [],
  };
}

/** All others that KSM maps to the frame of `page` of `vm`. */
function sharersOf(vm: Vm, frame: number, page: Gpa): PageBacking['sharers'] {
  const { core, vms } = vm.host;
  const n = Math.min(core.x.ksmSharers(frame, SHARERS) >>> 0, SHARERS);
  const out: { vm: number; gpa: Gpa }[] = [];
  for (let at = SCRATCH; at < SCRATCH + n * 16; at += 16) {
    const other = vms[core.readU32(at)];
    const hva = core.readU64(at + 8) << 12n;
    const region = other?.ram.find((r) => r.hva <= hva && hva < r.hva + BigInt(r.size));
    if (!other || !region) continue;
    const gpa = (hva - region.hva + region.gpa) as Gpa;
    if (other !== vm || gpa !== page) out.push({ vm: other.id, gpa });
  }
  return out;
}
