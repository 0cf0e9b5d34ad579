// `slatbox run`: runs a scenario and says what each step did.
import type { Vm } from '../machine.ts';
import type { Params } from '../scenario/params.ts';
import type { StepResult } from '../scenario/result.ts';
import { ScenarioRun } from '../scenario/run.ts';
import { ExitCode } from './diagnostics.ts';
import type { Colors, Io } from './io.ts';
import { toJson } from './json.ts';
import { Progress } from './progress.ts';
import { sampleTable } from './sample-table.ts';
import { type BuildOptions, closeAll, openMachine, parseFile, stepsUntil } from './scenarios.ts';
import { plural, StepPrinter } from './step-printer.ts';

export interface RunOptions extends BuildOptions {
  readonly format: 'text' | 'json' | 'table';
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
    else if (options.format === 'json') results.push(result);
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
    if (run.samples.length > 0) io.out(`\n${sampleTable(run.samples)}\n`);
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
  } else if (options.format === 'table') {
    if (run.samples.length > 0) io.out(sampleTable(run.samples));
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
