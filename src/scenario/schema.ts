// The scenario file format, version 1: one source for the TypeScript types, the published JSON Schema
// (schema/scenario.v1.schema.json) and the compiled validator (validator.generated.js).
// After a change: `node scripts/build-schema.mjs`. Reference: docs/scenarios.md.

import Type from 'typebox';
import { REQUESTS } from '../requests.ts';
import {
  Integer,
  type IntegerSpec,
  integer,
  MAX_CPUS,
  name,
  object,
  Scalar,
  type ScalarSpec,
  small,
  strict,
} from './format.ts';
import { kvmSteps } from './schema-kvm.ts';
import { Machine, VmOfMachine } from './schema-machine.ts';

const gpa = integer('guest-physical address');
const len = integer('length in bytes');
const val = integer('value, little-endian in memory');
const byte = small(0, 255, 'byte value');
const accessSize = small(1, 8, 'access size in bytes: 1, 2, 4 or 8');
const kind = Type.Optional(
  Type.Enum(['private', 'shared'], {
    description:
      'the memory that the guest means, as guests of TDX and SEV-SNP do; of the other kind: MEMORY_FAULT',
  }),
);
const vm = Type.Optional(
  name('the VM that it is about; left out: the first, or in `each` the VM of the round'),
);
const common = {
  vm,
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
    { gpa, size: Type.Optional(accessSize), kind, as, ...common },
    'one load, 8 bytes if no size is given',
  ),
  store: object(
    { gpa, size: Type.Optional(accessSize), kind, val, ...common },
    'one store, 8 bytes if no size is given',
  ),
  'fetch-add': object(
    { gpa, size: Type.Optional(accessSize), val, as, ...common },
    'lock xadd: adds to what is there, which is the value; 8 bytes if no size is given',
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
    { ...PciAt, size: Type.Optional(accessSize), val, vm, id: common.id },
    'a write to PCI configuration space',
  ),
  'pci.read': object(
    { ...PciAt, size: Type.Optional(accessSize), as, vm, id: common.id },
    'a read of PCI configuration space',
  ),
  walk: object(
    { gpa, vm, id: name('name of the result: `NAME.mapped`, `NAME.page`, `NAME.level`, `NAME.write` …') },
    'look at the SLAT and at the page behind a gpa; changes nothing',
  ),
  parallel: Type.Array(Type.Array(Type.Ref('Step')), {
    minItems: 1,
    maxItems: MAX_CPUS,
    description: 'steps of vCPU 0, of vCPU 1 and so on: at once with machine.threads, else in turns',
  }),
  'file.write': object(
    { gpa, len, byte, vm, id: common.id },
    'write(2) by another process to the memory file behind the range: BYTE in every byte of it',
  ),
  'free-report': object(
    { gpa, len, vm, id: common.id },
    'the range is free in the guest, and virtio-balloon reports its whole free blocks of 2M to the VMM, which drops them',
  ),
  'ksm.scan': object(
    {
      passes: Type.Optional(
        small(1, 1000, 'full scans, 2 if left out: what is equal is shared by the second'),
      ),
      id: common.id,
    },
    'KSM scans the mergeable memory of all VMs',
  ),
  core: object(
    {
      gpa: Type.Optional(gpa),
      len: Type.Optional(len),
      filter: Type.Optional(integer('coredump_filter of the VMM, 0x33 if left out')),
      vm,
      id: name('name of the result: `NAME.dumped`, `NAME.resident`, `NAME.swapped`, `NAME.size`'),
    },
    'what a core file of the VMM would have of the range, or of all guest RAM; changes nothing',
  ),
  ...kvmSteps,
  sample: Type.String({
    description: 'a name for this moment: a row in the table of host memory that `run` prints',
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
const each = object(
  {
    vms: Type.Optional(
      Type.Array(name('a VM of machine.vms'), { minItems: 1, description: 'left out: all VMs' }),
    ),
    steps: Type.Array(Type.Ref('Step'), { minItems: 1 }),
  },
  'the same steps for each VM in turn: what does not name a VM is about that one',
);
const Step = Type.Object(
  Object.fromEntries(
    Object.entries({ ...actions, repeat, each }).map(([key, type]) => [key, Type.Optional(type)]),
  ),
  { ...strict, minProperties: 1, maxProperties: 1, description: 'one action or expectation' },
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
export const definitions = { Integer, Request, Info, Matcher, Step, VmOfMachine };

export type Conditions = Partial<{
  min: IntegerSpec;
  max: IntegerSpec;
  oneOf: ScalarSpec[];
  unchanged: true | string;
  change: IntegerSpec;
}>;
