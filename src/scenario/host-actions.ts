// Steps that are not the guest's doing: another process writes to the memory file, the VMM gives back what virtio-balloon
// reports, KSM scans, the kernel dumps core.
import { Errno } from '../../assembly/abi/errno.ts';
import type { CoreDumpVma } from '../observe/core-types.ts';
import { formatSize } from '../size.ts';
import { errnoText, type Outcome, place } from './outcome.ts';
import type { ScenarioHost, ScenarioVm } from './port.ts';
import type { Args } from './scenario.ts';

export function fileWrite(a: Args, { vmm }: ScenarioVm): Outcome {
  const title = `file.write ${place(a)} with 0x${(a.byte ?? 0).toString(16)}`;
  const hva = vmm.hvaOf(a.gpa);
  const { errno, bytes } =
    hva === undefined ? { errno: Errno.EFAULT, bytes: 0 } : vmm.fileWrite(hva, a.len, a.byte ?? 0);
  return { title, text: errnoText(errno), fields: { errno, bytes, ok: errno === 0 } };
}

/** Blocks that Linux on x86-64 reports: pageblock_order is 9, MAX_PAGE_ORDER 10. */
const PAGEBLOCK = 2n << 20n;
const LARGEST = 4n << 20n;

/**
 * Free page reporting of the range, of which the guest uses nothing: the buddy allocator has it in naturally aligned
 * blocks, and those of pageblock_order and above are reported, each a call of the VMM. What is smaller stays.
 * Reference: linux 6.18 mm/page_reporting.c, drivers/virtio/virtio_balloon.c (virtballoon_free_page_report).
 */
export function freeReport(a: Args, { vmm }: ScenarioVm): Outcome {
  const title = `free-report ${place(a)}`;
  const end = ((a.gpa + a.len) / PAGEBLOCK) * PAGEBLOCK;
  let bytes = 0n;
  let calls = 0;
  let errno: Errno = Errno.OK;
  for (let at = ((a.gpa + PAGEBLOCK - 1n) / PAGEBLOCK) * PAGEBLOCK; at < end; ) {
    const block = at % LARGEST === 0n && at + LARGEST <= end ? LARGEST : PAGEBLOCK;
    const hva = vmm.hvaOf(at);
    errno = hva === undefined ? Errno.EFAULT : vmm.discard(hva, block);
    calls++;
    if (errno !== Errno.OK) break;
    bytes += block;
    at += block;
  }
  const left = Number(a.len - bytes);
  const kept = left > 0 ? `, ${formatSize(left)} in smaller pieces not` : '';
  const text = errno === Errno.OK ? `${formatSize(Number(bytes))} reported${kept}` : errnoText(errno);
  const blocks = Number(bytes / PAGEBLOCK);
  return { title, text, fields: { errno, bytes: Number(bytes), blocks, left, calls, ok: errno === 0 } };
}

export function ksmScan({ passes }: Args, { ksm }: ScenarioHost): Outcome {
  ksm.scan(passes);
  const { fullScans: scans, pagesShared: shared } = ksm;
  const text = `${shared} shared ${shared === 1 ? 'page' : 'pages'}`;
  return {
    title: `ksm.scan, ${passes} ${passes === 1 ? 'pass' : 'passes'}`,
    text,
    fields: { scans, shared, ok: true },
  };
}

/** What of the range, or of all RAM, a core file of the VMM has. */
export function core(a: Args, { vmm, observe }: ScenarioVm): Outcome {
  const { listing, size } = observe.coreDump(a.filter === undefined ? {} : { filter: a.filter });
  const hva = a.len > 0n ? vmm.hvaOf(a.gpa) : undefined;
  const dumped =
    a.len === 0n
      ? listing.dumped.bytes
      : hva === undefined
        ? 0
        : listing.vmas.reduce((sum, vma) => sum + overlap(vma, hva, hva + a.len), 0);
  const { resident, swapped } = listing.dumped;
  return {
    title: a.len > 0n ? `core of ${place(a)}` : 'core',
    text: `${formatSize(dumped)} in the core file`,
    fields: { dumped, resident, swapped, size, ok: true },
  };
}

/** Bytes of [start, end) that the file has: of a VMA it has the first `dumped`. */
function overlap(vma: CoreDumpVma, start: bigint, end: bigint): number {
  const from = vma.start > start ? vma.start : start;
  const dumpedEnd = vma.start + BigInt(vma.dumped);
  const to = dumpedEnd < end ? dumpedEnd : end;
  return to > from ? Number(to - from) : 0;
}
