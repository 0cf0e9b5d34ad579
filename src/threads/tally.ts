// Sums over the rounds of a repeat: a result for every round would be more than anyone reads. The engine's own loop
// (assembly/vcpu/program.ts) counts the same, and a test holds the two equal.
import { Errno } from '../../assembly/abi/errno.ts';
import type { Access, Exit, LoopEnd, Response, Verified } from '../types.ts';
import type { PlainResult } from './lane.ts';
import type { Op } from './ops.ts';
import type { DirtyPages, Tally } from './program.ts';

/** What a result says: how it failed, undefined if it did not; and what it adds to the sum. */
interface Said {
  readonly last: string | undefined;
  readonly adds: bigint;
}

export const errnoName = (errno: number): string | undefined =>
  errno === 0 ? undefined : (Errno[errno] ?? `errno ${errno}`);

/** Bytes of a range from gpa on that are done when it stopped at `at`. */
const until = (op: Op, gpa: bigint, at: bigint | undefined): bigint => (at === undefined ? op.len : at - gpa);

function said(op: Op, gpa: bigint, result: PlainResult): Said {
  switch (op.kind) {
    case 'load':
    case 'store':
    case 'fetchAdd':
    case 'fetch': {
      const access = result as Access;
      if (!access.ok) return { last: access.exit.reason, adds: 0n };
      return { last: undefined, adds: op.kind === 'load' || op.kind === 'fetchAdd' ? access.value : 0n };
    }
    case 'touch': {
      const { pages, exit } = result as LoopEnd;
      return { last: exit?.reason, adds: BigInt(pages) };
    }
    case 'fill': {
      const { exit } = result as LoopEnd;
      return { last: exit?.reason, adds: until(op, gpa, exit?.gpa) };
    }
    case 'verify': {
      const { differs, exit } = result as Verified;
      return { last: exit?.reason, adds: until(op, gpa, exit?.gpa ?? differs) };
    }
    case 'read':
      return { last: result instanceof Uint8Array ? undefined : (result as Exit).reason, adds: 0n };
    case 'write':
      return { last: (result as Exit | undefined)?.reason, adds: 0n };
    case 'dirtyLog': {
      const { errno, pages } = result as DirtyPages;
      return { last: errnoName(errno), adds: BigInt(pages) };
    }
    default: {
      const errno = typeof result === 'number' ? Math.abs(result) : (result as Response).errno;
      return { last: errnoName(errno), adds: 0n };
    }
  }
}

type Counting = { -readonly [K in keyof Tally]: Tally[K] };

export class Tallies {
  readonly #ops: readonly Op[];
  readonly #tallies: Counting[];

  constructor(ops: readonly Op[]) {
    this.#ops = ops;
    this.#tallies = ops.map(() => ({ failures: 0, last: undefined, sum: 0n }));
  }

  /** The result of op `index` at gpa. */
  add(index: number, gpa: bigint, result: PlainResult): void {
    const tally = this.#tallies[index] as Counting;
    const { last, adds } = said(this.#ops[index] as Op, gpa, result);
    tally.sum = BigInt.asUintN(64, tally.sum + adds);
    tally.last = last;
    if (last !== undefined) tally.failures++;
  }

  end(): Tally[] {
    return this.#tallies;
  }
}
