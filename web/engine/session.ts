// A machine, a timeline and the way back: everything the page asks of the engine, in process.
// The worker exposes it through comlink; tests use it as it is. Reference: docs/web.md "Time travel".
import { SlatboxError } from '../../src/errors.ts';
import { whoCounts } from '../../src/index.ts';
import { type Host, threadsMissing, type Vm } from '../../src/machine.ts';
import {
  type Action,
  builtins,
  createMachine,
  flatten,
  loadScenario,
  type Scenario,
  ScenarioRun,
  type StepResult,
} from '../../src/scenario/index.ts';
import { matches } from '../model/events.ts';
import { parseCommand } from './command.ts';
import type {
  Answer,
  EnginePort,
  EventList,
  Failure,
  Frame,
  HostState,
  Insertion,
  Looked,
  Machine,
  Opened,
  RasterRequest,
  ScenarioInfo,
  StepInfo,
  VmState,
} from './port.ts';
import { titleOf } from './titles.ts';
import { advance, changedAt, type Travel, travelFrom } from './travel.ts';

const PAGE = 4096;
const GIB = 2 ** 30;
const BUFFER_BYTES = 32;
/** Where guest-physical addresses end on any processor. */
const GPA_END = 1n << 52n;
/** As far as the map reaches. */
const MAP_END = 1n << 46n;
/** What one answer carries at most; the page says how many there are in all. */
const EVENT_ROWS = 300;
const FRAME_VMAS = 500;
const FRAME_SLOTS = 200;

/** One opened scenario. A console line replaces it by one with a step more, on the same machine. */
interface Timeline extends Travel {
  readonly name: string;
  readonly about: string;
  readonly scenario: Scenario;
  readonly infos: readonly StepInfo[];
  readonly actions: readonly Action[];
  /** By name, in the order of the file; all on one host. */
  readonly vms: ReadonlyMap<string, Vm>;
}

export class Session implements EnginePort {
  #timeline: Timeline | undefined;
  #last: Promise<unknown> = Promise.resolve();

  scenarios() {
    return this.#answer(() =>
      builtins.map(({ name, about, text }): ScenarioInfo => {
        return { name, title: loadScenario(text, name).title, about };
      }),
    );
  }

  open(name: string, insertions: readonly Insertion[], step: number) {
    return this.#answer(async (): Promise<Opened> => {
      const found = builtins.find((s) => s.name === name);
      if (!found) throw new SlatboxError('SLB-901', `no scenario "${name}"`, 'choose one from the list');
      const scenario = loadScenario(found.text, name);
      const vms = await createVms(scenario);
      const { host } = firstOf(vms);
      const flat = flatten(scenario);
      const infos = flat.map((s) => ({
        label: s.label,
        title: titleOf(s.action),
        kind: s.action.kind,
        line: undefined,
      }));
      let timeline: Timeline = {
        name,
        about: scenario.about ?? '',
        scenario,
        infos,
        actions: flat.map((s) => s.action),
        vms,
        ...travelFrom(host, new ScenarioRun(scenario, vms)),
      };
      for (const { at, line } of insertions) timeline = spliced(timeline, at, line);
      const before = this.#timeline;
      this.#timeline = timeline;
      for (const old of before?.vms.values() ?? []) await old.close();
      return opened(timeline, await advance(timeline, step));
    });
  }

  seek(step: number) {
    return this.#answer(async (): Promise<Frame> => {
      const timeline = this.#current();
      const results = await advance(timeline, step);
      return frameOf(timeline, results);
    });
  }

  insert(line: string) {
    return this.#answer(async (): Promise<Opened> => {
      const timeline = spliced(this.#current(), this.#current().run.position, line);
      this.#timeline = timeline;
      return opened(timeline, await advance(timeline, timeline.run.position + 1));
    });
  }

  look(vm: number, gpa: bigint) {
    return this.#answer((): Looked => {
      const { observe, kvm } = this.#vm(vm);
      return { walk: observe.walk(gpa), page: observe.page(gpa), isPrivate: kvm.isPrivate(gpa) };
    });
  }

  who(vm: number, gpa: bigint, len: bigint) {
    return this.#answer(() => (gpa + len > GPA_END ? undefined : whoCounts(this.#vm(vm), gpa, len)));
  }

  raster({ vm, lens, gpa, cellShift, width, height }: RasterRequest) {
    return this.#answer(() => this.#vm(vm).observe.raster(lens, gpa, cellShift, width, height));
  }

  events(filter: string) {
    return this.#answer((): EventList => {
      const { host, vms } = this.#current();
      const { events } = host;
      const total = events.next - 1;
      // Without a filter only the rows themselves are read back, not the whole ring.
      const records = events.records(filter.trim() === '' ? total - EVENT_ROWS + 1 : 0);
      const fitting = records.filter(matches(filter, [...vms.keys()]));
      const whole = filter.trim() === '';
      return {
        records: fitting.slice(-EVENT_ROWS),
        fitting: whole ? total : fitting.length,
        searched: whole ? total : records.length,
        total,
      };
    });
  }

  smaps(vm: number) {
    return this.#answer(() => this.#vm(vm).observe.smapsText());
  }

  digest() {
    return this.#answer(() => this.#current().host.digest());
  }

  /** Calls wait for each other: while vCPUs run on threads nothing else may use the machine. */
  #answer<T>(call: () => T | Promise<T>): Promise<Answer<T>> {
    const given = this.#last.then(() => answer(call));
    this.#last = given;
    return given;
  }

  #current(): Timeline {
    if (!this.#timeline) throw new SlatboxError('SLB-902', 'no scenario is open', 'choose one from the list');
    return this.#timeline;
  }

  #vm(index: number): Vm {
    const vms = [...this.#current().vms.values()];
    return vms[index] ?? firstOf(this.#current().vms);
  }
}

function firstOf(vms: ReadonlyMap<string, Vm>): Vm {
  const [first] = vms.values();
  if (!first) throw new Error('a scenario without a VM');
  return first;
}

/** A page that is not isolated has no threads: there vCPUs take turns. */
function createVms({ machine }: Scenario): Promise<ReadonlyMap<string, Vm>> {
  return createMachine(machine, threadsMissing() === undefined ? {} : { threads: false });
}

/** The step of a console line put in at `at`; the machine stays where it is. */
function spliced(timeline: Timeline, at: number, line: string): Timeline {
  const { scenario, vms, run } = timeline;
  const position = Math.min(at, timeline.actions.length);
  const action = actionOf(line, scenario);
  const actions = inserted(timeline.actions, position, action);
  const info: StepInfo = { label: '+', title: titleOf(action), kind: action.kind, line };
  const infos = inserted(timeline.infos, position, info);
  const state = run.save();
  const next = new ScenarioRun({ ...scenario, steps: actions }, vms);
  next.load(state);
  return { ...timeline, actions, infos, run: next, ...changedAt(timeline, position) };
}

const inserted = <T>(list: readonly T[], at: number, item: T): T[] => [
  ...list.slice(0, at),
  item,
  ...list.slice(at),
];

/** A console line as the scenario parser sees it: same checks, same errors. */
function actionOf(line: string, scenario: Scenario): Action {
  const command = parseCommand(line);
  if (!command || !('step' in command)) {
    const problem = command && 'problem' in command ? command.problem : `"${line}" is not a step`;
    throw new SlatboxError('SLB-903', problem, 'type help for the commands');
  }
  const text = JSON.stringify({ version: 1, machine: scenario.machine, steps: [command.step] });
  const [first] = flatten(loadScenario(text, 'console'));
  return (first as { action: Action }).action;
}

function opened(timeline: Timeline, results: readonly StepResult[]): Opened {
  const { name, about, scenario, infos, actions, vms } = timeline;
  return {
    info: { name, title: scenario.title, about },
    vms: [...vms].map(([vm, made], i) => machineOf(vm, made, slotsEnd(actions, vm, i === 0))),
    steps: infos,
    // The first place that the scenario itself looks at.
    focus: actions.find((a) => a.args.len > 0n && a.args.kvm.isGuestPlace)?.args.gpa,
    frame: frameOf(timeline, results),
  };
}

/** Where the last slot ends that the scenario makes for a VM, so that the map has room for it from the start. */
function slotsEnd(actions: readonly Action[], vm: string, isFirst: boolean): bigint {
  return actions
    .filter(({ kind, args }) => kind.startsWith('memslot.') && (args.vm === vm || (isFirst && !args.vm)))
    .map(({ args: { gpa, len } }) => gpa + len)
    .reduce((high, end) => (end > high && end <= MAP_END ? end : high), 0n);
}

function machineOf(name: string, { ram: regions, backing, cpus }: Vm, slotEnd: bigint): Machine {
  const ram = regions.map(({ gpa, size, hva }) => ({ gpa, size, hva }));
  const end = ram.reduce(
    (high, r) => (r.gpa + BigInt(r.size) > high ? r.gpa + BigInt(r.size) : high),
    slotEnd,
  );
  return { name, backing, cpus, ram, end };
}

function frameOf({ vms, host, run, eventsFrom }: Timeline, results: readonly StepResult[]): Frame {
  return {
    step: run.position,
    host: hostState(host),
    vms: [...vms.values()].map(vmState),
    eventsFrom,
    results,
  };
}

function hostState(host: Host): HostState {
  const [frames, swap, gigantic] = [host.frames(), host.swap(), host.hugepages1g()];
  return {
    total: frames.total * PAGE + gigantic.total * GIB,
    used: frames.used * PAGE + (gigantic.total - gigantic.free) * GIB,
    swapTotal: swap.total * PAGE,
    swapUsed: swap.used * PAGE,
    saved: host.ksm.pagesSaved * PAGE,
  };
}

function vmState({ observe, memoryLimit, device: bar, ramAccess }: Vm): VmState {
  const vmas = observe.vmas();
  const memslots = observe.memslots();
  const device = bar.snapshot();
  return {
    counters: observe.counters(),
    memoryLimit,
    device,
    buffers: device.connections.map(({ id, gpa }) => ({ id, gpa, bytes: ramAccess.read(gpa, BUFFER_BYTES) })),
    vmas: vmas.slice(0, FRAME_VMAS),
    vmasTotal: vmas.length,
    memslots: memslots.slice(0, FRAME_SLOTS),
    memslotsTotal: memslots.length,
  };
}

async function answer<T>(call: () => T | Promise<T>): Promise<Answer<T>> {
  try {
    return { ok: true, value: await call() };
  } catch (error) {
    return { ok: false, error: failureOf(error) };
  }
}

export function failureOf(error: unknown): Failure {
  if (error instanceof SlatboxError) return { code: error.code, message: error.message, hint: error.hint };
  const message = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return { code: 'SLB-900', message, hint: 'this is a fault of slatbox; a step back usually helps' };
}
