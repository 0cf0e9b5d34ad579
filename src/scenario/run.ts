// One run of a scenario on its VMs, a step at a time. The same in the command line and in a page's worker.
// Time travel is the host's (checkpoint, restore); `save` and `load` take the run's own state along.
import { type Around, perform } from './actions.ts';
import { changesText } from './changes.ts';
import { type Expectation, match } from './expect.ts';
import { type FlatStep, flatten } from './flatten.ts';
import type { Fields, FieldValue } from './outcome.ts';
import { type Done, performAtOnce, performInTurns } from './parallel.ts';
import type { ScenarioVm, ScenarioVms } from './port.ts';
import type { Sample, StepResult } from './result.ts';
import type { Action, Scenario, Step } from './scenario.ts';
import { changes, counterOf, memoryOf, type Snapshot, takeSnapshot } from './snapshot.ts';
import { keyOf, ONLY_VM } from './vms.ts';

/** What a step did, without where it stands. */
type Effect = Omit<StepResult, 'index' | 'label' | 'first' | 'kind' | 'line' | 'ok'>;

interface Remembered {
  readonly fields: Fields;
  readonly after: Snapshot;
}
/** Device registers by VM. */
type Devices = Readonly<Record<string, Fields>>;

/** A plain value: survives structured clone. */
export interface RunState {
  readonly position: number;
  readonly results: readonly (readonly [string, Remembered])[];
  /** Counters before the last action. */
  readonly before: Snapshot | undefined;
  readonly devices: Devices;
  readonly samples: readonly Sample[];
  readonly passed: number;
  readonly failed: number;
  readonly unexpected: number;
}

export class ScenarioRun {
  readonly scenario: Scenario;
  readonly steps: readonly FlatStep[];
  readonly #vms: ScenarioVms;
  readonly #first: string;
  readonly #looksAt: ReadonlySet<string>;
  #results = new Map<string, Remembered>();
  #before: Snapshot | undefined;
  #devicesBefore: Devices = {};
  #samples: readonly Sample[] = [];
  #position = 0;
  #passed = 0;
  #failed = 0;
  #unexpected = 0;

  /** `vms`: those of the scenario's machine (`createMachine`); one alone, where the machine has one. */
  constructor(scenario: Scenario, vms: ScenarioVm | ScenarioVms) {
    this.scenario = scenario;
    this.#vms = vms instanceof Map ? (vms as ScenarioVms) : new Map([[ONLY_VM, vms as ScenarioVm]]);
    this.#first = [...this.#vms.keys()][0] as string;
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
  get #around(): Around {
    return {
      vms: this.#vms,
      fdOf: (name) => this.#results.get(name)?.fields.fd as number | undefined,
    };
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
  /** Host memory at the `sample` steps so far. */
  get samples(): readonly Sample[] {
    return this.#samples;
  }

  /** Does the next step; undefined at the end. vCPUs of a `parallel` step take turns, also where the VM has threads. */
  step(): StepResult | undefined {
    const step = this.steps[this.#position];
    if (!step) return undefined;
    const { action } = step;
    if (action.kind === 'expect') return this.#ended(step, this.#expect(action));
    if (action.kind === 'note') return this.#ended(step, this.#remark(action));
    if (action.kind === 'sample') return this.#ended(step, this.#sample(step));
    const before = this.#begin();
    const vm = this.#vmOf(action);
    if (action.kind === 'parallel') {
      return this.#ended(step, this.#together(before, action, performInTurns(action, vm), 'in turns'));
    }
    return this.#ended(step, this.#alone(before, { action, outcome: perform(action, vm, this.#around) }));
  }

  /** As `step`, but the vCPUs of a `parallel` step run at the same time where the VM has threads. */
  async next(): Promise<StepResult | undefined> {
    const action = this.steps[this.#position]?.action;
    if (action?.kind !== 'parallel' || !this.#vmOf(action).threads) return this.step();
    const step = this.steps[this.#position] as FlatStep;
    const before = this.#begin();
    const done = await performAtOnce(action, this.#vmOf(action));
    return this.#ended(step, this.#together(before, action, done, 'at once'));
  }

  #ended({ index, label, later, action: { kind, line } }: FlatStep, effect: Effect): StepResult {
    this.#position++;
    const met = effect.expectations.filter((e) => e.ok).length;
    this.#passed += met;
    this.#failed += effect.expectations.length - met;
    if (effect.unexpected) this.#unexpected++;
    const first = later === undefined;
    return { index, label, first, kind, line, ...effect, ok: met === effect.expectations.length };
  }

  save(): RunState {
    return {
      position: this.#position,
      results: [...this.#results],
      before: this.#before,
      devices: this.#devicesBefore,
      samples: this.#samples,
      passed: this.#passed,
      failed: this.#failed,
      unexpected: this.#unexpected,
    };
  }

  load(state: RunState): void {
    this.#position = state.position;
    this.#results = new Map(state.results);
    this.#before = state.before;
    this.#devicesBefore = state.devices;
    this.#samples = state.samples;
    this.#passed = state.passed;
    this.#failed = state.failed;
    this.#unexpected = state.unexpected;
  }

  #nameOf({ args }: Action): string {
    return args.vm ?? this.#first;
  }
  #vmOf(action: Action): ScenarioVm {
    return this.#vms.get(this.#nameOf(action)) as ScenarioVm;
  }
  /** With several VMs a step says which one it is about. */
  #titled(action: Action, title: string): string {
    return this.#vms.size > 1 && action.kind !== 'ksm.scan' ? `${this.#nameOf(action)}: ${title}` : title;
  }

  /** The counters before an action, which later conditions compare with. */
  #begin(): Snapshot {
    this.#before = takeSnapshot(this.#vms);
    this.#devicesBefore = devicesOf(this.#vms);
    return this.#before;
  }

  #alone(before: Snapshot, done: Done): Effect {
    const { title, text, fields, response, exit, rounds } = done.outcome;
    const effect = this.#effect(before, done.action, [done], title, text, fields);
    return { ...effect, ...(response && { response }), ...(exit && { exit }), ...(rounds && { rounds }) };
  }

  #together(before: Snapshot, action: Action, lanes: readonly (readonly Done[])[], how: string): Effect {
    const all = lanes.flat();
    const title = `parallel on ${lanes.length} ${lanes.length === 1 ? 'vCPU' : 'vCPUs'}`;
    const text = `${lanes.map((lane) => lane.length).join(' + ')} steps ${how}`;
    const fields = { ok: all.every(({ outcome }) => outcome.fields.ok !== false) };
    return {
      ...this.#effect(before, action, all, title, text, fields),
      lanes: lanes.map((lane) =>
        lane.map(({ outcome: { title, text, fields } }) => ({ title, text, fields })),
      ),
    };
  }

  #effect(
    before: Snapshot,
    action: Action,
    all: readonly Done[],
    title: string,
    text: string,
    fields: Fields,
  ): Effect {
    const after = takeSnapshot(this.#vms);
    const vm = this.#nameOf(action);
    for (const { action, outcome } of all) {
      for (const name of namesOf(action)) this.#results.set(name, { fields: outcome.fields, after });
    }
    return {
      ...this.#still(action, after),
      title: this.#titled(action, title),
      text: [text, changesText(before, after, vm)].filter(Boolean).join('  '),
      ...changes(before, after, vm),
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

  /** A step that changes nothing. */
  #still(action: Action, now: Snapshot): Effect {
    const vm = this.#nameOf(action);
    const rss = now[vm]?.['host.rss'] ?? 0;
    const nothing = { changed: {}, expectations: [], unexpected: false, fields: {} };
    return { vm, title: action.kind, text: '', rss, memory: memoryOf(now), ...nothing };
  }

  #remark(action: Action): Effect {
    return { ...this.#still(action, takeSnapshot(this.#vms)), text: action.args.note };
  }

  #sample({ label, action }: FlatStep): Effect {
    const effect = this.#still(action, takeSnapshot(this.#vms));
    this.#samples = [...this.#samples, { step: label, name: action.args.note, memory: effect.memory }];
    return { ...effect, text: action.args.note };
  }

  #expect(action: Action): Effect {
    const now = takeSnapshot(this.#vms);
    const devices = devicesOf(this.#vms);
    const expectations = action.args.expect.map(([key, matcher]) => {
      const { vm = this.#nameOf(action), name } = keyOf(key, this.scenario.machine);
      return match(key, matcher, {
        now: counterOf(now, vm, name) ?? devices[vm]?.[name] ?? this.#named(key),
        before: counterOf(this.#before ?? now, vm, name) ?? this.#devicesBefore[vm]?.[name],
        after: (id) => counterOf(this.#results.get(id)?.after ?? {}, vm, name),
      });
    });
    return {
      ...this.#still(action, now),
      text: expectations.map((e) => (e.ok ? e.expected : `${e.expected} but is ${e.actual}`)).join(', '),
      expectations,
    };
  }

  /** `half.errno`, or `b0` alone for the value. */
  #named(key: string): FieldValue | undefined {
    const dot = key.indexOf('.');
    const fields = this.#results.get(dot < 0 ? key : key.slice(0, dot))?.fields;
    return fields?.[dot < 0 ? 'value' : key.slice(dot + 1)];
  }
}

function devicesOf(vms: ScenarioVms): Devices {
  return Object.fromEntries([...vms].map(([name, vm]) => [name, registers(vm)]));
}

function registers(vm: ScenarioVm): Fields {
  const { state, command, payload, connectionCount, barBase } = vm.device.snapshot();
  return {
    'device.state': state,
    'device.command': command,
    'device.payload': payload,
    'device.connections': connectionCount,
    'device.barBase': barBase,
  };
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
    if (step.kind === 'repeat' || step.kind === 'each') namesExpected(step.steps, names);
    else for (const [key] of step.args.expect) names.add(key.split('.')[0] as string);
  }
  return names;
}
