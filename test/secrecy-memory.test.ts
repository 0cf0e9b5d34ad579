// Secrecy on memory of every kind. One guest fills 2 MiB with a secret byte and gives the memory up in some way; another
// takes every frame of the host that it can get, and looks. It must find zeros; and all that it can see of itself, numbers
// included, must be the same whatever the secret was. Reference: docs/threat-model.md.
import { describe, expect, it } from 'vitest';
import { HOST_FRAMES, POOL_BASE } from '../src/core/layout.ts';
import type { BackingKind, Host, Vm } from '../src/index.ts';
import { createHost } from '../src/index.ts';
import { everythingOf, throughDoors } from './support/doors.ts';
import { BUILDS, type Build, hvaAt, MIB, PAGE } from './support/machines.ts';

/** Two huge pages. */
const FRAMES = 1024;
/** A huge page's worth, at the border of one. */
const AREA = 2 * MIB;
const PAGES = 512;
const LEN = BigInt(PAGES * PAGE);
/** [0, 2 MiB) stays empty, then come all pages that there are frames for. */
const RAM = AREA + FRAMES * PAGE;
/** assembly/base/layout.ts */
const ZERO_PAGE = 0x60n;
/** Never zero, and never equal by chance. */
const SECRETS = [0xa5, 0x5a];

type Release = (a: Vm, secret: number) => void;

const at = (vm: Vm, page = 0): bigint => hvaAt(vm, AREA + page * PAGE);
const advise =
  (advice: Parameters<Vm['vmm']['madvise']>[2], from = 0, pages = PAGES): Release =>
  (a) => {
    expect(a.vmm.madvise(at(a, from), BigInt(pages * PAGE), advice)).toBe(0);
  };
const unmap: Release = (a) => {
  expect(a.vmm.munmap(at(a), LEN)).toBe(0);
};
const oneByOne: Release = (a) => {
  for (const odd of [1, 0]) for (let i = odd; i < PAGES; i += 2) advise('dontneed', i, 1)(a, 0);
};
const all =
  (...steps: readonly Release[]): Release =>
  (a, secret) => {
    for (const step of steps) step(a, secret);
  };
const nothing: Release = () => {};
const writeAgain =
  (page: number): Release =>
  (a, secret) => {
    expect(a.guest.store(AREA + page * PAGE, 1, secret)).toMatchObject({ ok: true });
  };

const RELEASES: readonly (readonly [string, BackingKind, Release])[] = [
  ['anon', 'anon', advise('dontneed')],
  ['anon, page by page', 'anon', oneByOne],
  ['anon, FREE, taken by reclaim', 'anon', advise('free')],
  ['anon, PAGEOUT, its slots given up', 'anon', all(advise('pageout'), unmap)],
  ['anon, reclaim swaps it out', 'anon', nothing],
  ['thp, all of a huge page', 'thp', advise('dontneed')],
  ['thp, part by part, until the huge page comes free', 'thp', oneByOne],
  ['thp, munmap', 'thp', unmap],
  ['thp, munmap of a part', 'thp', (a) => void a.vmm.munmap(at(a, 100), 300n * 4096n)],
  ['thp, split by PAGEOUT of a page', 'thp', all(advise('pageout', 3, 1), advise('dontneed'))],
  [
    'thp, parts unmapped, split by reclaim',
    'thp',
    all(advise('dontneed', 1, 200), advise('dontneed', 300, 100)),
  ],
  ['thp, FREE of a part splits it', 'thp', all(advise('free', 8, 100), advise('dontneed', 200, 312))],
  ['thp, FREE of all of it, taken by reclaim', 'thp', advise('free')],
  ['thp, PAGEOUT of all of it', 'thp', all(advise('pageout'), unmap)],
  ['thp, PAGEOUT, one page comes back', 'thp', all(advise('pageout'), writeAgain(7))],
  [
    'thp, mapping split by mprotect, then dropped',
    'thp',
    all((a) => void a.vmm.mprotect(at(a, 9), 4096n, 1), advise('dontneed')),
  ],
  ['memfd, REMOVE', 'memfd', advise('remove')],
  ['memfd, unmapped, then REMOVE', 'memfd', all(advise('dontneed'), advise('remove'))],
  ['memfd, unmapped: reclaim swaps the file out', 'memfd', unmap],
  ['memfd, PAGEOUT, then REMOVE of the slots', 'memfd', all(advise('pageout'), advise('remove'))],
  [
    'memfd, PAGEOUT, back in, then REMOVE',
    'memfd',
    all(advise('pageout'), writeAgain(0), writeAgain(40), advise('remove')),
  ],
  ['memfd_priv, copies dropped', 'memfd_priv', advise('dontneed')],
  ['memfd_priv, copies swapped out', 'memfd_priv', all(advise('pageout'), unmap)],
  ['hugetlb, DONTNEED', 'hugetlb', advise('dontneed')],
  ['hugetlb, munmap', 'hugetlb', unmap],
  ['hugetlb_shared, REMOVE', 'hugetlb_shared', advise('remove')],
  ['hugetlb_shared, unmapped, then REMOVE', 'hugetlb_shared', all(advise('dontneed'), advise('remove'))],
];

const TAKERS: readonly BackingKind[] = ['anon', 'thp', 'memfd', 'memfd_priv', 'hugetlb'];

/** Takes frames until the host has no more, or nearly: each page is touched in one of several ways. Returns the pages it has. */
function takeAll(vm: Vm): number {
  const hugetlb = vm.backing === 'hugetlb';
  const most = hugetlb ? FRAMES : vm.backing === 'memfd_priv' ? FRAMES / 2 - 8 : FRAMES - 8;
  for (let i = 0; i < most; i++) {
    const gpa = AREA + i * PAGE;
    const way = i % 4;
    const ok =
      way === 0
        ? vm.guest.store(gpa + i, 1, 1).ok
        : way === 1
          ? vm.vmm.store(hvaAt(vm, gpa + i), 1).ok
          : way === 2
            ? vm.guest.load(gpa, 8).ok && vm.guest.store(gpa + i, 1, 1).ok
            : vm.guest.touch({ gpa, len: PAGE, write: true, byte: 1 }).pages === 1;
    // Of hugetlb pages there are only as many as are free.
    if (!ok && hugetlb) return i;
    expect(ok, `page ${i}`).toBe(true);
  }
  return most;
}

const NOTHING = new Uint8Array(FRAMES * PAGE);

/** Whether nothing is there but the ones that `takeAll` stored, which go. */
function onlyOwn(bytes: Uint8Array): boolean {
  for (let at = 0, i = 0; at < bytes.length; at += PAGE, i++) {
    const own = at + (i % 4 === 3 ? 0 : i);
    if (bytes[own] !== 1) return false;
    bytes[own] = 0;
  }
  return Buffer.compare(bytes, NOTHING.subarray(0, bytes.length)) === 0;
}

const hostOf = (build: Build): Promise<Host> =>
  createHost({ memory: FRAMES * PAGE, swap: 4 * FRAMES * PAGE, events: false, ...build });

/** Two kinds of takers in turn, other ones for the next build. */
const takersOf = (build: Build, row: number): readonly BackingKind[] => {
  const first = row + BUILDS.findIndex(([, other]) => other === build);
  return [0, 2].map((n) => TAKERS[(first + n) % TAKERS.length] as BackingKind);
};

describe.each(BUILDS)('secrecy › memory given up › %s', (_name, build) => {
  it.each(
    RELEASES.map((release, row) => [...release, row] as const),
  )('%s', async (_row, backing, release, row) => {
    for (const taker of takersOf(build, row)) {
      const seen: string[] = [];
      for (const secret of SECRETS) {
        const host = await hostOf(build);
        const a = host.createVm({ memory: RAM, backing });
        const b = host.createVm({ memory: RAM, backing: taker });
        expect(a.guest.fill({ gpa: AREA, len: PAGES * PAGE, byte: secret })).toEqual({ pages: PAGES });
        release(a, secret);
        const pages = takeAll(b);
        if (taker !== 'hugetlb') expect(pages).toBeGreaterThan(FRAMES / 2 - 9);
        expect(onlyOwn(throughDoors(b, AREA, pages)), taker).toBe(true);
        expect(host.check()).toEqual([]);
        seen.push(everythingOf(b));
      }
      expect(seen[0], taker).toBe(seen[1]);
    }
  });

  it('what a guest did after a checkpoint that was restored', async () => {
    const seen: string[] = [];
    for (const secret of SECRETS) {
      const host = await hostOf(build);
      const [a, b] = [host.createVm({ memory: RAM, backing: 'thp' }), host.createVm({ memory: RAM })];
      a.guest.store(AREA, 1, 1);
      const before = host.checkpoint();
      expect(a.guest.fill({ gpa: AREA, len: PAGES * PAGE, byte: secret })).toEqual({ pages: PAGES });
      expect(a.vmm.madvise(at(a, 256), 256n * 4096n, 'pageout')).toBe(0);
      host.restore(before);
      expect(a.guest.verify({ gpa: AREA + 1, len: PAGES * PAGE - 1, byte: 0 })).toEqual({
        differs: undefined,
      });
      expect(onlyOwn(throughDoors(b, AREA, takeAll(b)))).toBe(true);
      expect(host.check()).toEqual([]);
      seen.push(everythingOf(b));
    }
    expect(seen[0]).toBe(seen[1]);
  });

  it('a hole in a huge page of hugetlb memory: zeros, the rest stays', async () => {
    const host = await hostOf(build);
    const a = host.createVm({ memory: RAM, backing: 'hugetlb_shared' });
    a.guest.fill({ gpa: AREA, len: PAGES * PAGE, byte: 0xa5 });
    expect(a.vmm.madvise(at(a, 100), 4n * 4096n, 'remove')).toBe(0);
    const bytes = throughDoors(a, AREA + 99 * PAGE, 6);
    expect(bytes.findIndex((byte) => byte !== 0xa5)).toBe(PAGE);
    expect(bytes.subarray(PAGE, 5 * PAGE).every((byte) => byte === 0)).toBe(true);
    expect(bytes.subarray(5 * PAGE).every((byte) => byte === 0xa5)).toBe(true);
  });

  it('a private copy that is dropped shows the file, not the copy', async () => {
    const host = await hostOf(build);
    const a = host.createVm({ memory: RAM, backing: 'memfd_priv' });
    expect(a.vmm.fileWrite(at(a, 1), 4096n, 0x11).errno).toBe(0);
    a.guest.fill({ gpa: AREA, len: 3 * PAGE, byte: 0xa5 });
    expect(a.vmm.madvise(at(a), 3n * 4096n, 'dontneed')).toBe(0);
    const bytes = throughDoors(a, AREA, 3);
    expect([0, 4095, 4096, 8191, 8192, 12287].map((i) => bytes[i])).toEqual([0, 0, 0x11, 0x11, 0, 0]);
  });

  it.each(
    TAKERS,
  )('%s: the SLAT leads to frames and the zero page, never to metadata or swap', async (backing) => {
    const host = await hostOf(build);
    const [a, b] = [host.createVm({ memory: RAM, backing: 'thp' }), host.createVm({ memory: RAM, backing })];
    a.guest.fill({ gpa: AREA, len: PAGES * PAGE, byte: 0xa5 });
    const pages = takeAll(b);
    for (let i = 0; i < pages; i++) b.guest.load(AREA + i * PAGE, 1);
    const first = host.core.readU32(HOST_FRAMES + POOL_BASE);
    const mapped = [a, b].flatMap((vm) =>
      Array.from({ length: RAM / PAGE }, (_, i) => vm.observe.walk(i * PAGE).hpa).filter(
        (hpa) => hpa !== undefined,
      ),
    );
    const outside = mapped.filter((hpa) => {
      const frame = Number(hpa >> 12n) - first;
      return !(frame >= 0 && frame < FRAMES) && hpa >> 12n !== ZERO_PAGE;
    });
    expect(mapped.length).toBeGreaterThan(0);
    expect(outside).toEqual([]);
  });
});
