// A scenario as the runner needs it: checked, with parameters put in and numbers as numbers. Pure data.
// Reference: schema.ts (the format), docs/scenarios.md.
import type { Place, SlatboxError } from '../errors.ts';
import { parseInteger } from '../size.ts';
import type { HostOptions, VmOptions } from '../types.ts';
import { flatten } from './flatten.ts';
import { type Params, substitute } from './params.ts';
import type { Conditions, IntegerSpec, MachineSpec, RequestName, ScalarSpec } from './schema.ts';
import { semanticProblems } from './semantics.ts';
import { Source } from './source.ts';
import { schemaProblems } from './validate.ts';

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
  | 'request'
  | 'mmio.write'
  | 'mmio.read'
  | 'pci.write'
  | 'pci.read'
  | 'walk'
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
  readonly write: boolean;
  readonly bytes: Uint8Array;
  readonly bdf: string | undefined;
  readonly id: string | undefined;
  readonly as: string | undefined;
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
export type Step = Action | Repeat;

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

/** `createSandbox` options for the scenario's machine. */
export function sandboxOptions(machine: MachineSpec): HostOptions & VmOptions & { pool?: IntegerSpec } {
  const { backing, device, ...rest } = machine;
  const abi = device?.pvmemcontrol?.abi;
  return { ...rest, ...(backing && { backing: backing.kind }), ...(abi && { abi }) };
}

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
  return {
    scenario: {
      file,
      title: (raw.title as string | undefined) ?? file,
      about: raw.about as string | undefined,
      machine: (filled.machine as MachineSpec | undefined) ?? {},
      machineAt: source.place(['machine'], 'key'),
      steps: (filled.steps as RawStep[]).map((s, i) => toStep(s, ['steps', i], source)),
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

function toStep(raw: RawStep, path: readonly (string | number)[], source: Source, cpu?: number): Step {
  const [kind, value] = Object.entries(raw)[0] as [string, unknown];
  const { line } = source.place([...path, kind], 'key');
  if (kind === 'repeat') {
    const { times, advance, steps } = value as { times: number; advance?: IntegerSpec; steps: RawStep[] };
    const inside = [...path, 'repeat', 'steps'];
    return {
      kind,
      times,
      advance: parseInteger(advance ?? 0),
      steps: steps.map((s, i) => toStep(s, [...inside, i], source, cpu)),
      line,
    };
  }
  const args = toArgs(kind, value);
  if (kind === 'parallel') {
    const lanes = (value as RawStep[][]).map((list, lane) => {
      const steps = list.map((s, i) => toStep(s, [...path, kind, lane, i], source, lane));
      return flatten({ steps }).map(({ action }) => action);
    });
    return { kind, args: { ...args, lanes }, line };
  }
  // In parallel a step's vCPU is its list.
  return { kind: kind as ActionKind, args: cpu === undefined ? args : { ...args, cpu }, line };
}

function toArgs(kind: string, value: unknown): Args {
  const raw: RawArgs = typeof value === 'object' && value !== null ? (value as RawArgs) : {};
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
