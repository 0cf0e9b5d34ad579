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
  RUN_STATUS,
  RUN_VALUE,
  Status,
} from '../../assembly/abi/status.ts';
import { hex } from '../../src/address.ts';
import { hvaAt } from '../support/machines.ts';
import type { Call } from './fiber.ts';
import type { ExploreMachine } from './machine.ts';

/** One vCPU of a machine, and the calls it can make. */
export class Cpu {
  readonly #machine: ExploreMachine;
  readonly cpu: number;

  constructor(machine: ExploreMachine, cpu: number) {
    this.#machine = machine;
    this.cpu = cpu;
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
    return exits === 0 ? ok() : `${ok()}, unclaimed at ${hex(core.readU64(run + RUN_EXIT))}`;
  }
}
