// KVM's memory calls and the guest behind them, slow and plain: slots in a list, attributes and logs in sets, one byte of
// contents a page. The VMM has ANON_PAGES of anonymous memory at HVA and, where it can map the guest_memfd, that behind it.
import { Errno } from '../../assembly/abi/errno.ts';

export const ANON_PAGES = 64;
export const FILE_PAGES = 32;

const LOG = 1;
const READONLY = 2;
const GMEM = 4;
const SLOTS = 32764;
/** Pages that a guest-physical address of 46 bits reaches. */
const GFN_MAX = 2n ** 34n;
/** Attributes of gfns behind are nobody's here. */
const TRACKED = 1024n;
const USER_END = 2n ** 47n - 4096n;

export interface Region {
  readonly slot: number;
  readonly flags: number;
  readonly gpa: bigint;
  readonly size: bigint;
  /** From the first page of the VMM's memory on. */
  readonly at: bigint;
  readonly hva: bigint;
  /** Whether the descriptor is that of the guest_memfd. */
  readonly isFile: boolean;
  readonly offset: bigint;
}

interface Slot {
  readonly id: number;
  gfn: bigint;
  readonly pages: bigint;
  flags: number;
  readonly region: Region;
  /** Pages that the log has, and those that it may have. */
  must: Set<number>;
  may: Set<number>;
}

/** Where a page of the guest is. */
type Place = { readonly kind: 'anon' | 'file'; readonly page: number } | 'nothing';

/** What becomes of an access: a byte, and what leaves the guest (`r`, `w`); or why it failed. */
export type Seen = { readonly value: number; readonly exits: string } | string;

export interface KvmModelOptions {
  /** The VM's type: 1 has attributes. */
  readonly vmType: 0 | 1;
  /** The VMM maps the file, and all accesses to its slots are to it. */
  readonly mapped: boolean;
  /** KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 */
  readonly manual: 0 | 1 | 3;
}

export class KvmModel {
  readonly #o: KvmModelOptions;
  #slots: Slot[] = [];
  readonly attributes = new Set<bigint>();
  readonly #anon = new Map<number, number>();
  /** Pages of the file that were used. */
  readonly file = new Map<number, number>();

  constructor(options: KvmModelOptions) {
    this.#o = options;
  }

  get slots(): {
    readonly id: number;
    readonly gfn: bigint;
    readonly pages: bigint;
    readonly flags: number;
  }[] {
    const list = this.#slots.map(({ id, gfn, pages, flags }) => ({ id, gfn, pages, flags }));
    return list.sort((a, b) => Number(a.gfn - b.gfn));
  }

  setRegion(region: Region): Errno {
    const { slot: id, flags, gpa, size, hva, offset } = region;
    if (
      (flags & ~(LOG | READONLY | GMEM)) !== 0 ||
      ((flags & GMEM) !== 0 && (flags & (LOG | READONLY)) !== 0)
    )
      return Errno.EINVAL;
    if ((gpa | size | hva) & 4095n || hva > USER_END || size > USER_END - hva) return Errno.EINVAL;
    if ((flags & GMEM) !== 0 && (offset & 4095n || offset + size >= 2n ** 64n)) return Errno.EINVAL;
    if (id >= SLOTS || gpa + size >= 2n ** 64n || size >> 12n > 0x7fff_ffffn) return Errno.EINVAL;
    const old = this.#slots.find((slot) => slot.id === id);
    const [gfn, pages] = [gpa >> 12n, size >> 12n];
    if (pages === 0n) {
      if (!old) return Errno.EINVAL;
      this.#slots = this.#slots.filter((slot) => slot !== old);
      return Errno.OK;
    }
    if (old) {
      if (((flags | old.flags) & GMEM) !== 0 || old.region.hva !== hva || old.pages !== pages)
        return Errno.EINVAL;
      if (((flags ^ old.flags) & READONLY) !== 0) return Errno.EINVAL;
      if (gfn !== old.gfn && this.#overlaps(gfn, pages, old)) return Errno.EEXIST;
      if (gfn + pages > GFN_MAX) return Errno.EINVAL;
      this.#setLog(old, flags);
      old.gfn = gfn;
      return Errno.OK;
    }
    if (this.#overlaps(gfn, pages)) return Errno.EEXIST;
    const errno = (flags & GMEM) !== 0 ? this.#bind(region) : Errno.OK;
    if (errno !== Errno.OK) return errno;
    if (gfn + pages > GFN_MAX) return Errno.EINVAL;
    const slot: Slot = { id, gfn, pages, flags: 0, region, must: new Set(), may: new Set() };
    this.#setLog(slot, flags);
    this.#slots.push(slot);
    return Errno.OK;
  }

  #overlaps(gfn: bigint, pages: bigint, but?: Slot): boolean {
    return this.#slots.some((slot) => slot !== but && gfn < slot.gfn + slot.pages && slot.gfn < gfn + pages);
  }

  #bind({ isFile, offset, size }: Region): Errno {
    if (!isFile) return Errno.EBADF;
    const end = offset + size;
    if (end > BigInt(FILE_PAGES) * 4096n) return Errno.EINVAL;
    const bound = this.#slots.some(
      ({ flags, region }) =>
        (flags & GMEM) !== 0 && offset < region.offset + region.size && region.offset < end,
    );
    return bound ? Errno.EINVAL : Errno.OK;
  }

  #setLog(slot: Slot, flags: number): void {
    if (((slot.flags ^ flags) & LOG) !== 0) {
      const all = this.#o.manual === 3 ? Array.from({ length: Number(slot.pages) }, (_, i) => i) : [];
      slot.must = new Set(all);
      slot.may = new Set(all);
    }
    slot.flags = flags;
  }

  setAttributes(address: bigint, size: bigint, attributes: number, flags: number): Errno {
    if (this.#o.vmType === 0) return Errno.ENOTTY;
    if (flags !== 0 || (attributes & ~8) !== 0 || size === 0n || address + size >= 2n ** 64n)
      return Errno.EINVAL;
    if ((address | size) & 4095n) return Errno.EINVAL;
    const end = (address + size) >> 12n;
    for (let gfn = address >> 12n; gfn < end && gfn < TRACKED; gfn++) {
      if (attributes === 0) this.attributes.delete(gfn);
      else this.attributes.add(gfn);
    }
    return Errno.OK;
  }

  /** Undefined: no log; why is the errno. Else the answer of the engine is looked at. */
  checkLog(id: number, log: readonly number[]): string | undefined {
    const slot = this.#logging(id) as Slot;
    const has = new Set(log);
    const missed = [...slot.must].filter((page) => !has.has(page));
    const strange = log.filter((page) => !slot.may.has(page));
    if (missed.length > 0 || strange.length > 0) return `missed ${missed}, strange ${strange}`;
    slot.must = new Set(this.#o.manual === 0 ? [] : log);
    slot.may = new Set(slot.must);
    return undefined;
  }

  logErrno(id: number): Errno {
    if (id >= SLOTS) return Errno.EINVAL;
    return this.#logging(id) ? Errno.OK : Errno.ENOENT;
  }

  clearLog(id: number, first: number, count: number, pages: readonly number[]): Errno {
    if (id >= SLOTS || first % 64 !== 0) return Errno.EINVAL;
    const slot = this.#logging(id);
    if (!slot) return Errno.ENOENT;
    const all = Number(slot.pages);
    if (first > all || count > all - first || (count < all - first && count % 64 !== 0)) return Errno.EINVAL;
    for (const page of pages) {
      if (page >= count) continue;
      slot.must.delete(first + page);
      slot.may.delete(first + page);
    }
    return Errno.OK;
  }

  #logging(id: number): Slot | undefined {
    return this.#slots.find((slot) => slot.id === id && (slot.flags & LOG) !== 0);
  }

  fallocate(mode: number, offset: bigint, length: bigint): Errno {
    if (offset < 0n || length <= 0n) return Errno.EINVAL;
    if (mode !== 1 && mode !== 3) return Errno.EOPNOTSUPP;
    if ((offset | length) & 4095n) return Errno.EINVAL;
    if (mode === 1) return offset + length > BigInt(FILE_PAGES) * 4096n ? Errno.EINVAL : Errno.OK;
    for (const page of [...this.file.keys()]) {
      const at = BigInt(page) * 4096n;
      if (at >= offset && at < offset + length) this.file.delete(page);
    }
    return Errno.OK;
  }

  dontneed(page: number, pages: number): void {
    for (let i = page; i < page + pages; i++) this.#anon.delete(i);
  }

  hostRead(page: number): number | undefined {
    const place = this.#hostPlace(BigInt(page));
    return place === 'nothing' ? undefined : this.#get(place);
  }

  hostWrite(page: number, byte: number): boolean {
    const place = this.#hostPlace(BigInt(page));
    if (place === 'nothing') return false;
    this.#put(place, byte);
    return true;
  }

  load(gfn: bigint): Seen {
    const slot = this.#slotOf(gfn);
    const place = this.#guestPlace(slot, gfn);
    if (typeof place === 'string' && place !== 'nothing') return place;
    if (!slot) return { value: 0xff, exits: 'r' };
    if (place === 'nothing') return 'EFAULT';
    slot.may.add(Number(gfn - slot.gfn));
    return { value: this.#get(place), exits: '' };
  }

  /** With `add` what was there is in the answer. */
  store(gfn: bigint, byte: number, add: boolean): Seen {
    const slot = this.#slotOf(gfn);
    if (slot && (slot.flags & READONLY) !== 0) {
      // KVM emulates it: what it adds to is read through the VMM's mapping, or asked of the VMM.
      const behind = this.#hostPlace((BigInt.asIntN(64, slot.region.at) >> 12n) + gfn - slot.gfn);
      if (!add) return { value: 0, exits: 'w' };
      return behind === 'nothing' ? { value: 0xff, exits: 'rw' } : { value: this.#get(behind), exits: 'w' };
    }
    const place = this.#guestPlace(slot, gfn);
    if (typeof place === 'string' && place !== 'nothing') return place;
    if (!slot) return add ? { value: 0xff, exits: 'rw' } : { value: 0, exits: 'w' };
    if (place === 'nothing') return 'EFAULT';
    const page = Number(gfn - slot.gfn);
    slot.may.add(page);
    slot.must.add(page);
    const old = this.#get(place);
    this.#put(place, add ? old + byte : byte);
    return { value: add ? old : 0, exits: '' };
  }

  #slotOf(gfn: bigint): Slot | undefined {
    return this.#slots.find((slot) => gfn >= slot.gfn && gfn < slot.gfn + slot.pages);
  }

  #guestPlace(slot: Slot | undefined, gfn: bigint): Place | 'MEMORY_FAULT' {
    const isPrivate = this.attributes.has(gfn);
    const isBound = slot !== undefined && (slot.flags & GMEM) !== 0;
    if (isPrivate && !isBound) return 'MEMORY_FAULT';
    if (!slot) return 'nothing';
    const page = gfn - slot.gfn;
    if (isBound && (isPrivate || this.#o.mapped))
      return { kind: 'file', page: Number((slot.region.offset >> 12n) + page) };
    return this.#hostPlace((BigInt.asIntN(64, slot.region.at) >> 12n) + page);
  }

  #hostPlace(page: bigint): Place {
    if (page < 0n) return 'nothing';
    if (page < ANON_PAGES) return { kind: 'anon', page: Number(page) };
    const inFile = Number(page) - ANON_PAGES;
    return this.#o.mapped && inFile < FILE_PAGES ? { kind: 'file', page: inFile } : 'nothing';
  }

  #get({ kind, page }: Exclude<Place, string>): number {
    if (kind === 'anon') return this.#anon.get(page) ?? 0;
    // To read a hole is to have a page there.
    const byte = this.file.get(page) ?? 0;
    this.file.set(page, byte);
    return byte;
  }

  #put({ kind, page }: Exclude<Place, string>, byte: number): void {
    (kind === 'anon' ? this.#anon : this.file).set(page, byte & 255);
  }
}
