// What every measurement is given.

/**
 * @typedef {'plain' | 'threads'} Build which kind of linear memory, and so which core
 * @typedef {{ build: Build, cpus: readonly number[],
 *   native: ReturnType<typeof import('./native.mjs').startNative>, rounds: number, fewRounds: number }} Context
 * cpus: the part of the run may use these; empty where the system decides.
 * rounds: of measurements that take milliseconds; fewRounds: of those that take a second.
 */
export {};
