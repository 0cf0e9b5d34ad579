// The scanner of KSM over whole VMs: what it shares does not depend on how large the host is (and with it the hash tables
// of its trees), and a scan keeps no more metadata than it must. What it does page by page is in the recordings.
// Reference: docs/linux-rules.md section 8, docs/memory-map.md.
import { describe, expect, it } from 'vitest';
import { createHost, type Vm } from '../src/index.ts';
import { BUILDS, letters, MIB, PAGE } from './support/machines.ts';

/** Pages of a VM from 2 MiB up; the driver's buffers lie below. */
const FIRST = 2 * MIB;

/** Page i of the VM gets the number in its last 8 bytes, and can be merged. */
function write(vm: Vm, numbers: readonly number[]): void {
  vm.guest.pvmemcontrol.mergeable({ gpa: FIRST, len: numbers.length * PAGE });
  numbers.forEach((number, i) => {
    vm.guest.store(FIRST + i * PAGE + PAGE - 8, 8, number);
  });
}

describe.each(BUILDS)('KSM › scans, %s', (_name, build) => {
  it.each([
    ['4M'],
    ['5M'],
    ['16M'],
    ['64M'],
  ])('a host of %s: equal pages of two VMs are shared, others are not', async (memory) => {
    const host = await createHost({ memory, swap: 0, ...build });
    const vms = [host.createVm({ memory: '4M' }), host.createVm({ memory: '4M' })];
    // Of 400 pages, 100 are as the other VM's, 100 are equal among themselves, 200 are like no other.
    vms.forEach((vm, v) => {
      write(
        vm,
        Array.from({ length: 400 }, (_, i) => (i % 4 === 0 ? i : i % 4 === 1 ? 1 : (v + 1) * 1000 + i)),
      );
    });
    const used = host.frames().used;
    host.ksm.scan(2);
    // 200 pages with a 1 in them need one frame; each of the 100 is one frame instead of two.
    expect(host.ksm.pagesShared).toBe(101);
    expect(host.frames().used).toBe(used - 199 - 100);
    for (const vm of vms) expect(vm.observe.counters()['host.rss']).toBe(vms[0]?.observe.rss());
    // Nothing changes any more, and every page still has its contents.
    host.ksm.scan(2);
    expect(host.frames().used).toBe(used - 299);
    vms.forEach((vm, v) => {
      for (let i = 0; i < 400; i++) {
        const want = i % 4 === 0 ? i : i % 4 === 1 ? 1 : (v + 1) * 1000 + i;
        expect(vm.guest.load(FIRST + i * PAGE + PAGE - 8, 8)).toMatchObject({ value: BigInt(want) });
      }
    });
    expect(host.check()).toEqual([]);
  });

  it('a page that is written leaves, and comes back when it has been unchanged for a scan', async () => {
    const host = await createHost({ memory: '8M', swap: 0, ...build });
    const vm = host.createVm({ memory: '4M' });
    write(vm, [7, 7, 7]);
    const rewrite = (number: number) => vm.guest.store(FIRST + PAGE - 8, 8, number);
    const scanned = () => {
      host.ksm.scan();
      return letters(vm, FIRST, 3);
    };
    expect([scanned(), scanned()]).toEqual(['aaa', 'kkk']);
    rewrite(8);
    expect(letters(vm, FIRST, 3)).toBe('akk');
    expect([scanned(), scanned()]).toEqual(['akk', 'akk']);
    rewrite(7);
    expect([scanned(), scanned()]).toEqual(['akk', 'kkk']);
    // Written and written back between two scans: its sum is still the one that was noted.
    rewrite(8);
    rewrite(7);
    expect([letters(vm, FIRST, 3), scanned()]).toEqual(['akk', 'kkk']);
    expect(host.ksm.pagesShared).toBe(1);
    expect(host.check()).toEqual([]);
  });

  it('between scans it keeps a page for every 2 MiB it has looked at, and nothing of pages that found no equal', async () => {
    const host = await createHost({ memory: '16M', swap: 0, ...build });
    const vm = host.createVm({ memory: '10M' });
    write(
      vm,
      Array.from({ length: 4 * 512 }, (_, i) => i + 1),
    );
    const before = host.metadataBytes();
    host.ksm.scan(3);
    expect(host.ksm.pagesShared).toBe(0);
    expect(host.metadataBytes() - before).toBe(4 * PAGE);
    expect(host.check()).toEqual([]);
  });
});
