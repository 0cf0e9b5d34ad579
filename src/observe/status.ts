// The memory lines of /proc/PID/status. Reference: linux 6.18 fs/proc/task_mmu.c (task_mem), mm/hugetlb.c
// (hugetlb_report_usage), mm/mmap.c (vm_stat_account).
import { PAGE_SIZE } from '../address.ts';
import { VM_HUGETLB, VM_LOCKED_VM, VM_PEAK, VM_SWAP } from '../core/layout.ts';
import type { Vma } from '../types.ts';
import type { Vm } from '../vm.ts';
import type { MemoryStatus } from './proc-types.ts';
import { readVmas } from './vmas.ts';

const HUGE = 2 ** 21;

export function readStatus(vm: Vm): MemoryStatus {
  const { core } = vm.host;
  const vmas = readVmas(vm);
  const sum = (size: (vma: Vma) => number): number => vmas.reduce((n, vma) => n + size(vma), 0);
  const count = (field: number): number => core.readNumber(vm.ptr + field);
  const vmRss = sum(({ rss }) => rss);
  const rssAnon = sum(({ anonymous }) => anonymous);
  const rssFile = sum(({ file, rss, anonymous }) => (file?.guestMemfd ? rss - anonymous : 0));
  return {
    vmPeak: count(VM_PEAK) * PAGE_SIZE,
    vmSize: sum(({ size }) => size),
    vmLck: count(VM_LOCKED_VM) * PAGE_SIZE,
    vmPin: 0,
    vmRss,
    rssAnon,
    rssFile,
    rssShmem: vmRss - rssAnon - rssFile,
    // is_data_mapping: VM_WRITE without VM_SHARED.
    vmData: sum(({ perm, size }) => (perm[1] === 'w' && perm[3] === 'p' ? size : 0)),
    vmSwap: count(VM_SWAP) * PAGE_SIZE,
    hugetlbPages: count(VM_HUGETLB) * HUGE,
  };
}

/** A line for each field, in Linux's order. */
const NAMES: Readonly<Record<keyof MemoryStatus, string>> = {
  vmPeak: 'VmPeak',
  vmSize: 'VmSize',
  vmLck: 'VmLck',
  vmPin: 'VmPin',
  vmRss: 'VmRSS',
  rssAnon: 'RssAnon',
  rssFile: 'RssFile',
  rssShmem: 'RssShmem',
  vmData: 'VmData',
  vmSwap: 'VmSwap',
  hugetlbPages: 'HugetlbPages',
};

export const statusText = (status: MemoryStatus): string =>
  Object.entries(NAMES)
    .map(([field, name]) => `${name}:\t${kb(status[field as keyof MemoryStatus])} kB\n`)
    .join('');

const kb = (bytes: number): string => String(bytes / 1024).padStart(8);
