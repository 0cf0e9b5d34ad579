// The doors that recordings of the device came through: accesses on the MMIO bus, and RAM itself.
// Reference: docs/conform.md, table of doors.
import type { Gpa, Hva } from '../address.ts';
import type { Exit, HostAccess, Vma, VmOptions } from '../types.ts';
import type { BarMove } from '../vmm/pci-config.ts';
import type { Backing, TransportRam } from './transport-trace.ts';

/** What `transport` steps act on: the device's registers, and RAM whatever its protection. */
export interface TransportDoor {
  /** A vCPU's write to BAR0, at an offset from its start. */
  mmioWrite(offset: number, bytes: Uint8Array): void;
  /** A vCPU's read; bytes of `buffer` that nothing answers stay as they are. */
  mmioRead(offset: number, buffer: Uint8Array): void;
  memWrite(gpa: bigint, bytes: Uint8Array): void;
  memFill(gpa: bigint, len: number, byte: number): void;
  memRead(gpa: bigint, len: number): Uint8Array;
}

export interface TransportSetup {
  readonly backing: Backing;
  readonly ram: readonly TransportRam[];
}

/** Makes a fresh device over zero-filled RAM; throws where such a machine cannot be had. */
export type OpenTransportDoor = (setup: TransportSetup) => TransportDoor | Promise<TransportDoor>;

/** What the device conformance kinds need of a `Vm`; `createSandbox` makes one. */
export interface ReplayVm {
  readonly guest: {
    read(gpa: Gpa, len: number, options?: { readonly cpu?: number }): Uint8Array | Exit;
    write(gpa: Gpa, bytes: Uint8Array, options?: { readonly cpu?: number }): Exit | undefined;
  };
  readonly vmm: {
    hvaOf(gpa: Gpa): Hva | undefined;
    fillPage(hva: Hva, byte: number): HostAccess;
    fileWrite(hva: Hva, len: bigint, byte: number): { readonly errno: number };
  };
  readonly ramAccess: {
    read(gpa: Gpa, len: number): Uint8Array;
    write(gpa: Gpa, bytes: Uint8Array): void;
    fill(gpa: Gpa, len: number, byte: number): void;
  };
  readonly bus: {
    read(gpa: Gpa, buffer: Uint8Array): boolean;
    write(gpa: Gpa, bytes: Uint8Array): boolean;
  };
  readonly pci: {
    readonly window: number;
    configRead(bdf: number, offset: number, size: number): number;
    configWrite(bdf: number, offset: number, size: number, value: number): readonly BarMove[];
  };
  readonly observe: {
    vmas(): readonly Vma[];
    pageLetters(hva: Hva, pages: number): string;
  };
}

/** Makes a machine for one case, with the core and the kind of wasm memory that were asked for. */
export type OpenVm = (options: VmOptions) => ReplayVm | Promise<ReplayVm>;

/** A machine like the recording's: private anonymous RAM or a shared memory file, and a kernel without names for it. */
export async function openRecordedVm(
  open: OpenVm,
  { backing, ram }: TransportSetup,
  options: VmOptions = {},
): Promise<ReplayVm> {
  return open({ ram, backing: backing === 'shared' ? 'memfd' : 'anon', vmaNames: false, ...options });
}

/** The transport door of a machine: its MMIO bus at the register window, and its RAM. */
export function transportDoorOf(vm: ReplayVm): TransportDoor {
  const register = (offset: number): Gpa => BigInt(vm.pci.window + offset) as Gpa;
  return {
    mmioWrite: (offset, bytes) => void vm.bus.write(register(offset), bytes),
    mmioRead: (offset, buffer) => void vm.bus.read(register(offset), buffer),
    memWrite: (gpa, bytes) => vm.ramAccess.write(gpa as Gpa, bytes),
    memFill: (gpa, len, byte) => vm.ramAccess.fill(gpa as Gpa, len, byte),
    memRead: (gpa, len) => vm.ramAccess.read(gpa as Gpa, len),
  };
}

export const openTransportDoor =
  (open: OpenVm): OpenTransportDoor =>
  async (setup) =>
    transportDoorOf(await openRecordedVm(open, setup));
