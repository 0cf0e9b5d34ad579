// A thread of this process, in Node and in browsers, behind one small door.
import { SlatboxError } from '../errors.ts';
import type { FromThread, ToThread } from './messages.ts';

export interface Thread {
  post(message: ToThread): void;
  /** In Node: whether the process stays alive for it. A thread with nothing to do must not keep it. */
  hold(on: boolean): void;
  /** Ends it at once, whatever it is doing. */
  end(): Promise<void>;
}
export interface ThreadListener {
  message(message: FromThread): void;
  /** It is gone, and nobody asked it to go. */
  died(reason: string): void;
}

const node = () => globalThis.process?.getBuiltinModule?.('node:worker_threads');

/** Why there can be no threads here; undefined when there can. */
export function threadsMissing(): string | undefined {
  if (globalThis.crossOriginIsolated === false) return 'this page is not cross-origin isolated';
  if (typeof SharedArrayBuffer === 'undefined') return 'there is no shared memory here';
  if (!node() && typeof Worker === 'undefined') return 'there are no workers here';
  return undefined;
}

/** SlatboxError SLB-050. */
export function assertThreads(): void {
  const missing = threadsMissing();
  if (missing === undefined) return;
  const hint = 'serve the page with COOP same-origin and COEP require-corp, or leave `threads` out';
  throw new SlatboxError('SLB-050', `no threads for vCPUs: ${missing}`, hint);
}

export function spawnThread(name: string, listener: ThreadListener): Thread {
  return node() ? spawnNode(name, listener) : spawnWeb(listener);
}

/** Not written as a literal there: a bundler for the page must not take Node's way of starting it for a file to copy. */
const SCRIPT = '../../build/vcpu-worker.js';

function spawnNode(name: string, listener: ThreadListener): Thread {
  const { Worker: NodeWorker } = node() as typeof import('node:worker_threads');
  // Options of this process, such as a loader for its sources or -e, are not for the worker's script.
  const worker = new NodeWorker(new URL(SCRIPT, import.meta.url), { name, execArgv: [] });
  let ended = false;
  worker.on('message', (message: FromThread) => listener.message(message));
  const died = (reason: string): void => {
    if (!ended) listener.died(reason);
    ended = true;
  };
  worker.on('error', (error) => died(error.message));
  worker.on('messageerror', (error) => died(error.message));
  worker.on('exit', (code) => died(`it ended with code ${code}`));
  worker.unref();
  return {
    post: (message) => worker.postMessage(message),
    hold: (on) => (on ? worker.ref() : worker.unref()),
    end: async () => {
      ended = true;
      await worker.terminate();
    },
  };
}

function spawnWeb(listener: ThreadListener): Thread {
  const worker = new Worker(new URL('../../build/vcpu-worker.js', import.meta.url), {
    type: 'module',
    name: 'slatbox vCPU',
  });
  worker.addEventListener('message', ({ data }: MessageEvent<FromThread>) => listener.message(data));
  worker.addEventListener('error', ({ message }) => listener.died(message || 'it could not start'));
  worker.addEventListener('messageerror', () => listener.died('a message of it could not be read'));
  return {
    post: (message) => worker.postMessage(message),
    hold: () => {},
    end: async () => worker.terminate(),
  };
}
