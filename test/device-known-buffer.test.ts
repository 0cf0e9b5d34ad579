// The device remembers where the buffer lies that it answered last. What else it writes must not move that place.
import { describe, expect, it } from 'vitest';
import { createSandbox, type Vm } from '../src/machine.ts';

const BAR0 = 0xdffffff0;
const RESET = 0x060fe6d2;
const REGISTER = 0x0e359539;
const READY = 0x0ca8d227;
const ONE_PAGE = 0x4000;
const STRADDLING = 0x8ff0;

function connect(vm: Vm, ...buffers: number[]): void {
  vm.guest.store(BAR0 + 8, 4, RESET);
  for (const gpa of buffers) {
    vm.guest.store(BAR0, 8, gpa);
    vm.guest.store(BAR0 + 8, 4, REGISTER);
  }
  vm.guest.store(BAR0 + 8, 4, READY);
}

/** Stores a request with only a function code and rings; the 32 bytes afterwards. */
function ring(vm: Vm, connection: number, gpa: number, func: number): Uint8Array {
  const request = new Uint8Array(32);
  request[0] = func;
  vm.guest.write(gpa, request);
  vm.guest.store(BAR0 + 8, 4, 0x80000000 + connection);
  return vm.ramAccess.read(gpa, 32);
}

const INFO = [0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 1, ...new Array(15).fill(0)];
const UNKNOWN = [95, 0, 0, 0, 20, ...new Array(27).fill(0)];

describe.each(['release', 'debug'] as const)('pvmemcontrol › known buffer › %s', (core) => {
  it.each([
    ['INFO', 0, INFO],
    ['an unknown function', 20, UNKNOWN],
  ])('%s in one page, after an answer over a page border: each in its own buffer', async (_name, func, answer) => {
    const vm = await createSandbox({ memory: '4M', core });
    connect(vm, ONE_PAGE, STRADDLING);
    for (let round = 0; round < 3; round++) {
      expect([...ring(vm, 0, ONE_PAGE, func)]).toEqual(answer);
      expect([...ring(vm, 1, STRADDLING, 20)]).toEqual(UNKNOWN);
    }
    expect([...ring(vm, 0, ONE_PAGE, func)]).toEqual(answer);
    // The border buffer has kept its own last answer.
    expect([...vm.ramAccess.read(STRADDLING, 32)]).toEqual(UNKNOWN);
  });

  it('a page of it dropped by the other connection is not written through the old place', async () => {
    const vm = await createSandbox({ memory: '4M', core });
    connect(vm, ONE_PAGE, STRADDLING);
    expect([...ring(vm, 0, ONE_PAGE, 0)]).toEqual(INFO);
    expect([...ring(vm, 1, STRADDLING, 0)]).toEqual(INFO);
    expect(vm.vmm.madvise(vm.ram[0]?.hva as bigint, 0x20_0000n, 'dontneed')).toBe(0);
    expect([...ring(vm, 0, ONE_PAGE, 0)]).toEqual(INFO);
    expect(vm.host.check()).toEqual([]);
  });
});
