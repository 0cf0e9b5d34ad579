// What the pages hold at a quiet point, against what they may hold.
import type { Vm } from '../../src/machine.ts';
import { DROP, ownerOf, PAGE, REGIONS, SAME, sliceOf, WORDS } from './regions.ts';

export class Contents {
  readonly #vm: Vm;
  /** In which slice the word at an address of `GUARD` was stored, when it was last looked at. */
  readonly #seen = new Map<bigint, number>();

  constructor(vm: Vm) {
    this.#vm = vm;
  }

  /** What is wrong, in sentences. `kept`: the words of `KEEP`, by address. */
  judge(slice: number, kept: ReadonlyMap<bigint, bigint>): string[] {
    const out: string[] = [];
    for (const region of REGIONS) {
      for (let gfn = region.first; gfn < region.first + region.pages; gfn++) {
        for (const offset of WORDS) {
          const at = gfn * PAGE + offset;
          const word = this.#word(at);
          const wrong =
            region.name === 'keep'
              ? this.#kept(word, kept.get(at) ?? 0n)
              : this.#stored(word, at, slice, region === DROP || region === SAME);
          if (wrong) out.push(`${region.name}: 0x${at.toString(16)} holds 0x${word.toString(16)}, ${wrong}`);
        }
      }
    }
    return out;
  }

  #kept(word: bigint, last: bigint): string | undefined {
    return word === last ? undefined : `its owner stored 0x${last.toString(16)} last`;
  }

  /** A word that its owner stored, now or earlier; in `DROP` and `SAME` also nothing. */
  #stored(word: bigint, at: bigint, slice: number, dropped: boolean): string | undefined {
    const before = this.#seen.get(at);
    if (word === 0n && (dropped || before === undefined)) return undefined;
    const stored = sliceOf(word, at / PAGE, this.#vm.cpus);
    if (stored === undefined) return `which vCPU ${ownerOf(at / PAGE, this.#vm.cpus)} never stored there`;
    if (stored > slice || stored < (before ?? 0))
      return `of slice ${stored}, now is ${slice}, before it was ${before}`;
    if (!dropped) this.#seen.set(at, stored);
    return undefined;
  }

  #word(gpa: bigint): bigint {
    const bytes = this.#vm.ramAccess.read(gpa, 8);
    return new DataView(bytes.buffer).getBigUint64(0, true);
  }
}
