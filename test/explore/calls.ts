// What a vCPU can do, as calls of the engine with their results as text. All of it goes the guest's way: accesses at
// guest-physical addresses, MMIO, the per-CPU buffer.
import type { Func, TransportCommand } from '../../assembly/abi/pvmemcontrol.ts';
import {
  Access,
  RUN_BUFFER,
  RUN_EXIT,
  RUN_EXITS,
  RUN_FAULT_GPA,
  RUN_FAULT_WRITE,
  RUN_PROGRAM,
  RUN_STATUS,
  RUN_VALUE,
  STEP_SIZE,
  Status,
  Step,
} from '../../assembly/abi/status.ts';
import { hex } from '../../src/address.ts';
import type { Ptr } from '../../src/core/exports.ts';
import type { Vm } from '../../src/machine.ts';
import { hvaAt } from '../support/machines.ts';
import type { Call } from './fiber.ts';
import type { ExploreMachine } from './machine.ts';

/** Kind, size, gpa, len and arg of a step. */
type EngineStep = readonly [kind: Step, size: number, gpa: bigint, len: bigint, arg: bigint];

/** One vCPU of a machine, and the calls it can make. */
export class Cpu {
  readonly #machine: ExploreMachine;
  readonly cpu: number;

  constructor(machine: ExploreMachine, cpu: number) {
    this.#machine = machine;
    this.cpu = cpu;
  }

  get vm(): Vm {
    return this.#machine.vm;
  }

  /** A value, a byte and a name that only this vCPU gives. */
  get tag(): bigint {
    return 0xa1n + BigInt(this.cpu);
  }

  load(gpa: bigint, size = 8): Call {
    const { run } = this;
    return {
      steps: 'access',
      run: (x) => x.vcpuLoad(run, gpa, size, Access.Read),
      result: (status) => this.#ended(status, () => `= ${hex(this.#value(size))}`),
    };
  }

  store(gpa: bigint, value: bigint, size = 8): Call {
    const { run } = this;
    return {
      steps: 'access',
      run: (x) => x.vcpuStore(run, gpa, size, value),
      result: (status) => this.#ended(status, () => 'stored'),
    };
  }

  /** A locked addition. */
  add(gpa: bigint, value: bigint): Call {
    const { run } = this;
    return {
      steps: 'emulated',
      run: (x) => x.vcpuAdd(run, gpa, 8, value),
      result: (status) => this.#ended(status, () => `was ${hex(this.#value(8))}`),
    };
  }

  /** Guest code in a loop, here of one round: another way into the engine than `load` and `store`. */
  touch(gpa: bigint, byte?: number): Call {
    const { run } = this;
    return {
      steps: 'access',
      run: (x) => x.vcpuTouch(run, gpa, 1n, byte === undefined ? 0 : 1, byte ?? 0),
      result: () =>
        this.#ended(this.#machine.core.readU32(run + RUN_STATUS), () =>
          byte === undefined ? `= ${hex(this.#value(8))}` : 'stored',
        ),
    };
  }

  /** A request through this vCPU's own buffer; what the driver reads back from it. */
  request(func: Func, gpa: bigint, len: bigint, arg = 0n): Call {
    const { run } = this;
    const machine = this.#machine;
    const { u64 } = machine.core;
    const words = (run + RUN_BUFFER) >>> 3;
    return {
      start: () => u64.set([BigInt(func), gpa, len, arg], words),
      run: (x) =>
        x.vcpuRequest(run, machine.bufferOf(this.cpu), machine.commandRegister, machine.doorbellOf(this.cpu)),
      result: (status) =>
        this.#ended(
          status,
          () => `answer ${Array.from(u64.subarray(words, words + 4), (word) => word.toString(16)).join(' ')}`,
        ),
    };
  }

  /** The VMM's own system call on its mapping of guest memory. */
  hostCall(func: Func, gpa: bigint, len: bigint, arg = 0n): Call {
    const { vm } = this.#machine;
    return {
      run: (x) => x.hostCall(vm.ptr, func, hvaAt(vm, gpa), len, arg),
      result: (errno) => `errno ${errno}`,
    };
  }

  /** KVM_SET_USER_MEMORY_REGION2 of a slot; `len` 0 deletes it. */
  region(o: { slot: number; flags?: number; gpa?: bigint; len: bigint; hva?: bigint; file?: Ptr }): Call {
    const { slot, flags = 0, gpa = 0n, len, hva = 0n, file = 0 } = o;
    const more = [Step.Operands, flags, 0n, BigInt(file), 0n] as const;
    return this.#steps('errno', [Step.SetRegion, slot, gpa, len, hva], more);
  }

  /** KVM_GET_DIRTY_LOG: how many pages were in it. */
  readLog(slot: number): Call {
    return this.#steps('pages', [Step.GetDirtyLog, slot, 0n, 0n, 0n]);
  }

  /** KVM_CLEAR_DIRTY_LOG, all bits. */
  clearLog(slot: number, first: bigint, pages: bigint): Call {
    return this.#steps('errno', [Step.ClearDirtyLog, slot, 0n, pages, first]);
  }

  attributes(gpa: bigint, len: bigint, attributes: number): Call {
    return this.#steps('errno', [Step.SetAttributes, 0, gpa, len, BigInt(attributes)]);
  }

  fallocate(file: Ptr, mode: number, offset: bigint, len: bigint): Call {
    return this.#steps('errno', [Step.Fallocate, mode, offset, len, BigInt(file)]);
  }

  /** kvm_mmu_invalidate_begin for pages from gpa on; until `invalidateEnd` they cannot be mapped. */
  invalidateBegin(gpa: bigint, len: bigint): Call {
    const { vm } = this.#machine;
    return {
      run: (x) => {
        x.invalidateBegin(vm.ptr, gpa >> 12n, (gpa + len) >> 12n);
        return 0;
      },
      result: () => 'begun',
    };
  }

  invalidateEnd(): Call {
    const { vm } = this.#machine;
    return {
      run: (x) => {
        x.invalidateEnd(vm.ptr);
        return 0;
      },
      result: () => 'ended',
    };
  }

  /** Steps of a vCPU's program (assembly/vcpu/program.ts), of which the first tells. */
  #steps(tells: 'errno' | 'pages', ...steps: readonly EngineStep[]): Call {
    const { core } = this.#machine;
    const { run } = this;
    const page = (): number => core.readU32(run + RUN_PROGRAM);
    return {
      start: () => {
        for (const [i, [kind, size, gpa, len, arg]] of steps.entries()) {
          const at = page() + i * STEP_SIZE;
          core.u32.set([kind, size], at >>> 2);
          core.u64.set([gpa, len, arg, 0n, 0n, 0n, 0n], (at + 8) >>> 3);
        }
      },
      run: (x) => x.vcpuProgram(run, page(), steps.length, 1),
      result: () => {
        const errno = core.readU32(page() + 52);
        return tells === 'pages' && errno === 0 ? `${core.readU64(page() + 56)} pages` : `errno ${errno}`;
      },
    };
  }

  /** A transport command: a store to the command register. */
  command(command: TransportCommand): Call {
    return this.store(this.#machine.commandRegister, BigInt(command), 4);
  }

  /** What the device answers: a load of the command register. */
  answer(): Call {
    return this.load(this.#machine.commandRegister, 4);
  }

  payload(): Call {
    return this.load(this.#machine.commandRegister - 8n, 8);
  }

  setPayload(value: bigint): Call {
    return this.store(this.#machine.commandRegister - 8n, value, 8);
  }

  get run(): number {
    return this.#machine.runOf(this.cpu);
  }

  #value(size: number): bigint {
    return BigInt.asUintN(size * 8, this.#machine.core.readU64(this.run + RUN_VALUE));
  }

  #ended(status: number | bigint, ok: () => string): string {
    const { core } = this.#machine;
    const { run } = this;
    if (status !== Status.Ok) {
      const way = core.readU32(run + RUN_FAULT_WRITE) ? 'write' : 'read';
      return `${Status[Number(status)]} ${way} ${hex(core.readU64(run + RUN_FAULT_GPA))}`;
    }
    const exits = core.readU32(run + RUN_EXITS);
    if (exits === 0) return ok();
    const way = core.readU32(run + RUN_EXIT + 20) ? 'write' : 'read';
    return `${ok()}, unclaimed ${way} of ${core.readU32(run + RUN_EXIT + 16)} at ${hex(core.readU64(run + RUN_EXIT))}`;
  }
}
