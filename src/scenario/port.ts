// What a scenario needs of a VM: programs for its vCPUs, configuration space and the observers. `Vm` of machine.ts fits.
import type { Program, ProgramResult } from '../threads/program.ts';
import type { AddressLike, Counters, DeviceSnapshot, Walk } from '../types.ts';

/** Results by vCPU and step. */
export type LaneResults = readonly (readonly ProgramResult[])[];

export interface ScenarioVm {
  /** Whether `run` gives each vCPU a thread of its own. */
  readonly threads: boolean;
  run(programs: readonly Program[]): Promise<LaneResults>;
  runInTurns(programs: readonly Program[]): LaneResults;
  readonly pci: {
    configRead(bdf: number, offset: number, size: number): number;
    configWrite(bdf: number, offset: number, size: number, value: number): unknown;
  };
  readonly device: { snapshot(): DeviceSnapshot };
  readonly observe: { counters(): Counters; walk(gpa: AddressLike): Walk };
}
