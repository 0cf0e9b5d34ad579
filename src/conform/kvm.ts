// Replays recordings of Linux KVM (`slatbox conform kvm`) on whatever stands behind a KvmDoor.
// Reference: test/golden/kvm/README.md.
import type { KvmDoor, RegionState } from './kvm-door.ts';
import { KvmSteps } from './kvm-steps.ts';
import { type KvmRecording, type KvmTrace, parseKvmRecording } from './kvm-trace.ts';
import { runLengths } from './mm.ts';
import { type Comparison, type ReplayCase, runCase } from './report.ts';

/** What a trace needs of its machine. */
export interface KvmSetup {
  readonly swap: boolean;
  /** Pages of all its regions. */
  readonly pages: number;
}
/** Makes a fresh VM with nothing mapped. */
export type OpenKvmDoor = (setup: KvmSetup) => KvmDoor | Promise<KvmDoor>;

const formatState = ({ rss, swap, lck, blk, pg }: RegionState): string =>
  `rss=${rss} swap=${swap} lck=${lck} blk=${blk ?? '-'} ${runLengths(pg)}`;

function compareState(region: string, wanted: RegionState, found: RegionState, c: Comparison): void {
  const states = () => [formatState(wanted), formatState(found)] as const;
  c.equal(`${region}.pg`, runLengths(wanted.pg), runLengths(found.pg), states);
  for (const key of ['rss', 'swap', 'lck', 'blk'] as const) {
    c.equal(`${region}.${key}`, wanted[key], found[key], states);
  }
}

/** Replays one trace; the first difference ends it. Regions that a step does not tell of are as they were. */
export function replayKvm(trace: KvmTrace, swap: boolean, open: OpenKvmDoor) {
  return runCase(trace.steps.length, async (c) => {
    const door = await open({ swap, pages: pagesOf(trace) });
    const steps = new KvmSteps(door);
    const states = new Map<string, RegionState>();
    for (const [i, { op, action, result, state }] of trace.steps.entries()) {
      c.begin(i, op);
      steps.run(action, result, c);
      for (const [region, told] of state) states.set(region, told);
      for (const [region, wanted] of states) compareState(region, wanted, door.regionState(region), c);
    }
  });
}

const pagesOf = ({ steps }: KvmTrace): number =>
  steps.reduce((sum, { action }) => sum + (action.kind === 'region' ? action.setup.pages : 0), 0);

/** What a trace is chosen by: its group, the kinds of its regions, and what its host had. */
function tagsOf({ group, swap, ksm }: KvmRecording, { steps }: KvmTrace): string[] {
  const tags = new Set([group]);
  if (swap) tags.add('swap');
  if (ksm) tags.add('ksm');
  for (const { action } of steps) {
    if (action.kind !== 'region') continue;
    tags.add(action.setup.kind);
    if (action.setup.thp) tags.add('thp');
  }
  return [...tags];
}

/** The cases of a `kvm` file: its traces, in its order. */
export function kvmCases(text: string, file: string, open: OpenKvmDoor): ReplayCase[] {
  const recording = parseKvmRecording(text, file);
  return recording.traces.map((trace) => ({
    file,
    name: trace.name,
    tags: tagsOf(recording, trace),
    properties: { group: recording.group },
    run: () => replayKvm(trace, recording.swap, open),
  }));
}
