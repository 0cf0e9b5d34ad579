// The page's side of the worker. A worker that dies tells the page; calls would otherwise wait forever.
// Reference: https://github.com/GoogleChromeLabs/comlink
import * as Comlink from 'comlink';
import type { EnginePort, Failure } from './port.ts';

export function connectEngine(onDeath: (failure: Failure) => void): EnginePort {
  const worker = new Worker(new URL('./worker.ts', import.meta.url), {
    type: 'module',
    name: 'slatbox engine',
  });
  worker.addEventListener('error', (event) => {
    onDeath({
      code: 'SLB-900',
      message: `engine: ${event.message || 'could not start'}`,
      hint: 'reload the page',
    });
  });
  // Session's methods all return promises of plain values, so the remote has the same shape.
  return Comlink.wrap<EnginePort>(worker) as unknown as EnginePort;
}
