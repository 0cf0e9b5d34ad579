// Pre-copy live migration to another VM: rounds over the dirty log while the guest runs, then what is left while it does
// not. Reference: linux Documentation/virt/kvm/api.rst (KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2), qemu docs/devel/migration.
import { Errno } from '../../assembly/abi/errno.ts';
import { Cap, ManualProtect, MemFlag } from '../../assembly/abi/kvm.ts';
import type { Gpa } from '../address.ts';
import type { HostAccess } from '../types.ts';
import type { Kvm, Memslot } from './kvm.ts';

/** What a migration needs of both VMs; `Vm` fits. */
export interface MigrationEnd {
  readonly kvm: Pick<Kvm, 'memslots' | 'enableCap' | 'setUserMemoryRegion' | 'getDirtyLog' | 'clearDirtyLog'>;
  readonly vmm: {
    hvaOf(gpa: bigint): bigint | undefined;
    readPage(hva: bigint): Uint8Array | Extract<HostAccess, { ok: false }>;
    writePage(hva: bigint, bytes: Uint8Array): HostAccess;
  };
}

export interface MigrationOptions {
  /** The guest is stopped when no more pages than this are dirty. Default 64. */
  readonly stop?: number;
  /** Rounds after which it is stopped however many are dirty. Default 30. */
  readonly maxRounds?: number;
  /** The guest runs for as long as copying `every` pages takes: called after each so many. Default: nobody runs. */
  readonly guest?: () => void;
  /** Default 1024. */
  readonly every?: number;
}

export interface MigrationRound {
  /** Pages that the dirty log had. */
  readonly pages: number;
  /** Those of them that had something in them; the others were told to be zero. */
  readonly copied: number;
  /** Pages that the guest has made dirty meanwhile. */
  readonly dirtied: number;
}

export interface Migrated {
  /** Why the migration was given up; OK when it was not. Of slots that have no dirty log, EOPNOTSUPP. */
  readonly errno: Errno;
  /** The last with the guest stopped: its pages are the downtime. */
  readonly rounds: readonly MigrationRound[];
  readonly downtime: number;
  /** Whether the guest was stopped because few pages were left, not because there had been too many rounds. */
  readonly converged: boolean;
  /** The first page that is not the same in both VMs, all compared byte by byte. */
  readonly differs: Gpa | undefined;
}

const PAGE = 4096n;
const ZEROS = new Uint8Array(Number(PAGE));
const DEFAULT_STOP = 64;
const DEFAULT_ROUNDS = 30;
const DEFAULT_EVERY = 1024;
const NOT_LOGGED: Omit<Migrated, 'errno'> = { rounds: [], downtime: 0, converged: false, differs: undefined };

/**
 * Copies all of `from`'s slots to the same addresses of `to`, which has RAM there. The slots' dirty logs are on meanwhile,
 * with manual protection and all pages set to begin with, and off again at the end; manual protection stays enabled.
 * The guest must not have private memory: its VMM cannot read that.
 */
export function migrate(from: MigrationEnd, to: MigrationEnd, options: MigrationOptions = {}): Migrated {
  const { stop = DEFAULT_STOP, maxRounds = DEFAULT_ROUNDS, guest, every = DEFAULT_EVERY } = options;
  const slots = from.kvm.memslots();
  const started = start(from, slots);
  if (started !== Errno.OK) return { errno: started, ...NOT_LOGGED };

  const rounds: MigrationRound[] = [];
  const copier = new Copier(from, to, every);
  let errno: Errno = Errno.OK;
  let left = harvest(from, slots);
  let converged = false;
  while (errno === Errno.OK) {
    converged = rounds.length > 0 && pagesOf(left) <= stop;
    const isLast = converged || rounds.length >= maxRounds;
    const copied = copier.copy(left, isLast ? undefined : guest);
    errno = copier.errno;
    const next = harvest(from, slots);
    rounds.push({ pages: pagesOf(left), copied, dirtied: pagesOf(next) });
    left = next;
    if (isLast) break;
  }
  for (const slot of slots) setFlags(from, slot, false);
  const differs = errno === Errno.OK ? firstDifference(from, to, slots) : undefined;
  return { errno, rounds, downtime: rounds.at(-1)?.pages ?? 0, converged, differs };
}

/** Dirty logs of all slots on, or of none. */
function start(from: MigrationEnd, slots: readonly Memslot[]): Errno {
  if (slots.some(({ guestMemfd }) => guestMemfd !== undefined)) return Errno.EOPNOTSUPP;
  const errno = from.kvm.enableCap(
    Cap.ManualDirtyLogProtect2,
    ManualProtect.Enable | ManualProtect.InitiallySet,
  );
  if (errno !== Errno.OK) return errno;
  for (const [i, slot] of slots.entries()) {
    const failed = setFlags(from, slot, true);
    if (failed === Errno.OK) continue;
    for (const before of slots.slice(0, i)) setFlags(from, before, false);
    return failed;
  }
  return Errno.OK;
}

function setFlags({ kvm }: MigrationEnd, { id, gpa, size, hva, readonly }: Memslot, logging: boolean): Errno {
  return kvm.setUserMemoryRegion({
    slot: id,
    flags: (readonly ? MemFlag.Readonly : 0) | (logging ? MemFlag.LogDirtyPages : 0),
    guestPhysAddr: gpa,
    memorySize: size,
    userspaceAddr: hva,
  });
}

/** Dirty pages of one slot. */
interface Dirty {
  readonly slot: Memslot;
  readonly pages: Uint32Array;
}

const pagesOf = (all: readonly Dirty[]): number => all.reduce((sum, { pages }) => sum + pages.length, 0);

/** What the logs have, which is taken out of them: the next write of each page is noticed. */
function harvest({ kvm }: MigrationEnd, slots: readonly Memslot[]): Dirty[] {
  return slots.map((slot) => {
    const { pages } = kvm.getDirtyLog(slot.id);
    const numPages = slot.size / Number(PAGE);
    // Before the pages are read: a write after that is in the next round.
    if (pages.length > 0) kvm.clearDirtyLog({ slot: slot.id, firstPage: 0, numPages, pages });
    return { slot, pages };
  });
}

class Copier {
  readonly #from: MigrationEnd;
  readonly #to: MigrationEnd;
  readonly #every: number;
  #sinceGuest = 0;
  /** ENOMEM where the other VM had no memory for a page, EFAULT where a page could not be reached. */
  errno: Errno = Errno.OK;

  constructor(from: MigrationEnd, to: MigrationEnd, every: number) {
    this.#from = from;
    this.#to = to;
    this.#every = every;
  }

  /** How many had something in them. */
  copy(all: readonly Dirty[], guest: (() => void) | undefined): number {
    let copied = 0;
    for (const { slot, pages } of all) {
      for (const page of pages) {
        if (this.#page(slot, BigInt(page) * PAGE)) copied++;
        if (this.errno !== Errno.OK) return copied;
        if (++this.#sinceGuest < this.#every) continue;
        this.#sinceGuest = 0;
        guest?.();
      }
    }
    return copied;
  }

  #page({ gpa, hva }: Memslot, offset: bigint): boolean {
    const bytes = this.#from.vmm.readPage(hva + offset);
    const there = this.#to.vmm.hvaOf(gpa + offset);
    if (!(bytes instanceof Uint8Array) || there === undefined) {
      this.errno = Errno.EFAULT;
      return false;
    }
    const isZero = isSame(bytes, ZEROS);
    const before = isZero ? this.#to.vmm.readPage(there) : undefined;
    // A page of zeros is not written where it is one already: it would take memory there.
    if (before instanceof Uint8Array && isSame(before, ZEROS)) return false;
    const done = this.#to.vmm.writePage(there, bytes);
    if (!done.ok) this.errno = done.code === 'BUS_ADRERR' ? Errno.ENOMEM : Errno.EFAULT;
    return !isZero;
  }
}

function firstDifference(from: MigrationEnd, to: MigrationEnd, slots: readonly Memslot[]): Gpa | undefined {
  for (const { gpa, hva, size } of slots) {
    for (let offset = 0n; offset < BigInt(size); offset += PAGE) {
      const here = from.vmm.readPage(hva + offset);
      const there = to.vmm.readPage(to.vmm.hvaOf(gpa + offset) ?? 0n);
      const same = here instanceof Uint8Array && there instanceof Uint8Array && isSame(here, there);
      if (!same) return (gpa + offset) as Gpa;
    }
  }
  return undefined;
}

/** Two pages, 4 bytes at a time. */
function isSame(a: Uint8Array, b: Uint8Array): boolean {
  const [left, right] = [wordsOf(a), wordsOf(b)];
  for (let i = 0; i < left.length; i++) if (left[i] !== right[i]) return false;
  return true;
}

const wordsOf = (page: Uint8Array): Uint32Array =>
  new Uint32Array(page.buffer, page.byteOffset, page.length / 4);
