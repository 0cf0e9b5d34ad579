// "What if every VM has a limit, and all of them are met at once?" Random operations on three VMs of different backings, with
// limits that change, on a host with too few frames. After each step a VM has no more than it may, all frames and slots are
// charged to somebody, and contents are those of a shadow copy.
import { describe, expect, it } from 'vitest';
import { VM_MEMORY, VM_MEMORY_SWAP } from '../src/core/layout.ts';
import { createHost, type Host, type Vm } from '../src/machine.ts';
import type { BackingKind } from '../src/types.ts';
import { hvaAt, PAGE } from './support/machines.ts';
import { Random } from './support/random.ts';

const STEPS = Number(process.env.FUZZ_STEPS ?? 6_000);
const EAGAIN = 11;
const EINVAL = 22;
/** Two huge pages; those that are worked on are near the border between them. */
const RAM = 1024;
const FIRST = 488;
const PAGES = 48;

interface Page {
  /** What it reads as; after FREE also zero. */
  byte: number;
  lazy: boolean;
  locked: boolean;
}

class Guest {
  readonly pages: Page[] = Array.from({ length: PAGES }, () => ({ byte: 0, lazy: false, locked: false }));
  /** memory.max in pages, and what the VM may have after it was lowered: what could not be reclaimed. */
  limit = Number.POSITIVE_INFINITY;
  allowed = Number.POSITIVE_INFINITY;
  oom = 0;
  readonly vm: Vm;
  readonly #r: Random;

  constructor(vm: Vm, r: Random) {
    this.vm = vm;
    this.#r = r;
  }

  get usage(): number {
    return this.vm.host.core.readNumber(this.vm.ptr + VM_MEMORY);
  }
  get swapped(): number {
    return this.vm.host.core.readNumber(this.vm.ptr + VM_MEMORY_SWAP);
  }

  step(): void {
    const r = this.#r;
    const from = r.below(PAGES);
    const n = Math.min(r.pick([1, 1, 2, 7]), PAGES - from);
    const [hva, len] = [hvaAt(this.vm, (FIRST + from) * PAGE), BigInt(n * PAGE)];
    const some = this.pages.slice(from, from + n);
    const isShared = this.vm.backing === 'memfd';
    switch (r.below(16)) {
      case 0:
      case 1:
      case 2:
      case 3:
        for (let i = from; i < from + n; i++) this.#write(i, r.chance(3) ? 7 : 1 + r.below(255), r.chance(2));
        return;
      case 4:
      case 5:
      case 6:
        for (let i = from; i < from + n; i++) this.read(i);
        return;
      case 7:
        if (this.#advised(some, this.vm.vmm.madvise(hva, len, 'dontneed')) && !isShared) {
          for (const page of some) Object.assign(page, { byte: 0, lazy: false });
        }
        return;
      case 8: {
        const errno = this.vm.vmm.madvise(hva, len, 'free');
        if (isShared || this.vm.backing === 'memfd_priv') expect(errno).toBe(EINVAL);
        else if (this.#advised(some, errno)) for (const page of some) page.lazy = true;
        return;
      }
      case 9:
        this.#advised(some, this.vm.vmm.madvise(hva, len, 'pageout'));
        return;
      case 10:
        if (!isShared) return;
        if (this.#advised(some, this.vm.vmm.madvise(hva, len, 'remove')))
          for (const page of some) page.byte = 0;
        return;
      case 11:
        this.#lock(from, some, hva, len);
        return;
      case 12:
        expect(this.vm.vmm.madvise(hva, len, 'mergeable')).toBe(0);
        return;
      case 13:
        expect([0, EAGAIN]).toContain(this.vm.vmm.madvise(hva, len, 'unmergeable'));
        return;
      case 14:
        this.#setLimit(r.pick([0, 4, 20, 40, 600, undefined]));
        return;
      default:
        this.vm.setSwapLimit(r.pick([0, 8 * PAGE, 64 * PAGE, undefined]));
    }
  }

  /** Whether the call was done; of locked pages it was not, nor of those behind them. */
  #advised(some: readonly Page[], errno: number): boolean {
    if (errno === 0) return true;
    expect(errno).toBe(EINVAL);
    const locked = some.findIndex((page) => page.locked);
    expect(locked).not.toBe(-1);
    // What is in front of the first locked one may be done: it is known again once it has been read.
    for (const page of some.slice(0, locked)) page.byte = -1;
    return false;
  }

  #write(i: number, byte: number, byHost: boolean): void {
    const at = (FIRST + i) * PAGE;
    const { vm } = this;
    const done = byHost
      ? vm.vmm.fillPage(hvaAt(vm, at), byte).ok
      : vm.guest.fill({ gpa: at, len: PAGE, byte }).exit === undefined;
    if (done) Object.assign(this.pages[i] as Page, { byte, lazy: false });
    else this.oom++;
  }

  read(i: number): void {
    const page = this.pages[i] as Page;
    const bytes = this.vm.guest.read((FIRST + i) * PAGE, PAGE);
    if (!(bytes instanceof Uint8Array)) {
      expect(bytes.reason).toBe('OUT_OF_MEMORY');
      this.oom++;
      return;
    }
    const seen = bytes[0] as number;
    expect(
      bytes.every((b) => b === seen),
      `page ${i} is not one byte`,
    ).toBe(true);
    if (page.byte === -1 || (page.lazy && seen === 0)) page.byte = seen;
    expect(seen, `page ${i}`).toBe(page.byte);
  }

  #lock(from: number, some: readonly Page[], hva: bigint, len: bigint): void {
    const { vmm } = this.vm;
    if (some.some((page) => page.locked) || this.pages.filter((page) => page.locked).length > 8) {
      const all = BigInt(PAGES * PAGE);
      expect(vmm.munlock(hvaAt(this.vm, FIRST * PAGE), all)).toBe(0);
      for (const page of this.pages) page.locked = false;
      return;
    }
    expect([0, EAGAIN]).toContain(vmm.mlock(hva, len));
    for (const page of some) page.locked = true;
    for (let i = from; i < from + some.length; i++) this.read(i);
  }

  #setLimit(pages: number | undefined): void {
    this.vm.setMemoryLimit(pages === undefined ? undefined : pages * PAGE);
    this.limit = pages ?? Number.POSITIVE_INFINITY;
    this.allowed = Math.max(this.limit, this.usage);
  }
}

/** What is true after each step. */
function expectCharged(host: Host, guests: readonly Guest[]): void {
  let used = 0;
  let slots = 0;
  for (const guest of guests) {
    expect(guest.usage).toBeLessThanOrEqual(guest.allowed);
    // What is over a limit never grows again.
    guest.allowed = Math.max(guest.limit, guest.usage);
    used += guest.usage;
    slots += guest.swapped;
  }
  expect([host.frames().used, host.swap().used]).toEqual([used, slots]);
}

const SETS: readonly (readonly BackingKind[])[] = [
  ['anon', 'anon', 'anon'],
  ['anon', 'memfd', 'memfd_priv'],
  ['thp', 'thp', 'anon_acct'],
];

describe.each(['release', 'debug'] as const)('fuzz › memory limits › %s', (core) => {
  it.each(SETS)('%s, %s, %s', { timeout: 120_000 }, async (...backings) => {
    const r = Random.fresh();
    const frames = backings[0] === 'thp' ? 1200 : 100;
    const host = await createHost({ memory: frames * PAGE, swap: 150 * PAGE, core });
    const guests = backings.map(
      (backing) => new Guest(host.createVm({ ram: [{ gpa: 0, size: RAM * PAGE }], backing }), r),
    );
    for (let i = 0; i < STEPS; i++) {
      try {
        if (r.chance(50)) host.ksm.scan(2);
        else r.pick(guests).step();
        expectCharged(host, guests);
        if (i % 200 === 0) expect(host.check()).toEqual([]);
      } catch (error) {
        throw new Error(`seed ${r.seed}, step ${i}`, { cause: error });
      }
    }
    expect(host.check(), `seed ${r.seed}`).toEqual([]);
    const total = (name: string) => guests.reduce((n, { vm }) => n + (vm.observe.counters()[name] ?? 0), 0);
    for (const name of [
      'memory.events.max',
      'memory.events.oom',
      'memory.swap.events.max',
      'reclaim.swapout',
    ])
      expect(total(name), `seed ${r.seed}: ${name}`).toBeGreaterThan(0);
    // Everything goes back.
    for (const { vm } of guests) {
      vm.vmm.munlock(hvaAt(vm, 0), BigInt(RAM * PAGE));
      expect(vm.vmm.madvise(hvaAt(vm, 0), BigInt(RAM * PAGE), 'dontneed')).toBe(0);
      if (vm.backing === 'memfd') expect(vm.vmm.madvise(hvaAt(vm, 0), BigInt(RAM * PAGE), 'remove')).toBe(0);
    }
    const files = guests.filter(({ vm }) => vm.backing === 'memfd_priv');
    expect(
      guests.reduce((n, { usage }) => n + usage, 0),
      `seed ${r.seed}`,
    ).toBe(files.reduce((n, { usage }) => n + usage, 0));
    expect(host.check(), `seed ${r.seed}`).toEqual([]);
  });
});
