// Names of anonymous VMAs. The device's names are `pvmemcontrol-N` with N in 64 bits, which the core keeps
// as N; other texts, which only the VMM's own calls can give, are kept here and known to the core by index.
import { VMA_NAME_TEXT, VMA_NAMED } from '../../assembly/abi/vm-flags.ts';

const DEVICE = /^pvmemcontrol-(0|[1-9][0-9]*)$/;
/** Printable ASCII without [ ] \ $ and the backtick, at most 79 bytes (linux: is_valid_name_char). */
const VALID = /^[^[\]\\$`]{0,79}$/;
const PRINTABLE = /^[\x20-\x7e]*$/;

export class Names {
  readonly #texts: string[] = [];

  /** What the core gets for a name; undefined when Linux would refuse it with EINVAL. */
  encode(name: string): { readonly kind: number; readonly value: bigint } | undefined {
    if (!VALID.test(name) || !PRINTABLE.test(name)) return undefined;
    const n = DEVICE.exec(name)?.[1];
    if (n !== undefined && BigInt(n) < 1n << 64n) return { kind: VMA_NAMED, value: BigInt(n) };
    let index = this.#texts.indexOf(name);
    if (index < 0) index = this.#texts.push(name) - 1;
    return { kind: VMA_NAMED | VMA_NAME_TEXT, value: BigInt(index) };
  }

  decode(flags: number, value: bigint): string | undefined {
    if ((flags & VMA_NAMED) === 0) return undefined;
    return flags & VMA_NAME_TEXT ? this.#texts[Number(value)] : `pvmemcontrol-${value}`;
  }
}
