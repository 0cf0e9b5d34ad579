// The commands, their options and their help. Reference: docs/cli.md.
import { Argument, Command, InvalidArgumentError, Option } from 'commander';
import { RSS_RULES } from '../account/rss-rules.ts';
import { SlatboxError } from '../errors.ts';
import { builtins } from '../scenario/builtins/index.ts';
import type { Params } from '../scenario/params.ts';
import { schema } from '../scenario/validator.generated.ts';
import { type AccountOptions, accountCommand, type WhoOptions, whoCommand } from './account-command.ts';
import { type ConformOptions, conformCommand, conformKinds } from './conform-command.ts';
import { type CoreOptions, coreCommand } from './core-command.ts';
import { type DecodeOptions, decodeCommand, decodeFormats, decodeHelp } from './decode-command.ts';
import { ExitCode, formatError } from './diagnostics.ts';
import {
  eventsCommand,
  type InspectOptions,
  memslotsCommand,
  smapsCommand,
  walkCommand,
} from './inspect-commands.ts';
import { colorsFor, type Io } from './io.ts';
import { toJson } from './json.ts';
import {
  type PagemapOptions,
  type PageTypesCommandOptions,
  pagemapCommand,
  pageTypesCommand,
  rollupCommand,
  statusCommand,
} from './proc-commands.ts';
import { type RunOptions, runCommand } from './run-command.ts';
import { parseFile } from './scenarios.ts';

const collect = (value: string, list: readonly string[]): readonly string[] => [...list, value];

/** `--param NAME=VALUE`; numbers and booleans as a YAML file would have them. */
function collectParam(text: string, params: Params): Params {
  const at = text.indexOf('=');
  if (at < 1) throw new InvalidArgumentError('write NAME=VALUE.');
  const value = text.slice(at + 1);
  const isNumber = /^\d+$/.test(value) && Number.isSafeInteger(Number(value));
  const typed = isNumber ? Number(value) : value === 'true' ? true : value === 'false' ? false : value;
  return { ...params, [text.slice(0, at)]: typed };
}

const formatOption = (...formats: string[]): Option =>
  new Option('--format <format>', 'how to print').choices(formats).default('text');
const coreOption = (): Option =>
  new Option('--core <build>', 'build of the engine (default: release)').choices(['release', 'debug']);
const memoryOption = (): Option =>
  new Option('--memory <kind>', 'kind of WebAssembly memory (default: plain)').choices(['plain', 'threads']);
const threadsOption = (): Option =>
  new Option('--no-threads', 'vCPUs take turns, even where the scenario has threads');
const examples = (...lines: string[]): string =>
  `\nExamples:\n${lines.map((l) => `  $ slatbox ${l}`).join('\n')}\n`;

/** The program; `done` is told the exit code of the command that ran. */
export function buildProgram(io: Io, version: string, done: (code: ExitCode) => void): Command {
  const program = new Command('slatbox')
    .description(
      'A guest memory sandbox: guest RAM, second-level page tables and the host memory behind them.',
    )
    .version(version)
    .addOption(new Option('--color <when>', 'colours').choices(['auto', 'always', 'never']).default('auto'))
    .configureOutput({
      writeOut: (text) => io.out(text),
      writeErr: (text) => io.err(text),
      outputError: (text, write) => write(text.replace(/^error: /, 'error[SLB-044]: ')),
    })
    .exitOverride()
    .showHelpAfterError('(slatbox COMMAND --help says more)')
    .addHelpText(
      'after',
      `${examples(
        'run builtin:sample-dontneed',
        'run scenario.yaml --format json',
        'smaps scenario.yaml --at 3',
        'conform mm traces/*.json',
      )}
Exit codes: 0 ok, 1 an expectation failed, 2 wrong command line or unreadable file, 3 invalid scenario,
4 unexpected guest error with --strict, 70 internal fault. FILE may be - for stdin or builtin:NAME.`,
    );
  const colors = (isTty: boolean) => colorsFor(io, program.opts<{ color: string }>().color, isTty);
  const command = (usage: string, about: string, ...lines: string[]): Command =>
    program
      .command(usage)
      .description(about)
      .addHelpText('after', examples(...lines));

  command(
    'run <file>',
    'run a scenario and check its expectations',
    'run builtin:guard-pages',
    'run scenario.yaml --until 4',
    'run scenario.yaml --strict --format json',
    'run scenario.yaml --param base=2G',
    'run builtin:overcommit-pvmemcontrol --format table',
  )
    .addOption(
      new Option('--format <format>', 'how to print; table: host memory at the `sample` steps, nothing else')
        .choices(['text', 'json', 'table'])
        .default('text'),
    )
    .option('--until <step>', 'stop after this step')
    .option('--strict', 'a guest error that no expect looks at is a failure (exit 4)')
    .option('--all', 'show every round of a repeat')
    .option('--param <name=value>', 'set a parameter of the scenario', collectParam, {})
    .addOption(coreOption())
    .addOption(memoryOption())
    .addOption(threadsOption())
    .action(async (file: string, { param, ...rest }: Omit<RunOptions, 'params'> & { param: Params }) =>
      done(await runCommand(io, file, { ...rest, params: param }, version, colors(io.outIsTty))),
    );

  command(
    'conform <kind> <files...>',
    `replay recordings of real software: ${conformKinds.join(', ')}`,
    'conform mm traces/*.json',
    'conform mm traces/*.json --only mode=anon --without ksm',
    'conform transport pvmemcontrol-transport.json --core debug --format json',
  )
    .addOption(formatOption('text', 'json'))
    .option('--only <key=value>', 'only cases with this property; may be given again', collect, [])
    .option('--without <tag>', 'no cases with this tag; may be given again', collect, [])
    .addOption(coreOption())
    .addOption(memoryOption())
    .action(async (kind: string, files: string[], options: ConformOptions) =>
      done(await conformCommand(io, kind, files, options)),
    );

  const inspect = (usage: string, about: string, formats: string[], ...lines: string[]): Command =>
    command(usage, about, ...lines)
      .option('--at <step>', 'look after this step (default: at the end)')
      .option('--vm <name>', 'look at this VM (default: the first; events: all)')
      .addOption(formatOption(...formats))
      .addOption(coreOption())
      .addOption(memoryOption())
      .addOption(threadsOption());

  inspect(
    'smaps <file>',
    'the VMM’s mappings as /proc/PID/smaps shows them',
    ['text', 'json'],
    'smaps builtin:guard-pages --at 5',
  ).action(async (file: string, options: InspectOptions) => done(await smapsCommand(io, file, options)));

  inspect(
    'smaps-rollup <file>',
    'their sums as /proc/PID/smaps_rollup shows them',
    ['text', 'json'],
    'smaps-rollup builtin:sample-dontneed --at 3',
  ).action(async (file: string, options: InspectOptions) => done(await rollupCommand(io, file, options)));

  inspect(
    'status <file>',
    'the memory lines of /proc/PID/status',
    ['text', 'json'],
    'status builtin:sample-dontneed --at 3',
  ).action(async (file: string, options: InspectOptions) => done(await statusCommand(io, file, options)));

  inspect(
    'pagemap <file>',
    'pages of the VMM and their frames or swap slots, as /proc/PID/pagemap has them',
    ['text', 'json'],
    'pagemap builtin:sample-dontneed --at 3',
    'pagemap scenario.yaml --gpa 1G --len 2M --raw',
  )
    .option('--gpa <address>', 'begin at this guest-physical address (default: all RAM)')
    .option('--len <size>', 'so many bytes (default: one page)')
    .option('--raw', 'entries in hex, a line a page')
    .action(async (file: string, options: PagemapOptions) => done(await pagemapCommand(io, file, options)));

  inspect(
    'page-types <file>',
    'how many pages have which flags, as the tool page-types prints it',
    ['text', 'json'],
    'page-types builtin:sample-dontneed --at 3',
    'page-types scenario.yaml --host --raw',
  )
    .option('--host', 'all frames of the host, not only pages of the VMM')
    .option('--raw', 'with flags for kernel developers, and those of pagemap')
    .action(async (file: string, options: PageTypesCommandOptions) =>
      done(await pageTypesCommand(io, file, options)),
    );

  inspect(
    'memslots <file>',
    'KVM’s memslots: what is behind them, their SLAT leaves by size, pages in their dirty logs',
    ['text', 'json'],
    'memslots builtin:memslots --at 20',
    'memslots builtin:pre-copy --vm source --format json',
  ).action(async (file: string, options: InspectOptions) => done(await memslotsCommand(io, file, options)));

  inspect(
    'walk <file>',
    'the SLAT walk of one guest-physical address',
    ['text', 'json'],
    'walk builtin:sample-dontneed --gpa 1G --at 3 --bits',
  )
    .requiredOption('--gpa <address>', 'guest-physical address')
    .option('--bits', 'decode every entry')
    .action(async (file: string, options: InspectOptions & { gpa: string }) =>
      done(await walkCommand(io, file, options)),
    );

  inspect(
    'who <file>',
    'who counts a range of guest memory: guest, KVM, VMM process, cgroup, host',
    ['text', 'json'],
    'who builtin:sample-dontneed --gpa 1G --at 3',
    'who scenario.yaml --gpa 4G --len 2M --format json',
  )
    .requiredOption('--gpa <address>', 'guest-physical address')
    .option('--len <size>', 'so many bytes (default: one page)')
    .action(async (file: string, options: WhoOptions) => done(await whoCommand(io, file, options)));

  inspect(
    'account <file>',
    'what top, numa_maps and the memory cgroup say of all that a VM has',
    ['text', 'json'],
    'account builtin:sample-dontneed --at 3',
    'account builtin:snp-40g',
    'account builtin:snp-10x10g',
    'account builtin:snp-40g --rss first-allocation',
    'account builtin:snp-40g --compare',
  )
    .addOption(
      new Option('--rss <rule>', 'of builtin:snp-40g: what RSS counts of a guest_memfd').choices(
        Object.keys(RSS_RULES),
      ),
    )
    .option('--compare', 'of builtin:snp-40g: all rules in one table')
    .action(async (file: string, options: AccountOptions) => done(await accountCommand(io, file, options)));

  inspect(
    'events <file>',
    'what happened, each event with its cause',
    ['text', 'json', 'ndjson'],
    'events builtin:guard-pages --kind exit --kind fault',
    'events scenario.yaml --format ndjson',
  )
    .option('--kind <kind>', 'only events of this kind; may be given again', collect, [])
    .action(async (file: string, options: InspectOptions) => done(await eventsCommand(io, file, options)));

  inspect(
    'core <file>',
    'the core file that Linux would write of the VMM: what is in it, what is left out',
    ['text', 'json'],
    'core builtin:guard-pages',
    'core scenario.yaml --output vmm.core',
    'core scenario.yaml --at 4 --filter 0x7f --format json',
  )
    .option('--output <file>', 'write it, with holes where nothing is')
    .option('--filter <hex>', 'coredump_filter of the VMM (default: 33)')
    .action(async (file: string, options: CoreOptions) => done(await coreCommand(io, file, options)));

  command(
    'decode',
    'the fields of a page-table entry, or of what is told of a fault',
    'decode ept 0x0600000012345b77',
    'decode ept-violation 0x182',
    'decode stage2 0x12345000007fd --level 2',
  )
    .addArgument(new Argument('<format>', 'what the number is').choices(decodeFormats))
    .argument('<value>', 'the number')
    .option('--level <level>', 'level of the table that the entry is in (default: the lowest)')
    .addOption(new Option('--granule <size>', 'of stage 2').choices(['4K', '16K', '64K']).default('4K'))
    .addOption(formatOption('text', 'json'))
    .addHelpText('after', () => `\nFormats:\n${decodeHelp()}`)
    .action((format: string, value: string, options: DecodeOptions) =>
      done(decodeCommand(io, format, value, options)),
    );

  command('check <files...>', 'check scenarios without running them', 'check scenarios/*.yaml').action(
    (files: string[]) => done(check(io, files, (error) => io.err(formatError(error, colors(io.errIsTty))))),
  );

  command('schema', 'print the JSON Schema of scenario files', 'schema > scenario.schema.json').action(() => {
    io.out(toJson(schema));
    done(ExitCode.Ok);
  });

  command('list', 'list the built-in scenarios', 'list', 'list --show guard-pages > mine.yaml')
    .option('--show <name>', 'print the text of one')
    .action(({ show }: { show?: string }) => done(list(io, show)));
  return program;
}

/** All problems of all files. */
function check(io: Io, files: readonly string[], report: (error: SlatboxError) => void): ExitCode {
  let bad = 0;
  let code = ExitCode.Ok;
  for (const file of files) {
    try {
      const { problems } = parseFile(io, file);
      for (const problem of problems) report(problem);
      if (problems.length === 0) continue;
      code = ExitCode.Invalid;
    } catch (error) {
      // An unreadable file must not hide the problems of the others.
      if (!(error instanceof SlatboxError)) throw error;
      report(error);
      if (code === ExitCode.Ok)
        code = error.code === 'SLB-001' || error.code === 'SLB-040' ? ExitCode.Usage : ExitCode.Invalid;
    }
    bad++;
  }
  io.out(`${files.length - bad} of ${files.length} ${files.length === 1 ? 'scenario' : 'scenarios'} valid\n`);
  return code;
}

function list(io: Io, show: string | undefined): ExitCode {
  if (show === undefined) {
    const width = Math.max(...builtins.map((b) => b.name.length));
    for (const { name, about } of builtins) io.out(`builtin:${name.padEnd(width)}  ${about}\n`);
    return ExitCode.Ok;
  }
  const found = builtins.find((b) => b.name === show.replace(/^builtin:/, ''));
  if (!found)
    throw new SlatboxError('SLB-040', `there is no built-in scenario "${show}"`, 'see `slatbox list`');
  io.out(found.text);
  return ExitCode.Ok;
}
