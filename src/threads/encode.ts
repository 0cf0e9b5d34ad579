// A repeat as the engine's own program: no crossing between its steps. Reference: assembly/vcpu/program.ts (the layout).
import {
  RUN_DRIVER_BUFFER,
  RUN_DRIVER_DOORBELL,
  RUN_DRIVER_REGISTER,
  RUN_PROGRAM,
  STEP_SIZE,
  Status,
  Step,
} from '../../assembly/abi/status.ts';
import type { Core } from '../core/core.ts';
import type { Ptr } from '../core/exports.ts';
import { exitReason } from '../exit.ts';
import type { BoundDevice } from '../guest/channel.ts';
import { isCall, isRequest, type Op, type RepeatOp } from './ops.ts';
import type { RepeatEnd, Tally } from './program.ts';
import { errnoName } from './tally.ts';

/** A page of steps. */
const MOST = 4096 / STEP_SIZE;
const U32_MAX = 2n ** 32n - 1n;

const KINDS: Readonly<Partial<Record<Op['kind'], Step>>> = {
  load: Step.Load,
  store: Step.Store,
  fetch: Step.Fetch,
  touch: Step.TouchRead,
  fill: Step.Fill,
  verify: Step.Verify,
  named: Step.Request,
  raw: Step.Request,
  vmm: Step.HostCall,
  fetchAdd: Step.Add,
  region: Step.SetRegion,
  dirtyLog: Step.GetDirtyLog,
  clearLog: Step.ClearDirtyLog,
  attributes: Step.SetAttributes,
  fallocate: Step.Fallocate,
};

const kindOf = (op: Op): Step | undefined =>
  op.as !== undefined ? undefined : op.kind === 'touch' && op.isWrite ? Step.TouchWrite : KINDS[op.kind];

/** Steps of the engine that an op takes. */
const stepsOf = (op: Op): number => (op.more ? 2 : 1);

/** Whether the engine has all these steps. Of requests it sends whatever it is told; INFO is answered by the driver. */
function hasAll(ops: readonly Op[], device: BoundDevice | undefined): boolean {
  const sent = (op: Op): boolean => device !== undefined && op.func > 0n && op.func <= U32_MAX;
  const steps = ops.reduce((n, op) => n + stepsOf(op), 0);
  return steps <= MOST && ops.every((op) => kindOf(op) !== undefined && (!isRequest(op) || sent(op)));
}

/** Runs the repeat in the engine, on the vCPU's own thread; undefined when there is a step that the engine has not. */
export function engineRounds(
  core: Core,
  run: Ptr,
  cpu: number,
  repeat: RepeatOp,
  device: BoundDevice | undefined,
): RepeatEnd | undefined {
  const { ops, times } = repeat;
  if (!hasAll(ops, device)) return undefined;
  const channel = device?.channels[cpu];
  if (device && channel) {
    core.u64[(run + RUN_DRIVER_BUFFER) >>> 3] = channel.gpa;
    core.u64[(run + RUN_DRIVER_REGISTER) >>> 3] = device.commandRegister;
    core.u32[(run + RUN_DRIVER_DOORBELL) >>> 2] = channel.command;
  }
  return {
    rounds: times,
    steps: runOps(core, run, ops, repeat).map((at, i) => readTally(core, at, ops[i] as Op)),
  };
}

/** One of the VMM's calls, on its own: its errno, and pages of a dirty log. */
export function engineCall(core: Core, run: Ptr, op: Op): { readonly errno: number; readonly sum: bigint } {
  const [at = 0] = runOps(core, run, [op], { times: 1, advance: 0n, span: 0n });
  return { errno: core.readU32(at + 52), sum: core.readU64(at + 56) };
}

type Rounds = Pick<RepeatOp, 'times' | 'advance' | 'span'>;

/** Where the steps are, now that they have run. */
function runOps(core: Core, run: Ptr, ops: readonly Op[], repeat: Rounds): Ptr[] {
  const page = core.readU32(run + RUN_PROGRAM);
  let end = page;
  const places = ops.map((op) => {
    const at = end;
    writeStep(core, at, op, repeat);
    end += stepsOf(op) * STEP_SIZE;
    return at;
  });
  core.x.vcpuProgram(run, page, (end - page) / STEP_SIZE, repeat.times);
  return places;
}

function writeStep({ u32, u64 }: Core, at: Ptr, op: Op, { advance, span }: Rounds): void {
  const isAccess = op.kind === 'load' || op.kind === 'store' || op.kind === 'fetchAdd';
  const isRange = op.kind === 'touch' || op.kind === 'fill' || op.kind === 'verify';
  u32[at >>> 2] = kindOf(op) as Step;
  u32[(at + 4) >>> 2] = isAccess ? op.size : Number(op.func);
  const arg = isRange ? BigInt(op.byte) : op.value;
  u64.set([op.gpa, op.len, arg, advance, span, 0n, 0n], (at + 8) >>> 3);
  if (!op.more) return;
  u32[(at + STEP_SIZE) >>> 2] = Step.Operands;
  u32[(at + STEP_SIZE + 4) >>> 2] = op.more.flags;
  u64.set([op.more.offset, BigInt(op.more.file), 0n, 0n, 0n, 0n, 0n], (at + STEP_SIZE + 8) >>> 3);
}

function readTally(core: Core, at: Ptr, op: Op): Tally {
  const last = core.readU32(at + 52);
  const isErrno = isRequest(op) || isCall(op) || op.kind === 'vmm';
  const name = isErrno ? errnoName(last) : last === Status.Ok ? undefined : exitReason(last);
  return { failures: core.readU32(at + 48), last: name, sum: core.readU64(at + 56) };
}
