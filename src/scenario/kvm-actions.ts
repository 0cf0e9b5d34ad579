// Steps of the VMM on KVM and on its own mappings. What it does wrong is an errno in the outcome.
// Reference: schema-kvm.ts (the steps), src/vmm/kvm.ts, src/vmm/process.ts.
import { Errno } from '../../assembly/abi/errno.ts';
import { GmemFlag } from '../../assembly/abi/file.ts';
import { Cap, GMEM_ALLOW_HUGEPAGE, KVM_MEMORY_ATTRIBUTE_PRIVATE, MemFlag } from '../../assembly/abi/kvm.ts';
import { hex } from '../address.ts';
import type { HostAccess } from '../types.ts';
import type { Memslot } from '../vmm/kvm.ts';
import type { Advice } from '../vmm/process.ts';
import { listOf } from './kvm-args.ts';
import { errnoText, type Fields, type Outcome, place, sizeText } from './outcome.ts';
import type { ScenarioVm } from './port.ts';
import type { ActionKind, Args } from './scenario.ts';
import { kvmSteps, type PROTECTIONS } from './schema-kvm.ts';

type KvmStep = Exclude<keyof typeof kvmSteps, 'migrate'>;
type FdOf = (name: string) => number | undefined;

export const isKvmStep = (kind: ActionKind): kind is KvmStep => kind in kvmSteps && kind !== 'migrate';

const CAPS: Readonly<Record<string, Cap>> = {
  'manual-dirty-log-protect2': Cap.ManualDirtyLogProtect2,
  'exit-hypercall': Cap.ExitHypercall,
};
const SLOT_FLAGS: Readonly<Record<string, number>> = {
  'log-dirty-pages': MemFlag.LogDirtyPages,
  readonly: MemFlag.Readonly,
};
const FILE_FLAGS: Readonly<Record<string, number>> = {
  mmap: GmemFlag.Mmap,
  'init-shared': GmemFlag.InitShared,
  'allow-hugepage': GMEM_ALLOW_HUGEPAGE,
};
const PROT: Readonly<Record<(typeof PROTECTIONS)[number], number>> = { none: 0, r: 1, w: 2, rw: 3 };
const KEEP_SIZE = 1;
const PUNCH_HOLE = 2;
const PAGE = 4096;

const bits = (names: readonly string[], known: Readonly<Record<string, number>>): number =>
  names.reduce((all, name) => all | (known[name] ?? 0), 0);

export function performKvm(kind: KvmStep, a: Args, vm: ScenarioVm, fdOf: FdOf): Outcome {
  const { kvm, vmm } = vm;
  const { slot, flags, offset, cap, prot, shared, advice, to } = a.kvm;
  // A descriptor that is not open, where there is none.
  const fd = a.kvm.file === undefined ? undefined : (fdOf(a.kvm.file) ?? -1);
  const old = kvm.memslots().find(({ id }) => id === slot);
  const named = flags.length > 0 ? ` ${flags.join(' ')}` : '';
  const file = `${a.kvm.file} ${sizeText(offset)} +${sizeText(a.len)}`;
  const hva = hvaOf(a, vm);
  const range = `${whereText(a)}${a.len > 0n ? ` +${sizeText(a.len)}` : ''}`;
  switch (kind) {
    case 'memslot.create':
      return of(`memslot.create ${slot}: ${place(a)}${named}`, create(a, vm, fd));
    case 'memslot.delete':
      return of(`memslot.delete ${slot}`, set(vm, slot, old, { memorySize: 0 }));
    case 'memslot.move':
      return of(`memslot.move ${slot} to ${sizeText(a.gpa)}`, set(vm, slot, old, { guestPhysAddr: a.gpa }));
    case 'memslot.flags':
      return of(
        `memslot.flags ${slot}:${named || ' none'}`,
        set(vm, slot, old, { flags: bits(flags, SLOT_FLAGS) }),
      );
    case 'enable-cap':
      return of(`enable-cap ${cap}: ${a.arg}`, kvm.enableCap(CAPS[cap] as Cap, a.arg));
    case 'dirty-log.get': {
      const { errno, pages } = kvm.getDirtyLog(slot);
      const fields = { pages: pages.length, list: listOf(pages) };
      return of(`dirty-log.get ${slot}`, errno, fields, pagesText(pages));
    }
    case 'dirty-log.clear':
      return clear(a, vm, old);
    case 'guest-memfd.create': {
      const made = kvm.createGuestMemfd({ size: a.len, flags: bits(flags, FILE_FLAGS) });
      return of(`guest-memfd.create ${a.id} +${sizeText(a.len)}${named}`, made.errno, { fd: made.fd });
    }
    case 'guest-memfd.allocate':
      return of(`guest-memfd.allocate ${file}`, vmm.fallocate(fd ?? -1, KEEP_SIZE, offset, a.len));
    case 'guest-memfd.punch':
      return of(`guest-memfd.punch ${file}`, vmm.fallocate(fd ?? -1, KEEP_SIZE | PUNCH_HOLE, offset, a.len));
    case 'guest-memfd.close':
      return of(`guest-memfd.close ${a.kvm.file}`, vmm.close(fd ?? -1));
    case 'memory-attributes': {
      const attributes = to === 'private' ? KVM_MEMORY_ATTRIBUTE_PRIVATE : 0;
      const errno = kvm.setMemoryAttributes({ address: a.gpa, size: a.len, attributes });
      return of(`memory-attributes ${place(a)}: ${to}`, errno);
    }
    case 'vmm.mmap': {
      const mapping = { addr: hva, length: a.len, prot: PROT[prot], shared, offset };
      return of(`vmm.mmap ${range} ${prot}`, vmm.mmap(fd === undefined ? mapping : { ...mapping, fd }));
    }
    case 'vmm.munmap':
      return of(`vmm.munmap ${range}`, vmm.munmap(hva, a.len));
    case 'vmm.mprotect':
      return of(`vmm.mprotect ${range} ${prot}`, vmm.mprotect(hva, a.len, PROT[prot]));
    case 'vmm.madvise':
      return of(`vmm.madvise ${range} ${advice}`, vmm.madvise(hva, a.len, advice as Advice));
    case 'vmm.read':
      return ofHost(`vmm.read ${whereText(a)}`, vmm.load(hva));
    case 'vmm.write':
      return ofHost(`vmm.write ${whereText(a)}: ${hex(a.byte ?? 0)}`, vmm.store(hva, a.byte ?? 0));
  }
}

function of(title: string, errno: Errno, more: Fields = {}, text = ''): Outcome {
  const said = errno === Errno.OK && text !== '' ? text : errnoText(errno);
  return { title, text: said, fields: { errno, ok: errno === Errno.OK, ...more } };
}

function ofHost(title: string, access: HostAccess): Outcome {
  if (!access.ok)
    return { title, text: `${access.signal} ${access.code}`, fields: { signal: access.signal, ok: false } };
  return {
    title,
    text: hex(access.value),
    fields: { signal: 'none', value: BigInt(access.value), ok: true },
  };
}

/** Where a step of the VMM's is; an address that nothing is mapped at, where the guest has no slot there. */
function hvaOf(a: Args, { vmm }: ScenarioVm): bigint {
  if (a.kvm.hva !== undefined) return a.kvm.hva;
  return a.kvm.isGuestPlace ? (vmm.hvaOf(a.gpa) ?? 0n) : 0n;
}

const whereText = (a: Args): string =>
  a.kvm.hva === undefined ? `gpa ${sizeText(a.gpa)}` : `hva ${hex(a.kvm.hva)}`;

function create(a: Args, { kvm, vmm }: ScenarioVm, fd: number | undefined): Errno {
  const { slot, flags, hva, alias, offset } = a.kvm;
  if (kvm.memslots().some(({ id }) => id === slot)) return Errno.EEXIST;
  const at = hva ?? (alias === undefined ? 0n : vmm.hvaOf(alias));
  if (at === undefined) return Errno.EFAULT;
  return kvm.setUserMemoryRegion2({
    slot,
    flags: bits(flags, SLOT_FLAGS) | (fd === undefined ? 0 : MemFlag.GuestMemfd),
    guestPhysAddr: a.gpa,
    memorySize: a.len,
    userspaceAddr: at,
    ...(fd !== undefined && { guestMemfd: fd, guestMemfdOffset: offset }),
  });
}

/** The slot as it is but for `changed`. KVM says EINVAL of one that is not there and has no size. */
function set(
  { kvm }: ScenarioVm,
  slot: number,
  old: Memslot | undefined,
  changed: Partial<Parameters<ScenarioVm['kvm']['setUserMemoryRegion']>[0]>,
): Errno {
  const flags = (old?.readonly ? MemFlag.Readonly : 0) | (old?.dirtyLog ? MemFlag.LogDirtyPages : 0);
  const region = {
    slot,
    flags: flags | (old?.guestMemfd === undefined ? 0 : MemFlag.GuestMemfd),
    guestPhysAddr: old?.gpa ?? 0n,
    memorySize: old?.size ?? 0,
    userspaceAddr: old?.hva ?? 0n,
  };
  return kvm.setUserMemoryRegion2({ ...region, ...changed });
}

function clear(a: Args, { kvm }: ScenarioVm, old: Memslot | undefined): Outcome {
  const { slot, first, count, list } = a.kvm;
  const numPages = Number(count ?? BigInt(Math.max(0, (old?.size ?? 0) / PAGE - Number(first))));
  const pages = list?.map((page) => page - Number(first)) ?? Array.from({ length: numPages }, (_, i) => i);
  const errno = kvm.clearDirtyLog({
    slot,
    firstPage: first,
    numPages,
    pages: pages.filter((page) => page >= 0),
  });
  const what =
    list === undefined ? (numPages === 1 ? '1 page' : `${numPages} pages`) : `pages ${listOf(list)}`;
  return of(`dirty-log.clear ${slot}: ${what}`, errno);
}

const SHOWN = 60;

function pagesText(pages: Uint32Array): string {
  if (pages.length === 0) return 'no page';
  const list = listOf(pages);
  return `${pages.length} ${pages.length === 1 ? 'page' : 'pages'}: ${list.length > SHOWN ? `${list.slice(0, SHOWN)}…` : list}`;
}
