// Programs for vCPUs, as `vm.run` takes them, and what comes back: plain values both ways, since they go to another
// thread. Steps are spelled as in scenario files; requests have the names of `vm.guest.pvmemcontrol`.
import type { Func } from '../../assembly/abi/pvmemcontrol.ts';
import type { AccessSize } from '../guest/vcpu.ts';
import type { Access, AddressLike, Exit, LoopEnd, MemoryKind, Response, Size, Verified } from '../types.ts';
import type { MemoryAttributes, MemoryRegion2 } from '../vmm/kvm.ts';

/** `dontneed`, `mprotectNone`, …: the fifteen requests. */
export type RequestMethod = Uncapitalize<keyof typeof Func>;

interface At {
  readonly gpa: AddressLike;
}
interface Range extends At {
  readonly len: Size;
}
/** A 64-bit value; text as for addresses. */
type Value = bigint | number | string;
interface RequestArgs extends Range {
  readonly arg?: Value;
}

interface Accesses {
  /** One access of `size` bytes, 8 if not given; `as`: the kind of memory that the guest means. */
  readonly load: At & { readonly size?: AccessSize; readonly as?: MemoryKind };
  readonly store: At & { readonly size?: AccessSize; readonly as?: MemoryKind; readonly val: Value };
  /** A locked addition at a multiple of its size; `value` is what was there. */
  readonly fetchAdd: At & { readonly size?: AccessSize; readonly val: Value };
  /** An instruction fetch, of one byte. */
  readonly fetch: At;
  /** One byte of each page: loaded, or stored with `write` (value `byte`, default 1). */
  readonly touch: Range & { readonly write?: boolean; readonly byte?: number };
  readonly fill: Range & { readonly byte: number };
  readonly verify: Range & { readonly byte: number };
  /** `len` bytes, 1 if not given, by several loads. */
  readonly read: At & { readonly len?: Size };
  readonly write: At & { readonly bytes: Uint8Array | readonly number[] };
}
type Requests = { readonly [R in Exclude<RequestMethod, 'info'>]: RequestArgs } & {
  readonly info: Partial<RequestArgs>;
  /** Any function code, known or not. */
  readonly request: RequestArgs & { readonly func: Value };
};
interface Calls {
  /** The VMM's own system call, from this thread, on its mapping of guest memory: what the request would lead to. */
  readonly vmm: RequestArgs & { readonly call: Exclude<RequestMethod, 'info'> };
  /** The VMM's calls of KVM, as in `vm.kvm`, and of its files. In a repeat what is added to a gpa is added to these addresses, too. */
  readonly setUserMemoryRegion2: MemoryRegion2;
  readonly setMemoryAttributes: MemoryAttributes;
  /** How many pages were in the log. */
  readonly getDirtyLog: { readonly slot: number };
  /** All bits of the range. */
  readonly clearDirtyLog: {
    readonly slot: number;
    readonly firstPage: number | bigint;
    readonly numPages: number;
  };
  /** `mode`: 1 KEEP_SIZE, 2 PUNCH_HOLE. In bytes. */
  readonly fallocate: {
    readonly fd: number;
    readonly mode: number;
    readonly offset: Size;
    readonly length: Size;
  };
}
type Steps = Accesses & Requests & Calls;

/** What one vCPU does in one step: an object with one key. */
export type PlainStep = { readonly [K in keyof Steps]: { readonly [P in K]: Steps[K] } }[keyof Steps];

export interface RepeatStep {
  readonly repeat: {
    /** Rounds, below 2^32. */
    readonly times: number;
    /** Added to every gpa, once more in each round. Default 0. */
    readonly advance?: Size;
    /** What was added starts again at 0 when it gets here; 0 or left out: never. */
    readonly span?: Size;
    readonly steps: readonly PlainStep[];
  };
}
export type ProgramStep = PlainStep | RepeatStep;
export type Program = readonly ProgramStep[];

/** What became of one step of a repeat in all rounds. */
export interface Tally {
  /** Rounds that ended in an exit or with an errno. That bytes differ is no failure of `verify`: see `sum`. */
  readonly failures: number;
  /** Of the last round: the exit of an access, the errno of a request or call by name; undefined when it was well. */
  readonly last: string | undefined;
  /** Modulo 2^64: loaded values; pages touched; pages of dirty logs; bytes that fill stored or that verify found as they should be. Else 0. */
  readonly sum: bigint;
}
export interface RepeatEnd {
  readonly rounds: number;
  /** One for each step inside. */
  readonly steps: readonly Tally[];
}

/** A dirty log that was read. */
export interface DirtyPages {
  readonly errno: number;
  readonly pages: number;
}

/** What a step comes back as: what the function of the same name returns. Of `vmm` and the VMM's calls the errno, a number. */
export type ResultOf<S> = S extends { readonly repeat: unknown }
  ? RepeatEnd
  : S extends
        | { readonly load: unknown }
        | { readonly store: unknown }
        | { readonly fetch: unknown }
        | { readonly fetchAdd: unknown }
    ? Access
    : S extends { readonly touch: unknown } | { readonly fill: unknown }
      ? LoopEnd
      : S extends { readonly verify: unknown }
        ? Verified
        : S extends { readonly read: unknown }
          ? Uint8Array | Exit
          : S extends { readonly write: unknown }
            ? Exit | undefined
            : S extends { readonly getDirtyLog: unknown }
              ? DirtyPages
              : S extends
                    | { readonly vmm: unknown }
                    | { readonly setUserMemoryRegion2: unknown }
                    | { readonly setMemoryAttributes: unknown }
                    | { readonly clearDirtyLog: unknown }
                    | { readonly fallocate: unknown }
                ? number
                : S extends { readonly request: unknown }
                  ? // A negative errno: the driver did not send it.
                    Response | number
                  : Response;
export type ProgramResult = ResultOf<ProgramStep>;
export type ProgramResults<T extends Program> = { readonly [S in keyof T]: ResultOf<T[S]> };
/** Results by vCPU and step, in the shape of the programs. */
export type RunResults<P extends readonly Program[]> = { readonly [C in keyof P]: ProgramResults<P[C]> };
