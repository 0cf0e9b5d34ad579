// Rows about memory of 2 MiB pages: dontneed-1g-2m, first-touch-2m.
import { interleave, mustAgree, timed, timedWall } from '../harness.mjs';
import { FIRST, Func, GIB, HUGE, Machine, MIB } from '../machine.mjs';
import { withoutHugePages } from '../native.mjs';

const MS = 1e6;
const US = 1e3;

/** A guest of huge pages, and frames enough for all of it in groups of 512. */
async function open(/** @type {import('../context.mjs').Build} */ build) {
  const machine = await Machine.open(build, { memory: '1G+4M', pool: '1G+16M', backing: 'thp' });
  // Whether one store brings one huge page, by the engine's own smaps. Not between the rounds: to count it is to bring
  // all page state into the caches.
  const { vm } = machine;
  const huge = () => vm.observe.vmas().reduce((sum, { anonHugePages }) => sum + anonHugePages, 0);
  const before = huge();
  machine.touchEach(FIRST, GIB, HUGE);
  mustAgree('bytes in huge pages', huge() - before, GIB);
  machine.request(Func.Dontneed, FIRST, GIB);
  mustAgree('bytes in huge pages after DONTNEED', huge(), before);
  return machine;
}

/** @param {import('../context.mjs').Context} context */
export async function dontneedGibHuge({ build, native, fewRounds }) {
  if (!native.available) return { abstain: native.reason };
  const machine = await open(build);
  let least = Number.POSITIVE_INFINITY;
  const result = await interleave(fewRounds, {
    engine: () => {
      machine.touchEach(FIRST, GIB, HUGE);
      mustAgree('resident bytes', machine.vm.observe.rss(), GIB + HUGE); // the buffer's own
      const ms = timedWall(1, () => machine.request(Func.Dontneed, FIRST, GIB)) / MS;
      mustAgree('resident bytes after DONTNEED', machine.vm.observe.rss(), HUGE);
      return ms;
    },
    native: async () => {
      const { ns, check } = await native.run('dontneed-huge 1024');
      least = Math.min(least, Number(check));
      return ns / MS;
    },
  });
  const missing = withoutHugePages(least, GIB);
  if (missing) return { abstain: missing };
  return { parts: [{ what: 'DONTNEED', value: result.engine, control: result.native }] };
}

/** @param {import('../context.mjs').Context} context */
export async function firstTouchHuge({ build, native, fewRounds }) {
  if (!native.available) return { abstain: native.reason };
  const bytes = 256 * MIB;
  const machine = await open(build);
  const result = await interleave(fewRounds * 2, {
    // Recycled groups, as in first-touch.
    engine: () => {
      machine.request(Func.Dontneed, FIRST, bytes);
      const ns = timed(bytes / HUGE, () => machine.touchEach(FIRST, bytes, HUGE));
      mustAgree('resident bytes', machine.vm.observe.rss(), bytes + HUGE);
      return ns / US;
    },
    native: async () => (await native.run(`zero-huge ${bytes / MIB}`)).ns / US,
  });
  return { parts: [{ what: '256 MiB', value: result.engine, control: result.native }] };
}
