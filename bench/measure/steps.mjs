// Rows info-steps, dontneed-steps, touch-steps: the pieces that the dear rows are made of, each measured alone. They do
// not add up exactly (a processor overlaps them), but say which of them is worth a look.
import { bestTurn, interleave, timed } from '../harness.mjs';
import { loadKernels } from '../kernels.mjs';
import { COMMAND_GPA, FIRST, Func, GIB, Machine, MIB, PAGE, RING } from '../machine.mjs';

const COUNT = 300_000;
const BATCH = 1000;
/** No connection has it: bus and device look it up and drop it. */
const UNKNOWN = RING | 0xffff;

/** Time of one of the 1000 operations of `batch`, as row info takes it. @param {() => unknown} batch */
const batched = (batch) => () =>
  bestTurn(() =>
    timed(COUNT, (n) => {
      for (let done = 0; done < n; done += BATCH) batch();
    }),
  );

/** Cases in the order given, from one interleaved measurement. @param {Record<string, () => number | Promise<number>>} sides */
async function steps(/** @type {number} */ rounds, sides) {
  const result = await interleave(rounds, sides);
  return { parts: Object.keys(sides).map((what) => ({ what, value: result[what] })) };
}

/** @param {import('../context.mjs').Context} context */
export async function infoSteps({ build, rounds }) {
  const { machine, batch: whole } = await import(`./info-loop.mjs?${build}`);
  const { nothing } = await loadKernels(build);
  const { u32, x } = machine.core;
  const { buffer } = machine;
  const { ptr } = machine.vm;
  return steps(rounds, {
    'all of it': batched(whole),
    'writing 32 bytes, reading 16': batched(() => {
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
        sum += u32[buffer] + u32[buffer + 2];
      }
      return sum;
    }),
    'a call into WebAssembly that does nothing': batched(() => {
      for (let i = 0; i < BATCH; i++) nothing(ptr, COMMAND_GPA, 0, RING);
    }),
    'a doorbell that nobody answers': batched(() => {
      for (let i = 0; i < BATCH; i++) x.mmioWrite32(ptr, COMMAND_GPA, 0, UNKNOWN);
    }),
  });
}

/** @param {import('../context.mjs').Context} context */
export async function dontneedSteps({ build, native, rounds }) {
  const machine = await Machine.open(build, { memory: '1G' });
  const { u32, x } = machine.core;
  const { ptr, ram } = machine.vm;
  const { buffer } = machine;
  const hva = (ram[0]?.hva ?? 0n) + BigInt(GIB / 2);
  const page = BigInt(PAGE);
  /** 1000 requests: `code` for `len` bytes in the middle of RAM. */
  const requests = (/** @type {number} */ code, /** @type {number} */ len) =>
    batched(() => {
      for (let i = 0; i < BATCH; i++) {
        u32[buffer] = code;
        u32[buffer + 1] = 0;
        u32[buffer + 2] = GIB / 2;
        u32[buffer + 3] = 0;
        u32[buffer + 4] = len;
        u32[buffer + 5] = 0;
        u32[buffer + 6] = 0;
        u32[buffer + 7] = 0;
        x.mmioWrite32(ptr, COMMAND_GPA, 0, RING);
      }
    });
  const sides = {
    'all of it': requests(Func.Dontneed, PAGE),
    'an INFO request': requests(Func.Info, PAGE),
    'a request that ends at the check of its range': requests(Func.Dontneed, 2 ** 31),
    "the VMM's system call alone": batched(() => {
      for (let i = 0; i < BATCH; i++) x.hostCall(ptr, Func.Dontneed, hva, page, 0n);
    }),
  };
  if (!native.available) return steps(rounds, sides);
  const control = async () => (await native.run(`dontneed-one ${COUNT / 20}`)).ns;
  return steps(rounds, { ...sides, "Linux's madvise": control });
}

/** @param {import('../context.mjs').Context} context */
export async function touchSteps({ build, native, fewRounds }) {
  const bytes = 256 * MIB;
  const pages = bytes / PAGE;
  const machine = await Machine.open(build, { memory: '1G' });
  const { zero } = await loadKernels(build);
  const touch = () => timed(pages, () => machine.touch(FIRST, bytes));
  const sides = {
    'all of it': () => {
      machine.request(Func.Dontneed, FIRST, bytes);
      return touch();
    },
    'page there, entry missing: violation and entry': () => {
      machine.request(Func.MprotectR, FIRST, bytes);
      machine.request(Func.MprotectRw, FIRST, bytes);
      return touch();
    },
    'page and entry there: walk and store': touch,
    'zeroing a frame': () => timed(pages, () => zero(pages)),
  };
  if (!native.available) return steps(fewRounds, sides);
  const control = async () => (await native.run(`zero-pages ${bytes / 1024} 1`)).ns;
  return steps(fewRounds, { ...sides, "the C library's memset of 4 KiB": control });
}
