// The library's Vm behind an MmDoor: the VMM process's system calls and accesses on the one RAM region of a VM.
// Reference: test/golden/mm/README.md, section "The mapping".
import { type Hva, hva } from '../address.ts';
import { BACKINGS } from '../backing.ts';
import { createSandbox } from '../index.ts';
import type { Vm } from '../machine.ts';
import type { BackingKind, HostOptions, Vma } from '../types.ts';
import type { OpenMmDoor } from './mm.ts';
import type { MmDoor, MmVma } from './mm-door.ts';

const PAGE_SIZE = 4096;
const KB = 1024;
/** Frames of the host for each page of RAM. */
const SPARE = 4;
/** Full scans of KSM that a recording lets it make at a time. */
const KSM_SCANS = 4;

const isBacking = (mode: string): mode is BackingKind => (BACKINGS as readonly string[]).includes(mode);

function mmVma(vma: Vma, base: bigint): MmVma {
  return {
    start: Number(vma.start - base) / PAGE_SIZE,
    end: Number(vma.end - base) / PAGE_SIZE,
    perm: vma.perm,
    flags: vma.flags,
    sizes: {
      rss: vma.rss / KB,
      pss: vma.pss / KB,
      sharedClean: vma.sharedClean / KB,
      sharedDirty: vma.sharedDirty / KB,
      privateClean: vma.privateClean / KB,
      privateDirty: vma.privateDirty / KB,
      anonymous: vma.anonymous / KB,
      ksm: vma.ksm / KB,
      lazyFree: vma.lazyFree / KB,
      anonHugePages: vma.anonHugePages / KB,
      sharedHugetlb: vma.sharedHugetlb / KB,
      privateHugetlb: vma.privateHugetlb / KB,
      swap: vma.swap / KB,
      swapPss: vma.swapPss / KB,
      locked: vma.locked / KB,
    },
  };
}

/** The door to the first RAM region of `vm`. */
export function vmMmDoor(vm: Vm): MmDoor {
  const [region] = vm.ram;
  if (!region) throw new RangeError('the VM has no RAM');
  const base = region.hva;
  // Addresses wrap as the arguments of a system call do, so that hostile ranges reach the engine as they were.
  const at = (start: bigint): Hva => hva(BigInt.asUintN(64, base + start));
  const pageAt = (page: number): Hva => at(BigInt(page) * BigInt(PAGE_SIZE));
  return {
    madvise: (start, len, advice) => vm.vmm.madvise(at(start), len, advice),
    mprotect: (start, len, prot) => vm.vmm.mprotect(at(start), len, prot),
    mlock: (start, len) => vm.vmm.mlock(at(start), len),
    munlock: (start, len) => vm.vmm.munlock(at(start), len),
    munmap: (start, len) => vm.vmm.munmap(at(start), len),
    hostRead: (page) => vm.vmm.load(pageAt(page)),
    hostWrite: (page, byte) => vm.vmm.fillPage(pageAt(page), byte),
    vmas: () =>
      vm.observe
        .vmas()
        .filter((vma) => vma.end > base && vma.start < base + BigInt(region.size))
        .map((vma) => mmVma(vma, base)),
    letters: () => vm.observe.pageLetters(base, region.size / PAGE_SIZE),
    blocks: () => vm.observe.file()?.blocks ?? 0,
    ksmSettle: () => vm.host.ksm.scan(KSM_SCANS),
  };
}

/** A fresh VM for each trace. Without names, as the recording kernel was built. */
export const openVmMmDoor =
  (options: HostOptions = {}): OpenMmDoor =>
  async ({ mode, pages }) => {
    if (!isBacking(mode)) throw new RangeError(`the engine has no mappings of mode ${mode}`);
    const { memory, ...host } = options;
    const ram = [{ gpa: 0, size: pages * PAGE_SIZE }];
    // The recording host had memory to spare: for copies of files, and for huge pages beside what is left of others.
    const pool = memory ?? SPARE * pages * PAGE_SIZE;
    return vmMmDoor(await createSandbox({ ...host, pool, ram, backing: mode, vmaNames: false }));
  };
