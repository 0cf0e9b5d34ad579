// The MMIO bus as a VMM calls it after an exit: any address, any size.

import { gpa as gpaOf } from '../address.ts';
import type { Core } from '../core/core.ts';
import type { Ptr } from '../core/exports.ts';
import { SCRATCH } from '../core/layout.ts';
import type { AddressLike } from '../types.ts';

/** No window is longer; bytes behind it never reach a device nor come from one. */
const WINDOW = 16;

export class Bus {
  readonly #core: Core;
  readonly #vm: Ptr;

  constructor(core: Core, vm: Ptr) {
    this.#core = core;
    this.#vm = vm;
  }

  /** False when no window claims the address. Bytes that the device does not answer stay as they are. */
  read(gpa: AddressLike, buffer: Uint8Array): boolean {
    const part = buffer.subarray(0, WINDOW);
    this.#core.u8.set(part, SCRATCH);
    const claimed = this.#core.x.mmioRead(this.#vm, gpaOf(gpa), buffer.length, SCRATCH) !== 0;
    if (claimed) part.set(this.#core.u8.subarray(SCRATCH, SCRATCH + part.length));
    return claimed;
  }

  write(gpa: AddressLike, bytes: Uint8Array): boolean {
    this.#core.u8.set(bytes.subarray(0, WINDOW), SCRATCH);
    return this.#core.x.mmioWrite(this.#vm, gpaOf(gpa), bytes.length, SCRATCH) !== 0;
  }
}
