// Counters by the names that scenario files use.
import { Counter, KvmCounter } from '../../assembly/abi/events.ts';
import { PAGE_SIZE } from '../address.ts';
import { kernelPageSize } from '../backing.ts';
import {
  HOST_EVENT_SEQ,
  VM_COUNTERS,
  VM_HUGETLB,
  VM_KVM_COUNTERS,
  VM_MAPPED,
  VM_MAPPED_HUGE,
  VM_MEMORY,
  VM_MEMORY_SWAP,
  VM_RSS,
  VM_SWAP,
  VM_VMA_COUNT,
} from '../core/layout.ts';
import { REQUESTS } from '../requests.ts';
import type { Counters } from '../types.ts';
import type { Vm } from '../vm.ts';
import { readRollup } from './vmas.ts';

const NAMES: Readonly<Record<string, Counter>> = {
  'faults.minor': Counter.FaultsMinor,
  'faults.major': Counter.FaultsMajor,
  'slat.violations': Counter.SlatViolations,
  'slat.zapped': Counter.SlatZapped,
  'slat.flushes': Counter.SlatFlushes,
  'exits.mmio': Counter.ExitsMmio,
  'exits.efault': Counter.ExitsEfault,
  'exits.oom': Counter.ExitsOom,
  'notifier.calls': Counter.NotifierCalls,
  'requests.total': Counter.RequestsTotal,
  'requests.failed': Counter.RequestsFailed,
  'vmas.splits': Counter.VmaSplits,
  'vmas.merges': Counter.VmaMerges,
  'reclaim.lazyfree': Counter.ReclaimLazy,
  'reclaim.swapout': Counter.ReclaimSwapout,
  'ksm.merged': Counter.KsmMerged,
  'memory.events.max': Counter.MemoryMax,
  'memory.events.oom': Counter.MemoryOom,
  'memory.swap.events.max': Counter.SwapMax,
  'memory.swap.events.fail': Counter.SwapFail,
};

const KVM_NAMES: Readonly<Record<string, KvmCounter>> = {
  'exits.memory-fault': KvmCounter.MemoryFault,
  'exits.hypercall': KvmCounter.Hypercall,
  'exits.pml-full': KvmCounter.PmlFull,
  'dirty.pages': KvmCounter.Dirty,
  'slat.retries': KvmCounter.Retry,
  'slat.flushes.remote': KvmCounter.RemoteFlush,
  'attributes.changes': KvmCounter.Attributes,
};

const HUGE = 2 ** 21;
const GIGANTIC = 2 ** 30;

export function readCounters(vm: Vm): Counters {
  const { core } = vm.host;
  const counter = (n: number): number => core.readNumber(vm.ptr + VM_COUNTERS + n * 8);
  const rss = core.readNumber(vm.ptr + VM_RSS) * PAGE_SIZE;
  const frames = vm.host.frames();
  const out: Record<string, number> = {
    'host.rss': rss,
    // Only pages that KSM shares count for less than their size.
    'host.pss': vm.host.ksm.pagesShared === 0 ? rss : readRollup(vm).pss,
    'host.hugetlb': core.readNumber(vm.ptr + VM_HUGETLB) * HUGE,
    'ksm.shared': vm.host.ksm.pagesShared,
    'ksm.saved': vm.host.ksm.pagesSaved * PAGE_SIZE,
    'host.swap': core.readNumber(vm.ptr + VM_SWAP) * PAGE_SIZE,
    'pool.used': frames.used * PAGE_SIZE,
    'swap.used': vm.host.swap().used * PAGE_SIZE,
    'memory.current': core.readNumber(vm.ptr + VM_MEMORY) * PAGE_SIZE,
    'memory.swap.current': core.readNumber(vm.ptr + VM_MEMORY_SWAP) * PAGE_SIZE,
    'frames.free': frames.free,
    'frames.used': frames.used,
    'slat.mapped': core.readNumber(vm.ptr + VM_MAPPED),
    'slat.mapped2m': core.readNumber(vm.ptr + VM_MAPPED_HUGE),
    'slat.mapped1g': kernelPageSize(vm.backing) === GIGANTIC ? core.x.giganticLeaves(vm.ptr) : 0,
    'vmas.count': core.readU32(vm.ptr + VM_VMA_COUNT),
    'metadata.bytes': vm.host.metadataBytes(),
    'events.total': core.readU32(HOST_EVENT_SEQ),
  };
  for (const [name, n] of Object.entries(NAMES)) out[name] = counter(n);
  for (const [name, n] of Object.entries(KVM_NAMES))
    out[name] = core.readNumber(vm.ptr + VM_KVM_COUNTERS + n * 8);
  out['hostcalls.total'] = 0;
  // INFO is answered by the device itself: no system call.
  for (let f = 1; f < REQUESTS.length; f++) {
    const calls = counter(Counter.HostCallBase + f);
    out[`hostcalls.${REQUESTS[f]}`] = calls;
    out['hostcalls.total'] += calls;
  }
  return out;
}
