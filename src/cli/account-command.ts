// `slatbox who` and `slatbox account`: who counts a range of guest memory, and what Linux says of all that a VM has.
import { machineAnswers, machineMemcg, machineNumaMaps, machineTotals } from '../account/machine.ts';
import { RSS_RULES, type RssRule } from '../account/rss-rules.ts';
import { fleet, fleetText } from '../account/snp-fleet.ts';
import { bootSnpGuest, SNP_40G } from '../account/snp-guest.ts';
import {
  answers,
  compareRules,
  memcgStat,
  memTotal,
  numaMaps,
  numastat,
  numastatTexts,
  processSizes,
  type RuleResult,
  smapsVmas,
} from '../account/snp-report.ts';
import {
  answersText,
  byNode,
  memoryStatText,
  numaMapsText,
  numaStatText,
  scaled,
  topText,
} from '../account/views.ts';
import { type WhoCounts, whoCounts } from '../account/who.ts';
import { formatAddress, gpa } from '../address.ts';
import { SlatboxError } from '../errors.ts';
import { smapsText } from '../observe/smaps.ts';
import { formatSize, parseSize } from '../size.ts';
import { ExitCode } from './diagnostics.ts';
import type { InspectOptions } from './inspect-commands.ts';
import type { Io } from './io.ts';
import { toJson } from './json.ts';
import { runTo } from './scenarios.ts';

const GIB = 2 ** 30;

export interface WhoOptions extends InspectOptions {
  readonly gpa: string;
  readonly len?: string;
}

export async function whoCommand(io: Io, file: string, o: WhoOptions): Promise<ExitCode> {
  // Before the run, which may take long.
  const at = orUsage(`--gpa: "${o.gpa}" is not a guest-physical address`, () => gpa(o.gpa));
  const length = orUsage(`--len: "${o.len}" is not a size`, () => parseSize(o.len ?? 4096, 'len'));
  if (length === 0)
    throw new SlatboxError('SLB-042', '--len 0: a range with nothing in it', 'leave it out for one page');
  const { vm } = await runTo(io, file, o);
  const counts = whoCounts(vm, at, length);
  io.out(o.format === 'text' ? formatWho(counts) : toJson(counts));
  return ExitCode.Ok;
}

function orUsage<T>(message: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (error instanceof SlatboxError)
      throw new SlatboxError('SLB-042', message, 'write 0x140203000, 5G+2M …');
    throw error;
  }
}

/** A line for each counter, under whose it is. */
function formatWho({ gpa: at, length, rows }: WhoCounts): string {
  const width = Math.max(...rows.map(({ counter }) => counter.length));
  let view = '';
  let out = `${formatAddress(at)} + ${formatSize(length)}\n`;
  for (const row of rows) {
    out += `${(row.view === view ? '' : row.view).padEnd(8)} ${row.counter.padEnd(width)} ${size(row.bytes).padStart(9)}  ${row.why}${row.nodes ? ` (${byNode(row.nodes).join(' ')})` : ''}\n`;
    view = row.view;
  }
  return out;
}

const size = (bytes: number): string => (bytes < 0 ? `-${formatSize(-bytes)}` : formatSize(bytes));

export interface AccountOptions extends InspectOptions {
  /** Rule for what RSS counts of a guest_memfd; of the ledger's guest alone. */
  readonly rss?: RssRule;
  readonly compare?: boolean;
}

const LEDGER = 'builtin:snp-40g';
/** Ten guests of 10 GiB each. */
const FLEET = 'builtin:snp-10x10g';

export async function accountCommand(io: Io, file: string, o: AccountOptions): Promise<ExitCode> {
  if (file === LEDGER || file === FLEET) {
    if (o.at !== undefined) throw new SlatboxError('SLB-041', `${file} has no steps`, 'leave out --at');
    if (o.vm !== undefined)
      throw new SlatboxError('SLB-048', `${file} has no VM of a name`, 'leave out --vm');
  }
  if (file === LEDGER) return ledgerCommand(io, o);
  if (o.rss !== undefined || o.compare) {
    throw new SlatboxError(
      'SLB-044',
      `--rss and --compare are for ${LEDGER}`,
      `slatbox account ${LEDGER} --compare`,
    );
  }
  if (file === FLEET) {
    const rows = fleet(SNP_40G, 10, (10 * GIB) / 4096);
    io.out(o.format === 'json' ? toJson({ rows }) : fleetText(rows));
    return ExitCode.Ok;
  }
  const { vm } = await runTo(io, file, o);
  const [stat, maps, totals] = [machineMemcg(vm), machineNumaMaps(vm), machineTotals(vm)];
  const guestMemfds = machineAnswers(vm);
  if (o.format === 'json') {
    io.out(toJson({ totals, guestMemfds, memoryStat: stat, numaMaps: maps, nodes: vm.host.nodes() }));
    return ExitCode.Ok;
  }
  const res = totals.rssAnon + totals.rssFile + totals.rssShmem;
  const sizes = { virt: totals.vmSize, res, shr: totals.rssFile + totals.rssShmem };
  const memory = vm.host.nodes().reduce((sum, node) => sum + node.size, 0);
  io.out(
    section('top', topText(sizes, memory)) +
      section('/proc/PID/numa_maps', numaMapsText(maps)) +
      section('memory.stat', memoryStatText(stat)) +
      section('memory.numa_stat', numaStatText(stat)) +
      (guestMemfds.length > 0 ? section('query', answersText(guestMemfds)) : ''),
  );
  return ExitCode.Ok;
}

const section = (title: string, text: string): string => `== ${title}\n${text}`;

/** The guest of 40 GiB, which no pool of frames has room for: src/account/snp-guest.ts. */
function ledgerCommand(io: Io, o: AccountOptions): ExitCode {
  if (o.compare) {
    const rules = compareRules(SNP_40G, (10 * GIB) / 4096);
    io.out(o.format === 'json' ? toJson({ rules }) : formatRules(rules));
    return ExitCode.Ok;
  }
  const guest = bootSnpGuest(SNP_40G);
  const rule = o.rss ?? 'as-is';
  const [sizes, stat, maps] = [processSizes(guest, rule), memcgStat(guest), numaMaps(guest)];
  if (o.format === 'json') {
    const { process, filePages } = numastat(guest);
    io.out(
      toJson({
        inputs: SNP_40G,
        rule,
        process: sizes,
        memoryStat: stat,
        numaMaps: maps,
        numastat: { process, filePages },
      }),
    );
    return ExitCode.Ok;
  }
  io.out(
    section(`top (${RSS_RULES[rule].about})`, topText(sizes, memTotal(SNP_40G))) +
      section('/proc/PID/smaps', smapsText(smapsVmas(guest), 4096)) +
      section('/proc/PID/numa_maps', numaMapsText(maps)) +
      section('memory.stat', memoryStatText(stat)) +
      section('memory.numa_stat', numaStatText(stat)) +
      section('numastat', numastatTexts(guest)) +
      (rule === 'query' ? section('query', answersText(answers(guest))) : ''),
  );
  return ExitCode.Ok;
}

/** A row for each rule. */
function formatRules(rules: readonly RuleResult[]): string {
  const width = Math.max(...rules.map(({ rule }) => rule.length));
  const row = (name: string, cells: readonly string[], rest: string): string =>
    `${name.padEnd(width)} ${cells.map((cell) => cell.padStart(7)).join(' ')}  ${rest}\n`;
  return (
    row('rule', ['VIRT', 'RES', 'punched', 'touched', 'tables'], 'by node  when QEMU exits') +
    rules
      .map((r) =>
        row(
          r.rule,
          [
            scaled(r.boot.virt, 7),
            ...[r.boot.res, r.punched, r.touched].map((b) => scaled(b, 6)),
            formatSize(r.pageTables),
          ],
          `${r.byNode ? 'yes' : 'no '}      ${r.exit ?? 'nothing'}`,
        ),
      )
      .join('') +
    `\n${rules.map((r) => `${r.rule.padEnd(width)} ${r.about}\n`).join('')}`
  );
}
