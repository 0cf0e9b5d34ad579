// One run of a scenario on a VM, a step at a time. The same in the command line and in a page's worker.
// Time travel is the host's (checkpoint, restore); `save` and `load` take the run's own state along.
import type { Counters, Exit, Response } from '../types.ts';
import { perform } from './actions.ts';
import { type Expectation, match } from './expect.ts';
import { type FlatStep, flatten } from './flatten.ts';
import { changesText, type Fields, type FieldValue } from './outcome.ts';
import { type Done, performAtOnce, performInTurns } from './parallel.ts';
import type { ScenarioVm } from './port.ts';
import type { Action, Scenario, Step } from './scenario.ts';

/** What one vCPU's step in `parallel` came to. */
export interface LaneResult {
  readonly title: string;
  readonly text: string;
  readonly fields: Fields;
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
  /** Of parallel: by vCPU and step. */
  readonly lanes?: readonly (readonly LaneResult[])[];
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

  /** Does the next step; undefined at the end. vCPUs of a `parallel` step take turns, also where the VM has threads. */
  step(): StepResult | undefined {
    const step = this.steps[this.#position];
    if (!step) return undefined;
    const { action } = step;
    if (action.kind === 'expect') return this.#ended(step, this.#expect(action));
    if (action.kind === 'note') return this.#ended(step, note(action, this.#counters()));
    const before = this.#begin();
    if (action.kind === 'parallel') {
      return this.#ended(step, this.#together(before, performInTurns(action, this.#vm), 'in turns'));
    }
    return this.#ended(step, this.#alone(before, { action, outcome: perform(action, this.#vm) }));
  }

  /** As `step`, but the vCPUs of a `parallel` step run at the same time where the VM has threads. */
  async next(): Promise<StepResult | undefined> {
    const step = this.steps[this.#position];
    if (step?.action.kind !== 'parallel' || !this.#vm.threads) return this.step();
    const before = this.#begin();
    return this.#ended(step, this.#together(before, await performAtOnce(step.action, this.#vm), 'at once'));
  }

  #ended({ index, label, first, action: { kind, line } }: FlatStep, effect: Effect): StepResult {
    this.#position++;
    const met = effect.expectations.filter((e) => e.ok).length;
    this.#passed += met;
    this.#failed += effect.expectations.length - met;
    if (effect.unexpected) this.#unexpected++;
    return { index, label, first, kind, line, ...effect, ok: met === effect.expectations.length };
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

  /** The counters before an action, which later conditions compare with. */
  #begin(): Counters {
    this.#before = this.#counters();
    this.#deviceBefore = this.#device();
    return this.#before;
  }

  #alone(before: Counters, done: Done): Effect {
    const { title, text, fields, response, exit } = done.outcome;
    const effect = this.#effect(before, [done], title, text, fields);
    return { ...effect, ...(response && { response }), ...(exit && { exit }) };
  }

  #together(before: Counters, lanes: readonly (readonly Done[])[], how: string): Effect {
    const all = lanes.flat();
    const title = `parallel on ${lanes.length} ${lanes.length === 1 ? 'vCPU' : 'vCPUs'}`;
    const text = `${lanes.map((lane) => lane.length).join(' + ')} steps ${how}`;
    const fields = { ok: all.every(({ outcome }) => outcome.fields.ok !== false) };
    return {
      ...this.#effect(before, all, title, text, fields),
      lanes: lanes.map((lane) =>
        lane.map(({ outcome: { title, text, fields } }) => ({ title, text, fields })),
      ),
    };
  }

  #effect(before: Counters, all: readonly Done[], title: string, text: string, fields: Fields): Effect {
    const after = this.#counters();
    for (const { action, outcome } of all) {
      for (const name of namesOf(action)) this.#results.set(name, { fields: outcome.fields, after });
    }
    return {
      title,
      text: [text, changesText(before, after)].filter(Boolean).join('  '),
      changed: difference(before, after),
      rss: after['host.rss'] ?? 0,
      expectations: all.flatMap(verified),
      unexpected: all.some(
        ({ action, outcome: { fields, holds } }) =>
          fields.ok === false &&
          holds === undefined &&
          !namesOf(action).some((name) => this.#looksAt.has(name)),
      ),
      fields,
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

const namesOf = ({ args: { id, as } }: Action): string[] => [id, as].filter((name) => name !== undefined);

/** The expectation that a verify is. */
const verified = ({ outcome: { title, text, holds } }: Done): Expectation[] =>
  holds === undefined
    ? []
    : [{ key: 'verify', expected: title, actual: holds ? 'so it is' : text, ok: holds }];

/** The names whose results some expect step looks at. */
function namesExpected(steps: readonly Step[], names = new Set<string>()): Set<string> {
  for (const step of steps) {
    if (step.kind === 'repeat') namesExpected(step.steps, names);
    else for (const [key] of step.args.expect) names.add(key.split('.')[0] as string);
  }
  return names;
}
