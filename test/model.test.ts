// The model against Linux: every recording of plain anonymous memory, and the rules no recording could show.
// Reference: test/golden/mm/README.md; linux 6.18 mm/vma.c, mm/mlock.c, mm/madvise.c.
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { mmCases } from '../src/conform/mm.ts';
import { formatResult, runCases } from '../src/conform/report.ts';
import { MmModel, type MmModelOptions } from './model/mm-model.ts';

const golden = new URL('./golden/mm/', import.meta.url);
const files = readdirSync(golden).filter((file) => file.endsWith('.json'));
const open = ({ mode, pages }: { mode: string; pages: number }) =>
  new MmModel({ mode: mode as MmModelOptions['mode'], pages });

describe('model › recordings of Linux 6.18', () => {
  it.each(files)('%s', async (file) => {
    const text = readFileSync(new URL(file, golden), 'utf8');
    const [result] = await runCases(mmCases(text, file, open));
    expect(result?.status, result && formatResult(result)).toBe('ok');
  });
});

const PAGE = 4096n;
const U64_MAX = 2n ** 64n - 1n;
const [OK, EPERM, EAGAIN, ENOMEM, EINVAL] = [0, 1, 11, 12, 22];

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
