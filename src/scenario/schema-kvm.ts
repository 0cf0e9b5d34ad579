// Steps of the VMM on KVM, on its own mappings, and of a migration; spread into the steps of schema.ts.
// Reference: linux Documentation/virt/kvm/api.rst; docs/scenarios.md "KVM".
import Type from 'typebox';
import { integer, MAX_CPUS, name, object, small } from './format.ts';

const slot = small(0, 32767, 'id of the memslot');
const gpa = integer('guest-physical address');
const hva = integer('address of the VMM process');
const len = integer('length in bytes');
const byte = small(0, 255, 'byte value');
const file = name('the `id` of the guest-memfd.create step that made the file');
const offset = Type.Optional(integer('bytes into the file, 0 if left out'));
const common = {
  vm: Type.Optional(name('the VM whose VMM does it; left out: the first, or in `each` the VM of the round')),
  id: Type.Optional(name('name of the result, for later expect steps: `NAME.errno` …')),
};
const slotFlags = Type.Optional(
  Type.Array(Type.Enum(['log-dirty-pages', 'readonly']), { description: 'KVM_MEM_…; none if left out' }),
);
/** A place of the VMM's: as it has it itself, or as the guest has it. */
const at = { hva: Type.Optional(hva), gpa: Type.Optional(gpa) };
const to = Type.Enum(['private', 'shared'], { description: 'what the pages are to be' });
/** Page numbers as text. */
const list = Type.Union(
  [
    Type.Integer({ minimum: 0 }),
    Type.String({ pattern: '^([0-9]{1,10}(-[0-9]{1,10})?(,[0-9]{1,10}(-[0-9]{1,10})?)*)?$' }),
  ],
  { description: 'page numbers from the slot’s first on: 0-2,512' },
);

export const PROTECTIONS = ['none', 'r', 'w', 'rw'] as const;
export const ADVICES = [
  ...['dontneed', 'free', 'remove', 'pageout', 'willneed', 'populate_read', 'populate_write', 'collapse'],
  ...['hugepage', 'nohugepage', 'mergeable', 'unmergeable'],
] as const;
const prot = Type.Enum([...PROTECTIONS], { description: 'PROT_READ, PROT_WRITE, both, or none' });

export const kvmSteps = {
  'memslot.create': object(
    {
      slot,
      gpa,
      len,
      hva: Type.Optional(hva),
      alias: Type.Optional(integer('the memory that the guest has at this gpa, instead of hva')),
      flags: slotFlags,
      file: Type.Optional(file),
      offset,
      ...common,
    },
    'KVM_SET_USER_MEMORY_REGION2: of a slot that is there, a change, which KVM may refuse',
  ),
  'memslot.delete': object({ slot, ...common }, 'the same with size 0'),
  'memslot.move': object({ slot, gpa, ...common }, 'the same with another guest-physical address'),
  'memslot.flags': object({ slot, flags: slotFlags, ...common }, 'the same with other flags'),
  'enable-cap': object(
    {
      cap: Type.Enum(['manual-dirty-log-protect2', 'exit-hypercall'], { description: 'KVM_CAP_…' }),
      arg: integer('args[0]'),
      ...common,
    },
    'KVM_ENABLE_CAP',
  ),
  'dirty-log.get': object({ slot, ...common }, 'KVM_GET_DIRTY_LOG: `NAME.pages` how many, `NAME.list` which'),
  'dirty-log.clear': object(
    {
      slot,
      first: Type.Optional(integer('first page, a multiple of 64; 0 if left out')),
      count: Type.Optional(integer('how many pages; left out: to the end of the slot')),
      list: Type.Optional(list),
      ...common,
    },
    'KVM_CLEAR_DIRTY_LOG of the pages in `list`, or of all',
  ),
  'guest-memfd.create': object(
    {
      len,
      flags: Type.Optional(
        Type.Array(Type.Enum(['mmap', 'init-shared', 'allow-hugepage']), {
          description: 'GUEST_MEMFD_FLAG_…',
        }),
      ),
      vm: common.vm,
      id: name('name of the file for later steps, and of the result: `NAME.errno`, `NAME.fd`'),
    },
    'KVM_CREATE_GUEST_MEMFD: a file of private pages, none of which is there yet',
  ),
  'guest-memfd.allocate': object({ file, offset, len, ...common }, 'fallocate with FALLOC_FL_KEEP_SIZE'),
  'guest-memfd.punch': object({ file, offset, len, ...common }, 'fallocate with FALLOC_FL_PUNCH_HOLE'),
  'guest-memfd.close': object({ file, ...common }, 'close of the descriptor'),
  'memory-attributes': object({ gpa, len, to, ...common }, 'KVM_SET_MEMORY_ATTRIBUTES'),
  'guest-memfd.convert': object(
    {
      file,
      offset,
      len,
      to,
      contents: Type.Optional(
        Type.Enum(['zero', 'preserve'], {
          description: 'zeros, or the same for both sides; left out: not said',
        }),
      ),
      ...common,
    },
    'KVM_SET_MEMORY_ATTRIBUTES2 on a file that keeps attributes itself (profile D): in place; `NAME.offset` of a pinned page',
  ),
  hypercall: object(
    { gpa, len, to, cpu: Type.Optional(small(0, MAX_CPUS - 1, 'the vCPU that calls')), ...common },
    'the guest calls KVM_HC_MAP_GPA_RANGE; the VMM converts, and drops what the pages were before',
  ),
  'vmm.pin': object(
    { ...at, len, ...common },
    'somebody takes a long-term reference to pages of a guest_memfd',
  ),
  'vmm.unpin': object({ ...at, len, ...common }, 'and gives it back'),
  'vmm.mmap': object(
    {
      hva,
      len,
      prot: Type.Optional(prot),
      shared: Type.Optional(Type.Boolean({ description: 'MAP_SHARED' })),
      file: Type.Optional(file),
      offset,
      ...common,
    },
    'mmap with MAP_FIXED of anonymous memory, or of a file',
  ),
  'vmm.munmap': object({ ...at, len, ...common }, 'munmap'),
  'vmm.mprotect': object({ ...at, len, prot, ...common }, 'mprotect'),
  'vmm.madvise': object(
    { ...at, len, advice: Type.Enum([...ADVICES], { description: 'MADV_…' }), ...common },
    'madvise',
  ),
  'vmm.read': object(
    { ...at, ...common, as: Type.Optional(name('name of the value alone, for later expect steps')) },
    'one byte, read by the VMM: `NAME.value`, or `NAME.signal`',
  ),
  'vmm.write': object({ ...at, byte, ...common }, 'one byte, written by the VMM'),
  migrate: object(
    {
      to: name('the VM that it moves to, with RAM of the same size'),
      stop: Type.Optional(
        small(0, 2 ** 31 - 1, 'stop the guest when no more pages are dirty, 64 if left out'),
      ),
      rounds: Type.Optional(small(1, 1000, 'stop it after so many rounds, 30 if left out')),
      gpa: Type.Optional(integer('the working set, to which the guest writes meanwhile')),
      len: Type.Optional(integer('its length')),
      writes: Type.Optional(small(0, 2 ** 20, 'pages that it writes to, in turn')),
      every: Type.Optional(small(1, 2 ** 20, 'for so many pages that are copied, 1024 if left out')),
      vm: common.vm,
      id: common.id,
    },
    'pre-copy live migration: rounds over the dirty log while the guest runs, the rest while it does not',
  ),
};
