// The public API: one written list. Values first, then types.

export type { Gfn, Gpa, Hpa, Hva, Pfn } from './address.ts';
export { formatAddress, gpa, hex, hpa, hva } from './address.ts';
export type { Place } from './errors.ts';
export { SlatboxError } from './errors.ts';
export { Driver } from './guest/driver.ts';
export type { DriverPort } from './guest/port.ts';
export type { Checkpoint, Migrated, MigrationOptions, MigrationRound, Region } from './machine.ts';
export { createHost, createSandbox, Host, migrate, threadsMissing, Vm } from './machine.ts';
export type {
  CoreChunk,
  CoreDump,
  CoreDumpListing,
  CoreDumpOptions,
  CoreDumpReason,
  CoreDumpTotals,
  CoreDumpVma,
  CoreSegment,
} from './observe/core-types.ts';
export type {
  MemoryStatus,
  PagemapRun,
  PageType,
  PageTypes,
  PageTypesOptions,
  SmapsRollup,
} from './observe/proc-types.ts';
export type {
  Action,
  Builtin,
  Each,
  Expectation,
  FlatStep,
  HostMemory,
  LaneResult,
  MachineBuild,
  ParsedScenario,
  RunState,
  Sample,
  Scenario,
  ScenarioVm,
  ScenarioVms,
  Step,
  StepResult,
} from './scenario/index.ts';
export {
  builtin,
  builtins,
  changeIn,
  createMachine,
  flatten,
  loadScenario,
  parseScenario,
  REQUESTS,
  ScenarioRun,
  sandboxOptions,
} from './scenario/index.ts';
export { formatSize, parseInteger, parseSize } from './size.ts';
export type {
  PlainStep,
  Program,
  ProgramResult,
  ProgramResults,
  ProgramStep,
  RepeatEnd,
  RepeatStep,
  ResultOf,
  RunResults,
  Tally,
} from './threads/program.ts';
export type * from './types.ts';
export type { MemoryAttributes, MemoryRegion, MemoryRegion2, Memslot } from './vmm/kvm.ts';
