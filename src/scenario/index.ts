// Scenarios for library users: parse, run, built-ins. No Node in here: it works in a page's worker.

export { type Builtin, builtin, builtins } from './builtins/index.ts';
export type { Expectation } from './expect.ts';
export { type FlatStep, flatten } from './flatten.ts';
export { sizeText } from './outcome.ts';
export type { ScenarioVm } from './port.ts';
export { type LaneResult, type RunState, ScenarioRun, type StepResult } from './run.ts';
export {
  type Action,
  loadScenario,
  type ParsedScenario,
  parseScenario,
  type Repeat,
  type Scenario,
  type Step,
  sandboxOptions,
} from './scenario.ts';
export { REQUESTS, type RequestName } from './schema.ts';
