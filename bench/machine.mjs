// The engine under measurement: a sandbox from the built library, and the doors that are worth timing.
//
// Hot calls go to `host.core.x`, the instance's own exports, with the addresses as the core takes them. A request
// takes the way of docs/performance.md's recorded device: the 32 bytes stored in guest RAM, the doorbell written on
// the MMIO bus, the answer loaded from guest RAM.
import { createSandbox } from '../dist/src/index.js';

export { Func } from '../dist/assembly/abi/pvmemcontrol.js';

export const BAR0 = 0xdffffff0;
export const COMMAND = 8;
const RESET = 0x060fe6d2;
const REGISTER = 0x0e359539;
const READY = 0x0ca8d227;
const ACK = 0x03cf5196;
/** The command register and the doorbell as 32-bit integers: larger numbers would be heap objects on the way. */
export const COMMAND_GPA = (BAR0 + COMMAND) | 0;
export const RING = 0x80000000 | 0;
export const DOORBELL = 0x80000000;
/** Of the per-CPU buffer: in the first 2 MiB, which no measurement touches, and not at the start of a page. */
export const BUFFER = 0x1840;

export const PAGE = 4096;
export const MIB = 2 ** 20;
export const HUGE = 2 * MIB;
export const GIB = 2 ** 30;
/** Guest RAM for measurements begins here. */
export const FIRST = 2 * MIB;

/** What a driver's probe does: the device is reset and told these buffers, whose doorbells are RING, RING + 1, … */
export function connect(
  /** @type {import('../dist/src/index.js').Vm} */ vm,
  /** @type {readonly number[]} */ buffers,
) {
  const command = (/** @type {number} */ value) => vm.guest.store(BAR0 + COMMAND, 4, value);
  command(RESET);
  for (const buffer of buffers) {
    vm.guest.store(BAR0, 8, buffer);
    command(REGISTER);
  }
  command(READY);
  const answer = vm.guest.load(BAR0 + COMMAND, 4);
  if (!answer.ok || Number(answer.value) !== ACK) throw new Error('the device is not ready');
}

export class Machine {
  /** @param {import('../dist/src/index.js').Vm} vm */
  constructor(vm) {
    this.vm = vm;
    this.core = vm.host.core;
    this.run = vm.guest.run(0);
    connect(vm, [BUFFER]);
    // A guest's stores reach RAM through its SLAT entry; here through the same frame.
    vm.guest.store(BUFFER, 8, 0);
    this.buffer = (this.core.x.ramPoke(vm.ptr, BigInt(BUFFER)) >>> 0) >>> 2;
  }

  /** @param {import('./context.mjs').Build} build @param {Parameters<typeof createSandbox>[0]} options */
  static async open(build, options) {
    return new Machine(await createSandbox({ swap: 0, events: false, wasmMemory: build, ...options }));
  }

  /**
   * `n` requests for `len` bytes: each function of `codes` at gpas[0], each at gpas[1], … and over again. Answers the
   * sum of ret_errno and ret_value, so that nobody has to believe that they ran.
   * @param {number} n @param {readonly number[]} codes @param {readonly number[]} gpas @param {number} len
   */
  requests(n, codes, gpas, len) {
    const low = Uint32Array.from(gpas, (gpa) => gpa % 2 ** 32);
    const high = Uint32Array.from(gpas, (gpa) => gpa / 2 ** 32);
    const functions = Uint32Array.from(codes);
    const whole = codes.length * gpas.length;
    let sum = 0;
    // In batches of whole turns: a function that is called often is compiled better than one long loop.
    const batch = Math.min(n, Math.ceil(1000 / whole) * whole);
    for (let done = 0; done < n; done += batch)
      sum += this.#batch(Math.min(batch, n - done), functions, low, high, len);
    return sum;
  }

  #batch(n, codes, low, high, len) {
    const { u32, x } = this.core;
    const { buffer } = this;
    const { ptr } = this.vm;
    let sum = 0;
    for (let i = 0, c = 0, k = 0; i < n; i++) {
      u32[buffer] = codes[c];
      u32[buffer + 1] = 0;
      u32[buffer + 2] = low[k];
      u32[buffer + 3] = high[k];
      u32[buffer + 4] = len;
      u32[buffer + 5] = 0;
      u32[buffer + 6] = 0;
      u32[buffer + 7] = 0;
      x.mmioWrite32(ptr, COMMAND_GPA, 0, RING);
      sum += u32[buffer] + u32[buffer + 2];
      if (++c === codes.length) {
        c = 0;
        if (++k === low.length) k = 0;
      }
    }
    return sum;
  }

  /** One request that must succeed. @param {number} code @param {number} gpa @param {number} len */
  request(code, gpa, len) {
    const errno = this.requests(1, [code], [gpa], len);
    if (errno !== 0) throw new Error(`request ${code} at ${gpa}: errno ${errno}`);
  }

  /** Writes a byte of each page. @param {number} gpa @param {number} len */
  touch(gpa, len) {
    const pages = Number(this.core.x.vcpuTouch(this.run, BigInt(gpa), BigInt(len), 1, 1));
    if (pages !== len / PAGE) throw new Error(`touched ${pages} of ${len / PAGE} pages`);
  }

  /** Stores 8 bytes every `stride` bytes. @param {number} gpa @param {number} len @param {number} stride */
  touchEach(gpa, len, stride) {
    const n = len / stride;
    const done = this.core.x.vcpuStride(this.run, BigInt(gpa), BigInt(len), BigInt(stride), n, 1);
    if (done !== n) throw new Error(`stored to ${done} of ${n} places`);
  }
}
