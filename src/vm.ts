// One VM: the composition root. RAM regions, vCPUs, the VMM process, the device behind its PCI function, the
// guest's driver, and the observers. docs/architecture.md draws the same.
//
//   [0, 3 GiB)          RAM
//   [3 GiB, 4 GiB)      device window; BAR0 of pvmemcontrol starts at 0xdffffff0
//   [4 GiB, …)          RAM that did not fit below 3 GiB

import { GmemProfile } from '../assembly/abi/kvm.ts';
import { Abi } from '../assembly/abi/pvmemcontrol.ts';
import { VM_MAY, VM_READ, VM_WRITE } from '../assembly/abi/vm-flags.ts';
import type { Gpa, Hva } from './address.ts';
import { gpa as gpaOf } from './address.ts';
import { isHugetlb, kernelPageSize, MAPPING_FLAGS } from './backing.ts';
import type { Ptr } from './core/exports.ts';
import { VM_MEMORY_MAX, VM_MEMORY_SWAP_MAX } from './core/layout.ts';
import { SlatboxError } from './errors.ts';
import type { DriverState } from './guest/driver.ts';
import { Guest } from './guest/guest.ts';
import type { Host } from './host/host.ts';
import type { HypercallExit } from './hypercall.ts';
import { Observe } from './observe/observe.ts';
import { parseSize } from './size.ts';
import type { Program, RunResults } from './threads/program.ts';
import { Runner } from './threads/runner.ts';
import type { AbiName, BackingKind, Size, VmOptions } from './types.ts';
import { Bus } from './vmm/bus.ts';
import { handleHypercall } from './vmm/convert.ts';
import { DeviceView } from './vmm/device.ts';
import type { Files } from './vmm/files.ts';
import { Kvm } from './vmm/kvm.ts';
import { PciBus } from './vmm/pci-bus.ts';
import type { PciConfigState } from './vmm/pci-config.ts';
import type { Pins } from './vmm/pins.ts';
import { Process } from './vmm/process.ts';
import { RamAccess } from './vmm/ram-access.ts';

const PAGE = 4096;
const GIB = 2 ** 30;
const HVA_BASE = 1n << 44n;
const BAR0 = 0xdffffff0;
/** RAM regions of a VM, RAM_MAX of assembly/memslot/ram.ts. */
const REGIONS = 128;
/** Guest-physical width when nobody says. */
const PHYS_BITS = 46;
/** What the VMM has room for to map besides its RAM regions: 1 TiB of addresses. */
const MAP_ROOM = 1n << 40n;
/** Mappings of a VMM besides guest RAM, which vm.max_map_count counts too. */
const OTHER_MAPS = 30;
const NO_LIMIT = (1n << 64n) - 1n;

export interface Region {
  readonly gpa: Gpa;
  readonly size: number;
  readonly hva: Hva;
}

/** The TypeScript side of a checkpoint. */
export interface VmState {
  readonly pci: PciConfigState;
  readonly driver: DriverState;
  /** The VMM's descriptors. */
  readonly files: ReturnType<Files['save']>;
  readonly pins: ReturnType<Pins['save']>;
  readonly kvm: ReturnType<Kvm['save']>;
}

export class Vm {
  readonly host: Host;
  readonly id: number;
  readonly cpus: number;
  readonly abi: AbiName;
  /** What RAM is made of. */
  readonly backing: BackingKind;
  /** RAM regions, which are the memslots. */
  readonly ram: readonly Region[];
  readonly guest: Guest;
  readonly vmm: Process;
  readonly kvm: Kvm;
  /** What the VMM answers to hypercalls that leave the guest. By default it converts, and gives back what was there before. */
  onHypercall: (exit: HypercallExit) => bigint = (exit) => handleHypercall(this, exit);
  readonly ramAccess: RamAccess;
  readonly bus: Bus;
  readonly pci: PciBus;
  readonly device: DeviceView;
  readonly observe: Observe;
  readonly #runner: Runner;
  /** The VM's record in linear memory. */
  readonly ptr: Ptr;

  /** Use `host.createVm` or `createSandbox`. */
  constructor(host: Host, id: number, options: VmOptions) {
    const { core } = host;
    this.host = host;
    this.id = id;
    this.cpus = options.cpus ?? 1;
    this.abi = options.abi ?? 'pvmemcontrol';
    this.ram = Vm.regions(options);
    if (!Number.isInteger(this.cpus) || this.cpus < 1 || this.cpus > 32) {
      throw new SlatboxError('SLB-024', `cpus is ${this.cpus}`, 'a VM has 1 to 32 vCPUs');
    }
    this.backing = options.backing ?? 'anon';
    const page = kernelPageSize(this.backing);
    const odd = this.ram.find(({ gpa, size }) => Number(gpa % BigInt(page)) || size % page);
    const pageText = page === GIB ? '1G' : '2M';
    if (isHugetlb(this.backing) && odd) {
      throw new SlatboxError(
        'SLB-024',
        `RAM of ${this.backing} that does not begin and end at ${pageText}: gpa ${odd.gpa.toString(16)}, ${odd.size} bytes`,
        `choose multiples of ${pageText}`,
      );
    }
    if (this.ram.length > REGIONS) {
      throw new SlatboxError('SLB-025', `${this.ram.length} RAM regions`, `at most ${REGIONS} regions`);
    }
    const last = this.ram.at(-1);
    const span = (last ? BigInt(last.hva - HVA_BASE) + BigInt(last.size) : 0n) + MAP_ROOM;
    const memlock =
      options.memlock === undefined ? (1n << 64n) - 1n : BigInt(parseSize(options.memlock, 'memlock'));
    const memoryLimit = limitPages(options.memoryLimit, 'memoryLimit');
    const swapLimit = limitPages(options.swapLimit, 'swapLimit');
    this.ptr =
      core.x.vmCreate(
        span / 4096n,
        this.cpus,
        (options.vmaNames ?? true) ? 1 : 0,
        options.maxMapCount ?? 65530,
        OTHER_MAPS,
        memlock,
        this.abi === 'memctl' ? Abi.Memctl : Abi.Pvmemcontrol,
        BigInt(BAR0),
      ) >>> 0;
    if (this.ptr === 0) {
      throw new SlatboxError(
        'SLB-025',
        'no room for one more VM on this host',
        'at most 32 VMs; give the host more memory',
      );
    }
    core.x.vmSetKvm(
      this.ptr,
      1n << BigInt(physBits(options) - 12),
      options.vmType ?? 0,
      GmemProfile[options.gmemProfile ?? 'B'],
      (options.pml ?? true) ? 1 : 0,
    );
    const flags = VM_READ | VM_WRITE | VM_MAY | MAPPING_FLAGS[this.backing];
    for (const { gpa, size, hva } of this.ram) {
      const errno = core.x.vmAddRam(
        this.ptr,
        gpa >> 12n,
        BigInt(size / PAGE),
        (hva - HVA_BASE) >> 12n,
        flags >>> 0,
      );
      if (errno === 0) continue;
      core.x.vmUndo(this.ptr);
      throw new SlatboxError('SLB-025', 'no room for the RAM regions', 'give the host more memory');
    }
    core.x.setMemoryMax(this.ptr, memoryLimit);
    core.x.setSwapMax(this.ptr, swapLimit);
    this.bus = new Bus(core, this.ptr);
    this.vmm = new Process(this);
    this.kvm = new Kvm(core, this.ptr, this.vmm.files);
    this.ramAccess = new RamAccess(this);
    this.pci = new PciBus({ bar0: BAR0, onBarMove: ({ to }) => core.x.vmSetBar0(this.ptr, BigInt(to)) });
    this.device = new DeviceView(core, this.ptr, this.abi);
    this.guest = new Guest(this);
    this.observe = new Observe(this);
    this.#runner = new Runner(this, options.threads ?? false);
  }

  /** Whether `run` gives each vCPU a thread of its own. */
  get threads(): boolean {
    return this.#runner.threads;
  }

  /**
   * Runs a program on each vCPU, the first on vCPU 0; the results have the same shape. With `threads` all run at the
   * same time, each on its own thread, and until the promise settles every other use of the host is SLB-051. Without,
   * as `runInTurns`. SlatboxError SLB-010, SLB-022, SLB-023, SLB-029, SLB-054 for programs that cannot be run, SLB-025
   * without room for the threads' state, SLB-052 when a thread is lost: the host is then broken. SLB-053 after `close`.
   */
  run<const P extends readonly Program[]>(programs: P): Promise<RunResults<P>> {
    return this.#runner.run(programs);
  }

  /** The same on the calling thread, one step of each vCPU at a time (each round of a repeat's steps too). Errors as `run`. */
  runInTurns<const P extends readonly Program[]>(programs: P): RunResults<P> {
    return this.#runner.inTurns(programs);
  }

  /**
   * Ends the vCPUs' threads; nothing can be run any more (SLB-053). The machine can still be looked at, unless a run
   * was on: that one rejects with SLB-053, and the host is lost.
   */
  close(): Promise<void> {
    return this.#runner.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** The RAM regions that options ask for, with where the VMM maps them. SlatboxError SLB-010, SLB-024. */
  static regions(options: VmOptions): Region[] {
    const wanted = options.ram
      ? options.ram.map(({ gpa, size }) => ({ gpa: gpaOf(gpa), size: parseSize(size, 'ram size') }))
      : split(parseSize(options.memory ?? GIB, 'memory'));
    const out: Region[] = [];
    const limit = 1n << BigInt(physBits(options));
    let hva = HVA_BASE;
    let end = 0n;
    for (const { gpa, size } of wanted) {
      const stop = gpa + BigInt(size);
      const bad =
        size === 0 || size % PAGE !== 0 || gpa % 4096n !== 0n
          ? 'is not made of whole pages'
          : stop > limit
            ? `ends behind 2^${physBits(options)}`
            : gpa < end
              ? 'is not in order, or overlaps the one before'
              : undefined;
      if (bad) {
        throw new SlatboxError(
          'SLB-024',
          `RAM region at 0x${gpa.toString(16)}, ${size} bytes, ${bad}`,
          'multiples of 4K, ascending, below 2^physBits',
        );
      }
      // Each region is a mapping of its own with a GiB of nothing around it, congruent to its gpa, so that a
      // huge page of the guest can be one of the host.
      hva += gpa % BigInt(GIB);
      out.push({ gpa, size, hva: hva as Hva });
      hva = ((hva + BigInt(size) + BigInt(GIB) - 1n) / BigInt(GIB) + 1n) * BigInt(GIB);
      end = stop;
    }
    return out;
  }

  /** memory.max in bytes; undefined: no limit. */
  get memoryLimit(): number | undefined {
    return this.#limit(VM_MEMORY_MAX);
  }

  /** memory.swap.max in bytes; undefined: no limit. */
  get swapLimit(): number | undefined {
    return this.#limit(VM_MEMORY_SWAP_MAX);
  }

  #limit(at: number): number | undefined {
    const { core } = this.host;
    core.assertAllowed();
    return core.readU64(this.ptr + at) === NO_LIMIT ? undefined : core.readNumber(this.ptr + at) * PAGE;
  }

  /**
   * Writes memory.max; undefined takes the limit away. What is over it is reclaimed; what cannot be stays, is counted as
   * `memory.events.oom`, and nothing more can be had until there is less of it. SlatboxError SLB-010.
   */
  setMemoryLimit(limit: Size | undefined): void {
    this.host.core.x.setMemoryMax(this.ptr, limitPages(limit, 'memoryLimit'));
  }

  /** Writes memory.swap.max; undefined takes the limit away. What is in swap stays there. SlatboxError SLB-010. */
  setSwapLimit(limit: Size | undefined): void {
    this.host.core.x.setSwapMax(this.ptr, limitPages(limit, 'swapLimit'));
  }

  /** Number that `digest` mixes: VMAs, page states and contents, slots, SLAT, device registers. */
  digestNumber(): bigint {
    return BigInt.asUintN(64, this.host.core.x.vmDigest(this.ptr));
  }

  save(): VmState {
    return {
      pci: this.pci.save(),
      driver: this.guest.driver.save(),
      files: this.vmm.files.save(),
      pins: this.vmm.pins.save(),
      kvm: this.kvm.save(),
    };
  }

  load(state: VmState): void {
    this.pci.load(state.pci);
    this.guest.driver.load(state.driver);
    this.vmm.files.load(state.files);
    this.vmm.pins.load(state.pins);
    this.kvm.load(state.kvm);
  }
}

/** Whole pages, as Linux takes what is written to memory.max. */
function limitPages(limit: Size | undefined, what: string): bigint {
  return limit === undefined ? NO_LIMIT : BigInt(Math.floor(parseSize(limit, what) / PAGE));
}

/** SlatboxError SLB-024. */
function physBits(options: VmOptions): number {
  const bits = options.physBits ?? PHYS_BITS;
  if (Number.isInteger(bits) && bits >= 32 && bits <= 52) return bits;
  throw new SlatboxError('SLB-024', `physBits is ${bits}`, '32 to 52');
}

/** [0, 3 GiB) first, the rest from 4 GiB up. */
function split(size: number): { gpa: Gpa; size: number }[] {
  const low = Math.min(size, 3 * GIB);
  const regions = [{ gpa: gpaOf(0), size: low }];
  if (size > low) regions.push({ gpa: gpaOf(4 * GIB), size: size - low });
  return regions;
}
