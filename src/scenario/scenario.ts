// A scenario as the runner needs it: checked, with parameters put in and numbers as numbers. Pure data.
// Reference: schema.ts (the format), docs/scenarios.md.
import type { Place, SlatboxError } from '../errors.ts';
import type { RequestName } from '../requests.ts';
import { parseInteger } from '../size.ts';
import { flatten } from './flatten.ts';
import type { IntegerSpec, ScalarSpec } from './format.ts';
import { type KvmArgs, kvmArgs } from './kvm-args.ts';
import { type Params, substitute } from './params.ts';
import type { Conditions } from './schema.ts';
import type { kvmSteps } from './schema-kvm.ts';
import type { MachineSpec } from './schema-machine.ts';
import { semanticProblems } from './semantics.ts';
import { Source } from './source.ts';
import { schemaProblems } from './validate.ts';
import { vmSpecs } from './vms.ts';

export type ActionKind =
  | RequestName
  | 'touch'
  | 'fill'
  | 'verify'
  | 'read'
  | 'write'
  | 'load'
  | 'store'
  | 'fetch'
  | 'fetch-add'
  | 'request'
  | 'mmio.write'
  | 'mmio.read'
  | 'pci.write'
  | 'pci.read'
  | 'walk'
  | 'file.write'
  | 'free-report'
  | 'ksm.scan'
  | 'core'
  | keyof typeof kvmSteps
  | 'sample'
  | 'parallel'
  | 'note'
  | 'expect';

/** The arguments of an action; what the file leaves out has the format's default. */
export interface Args {
  readonly gpa: bigint;
  readonly len: bigint;
  readonly arg: bigint;
  readonly func: bigint;
  readonly val: bigint;
  readonly off: number;
  /** Access size in bytes; 0: the action's own default. */
  readonly size: number;
  readonly byte: number | undefined;
  readonly cpu: number;
  /** The VM that it is about; undefined: the first. */
  readonly vm: string | undefined;
  /** Of ksm.scan. */
  readonly passes: number;
  /** Of core: coredump_filter, undefined for the default. */
  readonly filter: number | undefined;
  readonly write: boolean;
  readonly bytes: Uint8Array;
  readonly bdf: string | undefined;
  readonly id: string | undefined;
  readonly as: string | undefined;
  /** Of the steps in schema-kvm.ts. */
  readonly kvm: KvmArgs;
  /** The text of note and sample. */
  readonly note: string;
  /** Of parallel: what each vCPU does, the first list vCPU 0. */
  readonly lanes: readonly (readonly Action[])[];
  readonly expect: readonly (readonly [key: string, matcher: ScalarSpec | Conditions])[];
}

export interface Action {
  readonly kind: ActionKind;
  readonly args: Args;
  /** Line in the file, from 1. */
  readonly line: number;
}
export interface Repeat {
  readonly kind: 'repeat';
  readonly times: number;
  /** Added to every gpa inside, once more in each round. */
  readonly advance: bigint;
  readonly steps: readonly Step[];
  readonly line: number;
}
/** The steps for one VM after the other. */
export interface Each {
  readonly kind: 'each';
  readonly vms: readonly string[];
  readonly steps: readonly Step[];
  readonly line: number;
}
export type Step = Action | Repeat | Each;

export interface Scenario {
  readonly file: string;
  readonly title: string;
  readonly about: string | undefined;
  readonly machine: MachineSpec;
  /** Where the machine is described, for errors in making it. */
  readonly machineAt: Place;
  readonly steps: readonly Step[];
}

export type ParsedScenario =
  | { readonly scenario: Scenario; readonly problems: readonly [] }
  | { readonly scenario: undefined; readonly problems: readonly SlatboxError[] };

/** YAML text to a scenario, or everything that is wrong with it. `params` override those of the file. */
export function parseScenario(text: string, file = 'scenario', params: Params = {}): ParsedScenario {
  let source: Source;
  try {
    source = new Source(text, file);
  } catch (error) {
    return failed([error as SlatboxError]);
  }
  const written = schemaProblems(source.value, source);
  if (written.length > 0) return failed(written);

  const raw = source.value as Record<string, unknown>;
  const values = { ...(raw.params as Params | undefined), ...params };
  const problems: SlatboxError[] = [];
  const put = (key: string): unknown => substitute(raw[key], values, source, [key], problems);
  const filled = { ...raw, machine: put('machine'), steps: put('steps') };
  if (filled.machine === undefined) delete (filled as { machine?: unknown }).machine;
  if (problems.length > 0) return failed(problems);
  // A parameter's value may not fit where it was put.
  const fitting = schemaProblems(filled, source);
  if (fitting.length > 0) return failed(fitting);

  const checked = semanticProblems(filled, source);
  if (checked.length > 0) return failed(checked);
  const machine = (filled.machine as MachineSpec | undefined) ?? {};
  const context: Context = { source, vms: [...vmSpecs(machine).keys()] };
  return {
    scenario: {
      file,
      title: (raw.title as string | undefined) ?? file,
      about: raw.about as string | undefined,
      machine,
      machineAt: source.place(['machine'], 'key'),
      steps: (filled.steps as RawStep[]).map((s, i) => toStep(s, ['steps', i], context)),
    },
    problems: [],
  };
}

/** The scenario, or its first problem thrown. */
export function loadScenario(text: string, file?: string, params?: Params): Scenario {
  const { scenario, problems } = parseScenario(text, file, params);
  if (!scenario) throw problems[0];
  return scenario;
}

const failed = (problems: readonly SlatboxError[]): ParsedScenario => ({ scenario: undefined, problems });

type RawStep = Readonly<Record<string, unknown>>;
type RawArgs = Readonly<Record<string, unknown>>;

const PAGE = 4096n;
/** Lengths that may be left out. */
const DEFAULT_LEN: Readonly<Record<string, bigint>> = { read: 1n, touch: PAGE };
const DEFAULT_PASSES = 2;

interface Context {
  readonly source: Source;
  /** All VMs. */
  readonly vms: readonly string[];
  /** In parallel: the vCPU of the list. */
  readonly cpu?: number;
}

function toStep(raw: RawStep, path: readonly (string | number)[], context: Context): Step {
  const [kind, value] = Object.entries(raw)[0] as [string, unknown];
  const { line } = context.source.place([...path, kind], 'key');
  const inside = (steps: readonly RawStep[], below: readonly (string | number)[], more = context): Step[] =>
    steps.map((s, i) => toStep(s, [...path, kind, ...below, i], more));
  if (kind === 'repeat') {
    const { times, advance, steps } = value as { times: number; advance?: IntegerSpec; steps: RawStep[] };
    return { kind, times, advance: parseInteger(advance ?? 0), steps: inside(steps, ['steps']), line };
  }
  if (kind === 'each') {
    const { vms, steps } = value as { vms?: string[]; steps: RawStep[] };
    return { kind, vms: vms ?? context.vms, steps: inside(steps, ['steps']), line };
  }
  const args = toArgs(kind, value);
  if (kind === 'parallel') {
    const lanes = (value as RawStep[][]).map((list, cpu) =>
      flatten({ steps: inside(list, [cpu], { ...context, cpu }) }).map(({ action }) => action),
    );
    return { kind, args: { ...args, lanes }, line };
  }
  // In parallel a step's vCPU is its list.
  const { cpu } = context;
  return { kind: kind as ActionKind, args: cpu === undefined ? args : { ...args, cpu }, line };
}

function toArgs(kind: string, value: unknown): Args {
  const isMap = typeof value === 'object' && value !== null && !Array.isArray(value);
  const raw: RawArgs = isMap ? (value as RawArgs) : {};
  const plain: RawArgs = kind === 'expect' ? {} : raw;
  const integer = (key: string, otherwise = 0n): bigint =>
    plain[key] === undefined ? otherwise : parseInteger(plain[key] as IntegerSpec, key);
  return {
    gpa: integer('gpa'),
    len: integer('len', DEFAULT_LEN[kind] ?? 0n),
    arg: integer('arg'),
    func: integer('func'),
    val: integer('val'),
    off: Number(integer('off')),
    size: (plain.size as number | undefined) ?? 0,
    byte: plain.byte as number | undefined,
    cpu: (plain.cpu as number | undefined) ?? 0,
    vm: plain.vm as string | undefined,
    passes: (plain.passes as number | undefined) ?? DEFAULT_PASSES,
    filter: plain.filter === undefined ? undefined : Number(integer('filter')),
    kvm: kvmArgs(plain),
    write: plain.write === true,
    bytes: Uint8Array.from((plain.bytes as number[] | undefined) ?? []),
    bdf: plain.bdf as string | undefined,
    id: plain.id as string | undefined,
    as: plain.as as string | undefined,
    note: typeof value === 'string' ? value : '',
    lanes: [],
    expect: kind === 'expect' ? (Object.entries(raw) as [string, ScalarSpec | Conditions][]) : [],
  };
}
