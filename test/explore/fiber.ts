// A vCPU thread that can be stopped in the middle of the engine: an instance of the core with Binaryen's Asyncify. At a
// synchronisation point the engine calls the import `sync`; if the thread is to stop there, the instance's stack is
// saved into linear memory (unwound) and the export returns; resuming calls the same export again, which finds its way
// back (rewinds) to the same point. A point at which nobody stops costs a call.
// Reference: Binaryen src/passes/Asyncify.cpp.
import { SyncPoint } from '../../assembly/abi/sync.ts';
import type { CoreExports } from '../../src/core/exports.ts';
import type { At, Thread } from './execute.ts';
import { OPERATION } from './execute.ts';

/** Bytes of linear memory for one saved stack. */
export const FIBER_STACK = 32 * 1024;

interface Asyncify {
  asyncify_start_unwind(stack: number): void;
  asyncify_stop_unwind(): void;
  asyncify_start_rewind(stack: number): void;
  asyncify_stop_rewind(): void;
}

/** One operation of a program: a call of one export. */
export interface Call {
  /**
   * Where it is more than one step of the machine, so that operations of others may come in between, whole:
   * - an access: the walk fails, the host brings the page in, the guest executes its instruction anew, and by then the
   *   page may be gone again (linux: kvm_mmu_page_fault, RET_PF_RETRY);
   * - a request, for who has to do with its buffer: the guest stores it, the device reads it, the host call, the device
   *   answers, is broken if it could not, the guest loads (cloud-hypervisor: devices/src/pvmemcontrol.rs holds nothing over these either).
   * - an access that KVM may have to emulate: between the walk that says so and the emulator's own look.
   * Everything else happens at once.
   */
  readonly steps?: 'access' | 'request' | 'emulated';
  /** Puts arguments into linear memory. */
  start?(): void;
  run(x: CoreExports): number | bigint;
  /** What has come of it, as text. */
  result(returned: number | bigint): string;
}

export class Fiber implements Thread {
  readonly x: CoreExports;
  /** Of the operations done so far. */
  readonly results: string[] = [];
  /** Guest windows that the operation it is in has opened. */
  windows = 0;
  readonly #asyncify: Asyncify;
  readonly #u32: Uint32Array;
  readonly #stack: number;
  #program: readonly Call[] = [];
  /** Stopped in the middle of an operation; its stack is saved. */
  #inside = false;
  #at: At | undefined;

  /** `stack`: address of FIBER_STACK bytes that nothing else uses. */
  constructor(module: WebAssembly.Module, memory: WebAssembly.Memory, stack: number) {
    this.#u32 = new Uint32Array(memory.buffer);
    this.#stack = stack;
    const sync = (point: number, what: number): void => this.#sync(point, what);
    const { exports } = new WebAssembly.Instance(module, {
      env: { memory, abort: abortIn(memory), sync, wait: asleep },
    });
    this.x = exports as unknown as CoreExports;
    this.#asyncify = exports as unknown as Asyncify;
  }

  /** The operation it is in, or that comes next. */
  get call(): Call | undefined {
    return this.#program[this.results.length];
  }

  /** Next comes the first operation of `program`. */
  load(program: readonly Call[]): void {
    this.#program = program;
    this.#inside = false;
    this.results.length = 0;
  }

  resume(at: At): boolean {
    this.#at = at;
    try {
      for (;;) {
        const { call } = this;
        if (!call) return true;
        if (!this.#inside) this.#start(call);
        const returned = this.#enter(call);
        if (this.#inside) return false;
        this.results.push(call.result(returned));
        if (this.results.length < this.#program.length && at(OPERATION, this.results.length)) return false;
      }
    } finally {
      this.#at = undefined;
    }
  }

  #start(call: Call): void {
    this.windows = 0;
    call.start?.();
  }

  #enter(call: Call): number | bigint {
    if (this.#inside) this.#asyncify.asyncify_start_rewind(this.#stack);
    const returned = call.run(this.x);
    if (this.#inside) this.#asyncify.asyncify_stop_unwind();
    return returned;
  }

  #sync(point: number, what: number): void {
    if (this.#inside) {
      this.#asyncify.asyncify_stop_rewind();
      this.#inside = false;
      return;
    }
    if (point === SyncPoint.WindowEnter) this.windows++;
    // Not driven by an explorer (`#at` unset): a point is nothing.
    if (!this.#at?.(point, what >>> 0)) return;
    this.#inside = true;
    // Asyncify's record: where the saved stack begins and where it must end.
    const record = this.#stack >>> 2;
    this.#u32[record] = this.#stack + 8;
    this.#u32[record + 1] = this.#stack + FIBER_STACK;
    this.#asyncify.asyncify_start_unwind(this.#stack);
  }
}

/** The engine's `wait`: this build has a synchronisation point there instead. */
function asleep(): never {
  throw new Error('a thread sleeps outside of a synchronisation point');
}

/** AssemblyScript's `abort`: an assertion of the debug core. Strings are UTF-16 with their length in front. */
export function abortIn(memory: WebAssembly.Memory): (...at: number[]) => never {
  const text = (at: number): string => {
    if (at === 0) return '';
    const length = new Uint32Array(memory.buffer, at - 4, 1)[0] as number;
    return String.fromCharCode(...new Uint16Array(memory.buffer, at, length >>> 1));
  };
  return (message = 0, file = 0, line = 0, column = 0) => {
    throw new Error(`assertion ${text(message)} at ${text(file)}:${line}:${column}`);
  };
}
