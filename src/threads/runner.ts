// `vm.run`: programs for vCPUs to results, on threads where the VM has them, else in turns.
import type { Ptr } from '../core/exports.ts';
import { SlatboxError } from '../errors.ts';
import type { Vm } from '../vm.ts';
import { compile } from './compile.ts';
import { Lane, type LaneDriver } from './lane.ts';
import { isCall, isRequest, type ProgramOp, plainOps } from './ops.ts';
import { noRoom, ThreadPool } from './pool.ts';
import type { Program, ProgramResult, RunResults } from './program.ts';
import { assertThreads } from './spawn.ts';

export class Runner {
  readonly #vm: Vm;
  readonly #pool: ThreadPool | undefined;
  #closed = false;

  /** SlatboxError SLB-050 when threads are wanted where there can be none. */
  constructor(vm: Vm, threads: boolean) {
    this.#vm = vm;
    if (!threads) return;
    assertThreads();
    const { core } = vm.host;
    if (!core.shared) {
      const hint = "make the host with wasmMemory: 'threads'";
      throw new SlatboxError('SLB-050', 'no threads for vCPUs: the memory of this host is not shared', hint);
    }
    this.#pool = new ThreadPool(core, vm.ptr, (cpu): Ptr => vm.guest.run(cpu));
  }

  get threads(): boolean {
    return this.#pool !== undefined;
  }

  async run<const P extends readonly Program[]>(programs: P): Promise<RunResults<P>> {
    if (!this.#pool) return this.inTurns(programs);
    const { ops, driver } = this.#prepare(programs);
    return (await this.#pool.run(ops, driver)) as unknown as RunResults<P>;
  }

  inTurns<const P extends readonly Program[]>(programs: P): RunResults<P> {
    const { ops, driver } = this.#prepare(programs);
    const { core } = this.#vm.host;
    const results: ProgramResult[][] = ops.map(() => []);
    const lanes = ops.map((program, cpu) =>
      new Lane(core, this.#vm.ptr, this.#vm.guest.run(cpu), cpu, driver).steps(program),
    );
    const going = new Map(lanes.entries());
    while (going.size > 0) {
      for (const [cpu, lane] of going) {
        const step = lane.next();
        if (!step.done) continue;
        results[cpu] = step.value;
        going.delete(cpu);
      }
    }
    return results as unknown as RunResults<P>;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#pool?.close(closed());
  }

  /** What a run needs from the main thread: programs without mistakes, and a driver that has found its device. */
  #prepare(programs: readonly Program[]): { ops: ProgramOp[][]; driver: LaneDriver } {
    if (this.#closed) throw closed();
    this.#vm.host.core.assertAllowed();
    const { guest, cpus, abi, vmm } = this.#vm;
    const ops = compile(programs, cpus, abi, vmm.files);
    this.#pagesForCalls(ops);
    if (!ops.some((program) => plainOps(program).some(isRequest))) return { ops, driver: { refused: 0 } };
    const refused = guest.pvmemcontrol.bind();
    const { device } = guest.driver.save();
    return { ops, driver: device ? { device } : { refused } };
  }

  /** The VMM's calls are made by the engine's own program, for which a vCPU has a page. */
  #pagesForCalls(ops: readonly (readonly ProgramOp[])[]): void {
    const { x } = this.#vm.host.core;
    for (const [cpu, program] of ops.entries()) {
      if (plainOps(program).some(isCall) && x.programPage(this.#vm.guest.run(cpu)) === 0) throw noRoom();
    }
  }
}

const closed = (): SlatboxError =>
  new SlatboxError('SLB-053', 'this VM is closed', 'make a new one to run more');
