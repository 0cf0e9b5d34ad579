// What a run says of each step: plain values, the same in JSON, in a page and for a library user.
import type { MigrationRound } from '../machine.ts';
import type { Counters, Exit, Response } from '../types.ts';
import type { Expectation } from './expect.ts';
import type { Fields } from './outcome.ts';
import type { HostMemory } from './snapshot.ts';

/** What one vCPU's step in `parallel` came to. */
export interface LaneResult {
  readonly title: string;
  readonly text: string;
  readonly fields: Fields;
}

export interface StepResult {
  readonly index: number;
  readonly label: string;
  /** In a first round of all repeats around it, or in none: later rounds look much the same. */
  readonly first: boolean;
  readonly kind: string;
  readonly line: number;
  /** The VM that it is about. */
  readonly vm: string;
  readonly title: string;
  /** One line: what came of it. */
  readonly text: string;
  /** Counters that the step changed, by how much: those of `vm` and those of the host. */
  readonly changed: Counters;
  /** What it changed of other VMs, by VM: reclaim and KSM reach all. Left out when nothing. */
  readonly others?: Readonly<Record<string, Counters>>;
  /** Of `vm`. */
  readonly rss: number;
  /** Host memory after the step. */
  readonly memory: HostMemory;
  readonly expectations: readonly Expectation[];
  readonly ok: boolean;
  /** A guest error that no expect step looks at; `--strict` does not take it. */
  readonly unexpected: boolean;
  readonly fields: Fields;
  readonly response?: Response;
  readonly exit?: Exit;
  /** Of migrate. */
  readonly rounds?: readonly MigrationRound[];
  /** Of parallel: by vCPU and step. */
  readonly lanes?: readonly (readonly LaneResult[])[];
}

/** A row of the table that `sample` steps make. */
export interface Sample {
  readonly step: string;
  readonly name: string;
  readonly memory: HostMemory;
}
