// The observers of one VM: values, never live references. Each costs what it shows.

import type { Gpa, Hva } from '../address.ts';
import { gpa as gpaOf, hva as hvaOf, PAGE_SIZE } from '../address.ts';
import { kernelPageSize } from '../backing.ts';
import { SCRATCH, SCRATCH_SIZE, VM_RSS } from '../core/layout.ts';
import { SlatboxError } from '../errors.ts';
import type { AddressLike, Counters, Lens, MemslotUse, PageBacking, Vma, Walk } from '../types.ts';
import type { Vm } from '../vm.ts';
import { coreDump } from './core-dump.ts';
import type { CoreDump, CoreDumpOptions } from './core-types.ts';
import { readCounters } from './counters.ts';
import { readMemslots } from './memslots.ts';
import { readPage } from './page.ts';
import { pageTypesText, readPageTypes } from './page-types.ts';
import { readPagemap, readRuns } from './pagemap.ts';
import type { MemoryStatus, PagemapRun, PageTypes, PageTypesOptions, SmapsRollup } from './proc-types.ts';
import { rollupText, smapsText } from './smaps.ts';
import { readStatus, statusText } from './status.ts';
import { readRollup, readVmas } from './vmas.ts';
import { readWalk } from './walk.ts';

const LENSES: readonly Lens[] = ['backing', 'slat', 'protection', 'attributes'];

export class Observe {
  readonly #vm: Vm;

  constructor(vm: Vm) {
    this.#vm = vm;
  }

  /** Resident set in bytes: what the VMM's RAM mappings have in frames. */
  rss(): number {
    const { core } = this.#vm.host;
    core.assertAllowed();
    return core.readNumber(this.#vm.ptr + VM_RSS) * PAGE_SIZE;
  }

  vmas(): Vma[] {
    return readVmas(this.#vm);
  }

  /** /proc/PID/smaps of the RAM mappings, in Linux's format. */
  smapsText(): string {
    return smapsText(this.vmas(), kernelPageSize(this.#vm.backing));
  }

  /** /proc/PID/smaps_rollup of the RAM mappings. */
  smapsRollup(): SmapsRollup {
    return readRollup(this.#vm);
  }

  /** The same in Linux's format. */
  smapsRollupText(): string {
    return rollupText(this.smapsRollup());
  }

  /** The memory lines of /proc/PID/status, as far as guest RAM goes. */
  status(): MemoryStatus {
    return readStatus(this.#vm);
  }

  /** The same in Linux's format. */
  statusText(): string {
    return statusText(this.status());
  }

  /**
   * Entries of /proc/PID/pagemap, one for each page of [from, to), bits as in Linux's pagemap.rst. At most 2^24; from and to
   * are multiples of 4096 (SlatboxError SLB-022).
   */
  pagemap(from: AddressLike, to: AddressLike): BigUint64Array {
    return readPagemap(this.#vm, hvaOf(from), hvaOf(to));
  }

  /** The same as runs of pages that follow each other, in address order; what was never touched costs nothing. */
  pagemapRuns(from: AddressLike, to: AddressLike): Iterable<PagemapRun> {
    return readRuns(this.#vm, hvaOf(from), hvaOf(to));
  }

  /** What `page-types --pid` counts: pages of the VMM's RAM mappings by their kpageflags, swapped ones as pages without flags. */
  pageTypes(options: PageTypesOptions = {}): PageTypes {
    return readPageTypes(this.#vm, options);
  }

  /** The same as the tool prints it. */
  pageTypesText(options: PageTypesOptions = {}): string {
    return pageTypesText(this.pageTypes(options));
  }

  /** The core file that Linux would write of the VMM, as far as guest RAM goes. SlatboxError SLB-010 for a filter that cannot be. */
  coreDump(options: CoreDumpOptions = {}): CoreDump {
    return coreDump(this.#vm, options);
  }

  /** The memory file behind a RAM region (the first, if none is named), in blocks of 4 KiB; undefined when there is none. */
  file(gpa?: AddressLike): { readonly blocks: number } | undefined {
    const hva = gpa === undefined ? this.#vm.ram[0]?.hva : this.#vm.vmm.hvaOf(gpa);
    const blocks = hva === undefined ? -1 : this.#vm.host.core.x.fileBlocks(this.#vm.ptr, hva >> 12n);
    return blocks < 0 ? undefined : { blocks };
  }

  /** Of a file that the VMM has open, one letter a page: `.` a hole, or allocated and not used yet · `c` in memory · `w` swapped. */
  filePages(fd: number, first: number, count: number): string {
    return this.#vm.vmm.files.letters(fd, first, count);
  }

  /**
   * One letter a page: `x` no VMA · `.` nothing · `z` `Z` zero page (small, huge) · `a` anonymous · `l` `d` lazily freed
   * (clean, written again) · `s` swapped · `k` `K` shared by KSM (lazily freed) · `H` `L` `D` part of a huge page mapped as
   * one (lazily freed, written again) · `h` of one mapped by parts · `f` of a file · `c` of a file, not mapped · `G` `g`
   * hugetlb (mapped, not).
   */
  pageLetters(hva: AddressLike, pages: number): string {
    const { core } = this.#vm.host;
    const first = hvaOf(hva) >> 12n;
    let out = '';
    for (let i = 0; i < pages; i++)
      out += String.fromCharCode(core.x.pageLetter(this.#vm.ptr, first + BigInt(i)));
    return out;
  }

  /** KVM's slots by guest-physical address, each with its SLAT leaves and the pages of its dirty log. */
  memslots(): MemslotUse[] {
    return readMemslots(this.#vm);
  }

  walk(gpa: AddressLike): Walk {
    return readWalk(this.#vm, gpaOf(gpa));
  }

  /** What backs the page at `gpa`: frame, huge page, file, who shares it. */
  page(gpa: AddressLike): PageBacking {
    this.#vm.host.core.assertAllowed();
    return readPage(this.#vm, gpaOf(gpa));
  }

  counters(): Counters {
    return readCounters(this.#vm);
  }

  digest(): string {
    return this.#vm.digestNumber().toString(16).padStart(16, '0');
  }

  /**
   * width × height cells of 2^cellShift bytes from gpa on, one byte each (docs/events.md, "Cells"). At most 2^20
   * cells, cellShift 12 to 40, gpa a multiple of the cell (SlatboxError SLB-022).
   */
  raster(lens: Lens, gpa: AddressLike, cellShift: number, width: number, height: number): Uint8Array {
    const cells = width * height;
    const start: Gpa = gpaOf(gpa);
    const whole = Number.isInteger(cellShift) && cellShift >= 12 && cellShift <= 40;
    if (!whole || cells > SCRATCH_SIZE || start % (1n << BigInt(cellShift)) !== 0n) {
      throw new SlatboxError(
        'SLB-022',
        `a raster of ${width} × ${height} cells of 2^${cellShift} bytes`,
        'at most 2^20 cells of 2^12 to 2^40 bytes, aligned',
      );
    }
    const { core } = this.#vm.host;
    core.x.raster(this.#vm.ptr, LENSES.indexOf(lens), start >> 12n, cellShift, cells);
    return core.u8.slice(SCRATCH, SCRATCH + cells);
  }

  /** Page letter of a guest-physical page; `-` where there is no slot. */
  pageAt(gpa: AddressLike): string {
    const hva: Hva | undefined = this.#vm.vmm.hvaOf(gpa);
    return hva === undefined ? '-' : this.pageLetters(hva, 1);
  }
}
