// What the counters say of all that a VM has: its VMM's mappings, and its files, mapped or not; and the texts of Linux in
// which a machine of the engine says it.
import { FileKind } from '../../assembly/abi/file.ts';
import { MpolF } from '../../assembly/abi/mempolicy.ts';
import { kernelPageSize } from '../backing.ts';
import { files, fileUsage, mappings, pageUsage } from '../observe/usage.ts';
import type { Vma } from '../types.ts';
import type { Vm } from '../vm.ts';
import { type Totals, totals } from './totals.ts';
import type { FileAnswer, MemcgStat, NumaMapsLine } from './views.ts';

const PAGE = 4096;

export function machineTotals(vm: Vm): Totals {
  vm.host.core.assertAllowed();
  const all = files(vm).map(({ ptr, size }) => [ptr, [{ from: 0n, to: BigInt(size) }]] as const);
  return totals(vm, { hvas: mappings(vm), files: new Map(all) });
}

/** memory.stat and memory.numa_stat of the VM's cgroup, in Linux's order, as far as they are kept. */
export function machineMemcg(vm: Vm): MemcgStat {
  const t = machineTotals(vm);
  return {
    anon: { bytes: t.chargedAnon, nodes: t.anonNodes },
    file: { bytes: t.cached, nodes: t.fileNodes },
    shmem: { bytes: t.shmem },
    file_mapped: { bytes: t.mapped },
    anon_thp: { bytes: t.anonHugePages },
    file_thp: { bytes: t.fileThp, nodes: t.fileThpNodes },
    unevictable: { bytes: t.unevictable, nodes: t.unevictableNodes },
  };
}

/** What each guest_memfd of the VM has, whoever maps it, the one made last first. */
export const machineAnswers = (vm: Vm): FileAnswer[] =>
  files(vm)
    .filter(({ kind }) => kind === FileKind.GuestMemfd)
    .map(({ ptr, size }) => {
      const { cached, nodes } = fileUsage(vm, ptr, { from: 0n, to: BigInt(size) });
      return { size, allocated: cached, nodes };
    });

/** /proc/PID/numa_maps of the VMM. */
export const machineNumaMaps = (vm: Vm): NumaMapsLine[] => vm.observe.vmas().map((vma) => line(vm, vma));

function line(vm: Vm, vma: Vma): NumaMapsLine {
  const { start, end, file, anonymous, sharedDirty, privateDirty, flags } = vma;
  const huge = flags.includes('ht');
  const size = huge ? kernelPageSize(vm.backing) : PAGE;
  const own = vm.vmm.getMempolicy(start, MpolF.Addr);
  const nodes = pageUsage(vm, { from: start, to: end }).nodesMapped.map((bytes) => bytes / size);
  const pages = nodes.reduce((a, b) => a + b, 0);
  // Active and inactive pages are not told apart: what is on neither list counts as active there.
  const unevictable = file?.guestMemfd || flags.includes('lo');
  return {
    start,
    policy: own.mode === 0 ? vm.vmm.getMempolicy() : own,
    ...(file && { file: file.name }),
    anon: anonymous / PAGE,
    dirty: (sharedDirty + privateDirty) / PAGE,
    mapmax: mostMappings(vm, vma),
    active: unevictable ? pages : 0,
    nodes,
    kernelPageSize: size,
    ...(huge && { huge }),
  };
}

/** Entries that map the page that has most of them. */
function mostMappings(vm: Vm, { start, end, sharedClean, sharedDirty }: Vma): number {
  if (sharedClean + sharedDirty === 0) return 1;
  let most = 1;
  for (const run of vm.observe.pagemapRuns(start, end)) {
    if (run.pfn === undefined || run.exclusive) continue;
    const counts = vm.host.kpagecount(run.pfn, run.step === 0 ? 1 : run.pages);
    for (const n of counts) most = Math.max(most, Number(n));
  }
  return most;
}
