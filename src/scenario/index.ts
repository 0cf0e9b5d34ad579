// Scenarios for library users: parse, run, built-ins. No Node in here: it works in a page's worker.

export { REQUESTS, type RequestName } from '../requests.ts';
export { type Builtin, builtin, builtins } from './builtins/index.ts';
export { isBytes } from './counters.ts';
export type { Expectation } from './expect.ts';
export { type FlatStep, flatten } from './flatten.ts';
export { isKvmStep, kvmTitle } from './kvm-titles.ts';
export { createMachine, type MachineBuild } from './machine.ts';
export { sizeText } from './outcome.ts';
export type { ScenarioVm, ScenarioVms } from './port.ts';
export type { LaneResult, Sample, StepResult } from './result.ts';
export { type RunState, ScenarioRun } from './run.ts';
export {
  type Action,
  type Each,
  loadScenario,
  type ParsedScenario,
  parseScenario,
  type Repeat,
  type Scenario,
  type Step,
} from './scenario.ts';
export { changeIn, type HostMemory } from './snapshot.ts';
export { ONLY_VM, sandboxOptions } from './vms.ts';
