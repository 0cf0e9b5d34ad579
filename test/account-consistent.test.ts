// whoCounts over all of RAM against what other observers count on their own: status, smaps_rollup, the cgroup's charge, frames
// of the pool, SLAT leaves. All kinds of RAM, after touches, drops, swap, KSM and huge pages in parts.
import { describe, expect, it } from 'vitest';
import type { BackingKind, Vm } from '../src/index.ts';
import { createHost, whoCounts } from '../src/index.ts';
import { BUILDS, hvaAt, MIB } from './support/machines.ts';

const SIZE = 8 * MIB;
const KINDS: readonly BackingKind[] = ['anon', 'memfd', 'memfd_priv', 'thp', 'hugetlb', 'hugetlb_shared'];

function bytesOf(vm: Vm): Record<string, number> {
  return Object.fromEntries(
    whoCounts(vm, 0, SIZE).rows.map(({ view, counter, bytes }) => [`${view}.${counter}`, bytes]),
  );
}

function compare(vm: Vm, why: string): void {
  const who = bytesOf(vm);
  const [status, rollup, counters] = [vm.observe.status(), vm.observe.smapsRollup(), vm.observe.counters()];
  const inKb = (bytes = 0): number => Math.floor(bytes / 1024) * 1024;
  expect(
    {
      vmSize: who['process.VmSize'],
      vmRss: who['process.VmRSS'],
      rssAnon: who['process.RssAnon'],
      rssFile: who['process.RssFile'],
      rssShmem: who['process.RssShmem'],
      vmSwap: who['process.VmSwap'],
      hugetlb: who['process.HugetlbPages'],
      anonHuge: who['host.AnonHugePages'],
      current: who['memcg.memory.current'],
      swap: who['memcg.swap.current'],
      leaves: (who['kvm.pages_4k'] ?? 0) / 4096 + (who['kvm.pages_2m'] ?? 0) / (2 * MIB),
      pss: inKb(who['process.Pss']),
    },
    why,
  ).toEqual({
    vmSize: status.vmSize,
    vmRss: status.vmRss,
    rssAnon: status.rssAnon,
    rssFile: status.rssFile,
    rssShmem: status.rssShmem,
    vmSwap: status.vmSwap,
    hugetlb: status.hugetlbPages,
    anonHuge: rollup.anonHugePages,
    current: counters['memory.current'],
    swap: counters['memory.swap.current'],
    leaves: counters['slat.mapped'],
    pss: rollup.pss,
  });
}

describe.each(BUILDS)('account › whoCounts agrees with the other observers (%s)', (_, build) => {
  it.each(KINDS)('%s', async (kind) => {
    const host = await createHost({ ...build, memory: 24 * MIB, swap: 8 * MIB });
    const vm = host.createVm({ memory: SIZE, backing: kind });
    const taken = (): number => 0 - (bytesOf(vm)['host.MemFree'] ?? 0);
    const look = (why: string): void => {
      compare(vm, why);
      expect(taken(), why).toBe(host.frames().used * 4096);
    };
    look('fresh');
    vm.guest.touch({ gpa: 0, len: 3 * MIB, write: true });
    vm.guest.touch({ gpa: 5 * MIB, len: MIB });
    look('touched');
    vm.vmm.madvise(hvaAt(vm, 0), BigInt(2 * MIB) + 65536n, 'dontneed');
    look('dropped in part');
    vm.vmm.madvise(hvaAt(vm, 2 * MIB), BigInt(MIB), 'pageout');
    look('paged out');
    vm.vmm.mlock(hvaAt(vm, 4 * MIB), BigInt(MIB));
    look('locked');
  });

  it('pages that KSM shares: each VM counts its entries, one pays', async () => {
    const host = await createHost({ ...build, memory: 24 * MIB, swap: 0 });
    const vms = [0, 1].map(() => host.createVm({ memory: SIZE }));
    for (const vm of vms) {
      vm.vmm.madvise(hvaAt(vm, 0), BigInt(SIZE), 'mergeable');
      vm.guest.fill({ gpa: 0, len: MIB, byte: 0x5a });
      vm.guest.touch({ gpa: 2 * MIB, len: MIB, write: true, byte: vm.id + 1 });
    }
    host.ksm.scan(3);
    for (const vm of vms) compare(vm, `vm ${vm.id}`);
    const sum = (counter: string): number => vms.reduce((n, vm) => n + (bytesOf(vm)[counter] ?? 0), 0);
    expect(sum('memcg.memory.current')).toBe(host.frames().used * 4096);
    expect(sum('process.RssAnon')).toBeGreaterThan(host.frames().used * 4096);
  });
});
