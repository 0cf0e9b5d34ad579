// Rows about accesses that hit: hit-loop, hit-js.
import { RUN_VALUE } from '../../dist/assembly/abi/status.js';
import { interleave, mustAgree, timed } from '../harness.mjs';
import { FIRST, Func, Machine, MIB, PAGE } from '../machine.mjs';

/** One page and one cache line further each time, so that the accesses do not all fall in one cache set. */
const STRIDE = PAGE + 64;
const ACCESSES = 500_000;
const BATCH = 1000;

/** @param {import('../context.mjs').Context} context */
export async function hitLoop({ build, native, rounds }) {
  if (!native.available) return { abstain: native.reason };
  const machine = await Machine.open(build, { memory: '256M' });
  const { core, run } = machine;
  const parts = [];
  for (const mib of [2, 64]) {
    const bytes = mib * MIB;
    machine.request(Func.Dontneed, FIRST, bytes);
    machine.touch(FIRST, bytes);
    // Stores first, so that the loads of both sides find the same numbers.
    for (const kind of ['store', 'load']) {
      let sum = 0n;
      const { engine, control } = await interleave(rounds, {
        engine: () =>
          timed(ACCESSES, (n) => {
            const done = core.x.vcpuStride(
              run,
              BigInt(FIRST),
              BigInt(bytes),
              BigInt(STRIDE),
              n,
              kind === 'store' ? 1 : 0,
            );
            sum = kind === 'store' ? BigInt(done) : core.readU64(run + RUN_VALUE);
          }),
        control: async () => {
          const { ns, check } = await native.run(`walk ${kind} ${bytes / PAGE} ${STRIDE} ${ACCESSES}`);
          mustAgree(`${kind} in ${mib} MiB`, sum, check);
          return ns;
        },
      });
      parts.push({ what: `${kind}, ${mib} MiB`, value: engine, control });
    }
  }
  return { parts };
}

/** @param {import('../context.mjs').Context} context */
export async function hitJs({ build, rounds }) {
  const machine = await Machine.open(build, { memory: '64M' });
  const { core, run } = machine;
  const { x, u32 } = core;
  machine.touch(FIRST, 2 * MIB);
  // In batches over constants, as in measure/request.mjs.
  const loadBatch = () => {
    let sum = 0;
    for (let i = 0; i < BATCH; i++) {
      x.vcpuLoadAt(run, FIRST + (i & 255) * STRIDE, 8, 0);
      sum += u32[(run + RUN_VALUE) >>> 2];
    }
    return sum;
  };
  const storeBatch = () => {
    for (let i = 0; i < BATCH; i++) x.vcpuStoreAt(run, FIRST + (i & 255) * STRIDE, 8, i, 0);
  };
  const repeat = (/** @type {() => unknown} */ batch) => (/** @type {number} */ n) => {
    for (let done = 0; done < n; done += BATCH) batch();
  };
  const { load, store } = await interleave(rounds, {
    store: () => timed(ACCESSES, repeat(storeBatch)),
    load: () => timed(ACCESSES, repeat(loadBatch)),
  });
  return {
    parts: [
      { what: 'load', value: load },
      { what: 'store', value: store },
    ],
  };
}
