// The public API: one written list. Values first, then types.

export type { WhoCounts, WhoRow, WhoView } from './account/who.ts';
export { whoCounts } from './account/who.ts';
export type { Gfn, Gpa, Gva, Hpa, Hva, Pfn } from './address.ts';
export { formatAddress, gpa, gva, hex, hpa, hva } from './address.ts';
export type { Place } from './errors.ts';
export { SlatboxError } from './errors.ts';
export { Driver } from './guest/driver.ts';
export type { VirtualOptions } from './guest/guest.ts';
export type { GuestMapping, GuestPageSize } from './guest/page-tables.ts';
export { PageTables } from './guest/page-tables.ts';
export type { DriverPort } from './guest/port.ts';
export type { AtPrivilege, VirtualAccess, VirtualStop, VirtualWalk } from './guest/virtual.ts';
export { VirtualCpu } from './guest/virtual.ts';
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
  AccessKind,
  BitField,
  BitLayout,
  EptEntry,
  EptFeatures,
  EptOutcome,
  EptPointer,
  EptStop,
  EptTables,
  EptWalk,
  Granule,
  GuestAccess,
  GuestFault,
  GuestMemory,
  GuestOutcome,
  GuestPaging,
  GuestStep,
  GuestWalk,
  LinearRights,
  LongModeEntry,
  LongModeFeatures,
  LongModeRights,
  NptOutcome,
  NptStop,
  NptTables,
  NptWalk,
  OrderedReference,
  Reference,
  SlatAccess,
  SlatReach,
  SlatWalker,
  Stage2Access,
  Stage2Entry,
  Stage2Format,
  Stage2Outcome,
  Stage2Stop,
  Stage2Tables,
  Stage2Walk,
  TableMemory,
  TwoDimensionalOutcome,
  TwoDimensionalWalk,
  Unreadable,
} from './paging/index.ts';
export {
  decodeEptEntry,
  decodeEptPointer,
  decodeLongModeEntry,
  decodeStage2Entry,
  decodeVtcr,
  EPT_POINTER,
  EPT_QUALIFICATION,
  eptEntryLayout,
  fieldValue,
  longModeLayout,
  NESTED_FAULT_INFO,
  PAGE_FAULT_CODE,
  PageFault,
  PageModificationLog,
  referenceCount,
  referencesInOrder,
  STAGE2_SYNDROME,
  Stage2Status,
  stage2Layout,
  stage2MemoryType,
  throughSlat,
  walkEpt,
  walkGuest,
  walkNpt,
  walkStage2,
  walkTwoDimensional,
  withoutSlat,
} from './paging/index.ts';
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
