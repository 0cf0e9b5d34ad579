// The scanner of KSM over whole VMs: what it shares does not depend on how large the host is (and with it the hash tables
// of its trees), and a scan keeps no more metadata than it must. What it does page by page is in the recordings.
// Reference: docs/linux-rules.md section 8, docs/memory-map.md.
import { describe, expect, it } from 'vitest';
import { createHost, type Vm } from '../src/index.ts';
import { BUILDS, letters, MIB, PAGE } from './support/machines.ts';

/** Pages of a VM from 2 MiB up; the driver's buffers lie below. */
const FIRST = 2 * MIB;

const MASK = 2n ** 64n - 1n;
const rotl = (x: bigint, by: bigint) => ((x << by) | (x >> (64n - by))) & MASK;
const MULTIPLIER = 0x9fb21c651e98df25n;
/** One step of one of the four sums of frameSum (assembly/frames/bytes.ts). */
const step = (sum: bigint, word: bigint) => (rotl(sum ^ word, 29n) * MULTIPLIER) & MASK;

/** `n` numbers that give the same bucket of 1024 to pages of zeros with one of them at the end, as `write` makes them. */
function colliding(n: number): number[] {
  const zeros = (start: bigint, words: number) =>
    Array.from({ length: words }).reduce((sum: bigint) => step(sum, 0n), start);
  const a = zeros(0x9e3779b97f4a7c15n, 128);
  const b = zeros(0xc2b2ae3d27d4eb4fn, 128);
  const c = zeros(0x165667b19e3779f9n, 128);
  const d = zeros(0x27d4eb2f165667c5n, 127);
  const first = rotl(a, 7n) ^ rotl(b, 18n) ^ rotl(c, 31n);
  const bucket = (number: number) => {
    const h = ((first ^ rotl(step(d, BigInt(number)), 47n)) * MULTIPLIER) & MASK;
    return ((((h ^ (h >> 32n)) * 0xd6e8feb86659fd93n) & MASK) >> 10n) & 1023n;
  };
  const found = [1];
  for (let number = 2; found.length < n; number++) if (bucket(number) === bucket(1)) found.push(number);
  return found;
}

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

  // "What if you make all pages fall into one bucket?" Without an end to that, a scan would take the square of their number.
  it('of pages made to collide only some are shared; all others are, and nothing is lost', async () => {
    const host = await createHost({ memory: '4M', swap: 0, ...build });
    const vm = host.createVm({ memory: '5M' });
    const numbers = colliding(150);
    const twice = [...numbers, ...numbers];
    write(vm, [...twice, 2, 2]);
    host.ksm.scan(4);
    // 64 of the 150, and the pages with a 2, which is in another bucket.
    expect(host.ksm.pagesShared).toBe(64 + 1);
    twice.forEach((number, i) => {
      const { value } = vm.guest.load(FIRST + i * PAGE + PAGE - 8, 8) as { value: bigint };
      expect(value).toBe(BigInt(number));
    });
    expect(host.check()).toEqual([]);
  });
});
