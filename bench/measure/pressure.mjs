// Rows about memory that runs short: swap-out, swap-in, reclaim.
import { interleave, mustAgree, perSecond, timed } from '../harness.mjs';
import { BUFFER, FIRST, Func, Machine, MIB, PAGE } from '../machine.mjs';

/** What moves in a round. The native side copies as much, in two sets of that size. */
const BYTES = 128 * MIB;
const PAGES = BYTES / PAGE;
/** Each page's first byte is 1: what the native sum over the first words must be. */
const TOUCHED = PAGES;

/** @typedef {'reclaim.swapout' | 'reclaim.lazyfree' | 'faults.major'} Counter */

/** How often it happened while `body` ran. @param {Machine} machine @param {Counter} name @param {() => number} body */
function counted({ vm }, name, body) {
  const before = vm.observe.counters()[name];
  const ns = body();
  return { ns, n: vm.observe.counters()[name] - before };
}

/**
 * Nanoseconds of a page of `body`, which must be as many of `name` as there are pages: no page was swapped that was not
 * meant to be, and none left out.
 * @param {Machine} machine @param {Counter} name @param {() => void} body
 */
function timedPages(machine, name, body) {
  const { ns, n } = counted(machine, name, () => timed(PAGES, body));
  mustAgree(name, n, PAGES);
  return ns;
}

/** @param {import('../native.mjs').NativeControls} native @param {'out' | 'out-in' | 'out-zero'} what */
const copy = (native, what) => async () => {
  const { ns, check } = await native.run(`copy ${what} ${BYTES / 1024}`);
  mustAgree(`copy ${what}`, check, what === 'out-zero' ? 0 : TOUCHED);
  return ns;
};

/** @param {'out' | 'in'} way @returns {import('../part.mjs').Measure} */
const swap =
  (way) =>
  async ({ build, native, fewRounds }) => {
    if (!native.available) return { abstain: native.reason };
    const machine = await Machine.open(build, { memory: '256M', swap: BYTES });
    const pageout = () => machine.request(Func.Pageout, FIRST, BYTES);
    const touch = () => machine.touch(FIRST, BYTES);
    const { engine, control } = await interleave(fewRounds * 2, {
      engine: () => {
        if (way === 'in') {
          touch();
          pageout();
          return timedPages(machine, 'faults.major', touch);
        }
        touch();
        return timedPages(machine, 'reclaim.swapout', pageout);
      },
      control: copy(native, 'out'),
    });
    const parts = [{ what: way === 'out' ? 'PAGEOUT' : 'touched again', value: engine, control }];
    return {
      parts,
      figures: perSecond(parts),
    };
  };

export const swapOut = swap('out');
export const swapIn = swap('in');

/** @param {import('../context.mjs').Context} context */
export async function reclaim({ build, native, fewRounds }) {
  if (!native.available) return { abstain: native.reason };
  // Frames for BYTES and the first 2 MiB. The guest has two areas of that size: to touch the one is to reclaim the other.
  const machine = await Machine.open(build, { memory: '512M', pool: BYTES + PAGE, swap: 2 * BYTES });
  machine.request(Func.Mlock, BUFFER - (BUFFER % PAGE), PAGE); // its frame is used without the guest's entry
  const [one, two] = [FIRST, FIRST + BYTES];
  const reset = () => {
    machine.request(Func.Dontneed, one, 2 * BYTES);
    machine.touch(one, BYTES);
  };
  const touchTwo = () => machine.touch(two, BYTES);
  const result = await interleave(fewRounds * 2, {
    fresh: () => {
      reset();
      return timedPages(machine, 'reclaim.swapout', touchTwo);
    },
    around: () => {
      reset();
      touchTwo(); // swaps all of the first area
      return timedPages(machine, 'faults.major', () => machine.touch(one, BYTES));
    },
    lazy: () => {
      reset();
      machine.request(Func.Free, one, BYTES);
      return timedPages(machine, 'reclaim.lazyfree', touchTwo);
    },
    outZero: copy(native, 'out-zero'),
    outIn: copy(native, 'out-in'),
    zero: async () => (await native.run(`zero-pages ${BYTES / 1024} 1`)).ns,
  });
  const parts = [
    { what: 'new pages, others are swapped out', value: result.fresh, control: result.outZero },
    { what: 'swapped pages, others are swapped out', value: result.around, control: result.outIn },
    { what: 'new pages, lazily freed ones are dropped', value: result.lazy, control: result.zero },
  ];
  return { parts, figures: perSecond(parts) };
}
