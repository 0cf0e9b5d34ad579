// `parallel`: each vCPU has a list of steps of its own. On threads they run at once, without them in turns; what comes
// back is the same kind of thing, so it is described in the same way.

import { stepOf, unsent } from './actions.ts';
import { type Outcome, outcomeOf } from './outcome.ts';
import type { LaneResults, ScenarioVm } from './port.ts';
import type { Action } from './scenario.ts';

/** An action that a step has carried out, and what came of it. */
export interface Done {
  readonly action: Action;
  readonly outcome: Outcome;
}

const programsOf = ({ args }: Action, vm: ScenarioVm) =>
  args.lanes.map((lane) => lane.map((action) => stepOf(action, vm)));

const doneOf = ({ args }: Action, results: LaneResults): Done[][] =>
  args.lanes.map((lane, cpu) =>
    lane.map((action, i) => ({ action, outcome: outcomeOf(action, results[cpu]?.[i]) })),
  );

/** Nothing was run: no request could be sent. */
const notDone = (action: Action, error: unknown): Done[][] => [
  [{ action, outcome: unsent('parallel', error) }],
];

export function performInTurns(action: Action, vm: ScenarioVm): Done[][] {
  try {
    return doneOf(action, vm.runInTurns(programsOf(action, vm)));
  } catch (error) {
    return notDone(action, error);
  }
}

/** Each vCPU on a thread of its own where the VM has threads. */
export async function performAtOnce(action: Action, vm: ScenarioVm): Promise<Done[][]> {
  try {
    return doneOf(action, await vm.run(programsOf(action, vm)));
  } catch (error) {
    return notDone(action, error);
  }
}
