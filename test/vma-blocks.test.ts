// VMAs lie in blocks (docs/decisions/0004-vma-blocks.md): whatever is split and merged over their borders, none is lost.
// (What was lost once, fuzz-hostile found with FUZZ_SEED=442062923.)
import { describe, expect, it } from 'vitest';
import { constants } from './support/assembly.ts';
import { BUILDS, hvaAt, machine, PAGE } from './support/machines.ts';
import { Random } from './support/random.ts';

const PAGES = 1200;
const VM_VMA_HOME = Number(constants('assembly/base/layout.ts').VM_VMA_HOME);

describe.each(BUILDS)('vma › blocks › %s', (_name, build) => {
  it('hundreds of VMAs that split and merge: the list is that of the pages', {
    timeout: 60_000,
  }, async () => {
    const r = Random.fresh();
    const vm = await machine(build);
    const prots = new Array<number>(PAGES).fill(3);
    const protect = (page: number, pages: number, prot: number): void => {
      prots.fill(prot, page, page + pages);
      expect(vm.vmm.mprotect(hvaAt(vm, page * PAGE), BigInt(pages * PAGE), prot)).toBe(0);
    };
    const runs = (): number => 1 + prots.filter((p, i) => p !== (prots[i + 1] ?? 3)).length;
    for (let round = 0; round < 30; round++) {
      const where = `seed ${r.seed}, round ${round}`;
      for (let i = 0; i < 600; i++) protect(r.below(PAGES), 1, r.below(3));
      // Long runs take all of a block away but one or two.
      for (let i = 0; i < 60; i++) {
        const page = r.below(PAGES);
        protect(page, 1 + r.below(Math.min(120, PAGES - page)), r.pick([0, 1, 3]));
        expect(vm.observe.counters()['vmas.count'], where).toBe(runs());
      }
      expect(vm.host.check(), where).toEqual([]);
      expect(vm.observe.vmas().length, where).toBe(runs());
    }
  });

  it('a VMA alone in its block, between full ones, that merges with the one before it: no block is lost', async () => {
    const vm = await machine(build);
    const { core } = vm.host;
    const base = hvaAt(vm, 0) >> 12n;
    // Every eighth page is read-only: VMAs of one and of seven pages.
    for (let page = 0; page < 8 * 300; page += 8) vm.vmm.mprotect(hvaAt(vm, page * PAGE), 4096n, 1);
    // assembly/mm/vma.ts: a list is 8 blocks u32, 64 their addresses u32 …; a block 0 count u32, 32 VMAs of 32 bytes.
    const list = core.readU32(vm.ptr + VM_VMA_HOME);
    const block = (n: number): number => core.readU32(list + 64 + 4 * n);
    const count = (n: number): number => core.readU32(block(n));
    const start = (n: number, i: number): number => Number(core.readU64(block(n) + 32 + 32 * i) - base);
    const fill = (n: number): void => {
      for (let i = 1; count(n) < 100; i += 2) {
        const page = start(n, i) + 2;
        if (page % 8 === 0) continue;
        vm.vmm.mprotect(hvaAt(vm, page * PAGE), 4096n, 0);
      }
    };
    fill(0);
    fill(2);
    // Of block 1 all but the first VMA goes.
    const [first, next, end] = [start(1, 0), start(1, 1), start(2, 0)];
    expect(vm.vmm.munmap(hvaAt(vm, next * PAGE), BigInt((end - next) * PAGE))).toBe(0);
    expect([count(1), count(0) >= 84, count(2) >= 84]).toEqual([1, true, true]);
    const before = vm.observe.vmas();
    const left = before.find((vma) => vma.end === hvaAt(vm, first * PAGE));
    const prot = left?.perm.startsWith('rw') ? 3 : left?.perm.startsWith('r') ? 1 : 0;
    expect(vm.vmm.mprotect(hvaAt(vm, first * PAGE), BigInt((next - first) * PAGE), prot)).toBe(0);
    const after = vm.observe.vmas();
    expect(after).toHaveLength(before.length - 1);
    expect(after.at(-1)).toEqual(before.at(-1));
    expect(vm.host.check()).toEqual([]);
  });
});
