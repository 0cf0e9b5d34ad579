// The guest: its vCPUs, who act when they are called, and the driver.
import { type Gpa, gpa as gpaOf } from '../address.ts';
import type { Ptr } from '../core/exports.ts';
import { SlatboxError } from '../errors.ts';
import { type HypercallExit, type MapGpaRange, mapGpaRangeExit } from '../hypercall.ts';
import type { GuestPaging } from '../paging/guest.ts';
import type { Access, AddressLike, Exit, LoopEnd, MemoryKind, Size, Verified } from '../types.ts';
import type { Vm } from '../vm.ts';
import { Driver } from './driver.ts';
import { PageTables } from './page-tables.ts';
import { Requests } from './requests.ts';
import { type AccessSize, type Span, Vcpu } from './vcpu.ts';
import { VirtualCpu } from './virtual.ts';
import { VmPort } from './vm-port.ts';

export interface OnCpu {
  /** The vCPU that acts. Default 0. */
  readonly cpu?: number;
}
export interface OnKind extends OnCpu {
  /** The kind of memory that the guest means; an access to the other kind is a MEMORY_FAULT exit. */
  readonly as?: MemoryKind;
}
export type Range = OnCpu & Span;
/** Control registers of a vCPU with paging on. */
export type VirtualOptions = OnCpu & Omit<GuestPaging, 'cr3'> & { readonly cr3?: AddressLike };

export class Guest {
  readonly driver: Driver;
  readonly pvmemcontrol: Requests;
  readonly #vm: Vm;
  readonly #vcpus: readonly Vcpu[];

  constructor(vm: Vm) {
    const { core } = vm.host;
    this.#vm = vm;
    this.#vcpus = Array.from(
      { length: vm.cpus },
      (_, cpu) => new Vcpu(core, core.x.runOf(vm.ptr, cpu) >>> 0),
    );
    this.driver = new Driver(new VmPort(vm, this), { abi: vm.abi });
    this.pvmemcontrol = new Requests(this.driver, vm.cpus);
  }

  /** SlatboxError SLB-023. */
  vcpu(cpu = 0): Vcpu {
    const vcpu = this.#vcpus[cpu];
    if (vcpu) return vcpu;
    const hint = `this VM has ${this.#vcpus.length}, from 0 on`;
    throw new SlatboxError('SLB-023', `there is no vCPU ${cpu}`, hint);
  }

  /** A vCPU that translates linear addresses by the guest's own page tables. SlatboxError SLB-023. */
  virtual({ cpu, cr3, ...rest }: VirtualOptions = {}): VirtualCpu {
    const paging = cr3 === undefined ? rest : { ...rest, cr3: gpaOf(cr3) };
    return new VirtualCpu(this.vcpu(cpu), (gpa) => this.#vm.observe.walk(gpa), paging);
  }

  /** Page tables for it, made by stores of a vCPU in pages of RAM from `at` on. SlatboxError SLB-023, SLB-060. */
  pageTables(o: OnCpu & { readonly at: AddressLike; readonly levels?: 4 | 5 }): PageTables {
    return new PageTables(this.vcpu(o.cpu), o.at, o.levels ?? 4);
  }

  /** The run record of a vCPU. SlatboxError SLB-023. */
  run(cpu = 0): Ptr {
    return this.vcpu(cpu).run;
  }

  /** One load. An access over a page border is one access with up to two exits. */
  load(gpa: AddressLike, size: AccessSize, on: OnKind = {}): Access {
    return this.vcpu(on.cpu).load(gpa, size, on.as);
  }

  store(gpa: AddressLike, size: AccessSize, value: bigint | number, on: OnKind = {}): Access {
    return this.vcpu(on.cpu).store(gpa, size, value, on.as);
  }

  /** A locked addition: `value` of the answer is what was there. SlatboxError SLB-022 over a page border. */
  fetchAdd(gpa: AddressLike, size: AccessSize, value: bigint | number, on: OnCpu = {}): Access {
    return this.vcpu(on.cpu).fetchAdd(gpa, size, value);
  }

  /** What the VMM answers for reads, of any vCPU, that leave the guest and no device claims; without it they read as ones. */
  onMmioRead(answer: ((gpa: Gpa, len: number) => Uint8Array) | undefined): void {
    for (const vcpu of this.#vcpus) vcpu.onMmioRead = answer;
  }

  /**
   * KVM_HC_MAP_GPA_RANGE: the guest asks for memory to become private or shared. `ret` is what it gets: of KVM at once, or
   * of the VMM (`vm.onHypercall`) after the exit.
   */
  mapGpaRange(o: MapGpaRange & OnCpu): { readonly ret: bigint; readonly exit?: HypercallExit } {
    const { host, kvm, onHypercall } = this.#vm;
    const call = { gpa: gpaOf(o.gpa), pages: BigInt(o.pages), toPrivate: o.toPrivate, cpl: o.cpl };
    const exit = mapGpaRangeExit(call, kvm.hypercalls);
    if (typeof exit === 'number') return { ret: BigInt(exit) };
    host.core.x.vcpuHypercall(this.run(o.cpu), ...exit.args);
    return { ret: onHypercall(exit), exit };
  }

  /** An instruction fetch, of one byte. */
  fetch(gpa: AddressLike, on: OnCpu = {}): Access {
    return this.vcpu(on.cpu).fetch(gpa);
  }

  /** Loads of 8, 4, 2 and 1 bytes; the exit at which it stopped instead of bytes. */
  read(gpa: AddressLike, len: Size, on: OnCpu = {}): Uint8Array | Exit {
    return this.vcpu(on.cpu).read(gpa, len);
  }

  /** Stores of 8, 4, 2 and 1 bytes; the exit at which it stopped, if it did. */
  write(gpa: AddressLike, bytes: Uint8Array, on: OnCpu = {}): Exit | undefined {
    return this.vcpu(on.cpu).write(gpa, bytes);
  }

  /** One byte of each page of the range: loaded, or stored with `write` (value `byte`, default 1). */
  touch(o: Range & { readonly write?: boolean; readonly byte?: number }): LoopEnd {
    return this.vcpu(o.cpu).touch(o);
  }

  /** Stores `byte` to every byte of the range. `pages`: whole or partial pages done. */
  fill(o: Range & { readonly byte: number }): LoopEnd {
    return this.vcpu(o.cpu).fill(o);
  }

  /** Loads every byte of the range. `differs`: the first that is not `byte`. */
  verify(o: Range & { readonly byte: number }): Verified {
    return this.vcpu(o.cpu).verify(o);
  }
}
