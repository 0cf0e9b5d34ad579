// What backs a page, as the page of slatbox shows it: its frame, its huge page, its file, who shares it, and what
// sharing saves. Reference: rules 5, 8, 9 and 10 of docs/linux-rules.md.
import { describe, expect, it } from 'vitest';
import { createHost } from '../src/index.ts';
import { BUILDS, hvaAt, MIB, machine, PAGE } from './support/machines.ts';

describe.each(BUILDS)('page › %s', (_name, build) => {
  it('anonymous memory: a frame that the SLAT maps too, a swap slot, nothing, no RAM', async () => {
    const vm = await machine(build);
    vm.guest.touch({ gpa: 0, len: 2 * PAGE, write: true });
    vm.vmm.madvise(hvaAt(vm, PAGE), 4096n, 'pageout');
    const page = vm.observe.page(0x123);
    expect(page).toMatchObject({ gpa: 0n, letter: 'a', mappings: 1, sharers: [] });
    expect(page.frame).toBe(vm.observe.walk(0).hpa);
    expect(vm.observe.page(PAGE)).toEqual({
      gpa: 4096n,
      letter: 's',
      swapSlot: expect.any(Number),
      mappings: 0,
      sharers: [],
    });
    expect(vm.observe.page(2 * PAGE)).toEqual({ gpa: 8192n, letter: '.', mappings: 0, sharers: [] });
    expect(vm.observe.page('4G')).toMatchObject({ letter: '-', mappings: 0 });
  });

  it('a huge page: whole, then a part of it unmapped and still held', async () => {
    const vm = await machine(build, { backing: 'thp' });
    vm.guest.fill({ gpa: 2 * MIB, len: 2 * MIB, byte: 9 });
    const { frame, huge } = vm.observe.page(3 * MIB);
    expect(huge).toEqual({ first: (frame ?? 0n) - 256n * 4096n, mappedPages: 512, asOne: true });
    vm.vmm.madvise(hvaAt(vm, 2 * MIB), BigInt(MIB), 'dontneed');
    const left = vm.observe.page(2 * MIB);
    expect(left.frame).toBeUndefined();
    expect(left.huge).toEqual({ ...huge, mappedPages: 256, asOne: false });
  });

  it('a hugetlb page is a huge page of its own', async () => {
    const vm = await machine(build, { backing: 'hugetlb' });
    vm.guest.store(2 * MIB, 1, 1);
    expect(vm.observe.page(4 * MIB - PAGE)).toMatchObject({
      letter: 'G',
      mappings: 1,
      huge: { mappedPages: 512, asOne: true },
      file: { offset: 4 * MIB - PAGE },
    });
  });

  it('a file: offset, mapped or only in memory; a private copy beside it', async () => {
    const vm = await machine(build, { backing: 'memfd' });
    vm.guest.store(5 * PAGE, 1, 7);
    const mapped = vm.observe.page(5 * PAGE);
    expect(mapped).toMatchObject({ letter: 'f', mappings: 1, file: { offset: 5 * PAGE } });
    expect(mapped.file?.frame).toBe(mapped.frame);
    vm.vmm.madvise(hvaAt(vm, 5 * PAGE), 4096n, 'dontneed');
    expect(vm.observe.page(5 * PAGE)).toEqual({
      gpa: 20480n,
      letter: 'c',
      mappings: 0,
      sharers: [],
      file: { name: '/memfd:guest-ram (deleted)', offset: 5 * PAGE, frame: mapped.frame },
    });
    const priv = await machine(build, { backing: 'memfd_priv' });
    priv.guest.store(5 * PAGE, 1, 7);
    const copy = priv.observe.page(5 * PAGE);
    expect(copy.letter).toBe('a');
    expect(copy.file?.frame).toBeDefined();
    expect(copy.file?.frame).not.toBe(copy.frame);
  });

  it('KSM: every other page that maps the frame, in all VMs; what it saves; a write leaves', async () => {
    const host = await createHost({ memory: 16 * MIB, ...build });
    const [one, two] = [host.createVm({ memory: 4 * MIB }), host.createVm({ memory: 4 * MIB })];
    for (const vm of [one, two]) {
      vm.guest.fill({ gpa: MIB, len: 2 * PAGE, byte: 7 });
      vm.vmm.madvise(hvaAt(vm, MIB), BigInt(2 * PAGE), 'mergeable');
    }
    expect(host.ksm.pagesSaved).toBe(0);
    host.ksm.scan(2);
    expect([host.frames().used, host.ksm.pagesSaved]).toEqual([1, 3]);
    const page = two.observe.page(MIB);
    expect(page).toMatchObject({ letter: 'k', mappings: 4 });
    expect(page.sharers.map(({ vm, gpa }) => [vm, Number(gpa)])).toEqual([
      [0, MIB],
      [0, MIB + PAGE],
      [1, MIB + PAGE],
    ]);
    two.guest.store(MIB, 1, 1);
    expect(two.observe.page(MIB)).toMatchObject({ letter: 'a', mappings: 1, sharers: [] });
    expect([host.frames().used, host.ksm.pagesSaved]).toEqual([2, 2]);
  });
});
