// The guest of a `kvm` replay: accesses, loops of them, and going on after a fault.
// Reference: test/golden/kvm/README.md.
import { hex } from '../address.ts';
import type { DirtyReads } from './kvm-dirty.ts';
import type { AccessEnd, GuestAccess, KvmDoor, KvmExit } from './kvm-door.ts';
import type { GuestLoop } from './kvm-ops.ts';
import type { KvmResult } from './kvm-trace.ts';
import type { Comparison } from './report.ts';

const PAGE = 4096n;

/** For messages; values of accesses are compared as they are shown. */
export const hexOf = (value: bigint | undefined): string | undefined =>
  value === undefined ? undefined : hex(value);

function formatExit(exit: KvmExit): string {
  switch (exit.x) {
    case 'DONE':
      return exit.x;
    case 'MMIO': {
      const data = exit.wr ? ` data=${exit.data}` : '';
      return `MMIO ${exit.wr ? 'write' : 'read'} gpa=${hex(exit.gpa)} len=${exit.len}${data}`;
    }
    case 'UNKNOWN':
      return `UNKNOWN ${exit.err}`;
    case 'MEMORY_FAULT':
      return `MEMORY_FAULT ${exit.err} flags=${exit.flags} gpa=${hex(exit.gpa)} size=${exit.size}`;
    case 'INTERNAL_ERROR':
      return `INTERNAL_ERROR suberror=${exit.sub}`;
    case 'OTHER':
      return exit.reason;
  }
}
const formatExits = (exits: readonly KvmExit[] = []): string => exits.map(formatExit).join('; ');

const isDone = ({ exits }: AccessEnd): boolean => exits.at(-1)?.x === 'DONE';

/** B0 VAL: load the constant VAL; 49 89 00: report it. */
const CODE = [0xb0, undefined, 0x49, 0x89, 0x00];
const CODE_LEN = CODE.length;

/** The constant that code reports. Other code than recordings place is a difference. */
function constantOf(code: Uint8Array, c: Comparison): bigint {
  if (CODE.some((byte, i) => byte !== undefined && byte !== code[i])) {
    const found = Array.from(code, (byte) => byte.toString(16).padStart(2, '0')).join(' ');
    c.differ('code b0 … 49 89 00', `code ${found}`);
  }
  return BigInt(code[1] as number);
}

/** What the vCPU stands before: an access, or a loop of which `done` pages are done. */
type Pending = GuestAccess | (GuestLoop & { readonly done: number });

export class GuestReplay {
  readonly #door: KvmDoor;
  readonly #reads: DirtyReads;
  #pending: Pending | undefined;

  /** `reads` is told what the guest reads. */
  constructor(door: KvmDoor, reads: DirtyReads) {
    this.#door = door;
    this.#reads = reads;
  }

  access(access: GuestAccess, wanted: KvmResult, c: Comparison): void {
    this.#run(access, wanted, c);
  }

  loop(loop: GuestLoop, wanted: KvmResult, c: Comparison): void {
    this.#run({ ...loop, done: 0 }, wanted, c);
  }

  /** Enters again: what ended in a fault is done again, a loop goes on with the page where it stopped. */
  resume(wanted: KvmResult, c: Comparison): void {
    if (!this.#pending) c.differ('a fault to go on after', 'none before this step');
    this.#run(this.#pending, wanted, c);
  }

  #run(pending: Pending, wanted: KvmResult, c: Comparison): void {
    const end = pending.kind === 'loop' ? this.#runLoop(pending) : this.#runAccess(pending);
    c.equal('ex', formatExits(wanted.ex), formatExits(end.exits));
    const value = end.code ? constantOf(end.code, c) : end.value;
    c.equal('val', hexOf(wanted.val), hexOf(value));
  }

  #runAccess(access: GuestAccess): AccessEnd {
    if (access.kind === 'read') this.#reads.read(access.gpa, access.len);
    if (access.kind === 'execute') this.#reads.read(access.gpa, CODE_LEN);
    const end = this.#door.guestAccess(access);
    this.#pending = isDone(end) ? undefined : access;
    return end;
  }

  /** One entry: its exits are those of all accesses, and one DONE. */
  #runLoop(loop: GuestLoop & { readonly done: number }): AccessEnd {
    const exits: KvmExit[] = [];
    for (let done = loop.done; done < loop.pages; done++) {
      const end = this.#runAccess(loopAccess(loop, done));
      if (!isDone(end)) {
        this.#pending = { ...loop, done };
        return { exits: [...exits, ...end.exits] };
      }
      exits.push(...end.exits.slice(0, -1));
    }
    return { exits: [...exits, { x: 'DONE' }] };
  }
}

/** The first byte of one page. */
function loopAccess({ write, gpa, byte }: GuestLoop, page: number): GuestAccess {
  const at = gpa + BigInt(page) * PAGE;
  return write ? { kind: 'write', gpa: at, len: 1, value: BigInt(byte) } : { kind: 'read', gpa: at, len: 1 };
}
