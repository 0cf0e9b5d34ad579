// The script of a vCPU's thread, the same for Node and for browsers: scripts/build-worker.mjs makes one file of it and
// what it imports, build/vcpu-worker.js. It waits for messages, so an idle vCPU costs nothing.

import type { Core } from '../core/core.ts';
import { instantiateCore } from '../core/instantiate.ts';
import { engineRounds } from './encode.ts';
import { pass } from './gate.ts';
import { Lane } from './lane.ts';
import type { Attach, FromThread, RunProgram, ToThread } from './messages.ts';

/** What Node's parentPort and a browser's worker scope have in common. */
interface Door {
  postMessage(message: FromThread): void;
  addEventListener(kind: 'message', listener: (event: { readonly data: ToThread }) => void): void;
}
const node = globalThis.process?.getBuiltinModule?.('node:worker_threads');
const door = (node?.parentPort ?? globalThis) as unknown as Door;

let attached: { readonly core: Core; readonly who: Attach } | undefined;

door.addEventListener('message', ({ data }) => {
  const doing = data.kind === 'attach' ? attach(data) : run(data);
  doing.then(
    (answer) => door.postMessage(answer),
    (error) =>
      door.postMessage({ kind: 'failed', reason: error instanceof Error ? error.message : String(error) }),
  );
});

async function attach(who: Attach): Promise<FromThread> {
  const core = await instantiateCore(who.module, who.memory);
  core.x.threadAttach(who.run);
  attached = { core, who };
  return { kind: 'ready' };
}

async function run({ ops, driver, gate, threads }: RunProgram): Promise<FromThread> {
  if (!attached) throw new Error('nobody said which vCPU this is');
  const { core, who } = attached;
  const lane = new Lane(core, who.vm, who.run, who.cpu, driver);
  const device = 'device' in driver ? driver.device : undefined;
  pass(gate, threads);
  const results = ops.map((op) => {
    if (op.kind !== 'repeat') return lane.once(op);
    return engineRounds(core, who.run, who.cpu, op, device) ?? toTheEnd(lane.rounds(op));
  });
  return { kind: 'done', results };
}

/** Nobody waits for a turn on this thread. */
function toTheEnd<T>(steps: Generator<undefined, T>): T {
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
  }
}
