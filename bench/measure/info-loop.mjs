// The INFO loop over constants of a module, which is how a program that drives one machine is written: the compiler
// then knows the typed array and the export, and looks neither up for each request. Imported when it is run, by an
// address that ends in the build: `info-loop.mjs?plain`.
import { COMMAND_GPA, Machine, RING } from '../machine.mjs';

const build = new URL(import.meta.url).search.slice(1);
const machine = await Machine.open(/** @type {import('../context.mjs').Build} */ (build), { memory: '1G' });
const { u32, x } = machine.core;
const { buffer } = machine;
const { ptr } = machine.vm;
const BATCH = 1000;

export { machine };

/** 1000 INFO requests: all 32 bytes written, the doorbell, ret_errno and ret_value read. Answers their sum. */
export function batch() {
  let sum = 0;
  for (let i = 0; i < BATCH; i++) {
    u32[buffer] = 0;
    u32[buffer + 1] = 0;
    u32[buffer + 2] = 0;
    u32[buffer + 3] = 0;
    u32[buffer + 4] = 0;
    u32[buffer + 5] = 0;
    u32[buffer + 6] = 0;
    u32[buffer + 7] = 0;
    x.mmioWrite32(ptr, COMMAND_GPA, 0, RING);
    sum += u32[buffer] + u32[buffer + 2];
  }
  return sum;
}
