// RAM itself, whatever its protection: what a debugger of the whole machine sees. Reading changes nothing,
// not even which pages are there.
import { gpa as gpaOf, hex } from '../address.ts';
import { SlatboxError } from '../errors.ts';
import type { AddressLike } from '../types.ts';
import type { Vm } from '../vm.ts';

export class RamAccess {
  readonly #vm: Vm;

  constructor(vm: Vm) {
    this.#vm = vm;
  }

  /** SlatboxError SLB-021 outside RAM. */
  read(gpa: AddressLike, len: number): Uint8Array {
    const out = new Uint8Array(len);
    const { core } = this.#vm.host;
    this.#each(gpaOf(gpa), len, core.x.ramPeek, (at, from, n) => {
      out.set(core.u8.subarray(at, at + n), from);
    });
    return out;
  }

  /** Faults pages in as a write would. SlatboxError SLB-021 outside RAM, SLB-028 without a frame. */
  write(gpa: AddressLike, bytes: Uint8Array): void {
    const { core } = this.#vm.host;
    this.#each(gpaOf(gpa), bytes.length, core.x.ramPoke, (at, from, n) => {
      core.u8.set(bytes.subarray(from, from + n), at);
    });
  }

  fill(gpa: AddressLike, len: number, byte: number): void {
    const { core } = this.#vm.host;
    this.#each(gpaOf(gpa), len, core.x.ramPoke, (at, _from, n) => {
      core.u8.fill(byte, at, at + n);
    });
  }

  #each(
    gpa: bigint,
    len: number,
    door: (vm: number, gpa: bigint) => number,
    use: (at: number, from: number, n: number) => void,
  ): void {
    for (let from = 0; from < len; ) {
      const here = gpa + BigInt(from);
      const n = Math.min(len - from, 4096 - Number(here & 4095n));
      const at = here < 1n << 64n ? door(this.#vm.ptr, here) >>> 0 : 0;
      if (at === 0) {
        if (this.#vm.vmm.hvaOf(BigInt.asUintN(64, here)) !== undefined) {
          throw new SlatboxError(
            'SLB-028',
            `no frame for the page at ${hex(here)}, or nothing mapped there`,
            'give the host more memory',
          );
        }
        throw new SlatboxError('SLB-021', `${hex(here)} is outside RAM`, 'vm.ram lists the regions');
      }
      use(at, from, n);
      from += n;
    }
  }
}
