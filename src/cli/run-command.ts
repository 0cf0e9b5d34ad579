// `slatbox run`: runs a scenario and says what each step did.
import type { Vm } from '../machine.ts';
import type { Params } from '../scenario/params.ts';
import type { StepResult } from '../scenario/result.ts';
import { ScenarioRun } from '../scenario/run.ts';
import { formatSize } from '../size.ts';
import { ExitCode } from './diagnostics.ts';
import type { Colors, Io } from './io.ts';
import { toJson } from './json.ts';
import { Progress } from './progress.ts';
import { sampleTable } from './sample-table.ts';
import { type BuildOptions, closeAll, openMachine, parseFile, stepsUntil } from './scenarios.ts';

export interface RunOptions extends BuildOptions {
  readonly format: 'text' | 'json';
  readonly until?: string;
  readonly strict?: boolean;
  readonly all?: boolean;
  readonly params: Params;
}

export async function runCommand(
  io: Io,
  file: string,
  options: RunOptions,
  version: string,
  c: Colors,
): Promise<ExitCode> {
  const { scenario, problems } = parseFile(io, file, options.params);
  if (!scenario) throw problems[0];
  const vms = await openMachine(scenario, options);
  const run = new ScenarioRun(scenario, vms);
  const end = stepsUntil(run, options.until);
  const text = options.format === 'text';
  const printer = new StepPrinter(io, c, options.all === true, run);
  const results: StepResult[] = [];
  // When text goes to the same terminal, its lines are progress enough.
  const progress = new Progress(io, end, !io.outIsTty);

  if (text) io.out(`${c.bold(scenario.title)}  ${c.dim(`slatbox ${version}`)}\n`);
  while (run.position < end) {
    const result = (await run.next()) as StepResult;
    if (text) printer.print(result);
    else results.push(result);
    progress.at(run.position);
  }
  await closeAll(vms);
  progress.clear();
  printer.flush();

  const [first] = vms.values();
  const digest = first?.host.digest();
  const counters = first?.observe.counters() ?? {};
  const refused = options.strict === true && run.unexpected > 0;
  const ok = run.failed === 0 && !refused;
  if (text) {
    if (run.samples.length > 0) io.out(sampleTable(run.samples));
    const total = run.passed + run.failed;
    const said =
      run.failed > 0
        ? `${run.failed} of ${plural(total, 'expectation')} failed`
        : plural(total, 'expectation');
    const guest = run.unexpected > 0 ? `, ${plural(run.unexpected, 'unexpected guest error')}` : '';
    const verdict = ok ? c.green('ok') : c.red('FAILED');
    io.out(
      `${verdict}  ${said}, ${plural(end, 'step')}, ${plural(counters['events.total'] ?? 0, 'event')}${guest}  digest ${digest}\n`,
    );
  } else {
    const { passed, failed, unexpected } = run;
    const { title } = scenario;
    io.out(
      toJson({
        format: 'slatbox.result.v1',
        engine: version,
        digest,
        file,
        title,
        ok,
        passed,
        failed,
        unexpected,
        counters,
        ...(vms.size > 1 && { vms: perVm(vms) }),
        ...(run.samples.length > 0 && { samples: run.samples }),
        steps: results,
      }),
    );
  }
  if (run.failed > 0) return ExitCode.Failed;
  return refused ? ExitCode.Unexpected : ExitCode.Ok;
}

/** Of several VMs each its own; `counters` and `digest` beside it are the first VM's and the host's. */
const perVm = (vms: ReadonlyMap<string, Vm>) =>
  Object.fromEntries(
    [...vms].map(([name, { observe }]) => [name, { digest: observe.digest(), counters: observe.counters() }]),
  );

const plural = (n: number, word: string): string => `${n} ${word}${n === 1 ? '' : 's'}`;

/** A later round of a repeat, folded: its name, how many steps, and where RSS went. */
interface Round {
  readonly name: string;
  steps: number;
  readonly rss: number[];
}

/** Text output; each round after the first is folded into one line. */
class StepPrinter {
  readonly #io: Io;
  readonly #c: Colors;
  readonly #all: boolean;
  readonly #labelWidth: number;
  #round: Round | undefined;
  /** By VM. */
  readonly #rss = new Map<string, number>();

  constructor(io: Io, c: Colors, all: boolean, run: ScenarioRun) {
    this.#io = io;
    this.#c = c;
    this.#all = all;
    this.#labelWidth = run.steps.reduce((w, s) => (all || s.first ? Math.max(w, s.label.length) : w), 3);
  }

  print(result: StepResult): void {
    if (!this.#all && !result.first && result.ok && !result.unexpected) {
      this.#fold(result);
      return;
    }
    this.flush();
    this.#rss.set(result.vm, result.rss);
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

  #fold({ label, vm, rss }: StepResult): void {
    const name = label.slice(0, label.lastIndexOf('.'));
    if (this.#round?.name !== name) this.flush();
    this.#round ??= { name, steps: 0, rss: [this.#rss.get(vm) ?? 0] };
    this.#round.steps++;
    if (this.#round.rss.at(-1) !== rss) this.#round.rss.push(rss);
    this.#rss.set(vm, rss);
  }

  /** One line for the round that was folded. */
  flush(): void {
    if (!this.#round) return;
    const { name, steps, rss } = this.#round;
    const way = rss.map(formatSize).join(' → ');
    const said = `rss ${way}`.padEnd(38);
    this.#io.out(
      `${this.#c.dim(name.padStart(this.#labelWidth))} ${this.#c.green('✓')} ${said}${this.#c.dim(plural(steps, 'step'))}\n`,
    );
    this.#round = undefined;
  }
}
