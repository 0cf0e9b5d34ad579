// Two operations of a table on two vCPUs at the same time.
import { Cpu } from './calls.ts';
import type { ExploreMachine } from './machine.ts';
import { exploreMachine } from './machine.ts';
import type { Meeting, Memory, Operation, State } from './operations.ts';
import { farPage, PAGE } from './operations.ts';
import { Trial } from './trial.ts';

export type Pair = readonly [string, string, Operation, Operation];

/** Every pair of rows of a table, with their names in front as `it.each` likes them. */
export const pairsOf = ({ operations }: Memory): readonly Pair[] =>
  operations.flatMap((a, i) => operations.slice(i).map((b) => [a.name, b.name, a, b] as const));

/** Explores pairs on one machine and counts. */
export class Pairs {
  trials = 0;
  schedules = 0;
  readonly #memory: Memory;
  readonly #machine: ExploreMachine;
  readonly #cpus: readonly [Cpu, Cpu];

  constructor(memory: Memory) {
    this.#memory = memory;
    this.#machine = exploreMachine({ cpus: 2, ...memory.size });
    this.#cpus = [new Cpu(this.#machine, 0), new Cpu(this.#machine, 1)];
  }

  /** Throws when a schedule with at most so many interruptions ends as no serial order does. */
  hold(a: Operation, b: Operation, meeting: Meeting, state: State, interruptions: number): void {
    const [cpu0, cpu1] = this.#cpus;
    const [place0, place1] = meeting.places;
    const reclaims = [a, b].some((operation) => operation.reclaims);
    const trial = new Trial({
      name: `${this.#memory.name}: ${a.name} ‖ ${b.name}, ${meeting.name}, ${state.name}`,
      machine: this.#machine,
      setUp: (vm) => {
        state.bring(vm, meeting.gfns);
        a.before?.(vm, place0);
        b.before?.(vm, place1);
      },
      programs: [a.program(cpu0, place0), b.program(cpu1, place1)],
      pages: [...meeting.gfns, ...this.#cpus.map(({ cpu }) => farPage(cpu) / PAGE)],
      ...(this.#memory.more && { more: (vm) => this.#memory.more?.(vm, meeting.gfns) ?? '' }),
      reclaims,
      coarse: this.#memory.coarse ?? false,
    });
    this.trials++;
    this.schedules += trial.hold({ interruptions, cap: 1_000_000 });
  }
}
