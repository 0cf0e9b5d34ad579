// The last page that a VM may be charged for: two vCPUs want it, or one gives back what the other needs, at any moment.
import { describe, expect, it } from 'vitest';
import { Func } from '../assembly/abi/pvmemcontrol.ts';
import { VM_MEMORY } from '../src/core/layout.ts';
import type { Vm } from '../src/machine.ts';
import { Cpu } from './explore/calls.ts';
import { exploreMachine } from './explore/machine.ts';
import { PAGE } from './explore/operations.ts';
import { Trial } from './explore/trial.ts';
import { hvaAt } from './support/machines.ts';

/** A page that is there, two that are not, and one that may be there; each in a chunk of its own. */
const [OLD, NEW, NEWER, FREED] = [640n, 1152n, 1664n, 2176n];

describe('explore › memory limit', () => {
  /** Request buffers, which are locked, and OLD; one page more may come. */
  const LIMIT = 4;
  const machine = exploreMachine({ cpus: 2, swap: 0, vmm: { memoryLimit: LIMIT * Number(PAGE) } });
  const [a, b] = [new Cpu(machine, 0), new Cpu(machine, 1)];
  const pages = [OLD, NEW, NEWER, FREED];
  const one = (vm: Vm): void => {
    vm.guest.store(OLD * PAGE, 8, 5n);
    vm.vmm.mlock(hvaAt(vm, 0x8000), 2n * PAGE);
  };
  const full = (vm: Vm): void => {
    one(vm);
    vm.guest.store(FREED * PAGE, 8, 6n);
  };
  const lazy = (vm: Vm): void => {
    full(vm);
    vm.vmm.madvise(hvaAt(vm, FREED * PAGE), PAGE, 'free');
  };
  const roomier = (vm: Vm): void => {
    lazy(vm);
    vm.setMemoryLimit((LIMIT + 1) * Number(PAGE));
  };
  const drop = a.hostCall(Func.Dontneed, OLD * PAGE, PAGE);

  it.each([
    ['one page left, two stores', one, [[a.store(NEW * PAGE, 7n)], [b.store(NEWER * PAGE, 8n)]], true],
    ['none left, a store beside DONTNEED', full, [[drop], [b.store(NEW * PAGE, 7n)]], true],
    [
      'none left, a lazily freed page beside two stores',
      lazy,
      [[a.store(NEW * PAGE, 7n)], [b.store(NEWER * PAGE, 8n)]],
      true,
    ],
    [
      'one left, a freed page beside two stores',
      roomier,
      [[a.store(NEW * PAGE, 7n)], [b.store(NEWER * PAGE, 8n)]],
      false,
    ],
  ] as const)('%s', { timeout: 600_000 }, (name, setUp, programs, mayFail) => {
    const trial = new Trial({ name, machine, setUp, programs, pages, reclaims: true });
    trial.hold({ interruptions: 2 });
    const outcomes = [...trial.serial.outcomes.keys()];
    expect(outcomes.some((outcome) => outcome.includes('OutOfMemory'))).toBe(mayFail);
    expect(machine.core.readNumber(machine.vm.ptr + VM_MEMORY)).toBeLessThanOrEqual(LIMIT + 1);
  });
});
