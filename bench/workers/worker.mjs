// The thread of one vCPU of a crew (crew.mjs): an instance of the core over the shared memory, on a CPU of its own. It
// gets programs by message, meets the others at a barrier, and takes the time of its own.
import { parentPort, workerData } from 'node:worker_threads';
import { instantiate } from '@assemblyscript/loader';
import { napOn } from '../../dist/src/core/load.js';
import { pinThread, probe, waited } from '../cpus.mjs';

/** @type {{ module: WebAssembly.Module, memory: WebAssembly.Memory, run: number, cpu: number, arrived: Int32Array }} */
const { module, memory, run, cpu, arrived } = workerData;
pinThread(cpu);
const { instance } = await instantiate(module, { env: { memory, wait: napOn(memory) } });
const x = /** @type {import('../../src/core/exports.ts').CoreExports} */ (
  /** @type {unknown} */ (instance.exports)
);
x.threadAttach(run);

parentPort?.on('message', (/** @type {import('./crew.mjs').Job} */ { at, steps, rounds, members }) => {
  const waitedBefore = waited();
  const before = probe();
  Atomics.add(arrived, 0, 1);
  while (Atomics.load(arrived, 0) < members); // all have their message and a CPU: this is over soon
  const begin = process.hrtime.bigint();
  x.vcpuProgram(run, at, steps, rounds);
  const ns = Number(process.hrtime.bigint() - begin);
  const after = probe();
  parentPort?.postMessage({ ns, waited: (waited() - waitedBefore) / ns, probe: Math.max(before, after) });
});
// Until the compiler has done with it.
for (let i = 0; i < 300; i++) probe();
parentPort?.postMessage('ready');
