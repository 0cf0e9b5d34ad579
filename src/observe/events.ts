// The event ring, read back as records. Fields by kind: docs/events.md.
import { EVENT_CAPACITY, EVENT_SIZE, EventKind } from '../../assembly/abi/events.ts';
import { Status } from '../../assembly/abi/status.ts';
import { formatAddress, hex } from '../address.ts';
import type { Core } from '../core/core.ts';
import { EVENTS, HOST_EVENT_SEQ, HOST_EVENTS_ON } from '../core/layout.ts';
import { exitReason } from '../exit.ts';
import type { EventRecord } from '../types.ts';
import { errnoName, funcName } from './names.ts';

interface Raw {
  readonly n: number;
  readonly a: bigint;
  readonly b: bigint;
  readonly c: bigint;
}
type Detail = Record<string, string | number>;
type Reader = (
  raw: Raw,
  requestName: (code: bigint) => string,
) => { kind: string; detail: Detail; text: string };

const STATES = ['broken', 'init', 'ready'];
const COMMANDS: Readonly<Record<number, string>> = {
  101705426: 'RESET',
  238392633: 'REGISTER',
  212390439: 'READY',
  51338656: 'DISCONNECT',
  63918486: 'ACK',
  33268297: 'ERROR',
};
const page = (vpn: bigint): string => hex(vpn << 12n);
const answer = (errno: number): string => (errno === 0 ? '0' : `-1 ${errnoName(errno)}`);
const ACCESS = ['read', 'write', 'fetch'];

const READERS: Readonly<Record<number, Reader>> = {
  [EventKind.Transport]: ({ n, a, b }) => {
    const command = COMMANDS[Number(a)] ?? hex(a);
    const state = STATES[n] ?? String(n);
    return { kind: 'transport', detail: { command, payload: hex(b), state }, text: `${command} → ${state}` };
  },
  [EventKind.Request]: ({ n, a, b, c }, requestName) => ({
    kind: 'request',
    detail: { connection: n, func: requestName(a), addr: hex(b), length: hex(c) },
    text: `connection ${n}: ${requestName(a)} ${formatAddress(b)} +${hex(c)}`,
  }),
  [EventKind.Response]: ({ n, a }) => ({
    kind: 'response',
    detail: { errno: errnoName(n), code: Number(a) },
    text: `answered ${errnoName(n)}, ret_code ${a}`,
  }),
  [EventKind.DoorbellIgnored]: ({ n, a }) => ({
    kind: 'doorbell',
    detail: { connection: n, state: STATES[Number(a)] ?? '' },
    text: `doorbell ${hex(0x80000000 + n)} ignored, device ${STATES[Number(a)]}`,
  }),
  [EventKind.HostCall]: ({ n, a, b, c }) => ({
    kind: 'hostcall',
    detail: { call: funcName(BigInt(n)), hva: hex(a), length: hex(b), errno: errnoName(Number(c)) },
    text: `${funcName(BigInt(n))}(${hex(a)}, ${hex(b)}) = ${answer(Number(c))}`,
  }),
  [EventKind.Zap]: ({ n, a, b, c }) => ({
    kind: 'zap',
    detail: { entries: n, from: page(a), to: c ? 'all' : page(b) },
    text: c
      ? `${n} SLAT entries dropped to make room for tables`
      : `${n} SLAT entries zapped in ${page(a)}…${page(b)}, TLB flush`,
  }),
  [EventKind.Violation]: ({ n, a }) => ({
    kind: 'violation',
    detail: { access: ACCESS[n] ?? '', gpa: page(a) },
    text: `SLAT violation: ${ACCESS[n]} of ${page(a)}`,
  }),
  [EventKind.Exit]: ({ n, a, b, c }) => {
    if (n === Status.Mmio) {
      const access = c ? 'write' : 'read';
      return {
        kind: 'exit',
        detail: { reason: 'MMIO', gpa: hex(a), len: Number(b), access },
        text: `exit MMIO ${access} ${hex(a)} ${b} bytes`,
      };
    }
    const reason = exitReason(n);
    const access = ACCESS[Number(b)] ?? '';
    return {
      kind: 'exit',
      detail: { reason, gpa: hex(a), access },
      text: `exit ${reason} ${access} ${hex(a)}`,
    };
  },
  [EventKind.Fault]: ({ n, a, b }) => ({
    kind: 'fault',
    detail: { hva: page(a), page: String.fromCharCode(Number(b)), major: n },
    text: `${n ? 'major' : 'minor'} fault at ${page(a)} → ${FAULT[String.fromCharCode(Number(b))]}`,
  }),
  [EventKind.VmaSplit]: ({ a }) => ({
    kind: 'vma-split',
    detail: { at: page(a) },
    text: `VMA split at ${page(a)}`,
  }),
  [EventKind.VmaMerge]: ({ a, b }) => ({
    kind: 'vma-merge',
    detail: { start: page(a), end: page(b) },
    text: `VMAs merged to ${page(a)}…${page(b)}`,
  }),
  [EventKind.ReclaimLazy]: ({ a }) => ({
    kind: 'reclaim',
    detail: { hva: page(a) },
    text: `lazily freed page ${page(a)} dropped`,
  }),
  [EventKind.SwapOut]: ({ n, a, b }) => ({
    kind: 'swap-out',
    detail: n ? { page: Number(a), slot: Number(b) } : { hva: page(a), slot: Number(b) },
    text: n ? `page ${a} of the file swapped out` : `page ${page(a)} swapped out`,
  }),
  [EventKind.SwapIn]: ({ a, b }) => ({
    kind: 'swap-in',
    detail: { hva: page(a), slot: Number(b) },
    text: `page ${page(a)} swapped in`,
  }),
  [EventKind.Oom]: ({ n, a }) => ({
    kind: 'oom',
    detail: { of: n ? 'vm' : 'host', frames: Number(a) },
    text: n
      ? `no frame for this VM: it is at its limit of ${a}, and none of its own can be reclaimed`
      : `no frame to be had: all ${a} are in use`,
  }),
  [EventKind.BufferFault]: ({ n, a }) => ({
    kind: 'buffer-fault',
    detail: { gpa: hex(a), access: n ? 'write' : 'read' },
    text: `the device cannot ${n ? 'write' : 'read'} the request buffer at ${hex(a)}: device broken`,
  }),
  [EventKind.KsmMerge]: ({ a, b }) => ({
    kind: 'ksm-merge',
    detail: { hva: page(a), other: page(b) },
    text: `KSM: pages ${page(a)} and ${page(b)} are equal, and share a frame`,
  }),
  [EventKind.Memslot]: ({ n, a, b, c }) => ({
    kind: 'memslot',
    detail: { change: CHANGES[n] ?? '', id: Number(c), from: page(a), to: page(b) },
    text: `memslot ${c} ${CHANGES[n]}: ${page(a)}…${page(b)}`,
  }),
  [EventKind.Attributes]: ({ n, a, b, c }) => ({
    kind: 'attributes',
    detail: { of: c ? 'guest_memfd' : 'vm', attributes: n, from: page(a), to: page(b) },
    text: `${page(a)}…${page(b)}${c ? ' of the guest_memfd' : ''} is ${n === 0 ? 'shared' : 'private'} now`,
  }),
  [EventKind.DirtyLog]: ({ n, a, b }) => ({
    kind: 'dirty-log',
    detail: { id: Number(a), pages: n, cleared: Number(b) },
    text: `dirty log of memslot ${a}: ${n} pages${b ? ', cleared' : ''}`,
  }),
  [EventKind.PmlFull]: ({ n }) => ({
    kind: 'pml-full',
    detail: { cpu: n },
    text: `the page-modification log of vCPU ${n} is full: exit 62`,
  }),
  [EventKind.Punch]: ({ n, a, b }) => ({
    kind: 'punch',
    detail: { pages: n, offset: hex(a), length: hex(b) },
    text: `${n} pages of the guest_memfd dropped at ${hex(a)} +${hex(b)}`,
  }),
  [EventKind.Hypercall]: ({ a, b, c }) => ({
    kind: 'hypercall',
    detail: { gpa: hex(a), pages: Number(b), attributes: Number(c) },
    text: `the guest asks for ${b} pages at ${hex(a)} to be ${c & 16n ? 'private' : 'shared'}`,
  }),
};

const CHANGES = ['created', 'deleted', 'moved', 'flags changed'];

/** What a fault put in, by the page's letter. */
const FAULT: Readonly<Record<string, string>> = {
  z: 'zero page',
  a: 'anonymous page',
  f: 'page of the file',
  H: 'huge page',
  Z: 'huge zero page',
  G: 'hugetlb page',
};

export class EventLog {
  readonly #core: Core;
  readonly #requestName: (vm: number, code: bigint) => string;

  /** `requestName`: what a function code means to a VM's device, whose generation the core's records do not say. */
  constructor(core: Core, requestName: (vm: number, code: bigint) => string) {
    this.#core = core;
    this.#requestName = requestName;
  }

  get enabled(): boolean {
    return this.#core.readU32(HOST_EVENTS_ON) !== 0;
  }
  set enabled(on: boolean) {
    this.#core.assertAllowed();
    this.#core.u32[HOST_EVENTS_ON >>> 2] = on ? 1 : 0;
  }

  /** Number of the next event. */
  get next(): number {
    this.#core.assertAllowed();
    return this.#core.readU32(HOST_EVENT_SEQ) + 1;
  }

  /** Records `from` (default: the oldest kept) on, at most `limit`. The ring keeps the last 65536. */
  records(from = 0, limit = EVENT_CAPACITY): EventRecord[] {
    const out: EventRecord[] = [];
    const next = this.next;
    for (let seq = Math.max(1, from, next - EVENT_CAPACITY); seq < next && out.length < limit; seq++) {
      const record = this.#record(seq);
      if (record) out.push(record);
    }
    return out;
  }

  #record(seq: number): EventRecord | undefined {
    const { u32 } = this.#core;
    const at = EVENTS + (seq & (EVENT_CAPACITY - 1)) * EVENT_SIZE;
    const i = at >>> 2;
    if (u32[i] !== seq) return undefined;
    const head = u32[i + 1] as number;
    const read = READERS[head & 0xff];
    if (!read) return undefined;
    const raw = {
      n: u32[i + 3] as number,
      a: this.#core.readU64(at + 16),
      b: this.#core.readU64(at + 24),
      c: this.#core.readU64(at + 32),
    };
    return {
      seq,
      cause: u32[i + 2] as number,
      vm: head >>> 16,
      cpu: (head >>> 8) & 0xff,
      ...read(raw, (code) => this.#requestName(head >>> 16, code)),
    };
  }
}
