// One run of a scenario on a VM, a step at a time. The same in the command line and in a page's worker.
// Time travel is the host's (checkpoint, restore); `save` and `load` take the run's own state along.
import type { Counters, Exit, Response } from '../types.ts';
import { changesText, type Fields, type FieldValue, perform } from './actions.ts';
import { type Expectation, match } from './expect.ts';
import type { ScenarioVm } from './port.ts';
import type { Action, Scenario, Step } from './scenario.ts';

/** A step with its repeats unrolled. */
export interface FlatStep {
  /** From 0. */
  readonly index: number;
  /** `3`, or inside a repeat `3[14].2`: second step of round 14 of step 3. */
  readonly label: string;
  readonly action: Action;
  /** In a first round of all repeats around it, or in none. */
  readonly first: boolean;
}

export interface StepResult {
  readonly index: number;
  readonly label: string;
  /** In a first round of all repeats around it, or in none: later rounds look much the same. */
  readonly first: boolean;
  readonly kind: string;
  readonly line: number;
  readonly title: string;
  /** One line: what came of it. */
  readonly text: string;
  /** Counters that the step changed, by how much. */
  readonly changed: Counters;
  readonly rss: number;
  readonly expectations: readonly Expectation[];
  readonly ok: boolean;
  /** A guest error that no expect step looks at; `--strict` does not take it. */
  readonly unexpected: boolean;
  readonly fields: Fields;
  readonly response?: Response;
  readonly exit?: Exit;
}

/** What a step did, without where it stands. */
type Effect = Omit<StepResult, 'index' | 'label' | 'first' | 'kind' | 'line' | 'ok'>;

interface Remembered {
  readonly fields: Fields;
  readonly after: Counters;
}

/** A plain value: survives structured clone. */
export interface RunState {
  readonly position: number;
  readonly results: readonly (readonly [string, Remembered])[];
  /** Counters before the last action. */
  readonly before: Counters | undefined;
  readonly device: Fields;
  readonly passed: number;
  readonly failed: number;
  readonly unexpected: number;
}

export class ScenarioRun {
  readonly scenario: Scenario;
  readonly steps: readonly FlatStep[];
  readonly #vm: ScenarioVm;
  readonly #looksAt: ReadonlySet<string>;
  #results = new Map<string, Remembered>();
  #before: Counters | undefined;
  #deviceBefore: Fields = {};
  #position = 0;
  #passed = 0;
  #failed = 0;
  #unexpected = 0;

  constructor(scenario: Scenario, vm: ScenarioVm) {
    this.scenario = scenario;
    this.#vm = vm;
    this.steps = flatten(scenario);
    this.#looksAt = namesExpected(scenario.steps);
  }

  /** Index of the step that comes next. */
  get position(): number {
    return this.#position;
  }
  get done(): boolean {
    return this.#position >= this.steps.length;
  }
  /** Expectations so far. */
  get passed(): number {
    return this.#passed;
  }
  get failed(): number {
    return this.#failed;
  }
  /** Guest errors that no expect step looks at. */
  get unexpected(): number {
    return this.#unexpected;
  }

  /** Does the next step; undefined at the end. */
  step(): StepResult | undefined {
    const step = this.steps[this.#position];
    if (!step) return undefined;
    const { index, label, first, action } = step;
    const { kind, line } = action;
    const common = { index, label, first, kind, line };
    const result =
      kind === 'expect'
        ? this.#expect(action)
        : kind === 'note'
          ? note(action, this.#counters())
          : this.#act(action);
    this.#position++;
    const met = result.expectations.filter((e) => e.ok).length;
    this.#passed += met;
    this.#failed += result.expectations.length - met;
    if (result.unexpected) this.#unexpected++;
    return { ...common, ...result, ok: result.expectations.every((e) => e.ok) };
  }

  save(): RunState {
    return {
      position: this.#position,
      results: [...this.#results],
      before: this.#before,
      device: this.#deviceBefore,
      passed: this.#passed,
      failed: this.#failed,
      unexpected: this.#unexpected,
    };
  }

  load(state: RunState): void {
    this.#position = state.position;
    this.#results = new Map(state.results);
    this.#before = state.before;
    this.#deviceBefore = state.device;
    this.#passed = state.passed;
    this.#failed = state.failed;
    this.#unexpected = state.unexpected;
  }

  #counters(): Counters {
    return this.#vm.observe.counters();
  }

  #act(action: Action): Effect {
    const before = this.#counters();
    this.#before = before;
    this.#deviceBefore = this.#device();
    const outcome = perform(action, this.#vm);
    const after = this.#counters();
    const { id, as } = action.args;
    for (const name of [id, as])
      if (name !== undefined) this.#results.set(name, { fields: outcome.fields, after });
    const { title, text, fields, response, exit, holds } = outcome;
    const expectations: Expectation[] =
      holds === undefined
        ? []
        : [{ key: 'verify', expected: title, actual: holds ? 'so it is' : text, ok: holds }];
    const looked = [id, as].some((name) => name !== undefined && this.#looksAt.has(name));
    return {
      title,
      text: [text, changesText(before, after)].filter(Boolean).join('  '),
      changed: difference(before, after),
      rss: after['host.rss'] ?? 0,
      expectations,
      unexpected: fields.ok === false && holds === undefined && !looked,
      fields,
      ...(response && { response }),
      ...(exit && { exit }),
    };
  }

  #expect(action: Action): Effect {
    const now = this.#counters();
    const device = this.#device();
    const expectations = action.args.expect.map(([key, matcher]) => {
      const counter = key.replace(/^counters\./, '');
      return match(key, matcher, {
        now: now[counter] ?? device[key] ?? this.#named(key),
        before: (this.#before ?? now)[counter] ?? this.#deviceBefore[key],
        after: (id) => this.#results.get(id)?.after[counter],
      });
    });
    return {
      title: 'expect',
      text: expectations.map((e) => (e.ok ? e.expected : `${e.expected} but is ${e.actual}`)).join(', '),
      changed: {},
      rss: now['host.rss'] ?? 0,
      expectations,
      unexpected: false,
      fields: {},
    };
  }

  /** `half.errno`, or `b0` alone for the value. */
  #named(key: string): FieldValue | undefined {
    const dot = key.indexOf('.');
    const fields = this.#results.get(dot < 0 ? key : key.slice(0, dot))?.fields;
    return fields?.[dot < 0 ? 'value' : key.slice(dot + 1)];
  }

  #device(): Fields {
    const { state, command, payload, connectionCount, barBase } = this.#vm.device.snapshot();
    return {
      'device.state': state,
      'device.command': command,
      'device.payload': payload,
      'device.connections': connectionCount,
      'device.barBase': barBase,
    };
  }
}

const note = (action: Action, now: Counters): Effect => ({
  title: 'note',
  text: action.args.note,
  changed: {},
  rss: now['host.rss'] ?? 0,
  expectations: [],
  unexpected: false,
  fields: {},
});

function difference(before: Counters, after: Counters): Counters {
  const changed: Record<string, number> = {};
  for (const [name, value] of Object.entries(after)) {
    const by = value - (before[name] ?? 0);
    if (by !== 0) changed[name] = by;
  }
  return changed;
}

/** Unrolls repeats; `advance` moves every gpa inside on by one more with each round. */
export function flatten(scenario: Scenario): FlatStep[] {
  const flat: FlatStep[] = [];
  const visit = (steps: readonly Step[], prefix: string, offset: bigint, first: boolean): void => {
    for (const [i, step] of steps.entries()) {
      const label = `${prefix}${i + 1}`;
      if (step.kind === 'repeat') {
        for (let r = 0; r < step.times; r++) {
          visit(step.steps, `${label}[${r + 1}].`, offset + step.advance * BigInt(r), first && r === 0);
        }
      } else {
        const gpa = BigInt.asUintN(64, step.args.gpa + offset);
        const action = offset === 0n ? step : { ...step, args: { ...step.args, gpa } };
        flat.push({ index: flat.length, label, first, action });
      }
    }
  };
  visit(scenario.steps, '', 0n, true);
  return flat;
}

/** The names whose results some expect step looks at. */
function namesExpected(steps: readonly Step[], names = new Set<string>()): Set<string> {
  for (const step of steps) {
    if (step.kind === 'repeat') namesExpected(step.steps, names);
    else for (const [key] of step.args.expect) names.add(key.split('.')[0] as string);
  }
  return names;
}
