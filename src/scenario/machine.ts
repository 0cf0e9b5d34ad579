// The machine of a scenario, built: a host and its VMs by name.
import { createVms, type Vm } from '../machine.ts';
import type { CoreBuild, WasmMemory } from '../types.ts';
import type { MachineSpec } from './schema-machine.ts';
import { vmOptions, vmSpecs } from './vms.ts';

export interface MachineBuild {
  readonly core?: CoreBuild;
  readonly wasmMemory?: WasmMemory;
  /** False: vCPUs take turns, whatever the machine says. */
  readonly threads?: boolean;
}

/** The VMs of a machine on a host of their own, in the order of the file. Errors as `createSandbox`. */
export async function createMachine(
  machine: MachineSpec,
  { threads, ...build }: MachineBuild = {},
): Promise<ReadonlyMap<string, Vm>> {
  const { pool, swap, hugepages1g, numaNodes } = machine;
  const specs = vmSpecs(machine);
  const options = [...specs.values()].map((spec) => ({
    ...vmOptions(spec),
    ...(threads === false && { threads }),
  }));
  const host = {
    ...(pool !== undefined && { pool }),
    ...(swap !== undefined && { swap }),
    ...(hugepages1g !== undefined && { hugepages1g }),
    ...(numaNodes !== undefined && { numaNodes }),
    ...build,
  };
  const vms = await createVms(host, options);
  return new Map([...specs.keys()].map((name, i) => [name, vms[i] as Vm]));
}
