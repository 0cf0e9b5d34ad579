// One step of a `kvm` replay: does the operation and compares what came out of it itself.
// Reference: test/golden/kvm/README.md.
import { Errno } from '../../assembly/abi/errno.ts';
import { hex } from '../address.ts';
import type { HostAccess } from '../types.ts';
import { DirtyReads } from './kvm-dirty.ts';
import type { CallEnd, FileStat, KvmDoor, RegionPart, RegionSetup } from './kvm-door.ts';
import { GuestReplay, hexOf } from './kvm-guest.ts';
import type { KvmAction } from './kvm-ops.ts';
import type { KvmResult } from './kvm-trace.ts';
import { errnoName } from './mm.ts';
import type { Comparison } from './report.ts';

/** A call answers with an errno or with its value. */
function compareCall(wanted: KvmResult, { errno, value = 0 }: CallEnd, c: Comparison): void {
  c.equal('err', wanted.err, errnoName(errno));
  c.equal('ret', wanted.ret, errno === Errno.OK ? value : undefined);
}

function compareLoad(wanted: KvmResult, access: HostAccess, c: Comparison): void {
  c.equal('sig', wanted.sig, access.ok ? undefined : access.signal);
  c.equal('val', hexOf(wanted.val), access.ok ? hex(access.value) : undefined);
}

function compareStore(wanted: KvmResult, access: HostAccess, c: Comparison): void {
  c.equal('sig', wanted.sig, access.ok ? undefined : access.signal);
  c.equal('ret', wanted.ret, access.ok ? 0 : undefined);
}

function compareStat(wanted: KvmResult, stat: FileStat, c: Comparison): void {
  compareCall(wanted, stat, c);
  if (!wanted.stat) return;
  c.equal('size', wanted.stat.size, stat.size);
  c.equal('blocks', wanted.stat.blocks, stat.blocks);
  c.equal('mode', wanted.stat.mode.toString(8), stat.mode.toString(8));
}

/** Carries out the steps of one trace, in their order. */
export class KvmSteps {
  readonly #door: KvmDoor;
  readonly #reads = new DirtyReads();
  readonly #guest: GuestReplay;

  constructor(door: KvmDoor) {
    this.#door = door;
    this.#guest = new GuestReplay(door, this.#reads);
  }

  run(action: KvmAction, wanted: KvmResult, c: Comparison): void {
    const door = this.#door;
    const call = (end: CallEnd): void => compareCall(wanted, end, c);
    switch (action.kind) {
      case 'region':
        this.#openRegion(action.setup, wanted, c);
        break;
      case 'slot':
        call({ errno: door.setSlot(action.slot) });
        if (wanted.err === undefined) this.#reads.setSlot(action.slot);
        break;
      case 'slotdel':
        call({ errno: door.deleteSlot(action.id) });
        if (wanted.err === undefined) this.#reads.deleteSlot(action.id);
        break;
      case 'access':
        this.#guest.access(action.access, wanted, c);
        break;
      case 'loop':
        this.#guest.loop(action, wanted, c);
        break;
      case 'resume':
        this.#guest.resume(wanted, c);
        break;
      case 'hostLoad':
        compareLoad(wanted, door.hostLoad(action.region, action.offset), c);
        break;
      case 'hostStore':
        compareStore(wanted, this.#storeBytes(action.region, action.offset, action.bytes), c);
        break;
      case 'hostFill':
        compareStore(wanted, this.#fillPages(action.part, action.byte), c);
        break;
      case 'range':
        call({ errno: door.rangeCall(action.part, action.call) });
        break;
      case 'mremap':
        call({ errno: door.mremap(action.part, action.to, action.toPage) });
        break;
      case 'file':
        call(door.fileCall(action.region, action.call));
        break;
      case 'fstat':
        compareStat(wanted, door.fstat(action.region), c);
        break;
      case 'gmemcreate':
        call({ errno: door.createGuestMemfd(action.size, action.flags) });
        break;
      case 'cap':
        call({ errno: Errno.OK, value: door.checkExtension(action.cap) });
        break;
      case 'manualprotect':
        call({ errno: door.manualProtect(action.value) });
        if (wanted.err === undefined) this.#reads.setManual(action.value);
        break;
      case 'dirty':
        this.#dirtyLog(action.slot, wanted, c);
        break;
      case 'clrdirty':
        call({ errno: door.clearDirtyLog(action.slot, action.first, action.count, action.bits) });
        if (wanted.err === undefined) this.#reads.cleared(action.slot, action.first, action.bits);
        break;
      case 'ksmscan':
        door.ksmScan(action.times);
        call({ errno: Errno.OK });
    }
  }

  #openRegion(setup: RegionSetup, wanted: KvmResult, c: Comparison): void {
    const { errno, mmap } = this.#door.openRegion(setup);
    compareCall(wanted, { errno }, c);
    c.equal('mmap', wanted.mmap, errnoName(mmap));
  }

  /** All of `bits` but those that reads may have set must be there, and no others but pages that were read. */
  #dirtyLog(slot: number, wanted: KvmResult, c: Comparison): void {
    const { errno, pages } = this.#door.dirtyLog(slot);
    compareCall(wanted, { errno }, c);
    if (!wanted.bits) return;
    const { bits, byRead } = wanted;
    const reads = this.#reads.readsOf(slot);
    const isCertain = (page: number): boolean =>
      !byRead.includes(page) && (bits.includes(page) || !reads.has(page));
    c.equal('bits', bits.filter(isCertain).join(' '), pages.filter(isCertain).join(' '));
    this.#reads.got(slot);
  }

  #storeBytes(region: string, offset: bigint, bytes: readonly number[]): HostAccess {
    let end: HostAccess = { ok: true, value: 0 };
    for (const [i, byte] of bytes.entries()) {
      end = this.#door.hostStore(region, offset + BigInt(i), byte);
      if (!end.ok) return end;
    }
    return end;
  }

  #fillPages({ region, page, pages }: RegionPart, byte: number): HostAccess {
    let end: HostAccess = { ok: true, value: 0 };
    for (let i = page; i < page + pages; i++) {
      end = this.#door.hostFill(region, i, byte);
      if (!end.ok) return end;
    }
    return end;
  }
}
