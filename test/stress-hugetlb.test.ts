// The stress on hugetlb pages, which have rules of their own: nothing smaller than a page is dropped or protected, nothing is
// reclaimed, and without a page an access ends in EFAULT. Real threads go through random programs over a few pages, fewer
// than which the host has; at each quiet point every count is recounted, and each word is what its owner stored or nothing.
// Bounded by a count of steps: a fortieth of STRESS_STEPS. FUZZ_SEED repeats the programs.
import { describe, expect, it } from 'vitest';
import { createHost, type Program, type RepeatEnd, type Vm } from '../src/index.ts';
import type { PlainStep } from '../src/threads/program.ts';
import { hvaAt, MIB, PAGE } from './support/machines.ts';
import { Random } from './support/random.ts';

const STEPS = Number(process.env.STRESS_STEPS ?? 30_000_000) / 40;
const HUGE = 2 * MIB;
/** Pages that are used, from the second on: the first has the driver's buffers. */
const PAGES = 4;
const LENGTH = 48;
const ROUNDS = 100;

const MACHINES = [
  ['hugetlb', 'release', 2],
  ['hugetlb', 'debug', 5],
  ['hugetlb_shared', 'release', 5],
  ['hugetlb_shared', 'debug', 2],
] as const;

/** Where vCPU `cpu` stores in a page, and what. */
const placeOf = (page: number, cpu: number): number => (1 + page) * HUGE + (77 * cpu + 3) * PAGE + 8;
const tagOf = (page: number, cpu: number): bigint => 0x5a5a_0000n + BigInt(page * 256 + cpu + 1);

function stepOf(r: Random, cpu: number): PlainStep {
  const page = r.below(PAGES);
  const whole = { gpa: (1 + page) * HUGE, len: (1 + r.below(PAGES - page)) * HUGE };
  const part = { gpa: whole.gpa + r.below(512) * PAGE, len: (1 + r.below(600)) * PAGE };
  return r.pick<() => PlainStep>([
    () => ({ store: { gpa: placeOf(page, cpu), val: tagOf(page, cpu) } }),
    () => ({ store: { gpa: placeOf(page, cpu), val: tagOf(page, cpu) } }),
    () => ({ load: { gpa: placeOf(page, r.below(5)) } }),
    () => ({ touch: { gpa: whole.gpa, len: 8 * PAGE } }),
    () => ({ dontneed: whole }),
    () => ({ dontneed: part }),
    () => ({ remove: part }),
    () => ({ vmm: { call: 'dontneed', ...whole } }),
    () => ({ mprotectR: whole }),
    () => ({ mprotectRw: whole }),
    () => ({ mprotectNone: part }),
    () => ({ mlock: whole }),
    () => ({ munlock: whole }),
    () => ({ free: whole }),
    () => ({ info: {} }),
  ])();
}

/** What a step may end with besides success, by its name. */
const FAILS: Readonly<Record<string, readonly string[]>> = {
  store: ['EFAULT'],
  load: ['EFAULT'],
  touch: ['EFAULT'],
  // Locked, or no whole pages.
  dontneed: ['EINVAL'],
  vmm: ['EINVAL'],
  remove: ['EINVAL', 'EACCES'],
  free: ['EINVAL'],
  mprotectNone: ['EINVAL'],
  // The VMA is locked, but without a page.
  mlock: ['ENOMEM', 'EAGAIN'],
};

function judge(vm: Vm, programs: readonly PlainStep[][], results: readonly RepeatEnd[]): string[] {
  const out: string[] = [];
  programs.forEach((steps, cpu) => {
    steps.forEach((step, i) => {
      const name = Object.keys(step)[0] as string;
      const { failures, last } = results[cpu]?.steps[i] ?? { failures: -1, last: 'nothing' };
      if (last !== undefined && !FAILS[name]?.includes(last))
        out.push(`vCPU ${cpu}: ${name} ended ${failures} times in ${last}`);
    });
  });
  for (let page = 0; page < PAGES; page++) {
    for (let cpu = 0; cpu < vm.cpus; cpu++) {
      const bytes = vm.ramAccess.read(placeOf(page, cpu), 8);
      const word = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
      if (word !== 0n && word !== tagOf(page, cpu))
        out.push(`page ${page}, vCPU ${cpu}: 0x${word.toString(16)}`);
    }
  }
  return out;
}

describe('stress › hugetlb', () => {
  it.each(MACHINES)('%s, %s core, %i vCPUs', { timeout: 0 }, async (backing, core, cpus) => {
    const r = Random.fresh();
    // The driver's page, and one less than the programs use.
    const host = await createHost({
      memory: PAGES * HUGE,
      swap: 0,
      core,
      wasmMemory: 'threads',
      events: false,
    });
    const vm = host.createVm({ memory: 16 * MIB, backing, cpus, threads: true });
    const ram = BigInt(16 * MIB);
    let steps = 0;
    let exhausted = 0;
    try {
      for (let slice = 0; steps < STEPS / MACHINES.length; slice++) {
        const where = `seed ${r.seed}, slice ${slice}`;
        const programs = Array.from({ length: cpus }, (_, cpu) =>
          Array.from({ length: LENGTH }, () => stepOf(r, cpu)),
        );
        const run = programs.map((plan): Program => [{ repeat: { times: ROUNDS, steps: plan } }]);
        const results = (await vm.run(run)).map(([end]) => end as RepeatEnd);
        expect(host.check(), where).toEqual([]);
        expect(judge(vm, programs, results), where).toEqual([]);
        // Nobody takes the right to read away but in the rarest case: these found no page.
        programs.forEach((plan, cpu) => {
          plan.forEach((step, i) => {
            if ('touch' in step || 'load' in step) exhausted += results[cpu]?.steps[i]?.failures ?? 0;
          });
        });
        expect(vm.vmm.munlock(hvaAt(vm, 0), ram), where).toBe(0);
        expect(vm.vmm.mprotect(hvaAt(vm, 0), ram, 3), where).toBe(0);
        steps += cpus * LENGTH * ROUNDS;
      }
      expect(exhausted, `seed ${r.seed}`).toBeGreaterThan(0);
      const advice = backing === 'hugetlb_shared' ? 'remove' : 'dontneed';
      expect(vm.vmm.madvise(hvaAt(vm, 0), ram, advice)).toBe(0);
      expect([host.frames().used, vm.observe.counters()['host.hugetlb'], host.check()]).toEqual([0, 0, []]);
      console.log(
        `${backing}, ${core}, ${cpus} vCPUs: ${steps} steps, ${exhausted} without a page, seed ${r.seed}`,
      );
    } finally {
      await vm.close();
    }
  });
});
