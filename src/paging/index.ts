// Page-table formats and the walks through them: EPT, AMD nested paging, arm64 stage 2, a guest's own tables, and two
// dimensions at once. docs/walks.md has an example of each.

export type {
  EptOutcome,
  EptStop,
  EptTables,
  EptWalk,
  LinearRights,
  SlatAccess,
} from './ept.ts';
export { walkEpt } from './ept.ts';
export type { EptEntry, EptFeatures, EptPointer } from './ept-entry.ts';
export { decodeEptEntry, decodeEptPointer, memoryTypeName } from './ept-entry.ts';
export { EPT_POINTER, EPT_QUALIFICATION, eptEntryLayout } from './ept-layout.ts';
export type { GuestAccess, GuestFault, GuestOutcome, GuestPaging, GuestWalk } from './guest.ts';
export { PageFault, walkGuest } from './guest.ts';
export type { BitField, BitLayout } from './layout.ts';
export { field, fieldValue, oneBit } from './layout.ts';
export type { LongModeEntry, LongModeFeatures, LongModeRights } from './long-mode.ts';
export { decodeLongModeEntry } from './long-mode.ts';
export { longModeLayout, NESTED_FAULT_INFO, PAGE_FAULT_CODE } from './long-mode-layout.ts';
export type { NptOutcome, NptStop, NptTables, NptWalk } from './npt.ts';
export { walkNpt } from './npt.ts';
export { PageModificationLog } from './pml.ts';
export type { Stage2Access, Stage2Outcome, Stage2Stop, Stage2Tables, Stage2Walk } from './stage2.ts';
export { Stage2Status, walkStage2 } from './stage2.ts';
export type { Granule, Stage2Entry, Stage2Format } from './stage2-entry.ts';
export { decodeStage2Entry, decodeVtcr, stage2MemoryType } from './stage2-entry.ts';
export { STAGE2_SYNDROME, stage2Layout } from './stage2-layout.ts';
export type { AccessKind, Reference, TableMemory, Unreadable } from './tables.ts';
export type {
  GuestMemory,
  GuestStep,
  OrderedReference,
  SlatReach,
  SlatWalker,
  TwoDimensionalOutcome,
  TwoDimensionalWalk,
} from './two-dimensional.ts';
export {
  referenceCount,
  referencesInOrder,
  throughSlat,
  walkTwoDimensional,
  withoutSlat,
} from './two-dimensional.ts';
