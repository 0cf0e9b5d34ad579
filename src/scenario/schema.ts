// The scenario file format, version 1: one source for the TypeScript types, the published JSON Schema
// (schema/scenario.v1.schema.json) and the compiled validator (validator.generated.js).
// After a change: `node scripts/build-schema.mjs`. Reference: docs/scenarios.md.

import Type, { type TSchema } from 'typebox';
import { BACKINGS } from '../backing.ts';
import type { BackingKind } from '../types.ts';

const MAX_CPUS = 32;
/** The fifteen requests of the device, in the order of their function codes. */
export const REQUESTS = [
  'info',
  'dontneed',
  'remove',
  'free',
  'pageout',
  'dontdump',
  'set-vma-anon-name',
  'mlock',
  'munlock',
  'mprotect-none',
  'mprotect-r',
  'mprotect-w',
  'mprotect-rw',
  'mergeable',
  'unmergeable',
] as const;
export type RequestName = (typeof REQUESTS)[number];
type Camel<S extends string> = S extends `${infer A}-${infer B}` ? `${A}${Capitalize<Camel<B>>}` : S;
/** The request's name as a method: `mprotect-none` is `mprotectNone`. */
export type RequestMethod = Camel<RequestName>;

const NUMBER = '(0[xX][0-9a-fA-F_]+|[0-9][0-9_]*)([KMGTkmgt]([iI]?[bB])?)?';
const PARAM = '\\$\\{[A-Za-z_][A-Za-z0-9_]*\\}';
const TERM = `(${NUMBER}|${PARAM})`;
const Integer = Type.Union(
  [Type.Integer({ minimum: 0 }), Type.String({ pattern: `^\\s*${TERM}(\\s*\\+\\s*${TERM})*\\s*$` })],
  { description: 'a whole number, or text such as 4K, 5G+2M, 0x1000' },
);
/** An address, a size or a 64-bit value. */
const integer = (description: string) => Type.Ref('Integer', { description });
const strict = { additionalProperties: false } as const;
const object = <P extends Record<string, TSchema>>(properties: P, description: string) =>
  Type.Object(properties, { ...strict, description });
/** A small whole number, or a `${param}`. */
const small = (minimum: number, maximum: number, description: string) =>
  Type.Union([Type.Integer({ minimum, maximum }), Type.String({ pattern: `^${PARAM}$` })], { description });

const gpa = integer('guest-physical address');
const len = integer('length in bytes');
const val = integer('value, little-endian in memory');
const byte = small(0, 255, 'byte value');
const accessSize = small(1, 8, 'access size in bytes: 1, 2, 4 or 8');
const name = (description: string) => Type.String({ pattern: '^[A-Za-z_][A-Za-z0-9_-]*$', description });
const common = {
  cpu: Type.Optional(small(0, MAX_CPUS - 1, 'the vCPU that does it')),
  id: Type.Optional(
    name('name of the result, for later expect steps: `NAME.errno`, `NAME.exit`, `NAME.value`'),
  ),
};
const as = Type.Optional(name('name of the value alone, for later expect steps: `NAME`'));

const Request = object(
  { gpa, len, arg: Type.Optional(val), ...common },
  'a pvmemcontrol request through the guest driver',
);
const Info = object(
  { gpa: Type.Optional(gpa), len: Type.Optional(len), arg: Type.Optional(val), ...common },
  'INFO: page size and version of the device',
);

const Scalar = Type.Union([Type.Number(), Type.String(), Type.Boolean(), Type.Null()]);
const Matcher = Type.Union(
  [
    Scalar,
    object(
      {
        min: Type.Optional(integer('at least')),
        max: Type.Optional(integer('at most')),
        oneOf: Type.Optional(Type.Array(Scalar, { minItems: 1 })),
        unchanged: Type.Optional(
          Type.Union([Type.Literal(true), Type.String()], {
            description: 'true: as before the last action; NAME: as right after the step with that id',
          }),
        ),
        change: Type.Optional(
          Type.Union([Type.Integer(), Type.String()], {
            description: 'by how much the last action changed it',
          }),
        ),
      },
      'all given conditions must hold',
    ),
  ],
  { description: 'the exact value, or conditions' },
);

const requestSteps = Object.fromEntries(
  REQUESTS.map((r) => [r, Type.Ref(r === 'info' ? 'Info' : 'Request')]),
);

const MmioAt = { off: integer('offset in BAR0; any address may be reached by `gpa` instead') };
const PciAt = {
  bdf: Type.Optional(Type.String({ description: 'bus:device.function; default: the pvmemcontrol device' })),
  off: small(0, 4095, 'byte offset in configuration space'),
};

const actions = {
  touch: object(
    {
      gpa,
      len,
      write: Type.Optional(Type.Boolean({ description: 'store instead of load' })),
      byte: Type.Optional(byte),
      ...common,
    },
    'one byte access in every page of the range',
  ),
  fill: object({ gpa, len, byte, ...common }, 'store BYTE everywhere in the range'),
  verify: object({ gpa, len, byte, ...common }, 'an expectation: every byte of the range reads as BYTE'),
  read: object({ gpa, len: Type.Optional(len), as, ...common }, 'load bytes; the value is the first byte'),
  write: object(
    { gpa, bytes: Type.Array(byte, { minItems: 1, description: 'the bytes to store' }), ...common },
    'store bytes',
  ),
  load: object(
    { gpa, size: Type.Optional(accessSize), as, ...common },
    'one load, 8 bytes if no size is given',
  ),
  store: object(
    { gpa, size: Type.Optional(accessSize), val, ...common },
    'one store, 8 bytes if no size is given',
  ),
  fetch: object({ gpa, ...common }, 'one instruction fetch'),
  ...requestSteps,
  request: object(
    { func: integer('function code, known or not'), gpa, len, arg: Type.Optional(val), ...common },
    'a request with any function code through the guest driver',
  ),
  'mmio.write': object(
    { ...MmioAt, size: Type.Optional(accessSize), val, ...common },
    'a store to BAR0, 4 bytes if no size is given',
  ),
  'mmio.read': object(
    { ...MmioAt, size: Type.Optional(accessSize), as, ...common },
    'a load from BAR0, 4 bytes if no size is given',
  ),
  'pci.write': object(
    { ...PciAt, size: Type.Optional(accessSize), val, id: common.id },
    'a write to PCI configuration space',
  ),
  'pci.read': object(
    { ...PciAt, size: Type.Optional(accessSize), as, id: common.id },
    'a read of PCI configuration space',
  ),
  walk: object(
    { gpa, id: name('name of the result: `NAME.mapped`, `NAME.page`, `NAME.level`, `NAME.write` …') },
    'look at the SLAT and at the page behind a gpa; changes nothing',
  ),
  parallel: Type.Array(Type.Array(Type.Ref('Step')), {
    minItems: 1,
    maxItems: MAX_CPUS,
    description: 'steps of vCPU 0, of vCPU 1 and so on: at once with machine.threads, else in turns',
  }),
  note: Type.String({ description: 'a remark for the reader' }),
  expect: Type.Record(Type.String(), Type.Ref('Matcher'), {
    minProperties: 1,
    description: 'counters, `device.state`, results by name: what must be true now',
  }),
};

const repeat = object(
  {
    times: small(0, 1_000_000, 'how often'),
    advance: Type.Optional(integer('added to every gpa of the steps, once more in each round')),
    steps: Type.Array(Type.Ref('Step'), { minItems: 1 }),
  },
  'the same steps again and again',
);
const Step = Type.Object(
  Object.fromEntries(Object.entries({ ...actions, repeat }).map(([key, type]) => [key, Type.Optional(type)])),
  { ...strict, minProperties: 1, maxProperties: 1, description: 'one action or expectation' },
);

const Machine = object(
  {
    memory: Type.Optional(integer('RAM: [0, 3G) first, the rest from 4G up')),
    ram: Type.Optional(
      Type.Array(object({ gpa, size: integer('size in bytes') }, 'one RAM region'), {
        minItems: 1,
        description: 'RAM as explicit regions, instead of `memory`',
      }),
    ),
    pool: Type.Optional(integer('host memory for all frames')),
    cpus: Type.Optional(small(1, MAX_CPUS, 'number of vCPUs')),
    threads: Type.Optional(
      Type.Boolean({ description: 'vCPUs of `parallel` steps run at the same time, each on its own thread' }),
    ),
    backing: Type.Optional(
      object(
        {
          kind: Type.Enum(BACKINGS as [...BackingKind[]], {
            description:
              'private anonymous memory: anon (MAP_NORESERVE), anon_acct (without it), thp (MADV_HUGEPAGE); a memory ' +
              'file: memfd (shared), memfd_priv; huge pages of 2 MiB: hugetlb, hugetlb_shared',
          }),
        },
        'what the memslots point at',
      ),
    ),
    swap: Type.Optional(integer('size of the host swap area, 0 for none')),
    vmaNames: Type.Optional(Type.Boolean({ description: 'the host kernel has CONFIG_ANON_VMA_NAME' })),
    maxMapCount: Type.Optional(small(1, 2 ** 31 - 1, 'vm.max_map_count')),
    memoryLimit: Type.Optional(
      integer('memory.max of the VM: how much host memory it may have; left out: no limit'),
    ),
    swapLimit: Type.Optional(
      integer('memory.swap.max of the VM: how much swap it may have; left out: no limit'),
    ),
    memlock: Type.Optional(integer('RLIMIT_MEMLOCK of an unprivileged VMM; left out: privileged')),
    device: Type.Optional(
      object(
        {
          pvmemcontrol: Type.Optional(
            object(
              {
                abi: Type.Optional(
                  Type.Enum(['pvmemcontrol', 'memctl'], { description: 'generation of the interface' }),
                ),
              },
              'the pvmemcontrol device',
            ),
          ),
        },
        'devices',
      ),
    ),
  },
  'the host and the VM',
);

export const Scenario = Type.Object(
  {
    version: Type.Literal(1, { description: 'version of the format' }),
    title: Type.Optional(Type.String({ description: 'one line' })),
    about: Type.Optional(Type.String({ description: 'what a reader should look at' })),
    params: Type.Optional(
      Type.Record(Type.String({ pattern: '^[A-Za-z_][A-Za-z0-9_]*$' }), Scalar, {
        description: 'values for the places in machine and steps that name them',
      }),
    ),
    machine: Type.Optional(Machine),
    steps: Type.Array(Type.Ref('Step'), { minItems: 1, description: 'what happens, in order' }),
  },
  { ...strict, description: 'A slatbox scenario: a machine, and what happens on it.' },
);

/** What `Type.Ref` names; `$defs` of the published schema. */
export const definitions = { Integer, Request, Info, Matcher, Step };

export type IntegerSpec = number | string;
export type MachineSpec = Partial<
  Record<'memory' | 'pool' | 'swap' | 'memoryLimit' | 'swapLimit' | 'memlock', IntegerSpec> & {
    ram: { gpa: IntegerSpec; size: IntegerSpec }[];
    cpus: number;
    threads: boolean;
    backing: { kind: BackingKind };
    vmaNames: boolean;
    maxMapCount: number;
    device: { pvmemcontrol?: { abi?: 'pvmemcontrol' | 'memctl' } };
  }
>;
export type ScalarSpec = number | string | boolean | null;
export type Conditions = Partial<{
  min: IntegerSpec;
  max: IntegerSpec;
  oneOf: ScalarSpec[];
  unchanged: true | string;
  change: IntegerSpec;
}>;
