// The VMs of a scenario by name, and whose counter a key of `expect` means: `host.rss` of the VM that the step is about,
// `b.host.rss` of b, `all.host.rss` the sum over all.
import type { HostOptions, VmOptions } from '../types.ts';
import type { IntegerSpec } from './format.ts';
import type { MachineSpec, VmSpec } from './schema-machine.ts';

/** The VM of a machine without `vms`. */
export const ONLY_VM = 'vm';
/** In front of a counter, where a machine has `vms`: the sum over all. */
export const ALL_VMS = 'all';

/** The VMs of a machine, in the order of the file, each with what it has. */
export function vmSpecs({ pool: _, swap: __, vms, ...common }: MachineSpec): ReadonlyMap<string, VmSpec> {
  if (!vms) return new Map([[ONLY_VM, common]]);
  return new Map(Object.entries(vms).map(([name, own]) => [name, { ...ofAll(common, own), ...own }]));
}

/** What a VM takes from `machine`: RAM is said there or here, in either way, not half. */
function ofAll(common: VmSpec, own: VmSpec): VmSpec {
  if (own.memory === undefined) return common;
  const { ram: _, ...rest } = common;
  return rest;
}

/** `host.createVm` options for a VM. */
export function vmOptions({ backing, device, ...rest }: VmSpec): VmOptions {
  const abi = device?.pvmemcontrol?.abi;
  return { ...rest, ...(backing && { backing: backing.kind }), ...(abi && { abi }) };
}

/** `createSandbox` options for a machine of one VM; with `vms` see `createMachine`. */
export function sandboxOptions(machine: MachineSpec): HostOptions & VmOptions & { pool?: IntegerSpec } {
  const { pool, swap, vms: _, ...own } = machine;
  return { ...vmOptions(own), ...(pool !== undefined && { pool }), ...(swap !== undefined && { swap }) };
}

/** A key of `expect` that names a counter or the device: whose it is, and its name there. */
export interface Key {
  /** A VM's name, `all`, or undefined: of the VM that the step is about. */
  readonly vm: string | undefined;
  readonly name: string;
}

/** Whether a name of `expect` can begin with this word because it is a VM, or all of them. */
export const isVm = ({ vms }: MachineSpec, name: string): boolean =>
  vms !== undefined && (name === ALL_VMS || Object.hasOwn(vms, name));

export function keyOf(key: string, machine: MachineSpec): Key {
  const bare = key.replace(/^counters\./, '');
  const dot = bare.indexOf('.');
  const head = bare.slice(0, Math.max(dot, 0));
  if (isVm(machine, head)) return { vm: head, name: bare.slice(dot + 1) };
  return { vm: undefined, name: bare };
}
