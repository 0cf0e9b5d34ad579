// The page's state and what can be done with it: plain data, no DOM, nothing that does not survive a clone.
// Reference: docs/web.md "The seams".
import type { StoreApi } from 'zustand/vanilla';
import type { WhoCounts } from '../src/index.ts';
import type { StepResult } from '../src/scenario/index.ts';
import type { Lens, PageBacking, Walk } from '../src/types.ts';
import type {
  EventList,
  Failure,
  Frame,
  Insertion,
  Machine,
  ScenarioInfo,
  StepInfo,
  VmState,
} from './engine/port.ts';
import type { Place } from './link.ts';
import type { Inspected } from './model/fields.ts';
import type { Range, View } from './model/view.ts';

export type PanelId =
  | 'walk'
  | 'device'
  | 'vmas'
  | 'slots'
  | 'exits'
  | 'who'
  | 'counters'
  | 'events'
  | 'console';
export type Speed = 0.5 | 1 | 2 | 4;

export interface ConsoleLine {
  readonly kind: 'input' | 'output' | 'problem';
  readonly text: string;
}
/** A raster that has arrived, and what it is a picture of. */
export interface Raster {
  readonly vm: number;
  readonly lens: Lens;
  readonly view: View;
  readonly step: number;
  readonly cells: Uint8Array;
}

export interface PageState {
  readonly phase: 'starting' | 'ready' | 'failed';
  readonly scenarios: readonly ScenarioInfo[];
  readonly scenario: ScenarioInfo | undefined;
  readonly vms: readonly Machine[];
  /** Whose memory the panels show: an index into `vms`. */
  readonly vm: number;
  readonly steps: readonly StepInfo[];
  readonly insertions: readonly Insertion[];
  /** Results by step, as far as the timeline has been executed. */
  readonly results: readonly StepResult[];
  readonly frame: Frame | undefined;
  /** What a slider drag asks for while the engine is still on its way. */
  readonly wanted: number;
  readonly playing: boolean;
  readonly speed: Speed;
  readonly selection: Range;
  readonly walk: Walk | undefined;
  /** What backs the page that is walked. */
  readonly page: PageBacking | undefined;
  readonly isPrivate: boolean;
  /** Who counts the selection, while that panel is open. */
  readonly who: WhoCounts | undefined;
  readonly inspected: Inspected | undefined;
  readonly lens: Lens;
  readonly view: View;
  readonly raster: Raster | undefined;
  readonly smaps: string | undefined;
  readonly panel: PanelId;
  readonly eventFilter: string;
  readonly events: EventList | undefined;
  /** Those of `EXIT_FILTER`, of the VM that is shown. */
  readonly exits: EventList | undefined;
  readonly console: readonly ConsoleLine[];
  readonly failure: Failure | undefined;
  /** Spoken by a polite live region. */
  readonly announcement: string;
}

export interface PageActions {
  start(place: Place): Promise<void>;
  open(name: string): Promise<void>;
  seek(step: number): Promise<void>;
  stepBy(delta: number): Promise<void>;
  togglePlay(): void;
  setSpeed(speed: Speed): void;
  select(range: Range): void;
  /** Selects and makes the range visible. */
  goTo(range: Range): void;
  setVm(vm: number): void;
  setLens(lens: Lens): void;
  setView(view: View): void;
  setPanel(panel: PanelId): void;
  setEventFilter(filter: string): void;
  inspect(what: Inspected | undefined): void;
  showSmaps(): Promise<void>;
  /** A console line. */
  run(line: string): Promise<void>;
  fail(failure: Failure): void;
  dismiss(): void;
  announce(text: string): void;
}

export type Page = PageState & PageActions;
export type PageStore = StoreApi<Page>;

/** The VM that the panels show: as it was made, and as it is. */
export const machineNow = ({ vms, vm }: PageState): Machine | undefined => vms[vm];
export const vmNow = ({ frame, vm }: PageState): VmState | undefined => frame?.vms[vm];

/** Where the time cursor is and what the last step did, in a sentence. */
export function stepSentence({ frame, steps, results }: PageState): string {
  if (!frame) return '';
  if (frame.step === 0) return 'start: no step done';
  const result = results[frame.step - 1];
  return `step ${frame.step} of ${steps.length}: ${result?.title ?? ''} ${result?.text ?? ''}`.trim();
}
