// The driver's view of a Vm: every access is one of a vCPU.
import type { Gpa } from '../address.ts';
import type { Vm } from '../vm.ts';
import type { Guest } from './guest.ts';
import type { DriverPort } from './port.ts';

/** Where the guest kernel's per-CPU area for the driver begins, from the start of RAM: 0x8000, a page a CPU. */
const PERCPU = 0x8000n;

export class VmPort implements DriverPort {
  readonly #vm: Vm;
  readonly #guest: Guest;

  constructor(vm: Vm, guest: Guest) {
    this.#vm = vm;
    this.#guest = guest;
  }

  get cpus(): number {
    return this.#vm.cpus;
  }

  /** The guest has no scheduler: what does not name a CPU runs on CPU 0. */
  currentCpu(): number {
    return 0;
  }

  configRead(bdf: number, offset: number, size: number): number {
    return this.#vm.pci.configRead(bdf, offset, size);
  }

  configWrite(bdf: number, offset: number, size: number, value: number): void {
    this.#vm.pci.configWrite(bdf, offset, size, value);
  }

  read32(gpa: bigint, cpu: number): number {
    const access = this.#guest.load(gpa, 4, { cpu });
    return access.ok ? Number(access.value) : 0xffffffff;
  }

  write32(gpa: bigint, value: number, cpu: number): void {
    this.#guest.store(gpa, 4, value, { cpu });
  }

  write64(gpa: bigint, value: bigint, cpu: number): void {
    this.#guest.store(gpa, 8, value, { cpu });
  }

  allocPercpu(cpu: number, size: number): bigint | undefined {
    const region = this.#vm.ram[0];
    if (!region) return undefined;
    const offset = PERCPU + BigInt(cpu) * 4096n;
    return offset + BigInt(size) <= BigInt(region.size) ? region.gpa + offset : undefined;
  }

  copyToBuffer(gpa: bigint, request: Uint8Array, cpu: number): boolean {
    return this.#guest.write(gpa as Gpa, request, { cpu }) === undefined;
  }

  copyFromBuffer(gpa: bigint, out: Uint8Array, cpu: number): boolean {
    const bytes = this.#guest.read(gpa as Gpa, out.length, { cpu });
    if (!(bytes instanceof Uint8Array)) return false;
    out.set(bytes);
    return true;
  }

  request(gpa: bigint, register: bigint, command: number, buf: Uint8Array, cpu: number): boolean {
    return this.#guest.vcpu(cpu).request(gpa, register, command, buf);
  }
}
