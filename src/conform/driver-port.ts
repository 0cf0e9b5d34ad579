// A DriverPort over a machine that writes down every register access, as the recorder of `driver` traces did.
// Reference: docs/conform.md, table of doors: a vCPU's access on the MMIO bus.
import type { Gpa } from '../address.ts';
import type { DriverPort } from '../guest/port.ts';
import type { DriverAccess } from './driver-trace.ts';
import type { ReplayVm } from './transport-door.ts';

const COMMAND = 8;
const BUF_SIZE = 32;

export class RecordingPort implements DriverPort {
  readonly cpus: number;
  /** The calling cpu and the per-CPU buffers are inputs of a recording. */
  cpu = 0;
  buffers: readonly bigint[] = [];
  #accesses: DriverAccess[] = [];
  readonly #vm: ReplayVm;

  constructor(vm: ReplayVm, cpus: number) {
    this.#vm = vm;
    this.cpus = cpus;
  }

  /** The accesses since the last call. */
  take(): DriverAccess[] {
    return this.#accesses.splice(0);
  }

  currentCpu(): number {
    return this.cpu;
  }
  configRead(bdf: number, offset: number, size: number): number {
    return this.#vm.pci.configRead(bdf, offset, size);
  }
  configWrite(bdf: number, offset: number, size: number, value: number): void {
    this.#vm.pci.configWrite(bdf, offset, size, value);
  }

  read32(gpa: bigint, _cpu: number): number {
    // All ones is what a load reads that no device answers.
    const bytes = new Uint8Array(4).fill(0xff);
    this.#vm.bus.read(gpa as Gpa, bytes);
    const value = new DataView(bytes.buffer).getUint32(0, true);
    this.#record('read', gpa, 4, BigInt(value));
    return value;
  }

  write32(gpa: bigint, value: number, cpu: number): void {
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setUint32(0, value, true);
    const doorbell = this.#offset(gpa) === COMMAND && value >>> 31 === 1;
    const request = doorbell ? this.#buffer(cpu) : undefined;
    this.#vm.bus.write(gpa as Gpa, bytes);
    const response = doorbell ? this.#buffer(cpu) : undefined;
    this.#record('write', gpa, 4, BigInt(value), doorbell ? { cpu, request, response } : undefined);
  }

  write64(gpa: bigint, value: bigint, _cpu: number): void {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, value, true);
    this.#vm.bus.write(gpa as Gpa, bytes);
    this.#record('write', gpa, 8, value);
  }

  allocPercpu(cpu: number, _size: number): bigint | undefined {
    return this.buffers[cpu];
  }
  copyToBuffer(gpa: bigint, request: Uint8Array, cpu: number): boolean {
    return this.#vm.guest.write(gpa as Gpa, request, { cpu }) === undefined;
  }
  copyFromBuffer(gpa: bigint, out: Uint8Array, cpu: number): boolean {
    const bytes = this.#vm.guest.read(gpa as Gpa, out.length, { cpu });
    if (!(bytes instanceof Uint8Array)) return false;
    out.set(bytes);
    return true;
  }

  #offset(gpa: bigint): number {
    return Number(gpa) - this.#vm.pci.window;
  }

  /** The cpu's buffer as it is in RAM; undefined when it is not in RAM. */
  #buffer(cpu: number): Uint8Array | undefined {
    const gpa = this.buffers[cpu];
    if (gpa === undefined) return undefined;
    return this.#vm.ramAccess.read(gpa as Gpa, BUF_SIZE).slice();
  }

  #record(
    op: DriverAccess['op'],
    gpa: bigint,
    size: number,
    value: bigint,
    doorbell?: Pick<DriverAccess, 'cpu' | 'request' | 'response'>,
  ): void {
    const { cpu, request, response } = doorbell ?? {
      cpu: undefined,
      request: undefined,
      response: undefined,
    };
    this.#accesses.push({ op, offset: this.#offset(gpa), size, value, cpu, request, response });
  }
}
