// The vCPU threads of one VM, and the run: the time in which they execute. While it is on, nothing else may use the
// engine. A thread that is lost in a run leaves locks and half-done changes behind, so the host is lost with it.
import type { Core } from '../core/core.ts';
import type { Ptr } from '../core/exports.ts';
import { SlatboxError } from '../errors.ts';
import { createGate } from './gate.ts';
import type { LaneDriver } from './lane.ts';
import type { FromThread } from './messages.ts';
import { isCall, type ProgramOp, plainOps } from './ops.ts';
import type { ProgramResult } from './program.ts';
import { spawnThread, type Thread } from './spawn.ts';

type Results = readonly ProgramResult[];

/** A vCPU's thread; `ready` when it has its instance of the engine. */
interface Member extends Thread {
  readonly ready: Promise<void>;
  readonly settle: { resolve(): void; reject(error: SlatboxError): void };
}

/** A run that is on: who is still at work, and who waits for the end. */
interface Run {
  readonly working: Set<number>;
  readonly results: Results[];
  readonly resolve: (results: Results[]) => void;
  readonly reject: (error: SlatboxError) => void;
}

export class ThreadPool {
  readonly #core: Core;
  readonly #vm: Ptr;
  readonly #runOf: (cpu: number) => Ptr;
  readonly #members = new Map<number, Member>();
  #run: Run | undefined;

  constructor(core: Core, vm: Ptr, runOf: (cpu: number) => Ptr) {
    this.#core = core;
    this.#vm = vm;
    this.#runOf = runOf;
  }

  /** All programs that have steps at the same time, each on its vCPU's thread. SlatboxError SLB-025, SLB-050, SLB-052. */
  async run(programs: readonly (readonly ProgramOp[])[], driver: LaneDriver): Promise<Results[]> {
    const cpus = [...programs.keys()].filter((cpu) => programs[cpu]?.length);
    if (cpus.length === 0) return programs.map(() => []);
    const core = this.#core;
    const { x } = core;
    core.refuse(busy);
    const members = await this.#gather(cpus).catch((error: SlatboxError) => {
      core.allow();
      throw error;
    });
    const kvm = programs.some((ops) => plainOps(ops).some(isCall));
    if (x.threadsStart(this.#vm, kvm ? 1 : 0) === 0) {
      core.allow();
      throw noRoom();
    }
    const ended = new Promise<Results[]>((resolve, reject) => {
      this.#run = { working: new Set(cpus), results: programs.map(() => []), resolve, reject };
    });
    const common = { kind: 'run', driver, gate: createGate(), threads: cpus.length } as const;
    for (const [cpu, member] of members) {
      member.hold(true);
      member.post({ ...common, ops: programs[cpu] ?? [] });
    }
    const results = await ended;
    core.allow();
    x.threadsFold(this.#vm);
    return results;
  }

  /** Ends all threads. A run that is on ends with `why`, and the host with it. */
  async close(why: SlatboxError): Promise<void> {
    const run = this.#run;
    this.#run = undefined;
    // Whoever uses the host afterwards is told what became of it.
    if (run) this.#core.refuse(() => new SlatboxError(why.code, why.message, why.hint));
    const members = [...this.#members.values()];
    this.#members.clear();
    for (const { settle } of members) settle.reject(why);
    await Promise.all(members.map((member) => member.end()));
    run?.reject(why);
  }

  /** The threads of these vCPUs, started where they are not there yet, when all of them are ready. */
  async #gather(cpus: readonly number[]): Promise<Map<number, Member>> {
    const members = new Map(cpus.map((cpu) => [cpu, this.#members.get(cpu) ?? this.#start(cpu)]));
    for (const member of members.values()) await member.ready;
    for (const [cpu, member] of members)
      if (this.#members.get(cpu) !== member) throw notStarted(cpu, 'it is gone');
    return members;
  }

  #start(cpu: number): Member {
    const thread = spawnThread(`slatbox vCPU ${cpu}`, {
      message: (message) => this.#heard(cpu, message),
      died: (reason) => this.#lost(cpu, reason),
    });
    let settle: Member['settle'] | undefined;
    const ready = new Promise<void>((resolve, reject) => {
      settle = { resolve, reject };
    });
    // Nobody may be waiting when an idle thread dies.
    ready.catch(() => {});
    const member: Member = { ...thread, ready, settle: settle as unknown as Member['settle'] };
    this.#members.set(cpu, member);
    thread.hold(true);
    const { module, memory } = this.#core;
    thread.post({ kind: 'attach', module, memory, vm: this.#vm, run: this.#runOf(cpu), cpu });
    return member;
  }

  #heard(cpu: number, message: FromThread): void {
    const member = this.#members.get(cpu);
    if (message.kind === 'failed') this.#lost(cpu, message.reason);
    else if (message.kind === 'ready') {
      member?.hold(false);
      member?.settle.resolve();
    } else if (this.#run?.working.delete(cpu)) {
      const run = this.#run;
      run.results[cpu] = message.results;
      member?.hold(false);
      if (run.working.size > 0) return;
      this.#run = undefined;
      run.resolve(run.results);
    }
  }

  #lost(cpu: number, reason: string): void {
    if (this.#run?.working.has(cpu)) {
      void this.close(brokenBy(cpu, reason));
      return;
    }
    // Outside of a run it has nothing in its hands: the next run starts another one.
    const member = this.#members.get(cpu);
    this.#members.delete(cpu);
    member?.settle.reject(notStarted(cpu, reason));
    void member?.end();
  }
}

export const noRoom = (): SlatboxError =>
  new SlatboxError(
    'SLB-025',
    'no room for what the threads keep for themselves',
    'give the host more memory',
  );

const busy = (): SlatboxError =>
  new SlatboxError('SLB-051', 'the vCPUs are running', 'await the promise of `run` before anything else');

const notStarted = (cpu: number, reason: string): SlatboxError =>
  new SlatboxError('SLB-050', `no thread for vCPU ${cpu}: ${reason}`, 'run `npm run build` first');

const brokenBy = (cpu: number, reason: string): SlatboxError =>
  new SlatboxError(
    'SLB-052',
    `the thread of vCPU ${cpu} was lost in a run: ${reason}`,
    'make a new host: this one was left in the middle of an operation',
  );
