// A vCPU thread alone does what one thread of control does. The list of mappings is divided into regions only while
// threads run (assembly/mm/regions.ts), so the two ways into the same VMAs check each other: results, counters, digest.
import { describe, expect, it } from 'vitest';
import type { PlainStep, Program, Vm, VmOptions } from '../src/index.ts';
import { BUILDS, MIB, machine, PAGE } from './support/machines.ts';
import { Random } from './support/random.ts';

const THREADS = BUILDS.filter(([, { wasmMemory }]) => wasmMemory === 'threads');
const RUNS = 60;
const STEPS = 80;
/** Regions of 2 MiB, and one VMA over all of them. */
const MEMORY = 16 * MIB;
const CHUNK = 2 * MIB;

const KINDS: readonly [string, Partial<VmOptions>][] = [
  ['no limits', {}],
  ['accounted memory', { backing: 'anon_acct' }],
  ['room for three more VMAs', { maxMapCount: 34 }],
  ['room for one more VMA', { maxMapCount: 32 }],
  ['8 pages may be locked', { memlock: 8 * PAGE }],
];

/** Near the borders of regions mostly: on them, next to them, over them. */
function range(r: Random): { gpa: number; len: number } {
  const border = r.below(MEMORY / CHUNK - 1) * CHUNK + CHUNK;
  const gpa = border + (r.below(9) - 4) * PAGE;
  return r.chance(5) ? { gpa: border, len: CHUNK * (1 + r.below(3)) } : { gpa, len: (1 + r.below(8)) * PAGE };
}

const LOCKS = ['mlock', 'munlock'] as const;
const CALLS = [
  ...LOCKS,
  'mprotectNone',
  'mprotectR',
  'mprotectRw',
  'dontdump',
  'mergeable',
  'unmergeable',
] as const;

function step(r: Random): PlainStep {
  const at = range(r);
  switch (r.below(8)) {
    case 0:
      return { store: { gpa: at.gpa, val: r.bits() } };
    case 1:
      return { load: { gpa: at.gpa } };
    case 2:
      return { vmm: { call: r.pick(['dontneed', 'free', 'pageout'] as const), ...at } };
    case 3:
      return { vmm: { call: 'setVmaAnonName', ...at, arg: r.below(3) } };
    default:
      return { vmm: { call: r.pick(CALLS), ...at } };
  }
}

/** What an observer sees, but for metadata: regions have some of their own. */
function seen(vm: Vm): unknown {
  const { 'metadata.bytes': _ours, ...counters } = vm.observe.counters();
  return { counters, digest: vm.host.digest(), smaps: vm.observe.smapsText(), broken: vm.host.check() };
}

describe.each(THREADS)('threads › regions › %s', (_name, build) => {
  it.each(KINDS)('%s', { timeout: 120_000 }, async (_kind, options) => {
    const r = Random.fresh();
    for (let run = 0; run < RUNS / 10; run++) {
      await using vm = await machine(build, { memory: MEMORY, cpus: 2, threads: true, ...options });
      const turns = await machine(build, { memory: MEMORY, cpus: 2, ...options });
      for (let again = 0; again < 10; again++) {
        const program: Program = Array.from({ length: STEPS }, () => step(r));
        // The second vCPU: the first has what a limit leaves over when it is shared out.
        const [, results] = await vm.run([[], program]);
        const [, expected] = turns.runInTurns([[], program]);
        const where = `seed ${r.seed}, run ${run}.${again}`;
        expect(results, where).toEqual(expected);
        expect(seen(vm), where).toEqual(seen(turns));
      }
    }
  });
});
