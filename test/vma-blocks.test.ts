// VMAs lie in blocks (docs/decisions/0004-vma-blocks.md): whatever is split and merged over their borders, none is lost.
// (What was lost once, fuzz-hostile found with FUZZ_SEED=442062923.)
import { describe, expect, it } from 'vitest';
import { BUILDS, hvaAt, machine, PAGE } from './support/machines.ts';
import { Random } from './support/random.ts';

const PAGES = 1200;

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
});
