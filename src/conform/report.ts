// What `slatbox conform` says: one result per case, in text or JSON, and the exit code.
// The contract of all its kinds: one line a case, the first differing step, a closing line; 0 means nothing differed.
import { SlatboxError } from '../errors.ts';

/** What a case can be chosen by. `properties` are the keys of `--only` besides `file`, `name` and `tag`. */
export interface CaseInfo {
  readonly file: string;
  readonly name: string;
  readonly tags: readonly string[];
  readonly properties: Readonly<Record<string, string>>;
}

/** The first value that differed: which step (-1: before the first), what was done, what should have come out. */
export interface Failure {
  readonly step: number;
  readonly op: string;
  readonly expected: string;
  readonly actual: string;
}

export interface CaseOutcome {
  readonly status: 'ok' | 'FAIL' | 'skipped';
  /** Why a case is skipped. */
  readonly reason?: string;
  readonly steps: number;
  /** Values of the recording that were compared. */
  readonly checked: number;
  readonly failure?: Failure;
}

export interface CaseResult extends CaseInfo, CaseOutcome {}

/** A case that is understood and waits for its turn; nothing of the engine is built before `run` (which `runCase` makes). */
export interface ReplayCase extends CaseInfo {
  readonly run: () => Promise<CaseOutcome>;
}

/** `--only KEY=VALUE` and `--without TAG`, as given. */
export interface Selection {
  readonly only: readonly string[];
  readonly without: readonly string[];
}

export type Value = string | number | bigint | boolean | undefined;

const show = (value: Value): string =>
  typeof value === 'string' ? JSON.stringify(value) : value === undefined ? 'nothing' : String(value);

class Difference extends Error {
  readonly failure: Failure;
  constructor(failure: Failure) {
    super(`${failure.op}: expected ${failure.expected}, got ${failure.actual}`);
    this.failure = failure;
  }
}

/** Counts what is compared and ends the case at the first difference: later ones are mostly its echo. */
export class Comparison {
  checked = 0;
  #step = -1;
  #op = 'init';

  /** From here on differences belong to step `step` (-1: the state before the first one). */
  begin(step: number, op: string): void {
    this.#step = step;
    this.#op = op;
  }

  /**
   * One compared value; numbers and bigints of equal value are equal. `states` adds what else helps to understand a
   * difference, such as both whole states.
   */
  equal(what: string, expected: Value, actual: Value, states?: () => readonly [string, string]): void {
    this.checked++;
    // biome-ignore lint/suspicious/noDoubleEquals: 1 and 1n are the same value of a recording
    if (expected === actual || (isNumeric(expected) && isNumeric(actual) && expected == actual)) return;
    const [wanted, found] = states ? states().map((text) => ` in ${text}`) : ['', ''];
    this.differ(`${what} ${show(expected)}${wanted}`, `${what} ${show(actual)}${found}`);
  }

  /** Ends the case, for differences that are not one value against another. */
  differ(expected: string, actual: string): never {
    throw new Difference({ step: this.#step, op: this.#op, expected, actual });
  }

  /** What was under way when something was thrown. */
  thrown(error: unknown): Failure {
    if (error instanceof Difference) return error.failure;
    const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    return { step: this.#step, op: this.#op, expected: 'the step to be carried out', actual: text };
  }
}

const isNumeric = (value: Value): boolean => typeof value === 'number' || typeof value === 'bigint';

/** Runs one case. Whatever `body` throws is a failure of the step it had begun, never a silent skip. */
export async function runCase(
  steps: number,
  body: (comparison: Comparison) => void | Promise<void>,
): Promise<CaseOutcome> {
  const comparison = new Comparison();
  try {
    await body(comparison);
    return { status: 'ok', steps, checked: comparison.checked };
  } catch (error) {
    return { status: 'FAIL', steps, checked: comparison.checked, failure: comparison.thrown(error) };
  }
}

export const skip = (steps: number, reason: string): CaseOutcome => ({
  status: 'skipped',
  reason,
  steps,
  checked: 0,
});

function valuesOf(info: CaseInfo, key: string): readonly string[] {
  if (key === 'name') return [info.name];
  if (key === 'file') return [info.file];
  if (key === 'tag') return info.tags;
  const value = info.properties[key];
  return value === undefined ? [] : [value];
}

/**
 * The chosen cases in their order. Several values of one key: any of them; several keys: all of them.
 * A key that no case has is a mistake of the caller (SLB-033), not an empty selection.
 */
export function selectCases<T extends CaseInfo>(cases: readonly T[], selection: Selection): T[] {
  const wanted = new Map<string, Set<string>>();
  for (const text of selection.only) {
    const at = text.indexOf('=');
    if (at < 1) {
      throw new SlatboxError('SLB-033', `--only "${text}" is not KEY=VALUE`, 'write --only mode=anon');
    }
    const key = text.slice(0, at);
    wanted.set(key, (wanted.get(key) ?? new Set()).add(text.slice(at + 1)));
  }
  const known = new Set(['name', 'file', 'tag', ...cases.flatMap((c) => Object.keys(c.properties))]);
  for (const key of wanted.keys()) {
    if (known.has(key) || cases.length === 0) continue;
    throw new SlatboxError('SLB-033', `--only: no case has "${key}"`, `keys here: ${[...known].join(' ')}`);
  }
  return cases.filter(
    (c) =>
      [...wanted].every(([key, values]) => valuesOf(c, key).some((v) => values.has(v))) &&
      !selection.without.some((tag) => c.tags.includes(tag)),
  );
}

/** Runs the cases one after the other; `onResult` sees each result as it comes. */
export async function runCases(
  cases: readonly ReplayCase[],
  onResult?: (result: CaseResult) => void,
): Promise<CaseResult[]> {
  const results: CaseResult[] = [];
  for (const { run, ...info } of cases) {
    const result = { ...info, ...(await run()) };
    results.push(result);
    onResult?.(result);
  }
  return results;
}

/** `ok|FAIL|skipped FILE:CASE steps=N checked=N`, with the reason or the first differing step. */
export function formatResult(r: CaseResult): string {
  const reason = r.reason === undefined ? '' : ` (${r.reason})`;
  const line = `${r.status} ${r.file}:${r.name} steps=${r.steps} checked=${r.checked}${reason}`;
  if (!r.failure) return line;
  const { step, op, expected, actual } = r.failure;
  const where = step < 0 ? 'before the first step' : `step ${step}`;
  return `${line}\n  ${where}: ${op}\n    expected ${expected}\n    actual   ${actual}`;
}

const count = (results: readonly CaseResult[], status: CaseResult['status']): number =>
  results.filter((r) => r.status === status).length;

/** The closing line. */
export const formatTotal = (results: readonly CaseResult[]): string =>
  `${count(results, 'ok')} passed, ${count(results, 'FAIL')} failed, ${count(results, 'skipped')} skipped`;

export const formatText = (results: readonly CaseResult[]): string =>
  `${[...results.map(formatResult), formatTotal(results)].join('\n')}\n`;

/** The same as one JSON document. */
export const formatJson = (results: readonly CaseResult[]): string =>
  `${JSON.stringify(
    {
      cases: results,
      passed: count(results, 'ok'),
      failed: count(results, 'FAIL'),
      skipped: count(results, 'skipped'),
    },
    null,
    2,
  )}\n`;

/** 0 if nothing failed, else 1. (2, for a file that is not understood, comes from the SlatboxError SLB-03x.) */
export const exitCode = (results: readonly CaseResult[]): 0 | 1 => (count(results, 'FAIL') > 0 ? 1 : 0);
