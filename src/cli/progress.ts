// A bar on stderr while somebody waits: only on a terminal, and only when it takes long.
import type { Io } from './io.ts';

const AFTER_MS = 500;
const EVERY_MS = 100;

export class Progress {
  readonly #io: Io;
  readonly #total: number;
  readonly #wanted: boolean;
  readonly #format: (n: number) => string;
  readonly #start = Date.now();
  #shown = 0;
  #width = 0;

  constructor(io: Io, total: number, wanted = true, format: (n: number) => string = String) {
    this.#io = io;
    this.#total = total;
    this.#wanted = wanted && io.errIsTty;
    this.#format = format;
  }

  at(done: number): void {
    if (!this.#wanted) return;
    const now = Date.now();
    if (now - this.#start < AFTER_MS || now - this.#shown < EVERY_MS) return;
    this.#shown = now;
    const filled = Math.round((20 * done) / this.#total);
    const line = `[${'#'.repeat(filled).padEnd(20)}] ${this.#format(done)}/${this.#format(this.#total)}`;
    this.#io.err(`\r${line.padEnd(this.#width)}`);
    this.#width = line.length;
  }

  clear(): void {
    if (this.#shown > 0) this.#io.err(`\r${' '.repeat(this.#width)}\r`);
  }
}
