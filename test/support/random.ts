// Seeded randomness for long runs: fast, and the same on every machine. (xorshift32)

export class Random {
  readonly seed: number;
  #state: number;

  constructor(seed: number) {
    this.seed = seed >>> 0 || 1;
    this.#state = this.seed;
  }

  /** FUZZ_SEED, or one made of the clock; a test puts it into its failure messages. */
  static fresh(): Random {
    return new Random(Number(process.env.FUZZ_SEED ?? Date.now() % 0xffff_ffff));
  }

  /** 32 random bits. */
  bits(): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x >>> 0;
    return this.#state;
  }

  /** 0 ≤ n < end */
  below(end: number): number {
    return this.bits() % end;
  }

  chance(one: number): boolean {
    return this.below(one) === 0;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T;
  }
}
