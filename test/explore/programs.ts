// Tables of small programs of two vCPUs, each about one promise of the machine, explored one by one.
import { afterAll, describe, expect, it } from 'vitest';
import type { Vm } from '../../src/machine.ts';
import { Cpu } from './calls.ts';
import type { Call } from './fiber.ts';
import type { ExploreMachine } from './machine.ts';
import { Trial } from './trial.ts';

export interface ProgramRow {
  readonly name: string;
  readonly setUp: (vm: Vm) => void;
  readonly programs: (a: Cpu, b: Cpu) => readonly (readonly Call[])[];
  readonly gfns: readonly bigint[];
  /** TrialPlan.more */
  readonly more?: (vm: Vm) => string;
  readonly reclaims?: boolean;
  /** TrialPlan.coarse */
  readonly coarse?: boolean;
  /** TrialPlan.only */
  readonly only?: readonly number[];
  /** Interruptions in a schedule: longer programs have more places for one. */
  readonly interruptions?: number;
  /** Holds for every outcome, whatever the serial orders say. */
  readonly always?: (outcome: string) => boolean;
}

/** Interruptions at the least. */
const DEEP = Number(process.env.EXPLORE_INTERRUPTIONS ?? 0);

export function explorePrograms(title: string, machine: ExploreMachine, rows: readonly ProgramRow[]): void {
  describe(title, () => {
    const [a, b] = [new Cpu(machine, 0), new Cpu(machine, 1)];
    let schedules = 0;

    afterAll(() => {
      console.log(`${title}: ${rows.length} programs, ${schedules} schedules`);
    });

    it.each(rows.map((row) => [row.name, row] as const))('%s', { timeout: 600_000 }, (name, row) => {
      const { setUp, programs, gfns, always, interruptions = 2, ...plan } = row;
      const trial = new Trial({ ...plan, name, machine, setUp, programs: programs(a, b), pages: gfns });
      schedules += trial.hold({ interruptions: Math.max(interruptions, DEEP), cap: 10_000_000 });
      for (const outcome of trial.serial.outcomes.keys())
        expect(always?.(outcome) ?? true, outcome).toBe(true);
    });
  });
}
