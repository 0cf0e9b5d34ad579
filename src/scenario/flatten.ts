// A scenario's steps one after the other: repeats are unrolled, and what is for each VM.
import type { Action, Scenario, Step } from './scenario.ts';

/** A step with its repeats unrolled. */
export interface FlatStep {
  /** From 0. */
  readonly index: number;
  /** `3`, or inside a repeat `3[14].2`: second step of round 14 of step 3. In `each` a round is a VM: `3[b].2`. */
  readonly label: string;
  readonly action: Action;
  /** Of what it is a later round: `4[2…100]` of a repeat, `4[b]` of an `each`; undefined in first rounds, and in none. */
  readonly later: string | undefined;
}

/** Where a list of steps stands. */
interface Around {
  readonly prefix: string;
  readonly offset: bigint;
  readonly later: string | undefined;
  readonly vm: string | undefined;
}

/** Unrolls repeats; `advance` moves every gpa inside on by one more with each round. In `each` a step is about the VM of the round. */
export function flatten({ steps }: Pick<Scenario, 'steps'>): FlatStep[] {
  const flat: FlatStep[] = [];
  const visit = (list: readonly Step[], around: Around): void => {
    const { prefix, offset, later, vm } = around;
    for (const [i, step] of list.entries()) {
      const label = `${prefix}${i + 1}`;
      const round = (name: string | number, r: number, all: string, more: Partial<Around>): void =>
        visit((step as { steps: readonly Step[] }).steps, {
          ...around,
          prefix: `${label}[${name}].`,
          later: later ?? (r > 0 ? `${label}[${all}]` : undefined),
          ...more,
        });
      if (step.kind === 'repeat') {
        const { times, advance } = step;
        for (let r = 0; r < times; r++) {
          round(r + 1, r, times > 2 ? `2…${times}` : '2', { offset: offset + advance * BigInt(r) });
        }
      } else if (step.kind === 'each') {
        for (const [r, name] of step.vms.entries()) round(name, r, name, { vm: name });
      } else flat.push({ index: flat.length, label, later, action: about(vm, moved(step, offset)) });
    }
  };
  visit(steps, { prefix: '', offset: 0n, later: undefined, vm: undefined });
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
