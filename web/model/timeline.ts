// Small questions about an opened scenario: what to show first, where results and console lines belong.
import type { StepResult } from '../../src/scenario/index.ts';
import type { Frame, Insertion, Machine, Opened } from '../engine/port.ts';
import { type Range, spanOf, type View } from './view.ts';

const PAGE = 4096n;

/** log2 of the map's whole surface for a machine. */
export const topSpan = (machine: Machine | undefined): number => spanOf(machine?.end ?? 1n << 32n);

/** What is selected when a scenario is opened. */
export const firstRange = ({ focus, vms }: Opened): Range => {
  const gpa = focus ?? vms[0]?.ram[0]?.gpa ?? 0n;
  return { gpa: gpa - (gpa % PAGE), len: PAGE };
};
export const wholeView = (machine: Machine | undefined): View => ({ start: 0n, span: topSpan(machine) });

/** Lines after the new one move down a step. */
export const withInsertion = (old: readonly Insertion[], added: Insertion): readonly Insertion[] =>
  [...old.map((i) => (i.at >= added.at ? { ...i, at: i.at + 1 } : i)), added].sort((a, b) => a.at - b.at);

/** Results run from 0 without gaps; replayed ones take the place of the same step's older result. */
export function withResults(old: readonly StepResult[], frame: Frame): readonly StepResult[] {
  if (frame.results.length === 0) return old;
  const merged = old.slice();
  for (const result of frame.results) merged[result.index] = result;
  return merged;
}
