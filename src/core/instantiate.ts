// One instance of the engine over a memory. The thread that makes a host uses it, and each vCPU's thread for itself.
import { instantiate } from '@assemblyscript/loader';
import { Core } from './core.ts';
import type { CoreExports } from './exports.ts';

/** The compiled engine and its memory, as threads hand them to each other. */
export type CoreModule = WebAssembly.Module;
export type CoreMemory = WebAssembly.Memory;

/**
 * The import `wait` of the threads cores: sleep while the word at `at` is `value`, a millisecond at most. Only vCPU
 * threads call it.
 */
export function napOn(memory: WebAssembly.Memory): (at: number, value: number) => void {
  const words = new Int32Array(memory.buffer);
  return (at, value) => {
    Atomics.wait(words, at >>> 2, value | 0, 1);
  };
}

export async function instantiateCore(module: CoreModule, memory: CoreMemory): Promise<Core> {
  // The loader turns an abort of the debug core into a readable error. Its wrapped exports cost more a
  // call than the instance's own, so those are used.
  const env = { memory, wait: napOn(memory) };
  const { instance } = await instantiate(module, { env });
  return new Core(instance.exports as unknown as CoreExports, memory, module);
}
