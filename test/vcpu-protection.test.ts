// What the protection of the VMM's mapping lets a guest do, by state of the page; and a guest on a host without frames.
// Reference: recorded KVM rules R4.1–R4.4, R7.1, R7.7; design section 9 (out of memory is an exit).
import { describe, expect, it } from 'vitest';
import type { Access, Vm } from '../src/index.ts';
import { BUILDS, hvaAt, KIB, letters, machine, PAGE } from './support/machines.ts';

const GPA = 0x7000n;
const NONE = 0;
const R = 1;
const W = 2;
const RW = 3;

type State = 'untouched' | 'zero' | 'present' | 'swapped';
const LETTER: Readonly<Record<State, string>> = { untouched: '.', zero: 'z', present: 'a', swapped: 's' };

function prepare(vm: Vm, state: State): void {
  if (state === 'zero') vm.guest.load(GPA, 1);
  if (state === 'present' || state === 'swapped') vm.guest.store(GPA, 1, 0x5a);
  if (state === 'swapped') vm.vmm.madvise(hvaAt(vm, GPA), 4096n, 'pageout');
  expect(letters(vm, GPA)).toBe(LETTER[state]);
}
const protect = (vm: Vm, prot: number): void => {
  expect(vm.vmm.mprotect(hvaAt(vm, GPA), 4096n, prot)).toBe(0);
};
const how = (access: Access): string => (access.ok ? 'ok' : access.exit.reason);

describe.each(BUILDS)('protection › %s', (_name, build) => {
  // prot, state of the page, guest: read, execute, write; VMM: read, write
  it.each([
    ['rw', RW, 'untouched', 'ok', 'ok', 'ok', true, true],
    ['rw', RW, 'zero', 'ok', 'ok', 'ok', true, true],
    ['rw', RW, 'present', 'ok', 'ok', 'ok', true, true],
    ['rw', RW, 'swapped', 'ok', 'ok', 'ok', true, true],
    ['r', R, 'untouched', 'ok', 'ok', 'EFAULT', true, false],
    ['r', R, 'zero', 'ok', 'ok', 'EFAULT', true, false],
    ['r', R, 'present', 'ok', 'ok', 'EFAULT', true, false],
    ['r', R, 'swapped', 'ok', 'ok', 'EFAULT', true, false],
    ['w', W, 'untouched', 'EFAULT', 'EFAULT', 'ok', true, true],
    ['w', W, 'zero', 'EFAULT', 'EFAULT', 'ok', true, true],
    ['w', W, 'present', 'ok', 'ok', 'ok', true, true],
    ['w', W, 'swapped', 'EFAULT', 'EFAULT', 'ok', true, true],
    ['none', NONE, 'untouched', 'EFAULT', 'EFAULT', 'EFAULT', false, false],
    ['none', NONE, 'zero', 'EFAULT', 'EFAULT', 'EFAULT', false, false],
    ['none', NONE, 'present', 'EFAULT', 'EFAULT', 'EFAULT', false, false],
    ['none', NONE, 'swapped', 'EFAULT', 'EFAULT', 'EFAULT', false, false],
  ] as const)('%s (%i), page %s', async (_prot, prot, state, read, execute, write, vmmRead, vmmWrite) => {
    const fresh = async (): Promise<Vm> => {
      const vm = await machine(build);
      prepare(vm, state);
      protect(vm, prot);
      return vm;
    };
    const inOrder = [
      [how, read, (vm: Vm) => vm.guest.load(GPA, 1)],
      [how, execute, (vm: Vm) => vm.guest.fetch(GPA)],
      [how, write, (vm: Vm) => vm.guest.store(GPA, 1, 1)],
    ] as const;
    for (const [name, want, access] of inOrder) {
      const vm = await fresh();
      expect(name(access(vm))).toBe(want);
      // A refused access leaves the page as it was (R1.2, R7.7).
      if (want !== 'ok') expect(letters(vm, GPA)).toBe(LETTER[state]);
      expect(vm.host.check()).toEqual([]);
    }
    const hostRead = (await fresh()).vmm.load(hvaAt(await fresh(), GPA));
    expect(hostRead.ok).toBe(vmmRead);
    expect((await fresh()).vmm.store(hvaAt(await fresh(), GPA), 1).ok).toBe(vmmWrite);
    if (!hostRead.ok) expect(hostRead).toEqual({ ok: false, signal: 'SIGSEGV', code: 'SEGV_ACCERR' });
  });

  it.each([
    ['guest', (vm: Vm) => vm.guest.store(GPA, 1, 9)],
    ['VMM', (vm: Vm) => vm.vmm.store(hvaAt(vm, GPA), 9)],
  ])('R4.2: with PROT_WRITE alone a write of the %s makes the page readable for the guest', async (_row, write) => {
    const vm = await machine(build);
    prepare(vm, 'zero');
    protect(vm, W);
    expect(how(vm.guest.load(GPA, 1))).toBe('EFAULT');
    expect(vm.vmm.load(hvaAt(vm, GPA))).toEqual({ ok: true, value: 0 });
    expect(how(vm.guest.load(GPA, 1))).toBe('EFAULT');
    write(vm);
    expect(vm.guest.load(GPA, 1)).toEqual({ ok: true, value: 9n, exits: [] });
    expect(how(vm.guest.load(GPA + 4096n, 1))).toBe('ok');
  });

  it('R4.4: NONE and back to RW keeps contents and RSS', async () => {
    const vm = await machine(build);
    vm.guest.fill({ gpa: 0n, len: 64 * KIB, byte: 0x31 });
    const hva = hvaAt(vm, 0n);
    for (const prot of [NONE, R, W, RW]) {
      expect(vm.vmm.mprotect(hva, 65536n, prot)).toBe(0);
      expect(vm.observe.rss()).toBe(64 * KIB);
    }
    expect(vm.guest.verify({ gpa: 0n, len: 64 * KIB, byte: 0x31 })).toEqual({ differs: undefined });
  });

  // RAM itself is what a debugger sees: it must not open a door for the guest.
  it.each([
    ['none', NONE, 'EFAULT', 'EFAULT'],
    ['r', R, 'ok', 'EFAULT'],
  ] as const)('a write through ramAccess leaves the protection %s in force', async (_row, prot, read, write) => {
    for (const state of ['untouched', 'zero', 'present', 'swapped'] as const) {
      const vm = await machine(build);
      prepare(vm, state);
      protect(vm, prot);
      vm.ramAccess.write(GPA, Uint8Array.of(0x66));
      expect(vm.ramAccess.read(GPA, 1)).toEqual(Uint8Array.of(0x66));
      expect([how(vm.guest.load(GPA, 1)), how(vm.guest.store(GPA, 1, 1))]).toEqual([read, write]);
      expect(vm.host.check()).toEqual([]);
    }
  });
});

describe.each(BUILDS)('out of memory › %s', (_name, build) => {
  const FRAMES = 16;

  it('an exit, again and again, until memory comes free; then the access completes and nothing is lost', async () => {
    const vm = await machine(build, { pool: FRAMES * PAGE, swap: 0 });
    vm.guest.fill({ gpa: 0n, len: FRAMES * PAGE, byte: 0x11 });
    expect(vm.host.frames().free).toBe(0);
    const gpa = BigInt(FRAMES * PAGE) + 5n;
    const exit = { ok: false, exit: { reason: 'OUT_OF_MEMORY', gpa, isWrite: true } };
    expect([vm.guest.store(gpa, 2, 7), vm.guest.store(gpa, 2, 7)]).toEqual([exit, exit]);
    expect(letters(vm, gpa)).toBe('.');
    expect(vm.observe.counters()['exits.oom']).toBe(2);
    // A read needs no frame: it maps the zero page.
    expect(vm.guest.load(gpa, 2)).toEqual({ ok: true, value: 0n, exits: [] });
    expect(vm.vmm.store(hvaAt(vm, gpa), 1)).toEqual({ ok: false, signal: 'SIGBUS', code: 'BUS_ADRERR' });
    expect(vm.vmm.madvise(hvaAt(vm, 0x3000n), 4096n, 'dontneed')).toBe(0);
    expect(vm.guest.store(gpa, 2, 7)).toEqual({ ok: true, value: 0n, exits: [] });
    expect(vm.guest.load(gpa, 2)).toEqual({ ok: true, value: 7n, exits: [] });
    expect(vm.guest.verify({ gpa: 0n, len: 0x3000, byte: 0x11 })).toEqual({ differs: undefined });
    expect(vm.guest.verify({ gpa: 0x4000n, len: 0xc000, byte: 0x11 })).toEqual({ differs: undefined });
    expect(vm.host.check()).toEqual([]);
  });

  it('with swap there is no exit: the guest is never told', async () => {
    const vm = await machine(build, { pool: FRAMES * PAGE, swap: 8 * FRAMES * PAGE });
    for (let i = 0; i < 4 * FRAMES; i++) expect(how(vm.guest.store(BigInt(i * PAGE), 8, i + 1))).toBe('ok');
    for (let i = 0; i < 4 * FRAMES; i++)
      expect(vm.guest.load(BigInt(i * PAGE), 8)).toMatchObject({ value: BigInt(i + 1) });
    expect(vm.observe.counters()['exits.oom']).toBe(0);
    expect(vm.host.check()).toEqual([]);
  });

  it('locked memory is not taken: an exit in spite of free swap, until munlock', async () => {
    const vm = await machine(build, { pool: FRAMES * PAGE, swap: FRAMES * PAGE });
    const hva = hvaAt(vm, 0n);
    expect(vm.vmm.mlock(hva, BigInt(FRAMES * PAGE))).toBe(0);
    const gpa = BigInt(FRAMES * PAGE);
    expect(how(vm.guest.store(gpa, 1, 1))).toBe('OUT_OF_MEMORY');
    expect(letters(vm, 0n, FRAMES)).toBe('a'.repeat(FRAMES));
    expect(vm.vmm.munlock(hva, 4096n)).toBe(0);
    expect(how(vm.guest.store(gpa, 1, 1))).toBe('ok');
    expect(letters(vm, 0n)).toBe('s');
  });

  it.each([
    ['one frame, no swap: neither page is written', 1, 0, 'OUT_OF_MEMORY'],
    ['one frame and swap: the first page is held while the second is looked for', 1, 64, 'OUT_OF_MEMORY'],
    ['two frames and swap', 2, 64, 'ok'],
  ] as const)('a store over a border on a host of %s', async (_row, frames, slots, want) => {
    const vm = await machine(build, { pool: frames * PAGE, swap: slots * PAGE });
    vm.guest.store(0x20000n, 1, 0x99);
    if (slots === 0) vm.vmm.madvise(hvaAt(vm, 0x20000n), 4096n, 'dontneed');
    expect(how(vm.guest.store(0x5ffcn, 8, -1n))).toBe(want);
    const byte = want === 'ok' ? 0xff : 0;
    expect(vm.ramAccess.read(0x5ffcn, 8)).toEqual(new Uint8Array(8).fill(byte));
    if (slots !== 0) expect(vm.ramAccess.read(0x20000n, 1)).toEqual(Uint8Array.of(0x99));
    expect(vm.host.check()).toEqual([]);
  });

  it('a loop stops where memory ends and goes on from there', async () => {
    const vm = await machine(build, { pool: FRAMES * PAGE, swap: 0 });
    const end = vm.guest.touch({ gpa: 0x800n, len: 20 * PAGE, write: true });
    expect(end).toEqual({
      pages: FRAMES,
      exit: { reason: 'OUT_OF_MEMORY', gpa: BigInt(FRAMES * PAGE), isWrite: true },
    });
    vm.vmm.madvise(hvaAt(vm, 0n), BigInt(8 * PAGE), 'dontneed');
    expect(vm.guest.touch({ gpa: FRAMES * PAGE, len: 4 * PAGE, write: true })).toEqual({ pages: 4 });
  });
});

describe.each(BUILDS)('guest of 64 TiB › %s', (_name, build) => {
  it('first and last byte are RAM, the next is not', async () => {
    const vm = await machine(build, { memory: 0, ram: [{ gpa: 0, size: '64T' }] });
    const last = (1n << 46n) - 8n;
    for (const gpa of [0n, 0x123456789ab8n, last]) {
      expect(vm.guest.store(gpa, 8, gpa + 1n)).toEqual({ ok: true, value: 0n, exits: [] });
      expect(vm.guest.load(gpa, 8)).toEqual({ ok: true, value: gpa + 1n, exits: [] });
      expect(vm.observe.walk(gpa).hpa).toBeDefined();
    }
    expect(vm.guest.load(last + 8n, 1)).toMatchObject({ value: 0xffn, exits: [{ reason: 'MMIO' }] });
    expect(vm.guest.store(last + 4n, 8, -1n)).toMatchObject({ exits: [{ gpa: last + 8n, len: 4 }] });
    expect(vm.observe.rss()).toBe(3 * PAGE);
    expect(vm.host.check()).toEqual([]);
  });
});
