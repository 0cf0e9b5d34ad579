// A bounded set of checkpoints by step. When it is full, in number or in bytes, every second one goes, so that what is left
// is spread over the whole timeline. Reference: docs/web.md "Time travel".

interface Kept<T> {
  readonly value: T;
  readonly bytes: number;
}

export class Checkpoints<T> {
  readonly #limit: number;
  readonly #byteLimit: number;
  #stride = 1;
  #bytes = 0;
  readonly #kept = new Map<number, Kept<T>>();

  /** At most so many, and so many bytes in all but for the first. */
  constructor(limit: number, byteLimit: number) {
    this.#limit = limit;
    this.#byteLimit = byteLimit;
  }

  get size(): number {
    return this.#kept.size;
  }
  get bytes(): number {
    return this.#bytes;
  }
  /** Steps between two that may be kept. */
  get stride(): number {
    return this.#stride;
  }

  /** Whether a checkpoint of this step would be kept: taking one costs, so ask first. */
  wants(step: number): boolean {
    return step % this.#stride === 0 && !this.#kept.has(step);
  }

  add(step: number, value: T, bytes: number): void {
    if (!this.wants(step)) return;
    this.#kept.set(step, { value, bytes });
    this.#bytes += bytes;
    while (this.#kept.size > this.#limit || (this.#bytes > this.#byteLimit && this.#kept.size > 1)) {
      this.#stride *= 2;
      this.#drop((at) => at % this.#stride !== 0);
    }
  }

  /** The last checkpoint at or before `step`. */
  nearest(step: number): { readonly step: number; readonly value: T } | undefined {
    let best: number | undefined;
    for (const at of this.#kept.keys()) if (at <= step && (best === undefined || at > best)) best = at;
    return best === undefined ? undefined : { step: best, value: (this.#kept.get(best) as Kept<T>).value };
  }

  /** Forgets everything after `step`: the timeline was changed there. */
  dropAfter(step: number): void {
    this.#drop((at) => at > step);
  }

  #drop(goes: (step: number) => boolean): void {
    for (const [at, { bytes }] of this.#kept) {
      if (!goes(at)) continue;
      this.#kept.delete(at);
      this.#bytes -= bytes;
    }
  }
}
