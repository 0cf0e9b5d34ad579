// What the main thread and a vCPU's thread say to each other.
import type { Ptr } from '../core/exports.ts';
import type { CoreMemory, CoreModule } from '../core/instantiate.ts';
import type { LaneDriver } from './lane.ts';
import type { ProgramOp } from './ops.ts';
import type { ProgramResult } from './program.ts';

/** First, once: who the thread is. */
export interface Attach {
  readonly kind: 'attach';
  readonly module: CoreModule;
  readonly memory: CoreMemory;
  readonly vm: Ptr;
  readonly run: Ptr;
  readonly cpu: number;
}
/** A program, to be started when all threads of the run stand at the gate. */
export interface RunProgram {
  readonly kind: 'run';
  readonly ops: readonly ProgramOp[];
  readonly driver: LaneDriver;
  readonly gate: SharedArrayBuffer;
  /** Threads that the gate waits for. */
  readonly threads: number;
}
export type ToThread = Attach | RunProgram;

export type FromThread =
  /** It has its instance of the engine. */
  | { readonly kind: 'ready' }
  | { readonly kind: 'done'; readonly results: readonly ProgramResult[] }
  /** A trap of the engine, or the engine could not be made here. */
  | { readonly kind: 'failed'; readonly reason: string };
