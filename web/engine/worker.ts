// The engine's side of the worker: a Session behind comlink. A raster is handed over, not copied.
// Reference: https://github.com/GoogleChromeLabs/comlink
import * as Comlink from 'comlink';
import type { RasterRequest } from './port.ts';
import { Session } from './session.ts';

class WorkerSession extends Session {
  override async raster(request: RasterRequest) {
    const answer = await super.raster(request);
    return answer.ok ? Comlink.transfer(answer, [answer.value.buffer as ArrayBuffer]) : answer;
  }
}

Comlink.expose(new WorkerSession());
