// The page's engine and store on the real machine, in process: time travel gives the same machine again, console
// lines become steps, failures leave everything as it was.
import { beforeAll, describe, expect, it } from 'vitest';
import { PageKind } from '../../assembly/abi/page-kind.ts';
import type { EventRecord } from '../../src/types.ts';
import type { Answer, Frame } from '../../web/engine/port.ts';
import { Session } from '../../web/engine/session.ts';
import type { Place } from '../../web/link.ts';
import { exitGpa, exitName, exitText } from '../../web/model/exits.ts';
import { heldOf } from '../../web/model/held.ts';
import { createPageStore } from '../../web/store.ts';

const PAGE = 4096;
const MIB = 2 ** 20;

const value = <T>(answer: Answer<T>): T => {
  if (!answer.ok) throw new Error(`${answer.error.code} ${answer.error.message}`);
  return answer.value;
};
/** All the way: a single answer may be of a step on the way. */
async function seekTo(session: Session, step: number): Promise<Frame> {
  for (;;) {
    const frame = value(await session.seek(step));
    if (frame.step === step) return frame;
  }
}
const place: Place = {
  scenario: 'guard-pages',
  step: 0,
  vm: undefined,
  selection: undefined,
  lens: 'backing',
  insertions: [],
};

describe('session', () => {
  it('opens every scenario that the page offers, and its expectations hold', async () => {
    const session = new Session();
    for (const { name } of value(await session.scenarios())) {
      const { steps, vms, frame } = value(await session.open(name, [], 0));
      expect([name, frame.step]).toEqual([name, 0]);
      const plain = vms.every(({ backing }) => backing === 'anon');
      // Of the long ones a round says as much as a hundred.
      const end = Math.min(100, name === 'sample-dontneed' ? 10 : steps.length);
      for (let step = 1; step <= end; step++) {
        const now = await seekTo(session, step);
        const { results } = now;
        expect([name, results.map((r) => [r.label, r.ok])]).toEqual([name, [[results[0]?.label, true]]]);
        // Every frame is accounted for: only files, private ones too, and huge pages hold what nobody maps.
        const { held } = heldOf(now.host, now.vms);
        const isPlain = plain && now.vms.every((v) => v.memslots.every((s) => s.guestMemfd === undefined));
        expect([name, step, isPlain ? held === 0 : held >= 0]).toEqual([name, step, true]);
      }
    }
  }, 120_000);

  it("every frame is somebody's: mapped, shared, or held by a huge page or a file", async () => {
    const session = new Session();
    value(await session.open('partial-huge-pages', [], 0));
    const frame = await seekTo(session, 142);
    expect(heldOf(frame.host, frame.vms)).toEqual({
      used: 148 * MIB + PAGE,
      mapped: 100 * MIB + PAGE,
      saved: 0,
      held: 48 * MIB,
    });
    value(await session.open('secrets', [], 0));
    const shared = await seekTo(session, 14);
    expect(heldOf(shared.host, shared.vms)).toMatchObject({ saved: 62 * PAGE, held: 0 });
  });

  it('looks at the VM that is asked for', async () => {
    const session = new Session();
    const { vms } = value(await session.open('memory-file', [], 0));
    expect(vms.map(({ name, backing }) => [name, backing])).toEqual([
      ['shared', 'memfd'],
      ['private', 'memfd_priv'],
    ]);
    await seekTo(session, 17);
    const looks = await Promise.all([0, 1].map((vm) => session.look(vm, 32n << 20n)));
    expect(looks.map((look) => value(look).page.letter)).toEqual(['f', 'a']);
    const smaps = await Promise.all([0, 1].map((vm) => session.smaps(vm)));
    expect(smaps.map((text) => /([rwxps-]{4}) /.exec(value(text))?.[1])).toEqual(['rw-s', 'rw-p']);
    const request = { lens: 'backing', gpa: 32n << 20n, cellShift: 12, width: 1, height: 1 } as const;
    const cells = await Promise.all([0, 1].map((vm) => session.raster({ vm, ...request })));
    expect(cells.map((cell) => ((value(cell)[0] ?? 0) >> 1) & 31)).toEqual([
      PageKind.File,
      PageKind.Anonymous,
    ]);
  });

  it('the map has room for the slots that a scenario makes behind RAM, from the start', async () => {
    const session = new Session();
    const { vms, focus, frame } = value(await session.open('memslots', [], 0));
    expect(vms.map(({ end }) => end)).toEqual([(64n << 20n) + (1n << 20n)]);
    expect(focus).toBe(4n << 20n);
    expect(frame.vms[0]?.memslots.map(({ id, size }) => [id, size])).toEqual([[0, 16 * MIB]]);
    // A file has no place in the guest.
    expect(value(await session.open('private-shared', [], 0)).focus).toBe(32n << 20n);
  });

  it('slots, attributes and the map of both follow the time cursor, back too', async () => {
    const session = new Session();
    value(await session.open('private-shared', [], 0));
    const request = {
      vm: 0,
      lens: 'attributes',
      gpa: 32n << 20n,
      cellShift: 20,
      width: 4,
      height: 1,
    } as const;
    const look = async (step: number) => {
      const frame = await seekTo(session, step);
      const cells = value(await session.raster(request));
      const { isPrivate } = value(await session.look(0, 32n << 20n));
      return [frame.vms[0]?.memslots.at(-1)?.leaves['4k'], isPrivate, [...cells].map((cell) => cell >> 1)];
    };
    // Bits of docs/events.md "Cells", above the first: shared 1, private 2, both 4, left 8, attribute 16.
    const shared = [1024, false, [1, 1, 1, 1]];
    expect(await look(7)).toEqual(shared);
    expect(await look(11)).toEqual([0, true, [24, 24, 24, 24]]);
    expect(await look(14)).toEqual([1024, true, [20, 20, 20, 20]]);
    expect(await look(22)).toEqual([1024, true, [18, 18, 18, 18]]);
    expect(await look(38)).toEqual([1024, false, [1, 1, 20, 20]]);
    expect(await look(7)).toEqual(shared);
  });

  it('who counts the selection, at the time cursor, while that panel is open', async () => {
    const session = new Session();
    const store = createPageStore(session);
    await store.getState().start({ ...place, scenario: 'private-shared' });
    const range = { gpa: 32n << 20n, len: 4n << 20n };
    store.getState().select(range);
    await store.getState().seek(14);
    expect(store.getState().who).toBeUndefined();
    store.getState().setPanel('who');
    const bytes = (counter: string) =>
      store.getState().who?.rows.find((row) => row.counter === counter)?.bytes;
    await expect.poll(() => bytes('VmRSS')).toBe(4 * MIB);
    expect([bytes('private'), bytes('guest_memfd pages')]).toEqual([4 * MIB, 4 * MIB]);
    await store.getState().seek(22);
    expect([bytes('VmRSS'), bytes('guest_memfd pages')]).toEqual([0, 4 * MIB]);
    store.getState().select({ gpa: 1n << 63n, len: 4096n });
    await expect.poll(() => store.getState().who).toBeUndefined();
    expect(store.getState().failure).toBeUndefined();
  });

  it('what a guest_memfd converts itself has no guest-physical address, and says so', async () => {
    const session = new Session();
    const store = createPageStore(session);
    await store.getState().start({ ...place, scenario: 'in-place-conversion' });
    await store.getState().seek(store.getState().steps.length);
    store.getState().setPanel('exits');
    await expect.poll(() => store.getState().exits?.records.length).toBe(4);
    const last = store.getState().exits?.records.at(-1) as EventRecord;
    expect([exitGpa(last), exitText(last)]).toEqual([
      undefined,
      '2 MiB of a guest_memfd are shared now, in the same frames.',
    ]);
  });

  it('exits of the VM that is shown, each explained', async () => {
    const session = new Session();
    const store = createPageStore(session);
    await store.getState().start({ ...place, scenario: 'private-shared' });
    await store.getState().seek(53);
    store.getState().setPanel('exits');
    await expect.poll(() => store.getState().exits?.records.length).toBe(13);
    const records = store.getState().exits?.records ?? [];
    expect(records.map(exitName)).toEqual([
      'memslot',
      'memslot',
      'attributes',
      'attributes',
      'hole',
      'attributes',
      'attributes',
      'MEMORY_FAULT',
      'HYPERCALL',
      'attributes',
      'hole',
      'attributes',
      'MEMORY_FAULT',
    ]);
    const last = records.at(-1) as EventRecord;
    expect([exitGpa(last), exitText(last)]).toEqual([1n << 20n, expect.stringContaining('in another kind')]);
    expect(exitText(records[2] as EventRecord)).toBe(
      '4 MiB are private now. Shared memory of theirs stays until the VMM drops it.',
    );
  });

  it('a long way is answered in pieces, and each of them moves on', async () => {
    const session = new Session();
    value(await session.open('sample-dontneed', [], 0));
    const stops: number[] = [];
    for (let step = 0; step < 10; ) {
      const frame = value(await session.seek(10));
      expect(frame.step).toBeGreaterThan(step);
      step = frame.step;
      stops.push(step);
    }
    expect(stops.at(-1)).toBe(10);
  }, 60_000);

  it('back and forth, and by any way, a step is the same machine', async () => {
    const session = new Session();
    const { steps } = value(await session.open('guard-pages', [], 0));
    const digests: string[] = [];
    for (let step = 0; step <= steps.length; step++) {
      await seekTo(session, step);
      digests.push(value(await session.digest()));
    }
    expect(new Set(digests).size).toBeGreaterThan(10);
    for (const step of [steps.length - 1, 3, 40, 0, 77, 41, 40]) {
      const frame = await seekTo(session, step);
      expect([step, value(await session.digest())]).toEqual([step, digests[step]]);
      expect(frame.step).toBe(step);
    }
  });

  // Huge pages whole and in parts, files, KSM, swap, a run that is larger than what is copied at every step.
  it.each([
    ['partial-huge-pages', [142, 60, 141, 76, 5, 77, 156, 140, 139, 0]],
    ['memory-file', [33, 17, 32, 8, 16, 25, 24]],
    ['secrets', [74, 14, 20, 40, 13, 39, 38]],
    ['stacks-in-huge-pages', [128, 60, 127, 9, 110]],
    ['kernel-stacks', [2500, 2499, 2480, 100, 2470]],
  ] as const)(
    '%s: whatever the way, a step is the same machine',
    async (name, way) => {
      const [there, and] = [new Session(), new Session()];
      value(await there.open(name, [], 0));
      value(await and.open(name, [], 0));
      const digests = new Map<number, string>();
      for (const step of [...way].sort((a, b) => a - b)) {
        await seekTo(and, step);
        digests.set(step, value(await and.digest()));
      }
      for (const step of way) {
        await seekTo(there, step);
        expect([step, value(await there.digest())]).toEqual([step, digests.get(step)]);
      }
    },
    60_000,
  );

  it('counters, events and VMAs travel too', async () => {
    const session = new Session();
    value(await session.open('guard-pages', [], 0));
    const early = await seekTo(session, 20);
    await seekTo(session, 60);
    const again = await seekTo(session, 20);
    expect({ ...again, results: [] }).toEqual({ ...early, results: [] });
  });

  it('a console line is a step of its own, in the same place after every way there', async () => {
    const session = new Session();
    const { steps } = value(await session.open('guard-pages', [], 0));
    await seekTo(session, 10);
    const after = value(await session.insert('touch 0 64K --write'));
    const digest = value(await session.digest());
    expect(after.steps.length).toBe(steps.length + 1);
    expect(after.steps[10]).toMatchObject({ label: '+', line: 'touch 0 64K --write', kind: 'touch' });
    expect(after.frame.step).toBe(11);
    await seekTo(session, 0);
    await seekTo(session, 11);
    expect(value(await session.digest())).toBe(digest);
    const fresh = new Session();
    value(await fresh.open('guard-pages', [{ at: 10, line: 'touch 0 64K --write' }], 11));
    await seekTo(fresh, 11);
    expect(value(await fresh.digest())).toBe(digest);
  });

  it.each([
    ['an unknown command', 'frobnicate', 'SLB-903'],
    ['a cpu that is not there', 'dontneed 0 4K --cpu 63', 'SLB-013'],
    ['a size that is none', 'read banana', /^SLB-/],
  ])('refuses %s and stays where it was', async (_name, line, code) => {
    const session = new Session();
    value(await session.open('guard-pages', [], 5));
    await seekTo(session, 5);
    const digest = value(await session.digest());
    const answer = await session.insert(line);
    expect(answer).toMatchObject({ ok: false, error: { code: expect.stringMatching(code) } });
    expect((await seekTo(session, 5)).step).toBe(5);
    expect(value(await session.digest())).toBe(digest);
  });

  it('calls made while vCPUs run on threads wait for their turn', async () => {
    const session = new Session();
    value(await session.open('two-cpus', [], 0));
    await seekTo(session, 5);
    const [frame, walk, digest, back] = await Promise.all([
      session.seek(6),
      session.look(0, 36n << 20n),
      session.digest(),
      session.seek(0),
    ]);
    expect(value(frame).results[0]?.text).toContain('at once');
    expect(value(walk)).toMatchObject({ walk: { hpa: undefined, page: 'a' }, page: { letter: 'a' } });
    expect(value(digest)).toMatch(/^[0-9a-f]{16}$/);
    expect(value(back).vms[0]?.counters['host.rss']).toBe(0);
  });

  it('an answer without a scenario is an error with a code', async () => {
    expect(await new Session().seek(1)).toMatchObject({ ok: false, error: { code: 'SLB-902' } });
    expect(await new Session().open('nope', [], 0)).toMatchObject({ ok: false, error: { code: 'SLB-901' } });
  });
});

describe('store', () => {
  let store: ReturnType<typeof createPageStore>;
  beforeAll(async () => {
    store = createPageStore(new Session());
    await store.getState().start(place);
  });
  const rss = () => store.getState().frame?.vms[0]?.counters['host.rss'];

  it('starts with a machine, a picture and a walk', () => {
    const { phase, frame, raster, walk, selection } = store.getState();
    expect(phase).toBe('ready');
    expect(frame?.step).toBe(0);
    expect(raster?.cells.length).toBe(512 * 512);
    expect(walk?.gpa).toBe(selection.gpa);
  });

  it('stepping back gives the earlier numbers', async () => {
    const seen = [rss()];
    for (let i = 0; i < 6; i++) {
      await store.getState().stepBy(1);
      seen.push(rss());
    }
    expect(new Set(seen).size).toBeGreaterThan(1);
    for (let i = 5; i >= 0; i--) {
      await store.getState().stepBy(-1);
      expect(rss()).toBe(seen[i]);
    }
  });

  it('many seeks at once end at the last one', async () => {
    await Promise.all([30, 10, 50, 20, 44].map((step) => store.getState().seek(step)));
    expect(store.getState().frame?.step).toBe(44);
    expect(store.getState().wanted).toBe(44);
    expect(store.getState().raster?.step).toBe(44);
  });

  it('two quick presses are two steps', async () => {
    await store.getState().seek(10);
    await Promise.all([store.getState().stepBy(1), store.getState().stepBy(1)]);
    await expect.poll(() => store.getState().frame?.step).toBe(12);
    await Promise.all([1, 2, 3].map(() => store.getState().stepBy(-1)));
    await expect.poll(() => store.getState().frame?.step).toBe(9);
  });

  it('the picture follows view and lens', async () => {
    store.getState().setLens('protection');
    store.getState().setView({ start: 0n, span: 21 });
    await expect.poll(() => store.getState().raster?.view.span).toBe(21);
    expect(store.getState().raster?.lens).toBe('protection');
    expect(store.getState().raster?.cells.length).toBe(512);
  });

  it('another VM is shown in all panels, and console lines are about it', async () => {
    const two = createPageStore(new Session());
    await two.getState().start({ ...place, scenario: 'memory-file', step: 17 });
    const { setVm } = two.getState();
    expect(two.getState().page?.letter).toBe('f');
    setVm(1);
    await expect.poll(() => two.getState().page?.letter).toBe('a');
    await expect.poll(() => two.getState().raster?.vm).toBe(1);
    await two.getState().run('touch 1M 4K --write');
    expect(two.getState().insertions).toEqual([{ at: 17, line: 'touch 1M 4K --write --vm private' }]);
    setVm(7);
    expect(two.getState().vm).toBe(1);
    const linked = createPageStore(new Session());
    await linked.getState().start({ ...place, scenario: 'memory-file', vm: 'private' });
    expect(linked.getState().vm).toBe(1);
    await linked.getState().start({ ...place, scenario: 'memory-file', vm: 'nobody' });
    expect(linked.getState()).toMatchObject({ vm: 0, failure: { code: 'SLB-905' } });
  });

  it('a console line is printed, counted as a step, and undone by back', async () => {
    const { step } = store.getState().frame ?? { step: 0 };
    const before = rss() ?? 0;
    await store.getState().run('touch 16M 1M --write');
    expect(rss()).toBe(before + 2 ** 20);
    expect(store.getState().console.at(-1)).toMatchObject({
      kind: 'output',
      text: expect.stringContaining('256 faults'),
    });
    expect(store.getState().insertions).toEqual([{ at: step, line: 'touch 16M 1M --write' }]);
    await store.getState().run('back');
    expect(rss()).toBe(before);
  });

  it('a bad line is a problem in the console and not a banner', async () => {
    await store.getState().run('dontneed 1G');
    expect(store.getState().console.at(-1)).toMatchObject({
      kind: 'problem',
      text: expect.stringContaining('len is missing'),
    });
    expect(store.getState().failure).toBeUndefined();
  });

  it('an unknown scenario in a link: a banner, and another scenario', async () => {
    const other = createPageStore(new Session());
    await other.getState().start({ ...place, scenario: 'nope', step: 7 });
    expect(other.getState().failure).toMatchObject({ code: 'SLB-901' });
    expect(other.getState().phase).toBe('ready');
    expect(other.getState().frame?.step).toBe(0);
  });

  it('a console line in a link that is no step: a banner, and the scenario without it', async () => {
    const other = createPageStore(new Session());
    await other.getState().start({ ...place, step: 4, insertions: [{ at: 2, line: 'frobnicate' }] });
    expect(other.getState()).toMatchObject({ phase: 'ready', insertions: [], failure: { code: 'SLB-903' } });
    expect(other.getState().steps.every((s) => s.line === undefined)).toBe(true);
  });

  it('an engine that dies: a banner, the page stays', async () => {
    const dead = createPageStore({
      ...({} as Session),
      scenarios: () => Promise.reject(new Error('worker is gone')),
    } as Session);
    await dead.getState().start(place);
    expect(dead.getState()).toMatchObject({
      phase: 'failed',
      failure: { code: 'SLB-900', message: 'worker is gone' },
    });
  });
});
