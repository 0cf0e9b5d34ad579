// One slice of the stress of KVM's calls: a random program for each vCPU, gone through many times, and what must come of it.
import type { PlainStep, Program, RepeatEnd } from '../../src/threads/program.ts';
import type { Random } from '../support/random.ts';
import {
  type Area,
  BLOCK,
  GMEM,
  GMEM_FD,
  HVA,
  LAST_CHUNK,
  LOGGED,
  MOVES,
  MOVING,
  ownerOf,
  PAGE,
  plainWord,
  privateWord,
  QUIET,
  sharedWord,
} from './kvm-areas.ts';

const PRIVATE = 8;
const PUNCH = 3;
const KEEP_SIZE = 1;

/** A step, and what its results in all rounds together may be. */
interface Planned {
  readonly step: PlainStep;
  /** Ways in which it may fail. */
  readonly fails: readonly string[];
  /** Of a load: the word that it sees, or nothing, or the ones of MMIO. */
  readonly sees?: bigint;
  /** Of a load: what it sees each time. */
  readonly is?: bigint;
}

export interface KvmSlice {
  readonly programs: readonly Program[];
  /** Engine steps of all vCPUs. */
  readonly steps: number;
  /** Pages of LOGGED that were written. */
  readonly written: ReadonlySet<number>;
  /** What is wrong with the results, in sentences. */
  judge(results: readonly (readonly RepeatEnd[])[]): string[];
}

export interface KvmSliceOptions {
  readonly cpus: number;
  readonly number: number;
  /** Steps of one vCPU's program, about, and how often it is gone through. */
  readonly length: number;
  readonly rounds: number;
  /** Whether pages can be private. */
  readonly attributes: boolean;
}

export function makeKvmSlice(r: Random, options: KvmSliceOptions): KvmSlice {
  const written = new Set<number>();
  const plans = Array.from({ length: options.cpus }, (_, cpu) => new Plan(r, options, cpu, written).make());
  const { rounds } = options;
  return {
    programs: plans.map((plan) => [{ repeat: { times: rounds, steps: plan.map(({ step }) => step) } }]),
    steps: plans.reduce((n, plan) => n + plan.length * rounds, 0),
    written,
    judge: (results) =>
      plans.flatMap((plan, cpu) =>
        plan.flatMap((planned, i) =>
          judge(planned, results[cpu]?.[0] as RepeatEnd, i).map((sentence) => `vCPU ${cpu}: ${sentence}`),
        ),
      ),
  };
}

function judge({ step, fails, sees, is }: Planned, { rounds, steps }: RepeatEnd, i: number): string[] {
  const tally = steps[i];
  if (!tally) return [`no result for step ${i}`];
  const text = JSON.stringify(step, (_, v) => (typeof v === 'bigint' ? `0x${v.toString(16)}` : v));
  // Of its failures a step tells only how the last round ended.
  if (tally.last === undefined ? tally.failures > 0 && fails.length === 0 : !fails.includes(tally.last))
    return [`${text} failed ${tally.failures} times, last: ${tally.last}`];
  const loaded = `${text} loaded 0x${tally.sum.toString(16)} in ${rounds} rounds`;
  if (is !== undefined && tally.sum !== is * BigInt(rounds))
    return [`${loaded}, not 0x${is.toString(16)} each`];
  if (sees !== undefined && !isSumOf(tally.sum, sees, rounds))
    return [`${loaded}: not 0x${sees.toString(16)} alone`];
  return [];
}

/** Whether `sum` is that of at most so many words, each of them `word`, 0 or 2^64 - 1. */
function isSumOf(sum: bigint, word: bigint, most: number): boolean {
  for (let ones = 0n; ones <= BigInt(most); ones++) {
    const rest = BigInt.asUintN(64, sum + ones);
    if (rest % word === 0n && rest / word + ones <= BigInt(most)) return true;
  }
  return false;
}

/** The program of one vCPU, made piece by piece. */
class Plan {
  readonly #r: Random;
  readonly #o: KvmSliceOptions;
  readonly #cpu: number;
  readonly #written: Set<number>;

  constructor(r: Random, options: KvmSliceOptions, cpu: number, written: Set<number>) {
    this.#r = r;
    this.#o = options;
    this.#cpu = cpu;
    this.#written = written;
  }

  make(): Planned[] {
    const pieces = [
      () => this.#convert(),
      () => this.#convert(),
      () => this.#convert(),
      () => this.#loadGmem(),
      () => this.#file(),
      () => this.#drop(),
      () => this.#rebind(),
      () => this.#move(),
      () => this.#useMoving(),
      () => this.#logOfMoving(),
      () => this.#storeLogged(),
      () => this.#quiet(),
    ];
    const out: Planned[] = [];
    while (out.length < this.#o.length) out.push(...this.#r.pick(pieces)());
    return out;
  }

  /** A range of its own becomes private or shared, and is used as such. */
  #convert(): Planned[] {
    const { first, pages } = this.#own();
    const isPrivate = this.#o.attributes && this.#r.chance(2);
    const range = { address: first * PAGE, size: pages * PAGE };
    const out: Planned[] = this.#o.attributes
      ? [{ step: { setMemoryAttributes: { ...range, attributes: isPrivate ? PRIVATE : 0 } }, fails: [] }]
      : [];
    for (let n = this.#r.below(4); n >= 0; n--) {
      const gfn = first + BigInt(this.#r.below(Number(pages)));
      const word = isPrivate ? privateWord(gfn) : sharedWord(gfn);
      const gpa = gfn * PAGE;
      // Without its slot a private page ends in MEMORY_FAULT, a shared one in MMIO.
      const fails = ['MEMORY_FAULT'];
      out.push(
        this.#r.chance(2)
          ? { step: { load: { gpa } }, fails, sees: word }
          : { step: { store: { gpa, val: word } }, fails },
      );
    }
    return out;
  }

  /** Pages that this vCPU may convert: part of a block, a block, or the last chunk. */
  #own(): { readonly first: bigint; readonly pages: bigint } {
    const { cpus, number } = this.#o;
    if (ownerOf(LAST_CHUNK, cpus, number) === this.#cpu && this.#r.chance(4)) {
      return this.#r.chance(2) ? { first: LAST_CHUNK, pages: 512n } : this.#part(LAST_CHUNK, 512);
    }
    const blocks = Number((LAST_CHUNK - GMEM.first) / BLOCK);
    const own = Array.from({ length: blocks }, (_, n) => GMEM.first + BigInt(n) * BLOCK).filter(
      (gfn) => ownerOf(gfn, cpus, number) === this.#cpu,
    );
    const first = this.#r.pick(own);
    return this.#r.chance(4) ? { first, pages: BLOCK } : this.#part(first, Number(BLOCK));
  }

  #part(first: bigint, pages: number): { readonly first: bigint; readonly pages: bigint } {
    const from = this.#r.below(pages);
    return { first: first + BigInt(from), pages: BigInt(1 + this.#r.below(Math.min(pages - from, 12))) };
  }

  /** Anywhere in the slot: it may be of either kind. */
  #loadGmem(): Planned[] {
    const gpa = this.#page(GMEM) * PAGE;
    const fails = ['MEMORY_FAULT'];
    return [
      { step: { load: { gpa } }, fails },
      { step: { touch: { gpa, len: 4n * PAGE } }, fails: ['MEMORY_FAULT', 'MMIO'] },
    ];
  }

  #file(): Planned[] {
    const first = this.#r.below(Number(GMEM.pages));
    const pages = 1 + this.#r.below(Math.min(40, Number(GMEM.pages) - first));
    const range = { offset: BigInt(first) * PAGE, length: BigInt(pages) * PAGE };
    const mode = this.#r.chance(3) ? KEEP_SIZE : PUNCH;
    return [{ step: { fallocate: { fd: GMEM_FD, mode, ...range } }, fails: ['ENOMEM'] }];
  }

  /** The VMM gives shared memory back. */
  #drop(): Planned[] {
    const area = this.#r.pick([GMEM, GMEM, LOGGED, MOVING]);
    const gfn = this.#page(area);
    const left = Number(area.first + area.pages - gfn);
    const len = BigInt(1 + this.#r.below(Math.min(left, 40))) * PAGE;
    return [{ step: { vmm: { call: 'dontneed', gpa: gfn * PAGE, len } }, fails: ['EINVAL'] }];
  }

  #rebind(): Planned[] {
    const region = this.#region(GMEM, GMEM.first, 4);
    return [
      { step: { setUserMemoryRegion2: { ...region, flags: 0, memorySize: 0n } }, fails: ['EINVAL'] },
      {
        step: { setUserMemoryRegion2: { ...region, guestMemfd: GMEM_FD, guestMemfdOffset: 0 } },
        fails: ['EINVAL'],
      },
    ];
  }

  #move(): Planned[] {
    const region = this.#region(MOVING, this.#r.pick([MOVING.first, ...MOVES]), this.#r.below(2));
    const fails = ['EINVAL', 'EEXIST'];
    return this.#r.chance(3)
      ? [{ step: { setUserMemoryRegion2: { ...region, flags: 0, memorySize: 0n } }, fails }]
      : [{ step: { setUserMemoryRegion2: region }, fails }];
  }

  #useMoving(): Planned[] {
    const page = this.#r.below(Number(MOVING.pages));
    const word = plainWord(MOVING.first + BigInt(page));
    // Two of its places share pages of the guest: what is seen there may be of any page.
    const gpa = (this.#r.pick([MOVING.first, MOVES[0], MOVES[1]]) + BigInt(page)) * PAGE;
    return [
      { step: { store: { gpa: (MOVING.first + BigInt(page)) * PAGE, val: word } }, fails: [] },
      { step: { load: { gpa } }, fails: [] },
      { step: { fetchAdd: { gpa, val: 0 } }, fails: [] },
    ];
  }

  #logOfMoving(): Planned[] {
    return [
      { step: { getDirtyLog: { slot: MOVING.slot } }, fails: ['ENOENT'] },
      {
        step: { clearDirtyLog: { slot: MOVING.slot, firstPage: 0, numPages: Number(MOVING.pages) } },
        fails: ['ENOENT'],
      },
    ];
  }

  #storeLogged(): Planned[] {
    const gfn = this.#page(LOGGED);
    this.#written.add(Number(gfn - LOGGED.first));
    return [
      { step: { store: { gpa: gfn * PAGE, val: plainWord(gfn) } }, fails: [] },
      { step: { load: { gpa: this.#page(LOGGED) * PAGE } }, fails: [] },
    ];
  }

  /** A word of this vCPU's own, where nothing happens: stored and seen. */
  #quiet(): Planned[] {
    const gfn = QUIET.first + 300n + BigInt(this.#r.below(100));
    const gpa = gfn * PAGE + BigInt(this.#cpu) * 8n;
    const val = plainWord(gfn) + BigInt(this.#o.number);
    return [
      { step: { store: { gpa, val } }, fails: [] },
      { step: { load: { gpa } }, fails: [], is: val },
    ];
  }

  #region(area: Area, first: bigint, flags: number) {
    return {
      slot: area.slot,
      flags,
      guestPhysAddr: first * PAGE,
      memorySize: area.pages * PAGE,
      userspaceAddr: HVA + area.first * PAGE,
    };
  }

  #page({ first, pages }: Area): bigint {
    return first + BigInt(this.#r.below(Number(pages)));
  }
}
