// Time travel: forward by executing steps, back by a checkpoint and then forward. Reference: docs/web.md "Time travel".
import type { Checkpoint, Host } from '../../src/machine.ts';
import type { RunState, ScenarioRun, StepResult } from '../../src/scenario/index.ts';
import { Checkpoints } from './checkpoints.ts';

const PAGE = 4096;
const CHECKPOINTS = 24;
const CHECKPOINT_BYTES = 256 * 2 ** 20;
/** Frames and swap in use of which a checkpoint is taken at all. */
const COPIED_BYTES = 512 * 2 ** 20;
/** What taking one costs at most, and how much longer steps must have taken since the last for it to be worth that. */
const COPY_MS_PER_BYTE = 2 / 2 ** 20;
const WORTH = 4;
/** A long way back leaves one so many steps before its end: who goes back once, goes back again. */
const NEAR_STEPS = 16;

/** How long one call may execute steps before it reports back. */
const SLICE_MS = 120;

interface Saved {
  readonly host: Checkpoint;
  readonly run: RunState;
  readonly eventsFrom: number;
}

/** Where a run is, and the ways back. */
export interface Travel {
  readonly host: Host;
  readonly run: ScenarioRun;
  readonly checkpoints: Checkpoints<Saved>;
  /** The one that the last long way back left. */
  near: { readonly step: number; readonly value: Saved } | undefined;
  /** Where the way back ends that has been begun. */
  back: number | undefined;
  /** Milliseconds that steps have taken since the last checkpoint, taken or restored. */
  executed: number;
  /** seq of the first event of the last step. */
  eventsFrom: number;
}

export const travelFrom = (host: Host, run: ScenarioRun): Travel => ({
  host,
  run,
  checkpoints: new Checkpoints(CHECKPOINTS, CHECKPOINT_BYTES),
  near: undefined,
  back: undefined,
  executed: 0,
  eventsFrom: host.events.next,
});

/** The steps behind `step` are not what they were: what was saved of them is forgotten. */
export function changedAt({ checkpoints, near }: Travel, step: number): Pick<Travel, 'near'> {
  checkpoints.dropAfter(step);
  return { near: near && near.step <= step ? near : undefined };
}

/**
 * Goes towards `step`, forward by executing, backward by a checkpoint and then forward. Stops early when it takes
 * long (but never without having moved), so that the caller can show how far it is, or change its mind.
 */
export async function advance(travel: Travel, step: number): Promise<StepResult[]> {
  const { run, host } = travel;
  const target = Math.min(Math.max(0, step), run.steps.length);
  const results: StepResult[] = [];
  if (run.position === 0) save(travel, target);
  const from = nearestTo(target, travel);
  if (from && (target < run.position || from.step > run.position)) {
    if (target < run.position) travel.back = target;
    host.restore(from.value.host);
    run.load(from.value.run);
    travel.eventsFrom = from.value.eventsFrom;
    travel.executed = 0;
  }
  const until = performance.now() + SLICE_MS;
  while (run.position < target && (results.length === 0 || performance.now() < until)) {
    travel.eventsFrom = host.events.next;
    const began = performance.now();
    const result = await run.next();
    if (!result) break;
    travel.executed += performance.now() - began;
    results.push(result);
    save(travel, target);
  }
  return results;
}

/** A checkpoint of where the run is, if executing again what led here would cost more than that. */
function save(travel: Travel, target: number): void {
  const { run, host, checkpoints, executed, eventsFrom } = travel;
  const { position } = run;
  const bytes = (host.frames().used + host.swap().used) * PAGE;
  const cost = bytes * COPY_MS_PER_BYTE;
  if (bytes > COPIED_BYTES) return;
  const isRegular = checkpoints.wants(position) && (position === 0 || executed > cost * WORTH);
  const isNear = travel.back === target && position === target - NEAR_STEPS && executed > cost;
  if (!isRegular && !isNear) return;
  const saved = { host: host.checkpoint(), run: run.save(), eventsFrom };
  travel.executed = 0;
  if (isRegular) checkpoints.add(position, saved, saved.host.bytes);
  else travel.near = { step: position, value: saved };
}

function nearestTo(step: number, { checkpoints, near }: Travel) {
  const regular = checkpoints.nearest(step);
  return near && near.step <= step && near.step > (regular?.step ?? -1) ? near : regular;
}
