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
import { isRequest, type Op, type RepeatOp } from './ops.ts';
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
};

const kindOf = (op: Op): Step | undefined =>
  op.as !== undefined ? undefined : op.kind === 'touch' && op.isWrite ? Step.TouchWrite : KINDS[op.kind];

/** Whether the engine has all these steps. Of requests it sends whatever it is told; INFO is answered by the driver. */
function hasAll(ops: readonly Op[], device: BoundDevice | undefined): boolean {
  const sent = (op: Op): boolean => device !== undefined && op.func > 0n && op.func <= U32_MAX;
  return ops.length <= MOST && ops.every((op) => kindOf(op) !== undefined && (!isRequest(op) || sent(op)));
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
  const page = core.readU32(run + RUN_PROGRAM);
  for (const [i, op] of ops.entries()) writeStep(core, page + i * STEP_SIZE, op, repeat);
  const rounds = core.x.vcpuProgram(run, page, ops.length, times) >>> 0;
  return { rounds, steps: ops.map((op, i) => readTally(core, page + i * STEP_SIZE, op)) };
}

function writeStep({ u32, u64 }: Core, at: Ptr, op: Op, { advance, span }: RepeatOp): void {
  const isAccess = op.kind === 'load' || op.kind === 'store';
  const isRange = op.kind === 'touch' || op.kind === 'fill' || op.kind === 'verify';
  u32[at >>> 2] = kindOf(op) as Step;
  u32[(at + 4) >>> 2] = isAccess ? op.size : Number(op.func);
  const arg = isRange ? BigInt(op.byte) : op.value;
  u64.set([op.gpa, op.len, arg, advance, span, 0n, 0n], (at + 8) >>> 3);
}

function readTally(core: Core, at: Ptr, op: Op): Tally {
  const last = core.readU32(at + 52);
  const isErrno = isRequest(op) || op.kind === 'vmm';
  const name = isErrno ? errnoName(last) : last === Status.Ok ? undefined : exitReason(last);
  return { failures: core.readU32(at + 48), last: name, sum: core.readU64(at + 56) };
}
