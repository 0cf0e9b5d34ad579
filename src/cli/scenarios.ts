// FILE or builtin:NAME of a command to a machine with the scenario's steps ready to run.
import { SlatboxError } from '../errors.ts';
import { createSandbox } from '../machine.ts';
import { builtin, builtins } from '../scenario/builtins/index.ts';
import type { Params } from '../scenario/params.ts';
import { ScenarioRun } from '../scenario/run.ts';
import { type ParsedScenario, parseScenario, type Scenario, sandboxOptions } from '../scenario/scenario.ts';
import { suggestion } from '../scenario/suggest.ts';
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

/** The machine of a scenario. What the engine refuses is reported at the scenario's `machine`. */
export async function openVm(scenario: Scenario, build: BuildOptions) {
  const { core, memory, threads } = build;
  try {
    return await createSandbox({
      ...sandboxOptions(scenario.machine),
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

/** Runs a file up to a step and hands back the machine, for commands that look at it. */
export async function runTo(
  io: Io,
  file: string,
  at: string | undefined,
  build: BuildOptions,
  params?: Params,
) {
  const { scenario, problems } = parseFile(io, file, params);
  if (!scenario) throw problems[0];
  const vm = await openVm(scenario, build);
  const run = new ScenarioRun(scenario, vm);
  const end = stepsUntil(run, at);
  while (run.position < end) await run.next();
  await vm.close();
  return { vm, run, scenario };
}
