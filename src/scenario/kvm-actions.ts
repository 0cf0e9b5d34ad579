// Steps of the VMM on KVM and on its own mappings. What it does wrong is an errno in the outcome.
// Reference: schema-kvm.ts (the steps), src/vmm/kvm.ts, src/vmm/process.ts.
import { Errno } from '../../assembly/abi/errno.ts';
import { GmemFlag } from '../../assembly/abi/file.ts';
import {
  Cap,
  GMEM_ALLOW_HUGEPAGE,
  GmemContent,
  KVM_MEMORY_ATTRIBUTE_PRIVATE,
  MemFlag,
} from '../../assembly/abi/kvm.ts';
import { hex } from '../address.ts';
import type { HostAccess } from '../types.ts';
import type { Memslot } from '../vmm/kvm.ts';
import type { Advice } from '../vmm/process.ts';
import { listOf } from './kvm-args.ts';
import { type KvmStep, kvmTitle } from './kvm-titles.ts';
import { errnoText, type Fields, type Outcome } from './outcome.ts';
import type { ScenarioVm } from './port.ts';
import type { Args } from './scenario.ts';
import type { PROTECTIONS } from './schema-kvm.ts';

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
const CONTENTS: Readonly<Record<string, GmemContent>> = {
  zero: GmemContent.Zero,
  preserve: GmemContent.Preserve,
};
const PROT: Readonly<Record<(typeof PROTECTIONS)[number], number>> = { none: 0, r: 1, w: 2, rw: 3 };
const KEEP_SIZE = 1;
const PUNCH_HOLE = 2;
const PAGE = 4096;

const bits = (names: readonly string[], known: Readonly<Record<string, number>>): number =>
  names.reduce((all, name) => all | (known[name] ?? 0), 0);

type Kind = Exclude<KvmStep, 'migrate'>;
type FdOf = (name: string) => number | undefined;
type Said = Omit<Outcome, 'title'>;

/** Does a step, all but `migrate`. `fdOf`: the descriptor that the step of this id has made. */
export function performKvm(kind: Kind, a: Args, vm: ScenarioVm, fdOf: FdOf): Outcome {
  return { title: kvmTitle(kind, a), ...said(kind, a, vm, fdOf) };
}

function said(kind: Kind, a: Args, vm: ScenarioVm, fdOf: FdOf): Said {
  const { kvm, vmm, guest } = vm;
  const { slot, flags, file, offset, cap, prot, shared, advice, to, contents } = a.kvm;
  // A descriptor that is not open, where there is none.
  const fd = file === undefined ? undefined : (fdOf(file) ?? -1);
  const old = kvm.memslots().find(({ id }) => id === slot);
  const hva = hvaOf(a, vm);
  switch (kind) {
    case 'memslot.create':
      return of(create(a, vm, fd));
    case 'memslot.delete':
      return of(set(vm, slot, old, { memorySize: 0 }));
    case 'memslot.move':
      return of(set(vm, slot, old, { guestPhysAddr: a.gpa }));
    case 'memslot.flags':
      return of(set(vm, slot, old, { flags: bits(flags, SLOT_FLAGS) }));
    case 'enable-cap':
      return of(kvm.enableCap(CAPS[cap] as Cap, a.arg));
    case 'dirty-log.get': {
      const { errno, pages } = kvm.getDirtyLog(slot);
      return of(errno, { pages: pages.length, list: listOf(pages) }, pagesText(pages));
    }
    case 'dirty-log.clear':
      return of(clear(a, vm, old));
    case 'guest-memfd.create': {
      const made = kvm.createGuestMemfd({ size: a.len, flags: bits(flags, FILE_FLAGS) });
      return of(made.errno, { fd: made.fd });
    }
    case 'guest-memfd.allocate':
      return of(vmm.fallocate(fd ?? -1, KEEP_SIZE, offset, a.len));
    case 'guest-memfd.punch':
      return of(vmm.fallocate(fd ?? -1, KEEP_SIZE | PUNCH_HOLE, offset, a.len));
    case 'guest-memfd.close':
      return of(vmm.close(fd ?? -1));
    case 'memory-attributes': {
      const attributes = to === 'private' ? KVM_MEMORY_ATTRIBUTE_PRIVATE : 0;
      return of(kvm.setMemoryAttributes({ address: a.gpa, size: a.len, attributes }));
    }
    case 'guest-memfd.convert': {
      const attributes = to === 'private' ? KVM_MEMORY_ATTRIBUTE_PRIVATE : 0;
      const flags = CONTENTS[contents] ?? GmemContent.Unspecified;
      const range = { fd: fd ?? -1, offset, size: a.len };
      const { errno, errorOffset } = kvm.setMemoryAttributes2({ ...range, attributes, flags });
      return of(errno, errno === Errno.EAGAIN ? { offset: errorOffset } : {});
    }
    case 'hypercall': {
      const call = { gpa: a.gpa, pages: a.len / BigInt(PAGE), toPrivate: to === 'private', cpu: a.cpu };
      const { ret, exit } = guest.mapGpaRange(call);
      const left = exit ? 'exit HYPERCALL' : 'KVM answers';
      return {
        text: `${left}, the guest gets ${ret}`,
        fields: { exit: exit?.reason ?? 'none', value: ret, ok: ret === 0n },
      };
    }
    case 'vmm.pin':
      return of(vmm.pin(hva, a.len));
    case 'vmm.unpin':
      return of(vmm.unpin(hva, a.len));
    case 'vmm.mmap': {
      const mapping = { addr: hva, length: a.len, prot: PROT[prot], shared, offset };
      return of(vmm.mmap(fd === undefined ? mapping : { ...mapping, fd }));
    }
    case 'vmm.munmap':
      return of(vmm.munmap(hva, a.len));
    case 'vmm.mprotect':
      return of(vmm.mprotect(hva, a.len, PROT[prot]));
    case 'vmm.madvise':
      return of(vmm.madvise(hva, a.len, advice as Advice));
    case 'vmm.read':
      return ofHost(vmm.load(hva));
    case 'vmm.write':
      return ofHost(vmm.store(hva, a.byte ?? 0));
  }
}

function of(errno: Errno, more: Fields = {}, text = ''): Said {
  const outcome = errno === Errno.OK && text !== '' ? text : errnoText(errno);
  return { text: outcome, fields: { errno, ok: errno === Errno.OK, ...more } };
}

function ofHost(access: HostAccess): Said {
  if (!access.ok)
    return { text: `${access.signal} ${access.code}`, fields: { signal: access.signal, ok: false } };
  return { text: hex(access.value), fields: { signal: 'none', value: BigInt(access.value), ok: true } };
}

/** Where a step of the VMM's is; an address that nothing is mapped at, where the guest has no slot there. */
function hvaOf(a: Args, { vmm }: ScenarioVm): bigint {
  if (a.kvm.hva !== undefined) return a.kvm.hva;
  return a.kvm.isGuestPlace ? (vmm.hvaOf(a.gpa) ?? 0n) : 0n;
}

function create(a: Args, { kvm, vmm }: ScenarioVm, fd: number | undefined): Errno {
  const { slot, flags, hva, alias, offset } = a.kvm;
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

/** Pages that one call clears where all are to be: a multiple of 64. */
const PIECE = 2 ** 20;

function clear(a: Args, { kvm }: ScenarioVm, old: Memslot | undefined): Errno {
  const { slot, first, count, list } = a.kvm;
  const rest = Math.max(0, (old?.size ?? 0) / PAGE - Number(first));
  const numPages = count === undefined ? rest : Number(count);
  if (list) {
    const pages = list.map((page) => page - Number(first)).filter((page) => page >= 0);
    return kvm.clearDirtyLog({ slot, firstPage: first, numPages, pages });
  }
  const all = Uint32Array.from({ length: Math.min(numPages, PIECE) }, (_, i) => i);
  let errno: Errno;
  let done = 0;
  do {
    const n = Math.min(PIECE, numPages - done);
    errno = kvm.clearDirtyLog({
      slot,
      firstPage: first + BigInt(done),
      numPages: n,
      pages: all.subarray(0, n),
    });
    done += n;
  } while (errno === Errno.OK && done < numPages);
  return errno;
}

const SHOWN = 60;

function pagesText(pages: Uint32Array): string {
  if (pages.length === 0) return 'no page';
  const list = listOf(pages);
  return `${pages.length} ${pages.length === 1 ? 'page' : 'pages'}: ${list.length > SHOWN ? `${list.slice(0, SHOWN)}…` : list}`;
}
