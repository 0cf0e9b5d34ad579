// Two vCPUs of one guest, each in a worker with an instance of the core of its own, that run programs in the engine
// (assembly/vcpu/program.ts) alone or at the same time. The native crew (bench/native/crew.c) does the same in C.
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import {
  RUN_DRIVER_BUFFER,
  RUN_DRIVER_DOORBELL,
  RUN_DRIVER_REGISTER,
  RUN_PROGRAM,
  STEP_SIZE,
} from '../../dist/assembly/abi/status.js';
import { createSandbox } from '../../dist/src/index.js';
import { BAR0, COMMAND, connect, PAGE } from '../machine.mjs';

const CORE = new URL('../../dist/build/release-threads.wasm', import.meta.url);
/** Where the guest's driver has its per-CPU buffers: a page each, next to each other. */
const BUFFERS = 0x8000;
/** Milliseconds. Programs take some dozens; one that is not back by then will not come back. */
const PATIENCE = 60_000;

/**
 * A step, and where it is in round r: gpa + (r × advance mod span).
 * @typedef {{ kind: number, size?: number, gpa: number, len?: number, arg?: number, advance?: number, span?: number }} Step
 * What a worker is told: `rounds` of the program at `at`, when as many as `members` are there.
 * @typedef {{ at: number, steps: number, rounds: number, members: number }} Job
 */

export class Crew {
  #workers;
  #arrived;

  /** Use `open`. @param {import('../../dist/src/index.js').Vm} vm @param {Worker[]} workers @param {Int32Array} arrived */
  constructor(vm, workers, arrived) {
    this.vm = vm;
    this.core = vm.host.core;
    this.#workers = workers;
    this.#arrived = arrived;
  }

  /** A guest with a vCPU on each of `cpus`, its driver connected. @param {readonly number[]} cpus */
  static async open(cpus, options = {}) {
    const vm = await createSandbox({
      cpus: cpus.length,
      swap: 0,
      events: false,
      wasmMemory: 'threads',
      ...options,
    });
    const { core } = vm.host;
    connect(
      vm,
      cpus.map((_, cpu) => BUFFERS + cpu * PAGE),
    );
    const module = await WebAssembly.compile(readFileSync(CORE));
    const arrived = new Int32Array(new SharedArrayBuffer(4));
    const workers = [];
    for (const [index, cpu] of cpus.entries()) {
      const run = vm.guest.run(index);
      core.u64[(run + RUN_DRIVER_BUFFER) >>> 3] = BigInt(BUFFERS + index * PAGE);
      core.u64[(run + RUN_DRIVER_REGISTER) >>> 3] = BigInt(BAR0 + COMMAND);
      core.u32[(run + RUN_DRIVER_DOORBELL) >>> 2] = 0x80000000 + index;
      const worker = new Worker(new URL('worker.mjs', import.meta.url), {
        workerData: { module, memory: core.memory, run, cpu, arrived },
      });
      await once(worker, 'message');
      workers.push(worker);
    }
    return new Crew(vm, workers, arrived);
  }

  /**
   * Runs `rounds` rounds of a program on each of these vCPUs, all at once: nanoseconds until the last of them had
   * ended, and the worst of what the CPUs did meanwhile. Throws when a step failed, or when a vCPU does not come back.
   * The program may be another one on each: it is made for the vCPU.
   * @param {readonly number[]} members @param {(cpu: number) => readonly Step[]} program @param {number} rounds
   * @returns {Promise<import('../cpus.mjs').Timed>}
   */
  async run(members, program, rounds) {
    const { core, vm } = this;
    if (core.x.threadsStart(vm.ptr, 0) === 0) throw new Error('no room for vCPU threads');
    this.#arrived[0] = 0;
    const programs = members.map((cpu) => ({ cpu, steps: program(cpu), at: this.#programPage(cpu) }));
    for (const { at, steps } of programs) this.#write(at, steps);
    const times = await Promise.all(
      programs.map(async ({ cpu, at, steps }) => {
        const worker = /** @type {Worker} */ (this.#workers[cpu]);
        worker.postMessage({ at, steps: steps.length, rounds, members: members.length });
        const signal = AbortSignal.timeout(PATIENCE);
        return /** @type {Promise<[import('../cpus.mjs').Timed]>} */ (once(worker, 'message', { signal }));
      }),
    );
    core.x.threadsFold(vm.ptr);
    for (const { cpu, at, steps } of programs) this.#mustHaveWorked(cpu, at, steps);
    /** @type {number[]} */
    const each = [];
    members.forEach((cpu, i) => {
      each[cpu] = times[i]?.[0].ns ?? 0;
    });
    return {
      each,
      ns: Math.max(...times.map(([{ ns }]) => ns)),
      waited: Math.max(...times.map(([{ waited }]) => waited)),
      probe: Math.max(...times.map(([{ probe }]) => probe)),
    };
  }

  async close() {
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }

  #programPage(/** @type {number} */ cpu) {
    return this.core.readU32(this.vm.guest.run(cpu) + RUN_PROGRAM);
  }

  /** Layout: assembly/vcpu/program.ts. */
  #write(/** @type {number} */ at, /** @type {readonly Step[]} */ steps) {
    if (steps.length * STEP_SIZE > PAGE) throw new Error(`${steps.length} steps do not fit in a page`);
    steps.forEach(({ kind, size = 0, gpa, len = 0, arg = 0, advance = 0, span = 0 }, i) => {
      const step = at + i * STEP_SIZE;
      this.core.u32.set([kind, size], step >>> 2);
      this.core.u64.set([gpa, len, arg, advance, span, 0, 0].map(BigInt), (step + 8) >>> 3);
    });
  }

  #mustHaveWorked(/** @type {number} */ cpu, /** @type {number} */ at, /** @type {readonly Step[]} */ steps) {
    steps.forEach(({ kind, size }, i) => {
      const failures = this.core.readU32(at + i * STEP_SIZE + 48);
      const last = this.core.readU32(at + i * STEP_SIZE + 52);
      if (failures > 0)
        throw new Error(
          `vCPU ${cpu}, step ${i} (kind ${kind}, size ${size}): ${failures} failed, the last with ${last}`,
        );
    });
  }
}
