// Sums over the rounds of a repeat: a result for every round would be more than anyone reads. The engine's own loop
// (vcpuProgram) counts the same.
import { Errno } from '../../assembly/abi/errno.ts';
import type { Access, Exit, LoopEnd, Response, Verified } from '../types.ts';
import type { PlainResult } from './lane.ts';
import type { Op } from './ops.ts';
import type { Tally } from './program.ts';

/** What a result says: why it is a failure, or undefined; and what it adds to the sum. */
interface Said {
  readonly failure: string | undefined;
  readonly adds: bigint;
}

export const errnoName = (errno: number): string => Errno[errno] ?? `errno ${errno}`;

function said(op: Op, result: PlainResult): Said {
  switch (op.kind) {
    case 'load':
    case 'store':
    case 'fetch': {
      const access = result as Access;
      return access.ok
        ? { failure: undefined, adds: access.value }
        : { failure: access.exit.reason, adds: 0n };
    }
    case 'touch': {
      const { pages, exit } = result as LoopEnd;
      return { failure: exit?.reason, adds: BigInt(pages) };
    }
    case 'fill':
      return { failure: (result as LoopEnd).exit?.reason, adds: 0n };
    case 'verify': {
      const { differs, exit } = result as Verified;
      return { failure: exit?.reason ?? (differs === undefined ? undefined : 'differs'), adds: 0n };
    }
    case 'read':
      return { failure: result instanceof Uint8Array ? undefined : (result as Exit).reason, adds: 0n };
    case 'write':
      return { failure: (result as Exit | undefined)?.reason, adds: 0n };
    default: {
      const errno = typeof result === 'number' ? Math.abs(result) : (result as Response).errno;
      return { failure: errno === 0 ? undefined : errnoName(errno), adds: 0n };
    }
  }
}

type Counting = { -readonly [K in keyof Tally]: Tally[K] };

export class Tallies {
  readonly #ops: readonly Op[];
  readonly #tallies: Counting[];

  constructor(ops: readonly Op[]) {
    this.#ops = ops;
    this.#tallies = ops.map(() => ({ failures: 0, lastFailure: undefined, sum: 0n }));
  }

  add(index: number, result: PlainResult): void {
    const tally = this.#tallies[index] as Counting;
    const { failure, adds } = said(this.#ops[index] as Op, result);
    tally.sum = BigInt.asUintN(64, tally.sum + adds);
    if (failure === undefined) return;
    tally.failures++;
    tally.lastFailure = failure;
  }

  end(): Tally[] {
    return this.#tallies;
  }
}
