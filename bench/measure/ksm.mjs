// Row ksm-scan: full scans over two VMs whose memory is partly equal.
import { createHost } from '../../dist/src/index.js';
import { interleave, mustAgree, perSecond, timed } from '../harness.mjs';
import { FIRST, Func, Machine, MIB, PAGE } from '../machine.mjs';

/** Of each VM. */
const BYTES = 64 * MIB;
const PAGES = (2 * BYTES) / PAGE;
const WORDS = PAGE / 4;

/**
 * Contents of all pages, the first VM's and then the second's, as bench/native/ksm.c fills its own: of four pages one
 * that both VMs have, one of zeros, and two that nobody else has.
 */
function contents() {
  const words = new Uint32Array(PAGES * WORDS);
  for (let page = 0; page < PAGES; page++) {
    if ((page & 3) === 1) continue;
    let x = Math.imul((page & 3) === 0 ? page % (PAGES / 2) : page, 2654435761) | 1;
    for (let i = 0; i < WORDS; i++) {
      x ^= x << 13;
      x ^= x >>> 17;
      x ^= x << 5;
      words[page * WORDS + i] = x;
    }
  }
  return words;
}

/** @param {import('../context.mjs').Context} context */
export async function ksmScan({ build, native, fewRounds }) {
  if (!native.available) return { abstain: native.reason };
  const host = await createHost({ memory: '160M', swap: 0, events: false, wasmMemory: build });
  const machines = [0, 1].map(() => new Machine(host.createVm({ memory: '72M' })));
  for (const machine of machines) machine.request(Func.Mergeable, FIRST, BYTES);
  const words = contents();
  const merged = () => machines.reduce((sum, { vm }) => sum + Number(vm.observe.counters()['ksm.merged']), 0);

  /** Nothing is shared, and the scanner has forgotten what it saw. */
  const reset = () => {
    for (const machine of machines) machine.request(Func.Dontneed, FIRST, BYTES);
    host.ksm.scan();
    machines.forEach((machine, i) => {
      machine.touch(FIRST, BYTES);
      for (let page = 0; page < PAGES / 2; page++) {
        const at = host.core.x.ramPoke(machine.vm.ptr, BigInt(FIRST + page * PAGE)) >>> 0;
        const from = (i * (PAGES / 2) + page) * WORDS;
        host.core.u32.set(words.subarray(from, from + WORDS), at >>> 2);
      }
    });
  };
  /** Pages that scan `nth` joins to another, for the native side to agree with. @type {number[]} */
  const joined = [];
  const engine = (/** @type {number} */ nth) => () => {
    if (nth === 1) reset();
    const before = merged();
    const ns = timed(PAGES, () => host.ksm.scan());
    joined[nth] = merged() - before;
    return ns;
  };
  const control = (/** @type {number} */ nth) => async () => {
    const { ns, check } = await native.run(`ksm-scan ${nth} ${PAGES}`);
    mustAgree(`pages joined by scan ${nth}`, joined[nth], check);
    return ns;
  };
  const cases = /** @type {const} */ ([
    [1, 'the first scan, which only looks'],
    [2, 'the second, which merges'],
    [3, 'the third, when nothing changes any more'],
  ]);
  const result = await interleave(
    fewRounds,
    Object.fromEntries(
      cases.flatMap(([nth]) => [
        [`engine ${nth}`, engine(nth)],
        [`control ${nth}`, control(nth)],
      ]),
    ),
  );
  const parts = cases.map(([nth, what]) => ({
    what,
    value: /** @type {number} */ (result[`engine ${nth}`]),
    control: /** @type {number} */ (result[`control ${nth}`]),
  }));
  return { parts, figures: perSecond(parts) };
}
