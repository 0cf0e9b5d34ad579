// Metadata pages run out while vCPUs walk: SLAT tables are taken away under them and become something else.
import { describe, expect, it } from 'vitest';
import { HOST_ARENA } from '../src/core/layout.ts';
import type { Vm } from '../src/machine.ts';
import { Cpu } from './explore/calls.ts';
import { exploreMachine } from './explore/machine.ts';
import { PAGE } from './explore/operations.ts';
import { Trial } from './explore/trial.ts';
import { hvaAt } from './support/machines.ts';

const CHUNK = 512n;
const P = 640n;
/** Pages of chunks without page state, at the place in their chunk that P has in its. */
const [NEW, NEWER] = [P + 8n * CHUNK, P + 9n * CHUNK];
/** SLAT_RESERVE of assembly/mm/room.ts. */
const RESERVE = 64;

describe('explore › room', () => {
  const machine = exploreMachine({ cpus: 2, arena: 160, ram: 256 * 2 ** 20 });
  const [a, b] = [new Cpu(machine, 0), new Cpu(machine, 1)];

  /** Four SLAT tables, and so few metadata pages that the next one for page state is at their cost. */
  const fillArena = (vm: Vm): void => {
    for (let chunk = 1n; chunk <= 4n; chunk++) vm.guest.store((P + (chunk - 1n) * CHUNK) * PAGE, 8, chunk);
    // Each vCPU thread takes one for its programs.
    const left = RESERVE + vm.cpus;
    for (let chunk = 20n; vm.host.core.x.poolFree(HOST_ARENA) > left; chunk++) {
      vm.vmm.load(hvaAt(vm, chunk * CHUNK * PAGE));
    }
  };

  it.each([
    ['under a load', [[a.load(P * PAGE), a.load(P * PAGE)], [b.store(NEW * PAGE, 7n)]]],
    ['under a store', [[a.store(P * PAGE, 9n), a.load(P * PAGE)], [b.store(NEW * PAGE, 7n)]]],
    ['by two at once', [[a.store(NEW * PAGE, 7n)], [b.store(NEWER * PAGE, 8n)]]],
    ['by two for the same', [[a.store(NEW * PAGE, 7n)], [b.store(NEW * PAGE, 8n)]]],
  ] as const)('tables are taken away %s', { timeout: 600_000 }, (name, programs) => {
    const trial = new Trial({ name, machine, setUp: fillArena, programs, pages: [P, NEW, NEWER] });
    trial.hold({ interruptions: 2 });
    // There is room: the tables of others.
    for (const outcome of trial.serial.outcomes.keys()) expect(outcome).not.toContain('OutOfMemory');
  });
});
