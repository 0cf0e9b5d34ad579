// FILE or builtin:NAME of a command to a machine with the scenario's steps ready to run.
import { SlatboxError } from '../errors.ts';
import type { Vm } from '../machine.ts';
import { builtin, builtins } from '../scenario/builtins/index.ts';
import { createMachine } from '../scenario/machine.ts';
import type { Params } from '../scenario/params.ts';
import { ScenarioRun } from '../scenario/run.ts';
import { type ParsedScenario, parseScenario, type Scenario } from '../scenario/scenario.ts';
import { suggestion } from '../scenario/suggest.ts';
import { vmSpecs } from '../scenario/vms.ts';
import type { CoreBuild, WasmMemory } from '../types.ts';
import { type Io, readText } from './io.ts';

export interface BuildOptions {
  readonly core?: CoreBuild;
  readonly memory?: WasmMemory;
  /** False: vCPUs take turns, whatever the scenario says. */
  readonly threads?: boolean;
}

const BUILTIN = 'builtin:';

export function parseFile(io: Io, file: string, params: Params = {}): ParsedScenario {
  if (!file.startsWith(BUILTIN)) {
    return parseScenario(readText(io, file), file === '-' ? '<stdin>' : file, params);
  }
  const name = file.slice(BUILTIN.length);
  const found = builtin(name);
  if (found) return parseScenario(found.text, file, params);
  const hint = suggestion(
    name,
    builtins.map((b) => b.name),
  );
  throw new SlatboxError('SLB-040', `there is no built-in scenario "${name}"`, hint ?? 'see `slatbox list`');
}

/** The VMs of a scenario's machine. What the engine refuses is reported at the scenario's `machine`. */
export async function openMachine(scenario: Scenario, build: BuildOptions): Promise<ReadonlyMap<string, Vm>> {
  const { core, memory, threads } = build;
  try {
    return await createMachine(scenario.machine, {
      ...(core && { core }),
      ...(memory && { wasmMemory: memory }),
      ...(threads === false && { threads }),
    });
  } catch (error) {
    // A core that cannot be loaded (SLB-026) is no fault of the scenario.
    if (!(error instanceof SlatboxError) || error.place || error.code === 'SLB-026') throw error;
    throw new SlatboxError(error.code, error.message, error.hint, scenario.machineAt);
  }
}

/** The index after the last step to run. `at` counts as the output does: step 3, or `3[14].2` in a repeat. */
export function stepsUntil(run: ScenarioRun, at: string | undefined): number {
  if (at === undefined) return run.steps.length;
  // A number alone names a top-level step; a repeat is done with its last round.
  const inside = /^\d+$/.test(at) ? `${at}[` : undefined;
  let end = 0;
  for (const { index, label } of run.steps) {
    if (label === at || (inside !== undefined && label.startsWith(inside))) end = index + 1;
  }
  if (end > 0) return end;
  if (at === '0') return 0;
  const last = run.steps.at(-1)?.label ?? '0';
  throw new SlatboxError(
    'SLB-041',
    `there is no step "${at}"`,
    `steps are named as \`run\` prints them, 0 to ${last}`,
  );
}

/** Ends the threads of all VMs. */
export const closeAll = (vms: ReadonlyMap<string, Vm>): Promise<unknown> =>
  Promise.all([...vms.values()].map((vm) => vm.close()));

/** Runs a file up to a step and hands back the machine, for commands that look at the VM `named`, or at the first. */
export async function runTo(
  io: Io,
  file: string,
  { at, vm: named, ...build }: BuildOptions & { readonly at?: string; readonly vm?: string },
  params?: Params,
) {
  const { scenario, problems } = parseFile(io, file, params);
  if (!scenario) throw problems[0];
  // Before the run, which may take long.
  const names = [...vmSpecs(scenario.machine).keys()];
  const name = named ?? names[0];
  if (name === undefined || !names.includes(name)) {
    const hint = suggestion(named ?? '', names);
    throw new SlatboxError('SLB-048', `--vm: there is no VM "${named}" in ${file}`, hint);
  }
  const vms = await openMachine(scenario, build);
  const run = new ScenarioRun(scenario, vms);
  const end = stepsUntil(run, at);
  while (run.position < end) await run.next();
  await closeAll(vms);
  return { vm: vms.get(name) as Vm, vms, run, scenario };
}
