/** Makes build/vcpu-worker.js. */
export function buildWorker(): Promise<void>;
