// What every measurement is given.

/**
 * @typedef {{ native: import('./native.mjs').NativeControls | import('./native.mjs').NoControls,
 *   rounds: number, fewRounds: number }} Context
 * rounds: of measurements that take milliseconds; fewRounds: of those that take a second.
 */
export {};
