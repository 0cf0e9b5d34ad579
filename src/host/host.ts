// A host: frames, swap, metadata, and the VMs that share them. One wasm memory each.
import { kernelPageSize } from '../backing.ts';
import type { Core } from '../core/core.ts';
import {
  HOST_ARENA,
  HOST_FRAMES,
  HOST_GIGANTIC_FREE,
  HOST_GIGANTIC_TOTAL,
  HOST_NODE_COUNT,
  HOST_SWAP,
} from '../core/layout.ts';
import { loadCore } from '../core/load.ts';
import { SlatboxError } from '../errors.ts';
import { EventLog } from '../observe/events.ts';
import { requestName } from '../observe/names.ts';
import { readPageCounts, readPageFlags } from '../observe/page-flags.ts';
import { pageTypesText, readHostPageTypes } from '../observe/page-types.ts';
import type { PageTypes, PageTypesOptions } from '../observe/proc-types.ts';
import { parseSize } from '../size.ts';
import { assertThreads } from '../threads/spawn.ts';
import type { HostOptions, VmOptions } from '../types.ts';
import { Vm } from '../vm.ts';
import type { Checkpoint } from './checkpoint.ts';
import { restoreCheckpoint, takeCheckpoint } from './checkpoint.ts';
import { sentence } from './invariants.ts';
import { Ksm } from './ksm.ts';
import { Names } from './names.ts';

const PAGE = 4096;
const GIB = 2 ** 30;
/** What a host gets when nobody says: enough for most guests, small enough for any machine (it is not touched until used). */
const DEFAULT_POOL = GIB;
/** For a VM that needs no frames. */
const LEAST_POOL = 2 ** 21;
const DEFAULT_SWAP = 256 * 2 ** 20;

/** The first GiB is never one, and the last one would end where addresses begin anew. */
const MOST_GIGANTIC = 2;

/** NODE_MAX of assembly/frames/node.ts. */
const NODE_MAX = 8;

let hosts = 0;

export class Host {
  /** Which host of this process it is: a checkpoint belongs to one. */
  readonly serial = ++hosts;
  readonly core: Core;
  readonly events: EventLog;
  readonly ksm: Ksm;
  readonly names = new Names();
  readonly #vms: Vm[] = [];

  /** Use `createHost`. */
  constructor(core: Core) {
    this.core = core;
    this.ksm = new Ksm(core);
    this.events = new EventLog(core, (vm, code) => requestName(this.#vms[vm]?.abi ?? 'pvmemcontrol', code));
  }

  get vms(): readonly Vm[] {
    return this.#vms;
  }

  /** A new VM. SlatboxError SLB-024 for RAM that cannot be, SLB-025 when the host has no room for one more, SLB-050 for `threads` that cannot be. */
  createVm(options: VmOptions = {}): Vm {
    const vm = new Vm(this, this.#vms.length, options);
    this.#vms.push(vm);
    return vm;
  }

  /** 4 KiB frames of the pool. */
  frames(): { readonly total: number; readonly free: number; readonly used: number } {
    return this.#pool(HOST_FRAMES);
  }

  /** 4 KiB slots of the swap area. */
  swap(): { readonly total: number; readonly free: number; readonly used: number } {
    return this.#pool(HOST_SWAP);
  }

  /** hugetlb pages of 1 GiB, which are no frames of the pool (HugePages_Total, HugePages_Free). */
  hugepages1g(): { readonly total: number; readonly free: number } {
    this.core.assertAllowed();
    const free = this.core.readU32(HOST_GIGANTIC_FREE);
    let n = 0;
    for (let bits = free; bits !== 0; bits &= bits - 1) n++;
    return { total: this.core.readU32(HOST_GIGANTIC_TOTAL), free: n };
  }

  /** Memory nodes: bytes of each, and bytes of each that are free. */
  nodes(): readonly { readonly size: number; readonly free: number }[] {
    this.core.assertAllowed();
    const { x } = this.core;
    const count = this.core.readU32(HOST_NODE_COUNT);
    if (count === 0) {
      const { total, free } = this.frames();
      return [{ size: total * PAGE, free: free * PAGE }];
    }
    return Array.from({ length: count }, (_, n) => ({
      size: (x.nodeRoom(n) >>> 0) * PAGE,
      free: (x.nodeFree(n) >>> 0) * PAGE,
    }));
  }

  /** Bytes in use for SLAT tables, page state, VMAs, slots and connections of all VMs. */
  metadataBytes(): number {
    return this.#pool(HOST_ARENA).used * PAGE;
  }

  /** /proc/kpageflags: an entry for each of `count` frames from `pfn` on, at most 2^24 (SlatboxError SLB-022). Which flags are kept: docs/model-limits.md. */
  kpageflags(pfn: number, count: number): BigUint64Array {
    return readPageFlags(this.core, pfn, count);
  }

  /** /proc/kpagecount: how many page table entries map each of these frames. Errors as kpageflags. */
  kpagecount(pfn: number, count: number): BigUint64Array {
    return readPageCounts(this.core, pfn, count);
  }

  /** What the tool page-types counts on this host: its frames and the zero page. */
  pageTypes(options: PageTypesOptions = {}): PageTypes {
    return readHostPageTypes(this.core, options);
  }

  /** The same as the tool prints it. */
  pageTypesText(options: PageTypesOptions = {}): string {
    return pageTypesText(this.pageTypes(options));
  }

  #pool(pool: number): { total: number; free: number; used: number } {
    const total = this.core.x.poolTotal(pool) >>> 0;
    const free = this.core.x.poolFree(pool) >>> 0;
    return { total, free, used: total - free };
  }

  /** Sentences about broken invariants, empty when all hold. Recounts everything: for tests, not for loops. */
  check(): string[] {
    const broken = this.core.x.check();
    return broken === 0 ? [] : [sentence(broken, this.core)];
  }

  /** 16 hex digits over the state of all VMs; equal on every build, in every shell. */
  digest(): string {
    let h = 0n;
    for (const vm of this.#vms) h = BigInt.asUintN(64, h * 0x100000001b3n + vm.digestNumber());
    return h.toString(16).padStart(16, '0');
  }

  /** Everything: RAM, metadata, devices, drivers. VMs made after it are unknown to it (SLB-027 on restore). */
  checkpoint(): Checkpoint {
    return takeCheckpoint(this);
  }

  restore(checkpoint: Checkpoint): void {
    this.core.assertAllowed();
    restoreCheckpoint(this, checkpoint);
  }
}

/** A host with nothing on it. SlatboxError SLB-010 (sizes), SLB-020 (too large), SLB-026 (core not found). */
export async function createHost(options: HostOptions = {}): Promise<Host> {
  const pool = options.memory === undefined ? DEFAULT_POOL : parseSize(options.memory, 'memory');
  const swap = options.swap === undefined ? DEFAULT_SWAP : parseSize(options.swap, 'swap');
  const frames = Math.ceil(pool / PAGE);
  if (frames === 0)
    throw new SlatboxError('SLB-020', 'a host needs at least one frame', 'memory: 4K or more');
  const gigantic = options.hugepages1g ?? 0;
  if (!Number.isInteger(gigantic) || gigantic < 0 || gigantic > MOST_GIGANTIC) {
    throw new SlatboxError(
      'SLB-020',
      `hugepages1g is ${gigantic}`,
      `0 to ${MOST_GIGANTIC}: linear memory ends at 4 GiB`,
    );
  }
  const nodes = options.numaNodes ?? 1;
  if (!Number.isInteger(nodes) || nodes < 1 || nodes > NODE_MAX || nodes > frames) {
    throw new SlatboxError(
      'SLB-020',
      `numaNodes is ${nodes}`,
      `1 to ${NODE_MAX}, and no more than the host has frames`,
    );
  }
  // Metadata: an eighth of the pool covers sparse use; the base is for large, hardly touched guests.
  const arena = 16384 + (frames >>> 3);
  const pages = { frames, arena, swap: Math.ceil(swap / PAGE), gigantic, nodes };
  const core = await loadCore(
    options.core ?? 'release',
    options.wasmMemory ?? 'plain',
    pages,
    options.events ?? true,
  );
  return new Host(core);
}

/** `createHost` options of a host that is made for its VMs: `pool` is its memory; by default as much as their RAM, at most 2 GiB. */
export type SandboxOptions = Omit<HostOptions, 'memory'> & { readonly pool?: HostOptions['memory'] };

/** One VM on a host of its own, in shared memory if it has `threads`. */
export async function createSandbox(options: SandboxOptions & VmOptions = {}): Promise<Vm> {
  const {
    pool: _,
    swap: __,
    hugepages1g: ___,
    numaNodes: _______,
    core: ____,
    wasmMemory: _____,
    events: ______,
    ...vmOptions
  } = options;
  const [vm] = await createVms(options, [vmOptions]);
  return vm as Vm;
}

/** VMs on one host of their own, in shared memory if one has `threads`. */
export async function createVms(options: SandboxOptions, vms: readonly VmOptions[]): Promise<Vm[]> {
  const { pool, swap, hugepages1g, numaNodes, core, wasmMemory: kind, events } = options;
  const threads = vms.some((vm) => vm.threads);
  // Threads need shared memory; who asks for plain memory all the same is told so by the VM.
  const wasmMemory = kind ?? (threads ? 'threads' : undefined);
  // Before a memory is made in vain.
  if (threads) assertThreads();
  const host = await createHost({
    memory:
      pool ??
      (Math.min(
        vms.reduce((sum, vm) => sum + mostFrames(vm), 0),
        2 * GIB,
      ) ||
        DEFAULT_POOL),
    ...(swap !== undefined && { swap }),
    ...(hugepages1g !== undefined && { hugepages1g }),
    ...(numaNodes !== undefined && { numaNodes }),
    ...(core !== undefined && { core }),
    ...(wasmMemory !== undefined && { wasmMemory }),
    ...(events !== undefined && { events }),
  });
  return vms.map((vm) => host.createVm(vm));
}

/** Bytes of frames that a VM's RAM has at most; pages of 1 GiB have theirs aside. Of a private file mapping there are two copies, the file's and the VMM's own. */
const mostFrames = (vm: VmOptions): number =>
  kernelPageSize(vm.backing ?? 'anon') === GIB
    ? LEAST_POOL
    : Vm.regions(vm).reduce((sum, { size }) => sum + size, 0) * (vm.backing === 'memfd_priv' ? 2 : 1);
