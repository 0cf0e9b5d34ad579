// What the page and its engine say to each other: plain values only, so that the engine can live in a worker.
// Reference: docs/web.md "The seams".
import type { WhoCounts } from '../../src/index.ts';
import type { StepResult } from '../../src/scenario/index.ts';
import type {
  BackingKind,
  Counters,
  DeviceSnapshot,
  EventRecord,
  Lens,
  MemslotUse,
  PageBacking,
  Vma,
  Walk,
} from '../../src/types.ts';

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

/** A VM as it was made. */
export interface Machine {
  readonly name: string;
  readonly backing: BackingKind;
  readonly cpus: number;
  readonly ram: readonly { readonly gpa: bigint; readonly size: number; readonly hva: bigint }[];
  /** End of the last RAM region, or of the last slot that the scenario puts behind it. */
  readonly end: bigint;
}

export interface PerCpuBuffer {
  readonly id: number;
  readonly gpa: bigint;
  /** The 32 bytes, whatever they mean at the moment. */
  readonly bytes: Uint8Array;
}

/** A VM at one step of the timeline. */
export interface VmState {
  readonly counters: Counters;
  /** memory.max, in bytes; undefined for no limit. */
  readonly memoryLimit: number | undefined;
  readonly device: DeviceSnapshot;
  readonly buffers: readonly PerCpuBuffer[];
  readonly vmas: readonly Vma[];
  /** KVM's slots by guest-physical address: the first of them. */
  readonly memslots: readonly MemslotUse[];
  readonly memslotsTotal: number;
  /** More VMAs than `vmas` carries. */
  readonly vmasTotal: number;
}

/** The host's memory, in bytes. */
export interface HostState {
  /** Frames, and hugetlb pages of 1 GiB: all, and those in use. */
  readonly total: number;
  readonly used: number;
  readonly swapTotal: number;
  readonly swapUsed: number;
  /** Frames that KSM saves. */
  readonly saved: number;
}

/** Host and VMs at one step of the timeline. */
export interface Frame {
  /** Steps done so far: 0 is the machine as it was built. */
  readonly step: number;
  readonly host: HostState;
  /** In the order of `Opened.vms`. */
  readonly vms: readonly VmState[];
  /** seq of the first event of the last step. */
  readonly eventsFrom: number;
  /** Results of the steps that were executed to get here, some perhaps again. */
  readonly results: readonly StepResult[];
}

export interface Opened {
  readonly info: ScenarioInfo;
  readonly vms: readonly Machine[];
  readonly steps: readonly StepInfo[];
  /** An address worth selecting first, in the first VM. */
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

/** What there is to see of one page: KVM's view and the host's. */
export interface Looked {
  readonly walk: Walk;
  readonly page: PageBacking;
  /** Whether the VM's attributes say that the guest sees its private memory there. */
  readonly isPrivate: boolean;
}

/** VMs are named by their place in `Opened.vms`. */
export interface RasterRequest {
  readonly vm: number;
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
  look(vm: number, gpa: bigint): Promise<Answer<Looked>>;
  /** What each counter has of a range; undefined beyond all guest-physical addresses. */
  who(vm: number, gpa: bigint, len: bigint): Promise<Answer<WhoCounts | undefined>>;
  raster(request: RasterRequest): Promise<Answer<Uint8Array>>;
  events(filter: string): Promise<Answer<EventList>>;
  smaps(vm: number): Promise<Answer<string>>;
  /** Over all memory of all VMs: not for every frame. */
  digest(): Promise<Answer<string>>;
}
