// Where the threads of a run wait for each other, so that all begin at the same time: starting one takes longer than
// many a program. Two words: how many have come, and whether the gate is open.

const ARRIVED = 0;
const OPEN = 1;

export const createGate = (): SharedArrayBuffer => new SharedArrayBuffer(8);

/** Blocks until `threads` threads are here. Never on the main thread of a page. */
export function pass(gate: SharedArrayBuffer, threads: number): void {
  const words = new Int32Array(gate);
  if (Atomics.add(words, ARRIVED, 1) + 1 === threads) {
    Atomics.store(words, OPEN, 1);
    Atomics.notify(words, OPEN);
    return;
  }
  // A thread that never comes has died; then the main thread ends this one too.
  while (Atomics.load(words, OPEN) === 0) Atomics.wait(words, OPEN, 0);
}
