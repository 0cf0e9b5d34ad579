// What a scenario needs of its VMs and of the host below them. `Vm` of machine.ts fits.
import type { Guest } from '../guest/guest.ts';
import type { CoreDump, CoreDumpOptions } from '../observe/core-types.ts';
import type { Program, ProgramResult } from '../threads/program.ts';
import type { AddressLike, Counters, DeviceSnapshot, Walk } from '../types.ts';
import type { Kvm } from '../vmm/kvm.ts';
import type { Process } from '../vmm/process.ts';

/** Results by vCPU and step. */
export type LaneResults = readonly (readonly ProgramResult[])[];

export interface ScenarioHost {
  readonly ksm: { scan(times: number): void; readonly fullScans: number; readonly pagesShared: number };
}

export interface ScenarioVm {
  readonly host: ScenarioHost;
  /** Whether `run` gives each vCPU a thread of its own. */
  readonly threads: boolean;
  run(programs: readonly Program[]): Promise<LaneResults>;
  runInTurns(programs: readonly Program[]): LaneResults;
  readonly pci: {
    configRead(bdf: number, offset: number, size: number): number;
    configWrite(bdf: number, offset: number, size: number, value: number): unknown;
  };
  readonly device: { snapshot(): DeviceSnapshot };
  readonly kvm: Pick<
    Kvm,
    | 'memslots'
    | 'enableCap'
    | 'setUserMemoryRegion'
    | 'setUserMemoryRegion2'
    | 'getDirtyLog'
    | 'clearDirtyLog'
    | 'createGuestMemfd'
    | 'setMemoryAttributes'
    | 'setMemoryAttributes2'
  >;
  readonly guest: Pick<Guest, 'mapGpaRange'>;
  readonly vmm: Pick<
    Process,
    | 'hvaOf'
    | 'discard'
    | 'fileWrite'
    | 'mmap'
    | 'munmap'
    | 'pin'
    | 'unpin'
    | 'mprotect'
    | 'madvise'
    | 'fallocate'
    | 'close'
    | 'load'
    | 'store'
    | 'readPage'
    | 'writePage'
  >;
  readonly observe: {
    counters(): Counters;
    walk(gpa: AddressLike): Walk;
    coreDump(options: CoreDumpOptions): CoreDump;
  };
}

/** VMs of one host by name, in the order of the file. */
export type ScenarioVms = ReadonlyMap<string, ScenarioVm>;
