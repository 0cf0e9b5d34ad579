// The guest: its vCPUs, who act when they are called, and the driver.
import type { Gpa } from '../address.ts';
import type { Ptr } from '../core/exports.ts';
import { SlatboxError } from '../errors.ts';
import type { Access, AddressLike, Exit, LoopEnd, Size, Verified } from '../types.ts';
import type { Vm } from '../vm.ts';
import { Driver } from './driver.ts';
import { Requests } from './requests.ts';
import { type AccessSize, type Span, Vcpu } from './vcpu.ts';
import { VmPort } from './vm-port.ts';

export interface OnCpu {
  /** The vCPU that acts. Default 0. */
  readonly cpu?: number;
}
export type Range = OnCpu & Span;

export class Guest {
  readonly driver: Driver;
  readonly pvmemcontrol: Requests;
  readonly #vcpus: readonly Vcpu[];

  constructor(vm: Vm) {
    const { core } = vm.host;
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

  /** The run record of a vCPU. SlatboxError SLB-023. */
  run(cpu = 0): Ptr {
    return this.vcpu(cpu).run;
  }

  /** One load. An access over a page border is one access with up to two exits. */
  load(gpa: AddressLike, size: AccessSize, on: OnCpu = {}): Access {
    return this.vcpu(on.cpu).load(gpa, size);
  }

  store(gpa: AddressLike, size: AccessSize, value: bigint | number, on: OnCpu = {}): Access {
    return this.vcpu(on.cpu).store(gpa, size, value);
  }

  /** A locked addition: `value` of the answer is what was there. SlatboxError SLB-022 over a page border. */
  fetchAdd(gpa: AddressLike, size: AccessSize, value: bigint | number, on: OnCpu = {}): Access {
    return this.vcpu(on.cpu).fetchAdd(gpa, size, value);
  }

  /** What the VMM answers for reads, of any vCPU, that leave the guest and no device claims; without it they read as ones. */
  onMmioRead(answer: ((gpa: Gpa, len: number) => Uint8Array) | undefined): void {
    for (const vcpu of this.#vcpus) vcpu.onMmioRead = answer;
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
