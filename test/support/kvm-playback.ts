// A KvmDoor that knows the answers: it plays a recording back, so that a test can bend either side of a replay.
import { Errno } from '../../assembly/abi/errno.ts';
import type {
  AccessEnd,
  CallEnd,
  FileStat,
  GuestAccess,
  KvmDoor,
  RegionState,
} from '../../src/conform/kvm-door.ts';
import type { KvmAction } from '../../src/conform/kvm-ops.ts';
import { type KvmStep, type KvmTrace, parseKvmRecording } from '../../src/conform/kvm-trace.ts';
import type { HostAccess } from '../../src/types.ts';

const errnoOf = (name: string | undefined): number => (name ? Errno[name as keyof typeof Errno] : Errno.OK);

/** Recordings with loops are not played back: they do not say which exit belongs to which page. */
export const canPlay = ({ steps }: KvmTrace): boolean => steps.every(({ action }) => action.kind !== 'loop');

/** A recording of one trace, as text. */
export const wrap = (trace: unknown): string =>
  JSON.stringify({
    ...{ format: 'kvm-trace/1', group: 'test', swap: false, ksm: false, thp: 'madvise' },
    traces: [trace],
  });
export const parseOne = (trace: unknown): KvmTrace =>
  parseKvmRecording(wrap(trace), 'f.json').traces[0] as KvmTrace;
/** An operation that makes a region. */
export const REGION = { op: 'region A memfd 4', ret: 0, st: { A: { rss: 0, blk: 0, pg: '....' } } };

export class KvmPlayback implements KvmDoor {
  readonly #steps: readonly KvmStep[];
  readonly #states = new Map<string, RegionState>();
  #next = 0;
  /** Accesses that belong to the same step. */
  #more = 0;

  constructor(trace: KvmTrace) {
    this.#steps = trace.steps;
  }

  /** The step that this call belongs to. */
  #step(kind: KvmAction['kind'], calls = 1): KvmStep {
    if (this.#more > 0) {
      this.#more--;
      return this.#steps[this.#next - 1] as KvmStep;
    }
    const step = this.#steps[this.#next++];
    const isGuest = step?.action.kind === 'resume' && kind === 'access';
    if (!step || (step.action.kind !== kind && !isGuest)) {
      throw new Error(`${kind} where the recording has ${step?.op}`);
    }
    for (const [region, state] of step.state) this.#states.set(region, state);
    this.#more = step.result.sig === undefined ? calls - 1 : 0;
    return step;
  }

  #call(kind: KvmAction['kind']): number {
    return errnoOf(this.#step(kind).result.err);
  }

  #store(kind: 'hostStore' | 'hostFill', calls: number): HostAccess {
    return hostEnd(this.#step(kind, calls));
  }

  openRegion(): { errno: number; mmap: number } {
    const { result } = this.#step('region');
    return { errno: errnoOf(result.err), mmap: errnoOf(result.mmap) };
  }
  regionState(region: string): RegionState {
    return this.#states.get(region) as RegionState;
  }
  guestAccess({ kind }: GuestAccess): AccessEnd {
    const { ex: exits = [], val: value } = this.#step('access').result;
    if (value === undefined) return { exits };
    return kind === 'execute'
      ? { exits, code: Uint8Array.of(0xb0, Number(value), 0x49, 0x89, 0) }
      : { exits, value };
  }
  hostLoad(): HostAccess {
    return hostEnd(this.#step('hostLoad'));
  }
  hostStore(): HostAccess {
    const action = this.#steps[this.#next]?.action;
    return this.#store('hostStore', action?.kind === 'hostStore' ? action.bytes.length : 1);
  }
  hostFill(): HostAccess {
    const action = this.#steps[this.#next]?.action;
    return this.#store('hostFill', action?.kind === 'hostFill' ? action.part.pages : 1);
  }
  rangeCall(): number {
    return this.#call('range');
  }
  mremap(): number {
    return this.#call('mremap');
  }
  fileCall(): CallEnd {
    const { result } = this.#step('file');
    return { errno: errnoOf(result.err), value: result.ret ?? 0 };
  }
  fstat(): FileStat {
    const { result } = this.#step('fstat');
    return { errno: errnoOf(result.err), size: 0, blocks: 0, mode: 0, ...result.stat };
  }
  setSlot(): number {
    return this.#call('slot');
  }
  deleteSlot(): number {
    return this.#call('slotdel');
  }
  createGuestMemfd(): number {
    return this.#call('gmemcreate');
  }
  checkExtension(): number {
    return this.#step('cap').result.ret ?? -1;
  }
  manualProtect(): number {
    return this.#call('manualprotect');
  }
  dirtyLog(): { errno: number; pages: readonly number[] } {
    const { result } = this.#step('dirty');
    return { errno: errnoOf(result.err), pages: result.bits ?? [] };
  }
  clearDirtyLog(): number {
    return this.#call('clrdirty');
  }
  ksmScan(): void {
    this.#step('ksmscan');
  }
}

function hostEnd({ result }: KvmStep): HostAccess {
  return result.sig === undefined
    ? { ok: true, value: Number(result.val ?? 0) }
    : { ok: false, signal: result.sig as 'SIGSEGV', code: 'SEGV_MAPERR' };
}
