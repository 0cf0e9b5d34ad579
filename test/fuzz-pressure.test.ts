// "What if memory runs out, again and again?" Two VMs on a host with fewer frames than they touch. Contents are
// followed byte by byte: nothing live is lost, nothing foreign is seen, nothing leaks, locked pages stay.
import { describe, expect, it } from 'vitest';
import { createHost, type Vm } from '../src/machine.ts';
import { Random } from './support/random.ts';

const PAGES = 96;
const STEPS = Number(process.env.FUZZ_STEPS ?? 30_000);

/** What a page may read as: one byte, or after FREE that byte or zero. */
interface Page {
  byte: number;
  lazy: boolean;
  locked: boolean;
}

class Guest {
  readonly vm: Vm;
  readonly pages: Page[] = Array.from({ length: PAGES }, () => ({ byte: 0, lazy: false, locked: false }));
  readonly #r: Random;
  oom = 0;

  constructor(vm: Vm, r: Random) {
    this.vm = vm;
    this.#r = r;
  }

  step(): void {
    const r = this.#r;
    // Page 8 has the driver's buffer.
    const n = r.pick([r.below(8), 9 + r.below(PAGES - 9)]);
    const page = this.pages[n] as Page;
    const gpa = n * 4096;
    const range = { gpa, len: 4096 };
    const request = this.vm.guest.pvmemcontrol;
    switch (r.below(9)) {
      case 0:
      case 1:
      case 2:
        this.#write(page, gpa, 1 + r.below(255));
        return;
      case 3:
      case 4:
        this.read(n);
        return;
      case 5:
        if (request.dontneed(range).errno === 0) Object.assign(page, { byte: 0, lazy: false });
        else expect(page.locked).toBe(true);
        return;
      case 6:
        if (request.free(range).errno === 0) page.lazy = true;
        else expect(page.locked).toBe(true);
        return;
      case 7:
        expect(request.pageout(range).errno).toBe(page.locked ? 22 : 0);
        return;
      default:
        this.#lock(page, range);
    }
  }

  #write(page: Page, gpa: number, byte: number): void {
    const { exit } = this.vm.guest.fill({ gpa, len: 4096, byte });
    if (exit) {
      expect(exit.reason).toBe('OUT_OF_MEMORY');
      this.oom++;
    } else Object.assign(page, { byte, lazy: false });
  }

  read(n: number): void {
    const page = this.pages[n] as Page;
    const bytes = this.vm.guest.read(n * 4096, 4096);
    if (!(bytes instanceof Uint8Array)) {
      expect(bytes.reason).toBe('OUT_OF_MEMORY');
      this.oom++;
      return;
    }
    const seen = bytes[0] as number;
    expect(
      bytes.every((b) => b === seen),
      `page ${n} is not one byte`,
    ).toBe(true);
    if (page.lazy && seen === 0) page.byte = 0;
    expect(seen, `page ${n}`).toBe(page.byte);
    // A guest read of a page that is still there keeps it (R3.3).
    page.lazy = false;
  }

  #lock(page: Page, range: { gpa: number; len: number }): void {
    const { pvmemcontrol } = this.vm.guest;
    if (page.locked || this.pages.filter((p) => p.locked).length > 8) {
      expect(pvmemcontrol.munlock(range).errno).toBe(0);
      page.locked = false;
      return;
    }
    const { errno } = pvmemcontrol.mlock(range);
    // EAGAIN: no frame for it; the VMA is locked all the same.
    expect([0, 11]).toContain(errno);
    page.locked = true;
    const seen = this.vm.ramAccess.read(range.gpa, 1)[0];
    if (page.lazy && seen === 0) page.byte = 0;
    if (errno === 0) page.lazy = false;
  }
}

describe.each(['release', 'debug'] as const)('fuzz › pressure › %s', (core) => {
  it.each([
    ['a little swap', 24],
    ['no swap', 0],
    ['swap for all', 4 * PAGES],
  ])('%s', { timeout: 120_000 }, async (_name, slots) => {
    const r = Random.fresh();
    const where = (i: number) => `seed ${r.seed}, step ${i}`;
    const host = await createHost({ memory: 64 * 4096, swap: slots * 4096, core });
    const ram = [{ gpa: 0, size: PAGES * 4096 }];
    const guests = [0, 1].map(() => new Guest(host.createVm({ ram }), r));
    // Both drivers are bound while there is memory.
    for (const { vm } of guests) expect(vm.guest.pvmemcontrol.info().errno).toBe(0);
    for (const { vm } of guests)
      expect(vm.guest.pvmemcontrol.mlock({ gpa: 0x8000, len: 4096 }).errno).toBe(0);
    for (let i = 0; i < STEPS; i++) {
      try {
        r.pick(guests).step();
      } catch (error) {
        throw new Error(where(i), { cause: error });
      }
      if (i % 500 === 0) expect(host.check(), where(i)).toEqual([]);
    }
    expect(host.check(), where(STEPS)).toEqual([]);
    const reclaimed = guests.reduce((n, { vm }) => n + (vm.observe.counters()['reclaim.lazyfree'] ?? 0), 0);
    expect(reclaimed, where(STEPS)).toBeGreaterThan(0);
    if (slots === 0)
      expect(
        guests.some(({ oom }) => oom > 0),
        where(STEPS),
      ).toBe(true);
    // Everything goes back.
    for (const { vm } of guests) {
      vm.guest.pvmemcontrol.munlock({ gpa: 0, len: PAGES * 4096 });
      expect(vm.vmm.madvise(vm.ram[0]?.hva as bigint, BigInt(PAGES * 4096), 'dontneed')).toBe(0);
    }
    expect(host.frames().used).toBe(0);
    expect(host.swap().used).toBe(0);
  });
});
