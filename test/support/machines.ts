// The four compilations of the core as rows for describe.each: one suite, four machines (style.md, "Tests").
import type { CoreBuild, Counters, HostOptions, Hva, Vm, VmOptions, WasmMemory } from '../../src/index.ts';
import { createSandbox } from '../../src/index.ts';

export interface Build {
  readonly core: CoreBuild;
  readonly wasmMemory: WasmMemory;
}

export const BUILDS: readonly (readonly [string, Build])[] = [
  ['release, plain', { core: 'release', wasmMemory: 'plain' }],
  ['release, threads', { core: 'release', wasmMemory: 'threads' }],
  ['debug, plain', { core: 'debug', wasmMemory: 'plain' }],
  ['debug, threads', { core: 'debug', wasmMemory: 'threads' }],
];

export const PAGE = 4096;
export const KIB = 2 ** 10;
export const MIB = 2 ** 20;
export const GIB = 2 ** 30;

export type MachineOptions = Omit<HostOptions, 'memory'> &
  VmOptions & { readonly pool?: HostOptions['memory'] };

/** A guest of 64 MiB at 0 on a host of 8 MiB with 1 MiB of swap, unless the options say otherwise. */
export function machine(build: Build, options: MachineOptions = {}): Promise<Vm> {
  return createSandbox({ memory: 64 * MIB, pool: 8 * MIB, swap: MIB, ...build, ...options });
}

/** Where the VMM maps a guest-physical address that is RAM. */
export function hvaAt(vm: Vm, gpa: bigint | number): Hva {
  const hva = vm.vmm.hvaOf(gpa);
  if (hva === undefined) throw new Error(`no RAM at ${gpa}`);
  return hva;
}

/** The counters that `run` changed, and by how much. */
export function changes(vm: Vm, run: () => void): Record<string, number> {
  const before: Counters = vm.observe.counters();
  run();
  const after = vm.observe.counters();
  const out: Record<string, number> = {};
  for (const [name, value] of Object.entries(after)) {
    const by = value - (before[name] ?? 0);
    if (by !== 0) out[name] = by;
  }
  return out;
}

/** The page letters of `pages` pages from gpa on. */
export const letters = (vm: Vm, gpa: bigint | number, pages = 1): string =>
  vm.observe.pageLetters(hvaAt(vm, gpa), pages);
