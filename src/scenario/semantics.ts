// What a schema cannot say: 64-bit bounds, access sizes, cpus that exist, names that an expect may use.
// SLB-013 wrong value, SLB-014 unknown name in expect, SLB-017 too many steps.
import { SlatboxError } from '../errors.ts';
import { parseInteger } from '../size.ts';
import { COUNTERS } from './counters.ts';
import type { IntegerSpec, ScalarSpec } from './format.ts';
import type { Conditions } from './schema.ts';
import { kvmSteps } from './schema-kvm.ts';
import type { MachineSpec } from './schema-machine.ts';
import { type KvmContext, kvmStep } from './semantics-kvm.ts';
import type { Path, Source } from './source.ts';
import { suggestion } from './suggest.ts';
import { describePath, inFileOrder } from './validate.ts';
import { ALL_VMS, isVm, keyOf, vmSpecs } from './vms.ts';

/** Steps that a run may have with its repeats unrolled. */
export const MAX_STEPS = 100_000;
const U64_MAX = (1n << 64n) - 1n;
const GPA_SPACE = 1n << 46n;
/** Where less than 64 bits make sense. Requests have no limit: what a guest may ask, a scenario may. */
const LIMITS: Readonly<Record<string, bigint>> = {
  'touch.len': GPA_SPACE,
  'fill.len': GPA_SPACE,
  'verify.len': GPA_SPACE,
  'file.write.gpa': GPA_SPACE,
  'file.write.len': GPA_SPACE,
  'free-report.gpa': GPA_SPACE,
  'free-report.len': GPA_SPACE,
  'core.gpa': GPA_SPACE,
  'core.len': GPA_SPACE,
  'core.filter': 0xffff_ffffn,
  'read.len': 1n << 20n,
  'dirty-log.clear.first': 2n ** 40n,
  'dirty-log.clear.count': 0x7fff_ffffn,
  'migrate.len': GPA_SPACE,
  'mmio.read.off': 0xffff_ffffn,
  'mmio.write.off': 0xffff_ffffn,
};
const INTEGERS = [
  ...['gpa', 'len', 'arg', 'func', 'val', 'off', 'advance', 'filter'],
  ...['hva', 'alias', 'offset', 'first', 'count'],
];
const MACHINE_SIZES = ['memory', 'pool', 'swap', 'memoryLimit', 'swapLimit', 'memlock'];
const VM_NAME = /^[A-Za-z_][A-Za-z0-9_-]*$/;
/** What a name of `expect` may begin with already, so no VM and no result of several VMs can. */
const TAKEN = new Set([...COUNTERS.map((key) => key.split('.')[0] as string), 'counters', 'device', ALL_VMS]);
/** What a named result may have behind its dot. */
export const FIELDS = [
  ...['errno', 'code', 'value', 'arg0', 'arg1', 'exit', 'ok', 'pages', 'gpa'],
  ...['fd', 'offset', 'list', 'flags', 'signal', 'rounds', 'downtime', 'converged', 'identical'],
  ...['mapped', 'level', 'page', 'read', 'write', 'execute', 'hpa'],
  ...[
    'bytes',
    'blocks',
    'left',
    'calls',
    'scans',
    'merged',
    'shared',
    'dumped',
    'resident',
    'swapped',
    'size',
  ],
];
export const DEVICE_KEYS = [
  'device.state',
  'device.command',
  'device.payload',
  'device.connections',
  'device.barBase',
];

/** Steps that are no vCPU's doing. */
const NOT_PARALLEL = [
  ...['parallel', 'each', 'pci.read', 'pci.write', 'walk', 'note', 'expect'],
  ...['file.write', 'free-report', 'ksm.scan', 'core', 'sample'],
];

type Raw = Readonly<Record<string, unknown>>;

/** Problems of a scenario that already has the right shape. */
export function semanticProblems(scenario: Raw, source: Source): SlatboxError[] {
  const problems: SlatboxError[] = [];
  const machine = (scenario.machine ?? {}) as Raw;
  const wrong = (path: Path, text: string, hint?: string, code: SlatboxError['code'] = 'SLB-013'): void => {
    problems.push(new SlatboxError(code, `${describePath(path)}: ${text}`, hint, source.place(path)));
  };
  const u64 = (value: unknown, path: Path, max = U64_MAX): void => {
    if (value === undefined) return;
    if (parseInteger(value as IntegerSpec) > max) {
      wrong(path, `${value} is too large`, `the largest is 0x${max.toString(16)}`);
    }
  };

  sizes(machine, ['machine']);
  for (const [name, own] of Object.entries((machine.vms ?? {}) as Record<string, Raw>)) {
    sizes(own, ['machine', 'vms', name]);
    vmName(name, ['machine', 'vms', name]);
  }
  const specs = vmSpecs(machine as MachineSpec);
  const vms = [...specs.keys()];
  const named = new Set<string>();
  const kvm: KvmContext = { wrong, files: new Map(), vms };
  visit(scenario.steps as Raw[], ['steps'], vms.slice(0, 1));
  const steps = count(scenario.steps as Raw[], vms.length);
  if (steps > MAX_STEPS) {
    const text = `${steps} steps with repeats unrolled; at most ${MAX_STEPS} are run`;
    problems.push(new SlatboxError('SLB-017', text, 'repeat less often', source.place(['steps'], 'key')));
  }
  return inFileOrder(problems);

  function sizes(spec: Raw, at: Path): void {
    for (const key of MACHINE_SIZES) u64(spec[key], [...at, key], BigInt(Number.MAX_SAFE_INTEGER));
    for (const [i, region] of ((spec.ram ?? []) as Raw[]).entries()) {
      u64(region.gpa, [...at, 'ram', i, 'gpa']);
      u64(region.size, [...at, 'ram', i, 'size'], BigInt(Number.MAX_SAFE_INTEGER));
    }
  }

  function vmName(name: string, path: Path): void {
    const hint = 'use letters, digits, _ and -, and no name of a counter: a, web-1, guest_2';
    if (VM_NAME.test(name) && !TAKEN.has(name)) return;
    const text = TAKEN.has(name) ? 'has a meaning in expect already' : 'is not a name';
    problems.push(
      new SlatboxError('SLB-013', `machine.vms: "${name}" ${text}`, hint, source.place(path, 'key')),
    );
  }

  /** `on`: the VMs that a step is about which does not say so. */
  function visit(list: readonly Raw[], path: Path, on: readonly string[]): void {
    for (const [i, step] of list.entries()) {
      const [kind, value] = Object.entries(step)[0] as [string, unknown];
      const at = [...path, i, kind];
      if (kind === 'expect') expectations(value as Raw, at);
      else if (kind === 'repeat') {
        u64((value as Raw).advance, [...at, 'advance']);
        visit((value as Raw).steps as Raw[], [...at, 'steps'], on);
      } else if (kind === 'each') {
        const named = ((value as Raw).vms ?? vms) as string[];
        for (const [j, name] of named.entries()) vm(name, [...at, 'vms', j]);
        visit((value as Raw).steps as Raw[], [...at, 'steps'], named);
      } else if (kind === 'parallel') lanes(value as Raw[][], at, on);
      else if (kind !== 'note' && kind !== 'sample') action(kind, value as Raw, at, on);
    }
  }

  function vm(name: unknown, path: Path): void {
    if (vms.includes(name as string)) return;
    const hint = machine.vms ? suggestion(String(name), vms) : 'name several VMs under machine.vms';
    wrong(path, `there is no VM "${name}"`, hint);
  }

  function cpusOf(on: readonly string[]): number {
    return Math.min(...on.map((name) => specs.get(name)?.cpus ?? 1));
  }

  function lanes(lists: readonly (readonly Raw[])[], at: Path, on: readonly string[]): void {
    const cpus = cpusOf(on);
    if (lists.length > cpus) {
      wrong(
        [...at, cpus],
        `there is no cpu ${cpus} for this list`,
        `the machine has ${cpus}: set machine.cpus, or write fewer lists`,
      );
    }
    for (const [cpu, list] of lists.entries()) laneSteps(list, [...at, cpu], cpu);
    for (const [cpu, list] of lists.entries()) visit(list, [...at, cpu], on);
  }

  /** Only what a vCPU does by itself; everything else looks at the machine, which stands still only afterwards. */
  function laneSteps(list: readonly Raw[], path: Path, cpu: number): void {
    for (const [i, step] of list.entries()) {
      const [kind, value] = Object.entries(step)[0] as [string, Raw];
      const at = [...path, i, kind];
      if (kind === 'repeat') laneSteps(value.steps as Raw[], [...at, 'steps'], cpu);
      else if (NOT_PARALLEL.includes(kind) || kind in kvmSteps)
        wrong(at, `${kind} is not for one vCPU`, 'put it before or behind the parallel step');
      else if (value.cpu !== undefined)
        wrong([...at, 'cpu'], `this list is that of cpu ${cpu}`, 'leave cpu out');
      else if (value.vm !== undefined)
        wrong(
          [...at, 'vm'],
          'all lists are of one VM',
          'put the parallel step into `each: { vms: [NAME], steps }`',
        );
    }
  }

  function action(kind: string, args: Raw, at: Path, around: readonly string[]): void {
    if (args.vm !== undefined) vm(args.vm, [...at, 'vm']);
    const on = args.vm === undefined ? around : [args.vm as string];
    const cpus = cpusOf(on);
    if (kind === 'free-report' && on.some((name) => specs.get(name)?.backing?.kind === 'memfd_priv')) {
      wrong(
        at,
        'not on memfd_priv',
        'a VMM would punch holes in the file behind the private mapping: not modelled',
      );
    }
    if (kind in kvmSteps) kvmStep(kind, args, at, on, kvm);
    for (const key of INTEGERS) u64(args[key], [...at, key], LIMITS[`${kind}.${key}`]);
    if (args.size !== undefined && ![1, 2, 4, 8].includes(args.size as number)) {
      wrong([...at, 'size'], `${args.size} is not an access size`, 'an access has 1, 2, 4 or 8 bytes');
    }
    if (args.cpu !== undefined && (args.cpu as number) >= cpus) {
      wrong(
        [...at, 'cpu'],
        `there is no cpu ${args.cpu}`,
        `the machine has ${cpus}: set machine.cpus, or use 0 to ${cpus - 1}`,
      );
    }
    if (args.bdf !== undefined && !/^[0-9a-f]{1,2}:[01]?[0-9a-f]\.[0-7]$/i.test(args.bdf as string)) {
      wrong([...at, 'bdf'], `"${args.bdf}" is not bus:device.function`, 'write it as lspci does: 00:01.0');
    }
    for (const key of ['id', 'as']) {
      const name = args[key];
      if (typeof name !== 'string') continue;
      if (isVm(machine as MachineSpec, name))
        wrong([...at, key], `"${name}" is what VMs are called`, 'give the result another name');
      named.add(name);
    }
  }

  function expectations(map: Raw, at: Path): void {
    for (const [key, matcher] of Object.entries(map)) {
      name(key, [...at, key]);
      values(key, matcher as ScalarSpec | Conditions, [...at, key]);
    }
  }

  function name(key: string, path: Path): void {
    const { vm, name: bare } = keyOf(key, machine as MachineSpec);
    const [head = '', field] = [
      key.split('.')[0],
      key.includes('.') ? key.slice(key.indexOf('.') + 1) : undefined,
    ];
    if (COUNTERS.includes(bare) || (vm !== ALL_VMS && DEVICE_KEYS.includes(bare))) return;
    const registers = [...COUNTERS, ...DEVICE_KEYS];
    if (vm !== undefined) {
      unknown(
        key,
        path,
        (vm === ALL_VMS ? COUNTERS : registers).map((name) => `${vm}.${name}`),
      );
      return;
    }
    if (named.has(head) && (field === undefined || FIELDS.includes(field))) return;
    const known = named.has(head)
      ? FIELDS.map((f) => `${head}.${f}`)
      : [...registers, ...named, ...[...named].map((n) => `${n}.errno`)];
    unknown(key, path, known);
  }

  function unknown(key: string, path: Path, known: readonly string[]): void {
    const text = `nothing is called "${key}" here`;
    const hint = suggestion(key, known) ?? 'use a counter, device.state, or the id of an earlier step';
    problems.push(new SlatboxError('SLB-014', text, hint, source.place(path, 'key')));
  }

  function values(key: string, matcher: ScalarSpec | Conditions, path: Path): void {
    const isCounter = COUNTERS.includes(keyOf(key, machine as MachineSpec).name);
    if (typeof matcher !== 'object' || matcher === null) {
      if (isCounter) number(matcher, path);
      return;
    }
    if (Object.keys(matcher).length === 0)
      wrong(path, 'no condition', 'give a value, or min, max, oneOf, unchanged, change');
    if (isCounter) for (const [i, v] of (matcher.oneOf ?? []).entries()) number(v, [...path, 'oneOf', i]);
    if (matcher.change !== undefined) number(matcher.change, [...path, 'change'], true);
    if (typeof matcher.unchanged === 'string' && !named.has(matcher.unchanged)) {
      const text = `no earlier step has the id "${matcher.unchanged}"`;
      const hint = suggestion(matcher.unchanged, named) ?? 'true compares with before the last action';
      problems.push(new SlatboxError('SLB-014', text, hint, source.place([...path, 'unchanged'])));
    }
  }

  function number(value: ScalarSpec, path: Path, signed = false): void {
    if (typeof value === 'number') return;
    const text = signed ? String(value).replace(/^-/, '') : value;
    try {
      if (typeof text === 'string') return void parseInteger(text);
    } catch {
      // reported below with its place
    }
    wrong(path, `${JSON.stringify(value)} is not a number`, 'write 4096, 0x1000, 4K, 1G or 5G+2M');
  }
}

const count = (steps: readonly Raw[], vms: number): number =>
  steps.reduce((sum, step) => {
    const repeat = step.repeat as { times: number; steps: Raw[] } | undefined;
    const each = step.each as { vms?: string[]; steps: Raw[] } | undefined;
    const lanes = step.parallel as Raw[][] | undefined;
    if (lanes) return sum + 1 + lanes.reduce((inside, lane) => inside + count(lane, vms), 0);
    if (each) return sum + (each.vms?.length ?? vms) * count(each.steps, vms);
    return sum + (repeat ? repeat.times * count(repeat.steps, vms) : 1);
  }, 0);
