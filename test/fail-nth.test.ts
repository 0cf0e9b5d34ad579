// "What if there is no memory just now?" Every allocation that a program makes fails, one at a time and from one on. It
// ends as it says it may, all invariants hold, no page has contents that it had neither before nor would have after, and
// when the program runs again it gets to the state that it would have got to without a failure.
// Reference: linux Documentation/fault-injection.
import { describe, expect, it } from 'vitest';
import { Fail } from '../assembly/abi/fail.ts';
import { createHost, type Vm } from '../src/machine.ts';
import type { BackingKind } from '../src/types.ts';
import { constants } from './support/assembly.ts';
import { ANY, FOREVER, failing, failingRun } from './support/fail.ts';
import { ALL, PROGRAMS, type Program, SMALL_PAGES, WATCHED } from './support/fail-programs.ts';
import { hvaAt, letters, MIB, machine, PAGE } from './support/machines.ts';

/** VMAs of the VMM that are not guest RAM (src/vm.ts). */
const OTHER_MAPS = 30;
const VM_MAX_MAPS = Number(constants('assembly/base/layout.ts').VM_MAX_MAPS);
const KINDS = [Fail.Frame, Fail.Group, Fail.Metadata, Fail.Slot];

/** Contents of the pages that programs work on; of one that is not mapped, nothing. */
const contents = (vm: Vm): string[] =>
  WATCHED.map((page) => {
    try {
      return Buffer.from(vm.ramAccess.read(page * PAGE, PAGE)).toString('latin1');
    } catch {
      return '';
    }
  });

/** Which of `tried` allocations fail: all, but of the 512 slots of a huge page a few. */
const places = (tried: number): readonly number[] =>
  Array.from({ length: tried }, (_, i) => i + 1).filter((n) => n <= 100 || n % 50 === 0);

interface State {
  readonly result: string;
  readonly digest: string;
  readonly contents: readonly string[];
}
const state = (vm: Vm, result: string): State => ({
  result,
  digest: vm.observe.digest(),
  contents: contents(vm),
});

async function made({ memoryLimit, setup }: Program, backing: BackingKind): Promise<Vm> {
  const vm = await machine(
    { core: 'debug', wasmMemory: 'plain' },
    {
      memory: 4 * MIB,
      pool: 16 * MIB,
      swap: 4 * MIB,
      backing,
      ...(memoryLimit !== undefined && { memoryLimit }),
    },
  );
  setup(vm);
  return vm;
}

interface Trial {
  readonly program: Program;
  readonly vm: Vm;
  /** What was there before, and how it ends without a failure. */
  readonly before: readonly string[];
  readonly good: State;
}

/** What must be true after `result`, an end with a failure, and when the program runs again; then the state, or what is in it. */
function expectSound(
  { program, vm, before, good }: Trial,
  where: string,
  result: string,
  sameState: boolean,
): void {
  expect([good.result, ...program.failures], where).toContain(result);
  expect(vm.host.check(), where).toEqual([]);
  for (const [i, bytes] of contents(vm).entries()) {
    const known = bytes === before[i] || bytes === good.contents[i];
    if (!known && !isPartly(bytes, before[i], good.contents[i])) expect.fail(`${where}: page ${WATCHED[i]}`);
  }
  // A driver whose device broke begins anew, as a guest's would.
  if (vm.device.snapshot().state === 'broken') vm.guest.driver.remove();
  const after = state(vm, program.run(vm));
  expect(vm.host.check(), `${where}, again`).toEqual([]);
  expect(after, `${where}, again`).toEqual(sameState ? good : { ...good, digest: after.digest });
}

/** A store over the border of two pages, or a fill that stopped: each byte is as before or as after. */
function isPartly(bytes: string, before = '', after = ''): boolean {
  return [...bytes].every((byte, i) => byte === before[i] || byte === after[i]);
}

const rows = PROGRAMS.flatMap((program) =>
  (program.backings ?? ALL).map((backing) => ({ program, backing, name: `${program.name}, ${backing}` })),
);

describe('every allocation fails', () => {
  it.each(rows)('$name', async ({ program, backing }) => {
    const vm = await made(program, backing);
    const { host } = vm;
    const others = (program.otherState ?? SMALL_PAGES)[backing] ?? 0;
    const start = host.checkpoint();
    const before = contents(vm);
    const run = () => program.run(vm);
    const trial = { program, vm, before, good: state(vm, run()) };
    for (const kinds of [...KINDS, ANY]) {
      host.restore(start);
      const { tried } = failing(host, { kinds }, run);
      for (const first of places(tried)) {
        // One at a time each kind has had its turn.
        for (const times of kinds === ANY ? [FOREVER] : [1, FOREVER]) {
          const where = `${Fail[kinds] ?? 'any'} ${first} of ${tried}, ${times === 1 ? 'once' : 'from then on'}`;
          host.restore(start);
          const { result } = failing(host, { kinds, first, times }, run);
          expectSound(trial, where, result, (others & kinds) === 0);
        }
      }
    }
  });
});

describe('no more VMAs (max_map_count)', () => {
  it.each(rows.filter(({ program }) => program.failures.includes('ENOMEM')))('$name', async ({
    program,
    backing,
  }) => {
    const vm = await made(program, backing);
    const { host } = vm;
    const max = (vm.ptr + VM_MAX_MAPS) >>> 2;
    const unlimited = host.core.u32[max] as number;
    const start = host.checkpoint();
    const before = contents(vm);
    const vmas = OTHER_MAPS + vm.observe.vmas().length;
    const trial = { program, vm, before, good: state(vm, program.run(vm)) };
    for (let room = 0; room < 3; room++) {
      host.restore(start);
      host.core.u32[max] = vmas + room;
      const result = program.run(vm);
      expect(vm.observe.vmas().length + OTHER_MAPS).toBeLessThanOrEqual(vmas + room);
      host.core.u32[max] = unlimited;
      expectSound(trial, `room for ${room}`, result, true);
    }
  });
});

describe('every allocation fails › making a VM', () => {
  const options = (backing: BackingKind) => ({
    ram: [
      { gpa: 0, size: '2M' },
      { gpa: '8G', size: '2M' },
    ],
    backing,
  });

  it.each(ALL)('%s: SLB-025, and the host is as it was before', async (backing) => {
    const made = () => createHost({ memory: 4 * MIB, swap: 0, core: 'debug' });
    const reference = await made();
    const { tried } = failing(reference, {}, () => reference.createVm(options(backing)));
    expect(tried).toBeGreaterThan(3);
    for (let first = 1; first <= tried; first++) {
      for (const times of [1, FOREVER]) {
        const where = `${first} of ${tried}, ${times === 1 ? 'once' : 'from then on'}`;
        const host = await made();
        const other = host.createVm({ memory: '2M' });
        other.guest.fill({ gpa: 0, len: 3 * PAGE, byte: 5 });
        const before = host.metadataBytes();
        expect(() => failing(host, { first, times }, () => host.createVm(options(backing))), where).toThrow(
          expect.objectContaining({ code: 'SLB-025' }),
        );
        expect(host.check(), where).toEqual([]);
        expect([host.metadataBytes(), host.vms.length], where).toEqual([before, 1]);
        const vm = host.createVm(options(backing));
        expect(vm.guest.fill({ gpa: '8G', len: PAGE, byte: 6 }).exit, where).toBe(undefined);
        expect(other.ramAccess.read(2 * PAGE, 1), where).toEqual(Uint8Array.of(5));
        expect(host.check(), where).toEqual([]);
      }
    }
  });
});

describe('every allocation fails › vCPU threads', () => {
  // Without pages for the lists of regions all VMAs stay in one list.
  it('a run that cannot begin is SLB-025, and the next one does', async () => {
    await using vm = await machine(
      { core: 'debug', wasmMemory: 'threads' },
      { memory: 4 * MIB, cpus: 2, threads: true },
    );
    const run = () => vm.run([[{ fill: { gpa: 0, len: PAGE, byte: 1 } }], []]);
    for (let first = 1; ; first++) {
      const { ended, tried } = await failingRun(vm.host, first, run);
      expect(vm.host.check()).toEqual([]);
      if (tried < first) break;
      expect(['SLB-025', 'ok'], `${first}`).toContain(ended);
      if (first === 1) expect(ended).toBe('SLB-025');
      expect(first).toBeLessThan(100);
    }
    expect(vm.ramAccess.read(0, 1)).toEqual(Uint8Array.of(1));
  });
});

describe('every allocation fails › what it leads to', () => {
  it('a huge page that cannot be had: small pages', async () => {
    const vm = await machine({ core: 'debug', wasmMemory: 'plain' }, { memory: 4 * MIB, backing: 'thp' });
    const write = () => vm.vmm.store(hvaAt(vm, 0), 1);
    expect(failing(vm.host, { kinds: Fail.Group, first: 1, times: 1 }, write).result).toEqual({
      ok: true,
      value: 1,
    });
    expect(letters(vm, 0, 2)).toBe('a.');
  });

  it('a slot that cannot be had in the middle of a huge page: all are given back, and it is split', async () => {
    const vm = await machine(
      { core: 'debug', wasmMemory: 'plain' },
      { memory: 4 * MIB, backing: 'thp', swap: 4 * MIB },
    );
    vm.guest.fill({ gpa: 0, len: 4 * PAGE, byte: 3 });
    const out = () => vm.vmm.madvise(hvaAt(vm, 0), BigInt(2 * MIB), 'pageout');
    failing(vm.host, { kinds: Fail.Slot, first: 300, times: 1 }, out);
    expect(letters(vm, 0, 6)).toBe('sssszz');
    expect(vm.observe.counters()).toMatchObject({ 'memory.current': 0, 'memory.swap.current': 4 * PAGE });
    expect(vm.host.swap().used).toBe(4);
  });

  it('release builds: nothing fails', async () => {
    const vm = await machine({ core: 'release', wasmMemory: 'plain' }, {});
    const write = () => vm.guest.store(0, 8, 1).ok;
    expect(failing(vm.host, { first: 1, times: FOREVER }, write)).toEqual({ result: true, tried: 0 });
  });
});
