// Defects for the engine, put in from the outside: at a synchronisation point, before a thread looks at the word that it
// would wait for, the word is made to say that the way is free. So a lock that does not hold, or a wait that is not
// waited, needs no knob in the engine.
import { SyncPoint } from '../../assembly/abi/sync.ts';
import { HOST_ARENA, HOST_TABLES, POOL_BASE, POOL_BUMP, TABLE_SIZE } from '../../src/core/layout.ts';
import type { ExploreMachine } from './machine.ts';

/** Called at each point; true where a thread that would have to wait can go on. */
export type Sabotage = (point: SyncPoint, what: number) => boolean;

export interface Sabotages {
  /** Every lock is free when it is tried. */
  readonly locks: Sabotage;
  /** A zap returns while others are in the guest windows in which they found what it took. */
  readonly zapWait: Sabotage;
  /** A vCPU remembers a leaf table without being known as its user. */
  readonly tableUsers: Sabotage;
  /** A RESET goes on while a request runs. */
  readonly requestWait: Sabotage;
}

const REQUEST_MODE = 2;

export function sabotagesOf({ core }: ExploreMachine): Sabotages {
  const { u32 } = core;
  const word = (at: number): number => u32[at >>> 2] as number;
  const at =
    (wanted: SyncPoint, open: (what: number) => void): Sabotage =>
    (point, what) => {
      if (point === wanted) open(what);
      return point === wanted;
    };
  return {
    locks: at(SyncPoint.LockTake, (what) => {
      u32[what >>> 2] = 0;
    }),
    // The mode word counts what its vCPU does in steps of 4.
    zapWait: at(SyncPoint.ZapWait, (what) => {
      u32[what >>> 2] = word(what) + 4;
    }),
    tableUsers: at(SyncPoint.Look, (what) => {
      // A SLAT entry points to a table, which is a page of the arena; nothing else that is looked at does.
      const page = (word(what) >>> 12) - word(HOST_ARENA + POOL_BASE);
      if (page < 0 || page >= word(HOST_ARENA + POOL_BUMP)) return;
      u32[(word(HOST_TABLES) + page * TABLE_SIZE) >>> 2] = 0;
    }),
    requestWait: at(SyncPoint.ModeWait, (what) => {
      u32[what >>> 2] = word(what) & ~REQUEST_MODE;
    }),
  };
}
