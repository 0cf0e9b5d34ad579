// One slice of the stress: a random program for each vCPU, gone through many times, and what must come of it.
import type { Func } from '../../assembly/abi/pvmemcontrol.ts';
import type { PlainStep, Program, RepeatEnd } from '../../src/threads/program.ts';
import type { Random } from '../support/random.ts';
import type { Pages, Region } from './regions.ts';
import { BUFFERS, DROP, GUARD, KEEP, ownerOf, PAGE, REGIONS, SAME, sameOf, tagOf, WORDS } from './regions.ts';

/** A step, and what its results in all rounds together must be. */
interface Planned {
  readonly step: PlainStep;
  /** Ways in which it may fail; none: it must not. `any`: the device may be in any state. */
  readonly fails: readonly string[] | 'any';
  /** Value that a load must see every time; undefined: others may have changed it. */
  readonly value?: bigint | undefined;
}

export interface Slice {
  readonly programs: readonly Program[];
  /** Engine steps of all vCPUs. */
  readonly steps: number;
  /** What is wrong with the results, in sentences. */
  judge(results: readonly (readonly RepeatEnd[])[]): string[];
}

/** Requests on a range, by the name of their step. */
type RequestName = Exclude<Uncapitalize<keyof typeof Func>, 'info'>;

export interface SliceOptions {
  readonly cpus: number;
  readonly number: number;
  /** Steps of one vCPU's program, and how often it is gone through. */
  readonly length: number;
  readonly rounds: number;
  /** The window of the device's registers, if vCPUs shall write transport commands there at random. */
  readonly registers?: bigint | undefined;
  /** What is in the pages of `KEEP` now, by address; updated with what this slice stores. */
  readonly kept: Map<bigint, bigint>;
}

const COMMANDS = [0x060fe6d2, 0x0e359539, 0x0ca8d227, 0x030f5da0];

export function makeSlice(r: Random, options: SliceOptions): Slice {
  const { cpus, length, rounds } = options;
  const plans = Array.from({ length: cpus }, (_, cpu) => new CpuPlan(r, options, cpu).make(length));
  return {
    programs: plans.map((plan) => [{ repeat: { times: rounds, steps: plan.map(({ step }) => step) } }]),
    steps: cpus * length * rounds,
    judge: (results) =>
      plans.flatMap((plan, cpu) =>
        plan.flatMap((planned, i) =>
          judgeStep(planned, results[cpu]?.[0] as RepeatEnd, i).map((s) => `vCPU ${cpu}: ${s}`),
        ),
      ),
  };
}

function judgeStep({ step, fails, value }: Planned, { rounds, steps }: RepeatEnd, i: number): string[] {
  const tally = steps[i];
  if (!tally) return [`no result for step ${i}`];
  const text = JSON.stringify(step, (_, v) => (typeof v === 'bigint' ? `0x${v.toString(16)}` : v));
  const out: string[] = [];
  // Of its failures a step tells only how the last round ended.
  const allowed =
    fails === 'any' || (tally.last === undefined ? fails.length > 0 : fails.includes(tally.last));
  if (tally.failures > 0 && !allowed) out.push(`${text} failed ${tally.failures} times, last: ${tally.last}`);
  if (value !== undefined && tally.sum !== BigInt.asUintN(64, value * BigInt(rounds))) {
    out.push(
      `${text} loaded 0x${tally.sum.toString(16)} in ${rounds} rounds, not 0x${value.toString(16)} each time`,
    );
  }
  return out;
}

/** The program of one vCPU, made step by step. */
class CpuPlan {
  readonly #r: Random;
  readonly #o: SliceOptions;
  readonly #cpu: number;
  /** Words of `KEEP` that were loaded before this program stored there: in the next round that would be seen. */
  readonly #frozen = new Set<bigint>();

  constructor(r: Random, options: SliceOptions, cpu: number) {
    this.#r = r;
    this.#o = options;
    this.#cpu = cpu;
  }

  make(length: number): Planned[] {
    const kinds = [
      () => this.#store(),
      () => this.#store(),
      () => this.#load(),
      () => this.#load(),
      () => this.#loadAny(),
      () => this.#touch(),
      () => this.#range(this.#dropped(), this.#r.pick(['dontneed', 'free'] as const), ['EINVAL']),
      // Only of a file that is shared; then a hole is what nobody stored.
      () => this.#range(this.#dropped(), 'remove', ['EINVAL', 'EACCES']),
      () => this.#range(this.#region(), 'pageout', ['EINVAL']),
      () =>
        this.#range(
          GUARD,
          this.#r.pick(['mprotectNone', 'mprotectR', 'mprotectRw', 'mprotectW'] as const),
          [],
        ),
      () => this.#lock(),
      () => this.#range(this.#region(), 'munlock', []),
      () => this.#range(this.#region(), 'setVmaAnonName', ['EBADF'], BigInt(this.#r.below(3))),
      () => this.#range(this.#region(), this.#r.pick(['mergeable', 'unmergeable', 'dontdump'] as const), []),
      () => this.#vmmDrop(),
      () => this.#info(),
    ];
    if (this.#o.registers !== undefined) kinds.push(() => this.#transport());
    return Array.from({ length }, () => this.#r.pick(kinds)());
  }

  #store(): Planned {
    const region = this.#region();
    const gfn = this.#own(region);
    const at = gfn * PAGE + this.#r.pick(WORDS);
    if (this.#frozen.has(at)) return this.#load();
    const val = region === SAME ? sameOf(this.#o.number) : tagOf(this.#o.number, gfn, this.#cpu);
    if (region === KEEP) this.#o.kept.set(at, val);
    return { step: { store: { gpa: at, val } }, fails: region === GUARD ? ['EFAULT'] : [] };
  }

  /** A word of `KEEP` that is this vCPU's own: its value is known. */
  #load(): Planned {
    const at = this.#own(KEEP) * PAGE + this.#r.pick(WORDS);
    const value = this.#o.kept.get(at) ?? 0n;
    if (Number(value >> 32n) !== this.#o.number) this.#frozen.add(at);
    return { step: { load: { gpa: at } }, fails: [], value };
  }

  /** Anywhere, over page borders too. */
  #loadAny(): Planned {
    const region = this.#region();
    const at = this.#page(region) * PAGE + BigInt(this.#r.below(region === GUARD ? 4089 : 4096));
    return { step: { load: { gpa: at } }, fails: region === GUARD ? ['EFAULT'] : [] };
  }

  #touch(): Planned {
    const region = this.#r.pick([KEEP, DROP, SAME]);
    return { step: { touch: this.#span(region, 8) }, fails: [] };
  }

  #lock(): Planned {
    const region = this.#r.pick([KEEP, DROP]);
    return { step: { mlock: this.#span(region, 2) }, fails: this.#requestFails([]) };
  }

  #range(region: Region, name: RequestName, fails: readonly string[], arg = 0n): Planned {
    const span = this.#span(region, this.#r.chance(8) ? Number(region.pages) : 24);
    const step = { [name]: { ...span, arg } } as unknown as PlainStep;
    return { step, fails: this.#requestFails(fails) };
  }

  /** The VMM itself, from this vCPU's thread. */
  #vmmDrop(): Planned {
    return { step: { vmm: { call: 'dontneed', ...this.#span(this.#dropped(), 24) } }, fails: ['EINVAL'] };
  }

  #info(): Planned {
    return { step: { info: {} }, fails: this.#requestFails([]) };
  }

  #transport(): Planned {
    const registers = this.#o.registers as bigint;
    const step: PlainStep = this.#r.chance(3)
      ? { store: { gpa: registers, size: 8, val: this.#page(BUFFERS) * PAGE } }
      : { store: { gpa: registers + 8n, size: 4, val: this.#r.pick(COMMANDS) } };
    return { step, fails: [] };
  }

  #requestFails(fails: readonly string[]): readonly string[] | 'any' {
    return this.#o.registers === undefined ? fails : 'any';
  }

  #dropped(): Region {
    return this.#r.pick([DROP, SAME]);
  }

  #region(): Region {
    return this.#r.pick(REGIONS);
  }

  #page({ first, pages }: Pages): bigint {
    return first + BigInt(this.#r.below(Number(pages)));
  }

  /** A page that this vCPU owns. */
  #own(region: Region): bigint {
    const cpus = BigInt(this.#o.cpus);
    const gfn = this.#page(region);
    const own = gfn - BigInt(ownerOf(gfn, this.#o.cpus)) + BigInt(this.#cpu);
    if (own < region.first) return own + cpus;
    return own < region.first + region.pages ? own : own - cpus;
  }

  #span(region: Region, most: number): { readonly gpa: bigint; readonly len: bigint } {
    const first = this.#page(region);
    const left = Number(region.first + region.pages - first);
    return { gpa: first * PAGE, len: BigInt(1 + this.#r.below(Math.min(left, most))) * PAGE };
  }
}
