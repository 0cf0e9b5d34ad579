// One vCPU working through its program: on the main thread in turns with the others, or on a thread of its own.
// Reference: program.ts (what the steps mean).
import { Errno } from '../../assembly/abi/errno.ts';
import type { Core } from '../core/core.ts';
import type { Ptr } from '../core/exports.ts';
import { RAM_BASE, RAM_VPN } from '../core/layout.ts';
import { type BoundDevice, call, type Transfer } from '../guest/channel.ts';
import { failed } from '../guest/requests.ts';
import { Buf } from '../guest/uapi.ts';
import { Vcpu } from '../guest/vcpu.ts';
import type { Response } from '../types.ts';
import { engineCall } from './encode.ts';
import type { Op, ProgramOp, RepeatOp } from './ops.ts';
import { gpaInRound } from './ops.ts';
import type { PlainStep, ProgramResult, RepeatEnd, ResultOf } from './program.ts';
import { Tallies } from './tally.ts';

export type PlainResult = ResultOf<PlainStep>;

/** What a lane knows of its guest's driver: it was bound before the run, or it refuses with this errno. */
export type LaneDriver = { readonly device: BoundDevice } | { readonly refused: number };

export class Lane {
  readonly #core: Core;
  readonly #vm: Ptr;
  readonly #cpu: number;
  readonly #vcpu: Vcpu;
  readonly #driver: LaneDriver;
  readonly #buf = new Buf();
  readonly #transfer: Transfer;

  constructor(core: Core, vm: Ptr, run: Ptr, cpu: number, driver: LaneDriver) {
    this.#core = core;
    this.#vm = vm;
    this.#cpu = cpu;
    this.#vcpu = new Vcpu(core, run);
    this.#driver = driver;
    this.#transfer = this.#vcpu.request.bind(this.#vcpu);
  }

  /** Stops after each step, and after each in every round of a repeat; the results at the end. */
  *steps(ops: readonly ProgramOp[]): Generator<undefined, ProgramResult[]> {
    const results: ProgramResult[] = [];
    for (const op of ops) {
      if (op.kind === 'repeat') results.push(yield* this.rounds(op));
      else {
        results.push(this.once(op));
        yield;
      }
    }
    return results;
  }

  /** The same as `engineRounds` of encode.ts, which is a hundred times faster and cannot be stopped in between. */
  *rounds(repeat: RepeatOp): Generator<undefined, RepeatEnd> {
    const tallies = new Tallies(repeat.ops);
    for (let round = 0; round < repeat.times; round++) {
      for (const [i, op] of repeat.ops.entries()) {
        const gpa = gpaInRound(op, repeat, round);
        tallies.add(i, gpa, this.once(op, gpa));
        yield;
      }
    }
    return { rounds: repeat.times, steps: tallies.end() };
  }

  once(op: Op, gpa = op.gpa): PlainResult {
    const vcpu = this.#vcpu;
    switch (op.kind) {
      case 'load':
        return vcpu.load(gpa, op.size, op.as);
      case 'store':
        return vcpu.store(gpa, op.size, op.value, op.as);
      case 'fetchAdd':
        return vcpu.fetchAdd(gpa, op.size, op.value);
      case 'fetch':
        return vcpu.fetch(gpa);
      case 'touch':
        return vcpu.touch({ gpa, len: op.len, write: op.isWrite, byte: op.byte });
      case 'fill':
        return vcpu.fill({ gpa, len: op.len, byte: op.byte });
      case 'verify':
        return vcpu.verify({ gpa, len: op.len, byte: op.byte });
      case 'read':
        return vcpu.read(gpa, op.len);
      case 'write':
        return vcpu.write(gpa, op.bytes);
      case 'vmm':
        return this.#hostCall(op, gpa);
      case 'dirtyLog': {
        const { errno, sum } = engineCall(this.#core, vcpu.run, op);
        return { errno, pages: Number(sum) };
      }
      case 'region':
      case 'clearLog':
      case 'attributes':
      case 'fallocate':
        return engineCall(this.#core, vcpu.run, { ...op, gpa }).errno;
      case 'raw':
        return this.#request(op, gpa);
      case 'named': {
        const answer = this.#request(op, gpa);
        return typeof answer === 'number' ? failed(answer) : answer;
      }
    }
  }

  #request(op: Op, gpa: bigint): Response | number {
    if ('refused' in this.#driver) return this.#driver.refused;
    this.#buf.setRequest(op.func, gpa, op.len, op.value);
    const err = call(this.#transfer, this.#driver.device, this.#buf, this.#cpu);
    return err === 0 ? this.#buf.response() : err;
  }

  #hostCall(op: Op, gpa: bigint): Errno {
    const { x } = this.#core;
    const region = x.ramOf(this.#vm, gpa >> 12n) >>> 0;
    if (region === 0) return Errno.EINVAL;
    const vpn = this.#core.readU64(region + RAM_VPN) - this.#core.readU64(region + RAM_BASE);
    return x.hostCall(this.#vm, Number(op.func), BigInt.asUintN(64, (vpn << 12n) + gpa), op.len, op.value);
  }
}
