// Rows about large guests: startup-1t, metadata-1t, raster.
import { createSandbox, formatSize } from '../../dist/src/index.js';
import { interleave, timedWall } from '../harness.mjs';
import { GIB, Machine, MIB } from '../machine.mjs';

const TIB = 1024 * GIB;
const MS = 1e6;

/** @param {import('../context.mjs').Context} context */
export async function startup({ build, fewRounds }) {
  const { create } = await interleave(fewRounds, {
    create: async () => {
      const start = process.hrtime.bigint();
      await createSandbox({ memory: '1T', pool: '1G', wasmMemory: build });
      return Number(process.hrtime.bigint() - start) / MS;
    },
  });
  return {
    parts: [{ what: 'createSandbox', value: create }],
    notes: ['the module is compiled once a process'],
  };
}

/** @param {import('../context.mjs').Context} context */
export async function metadata({ build }) {
  const { host } = await createSandbox({ memory: '1T', pool: '1G', wasmMemory: build });
  const reserved = host.core.memory.buffer.byteLength - host.frames().total * 4096;
  return {
    parts: [{ what: 'metadataBytes', value: host.metadataBytes() / MIB }],
    notes: [
      `linear memory besides frames: ${formatSize(reserved)} reserved (256 MiB of it swap), not touched until it is used`,
    ],
  };
}

/** @param {import('../context.mjs').Context} context */
export async function raster({ build, rounds }) {
  const machine = await Machine.open(build, { memory: '1T', pool: '64M' });
  // One page in every 256 MiB, so that every GiB of the picture has something to show.
  for (let gpa = 4 * GIB; gpa < TIB; gpa += GIB / 4) machine.touch(gpa, 4096);
  const parts = [];
  for (const lens of /** @type {const} */ (['backing', 'slat', 'protection'])) {
    const { draw } = await interleave(rounds, {
      draw: () => timedWall(1, () => machine.vm.observe.raster(lens, 0, 21, 1024, 512)) / MS,
    });
    parts.push({ what: lens, value: draw });
  }
  return { parts };
}
