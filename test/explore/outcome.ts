// The state of a machine as two schedules are compared by: everything that guest and host can see, and nothing that
// depends on who came first without being visible. Left out: frame numbers, SLAT entries (a cache: `check` holds them
// against the pages), counts of how often something was tried. Numbers of anon_vmas are renamed in the order in which
// they appear.
import { Counter } from '../../assembly/abi/events.ts';
import {
  HOST_FRAMES,
  HOST_SWAP,
  SCRATCH,
  STAT_PSS,
  STAT_RSS,
  VM_COUNTERS,
  VM_DEV_COMMAND,
  VM_DEV_CONNS,
  VM_DEV_PAYLOAD,
  VM_DEV_STATE,
  VM_RSS,
  VM_SWAP,
  VMA_ANON,
  VMA_END,
  VMA_FLAGS,
  VMA_NAME,
  VMA_START,
} from '../../src/core/layout.ts';
import type { Region, Vm } from '../../src/machine.ts';
import { VM_LOCKED_VM } from './layout.ts';

/**
 * `pages`: gfns of the pages that the programs have to do with. `reclaimed`: the programs make the host reclaim pages;
 * how many and which depends on who is at work where (linux: shrink_folio_list goes past a folio whose lock is held, in
 * batches of SWAP_CLUSTER_MAX). Then a page in a frame and the same page in swap count as one state, a lazily freed
 * page that was not written again counts as gone, and where memory is not plain anonymous, a page of zeros as nothing.
 */
export function stateOf(vm: Vm, pages: readonly bigint[], reclaimed: boolean): string {
  const { core } = vm.host;
  const field = (offset: number): string => core.readNumber(vm.ptr + offset).toString(16);
  const counter = (n: Counter): string => field(VM_COUNTERS + n * 8);
  const broken = vm.host.check();
  return [
    ...broken.map((sentence) => `BROKEN ${sentence}`),
    `pages ${pages.map((gfn) => pageText(vm, gfn, reclaimed)).join(' ')}`,
    `vmas ${vmaText(vm)}`,
    `device ${core.readU32(vm.ptr + VM_DEV_STATE)} ${field(VM_DEV_COMMAND).slice(-8)} ${field(VM_DEV_PAYLOAD)} ${core.readU32(vm.ptr + VM_DEV_CONNS)}`,
    `locked ${field(VM_LOCKED_VM)}`,
    ...(reclaimed
      ? []
      : [
          `rss ${field(VM_RSS)} swap ${field(VM_SWAP)}`,
          `free ${core.x.poolFree(HOST_FRAMES)} ${core.x.poolFree(HOST_SWAP)}`,
          `smaps ${smapsText(vm)}`,
        ]),
    `requests ${counter(Counter.RequestsTotal)} ${counter(Counter.RequestsFailed)}`,
  ].join('\n');
}

/** A page: its letter, its first and its last word, which the programs write and read. */
function pageText(vm: Vm, gfn: bigint, reclaimed: boolean): string {
  const { core } = vm.host;
  const letter = vm.observe.pageAt(gfn << 12n);
  if (reclaimed && 'lLK'.includes(letter)) return `${gfn}:.:0:0`;
  const at = core.x.ramPeek(vm.ptr, gfn << 12n) >>> 0;
  const words =
    at === 0 ? '-' : `${core.readNumber(at).toString(16)}:${core.readNumber(at + 4088).toString(16)}`;
  // Of a huge page that is split the zeros become the zero page; of a file clean pages become holes.
  if (reclaimed && vm.backing !== 'anon' && words === '0:0' && letter !== 'x') return `${gfn}:.:0:0`;
  return `${gfn}:${reclaimed && 'asdfckhHD'.includes(letter) ? 'page' : letter}:${words}`;
}

/** The numbers of smaps, of all RAM together, and the blocks of its file. */
function smapsText(vm: Vm): string {
  const { core } = vm.host;
  const [{ hva, size }] = vm.ram as [Region];
  const end = (hva + BigInt(size)) >> 12n;
  const sums = new Array<number>((STAT_PSS - STAT_RSS) / 8 + 1).fill(0);
  let at = core.x.vmaFind(vm.ptr, hva >> 12n) >>> 0;
  for (; at !== 0 && core.readU64(at + VMA_START) < end; at = core.x.vmaNext(vm.ptr, at) >>> 0) {
    core.x.rangeStats(vm.ptr, core.readU64(at + VMA_START), core.readU64(at + VMA_END));
    for (const i of sums.keys()) sums[i] = (sums[i] as number) + core.readNumber(SCRATCH + STAT_RSS + i * 8);
  }
  return `${sums.map((n) => n.toString(16)).join(' ')} blocks ${vm.observe.file()?.blocks ?? '-'}`;
}

function vmaText(vm: Vm): string {
  const { core } = vm.host;
  const anon = new Map<number, number>([[0, 0]]);
  const out: string[] = [];
  for (let at = core.x.vmaFind(vm.ptr, 0n) >>> 0; at !== 0; at = core.x.vmaNext(vm.ptr, at) >>> 0) {
    const number = core.readU32(at + VMA_ANON);
    if (!anon.has(number)) anon.set(number, anon.size);
    // The low halves of the numbers: all of RAM lies in 32 MiB.
    const [start, end, flags] = [VMA_START, VMA_END, VMA_FLAGS].map((f) => core.readU32(at + f).toString(16));
    out.push(`${start}-${end}/${flags}/${anon.get(number)}/${core.readU32(at + VMA_NAME)}`);
  }
  return out.join(' ');
}
