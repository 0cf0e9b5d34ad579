// What `slatbox run` prints of each step. Later rounds of a repeat, or of `each`, look much like the first: they are folded
// into one line.
import type { MigrationRound } from '../machine.ts';
import type { StepResult } from '../scenario/result.ts';
import type { ScenarioRun } from '../scenario/run.ts';
import { formatSize } from '../size.ts';
import type { Colors, Io } from './io.ts';

/** More values than these are told by the last and the largest. */
const MOST_VALUES = 4;

/** Folded rounds: what they are called, how many steps, and where memory went. */
interface Rounds {
  readonly name: string;
  /** The VM of all its steps; undefined: of several. */
  vm: string | undefined;
  steps: number;
  /** Of `vm`. */
  readonly rss: number[];
  /** Of the host. */
  readonly used: number[];
}

export class StepPrinter {
  readonly #io: Io;
  readonly #c: Colors;
  readonly #all: boolean;
  readonly #run: ScenarioRun;
  readonly #labelWidth: number;
  #rounds: Rounds | undefined;
  /** By VM. */
  readonly #rss = new Map<string, number>();
  #used = 0;

  constructor(io: Io, c: Colors, all: boolean, run: ScenarioRun) {
    this.#io = io;
    this.#c = c;
    this.#all = all;
    this.#run = run;
    this.#labelWidth = run.steps.reduce(
      (width, { label, later }) => Math.max(width, (all ? label : (later ?? label)).length),
      3,
    );
  }

  print(result: StepResult): void {
    if (!this.#all && !result.first && result.ok && !result.unexpected) {
      this.#fold(result);
      return;
    }
    this.flush();
    this.#after(result.vm, result.rss, result.memory.used);
    const c = this.#c;
    const { label, kind, title, text, expectations, ok, unexpected, rss } = result;
    const number = label.padStart(this.#labelWidth);
    const head = `${c.dim(number)} `;
    if (kind === 'note') {
      this.#io.out(`${head}  ${c.italic(text)}\n`);
      return;
    }
    const mark =
      expectations.length === 0 ? (unexpected ? c.yellow('!') : ' ') : ok ? c.green('✓') : c.red('✗');
    const shown = kind === 'expect' ? `expect ${text}` : `${title.padEnd(36)}  ${text}`;
    this.#io.out(`${head}${mark} ${shown.trimEnd()}\n`);
    if (result.rounds) this.#io.out(roundTable(result.rounds, ' '.repeat(this.#labelWidth + 3)));
    if (!ok) {
      const indent = ' '.repeat(this.#labelWidth + 3);
      for (const e of expectations.filter((e) => !e.ok)) {
        this.#io.out(
          `${indent}${c.red(`expected ${e.expected}`)}\n${indent}${c.red(`actual   ${e.actual}`)}\n`,
        );
      }
      this.#io.out(`${indent}${c.dim(`line ${result.line}, rss ${formatSize(rss)}`)}\n`);
    }
  }

  #fold({ index, vm, rss, memory }: StepResult): void {
    const name = this.#run.steps[index]?.later as string;
    if (this.#rounds?.name !== name) this.flush();
    this.#rounds ??= { name, vm, steps: 0, rss: [this.#rss.get(vm) ?? 0], used: [this.#used] };
    const rounds = this.#rounds;
    rounds.steps++;
    if (rounds.vm !== vm) rounds.vm = undefined;
    if (rounds.rss.at(-1) !== rss) rounds.rss.push(rss);
    if (rounds.used.at(-1) !== memory.used) rounds.used.push(memory.used);
    this.#after(vm, rss, memory.used);
  }

  #after(vm: string, rss: number, used: number): void {
    this.#rss.set(vm, rss);
    this.#used = used;
  }

  /** One line for the rounds that were folded. */
  flush(): void {
    if (!this.#rounds) return;
    const { name, vm, steps, rss, used } = this.#rounds;
    const said = (vm === undefined ? `host memory ${way(used)}` : `rss ${way(rss)}`).padEnd(44);
    this.#io.out(
      `${this.#c.dim(name.padStart(this.#labelWidth))} ${this.#c.green('✓')} ${said}  ${this.#c.dim(plural(steps, 'step'))}\n`,
    );
    this.#rounds = undefined;
  }
}

function way(bytes: readonly number[]): string {
  if (bytes.length <= MOST_VALUES) return bytes.map(formatSize).join(' → ');
  const most = bytes.reduce((high, n) => Math.max(high, n), 0);
  const ends = `${formatSize(bytes[0] ?? 0)} → … → ${formatSize(bytes.at(-1) ?? 0)}`;
  return most > Math.max(bytes[0] ?? 0, bytes.at(-1) ?? 0) ? `${ends}, at most ${formatSize(most)}` : ends;
}

/** Of a migration: what each round had to do, and what the guest did meanwhile. */
function roundTable(rounds: readonly MigrationRound[], indent: string): string {
  const head = ['round', 'pages', 'copied', 'written meanwhile'];
  const rows = rounds.map(({ pages, copied, dirtied }, i) => [
    i === rounds.length - 1 ? 'stopped' : String(i + 1),
    ...[pages, copied, dirtied].map(String),
  ]);
  const width = head.map((_, i) => Math.max(...[head, ...rows].map((row) => row[i]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    `${indent}${row.map((cell, i) => cell.padStart(width[i] ?? 0)).join('  ')}\n`;
  return [head, ...rows].map(line).join('');
}

export const plural = (n: number, word: string): string => `${n} ${word}${n === 1 ? '' : 's'}`;
