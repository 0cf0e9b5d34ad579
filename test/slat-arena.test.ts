// The arena of metadata pages runs out: SLAT tables are a cache and go, page state stays; 64 pages are kept for tables.
// Reference: assembly/mm/room.ts; linux: kvm_mmu_zap_all and the MMU shrinker.
import { describe, expect, it } from 'vitest';
import { createHost } from '../src/index.ts';
import { BUILDS, hvaAt, MIB, machine } from './support/machines.ts';

// Each 2 MiB with one page costs a page of page state, which has to stay, and a leaf table, which can go.
describe.each(BUILDS)('slat › arena of 64 MiB runs out › %s', (_name, build) => {
  it('tables are dropped and built again; nothing is lost; in the end an exit, and room after DONTNEED', async () => {
    const vm = await machine(build, { ram: [{ gpa: 0, size: '64G' }], pool: 4 * MIB, swap: 0 });
    const STEP = BigInt(2 * MIB);
    const written = 1000;
    for (let i = 0n; i < written; i++) vm.guest.store(i * STEP, 8, i + 7n);
    let i = BigInt(written);
    let end = vm.guest.load(i * STEP, 1);
    while (end.ok) end = vm.guest.load(++i * STEP, 1);
    expect(end.exit).toEqual({ reason: 'OUT_OF_MEMORY', gpa: i * STEP, isWrite: false });
    // 16384 pages and an eighth of 1024 frames, less the VM's own and the nodes: chunks fill nearly all of it.
    expect(Number(i)).toBeGreaterThan(16000);
    expect(vm.observe.counters()['slat.zapped']).toBeGreaterThan(8000);
    expect(vm.host.events.records().some((e) => e.kind === 'zap' && e.detail.to === 'all')).toBe(true);
    for (let n = 0n; n < written; n++)
      expect(vm.guest.load(n * STEP, 8)).toMatchObject({ ok: true, value: n + 7n });
    expect(vm.host.check()).toEqual([]);
    expect(vm.vmm.madvise(hvaAt(vm, 2000n * STEP), STEP * 16n, 'dontneed')).toBe(0);
    expect(vm.guest.store(i * STEP, 1, 1)).toMatchObject({ ok: true });
    expect(vm.host.check()).toEqual([]);
  });
});

// The guest that filled the arena is not the only one on the host.
describe.each(BUILDS)('slat › two guests, one of them fills the arena › %s', (_name, build) => {
  it('the other one still reaches what it has, and straddles too', async () => {
    const host = await createHost({ memory: 4 * MIB, swap: 0, ...build });
    const good = host.createVm({ memory: 128 * MIB });
    const bad = host.createVm({ ram: [{ gpa: 0, size: '64G' }] });
    for (let i = 0; i < 32; i++) good.guest.store(i * 2 * MIB, 8, i + 1);
    let gpa = 0n;
    while (bad.guest.load(gpa, 1).ok) gpa += BigInt(2 * MIB);
    for (let i = 0; i < 32; i++)
      expect(good.guest.load(i * 2 * MIB, 8)).toMatchObject({ ok: true, value: BigInt(i + 1) });
    // Over a border of leaf tables: both have to be there at once.
    expect(good.guest.load(2 * MIB - 4, 8)).toMatchObject({ ok: true, value: 2n << 32n });
    expect(good.guest.store(4 * MIB - 4, 8, -1n)).toMatchObject({ ok: true, exits: [] });
    // What would need page state of its own has to wait.
    expect(good.guest.load(100 * MIB, 1)).toMatchObject({ ok: false, exit: { reason: 'OUT_OF_MEMORY' } });
    expect(bad.vmm.madvise(hvaAt(bad, 0n), 65536n * 4096n, 'dontneed')).toBe(0);
    expect(good.guest.load(100 * MIB, 1)).toMatchObject({ ok: true });
    expect(bad.guest.load(0n, 1)).toMatchObject({ ok: true });
    expect(host.check()).toEqual([]);
  });
});
