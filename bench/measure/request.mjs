// Rows about single requests: info, dontneed-1.

import { RUN_BUFFER } from '../../dist/assembly/abi/status.js';
import { bestTurn, interleave, mustAgree, timed } from '../harness.mjs';
import { BAR0, BUFFER, COMMAND, COMMAND_GPA, DOORBELL, Func, GIB, Machine, PAGE, RING } from '../machine.mjs';

const COUNT = 2_000_000;
const TURN = COUNT / 4;

// The loop of dontneed-1 is spelled out where it runs, and that of info in a module of its own: that is how a
// caller's own loop compiles, and what Machine.requests adds would be a third of the time.
const BATCH = 1000;

/** @param {import('../context.mjs').Context} context */
export async function info({ build, native, rounds }) {
  const { machine, batch } = await import(`./info-loop.mjs?${build}`);
  const { u32, x } = machine.core;
  const { run } = machine;
  const { host } = machine.vm;
  // The guest driver's send in one crossing: the request into the run record, the call, the answer from there.
  const record = (run + RUN_BUFFER) >>> 2;
  const oneCall = () => {
    let sum = 0;
    for (let i = 0; i < BATCH; i++) {
      u32[record] = 0;
      u32[record + 1] = 0;
      u32[record + 2] = 0;
      u32[record + 3] = 0;
      u32[record + 4] = 0;
      u32[record + 5] = 0;
      u32[record + 6] = 0;
      u32[record + 7] = 0;
      x.vcpuRequestAt(run, BUFFER, BAR0 + COMMAND, DOORBELL);
      sum += u32[record] + u32[record + 2];
    }
    return sum;
  };
  const engine = () =>
    bestTurn(() => timed(TURN, (n) => mustAgree('INFO answers', repeat(n, batch), n * PAGE)));
  const sides = {
    engine,
    withEvents: async () => {
      host.events.enabled = true;
      const ns = await engine();
      host.events.enabled = false;
      return ns;
    },
    oneCall: () => timed(COUNT, (n) => mustAgree('INFO answers', repeat(n, oneCall), n * PAGE)),
  };
  if (!native.available) {
    const { engine } = await interleave(rounds, sides);
    return { parts: [{ what: 'INFO', value: engine }], controlMissing: native.reason };
  }
  const result = await interleave(rounds, {
    ...sides,
    native: () =>
      bestTurn(async () => {
        const { ns, check } = await native.run(`info ${TURN}`);
        mustAgree('INFO answers', TURN * PAGE, check);
        return ns;
      }),
  });
  return {
    parts: [{ what: 'INFO', value: result.engine, control: result.native }],
    notes: [
      `with events recorded ${result.withEvents.toFixed(1)} ns`,
      `buffer copied, doorbell and answer in one call of a vCPU (vcpuRequest) ${result.oneCall.toFixed(1)} ns`,
    ],
  };
}

/** Sum of as many batches as make `n` operations. @param {number} n @param {() => number} batch */
function repeat(n, batch) {
  let sum = 0;
  for (let done = 0; done < n; done += BATCH) sum += batch();
  return sum;
}

/** @param {import('../context.mjs').Context} context */
export async function dontneedOne({ build, native, rounds }) {
  if (!native.available) return { abstain: native.reason };
  const machine = await Machine.open(build, { memory: '1G' });
  const { u32, x } = machine.core;
  const { buffer } = machine;
  const { ptr } = machine.vm;
  const batch = () => {
    let errors = 0;
    for (let i = 0; i < BATCH; i++) {
      u32[buffer] = Func.Dontneed;
      u32[buffer + 1] = 0;
      u32[buffer + 2] = GIB / 2;
      u32[buffer + 3] = 0;
      u32[buffer + 4] = PAGE;
      u32[buffer + 5] = 0;
      u32[buffer + 6] = 0;
      u32[buffer + 7] = 0;
      x.mmioWrite32(ptr, COMMAND_GPA, 0, RING);
      errors += u32[buffer];
    }
    return errors;
  };
  const result = await interleave(rounds, {
    engine: () => timed(COUNT, (n) => mustAgree('errno', repeat(n, batch), 0)),
    native: async () => {
      const { ns, check } = await native.run(`dontneed-one ${COUNT / 20}`);
      mustAgree('failed madvise calls', check, 0);
      return ns;
    },
  });
  return { parts: [{ what: 'DONTNEED', value: result.engine, control: result.native }] };
}
