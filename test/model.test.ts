// The model against Linux: every recording, and the rules no recording could show or shows by chance only.
// Reference: test/golden/mm/README.md; linux 6.18 mm/vma.c, mm/mlock.c, mm/madvise.c, mm/ksm.c, mm/huge_memory.c.
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { mmCases, runLengths } from '../src/conform/mm.ts';
import { formatResult, runCases } from '../src/conform/report.ts';
import type { MmMode } from './model/mm-mapping.ts';
import { MmModel, type MmModelOptions } from './model/mm-model.ts';

const golden = new URL('./golden/mm/', import.meta.url);
const files = readdirSync(golden).filter((file) => file.endsWith('.json'));
const open = ({ mode, pages }: { mode: string; pages: number }) =>
  new MmModel({ mode: mode as MmMode, pages });

describe('model › recordings of Linux 6.18', () => {
  it.each(files)('%s', async (file) => {
    const text = readFileSync(new URL(file, golden), 'utf8');
    const [result] = await runCases(mmCases(text, file, open));
    expect(result?.status, result && formatResult(result)).toBe('ok');
  });
});

const PAGE = 4096n;
const U64_MAX = 2n ** 64n - 1n;
const [OK, EPERM, EBADF, EAGAIN, ENOMEM, EACCES, EINVAL] = [0, 1, 9, 11, 12, 13, 22];

const borders = (model: MmModel) => model.vmas().map((v) => `${v.start}-${v.end} ${v.perm}`);
const locked = (model: MmModel) =>
  model
    .vmas()
    .filter((v) => v.flags.includes('lo'))
    .map((v) => `${v.start}-${v.end}`);
const made = (options: Partial<MmModelOptions> = {}) => new MmModel({ pages: 16, mode: 'anon', ...options });

describe('model › max_map_count', () => {
  // What if the VMM is out of VMAs in the middle of a change? One VMA is the mapping; `room` more may come.
  const withRoom = (room: number) => made({ otherMaps: 9, maxMapCount: 10 + room });

  it.each([
    ['no room: nothing changes', 0, 4n, 1n, ENOMEM, ['0-16 rw-p']],
    ['no room at the start of the VMA', 0, 0n, 4n, ENOMEM, ['0-16 rw-p']],
    ['room for one: the cut at the start stays', 1, 4n, 1n, ENOMEM, ['0-4 rw-p', '4-16 rw-p']],
    ['room for one is enough at the start', 1, 0n, 4n, OK, ['0-4 r--p', '4-16 rw-p']],
    ['room for one is enough at the end', 1, 12n, 4n, OK, ['0-12 rw-p', '12-16 r--p']],
    ['room for two', 2, 4n, 1n, OK, ['0-4 rw-p', '4-5 r--p', '5-16 rw-p']],
  ])('mprotect: %s', (_name, room, start, len, errno, vmas) => {
    const model = withRoom(room);
    expect(model.mprotect(start * PAGE, len * PAGE, 1)).toBe(errno);
    expect(borders(model)).toEqual(vmas);
  });

  it('needs no room where a neighbour takes the piece', () => {
    const model = withRoom(1);
    expect(model.mprotect(0n, 4n * PAGE, 1)).toBe(OK);
    expect(model.mprotect(4n * PAGE, PAGE, 1)).toBe(OK);
    expect(model.mprotect(4n * PAGE, PAGE, 3)).toBe(OK);
    expect(borders(model)).toEqual(['0-4 r--p', '4-16 rw-p']);
  });

  it('leaves a refused piece unlocked, and populates nothing', () => {
    const model = withRoom(1);
    expect(model.mlock(4n * PAGE, PAGE)).toBe(ENOMEM);
    expect(locked(model)).toEqual([]);
    expect(model.letters()).toBe('.'.repeat(16));
  });

  it('answers EAGAIN to advice and names', () => {
    expect(withRoom(0).madvise(0n, PAGE, 'dontdump')).toBe(EAGAIN);
    expect(withRoom(0).madvise(0n, PAGE, 'mergeable')).toBe(EAGAIN);
    expect(withRoom(0).setAnonName(0n, PAGE, 'x')).toBe(EAGAIN);
  });

  it('does not stop advice that changes no flag', () => {
    const model = withRoom(0);
    expect(model.madvise(PAGE, PAGE, 'dontneed')).toBe(OK);
    expect(model.madvise(PAGE, PAGE, 'unmergeable')).toBe(OK);
    expect(model.munlock(PAGE, PAGE)).toBe(OK);
  });

  it('munmap needs room only for a hole in the middle', () => {
    expect(withRoom(0).munmap(4n * PAGE, PAGE)).toBe(ENOMEM);
    expect(withRoom(1).munmap(4n * PAGE, PAGE)).toBe(OK);
    const model = withRoom(0);
    expect(model.munmap(0n, PAGE)).toBe(OK);
    expect(borders(model)).toEqual(['1-16 rw-p']);
  });
});

describe('model › memory-lock limit', () => {
  it('limit 0: EPERM, whatever the range; munlock is not asked', () => {
    const model = made({ memlock: 0 });
    expect(model.mlock(0n, 0n)).toBe(EPERM);
    expect(model.munlock(0n, PAGE)).toBe(OK);
  });

  it('counts what is locked already, but not twice', () => {
    const model = made({ memlock: 4 * 4096 });
    expect(model.mlock(0n, 3n * PAGE)).toBe(OK);
    expect(model.mlock(8n * PAGE, 2n * PAGE)).toBe(ENOMEM);
    expect(locked(model)).toEqual(['0-3']);
    expect(model.mlock(0n, 4n * PAGE)).toBe(OK);
    expect(model.munlock(0n, 4n * PAGE)).toBe(OK);
    expect(model.mlock(8n * PAGE, 4n * PAGE)).toBe(OK);
  });

  it('is looked at before the range: a range that wraps is too much, not wrong', () => {
    expect(made({ memlock: 4096 }).mlock(PAGE, U64_MAX - 2n * PAGE)).toBe(ENOMEM);
    expect(made().mlock(PAGE, U64_MAX - 2n * PAGE)).toBe(EINVAL);
  });

  it('less than a page is not 0: ENOMEM', () => {
    expect(made({ memlock: 100 }).mlock(0n, PAGE)).toBe(ENOMEM);
  });
});

describe('model › names', () => {
  it('cut and merge like any flag', () => {
    const model = made();
    expect(model.setAnonName(4n * PAGE, 4n * PAGE, 'a')).toBe(OK);
    expect(model.vmas().map((v) => v.name)).toEqual([undefined, 'a', undefined]);
    expect(model.setAnonName(8n * PAGE, 8n * PAGE, 'a')).toBe(OK);
    expect(borders(model)).toEqual(['0-4 rw-p', '4-16 rw-p']);
    expect(model.setAnonName(0n, 16n * PAGE, undefined)).toBe(OK);
    expect(borders(model)).toEqual(['0-16 rw-p']);
  });

  // Names are no VM flags: a first write takes over the neighbour's anon_vma although the names differ, so the two
  // merge again when the name goes. With DONTDUMP instead of a name they would not.
  it('do not keep neighbours from sharing an anon_vma', () => {
    const model = made();
    model.setAnonName(0n, 4n * PAGE, 'a');
    model.hostWrite(0, 1);
    model.hostWrite(8, 1);
    model.setAnonName(0n, 4n * PAGE, undefined);
    expect(borders(model)).toEqual(['0-16 rw-p']);
  });

  it.each([
    ['79 bytes', 'n'.repeat(79), OK],
    ['80 bytes', 'n'.repeat(80), EINVAL],
    ['bracket', 'a[b', EINVAL],
    ['backslash', 'a\\b', EINVAL],
    ['dollar', '$a', EINVAL],
    ['backtick', '`', EINVAL],
    ['newline', 'a\n', EINVAL],
    ['DEL', '\x7f', EINVAL],
    ['not ASCII', 'é', EINVAL],
    ['space and tilde', ' ~', OK],
  ])('%s', (_name, name, errno) => {
    expect(made().setAnonName(0n, PAGE, name)).toBe(errno);
  });

  it.each([
    ['unaligned', 1n, 0n, EINVAL],
    ['length 0', 0n, 0n, OK],
    ['rounding wraps', 0n, U64_MAX, EINVAL],
    ['end wraps', PAGE, U64_MAX & ~0xfffn, EINVAL],
    ['past the end: mapped part done', 8n * PAGE, 16n * PAGE, ENOMEM],
  ])('%s', (_name, start, len, errno) => {
    expect(made().setAnonName(start, len, 'a')).toBe(errno);
  });

  it('a kernel without them says EINVAL', () => {
    expect(made({ names: false }).setAnonName(0n, PAGE, 'a')).toBe(EINVAL);
  });
});

describe('model › munmap', () => {
  it.each([
    ['length 0', 0n, 0n, EINVAL],
    ['unaligned', 1n, PAGE, EINVAL],
    ['beyond user space', 2n ** 47n, PAGE, EINVAL],
    ['length beyond user space', 0n, U64_MAX, EINVAL],
    ['nothing mapped', -4n * PAGE, PAGE, OK],
    ['across the end', 15n * PAGE, 4n * PAGE, OK],
  ])('%s', (_name, start, len, errno) => {
    expect(made().munmap(start, len)).toBe(errno);
  });
});

describe('model › guest accesses', () => {
  it.each([
    ['a host read leaves a freed page lazily free', 'hostRead', 'l', '.'],
    ['a guest read saves it', 'guestRead', 'd', 'a'],
  ] as const)('%s', (_name, read, after, paged) => {
    const model = made({ pages: 1 });
    model.hostWrite(0, 7);
    model.madvise(0n, PAGE, 'free');
    expect(model[read](0)).toEqual({ ok: true, value: 7 });
    expect(model.letters()).toBe(after);
    model.madvise(0n, PAGE, 'pageout');
    expect(model.letters()).toBe(paged);
  });

  it('a guest read of read-only memory saves nothing', () => {
    const model = made({ pages: 1 });
    model.guestWrite(0, 7);
    model.madvise(0n, PAGE, 'free');
    model.mprotect(0n, PAGE, 1);
    expect(model.guestRead(0)).toEqual({ ok: true, value: 7 });
    expect(model.letters()).toBe('l');
  });

  it.each([
    ['hostRead', 4, 0],
    ['guestRead', 0, 4],
  ] as const)('%s of a swapped page', (read, clean, dirty) => {
    const model = made({ pages: 1 });
    model.hostWrite(0, 7);
    model.madvise(0n, PAGE, 'pageout');
    expect(model.letters()).toBe('s');
    expect(model[read](0)).toEqual({ ok: true, value: 7 });
    expect(model.vmas()[0]?.sizes).toMatchObject({ privateClean: clean, privateDirty: dirty, swap: 0 });
  });

  it('write-only: the guest reads what is present and writable, the host everything', () => {
    const model = made({ pages: 4 });
    model.hostWrite(1, 1);
    model.hostWrite(2, 2);
    model.hostRead(3);
    model.madvise(2n * PAGE, PAGE, 'pageout');
    model.mprotect(0n, 4n * PAGE, 2);
    expect(model.letters()).toBe('.asz');
    expect([0, 1, 2, 3].map((page) => model.guestRead(page).ok)).toEqual([false, true, false, false]);
    expect(model.letters()).toBe('.asz');
    expect([0, 1, 2, 3].map((page) => model.hostRead(page).ok)).toEqual([true, true, true, true]);
    expect(model.letters()).toBe('zaaz');
    expect(model.guestRead(2)).toEqual({ ok: true, value: 2 });
    expect(model.guestWrite(3, 3)).toEqual({ ok: true, value: 3 });
    expect(model.guestRead(3)).toEqual({ ok: true, value: 3 });
  });

  it('no permission and no VMA are the same EFAULT', () => {
    const model = made();
    model.mprotect(0n, PAGE, 0);
    model.munmap(PAGE, PAGE);
    const efault = { ok: false, reason: 'EFAULT' };
    for (const page of [0, 1]) {
      expect(model.guestRead(page)).toEqual(efault);
      expect(model.guestWrite(page, 1)).toEqual(efault);
    }
  });
});

type Advice = Parameters<MmModel['madvise']>[2];
/** A model with calls in pages, and its letters in runs. */
function short(mode: MmMode, pages: number, options: Partial<MmModelOptions> = {}) {
  const model = new MmModel({ mode, pages, ...options });
  const range = (start: number, len: number) => [BigInt(start) * PAGE, BigInt(len) * PAGE] as const;
  return {
    model,
    advise: (advice: Advice, start: number, len: number) => model.madvise(...range(start, len), advice),
    protect: (prot: number, start: number, len: number) => model.mprotect(...range(start, len), prot),
    lock: (start: number, len: number) => model.mlock(...range(start, len)),
    unmap: (start: number, len: number) => model.munmap(...range(start, len)),
    fill: (byte: number, ...at: number[]) => {
      for (const page of at) expect(model.hostWrite(page, byte).ok).toBe(true);
    },
    letters: () => runLengths(model.letters()),
    /** The sizes of all VMAs that are not 0, summed up. */
    sizes: () => {
      const sum: Record<string, number> = {};
      for (const { sizes } of model.vmas()) {
        for (const [key, kb] of Object.entries(sizes)) if (kb > 0) sum[key] = (sum[key] ?? 0) + kb;
      }
      return sum;
    },
  };
}

describe('model › KSM', () => {
  /** Pages with these bytes, merged. */
  const merged = (bytes: readonly number[], pages = bytes.length) => {
    const host = short('anon', pages);
    for (const [page, byte] of bytes.entries()) host.fill(byte, page);
    host.advise('mergeable', 0, pages);
    host.model.ksmSettle();
    return host;
  };

  // What if a page was freed lazily before it became the one that all share? It is dirty from then on, but still not
  // swap-backed. The shared page is the second of the first two that the scanner finds.
  it.each([
    ['the first, which joins', 0, '.s'],
    ['the second, which is shared', 1, '.k'],
  ])('lazily freed before: %s', (_name, freed, afterPageout) => {
    const host = short('anon', 2);
    host.fill(5, 0, 1);
    host.advise('mergeable', 0, 2);
    host.advise('free', freed, 1);
    host.model.ksmSettle();
    expect(host.letters()).toBe('2k');
    host.advise('dontneed', 0, 1);
    host.advise('pageout', 1, 1);
    expect(host.letters()).toBe(afterPageout);
    host.advise('pageout', 1, 1);
    expect(host.letters()).toBe('.s');
  });

  it('a page left alone and freed lazily stays lazy when others join it', () => {
    const host = merged([5, 5, 0]);
    host.advise('dontneed', 1, 1);
    host.advise('free', 0, 1);
    expect(host.letters()).toBe('K.a');
    host.fill(5, 2);
    host.model.ksmSettle();
    expect(host.letters()).toBe('K.K');
    expect(host.sizes()).toMatchObject({ sharedClean: 8, lazyFree: 8, pss: 4 });
    host.advise('pageout', 0, 3);
    expect(host.letters()).toBe('K.K');
  });

  it.each([
    [256, '256k', 4],
    [257, '256ka', 8],
    [258, '258k', 8],
  ])('%i equal pages', (pages, letters, pss) => {
    const host = merged(new Array<number>(pages).fill(7));
    expect(host.letters()).toBe(letters);
    // Each share is rounded down.
    expect(host.sizes().pss).toBeGreaterThanOrEqual(pss - 1);
    expect(host.sizes().pss).toBeLessThanOrEqual(pss);
  });

  it('one that stayed apart joins when there is room', () => {
    const host = merged(new Array<number>(257).fill(7));
    host.advise('dontneed', 3, 1);
    host.model.ksmSettle();
    expect(host.letters()).toBe('3k.253k');
  });

  // What if there is no room for the VMAs that UNMERGEABLE needs? The pages are copied before that is known.
  it('UNMERGEABLE without room for VMAs: EAGAIN, but nothing is shared any more', () => {
    const host = short('anon', 4, { otherMaps: 0, maxMapCount: 1 });
    host.fill(5, 0, 1, 2, 3);
    host.advise('mergeable', 0, 4);
    host.model.ksmSettle();
    expect(host.advise('unmergeable', 1, 2)).toBe(EAGAIN);
    expect(host.letters()).toBe('k2ak');
    expect(host.model.vmas()[0]?.flags).toContain('mg');
  });

  // The copy is clean and not writable, so KVM does not take it writable for a read.
  it('a guest reads what UNMERGEABLE copied, and it stays clean until a write', () => {
    const host = merged([5, 5]);
    host.advise('unmergeable', 0, 2);
    expect(host.sizes()).toMatchObject({ privateClean: 8 });
    expect(host.model.guestRead(0)).toEqual({ ok: true, value: 5 });
    expect(host.sizes()).toMatchObject({ privateClean: 8 });
    host.protect(2, 0, 2);
    expect(host.model.guestRead(1)).toEqual({ ok: true, value: 5 });
    expect(host.sizes()).toMatchObject({ privateClean: 4, privateDirty: 4 });
  });

  it('a huge page is split for it, and its zeros are no pages any more', () => {
    const host = short('thp', 1024);
    host.fill(5, 0, 600);
    host.advise('mergeable', 0, 1024);
    host.lock(512, 512);
    host.model.ksmSettle();
    expect(host.letters()).toBe('k511z512k');
    expect(host.sizes().ksm).toBe(4 * 513);
  });
});

describe('model › memfd', () => {
  it.each([
    ['hostRead', '.', 0],
    ['guestRead', 's', 1],
  ] as const)('PAGEOUT after a %s of a hole', (read, letter, blocks) => {
    const host = short('memfd', 1);
    expect(host.model[read](0)).toEqual({ ok: true, value: 0 });
    host.advise('pageout', 0, 1);
    // KVM took the page writable, and so it counts as written.
    expect(host.letters()).toBe(letter);
    expect(host.model.blocks()).toBe(blocks);
  });

  it('a page that was written stays dirty through DONTNEED, a private copy does not come back', () => {
    const shared = short('memfd', 1);
    const own = short('memfd_priv', 1);
    for (const host of [shared, own]) {
      host.fill(9, 0);
      expect(host.model.blocks()).toBe(1);
      host.advise('dontneed', 0, 1);
      expect(host.letters()).toBe('c');
    }
    expect(shared.model.hostRead(0)).toMatchObject({ value: 9 });
    expect(own.model.hostRead(0)).toMatchObject({ value: 0 });
    expect(shared.sizes()).toMatchObject({ privateDirty: 4 });
    expect(own.sizes()).toMatchObject({ privateClean: 4 });
  });

  it('fault-around passes over what is swapped, copied or not in memory', () => {
    const host = short('memfd_priv', 16);
    for (const page of [1, 2, 3]) host.model.hostRead(page);
    host.fill(9, 2);
    host.advise('pageout', 2, 1);
    host.advise('dontneed', 1, 1);
    host.advise('dontneed', 3, 1);
    expect(host.letters()).toBe('.csc12.');
    host.model.hostRead(0);
    expect(host.letters()).toBe('2fsf12.');
  });

  it('munmap keeps what the file has', () => {
    const host = short('memfd', 4);
    host.fill(1, 0, 1);
    expect(host.unmap(0, 2)).toBe(OK);
    expect(host.letters()).toBe('2x2.');
    expect(host.model.blocks()).toBe(2);
  });

  it.each([
    ['memfd', EBADF],
    ['memfd_priv', EBADF],
    ['hugetlb', EBADF],
    ['hugetlb_shared', EBADF],
    ['thp', OK],
  ] as const)('names on %s', (mode, errno) => {
    expect(short(mode, 512).model.setAnonName(0n, PAGE, 'a')).toBe(errno);
  });
});

describe('model › transparent huge pages', () => {
  const huge = (pages = 512) => {
    const host = short('thp', pages);
    for (let page = 0; page < pages; page += 512) host.fill(1, page);
    return host;
  };

  it.each([
    ['DONTNEED of all at once', [['dontneed', 0, 512]], '512H'],
    [
      'in two steps',
      [
        ['dontneed', 0, 256],
        ['dontneed', 256, 256],
      ],
      'a511.',
    ],
    [
      'PAGEOUT, then DONTNEED',
      [
        ['pageout', 0, 512],
        ['dontneed', 0, 512],
      ],
      '512H',
    ],
    [
      'FREE and PAGEOUT',
      [
        ['free', 0, 512],
        ['pageout', 0, 512],
      ],
      'a511.',
    ],
  ] as const)('what comes after %s', (_name, advice, letters) => {
    const host = huge();
    for (const [kind, start, len] of advice) host.advise(kind, start, len);
    expect(host.letters()).toBe('512.');
    host.fill(2, 0);
    expect(host.letters()).toBe(letters);
  });

  it('no VMA border may be inside when it comes, nor stay inside afterwards', () => {
    const host = short('thp', 1024);
    host.protect(1, 100, 1);
    host.fill(1, 0, 600);
    expect(host.letters()).toBe('a511.512H');
    host.advise('dontdump', 700, 1);
    expect(host.letters()).toBe('a511.512h');
  });

  // One flag for the whole huge page: KVM marks the folio, the processor an entry.
  it.each([
    ['hostRead', 'l', 2048],
    ['hostWrite', 'd', 2044],
    ['guestRead', 'd', 0],
    ['guestWrite', 'd', 0],
  ] as const)('freed lazily and mapped by parts: %s', (access, letter, lazyFree) => {
    const host = huge();
    host.advise('free', 0, 512);
    host.protect(1, 0, 1);
    host.protect(3, 0, 1);
    expect(host.letters()).toBe('512l');
    host.model[access](5, 0);
    expect(host.model.letters()[5]).toBe(letter);
    expect(host.sizes().lazyFree ?? 0).toBe(lazyFree);
    host.advise('pageout', 0, 512);
    expect(host.letters()).toBe(letter === 'l' ? '512.' : '512h');
  });

  it('split because of one VMA: zeros stay pages where another is locked', () => {
    const host = huge();
    host.lock(256, 256);
    expect(host.letters()).toBe('512h');
    host.advise('pageout', 10, 1);
    expect(host.letters()).toBe('a255z256a');
  });

  it('parts that nobody maps any more are gone when it is split', () => {
    const host = huge();
    host.fill(3, 100, 101);
    host.advise('dontneed', 100, 1);
    host.advise('free', 101, 1);
    expect(host.letters()).toBe('a99z.l410z');
  });

  it('munmap of a part', () => {
    const host = huge();
    expect(host.unmap(1, 510)).toBe(OK);
    expect(host.letters()).toBe('h510xh');
    expect(host.sizes()).toMatchObject({ rss: 8 });
  });
});

describe('model › hugetlb', () => {
  it.each([
    ['inside a huge page at the start', 1, 511, EINVAL, ['0-2048 rw-p']],
    ['inside at the end: the cut at the start stays', 512, 1, EINVAL, ['0-512 rw-p', '512-2048 rw-p']],
    ['whole', 512, 512, OK, ['0-512 rw-p', '1024-2048 rw-p']],
  ])('munmap %s', (_name, start, len, errno, vmas) => {
    const host = short('hugetlb', 2048);
    expect(host.unmap(start, len)).toBe(errno);
    expect(borders(host.model)).toEqual(vmas);
  });

  it('no room for a VMA is found out before a cut through a page', () => {
    const host = short('hugetlb', 1024, { otherMaps: 0, maxMapCount: 1 });
    expect(host.protect(1, 1, 1)).toBe(ENOMEM);
    expect(host.advise('dontdump', 1, 1)).toBe(EAGAIN);
  });

  it.each([
    ['hugetlb', EACCES],
    ['hugetlb_shared', OK],
  ] as const)('REMOVE of the end of one page and all of the next: %s', (mode, errno) => {
    const host = short(mode, 1024);
    host.fill(1, 0, 500, 600);
    expect(host.advise('remove', 500, 524)).toBe(errno);
    if (errno !== OK) return;
    expect(host.letters()).toBe('512G512g');
    expect(host.model.blocks()).toBe(512);
    expect([0, 500, 600].map((page) => host.model.hostRead(page))).toMatchObject([
      { value: 1 },
      { value: 0 },
      { value: 0 },
    ]);
  });

  it('mlock sets no flag and merges nothing', () => {
    const host = short('hugetlb', 1024);
    host.protect(1, 0, 512);
    host.protect(3, 0, 512);
    expect(host.lock(100, 1)).toBe(OK);
    expect(borders(host.model)).toEqual(['0-512 rw-p', '512-1024 rw-p']);
    expect(host.letters()).toBe('512G512.');
    expect(locked(host.model)).toEqual([]);
    expect(host.sizes()).toEqual({ privateHugetlb: 2048 });
  });

  it('write-only: a guest reads what was written, not what was only read', () => {
    const host = short('hugetlb', 1024);
    host.fill(1, 0);
    host.model.hostRead(512);
    host.protect(2, 0, 1024);
    expect([0, 512].map((page) => host.model.guestRead(page).ok)).toEqual([false, false]);
    host.fill(2, 0);
    expect([0, 512].map((page) => host.model.guestRead(page).ok)).toEqual([true, false]);
  });
});
