// What the page and its engine say to each other: plain values only, so that the engine can live in a worker.
// Reference: docs/web.md "The seams".
import type { StepResult } from '../../src/scenario/index.ts';
import type { Counters, DeviceSnapshot, EventRecord, Lens, Vma, Walk } from '../../src/types.ts';

export interface ScenarioInfo {
  readonly name: string;
  readonly title: string;
  readonly about: string;
}

/** A console line that became a step: it runs at this position of the timeline, every time. */
export interface Insertion {
  readonly at: number;
  readonly line: string;
}

export interface StepInfo {
  /** As in the scenario file, `3` or `3[14].2`; `+` for a console line. */
  readonly label: string;
  readonly title: string;
  readonly kind: string;
  /** The console line it came from. */
  readonly line: string | undefined;
}

export interface Machine {
  readonly cpus: number;
  readonly ram: readonly { readonly gpa: bigint; readonly size: number; readonly hva: bigint }[];
  /** End of the last RAM region. */
  readonly end: bigint;
  readonly abi: DeviceSnapshot['abi'];
}

export interface PerCpuBuffer {
  readonly id: number;
  readonly gpa: bigint;
  /** The 32 bytes, whatever they mean at the moment. */
  readonly bytes: Uint8Array;
}

/** The machine at one step of the timeline. */
export interface Frame {
  /** Steps done so far: 0 is the machine as it was built. */
  readonly step: number;
  readonly counters: Counters;
  readonly device: DeviceSnapshot;
  readonly buffers: readonly PerCpuBuffer[];
  readonly vmas: readonly Vma[];
  /** More VMAs than `vmas` carries. */
  readonly vmasTotal: number;
  /** seq of the first event of the last step. */
  readonly eventsFrom: number;
  /** Results of the steps that were executed to get here, some perhaps again. */
  readonly results: readonly StepResult[];
}

export interface Opened {
  readonly info: ScenarioInfo;
  readonly machine: Machine;
  readonly steps: readonly StepInfo[];
  /** An address worth selecting first. */
  readonly focus: bigint | undefined;
  readonly frame: Frame;
}

/** What is left of the event log when a filter has been over it. */
export interface EventList {
  /** The newest that fit, oldest first. */
  readonly records: readonly EventRecord[];
  readonly fitting: number;
  /** How many were looked at: the log keeps the last 65536. */
  readonly searched: number;
  /** Events since the machine was made. */
  readonly total: number;
}

/** An error as data: classes do not survive the way out of a worker. */
export interface Failure {
  readonly code: string;
  readonly message: string;
  readonly hint: string | undefined;
}
export type Answer<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly error: Failure };

export interface RasterRequest {
  readonly lens: Lens;
  readonly gpa: bigint;
  readonly cellShift: number;
  readonly width: number;
  readonly height: number;
}

/** The engine as the page sees it: one conversation, calls are answered in order. */
export interface EnginePort {
  scenarios(): Promise<Answer<readonly ScenarioInfo[]>>;
  /** Opens at `step`, or on the way there: see `seek`. */
  open(name: string, insertions: readonly Insertion[], step: number): Promise<Answer<Opened>>;
  /** Moves towards `step`. When that takes long the frame is of a step on the way; ask again. */
  seek(step: number): Promise<Answer<Frame>>;
  /** Puts a console line behind the current step and executes it. */
  insert(line: string): Promise<Answer<Opened>>;
  walk(gpa: bigint): Promise<Answer<Walk>>;
  raster(request: RasterRequest): Promise<Answer<Uint8Array>>;
  events(filter: string): Promise<Answer<EventList>>;
  smaps(): Promise<Answer<string>>;
  /** Over all of the guest's memory: not for every frame. */
  digest(): Promise<Answer<string>>;
}
