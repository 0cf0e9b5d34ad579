// Two operations of the table on two vCPUs at the same time.
import { Cpu } from './calls.ts';
import type { ExploreMachine } from './machine.ts';
import { exploreMachine } from './machine.ts';
import type { Meeting, Operation, State } from './operations.ts';
import { bring, farPage, OPERATIONS, PAGE } from './operations.ts';
import { Trial } from './trial.ts';

/** Every pair of rows of the table, with their names in front as `it.each` likes them. */
export const PAIRS: readonly (readonly [string, string, Operation, Operation])[] = OPERATIONS.flatMap(
  (a, i) => OPERATIONS.slice(i).map((b) => [a.name, b.name, a, b] as const),
);

/** Explores pairs on one machine and counts. */
export class Pairs {
  trials = 0;
  schedules = 0;
  readonly #machine: ExploreMachine = exploreMachine({ cpus: 2 });
  readonly #cpus = [new Cpu(this.#machine, 0), new Cpu(this.#machine, 1)] as const;

  /** Throws when a schedule with at most so many interruptions ends as no serial order does. */
  hold(a: Operation, b: Operation, meeting: Meeting, state: State, interruptions: number): void {
    const [cpu0, cpu1] = this.#cpus;
    const [place0, place1] = meeting.places;
    const trial = new Trial({
      name: `${a.name} ‖ ${b.name}, ${meeting.name}, ${state}`,
      machine: this.#machine,
      setUp: (vm) => {
        bring(vm, state, meeting.gfns);
        a.before?.(vm, place0);
        b.before?.(vm, place1);
      },
      programs: [a.program(cpu0, place0), b.program(cpu1, place1)],
      pages: [...meeting.gfns, ...this.#cpus.map(({ cpu }) => farPage(cpu) / PAGE)],
      reclaims: [a, b].some(({ reclaims }) => reclaims),
    });
    this.trials++;
    this.schedules += trial.hold({ interruptions, cap: 1_000_000 });
  }
}
