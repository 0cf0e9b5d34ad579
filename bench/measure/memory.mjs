// Rows about many pages: dontneed-1g, mprotect-1g, first-touch.
import { interleave, timed, timedWall } from '../harness.mjs';
import { FIRST, Func, GIB, Machine, MIB, PAGE } from '../machine.mjs';

const MS = 1e6;

/** @param {import('../context.mjs').Context} context */
export async function dontneedGib({ build, native, fewRounds }) {
  if (!native.available) return { abstain: native.reason };
  const machine = await Machine.open(build, { memory: '1G+4M' });
  const result = await interleave(fewRounds, {
    engine: () => {
      machine.touch(FIRST, GIB);
      return timedWall(1, () => machine.request(Func.Dontneed, FIRST, GIB)) / MS;
    },
    native: async () => (await native.run('dontneed-touched 1024')).ns / MS,
  });
  return { parts: [{ what: 'DONTNEED', value: result.engine, control: result.native }] };
}

/** @param {import('../context.mjs').Context} context */
export async function mprotectGib({ build, native, fewRounds }) {
  if (!native.available) return { abstain: native.reason };
  const machine = await Machine.open(build, { memory: '1G+4M' });
  machine.touch(FIRST, GIB);
  const pair = () => {
    machine.request(Func.MprotectR, FIRST, GIB);
    machine.request(Func.MprotectRw, FIRST, GIB);
  };
  const result = await interleave(fewRounds, {
    // As the native side: backed, then R and RW in turn. The guest's entries are dropped by the first.
    engine: () => {
      machine.touch(FIRST, GIB);
      return (
        timedWall(8, () => {
          for (let i = 0; i < 4; i++) pair();
        }) / MS
      );
    },
    everyEntryMapped: () => {
      machine.touch(FIRST, GIB);
      return timedWall(2, pair) / MS;
    },
    native: async () => (await native.run('mprotect-touched 1024 8')).ns / MS,
  });
  return {
    parts: [
      { what: 'alternating', value: result.engine, control: result.native },
      {
        what: 'the guest has touched all pages before each pair',
        value: result.everyEntryMapped,
        control: result.native,
      },
    ],
  };
}

/** @param {import('../context.mjs').Context} context */
export async function firstTouch({ build, native, fewRounds }) {
  if (!native.available) return { abstain: native.reason };
  const bytes = 256 * MIB;
  const machine = await Machine.open(build, { memory: '1G' });
  const result = await interleave(fewRounds * 2, {
    // Recycled frames: fresh linear memory would be zeroed by the operating system, not by us. The round that is
    // not counted makes all frames used ones.
    engine: () => {
      machine.request(Func.Dontneed, FIRST, bytes);
      return timed(bytes / PAGE, () => machine.touch(FIRST, bytes));
    },
    native: async () => (await native.run(`zero-pages ${bytes / 1024} 1`)).ns,
  });
  return { parts: [{ what: '256 MiB', value: result.engine, control: result.native }] };
}
