// A machine without an engine: the device model behind the real PCI bus. The device conformance kinds that do not
// look at host memory (transport, pci, driver) and the guest driver run on it.
import { gpa } from '../../src/address.ts';
import type { DriverPort } from '../../src/guest/port.ts';
import { parseSize } from '../../src/size.ts';
import type { VmOptions } from '../../src/types.ts';
import { PciBus } from '../../src/vmm/pci-bus.ts';
import { DeviceModel, type ModelOptions, privateMemory } from './device-model.ts';

const WINDOW_SIZE = 16n;

export class ModelVm {
  readonly device: DeviceModel;
  readonly pci = new PciBus({ onBarMove: ({ to }) => this.moveTo(to) });
  #base = BigInt(this.pci.window);

  constructor(options: ModelOptions) {
    this.device = new DeviceModel({ hostCall: privateMemory, ...options });
  }

  moveTo(base: number): void {
    this.#base = BigInt(base);
  }

  readonly bus = {
    read: (gpa: bigint, buffer: Uint8Array): boolean =>
      this.#claim(gpa, (offset) => this.device.read(offset, buffer)),
    write: (gpa: bigint, bytes: Uint8Array): boolean =>
      this.#claim(gpa, (offset) => this.device.write(offset, bytes)),
  };

  /** An access that begins in the window reaches the device with its full size. */
  #claim(gpa: bigint, access: (offset: number) => void): boolean {
    if (gpa < this.#base || gpa >= this.#base + WINDOW_SIZE) return false;
    access(Number(gpa - this.#base));
    return true;
  }

  readonly ramAccess = {
    read: (gpa: bigint, len: number): Uint8Array => this.device.ram.read(gpa, len),
    write: (gpa: bigint, bytes: Uint8Array): void => this.device.ram.write(gpa, bytes),
    fill: (gpa: bigint, len: number, byte: number): void =>
      this.device.ram.write(gpa, new Uint8Array(len).fill(byte)),
  };

  /** The model knows no protection: a vCPU's access to RAM is RAM itself. */
  readonly guest = {
    read: this.ramAccess.read,
    write: (gpa: bigint, bytes: Uint8Array): undefined => this.device.ram.write(gpa, bytes) as undefined,
  };

  /** There is no host memory behind the model. */
  readonly vmm = { hvaOf: () => undefined, fillPage: noHost, fileWrite: noHost };
  readonly observe = { vmas: noHost, pageLetters: noHost };
}

function noHost(): never {
  throw new Error('the model has no host memory to look at');
}

/** As `createSandbox`, for the kinds that replay on a model. */
export const openModelVm = ({ ram = [] }: VmOptions): ModelVm =>
  new ModelVm({ ram: ram.map((region) => ({ gpa: gpa(region.gpa), size: parseSize(region.size) })) });

/** What the driver sees of a model machine; per-CPU buffers are `buffers`. */
export function modelPort(vm: ModelVm, buffers: readonly bigint[]): DriverPort & { cpu: number } {
  const bytes = (size: number): { readonly array: Uint8Array; readonly view: DataView } => {
    const array = new Uint8Array(size).fill(0xff);
    return { array, view: new DataView(array.buffer) };
  };
  return {
    cpus: buffers.length,
    cpu: 0,
    currentCpu() {
      return this.cpu;
    },
    configRead: (bdf, offset, size) => vm.pci.configRead(bdf, offset, size),
    configWrite: (bdf, offset, size, value) => void vm.pci.configWrite(bdf, offset, size, value),
    read32(gpa) {
      const { array, view } = bytes(4);
      vm.bus.read(gpa, array);
      return view.getUint32(0, true);
    },
    write32(gpa, value) {
      const { array, view } = bytes(4);
      view.setUint32(0, value, true);
      vm.bus.write(gpa, array);
    },
    write64(gpa, value) {
      const { array, view } = bytes(8);
      view.setBigUint64(0, value, true);
      vm.bus.write(gpa, array);
    },
    allocPercpu: (cpu) => buffers[cpu],
    copyToBuffer(gpa, request) {
      vm.device.ram.write(gpa, request);
      return true;
    },
    copyFromBuffer(gpa, out) {
      out.set(vm.device.ram.read(gpa, out.length));
      return true;
    },
  };
}
