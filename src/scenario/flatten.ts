// A scenario's steps one after the other: repeats are unrolled, and what is for each VM.
import type { Action, Scenario, Step } from './scenario.ts';

/** A step with its repeats unrolled. */
export interface FlatStep {
  /** From 0. */
  readonly index: number;
  /** `3`, or inside a repeat `3[14].2`: second step of round 14 of step 3. In `each` a round is a VM: `3[b].2`. */
  readonly label: string;
  readonly action: Action;
  /** In a first round of all repeats around it, or in none. */
  readonly first: boolean;
}

/** Unrolls repeats; `advance` moves every gpa inside on by one more with each round. In `each` a step is about the VM of the round. */
export function flatten({ steps }: Pick<Scenario, 'steps'>): FlatStep[] {
  const flat: FlatStep[] = [];
  const visit = (
    list: readonly Step[],
    prefix: string,
    offset: bigint,
    first: boolean,
    vm?: string,
  ): void => {
    for (const [i, step] of list.entries()) {
      const label = `${prefix}${i + 1}`;
      if (step.kind === 'repeat') {
        for (let r = 0; r < step.times; r++) {
          visit(step.steps, `${label}[${r + 1}].`, offset + step.advance * BigInt(r), first && r === 0, vm);
        }
      } else if (step.kind === 'each') {
        for (const [r, name] of step.vms.entries()) {
          visit(step.steps, `${label}[${name}].`, offset, first && r === 0, name);
        }
      } else flat.push({ index: flat.length, label, first, action: about(vm, moved(step, offset)) });
    }
  };
  visit(steps, '', 0n, true);
  return flat;
}

/** The action at another place; of `parallel` all that is inside. */
function moved(action: Action, offset: bigint): Action {
  if (offset === 0n) return action;
  const { gpa, lanes } = action.args;
  const args = {
    ...action.args,
    gpa: BigInt.asUintN(64, gpa + offset),
    lanes: lanes.map((lane) => lane.map((inside) => moved(inside, offset))),
  };
  return { ...action, args };
}

/** The action on the VM of its round, unless it names one itself. */
const about = (vm: string | undefined, action: Action): Action =>
  vm === undefined || action.args.vm !== undefined ? action : { ...action, args: { ...action.args, vm } };
