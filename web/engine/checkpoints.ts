// A bounded set of checkpoints by step. When it is full every second one goes, so that any step can be reached by
// replaying at most `stride` steps. Reference: docs/web.md "Time travel".

export class Checkpoints<T> {
  readonly #limit: number;
  #stride = 1;
  readonly #kept = new Map<number, T>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#kept.size;
  }
  /** Replaying from the nearest checkpoint takes at most this many steps. */
  get stride(): number {
    return this.#stride;
  }

  /** Whether a checkpoint of this step would be kept: taking one costs, so ask first. */
  wants(step: number): boolean {
    return step % this.#stride === 0 && !this.#kept.has(step);
  }

  add(step: number, value: T): void {
    if (!this.wants(step)) return;
    this.#kept.set(step, value);
    if (this.#kept.size <= this.#limit) return;
    this.#stride *= 2;
    for (const at of this.#kept.keys()) if (at % this.#stride !== 0) this.#kept.delete(at);
  }

  /** The last checkpoint at or before `step`. */
  nearest(step: number): { readonly step: number; readonly value: T } | undefined {
    let best: number | undefined;
    for (const at of this.#kept.keys()) if (at <= step && (best === undefined || at > best)) best = at;
    return best === undefined ? undefined : { step: best, value: this.#kept.get(best) as T };
  }

  /** Forgets everything after `step`: the timeline was changed there. */
  dropAfter(step: number): void {
    for (const at of this.#kept.keys()) if (at > step) this.#kept.delete(at);
  }
}
