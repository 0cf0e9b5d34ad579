// `machine` of a scenario file: the host, and the VMs on it.
import Type from 'typebox';
import { BACKINGS } from '../backing.ts';
import type { BackingKind, GmemProfileName } from '../types.ts';
import { type IntegerSpec, integer, MAX_CPUS, object, small } from './format.ts';

/** VMs that a host has room for, VM_MAX of the engine. */
export const MAX_VMS = 32;

/** What a VM has. On `machine` itself: what each VM has that does not say otherwise. */
const vmOptions = {
  memory: Type.Optional(integer('RAM: [0, 3G) first, the rest from 4G up')),
  ram: Type.Optional(
    Type.Array(
      object({ gpa: integer('guest-physical address'), size: integer('size in bytes') }, 'one RAM region'),
      { minItems: 1, description: 'RAM as explicit regions, instead of `memory`' },
    ),
  ),
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
            'file: memfd (shared), memfd_priv; huge pages of 2 MiB: hugetlb, hugetlb_shared; of 1 GiB: ' +
            'hugetlb_1g, hugetlb_1g_shared',
        }),
      },
      'what the memslots point at',
    ),
  ),
  vmaNames: Type.Optional(Type.Boolean({ description: 'the host kernel has CONFIG_ANON_VMA_NAME' })),
  maxMapCount: Type.Optional(small(1, 2 ** 31 - 1, 'vm.max_map_count')),
  memoryLimit: Type.Optional(
    integer('memory.max of the VM: how much host memory it may have; left out: no limit'),
  ),
  swapLimit: Type.Optional(
    integer('memory.swap.max of the VM: how much swap it may have; left out: no limit'),
  ),
  vmType: Type.Optional(
    small(0, 1, 'KVM_CREATE_VM: 0 an ordinary VM, 1 KVM_X86_SW_PROTECTED_VM, which has private memory'),
  ),
  gmemProfile: Type.Optional(
    Type.Enum(['A', 'B', 'C', 'D'], {
      description:
        'generation of guest_memfd: A first posting, B Linux 6.8, C Linux 6.18 (the host may map it), D conversion on the file',
    }),
  ),
  physBits: Type.Optional(small(32, 52, 'width of guest-physical addresses, 46 if left out')),
  pml: Type.Optional(
    Type.Boolean({
      description: 'dirty logs by page-modification logging, as if left out; else by write protection',
    }),
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
};

export const VmOfMachine = object(vmOptions, 'one VM; what it leaves out is as in machine');

export const Machine = object(
  {
    ...vmOptions,
    pool: Type.Optional(integer('host memory for all frames')),
    swap: Type.Optional(integer('size of the host swap area, 0 for none')),
    hugepages1g: Type.Optional(small(0, 2, 'huge pages of 1 GiB that the host sets aside for hugetlb_1g')),
    numaNodes: Type.Optional(small(1, 8, 'memory nodes of the host, which share its frames evenly')),
    vms: Type.Optional(
      Type.Record(Type.String(), Type.Ref('VmOfMachine'), {
        minProperties: 1,
        maxProperties: MAX_VMS,
        description: 'several VMs on the one host, by name: the first is that of steps without `vm`',
      }),
    ),
  },
  'the host and the VM, or what its VMs have in common',
);

export type VmSpec = Partial<
  Record<'memory' | 'memoryLimit' | 'swapLimit' | 'memlock', IntegerSpec> & {
    ram: { gpa: IntegerSpec; size: IntegerSpec }[];
    cpus: number;
    threads: boolean;
    backing: { kind: BackingKind };
    vmaNames: boolean;
    maxMapCount: number;
    vmType: 0 | 1;
    gmemProfile: GmemProfileName;
    physBits: number;
    pml: boolean;
    device: { pvmemcontrol?: { abi?: 'pvmemcontrol' | 'memctl' } };
  }
>;
export type MachineSpec = VmSpec &
  Partial<
    Record<'pool' | 'swap', IntegerSpec> & {
      hugepages1g: number;
      numaNodes: number;
      vms: Readonly<Record<string, VmSpec>>;
    }
  >;
