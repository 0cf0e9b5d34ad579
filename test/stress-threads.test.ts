// The long run: real threads, nobody drives them. vCPUs go through random programs over the same pages at the same time,
// in slices; after each slice, at a quiet point, every count is recounted and every page holds what it may hold.
// Bounded by a count of engine steps, not by the clock: STRESS_STEPS, all builds together. FUZZ_SEED repeats the programs
// (not what the scheduler of the machine does with them). `npm run stress` is an hour's worth.
import { describe, expect, it } from 'vitest';
import { TransportReg } from '../assembly/abi/pvmemcontrol.ts';
import { createHost, createSandbox, type Vm } from '../src/machine.ts';
import type { RepeatEnd } from '../src/threads/program.ts';
import { Contents } from './stress/contents.ts';
import { DROP, KEEP, PAGE, REGIONS, SAME } from './stress/regions.ts';
import { makeSlice } from './stress/slice.ts';
import { hvaAt, MIB } from './support/machines.ts';
import { Random } from './support/random.ts';

const STEPS = Number(process.env.STRESS_STEPS ?? 30_000_000);
/** Steps that fit into the engine's page for one program. */
const LENGTH = 64;
const ROUNDS = 300;
/** Every so many slices vCPUs also write to the registers of the device. */
const CHAOS = 8;
/** A slice takes well under a second; after so long somebody waits for ever. */
const DEADLOCK_MS = 120_000;

/** More vCPUs than most machines have cores: threads stop in the middle of everything. */
const MANY = 5;

const MACHINES = [
  ['anon', 'release', 2],
  ['anon', 'debug', 2],
  ['anon', 'release', MANY],
  ['anon', 'debug', MANY],
  ['thp', 'release', 2],
  ['thp', 'debug', MANY],
  ['memfd', 'release', MANY],
  ['memfd', 'debug', 2],
  ['memfd_priv', 'release', 2],
  ['memfd_priv', 'debug', MANY],
] as const;

/** Frames for half of the 2000 pages in use, so that reclaim is always near; of huge pages more is in use. */
const FRAMES = { anon: 1100, thp: 2200, memfd: 1100, memfd_priv: 1500 };

/** Rejects when `promise` does not settle: a deadlock would otherwise only be a slow test. */
async function inTime<T>(promise: Promise<T>, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: no end in ${DEADLOCK_MS / 1000} s`)), DEADLOCK_MS);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Locks and protections of the slice before go, so that the next one begins with memory it can use. */
function quieten(vm: Vm): void {
  for (const { first, pages } of REGIONS) {
    expect(vm.vmm.munlock(hvaAt(vm, first * PAGE), pages * PAGE)).toBe(0);
  }
}

/** A VM that does not run while the vCPUs do, and whose pages reclaim takes then: it must find all as it was. */
class Neighbour {
  readonly #vm: Vm;
  readonly #area = { gpa: 4 * MIB, len: 100 * 4096 };
  #byte = 0;

  constructor(vm: Vm) {
    this.#vm = vm;
    this.#fill();
  }

  #fill(): void {
    this.#byte = (this.#byte % 250) + 1;
    expect(this.#vm.guest.fill({ ...this.#area, byte: this.#byte })).toEqual({ pages: 100 });
  }

  /** What is wrong, in sentences; then it does some work of its own. */
  judge(): string[] {
    const { guest } = this.#vm;
    const out: string[] = [];
    const answer = guest.pvmemcontrol.setVmaAnonName({ gpa: 0, len: 0, arg: 1 });
    if (typeof answer === 'number' || answer.errno !== 0)
      out.push(`its request: ${JSON.stringify(answer, String)}`);
    const { differs } = guest.verify({ ...this.#area, byte: this.#byte });
    if (differs !== undefined) out.push(`its byte at ${differs} has changed`);
    this.#fill();
    return out;
  }
}

describe('stress › threads', () => {
  it.each(MACHINES)('%s, %s core, %i vCPUs', { timeout: 0 }, async (backing, core, cpus) => {
    const r = Random.fresh();
    const host = await createHost({
      memory: FRAMES[backing] * 4096,
      swap: 16 * MIB,
      core,
      wasmMemory: 'threads',
      events: false,
    });
    const vm = host.createVm({ memory: 64 * MIB, backing, cpus, threads: true });
    const neighbour = new Neighbour(host.createVm({ memory: 16 * MIB, backing }));
    const kept = new Map<bigint, bigint>();
    const contents = new Contents(vm);
    const registers = BigInt(vm.pci.window) + BigInt(TransportReg.Payload);
    let steps = 0;
    let shared = 0;
    try {
      expect(vm.vmm.madvise(hvaAt(vm, SAME.first * PAGE), SAME.pages * PAGE, 'mergeable')).toBe(0);
      for (let number = 1; steps < STEPS / MACHINES.length; number++) {
        const chaos = number % CHAOS === 0;
        const where = `seed ${r.seed}, slice ${number}`;
        const slice = makeSlice(r, {
          cpus,
          number,
          length: LENGTH,
          rounds: ROUNDS,
          kept,
          registers: chaos ? registers : undefined,
        });
        const results = await inTime(vm.run(slice.programs), where);
        expect(vm.host.check(), where).toEqual([]);
        expect(slice.judge(results as unknown as RepeatEnd[][]), where).toEqual([]);
        expect(contents.judge(number, kept), where).toEqual([]);
        expect(neighbour.judge(), where).toEqual([]);
        quieten(vm);
        // Pages that are equal now are one in the next slice.
        vm.host.ksm.scan(2);
        shared += vm.host.ksm.pagesShared;
        expect(vm.host.check(), where).toEqual([]);
        if (chaos) {
          vm.guest.driver.remove();
          expect(vm.guest.driver.probe(), where).toBe(0);
        }
        steps += slice.steps;
      }
      // Everything goes back: nothing has leaked. A file that is mapped privately keeps its pages.
      const advice = backing === 'memfd' ? 'remove' : 'dontneed';
      let inFile = 0;
      for (const { vmm, observe, ram } of host.vms) {
        expect(vmm.madvise(ram[0]?.hva ?? 0n, BigInt(ram[0]?.size ?? 0), advice)).toBe(0);
        inFile += observe.file()?.blocks ?? 0;
      }
      expect([vm.host.frames().used - inFile, vm.host.swap().used, vm.host.check()]).toEqual([0, 0, []]);
      const counters = vm.observe.counters();
      expect(counters['reclaim.swapout']).toBeGreaterThan(0);
      if (backing !== 'memfd') expect(shared).toBeGreaterThan(0);
      console.log(
        `${backing}, ${core}, ${cpus} vCPUs: ${steps} steps, ${shared} shared pages, seed ${r.seed}`,
      );
    } finally {
      await vm.close();
    }
  });
});

describe('stress › what it would notice', () => {
  it.each([
    ['a store that is lost', KEEP],
    ['bytes of another page', DROP],
  ])('%s', async (_name, { first, name }) => {
    const vm = await createSandbox({ memory: 16 * MIB, cpus: 2 });
    const kept = new Map<bigint, bigint>();
    const r = Random.fresh();
    const slice = makeSlice(r, { cpus: 2, number: 1, length: LENGTH, rounds: 2, kept });
    const results = vm.runInTurns(slice.programs) as unknown as RepeatEnd[][];
    const judge = (): string[] => [...slice.judge(results), ...new Contents(vm).judge(1, kept)];
    expect(judge(), `seed ${r.seed}`).toEqual([]);
    vm.ramAccess.write(first * PAGE, new Uint8Array(8).fill(0x77));
    expect(judge()).toEqual([expect.stringContaining(`${name}: 0x${(first * PAGE).toString(16)} holds`)]);
    // A load that saw something else.
    for (const tally of results[0]?.[0]?.steps ?? []) Object.assign(tally, { sum: tally.sum + 1n });
    expect(slice.judge(results).length).toBeGreaterThan(0);
  });
});
