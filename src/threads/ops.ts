// A program after its check: numbers as numbers, names as codes. It survives structured clone.

import type { Ptr } from '../core/exports.ts';
import type { MemoryKind } from '../types.ts';

/** What the VMM's thread asks of the kernel about the VM's memory. */
export type CallKind = 'region' | 'dirtyLog' | 'clearLog' | 'attributes' | 'fallocate';
export type OpKind =
  | CallKind
  | 'load'
  | 'store'
  | 'fetch'
  | 'fetchAdd'
  | 'touch'
  | 'fill'
  | 'verify'
  | 'read'
  | 'write'
  /** A request by name: its failures are Responses. */
  | 'named'
  /** A request by function code: what the driver refuses is a negative errno. */
  | 'raw'
  | 'vmm';

export interface Op {
  readonly kind: OpKind;
  readonly gpa: bigint;
  readonly len: bigint;
  /** Of load, store and fetchAdd. */
  readonly size: 1 | 2 | 4 | 8;
  /**
   * Value of a store or a fetchAdd, `arg` of a request; hva of a region, first page of a log to be cleared, attributes, the
   * file of fallocate.
   */
  readonly value: bigint;
  /** Of load and store: the kind of memory that the guest means. */
  readonly as?: MemoryKind;
  readonly byte: number;
  readonly isWrite: boolean;
  readonly bytes: Uint8Array;
  /**
   * Function code as the device of this VM's generation numbers it; of vmm the engine's own. The slot of a region or a log,
   * flags of attributes, the mode of fallocate.
   */
  readonly func: bigint;
  /** Of a region besides. */
  readonly more?: { readonly flags: number; readonly file: Ptr; readonly offset: bigint };
}
export interface RepeatOp {
  readonly kind: 'repeat';
  readonly times: number;
  readonly advance: bigint;
  readonly span: bigint;
  readonly ops: readonly Op[];
}
export type ProgramOp = Op | RepeatOp;

export const isRequest = (op: Op): boolean => op.kind === 'named' || op.kind === 'raw';
const CALLS: readonly OpKind[] = ['region', 'dirtyLog', 'clearLog', 'attributes', 'fallocate'];
export const isCall = ({ kind }: Op): boolean => CALLS.includes(kind);
export const plainOps = (ops: readonly ProgramOp[]): readonly Op[] =>
  ops.flatMap((op) => (op.kind === 'repeat' ? op.ops : [op]));

/** Address of an op in round `round`. */
export function gpaInRound(op: Op, repeat: RepeatOp, round: number): bigint {
  const moved = BigInt(round) * repeat.advance;
  return BigInt.asUintN(64, op.gpa + (repeat.span === 0n ? moved : moved % repeat.span));
}
