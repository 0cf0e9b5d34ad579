// Guest memory as KVM's calls change it: slots that come, go and move, dirty logs, private pages of a guest_memfd. In these
// machines vCPU threads make the VMM's calls themselves. Three slots cover RAM: 0 the driver's buffers, 1 the places of
// most operations up to the border of a chunk, 2 the rest.
import type { Vm } from '../../src/machine.ts';
import type { Cpu } from './calls.ts';
import type { Call } from './fiber.ts';
import { fillHugePool, THP } from './memories.ts';
import type { Memory, Operation, Place, State } from './operations.ts';
import { advise, MEETINGS, PAGE, range, rowsOf, STATES, written } from './operations.ts';

/** Where the VMM maps RAM (docs/memory-map.md). */
const HVA = 1n << 44n;
const LOG = 1;
const GMEM = 4;
const PRIVATE = 8;
const KEEP_SIZE = 1;
const PUNCH = 3;

interface Slot {
  readonly slot: number;
  readonly gpa: bigint;
  readonly len: bigint;
  readonly hva: bigint;
}

const slotOver = (slot: number, first: bigint, end: bigint): Slot => ({
  slot,
  gpa: first * PAGE,
  len: (end - first) * PAGE,
  hva: HVA + first * PAGE,
});

/** Of 16 MiB. */
const SLOTS = [slotOver(0, 0n, 600n), slotOver(1, 600n, 1024n), slotOver(2, 1024n, 4096n)] as const;
/** The slot of an operation: that of its first page. */
const slotAt = ({ gpa }: Place): Slot => SLOTS.findLast((slot) => slot.gpa <= gpa) as Slot;
/** Where a slot is moved to, in a chunk that has no other. */
const away = ({ gpa }: Slot): bigint => 0x4000_0000n + gpa;

const set = (vm: Vm, slot: Slot, flags: number, more: { guestMemfd?: number } = {}): void => {
  const { gpa: guestPhysAddr, len: memorySize, hva: userspaceAddr } = slot;
  const region = { slot: slot.slot, flags, guestPhysAddr, memorySize, userspaceAddr, ...more };
  const errno = vm.kvm.setUserMemoryRegion2(region);
  if (errno !== 0) throw new Error(`slot ${slot.slot}: errno ${errno}`);
};

/** Three slots in the place of the one that a VM is made with. */
const divide = (vm: Vm): void => {
  set(vm, { ...SLOTS[0], len: 0n }, 0);
  for (const slot of SLOTS) set(vm, slot, 0);
};

const call = (name: string, program: (cpu: Cpu, place: Place) => readonly Call[]): Operation => ({
  name,
  on: 'pages',
  program,
});

const ADD = call('locked add', (cpu, { word }) => [cpu.add(word, cpu.tag)]);

const remove = (cpu: Cpu, { slot }: Slot): Call => cpu.region({ slot, len: 0n });
const DELETE = call('slot deleted', (cpu, place) => [remove(cpu, slotAt(place)), cpu.load(place.word)]);
const AGAIN = call('slot deleted and made', (cpu, place) => [
  remove(cpu, slotAt(place)),
  cpu.region(slotAt(place)),
]);
const MOVE = call('slot moved', (cpu, place) => [
  cpu.region({ ...slotAt(place), gpa: away(slotAt(place)) }),
  cpu.load(place.word - slotAt(place).gpa + away(slotAt(place))),
]);
const LOG_ON = call('log begins', (cpu, place) => [
  cpu.region({ ...slotAt(place), flags: LOG }),
  cpu.readLog(slotAt(place).slot),
]);
const LOG_OFF = call('log ends', (cpu, place) => [cpu.region(slotAt(place))]);
const LOG_READ = call('log read', (cpu, place) => [cpu.readLog(slotAt(place).slot), cpu.load(place.word)]);
const LOG_CLEAR = call('log cleared', (cpu, place) => [cpu.clearLog(slotAt(place).slot, 0n, 64n)]);

/** Slots, and what is in their logs; of the given pages which are private. */
function kvmText(vm: Vm, gfns: readonly bigint[]): string {
  const slots = vm.kvm.memslots().map(({ id, gpa, dirtyLog }) => {
    const log = dirtyLog ? [...vm.kvm.getDirtyLog(id).pages] : '-';
    return `${id}@${gpa / PAGE} log ${log}`;
  });
  const kinds = gfns.map((gfn) => (vm.kvm.isPrivate(gfn * PAGE) ? 'P' : 's')).join('');
  return `slots ${slots.join(' | ')} kinds ${kinds}`;
}

const ACCESSES = ['load', 'store', 'fault read', 'fault write'] as const;

export const SLOT_CHANGES: Memory = {
  name: 'slots',
  oneIn: 12,
  size: { kvm: true, prepare: divide },
  operations: [
    ...rowsOf(...ACCESSES, 'DONTNEED', 'PAGEOUT', 'MPROTECT R', 'reclaim'),
    ADD,
    DELETE,
    AGAIN,
    MOVE,
    LOG_ON,
  ],
  states: STATES,
  meetings: MEETINGS,
  more: kvmText,
};

const logged = (name: string, bring: State['bring'], after: State['bring'] = () => {}): State => ({
  name,
  bring: (vm, gfns) => {
    bring(vm, gfns);
    for (const slot of SLOTS) set(vm, slot, LOG);
    after(vm, gfns);
  },
});

const LOGGED: Omit<Memory, 'name' | 'size'> = {
  oneIn: 10,
  operations: [
    ...rowsOf(...ACCESSES, 'DONTNEED', 'PAGEOUT'),
    ADD,
    LOG_READ,
    LOG_CLEAR,
    LOG_OFF,
    DELETE,
    MOVE,
  ],
  states: [
    logged('untouched', () => {}),
    logged('backed before the log began', written),
    logged('in the log', () => {}, written),
    logged('swapped', (vm, gfns) => {
      written(vm, gfns);
      advise(vm, gfns, () => 'pageout');
    }),
  ],
  meetings: MEETINGS,
  more: kvmText,
};
export const LOGGED_PML: Memory = {
  ...LOGGED,
  name: 'dirty logs by PML',
  size: { kvm: true, prepare: divide, vmm: { pml: true } },
};
export const LOGGED_WP: Memory = {
  ...LOGGED,
  name: 'dirty logs by write protection',
  size: { kvm: true, prepare: divide, vmm: { pml: false } },
};

/** Of 32 MiB: what huge pages meet in is in one slot. */
const HUGE_SLOTS = [slotOver(0, 0n, 512n), slotOver(1, 512n, 8192n)] as const;
const hugeCall = (name: string, program: (cpu: Cpu, slot: Slot) => readonly Call[]): Operation =>
  call(name, (cpu) => program(cpu, HUGE_SLOTS[1]));

/** A log over huge pages: their leaves are split where writes are to be noticed. */
export const LOGGED_HUGE: Memory = {
  name: 'dirty logs of huge pages',
  oneIn: 60,
  size: {
    ...THP.size,
    kvm: true,
    prepare: (vm) => {
      THP.size.prepare?.(vm);
      set(vm, { ...SLOTS[0], len: 0n }, 0);
      for (const slot of HUGE_SLOTS) set(vm, slot, 0);
    },
  },
  operations: [
    ...rowsOf(...ACCESSES, 'DONTNEED', 'PAGEOUT'),
    { ...(rowsOf('reclaim')[0] as Operation), before: fillHugePool },
    ADD,
    hugeCall('log begins', (cpu, slot) => [cpu.region({ ...slot, flags: LOG })]),
    hugeCall('log begins and ends', (cpu, slot) => [cpu.region({ ...slot, flags: LOG }), cpu.region(slot)]),
    hugeCall('log begins and is read', (cpu, slot) => [
      cpu.region({ ...slot, flags: LOG }),
      cpu.readLog(slot.slot),
    ]),
    hugeCall('slot deleted and made', (cpu, slot) => [remove(cpu, slot), cpu.region(slot)]),
  ],
  states: THP.states.slice(0, 3),
  meetings: THP.meetings,
  coarse: true,
  more: kvmText,
};

/** Of a VM's guest_memfd, the first file that its VMM has opened. */
const GMEM_FD = 3;
const fileOf = (vm: Vm): number => vm.vmm.files.get(GMEM_FD)?.ptr ?? 0;

/** Slot 1 has a guest_memfd of its size. */
const divideGmem = (vm: Vm, flags: number): void => {
  divide(vm);
  set(vm, { ...SLOTS[1], len: 0n }, 0);
  vm.kvm.createGuestMemfd({ size: SLOTS[1].len, flags });
  set(vm, SLOTS[1], GMEM, { guestMemfd: GMEM_FD });
};

/** Pages of the file that a place has in slot 1; none where it lies behind. */
const inFile = ({ gpa, len }: Place): { offset: bigint; len: bigint } => {
  const end = gpa + len < SLOTS[2].gpa ? gpa + len : SLOTS[2].gpa;
  return { offset: gpa - SLOTS[1].gpa, len: end - gpa };
};

const convert = (name: string, attributes: number): Operation =>
  call(name, (cpu, { gpa, len, word }) => [cpu.attributes(gpa, len, attributes), cpu.load(word)]);
const file = (name: string, mode: number): Operation =>
  call(name, (cpu, place) => {
    const { offset, len } = inFile(place);
    return [cpu.fallocate(fileOf(cpu.vm), mode, offset, len), cpu.load(place.word)];
  });
const GMEM_AGAIN = call('slot deleted and bound again', (cpu) => [
  remove(cpu, SLOTS[1]),
  cpu.region({ ...SLOTS[1], flags: GMEM, file: fileOf(cpu.vm) }),
]);

/** The file's pages: letters, and of those that are there the first word. */
function fileText(vm: Vm, gfns: readonly bigint[]): string {
  const { core } = vm.host;
  const pages = gfns.map((gfn) => {
    const at = gfn - SLOTS[1].gpa / PAGE;
    const letter = vm.observe.filePages(GMEM_FD, Number(at), 1);
    return letter === 'c'
      ? core.readNumber(core.x.fileBytes(fileOf(vm), at * PAGE, 0) >>> 0).toString(16)
      : letter;
  });
  return `${kvmText(vm, gfns)} file ${pages.join(' ')}`;
}

const makePrivate = (vm: Vm, gfns: readonly bigint[], which: (gfn: bigint) => boolean): void => {
  for (const gfn of gfns.filter(which))
    vm.kvm.setMemoryAttributes({ address: gfn * PAGE, size: PAGE, attributes: PRIVATE });
};

/** Places inside the slot of the file. */
const GMEM_MEETINGS = [
  ...MEETINGS.slice(0, 2),
  { name: 'overlapping', places: [range(640n, 2n), range(641n, 2n)], gfns: [639n, 640n, 641n, 642n, 643n] },
  {
    name: 'one and many',
    places: [range(640n, 1n), range(620n, 40n, 640n * PAGE)],
    gfns: [639n, 640n, 641n],
  },
] as const;

export const PRIVATE_PAGES: Memory = {
  name: 'private pages',
  oneIn: 10,
  size: { kvm: true, prepare: (vm) => divideGmem(vm, 0), vmm: { vmType: 1, gmemProfile: 'B' } },
  operations: [
    ...rowsOf(...ACCESSES, 'DONTNEED', 'PAGEOUT', 'reclaim'),
    ADD,
    convert('made private', PRIVATE),
    convert('made shared', 0),
    file('punched', PUNCH),
    file('allocated', KEEP_SIZE),
    DELETE,
    GMEM_AGAIN,
  ],
  states: [
    { name: 'shared', bring: written },
    {
      name: 'private',
      bring: (vm, gfns) => {
        makePrivate(vm, gfns, () => true);
        written(vm, gfns);
      },
    },
    { name: 'private, untouched', bring: (vm, gfns) => makePrivate(vm, gfns, () => true) },
    {
      name: 'of both kinds, with pages of both',
      bring: (vm, gfns) => {
        written(vm, gfns);
        makePrivate(vm, gfns, () => true);
        written(vm, gfns);
        vm.kvm.setMemoryAttributes({ address: 641n * PAGE, size: PAGE, attributes: 0 });
      },
    },
  ],
  meetings: GMEM_MEETINGS,
  more: fileText,
};

const MMAP = 1;
const INIT_SHARED = 2;

/** A guest_memfd that the VMM maps: all accesses are to it, its own and those of the guest. */
export const MAPPED_FILE: Memory = {
  name: 'mapped guest_memfd',
  oneIn: 8,
  size: {
    kvm: true,
    vmm: { vmType: 0, gmemProfile: 'C' },
    prepare: (vm) => {
      divideGmem(vm, MMAP | INIT_SHARED);
      const { hva, len } = SLOTS[1];
      const errno = vm.vmm.mmap({ addr: hva, length: len, prot: 3, shared: true, fd: GMEM_FD });
      if (errno !== 0) throw new Error(`mmap: errno ${errno}`);
    },
  },
  operations: [
    ...rowsOf(...ACCESSES, 'DONTNEED', 'MPROTECT R', 'reclaim'),
    ADD,
    file('punched', PUNCH),
    file('allocated', KEEP_SIZE),
    DELETE,
    GMEM_AGAIN,
  ],
  states: [
    { name: 'untouched', bring: () => {} },
    { name: 'written by the guest', bring: written },
    {
      name: 'written by both',
      bring: (vm, gfns) => {
        written(vm, gfns);
        for (const gfn of gfns) vm.vmm.store(HVA + gfn * PAGE, 0x77);
      },
    },
  ],
  meetings: GMEM_MEETINGS,
  more: fileText,
};

export const KVM_MEMORIES: readonly Memory[] = [
  SLOT_CHANGES,
  LOGGED_PML,
  LOGGED_WP,
  LOGGED_HUGE,
  PRIVATE_PAGES,
  MAPPED_FILE,
];
